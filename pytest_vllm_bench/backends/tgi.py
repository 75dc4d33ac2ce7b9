"""HuggingFace TGI: ``/generate_stream``, one token an event, its id with it."""

from __future__ import annotations

from typing import Any

import msgspec

from pytest_vllm_bench.backends.lenient import reason
from pytest_vllm_bench.backends.payload import encode, only, reads
from pytest_vllm_bench.model import Ask, Backend, Delta

_SAMPLES = frozenset(
    {
        "temperature", "top_p", "top_k", "typical_p", "repetition_penalty", "frequency_penalty", "seed", "stop",
        "truncate", "watermark", "top_n_tokens", "grammar",
    }
)  # fmt: skip


def body(ask: Ask) -> bytes:
    """Greedy is said by ``do_sample``: a temperature of 0 and a top_p of 1 are errors here."""
    sampling = dict(only(ask, _SAMPLES).sampling)
    greedy = not sampling["temperature"] if "temperature" in sampling else None  # left out: the server's own way
    if greedy:
        del sampling["temperature"]
    if sampling.get("top_p", 0) >= 1:
        del sampling["top_p"]
    if sampling.get("top_k", 1) <= 0:
        del sampling["top_k"]
    parameters = {
        "max_new_tokens": ask.output_len,
        "details": True,
        "do_sample": None if greedy is None else not greedy,
        **sampling,
    }
    fields = {"inputs": ask.prompt.text, "parameters": {k: v for k, v in parameters.items() if v is not None}}
    return encode(fields, ask.extra_body)


class _Token(msgspec.Struct, gc=False):
    text: str = ""
    special: bool = False


class _Details(msgspec.Struct, gc=False):
    generated_tokens: int | None = None
    input_length: int | None = None
    finish_reason: Any = None


class _Event(msgspec.Struct, gc=False):
    token: _Token | None = None
    generated_text: str | None = None
    details: _Details | None = None
    error: Any = None


@reads(_Event, silent=lambda event: event.token is None and event.generated_text is None)
def read(event: _Event) -> Delta:
    """The last event has the last token *and* the whole text: only the token is new.  Special tokens have no text."""
    token = event.token
    details = event.details or _Details()
    if token is None:  # /generate: nothing was streamed
        text, tokens = event.generated_text or "", None
    else:
        text, tokens = "" if token.special else token.text, 1
    return Delta(
        text=text,
        tokens=tokens,
        prompt_tokens=details.input_length,
        output_tokens=details.generated_tokens,
        finish_reason=reason(details.finish_reason) if details.finish_reason else None,
        terminal=event.generated_text is not None,
    )


TGI = Backend(
    name="tgi",
    path="/generate_stream",
    body=body,
    read=read,
    forces_length=False,
    token_detail=True,
    counts="counter",
    samples=_SAMPLES,
    names_model=False,
    sign=b'"generated_text":"',
)
