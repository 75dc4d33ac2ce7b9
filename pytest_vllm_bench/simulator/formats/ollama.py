"""Ollama's own ``/api/generate`` and ``/api/chat`` → Formats: lines of JSON, durations in nanoseconds in the last."""

from __future__ import annotations

from functools import partial
from typing import Any

from pytest_vllm_bench.simulator.formats.shape import (
    NDJSON,
    Call,
    ErrorReply,
    Events,
    Format,
    Refusal,
    Reply,
    ReplyPiece,
    SimulatedRequest,
    encode,
    positive,
    prompt_of,
    text_of,
    whole_number,
)

CREATED_AT = "2026-01-01T00:00:00.123456789Z"


def _line(value: Any) -> bytes:
    """As Go writes it: ``<``, ``>`` and ``&`` escaped, a line feed at the end."""
    said = encode(value)
    return said.replace(b"<", rb"\u003c").replace(b">", rb"\u003e").replace(b"&", rb"\u0026") + b"\n"


def _read(chat: bool, call: Call) -> SimulatedRequest:
    """It streams unless told not to; there is no way to ignore EOS."""
    body, options = call.body, call.body.get("options") or {}
    limit = whole_number(options, "num_predict")
    return SimulatedRequest(
        prompts=(text_of(body.get("messages") or []) if chat else prompt_of(body, "prompt"),),
        model=body.get("model"),
        max_tokens=positive(options, "num_predict") if limit is None or limit > 0 else None,
        thinks=bool(body.get("think")),
        call=call,
    )


def _streams(call: Call) -> bool:
    return call.body.get("stream") is not False


def _said(chat: bool, answer: Reply, text: str, thinking: str) -> dict[str, Any]:
    said: dict[str, Any] = {"model": answer.model, "created_at": CREATED_AT}
    content = {"content" if chat else "response": text} | ({"thinking": thinking} if thinking else {})
    return said | ({"message": {"role": "assistant", **content}} if chat else content)


def _piece(chat: bool, answer: Reply, piece: ReplyPiece) -> Events:
    if not piece.text and not piece.reasoning:
        return []
    return [_line({**_said(chat, answer, piece.text, piece.reasoning), "done": False})]


def _last(answer: Reply) -> dict[str, Any]:
    """Numbers that are zero are left out; without ``raw`` the context comes along, which can be large."""
    elapsed = int(answer.elapsed * 1e9)
    _, prefill, decode = answer.stages
    counts = {
        "total_duration": elapsed,
        "load_duration": 0,
        "prompt_eval_count": answer.prompt_tokens - answer.cached,
        "prompt_eval_duration": int(prefill * 1e9),
        "eval_count": len(answer.ids),
        "eval_duration": int(decode * 1e9),
    }
    context = {} if answer.asked.call.body.get("raw") else {"context": [*range(answer.prompt_tokens), *answer.ids]}
    last = {"done": True, "done_reason": answer.finish, **context}
    return last | {key: value for key, value in counts.items() if value}


def _closing(chat: bool, answer: Reply) -> Events:
    return [_line(_said(chat, answer, "", "") | _last(answer))]


def _whole(chat: bool, answer: Reply) -> Any:
    return _line(_said(chat, answer, answer.text, answer.reasoning) | _last(answer))


def _refusal(refused: ErrorReply) -> Refusal:
    if refused.status in (429, 503):
        said = "server busy, please try again.  maximum pending requests exceeded"
        return Refusal(status=503, body=encode({"error": said}))
    said = f"model '{refused.message.split('`')[1]}' not found" if refused.param == "model" else refused.message
    return Refusal(status=refused.status, body=encode({"error": said}))


def _broken(answer: Reply, refused: ErrorReply) -> Events:
    return [_line({"error": refused.message})]


def _format(chat: bool) -> Format:
    return Format(
        read=partial(_read, chat),
        whole=partial(_whole, chat),
        refusal=_refusal,
        streams=_streams,
        piece=partial(_piece, chat),
        closing=partial(_closing, chat),
        broken=_broken,
        content_type=NDJSON,
        terminal=b"",
        json_only=False,
        late_headers=True,
    )


GENERATE = _format(False)
CHAT = _format(True)
