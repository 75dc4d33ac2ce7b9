"""Embeddings, pooling and reranking, as OpenAI, vLLM, infinity and llama.cpp serve them → Formats without tokens."""

from __future__ import annotations

import base64
import random
import struct
import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from pytest_vllm_bench.simulator.formats.dialects import Dialect
from pytest_vllm_bench.simulator.formats.openai import messages, refusal
from pytest_vllm_bench.simulator.formats.shape import (
    CREATED,
    Call,
    ErrorReply,
    Format,
    Reply,
    SimulatedRequest,
    media_tokens,
    never,
    text_of,
)

WIDTH = 64  # numbers in an embedding
Prompt = str | tuple[int, ...]


def _read(call: Call) -> SimulatedRequest:
    """One text, one list of ids, a batch of either, or messages."""
    body = call.body
    if "messages" in body:
        said = messages(body)
        prompts: tuple[Prompt, ...] = (text_of(said),)
        return SimulatedRequest(
            prompts=prompts, model=body.get("model"), kind="pool", extra_tokens=media_tokens(said), call=call
        )
    return SimulatedRequest(prompts=_inputs(body.get("input")), model=body.get("model"), kind="pool", call=call)


def _inputs(given: Any) -> tuple[Prompt, ...]:
    if isinstance(given, str) and given:
        return (given,)
    if isinstance(given, list) and given:
        if all(isinstance(i, int) for i in given):
            return (tuple(given),)
        if all(isinstance(i, str) or (isinstance(i, list) and i) for i in given):
            return tuple(i if isinstance(i, str) else tuple(i) for i in given)
    raise ErrorReply(400, "1 validation error:\n  input: a text, token ids, or a list of them", param="input")


def _read_rerank(call: Call) -> SimulatedRequest:
    body = call.body
    query, documents = body.get("query"), body.get("documents")
    if not isinstance(query, str) or not isinstance(documents, list) or not documents:
        raise ErrorReply(400, "1 validation error:\n  query and documents: Field required", param="documents")
    pairs = tuple(f"{query}\n{document}" for document in documents)
    return SimulatedRequest(prompts=pairs, model=body.get("model"), kind="pool", call=call)


def _numbers(prompt: Prompt, count: int) -> list[float]:
    """The same for the same prompt, in every process."""
    draw = random.Random(zlib.crc32(repr(prompt).encode()))
    return [round(draw.uniform(-1, 1), 6) for _ in range(count)]


def _counts(answer: Reply) -> dict[str, int]:
    return {"prompt_tokens": answer.prompt_tokens, "total_tokens": answer.prompt_tokens}


def _whole(kind: str, answer: Reply) -> Any:
    width = answer.asked.call.body.get("dimensions") or WIDTH
    packed = answer.asked.call.body.get("encoding_format") == "base64"
    data = []
    for index, prompt in enumerate(answer.asked.prompts):
        numbers: Any = _numbers(prompt, width)
        if packed:
            numbers = base64.b64encode(struct.pack(f"<{width}f", *numbers)).decode()
        data.append({"index": index, "object": kind, "data" if kind == "pooling" else kind: numbers})
    head = {"id": f"embd-{answer.id}", "object": "list", "created": CREATED, "model": answer.model}
    return {**head, "data": data, "usage": {**_counts(answer), "completion_tokens": 0}}


def _whole_rerank(answer: Reply) -> Any:
    """Sorted by score, so that only ``index`` tells which document it is."""
    scores = [_numbers(pair, 1)[0] for pair in answer.asked.prompts]
    order = sorted(range(len(scores)), key=lambda i: -scores[i])[: answer.asked.call.body.get("top_n") or None]
    documents = answer.asked.call.body["documents"]
    results = [
        {"index": i, "document": {"text": documents[i], "multi_modal": None}, "relevance_score": scores[i]}
        for i in order
    ]
    return {"id": f"score-{answer.id}", "model": answer.model, "usage": _counts(answer), "results": results}


def _whole_llama(answer: Reply) -> Any:
    """llama.cpp: no id, and no documents."""
    whole = _whole_rerank(answer)
    results = [{"index": r["index"], "relevance_score": r["relevance_score"]} for r in whole["results"]]
    return {"model": answer.model, "object": "list", "usage": _counts(answer), "results": results}


def paths(dialect: Dialect, *, llama: bool = False) -> Mapping[str, Format]:
    """Path → Format; ``llama``: reranking as llama.cpp words it."""
    embeddings = Format(
        read=_read, whole=partial(_whole, "embedding"), refusal=partial(refusal, dialect), streams=never
    )
    rerank = replace(embeddings, read=_read_rerank, whole=_whole_llama if llama else _whole_rerank)
    return {
        "/v1/embeddings": embeddings,
        "/embeddings": embeddings,  # infinity's
        "/pooling": replace(embeddings, whole=partial(_whole, "pooling")),
        **dict.fromkeys(("/v1/rerank", "/rerank", "/v2/rerank"), rerank),
    }
