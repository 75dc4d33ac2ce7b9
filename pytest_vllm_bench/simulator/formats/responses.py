"""OpenAI's Responses, as vLLM, OpenAI, llama.cpp and transformers stream them → Format; no ``[DONE]`` anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from pytest_vllm_bench.simulator.formats.dialects import Dialect
from pytest_vllm_bench.simulator.formats.openai import broken, refusal
from pytest_vllm_bench.simulator.formats.shape import (
    CREATED,
    Call,
    ErrorReply,
    Events,
    Format,
    Reply,
    ReplyPiece,
    SimulatedRequest,
    media_tokens,
    positive,
    sse,
    text_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What differs; the defaults are vLLM's."""

    named: bool = True  # ``event:`` lines
    cut_is: str = "response.completed"  # the event that ends an answer that ran into its limit
    cut_status: str = "incomplete"
    fails_by_event: bool = False  # an error mid-stream is ``response.failed``
    late: bool = False  # nothing is sent before the first token


HABITS = {
    "vllm": Habits(),
    "openai": Habits(cut_is="response.incomplete", fails_by_event=True),
    "llama.cpp": Habits(cut_status="completed", late=True),
    "transformers": Habits(named=False),
}


def _read(dialect: Dialect, call: Call) -> SimulatedRequest:
    body = call.body
    given = body.get("input")
    if isinstance(given, str) and given:
        items = [{"role": "user", "content": given}]
    elif isinstance(given, list) and given:
        items = given
    else:
        raise ErrorReply(400, "1 validation error:\n  input: Field required", param="input")
    return SimulatedRequest(
        prompts=(text_of(items),),
        model=body.get("model"),
        max_tokens=positive(body, "max_output_tokens"),
        ignore_eos=dialect.ignores_eos and body.get("ignore_eos") is True,
        thinks=True,
        extra_tokens=media_tokens(items),
        call=call,
    )


def _event(habits: Habits, answer: Reply, kind: str, **more: Any) -> bytes:
    number = answer.state.get("sequence", 0)
    answer.state["sequence"] = number + 1
    return sse({"type": kind, "sequence_number": number, **more}, kind if habits.named else "")


def _response(answer: Reply, status: str) -> dict[str, Any]:
    return {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": CREATED,
        "model": answer.model,
        "status": status,
        "output": [],
        "usage": None,
    }


def _created(habits: Habits, answer: Reply) -> list[bytes]:
    kinds = ("response.created", "response.in_progress")
    return [_event(habits, answer, kind, response=_response(answer, "in_progress")) for kind in kinds]


def _opening(habits: Habits, answer: Reply) -> Events:
    return () if habits.late else _created(habits, answer)


def _piece(habits: Habits, answer: Reply, piece: ReplyPiece) -> Events:
    """An item begins with its first token; an event without text is not sent."""
    events = _created(habits, answer) if habits.late and piece.first else []
    for part, text in (("reasoning", piece.reasoning), ("output", piece.text)):
        if not text:
            continue
        if answer.state.get("part") != part:
            answer.state["part"] = part
            item = {"id": f"msg_{answer.id}", "type": "message" if part == "output" else "reasoning"}
            events.append(_event(habits, answer, "response.output_item.added", output_index=0, item=item))
            events.append(_event(habits, answer, "response.content_part.added", **_place(answer), part={"text": ""}))
        events.append(_event(habits, answer, f"response.{part}_text.delta", **_place(answer), delta=text))
    return events


def _place(answer: Reply) -> dict[str, Any]:
    return {"item_id": f"msg_{answer.id}", "output_index": 0, "content_index": 0}


def _done(habits: Habits, answer: Reply) -> dict[str, Any]:
    cut = answer.finish == "length"
    usage = {
        "input_tokens": answer.prompt_tokens,
        "output_tokens": len(answer.ids),
        "total_tokens": answer.prompt_tokens + len(answer.ids),
        "input_tokens_details": {"cached_tokens": answer.cached},
        "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
    }
    response = _response(answer, habits.cut_status if cut else "completed") | {"usage": usage}
    if cut and habits.cut_status == "incomplete":
        response["incomplete_details"] = {"reason": "max_output_tokens"}
    return response


def _closing(habits: Habits, answer: Reply) -> Events:
    last = habits.cut_is if answer.finish == "length" else "response.completed"
    return [
        _event(habits, answer, "response.output_text.done", **_place(answer), text=answer.text),
        _event(habits, answer, "response.content_part.done", **_place(answer), part={"text": answer.text}),
        _event(habits, answer, "response.output_item.done", output_index=0, item={"id": f"msg_{answer.id}"}),
        _event(habits, answer, last, response=_done(habits, answer)),
    ]


def _whole(habits: Habits, answer: Reply) -> Any:
    content = [{"type": "output_text", "text": answer.text, "annotations": []}]
    items: list[dict[str, Any]] = [{"type": "message", "role": "assistant", "content": content}]
    if answer.reasoning:
        thought = [{"type": "reasoning_text", "text": answer.reasoning}]
        items.insert(0, {"type": "reasoning", "content": thought})
    return _done(habits, answer) | {"output": items}


def _broken(dialect: Dialect, habits: Habits, answer: Reply, refused: ErrorReply) -> Events:
    """vLLM: an event made of the error alone, and the end."""
    if not habits.fails_by_event:
        return broken(dialect, answer, refused)[:1]
    error = {"code": "server_error", "message": refused.message}
    return [_event(habits, answer, "response.failed", response=_response(answer, "failed") | {"error": error})]


def responses(name: str, dialect: Dialect) -> Format:
    """/v1/responses in a dialect; those without habits of their own have vLLM's."""
    habits = HABITS.get(name, HABITS["vllm"])
    return Format(
        read=partial(_read, dialect),
        whole=partial(_whole, habits),
        refusal=partial(refusal, dialect),
        opening=partial(_opening, habits),
        piece=partial(_piece, habits),
        closing=partial(_closing, habits),
        broken=partial(_broken, dialect, habits),
        terminal=b"",
        late_headers=habits.late,
    )
