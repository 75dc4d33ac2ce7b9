"""One payload of an OpenAI-like answer (completions or chat, a chunk or the whole) → Delta."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from pytest_vllm_bench.backends.payload import aside, parse
from pytest_vllm_bench.model import Delta


class _PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None


class Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


class _Function(msgspec.Struct, gc=False):
    arguments: str | None = None


class _ToolCall(msgspec.Struct, gc=False):
    function: _Function | None = None


class _Said(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct, gc=False):
    text: str | None = None
    delta: _Said | None = None
    message: _Said | None = None
    token_ids: list[int] | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Usage | None = None
    error: Any = None
    timings: dict[str, Any] | None = None


_DECODER = msgspec.json.Decoder(_Chunk)
_decode = _DECODER.decode


def read(payload: bytes) -> Delta:
    """Read a chunk, a whole answer, ``[DONE]``, or an error in any shape.

    Usage is taken wherever it stands: alone, beside the last choices (then it is the answer's), or in every chunk (then
    it is the count so far); the decoder tells the two apart by what came before.
    """
    try:
        chunk = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        lenient = parse(_DECODER, payload)
        if type(lenient) is not _Chunk:
            return cast(Delta, lenient)
        chunk = lenient
    usage, choices = chunk.usage, chunk.choices
    if chunk.error is not None:
        return aside(payload)
    if not choices:
        return aside(payload) if usage is None else counted(usage, chunk.timings)
    choice = choices[0]
    said = choice.delta or choice.message
    if said is None:
        text, reasoning, tool = choice.text or "", "", ""
    else:
        text, reasoning = said.content or "", said.reasoning or said.reasoning_content or ""
        tool = _arguments(said.tool_calls) if said.tool_calls else ""
    ids = choice.token_ids
    delta = Delta(
        text=text,
        reasoning=reasoning,
        tool=tool,
        tokens=None if ids is None else len(ids),
        finish_reason=choice.finish_reason or None,  # "" before the end: TGI
    )
    if usage is None and chunk.timings is None:
        return delta
    beside = counted(usage or Usage(), chunk.timings)
    running = beside.output_tokens if usage is not None else (chunk.timings or {}).get("predicted_n")  # llama.cpp
    return replace(
        delta,
        total_tokens=running,
        prompt_tokens=beside.prompt_tokens,
        output_tokens=beside.output_tokens,
        cached_tokens=beside.cached_tokens,
        reasoning_tokens=beside.reasoning_tokens,
        server=beside.server,
    )


def counted(usage: Usage, timings: Mapping[str, Any] | None = None) -> Delta:
    """The counts of a usage object that stands alone."""
    prompt, output = usage.prompt_tokens_details, usage.completion_tokens_details
    return Delta(
        choices=False,
        prompt_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cached_tokens=None if prompt is None else prompt.cached_tokens,
        reasoning_tokens=None if output is None else output.reasoning_tokens,
        server=timings,
    )


def _arguments(calls: list[_ToolCall]) -> str:
    return "".join(call.function.arguments or "" for call in calls if call.function is not None)
