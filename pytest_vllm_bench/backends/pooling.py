"""Answers without tokens: embeddings, pooling and reranking, as OpenAI, vLLM and infinity serve them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import msgspec

from pytest_vllm_bench.backends.chat import messages
from pytest_vllm_bench.backends.payload import aside, encode, parse
from pytest_vllm_bench.backends.usage import Usage, counted
from pytest_vllm_bench.model import Ask, Backend, Delta


def body(ask: Ask) -> bytes:
    """A batch of texts, one text, token ids, or messages (vLLM embeds those too)."""
    prompt = ask.prompt
    fields: dict[str, Any] = {"model": ask.model}
    if prompt.messages is not None or prompt.media:
        fields["messages"] = messages(prompt)
    else:
        fields["input"] = prompt.inputs or prompt.token_ids or prompt.text or ""
    return encode(fields, ask.extra_body)


def body_rerank(ask: Ask) -> bytes:
    """One query and the documents to be ranked by it."""
    query = ask.prompt.text or ""
    return encode({"model": ask.model, "query": query, "documents": ask.prompt.inputs or [query]}, ask.extra_body)


class _Pooled(msgspec.Struct, gc=False):
    """That an input's answer is there is all that counts; the numbers are skipped, not read."""

    data: list[msgspec.Raw] | None = None
    results: list[msgspec.Raw] | None = None
    embeddings: list[msgspec.Raw] | None = None
    usage: Usage | None = None
    error: Any = None


_DECODER = msgspec.json.Decoder(_Pooled)


def read(payload: bytes) -> Delta:
    pooled = parse(_DECODER, payload)
    if type(pooled) is not _Pooled:
        return cast(Delta, pooled)
    items = next((found for found in (pooled.results, pooled.data, pooled.embeddings) if found is not None), None)
    if pooled.error or items is None:
        told = aside(payload)
        if told.error is not None:
            return told
        if items is None:
            return Delta(choices=False, error="neither data nor results", error_kind="protocol")
    usage = pooled.usage or Usage()
    prompt = counted(usage).prompt_tokens
    return Delta(
        prompt_tokens=usage.total_tokens if prompt is None else prompt,
        sequences=len(items),
        terminal=True,
    )


OPENAI_EMBEDDINGS = Backend(
    name="openai-embeddings",
    path="/v1/embeddings",
    body=body,
    read=read,
    framing="json",
    terminal="end",
    forces_length=False,
    takes_token_ids=True,
    generates=False,
    batch="inputs",
)
VLLM_POOLING = replace(
    OPENAI_EMBEDDINGS,
    name="vllm-pooling",
    path="/pooling",
    takes_media=frozenset({"image"}),
)
INFINITY = replace(
    OPENAI_EMBEDDINGS,
    name="infinity",
    path="/embeddings",
    takes_token_ids=False,
)
VLLM_RERANK = replace(
    OPENAI_EMBEDDINGS,
    name="vllm-rerank",
    path="/v1/rerank",
    body=body_rerank,
    takes_token_ids=False,
    batch="documents",
)
