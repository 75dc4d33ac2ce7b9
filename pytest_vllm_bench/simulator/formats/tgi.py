"""HuggingFace TGI's own ``/generate_stream``, ``/generate`` and ``/`` → Formats: one token an event, no ``[DONE]``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_vllm_bench.simulator.formats.shape import (
    EVENT_STREAM,
    Body,
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
    sse,
)

STATUS = {"validation": 422, "overloaded": 429, "generation": 424, "incomplete_generation": 500}


def _invalid(said: str) -> ErrorReply:
    return ErrorReply(422, f"Input validation error: {said}", kind="validation")


def _read(call: Call) -> SimulatedRequest:
    parameters = call.body.get("parameters") or {}
    _check(parameters)
    return SimulatedRequest(
        prompts=(prompt_of(call.body, "inputs"),),
        max_tokens=positive(parameters, "max_new_tokens"),
        usage=parameters.get("details") is True,
        call=call,
    )


def _check(parameters: Body) -> None:
    """What TGI refuses where others do not mind."""
    if parameters.get("temperature") is not None and parameters["temperature"] <= 0:
        raise _invalid("`temperature` must be strictly positive")
    if parameters.get("top_p") is not None and not 0 < parameters["top_p"] < 1:
        raise _invalid("`top_p` must be > 0.0 and < 1.0")
    if parameters.get("top_k") is not None and parameters["top_k"] <= 0:
        raise _invalid("`top_k` must be strictly positive")


def _streams(call: Call) -> bool:
    return call.path == "/generate_stream" or (call.path == "/" and call.body.get("stream") is True)


def _piece(answer: Reply, piece: ReplyPiece) -> Events:
    """The last event carries the last token *and* the whole text; EOS is a special token with a text of its own."""
    events = []
    for position, token in enumerate(piece.ids):
        ended = piece.last and position == len(piece.ids) - 1
        special = ended and answer.finish == "stop"
        text = piece.text if position == len(piece.ids) - 1 else ""
        event: dict[str, Any] = {
            "index": len(answer.ids) - len(piece.ids) + position + 1,
            "token": {"id": token, "text": "</s>" if special else text, "logprob": -0.5, "special": special},
            "generated_text": answer.text if ended else None,
            "details": _details(answer) if ended and answer.asked.usage else None,
        }
        events.append(sse(event))
    return events


def _details(answer: Reply) -> dict[str, Any]:
    return {
        "finish_reason": "eos_token" if answer.finish == "stop" else "length",
        "generated_tokens": len(answer.ids),
        "seed": None,
        "input_length": answer.prompt_tokens,
    }


def _whole(answer: Reply) -> Any:
    said: dict[str, Any] = {"generated_text": answer.text}
    return {**said, "details": _details(answer)} if answer.asked.usage else said


def _error(refused: ErrorReply) -> dict[str, str]:
    if refused.kind in STATUS:
        return {"error": refused.message, "error_type": refused.kind}
    if refused.status == 429:
        return {"error": "Model is overloaded", "error_type": "overloaded"}
    kind = "validation" if refused.status in (400, 404) else "generation"
    return {"error": refused.message, "error_type": kind}


def _refusal(refused: ErrorReply) -> Refusal:
    if refused.early:
        return Refusal(status=refused.status, body=refused.message.encode(), content_type="text/plain; charset=utf-8")
    error = _error(refused)
    return Refusal(status=STATUS[error["error_type"]], body=encode(error))


def _refused_stream(refused: ErrorReply) -> Refusal:
    return Refusal(status=200, body=sse(_error(refused)), content_type=EVENT_STREAM)


def _broken(answer: Reply, refused: ErrorReply) -> Events:
    return [sse(_error(refused))]


def _unreadable(words: str) -> ErrorReply:
    return ErrorReply(422, f"Failed to parse the request body as JSON: {words}", early=True)


STREAM = Format(
    read=_read,
    whole=_whole,
    refusal=_refusal,
    refused_stream=_refused_stream,
    streams=_streams,
    piece=_piece,
    broken=_broken,
    unreadable=_unreadable,
    key="inputs",
    terminal=b"",
)
WHOLE = replace(STREAM, refused_stream=None)
