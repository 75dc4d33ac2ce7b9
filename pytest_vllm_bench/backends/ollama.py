"""Ollama's own ``/api/generate``: a line of JSON an event, its timings in the last one."""

from __future__ import annotations

from typing import Any

import msgspec

from pytest_vllm_bench.backends.payload import encode, only, reads
from pytest_vllm_bench.model import Ask, Backend, Delta

_SAMPLES = frozenset(
    {
        "temperature", "top_k", "top_p", "min_p", "typical_p", "seed", "stop", "repeat_last_n", "repetition_penalty",
        "presence_penalty", "frequency_penalty",
    }
)  # fmt: skip
_RENAMED = {"repetition_penalty": "repeat_penalty"}
_TIMINGS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


def body(ask: Ask) -> bytes:
    """``raw``: no template around the prompt, so that its length is the one asked for."""
    sampling = {_RENAMED.get(key, key): value for key, value in only(ask, _SAMPLES).sampling.items()}
    options = {"num_predict": ask.output_len, **sampling}
    fields = {
        "model": ask.model,
        "prompt": ask.prompt.text,
        "raw": True,
        "stream": ask.stream,
        "options": {key: value for key, value in options.items() if value is not None},
    }
    return encode(fields, ask.extra_body)


class _Line(msgspec.Struct, gc=False):
    response: str | None = None
    thinking: str | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    total_duration: int | None = None  # nanoseconds, like the next three
    load_duration: int | None = None
    prompt_eval_duration: int | None = None
    eval_duration: int | None = None
    error: Any = None


@reads(_Line, silent=lambda line: line.response is None and line.thinking is None and not line.done)
def read(line: _Line) -> Delta:
    """Zeros are left out by the server; the last line may hold a context of many kilobytes, which is skipped."""
    if not line.done:
        return Delta(text=line.response or "", reasoning=line.thinking or "")
    timings = {f"{name}_ns": value for name in _TIMINGS if (value := getattr(line, name)) is not None}
    return Delta(
        text=line.response or "",
        reasoning=line.thinking or "",
        prompt_tokens=line.prompt_eval_count,
        output_tokens=line.eval_count,
        finish_reason=line.done_reason or "stop",
        terminal=True,
        server=timings or None,
    )


OLLAMA = Backend(
    name="ollama",
    path="/api/generate",
    body=body,
    read=read,
    framing="ndjson",
    forces_length=False,
    counts="counter",
    samples=_SAMPLES,
    sign=b'"done":true',
)
