"""A server's usage object, under whatever names → the counts of a Delta."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pytest_vllm_bench.backends.lenient import fitted, type_of
from pytest_vllm_bench.model import Delta


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    prompt_cache_hit_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


_NAMES = frozenset(Usage.__struct_fields__)
_NONE = _Details()


Counts = tuple[int | None, int | None, int | None, int | None, int | None]
NO_COUNTS: Counts = (None,) * 5


def of_request(metrics: Any) -> Mapping[str, Any] | None:
    """vLLM's times of one request (``--enable-per-request-metrics``); null where it made several answers of it."""
    return metrics if isinstance(metrics, dict) and metrics else None


def counted(usage: Usage, timings: Mapping[str, Any] | None = None) -> Delta:
    """A usage object that stands alone."""
    prompt, output, other, cached, reasoning = counts(usage)
    return Delta(
        choices=False,
        prompt_tokens=prompt,
        output_tokens=output,
        other_tokens=other,
        cached_tokens=cached,
        reasoning_tokens=reasoning,
        server=timings,
    )


def counts(usage: Usage) -> Counts:
    """Tokens of the prompt; made, and what else the sum says of those; of the prompt cached; of those made, thought."""
    prompt, output, total = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
    read = usage.prompt_tokens_details or usage.input_tokens_details or _NONE
    made = usage.completion_tokens_details or usage.output_tokens_details or _NONE
    reasoning, cached = made.reasoning_tokens, read.cached_tokens
    # Nought under one name may mean that the count stands under another.
    if not prompt and usage.input_tokens is not None:
        prompt = usage.input_tokens
    if not output and usage.output_tokens is not None:
        output = usage.output_tokens
    if not reasoning and usage.reasoning_tokens is not None:
        reasoning = usage.reasoning_tokens
    if not cached:
        apart = usage.cached_tokens or usage.cache_read_input_tokens or usage.prompt_cache_hit_tokens
        cached = cached if apart is None else apart
    if cached and prompt and cached > prompt:  # some count as prompt what was not cached
        prompt, cached = _prompt(usage, prompt, cached, output or 0)
    summed = total - prompt if total and prompt and total > prompt else None
    if summed is None or summed == output:  # more thought than made is counted apart, whatever the sum says
        apart = output + reasoning if output and reasoning and reasoning > output else None
        return prompt, output if summed else apart or output, apart if summed else None, cached, reasoning
    if not output or summed == output + (reasoning or 0):  # only the sum is told, or what was thought is counted apart
        return prompt, summed, None, cached, reasoning
    return prompt, output, summed, cached, reasoning


def _prompt(usage: Usage, prompt: int, cached: int, output: int) -> tuple[int, int | None]:
    """The whole prompt and what of it was cached, where that seems to be more; None: that cannot be."""
    whole = prompt + cached
    apart = usage.cache_read_input_tokens == cached or usage.total_tokens == whole + output
    return (whole, cached) if apart else (prompt, None)


def within(answer: Any, depth: int = 2) -> Usage | None:
    """The usage object that stands somewhere in an answer: in ``x_groq``, ``metadata``, ``meta_info`` …"""
    if not isinstance(answer, Mapping) or depth < 0:
        return None
    if any(name in answer and isinstance(answer[name], int) for name in _NAMES):
        found: Usage | None = fitted(answer, type_of(Usage))
        return found
    return next((found for value in answer.values() if (found := within(value, depth - 1)) is not None), None)
