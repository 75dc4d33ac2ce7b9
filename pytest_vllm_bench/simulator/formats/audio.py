"""Transcriptions and translations, as vLLM, OpenAI and transformers stream them → Format; requests are forms."""

from __future__ import annotations

import io
import wave
from functools import partial
from typing import Any

from pytest_vllm_bench.simulator.formats.dialects import Dialect
from pytest_vllm_bench.simulator.formats.openai import broken, refusal, usage
from pytest_vllm_bench.simulator.formats.shape import (
    CREATED,
    DONE,
    Call,
    ErrorReply,
    Events,
    Format,
    Reply,
    ReplyPiece,
    SimulatedRequest,
    sse,
)

WINDOW_S = 30.0  # longer audio is cut into pieces, whose streams follow one another
TOKENS_PER_S = 50  # of audio, in the prompt


def seconds(data: bytes) -> float:
    """How long a clip is: a WAV says so; else one second for every 32,000 bytes."""
    try:
        with wave.open(io.BytesIO(data)) as clip:
            return float(clip.getnframes() / clip.getframerate())
    except (wave.Error, EOFError):
        return len(data) / 32_000


def _read(call: Call) -> SimulatedRequest:
    form = call.body
    if not isinstance(form.get("file"), bytes):
        raise ErrorReply(400, "1 validation error:\n  file: Field required", param="file")
    stream = _streams(call)
    if form.get("stream_include_usage") and not stream:
        raise ErrorReply(400, "Stream options can only be defined when `stream=True`.", param="stream_options")
    if stream and form.get("response_format") == "verbose_json":
        raise ErrorReply(400, "verbose_json is not supported with stream", param="response_format")
    spoken = seconds(form["file"])
    limit = form.get("max_completion_tokens", "")
    if limit and not limit.isdecimal():
        said = "1 validation error:\n  max_completion_tokens: Input should be a valid integer"
        raise ErrorReply(400, said, param="max_completion_tokens")
    return SimulatedRequest(
        prompts=(form.get("prompt") or "<|startoftranscript|>",),
        model=form.get("model"),
        max_tokens=int(limit) if limit else max(1, min(440, round(3 * spoken))),
        usage=form.get("stream_include_usage") == "true",
        extra_tokens=round(TOKENS_PER_S * spoken),
        call=call,
    )


def _streams(call: Call) -> bool:
    return str(call.body.get("stream", "")).lower() == "true"


def _task(answer: Reply) -> str:
    return "translation" if answer.asked.call.path.endswith("translations") else "transcription"


def _chunk(answer: Reply, choices: list[Any], **more: Any) -> dict[str, Any]:
    task = _task(answer)
    name = "translate" if task == "translation" else "transcribe"
    head = {"id": f"{name}-{answer.id}", "object": f"{task}.chunk", "created": CREATED, "model": answer.model}
    return {**head, "choices": choices, **more}


def _piece(answer: Reply, piece: ReplyPiece) -> Events:
    """No index, no role; a token without text is no chunk; every window of the audio has a finish reason."""
    window = int(seconds(answer.asked.call.body["file"]) / WINDOW_S * len(answer.ids) / (answer.asked.max_tokens or 1))
    ended = piece.last or window > answer.state.setdefault("window", 0)
    answer.state["window"] = window
    if not piece.text and not ended:
        return []
    choice: dict[str, Any] = {"delta": {"content": piece.text}}
    if ended:
        choice |= {"finish_reason": answer.finish or "stop", "stop_reason": None}
    return [sse(_chunk(answer, [choice]))]


def _closing(answer: Reply) -> Events:
    counted = [sse(_chunk(answer, [], usage=usage(answer)))] if answer.asked.usage else []
    return [*counted, DONE]


def _piece_openai(answer: Reply, piece: ReplyPiece) -> Events:
    return [sse({"type": "transcript.text.delta", "delta": piece.text})] if piece.text else []


def _closing_openai(answer: Reply) -> Events:
    counts = {"type": "tokens", "input_tokens": answer.prompt_tokens, "output_tokens": len(answer.ids)}
    return [sse({"type": "transcript.text.done", "text": answer.text, "usage": counts})]


def _piece_raw(answer: Reply, piece: ReplyPiece) -> Events:
    """transformers serve: the bare text, which is not JSON."""
    return [f"data: {piece.text}\n\n".encode()] if piece.text.strip() else []


def _whole(answer: Reply) -> Any:
    spoken = seconds(answer.asked.call.body["file"])
    return {"text": answer.text, "usage": {"type": "duration", "seconds": max(1, round(spoken))}}


def audio(name: str, dialect: Dialect) -> Format:
    """Both paths in a dialect; most have vLLM's."""
    piece, closing, terminal = _piece, _closing, DONE
    if name == "openai":
        piece, closing, terminal = _piece_openai, _closing_openai, b""
    elif name == "transformers":
        piece, closing, terminal = _piece_raw, lambda answer: (), b""
    return Format(
        read=_read,
        whole=_whole,
        refusal=partial(refusal, dialect),
        streams=_streams,
        piece=piece,
        closing=closing,
        broken=partial(broken, dialect),
        terminal=terminal,
        json_only=False,
    )
