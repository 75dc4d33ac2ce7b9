"""Anthropic's Messages, as vLLM and Anthropic stream them → Format; no ``[DONE]`` anywhere."""

from __future__ import annotations

from typing import Any

from pytest_vllm_bench.simulator.formats.shape import (
    Call,
    ErrorReply,
    Events,
    Format,
    Refusal,
    Reply,
    ReplyPiece,
    SimulatedRequest,
    encode,
    media_tokens,
    positive,
    sse,
    text_of,
)

#: Status → what such an error is called.
KINDS = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error",
         503: "overloaded_error", 529: "overloaded_error"}  # fmt: skip
_STOP = {"length": "max_tokens", "stop": "end_turn"}
_TERMINAL = sse({"type": "message_stop"}, "message_stop")


def _read(call: Call) -> SimulatedRequest:
    body, messages = call.body, call.body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ErrorReply(400, "messages: Field required", param="messages")
    if body.get("max_tokens") is None:
        raise ErrorReply(400, "max_tokens: Field required", param="max_tokens")
    said = [{"role": "system", "content": body["system"]}] if body.get("system") else []
    return SimulatedRequest(
        prompts=(text_of([*said, *messages]),),
        model=body.get("model"),
        max_tokens=positive(body, "max_tokens"),
        thinks=True,
        extra_tokens=media_tokens(messages),
        call=call,
    )


def _event(kind: str, **more: Any) -> bytes:
    return sse({"type": kind, **more}, kind)


def _usage(answer: Reply, made: int) -> dict[str, int]:
    """Of the input what was not in the cache."""
    prompt = answer.prompt_tokens - answer.cached
    return {"input_tokens": prompt, "cache_read_input_tokens": answer.cached, "output_tokens": made}


def _message(answer: Reply, content: list[dict[str, Any]], why: str | None, made: int) -> dict[str, Any]:
    return {"id": f"msg_{answer.id}", "type": "message", "role": "assistant", "content": content, "model": answer.model,
            "stop_reason": why, "stop_sequence": None, "usage": _usage(answer, made)}  # fmt: skip


def _opening(answer: Reply) -> Events:
    """Before the prefill; Anthropic's counts the output as 1 then."""
    return [_event("message_start", message=_message(answer, [], None, 1)), _event("ping")]


def _piece(answer: Reply, piece: ReplyPiece) -> Events:
    """A block begins with its first token; an event without text is not sent."""
    events: list[bytes] = []
    for kind, text in (("thinking", piece.reasoning), ("text", piece.text)):
        if not text:
            continue
        if answer.state.get("kind") != kind:
            events += _stop(answer)
            answer.state.update(kind=kind, index=answer.state.get("index", -1) + 1)
            block = {"type": kind, kind: ""}
            events.append(_event("content_block_start", index=answer.state["index"], content_block=block))
        delta = {"type": f"{kind}_delta", kind: text}
        events.append(_event("content_block_delta", index=answer.state["index"], delta=delta))
    return events


def _stop(answer: Reply) -> list[bytes]:
    """The end of the block that is open; thinking is signed."""
    if "index" not in answer.state:
        return []
    here = {"index": answer.state["index"]}
    signed = answer.state["kind"] == "thinking"
    signature = _event("content_block_delta", **here, delta={"type": "signature_delta", "signature": answer.id})
    return [*[signature] * signed, _event("content_block_stop", **here)]


def _why(answer: Reply) -> str:
    return _STOP.get(answer.finish or "stop", str(answer.finish))


def _closing(answer: Reply) -> Events:
    delta = {"stop_reason": _why(answer), "stop_sequence": None}
    usage = _usage(answer, len(answer.ids))
    return [*_stop(answer), _event("message_delta", delta=delta, usage=usage), _TERMINAL]


def _whole(answer: Reply) -> Any:
    content = [{"type": "text", "text": answer.text}]
    if answer.reasoning:
        content.insert(0, {"type": "thinking", "thinking": answer.reasoning, "signature": answer.id})
    return _message(answer, content, _why(answer), len(answer.ids))


def _error(refused: ErrorReply) -> dict[str, Any]:
    kind = KINDS.get(refused.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": refused.message}}


def _refusal(refused: ErrorReply) -> Refusal:
    return Refusal(status=refused.status, body=encode(_error(refused)))


def _broken(answer: Reply, refused: ErrorReply) -> Events:
    return [sse(_error(refused), "error")]


MESSAGES = Format(
    read=_read,
    whole=_whole,
    refusal=_refusal,
    opening=_opening,
    piece=_piece,
    closing=_closing,
    broken=_broken,
    header="anthropic-version",
    terminal=_TERMINAL,
)
