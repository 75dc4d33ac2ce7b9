"""OpenAI completions: ``/v1/completions`` as vLLM and its kin speak it.

This file is the pattern for a backend: the path, a request's body, and how to read one event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pytest_vllm_bench.backends import chunk, llamacpp
from pytest_vllm_bench.backends.payload import encode, only
from pytest_vllm_bench.model import Ask, Backend


def fields(ask: Ask) -> dict[str, Any]:
    """The prompt as text or token ids; sampling is always sent, since a model's own defaults may apply."""
    prompt = ask.prompt
    return {
        "model": ask.model,
        "prompt": prompt.text if prompt.text is not None else prompt.token_ids,
        "max_tokens": ask.output_len,
        "ignore_eos": True if ask.force_length else None,
        **ask.sampling,
        "stream": ask.stream,
        "stream_options": {"include_usage": True} if ask.stream else None,  # without a stream it is refused
    }


def body(ask: Ask) -> bytes:
    return encode(fields(ask), ask.extra_body)


def bare(ask: Ask) -> Mapping[str, Any]:
    """A text that a chat template made begins with its BOS."""
    return {"add_special_tokens": False if ask.templated else None}


def body_vllm(ask: Ask) -> bytes:
    """Token ids of each chunk on request: 3 % of vLLM's token events have no text."""
    detail = {"return_token_ids": ask.token_detail or None}
    return encode({**fields(ask), **detail, **bare(ask)}, ask.extra_body)


def body_trtllm(ask: Ask) -> bytes:
    """A count in every chunk on request; unknown fields are refused, so nothing else is sent."""
    detail: Mapping[str, Any] = {}
    if ask.stream and ask.token_detail:
        detail = {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}
    return encode({**fields(ask), **detail, **bare(ask)}, ask.extra_body)


def body_llama_cpp(ask: Ask) -> bytes:
    """A count in every chunk on request, among the timings."""
    asked = replace(ask, sampling=llamacpp.renamed(ask.sampling))
    return encode({**fields(asked), "timings_per_token": ask.token_detail or None}, ask.extra_body)


def body_minimum(ask: Ask) -> bytes:
    """For servers that know a least number of tokens and no ``ignore_eos``; their streams have no usage."""
    forced = {"min_tokens": ask.output_len} if ask.force_length else {}
    forced |= {"ignore_eos": None, "stream_options": None}
    return encode({**fields(ask), **forced}, ask.extra_body)


SCALELLM_SAMPLING = frozenset(
    {
        "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "repetition_penalty", "stop",
        "stop_token_ids", "logprobs", "best_of", "n", "priority",
    }
)  # fmt: skip


def body_scalellm(ask: Ask) -> bytes:
    return body(only(ask, SCALELLM_SAMPLING))


OPENAI = Backend(
    name="openai",
    path="/v1/completions",
    body=body,
    read=chunk.read,
    takes_token_ids=True,
)
VLLM = replace(OPENAI, name="vllm", body=body_vllm, bare_text=True, token_detail=True)
LMDEPLOY = replace(
    OPENAI,
    name="lmdeploy",
    takes_token_ids=False,
    drops=frozenset({"min_tokens"}),
)
SCALELLM = replace(
    OPENAI,
    name="scalellm",
    body=body_scalellm,
    takes_token_ids=False,
    samples=SCALELLM_SAMPLING,
)
LLAMA_CPP = replace(
    OPENAI,
    name="llama.cpp",
    body=body_llama_cpp,
    token_detail=True,
    drops=llamacpp.DROPS,
)
SGLANG_OAI = replace(OPENAI, name="sglang-oai")
TRTLLM_SERVE = replace(
    OPENAI,
    name="trtllm-serve",
    body=body_trtllm,
    bare_text=True,
    token_detail=True,
)
DEEPSPEED_MII_OPENAI = replace(
    OPENAI,
    name="deepspeed-mii-openai",
    body=body_minimum,
    takes_token_ids=False,
    counts="none",
)
