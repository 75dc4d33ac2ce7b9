"""llama.cpp's own ``/completion``: a running count in every event, the server's timings in the last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pytest_vllm_bench.backends.lenient import number
from pytest_vllm_bench.backends.payload import encode, reads
from pytest_vllm_bench.model import Ask, Backend, Delta

_RENAMED = {"repetition_penalty": "repeat_penalty"}
#: What it takes and does not know.
DROPS = frozenset({"min_tokens", "stop_token_ids"})
_REASONS = {"limit": "length", "eos": "stop", "word": "stop"}


def body(ask: Ask) -> bytes:
    fields = {
        "prompt": ask.prompt.text if ask.prompt.text is not None else ask.prompt.token_ids,
        "n_predict": ask.output_len,
        "ignore_eos": True if ask.force_length else None,
        **renamed(ask.sampling),
        "stream": ask.stream,
    }
    return encode(fields, ask.extra_body)


def renamed(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Sampling under this server's names, on whichever path."""
    return {_RENAMED.get(key, key): value for key, value in sampling.items()}


class _Event(msgspec.Struct, gc=False):
    content: str | None = None
    stop: bool = False
    stop_type: str | None = None
    tokens_predicted: int | None = None
    tokens_evaluated: int | None = None
    timings: dict[str, Any] | None = None
    error: Any = None


@reads(_Event, silent=lambda event: event.content is None and not event.stop)
def read(event: _Event) -> Delta:
    """A character that is not whole is held back: the count rises without text, at the end too."""
    if not event.stop:
        return Delta(text=event.content or "", total_tokens=event.tokens_predicted)
    timings = event.timings or {}
    return Delta(
        text=event.content or "",
        total_tokens=event.tokens_predicted,
        prompt_tokens=event.tokens_evaluated,
        cached_tokens=number(timings.get("cache_n")),
        finish_reason=_REASONS.get(event.stop_type or "", "stop"),
        terminal=True,
        server=event.timings,
    )


LLAMA_CPP_NATIVE = Backend(
    name="llama.cpp-native",
    path="/completion",
    body=body,
    read=read,
    takes_token_ids=True,
    token_detail=True,
    counts="counter",
    drops=DROPS,
    names_model=False,
    sign=b'"stop":true',
)
