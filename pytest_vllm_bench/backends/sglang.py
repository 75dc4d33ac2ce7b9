"""SGLang's own ``/generate``: all the text so far in every event, counts beside it."""

from __future__ import annotations

from typing import Any

import msgspec

from pytest_vllm_bench.backends.complaints import capped, shed
from pytest_vllm_bench.backends.lenient import reason
from pytest_vllm_bench.backends.payload import encode, reads
from pytest_vllm_bench.model import Ask, Backend, Delta, ErrorKind

_RENAMED = {"seed": "sampling_seed", "min_tokens": "min_new_tokens"}


def body(ask: Ask) -> bytes:
    prompt = ask.prompt
    sampling = {_RENAMED.get(key, key): value for key, value in ask.sampling.items()}
    parameters = {"max_new_tokens": ask.output_len, "ignore_eos": True if ask.force_length else None, **sampling}
    fields = {
        "text": prompt.text,
        "input_ids": prompt.token_ids if prompt.text is None else None,
        "sampling_params": {key: value for key, value in parameters.items() if value is not None},
        "stream": ask.stream,
    }
    return encode(fields, ask.extra_body)


class _Meta(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    finish_reason: Any = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    e2e_latency: float | None = None
    queue_time: float | None = None


_TIMES = ("e2e_latency", "queue_time")  # seconds


class _Event(msgspec.Struct, gc=False):
    text: str | None = None
    output_ids: msgspec.Raw = msgspec.Raw(b"null")  # as long as the answer in every event: counted, not read
    meta_info: _Meta | None = None
    error: Any = None


@reads(_Event, silent=lambda event: event.meta_info is None and event.text is None)
def read(event: _Event) -> Delta:
    """Fewer ids than tokens so far: the server was told to send deltas, and the text is one too."""
    meta = event.meta_info or _Meta()
    finish = reason(meta.finish_reason) if meta.finish_reason else None
    if finish == "abort":
        said = meta.finish_reason if isinstance(meta.finish_reason, dict) else {}
        kind: ErrorKind = "rejected" if shed(said.get("status_code")) else "in_stream"
        return Delta(choices=False, error=capped(said.get("message") or "abort"), error_kind=kind)
    ids = bytes(event.output_ids)
    seen = 0 if ids in (b"null", b"[]") else ids.count(b",") + 1
    return Delta(
        text=event.text or "",
        cumulative=not 0 < seen < (meta.completion_tokens or 0),
        total_tokens=meta.completion_tokens,
        prompt_tokens=meta.prompt_tokens,
        cached_tokens=meta.cached_tokens,
        reasoning_tokens=meta.reasoning_tokens,
        finish_reason=finish,
        server={key: value for key in _TIMES if (value := getattr(meta, key)) is not None} or None,
    )


SGLANG = Backend(
    name="sglang",
    path="/generate",
    body=body,
    read=read,
    takes_token_ids=True,
    token_detail=True,
    counts="counter",
    names_model=False,
)
