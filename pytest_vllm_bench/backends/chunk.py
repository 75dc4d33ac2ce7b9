"""One payload of an OpenAI-like answer (completions or chat, a chunk or the whole) → Delta."""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from pytest_vllm_bench.backends.lenient import arguments, number, reason, said
from pytest_vllm_bench.backends.payload import aside, loads, parse, troubled
from pytest_vllm_bench.backends.usage import NO_COUNTS, Usage, counted, counts, of_request, within
from pytest_vllm_bench.model import Delta


class _Function(msgspec.Struct, gc=False):
    arguments: str | None = None


class _ToolCall(msgspec.Struct, gc=False):
    function: _Function | None = None
    custom: None = None
    arguments: None = None
    input: None = None


class _Said(msgspec.Struct, gc=False):
    """What nearly all servers say, and the names of what some do: a value there is for the lenient reading."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_ToolCall] | None = None
    text: None = None
    refusal: None = None
    audio: None = None
    function_call: None = None
    thinking: None = None
    reasoning_text: None = None
    reasoning_details: None = None


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
    metrics: Any = None  # vLLM's, of this one request


class _OddChoice(msgspec.Struct, gc=False):
    """A choice of any shape."""

    text: Any = None
    delta: dict[str, Any] | str | None = None
    message: dict[str, Any] | str | None = None
    token_ids: list[Any] | None = None
    finish_reason: Any = None


class _OddChunk(_Chunk, gc=False):
    choices: list[_OddChoice] | None = None  # type: ignore[assignment]


_decode = msgspec.json.Decoder(_Chunk).decode
_ODD = msgspec.json.Decoder(_OddChunk)
_encode = msgspec.json.Encoder().encode
_MAY_COMPLAIN = re.compile(rb'"\w*err|"exception|"fail|"success', re.I)
Said = tuple[str, str, str]  # text, thinking, calls of tools


def read(payload: bytes) -> Delta:
    """Read a chunk, a whole answer, ``[DONE]``, or an error in any shape.

    Usage is taken wherever it stands: alone, beside the last choices (then it is the answer's), or in every chunk (then
    it is the count so far); the decoder tells the two apart by what came before.
    """
    try:
        chunk = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _odd(payload)
    choices = chunk.choices
    if chunk.error or not choices or len(choices) > 1:
        return _odd(payload)
    choice = choices[0]
    spoken = choice.delta or choice.message
    if spoken is None:
        text, reasoning, tool = choice.text or "", "", ""
    else:
        text, reasoning = spoken.content or "", spoken.reasoning or spoken.reasoning_content or ""
        tool = _arguments(spoken.tool_calls) if spoken.tool_calls else ""
    if not (text or reasoning or tool) and (choice.message or choice.text or _MAY_COMPLAIN.search(payload)):
        return _odd(payload)
    if choice.finish_reason is None and chunk.usage is None and chunk.timings is None and choice.message is None:
        ids = choice.token_ids
        return Delta(text=text, reasoning=reasoning, tool=tool, tokens=None if ids is None else len(ids))
    return _with_counts(chunk, choice, (text, reasoning, tool), payload)


def _arguments(calls: list[_ToolCall]) -> str:
    return "".join(call.function.arguments or "" for call in calls if call.function is not None)


def _with_counts(chunk: _Chunk, choice: _Choice | _OddChoice, spoken: Said, payload: bytes) -> Delta:
    usage, timings, finish = chunk.usage, chunk.timings, choice.finish_reason
    if finish:  # "" before the end: TGI
        finish = reason(finish)
        usage = usage or _elsewhere(payload)
    prompt, output, other, cached, thought = NO_COUNTS if usage is None else counts(usage)
    whole = choice.message is not None and choice.delta is None and b'"chat.completion"' in payload
    return Delta(
        text=spoken[0],
        reasoning=spoken[1],
        tool=spoken[2],
        tokens=None if choice.token_ids is None else len(choice.token_ids),
        total_tokens=number(timings.get("predicted_n")) if usage is None and timings else output,  # llama.cpp
        cumulative=whole,
        whole=whole,
        prompt_tokens=prompt,
        output_tokens=output,
        other_tokens=other,
        cached_tokens=cached,
        reasoning_tokens=thought,
        finish_reason=finish or None,
        server=timings or of_request(chunk.metrics),
    )


def _odd(payload: bytes) -> Delta:
    """A chunk of another shape than nearly all have, or without a choice: each field by itself, as far as it goes."""
    chunk = parse(_ODD, payload)
    if type(chunk) is not _OddChunk:
        return cast(Delta, chunk)
    if chunk.error and (trouble := troubled(payload, silent=False)) is not None:
        return trouble
    if not chunk.choices:
        usage = chunk.usage or _elsewhere(payload)
        told = chunk.timings or of_request(chunk.metrics)
        return aside(payload) if usage is None and told is None else counted(usage or Usage(), told)
    if len(chunk.choices) > 1:
        return _together(chunk, chunk.choices)
    choice = chunk.choices[0]
    spoken = _spoken(choice)
    if not any(spoken) and (trouble := troubled(payload, silent=False)) is not None:
        return trouble
    return _with_counts(chunk, choice, spoken, payload)


def _spoken(choice: _OddChoice) -> Said:
    for spoken in (choice.delta, choice.message, choice.text):
        if spoken:
            text, reasoning = said(spoken)
            calls = spoken.get("tool_calls") or spoken.get("function_call") if isinstance(spoken, dict) else None
            tool = arguments(calls)
            if text or reasoning or tool:
                return text, reasoning, tool
    return "", "", ""


def _together(chunk: _OddChunk, choices: list[_OddChoice]) -> Delta:
    """Several choices (n > 1) as one."""
    alone = [_OddChunk(choices=[choice]) for choice in choices]
    alone[0].usage, alone[0].timings, alone[0].metrics = chunk.usage, chunk.timings, chunk.metrics
    deltas = [read(_encode(one)) for one in alone]
    return replace(
        deltas[0],
        text="".join(delta.text for delta in deltas),
        reasoning="".join(delta.reasoning for delta in deltas),
        tool="".join(delta.tool for delta in deltas),
        tokens=sum(delta.tokens or 0 for delta in deltas) or deltas[0].tokens,
        finish_reason=next((delta.finish_reason for delta in deltas if delta.finish_reason), None),
        error=next((delta.error for delta in deltas if delta.error), None),
    )


def _elsewhere(payload: bytes) -> Usage | None:
    return within(loads(payload)) if b"_tokens" in payload else None
