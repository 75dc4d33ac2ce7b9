"""OpenAI completions: ``/v1/completions`` as vLLM and its kin speak it.

This file is the pattern for a backend: the path, a request's body, and how to read one event.
"""

from __future__ import annotations

from dataclasses import replace

from pytest_vllm_bench.backends import chunk
from pytest_vllm_bench.backends.payload import encode
from pytest_vllm_bench.model import Ask, Backend


def body(ask: Ask) -> bytes:
    """The prompt as text or token ids; sampling is always sent, since a model's own defaults may apply."""
    prompt = ask.prompt
    fields = {
        "model": ask.model,
        "prompt": prompt.text if prompt.text is not None else prompt.token_ids,
        "max_tokens": ask.output_len,
        "ignore_eos": True if ask.force_length else None,
        **ask.sampling,
        "stream": ask.stream,
        "stream_options": {"include_usage": True} if ask.stream else None,  # without a stream it is refused
    }
    return encode(fields, ask.extra_body)


def body_with_ids(ask: Ask) -> bytes:
    """Also asks vLLM for the token ids of each chunk: 3 % of its token events have no text."""
    extra = {**({"return_token_ids": True} if ask.token_detail else {}), **ask.extra_body}
    return body(replace(ask, extra_body=extra))


OPENAI = Backend(
    name="openai",
    path="/v1/completions",
    body=body,
    read=chunk.read,
    takes_token_ids=True,
    about="backends.about.openai",
)
VLLM = replace(OPENAI, name="vllm", body=body_with_ids, token_detail=True, about="backends.about.vllm")
