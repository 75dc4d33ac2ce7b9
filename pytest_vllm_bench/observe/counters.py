"""A server's /metrics before and after the measured requests → what it counted itself, under one set of names.

``server.x`` in rules is a key of ``deltas``.  Families are summed over their labels (engines, models, reasons).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from pytest_vllm_bench.errors import ServerError
from pytest_vllm_bench.model import Message, Observed, Target
from pytest_vllm_bench.observe.pages import fetch

#: Seconds and bytes: a server that takes longer to say what it counted, or says more, is done without.
PATIENCE = 5.0
MOST_BYTES = 16 << 20
#: Times the page is read, each on a connection of its own: behind a load balancer they are not of one server.
LOOKS = 4

_LINE = re.compile(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*")
_STARTED = "process_start_time_seconds"

#: Our name → the families that count it, as vLLM, SGLang, LMDeploy, TGI, llama.cpp and Triton call them; the first
#: that is there counts.  All only ever rise.
COUNTERS: Mapping[str, tuple[str, ...]] = {
    "requests": (
        "vllm:request_success_total",
        "sglang:num_requests_total",
        "lmdeploy:request_success_total",
        "tgi_request_success",
        "nv_inference_request_success",
    ),
    "prompt_tokens": (
        "vllm:prompt_tokens_total",
        "sglang:prompt_tokens_total",
        "lmdeploy:prompt_tokens_total",
        "tgi_request_input_length_sum",
        "llamacpp:prompt_tokens_total",
    ),
    "generation_tokens": (
        "vllm:generation_tokens_total",
        "sglang:generation_tokens_total",
        "lmdeploy:generation_tokens_total",
        "tgi_request_generated_tokens_sum",
        "llamacpp:tokens_predicted_total",
    ),
    "prefix_cache_queries": (
        "vllm:prefix_cache_queries_total",
        "vllm:gpu_prefix_cache_queries_total",
        "vllm:prefix_cache_queries",
        "vllm:gpu_prefix_cache_queries",
    ),
    "prefix_cache_hits": (
        "vllm:prefix_cache_hits_total",
        "vllm:gpu_prefix_cache_hits_total",
        "vllm:prefix_cache_hits",
        "vllm:gpu_prefix_cache_hits",
        "sglang:cached_tokens_total",
        "lmdeploy:prefix_cache_hits_total",
        "llamacpp:prompt_tokens_cached_total",
        "dynamo_frontend_cached_tokens_sum",
    ),
    # Beyond the engine's own memory: offloaded, shared, or of a connector.
    "external_cache_queries": (
        "vllm:external_prefix_cache_queries_total",
        "vllm:external_prefix_cache_queries",
        "vllm:cpu_prefix_cache_queries_total",
        "lmcache:num_requested_tokens_total",
        "lmcache:num_requested_tokens",
    ),
    "external_cache_hits": (
        "vllm:external_prefix_cache_hits_total",
        "vllm:external_prefix_cache_hits",
        "vllm:cpu_prefix_cache_hits_total",
        "lmcache:num_hit_tokens_total",
        "lmcache:num_hit_tokens",
    ),
    # Of images, clips and films, not tokens.
    "media_cache_queries": ("vllm:mm_cache_queries_total", "vllm:mm_cache_queries"),
    "media_cache_hits": ("vllm:mm_cache_hits_total", "vllm:mm_cache_hits"),
    "preemptions": ("vllm:num_preemptions_total",),
    "draft_tokens": ("vllm:spec_decode_num_draft_tokens_total",),
    "accepted_tokens": ("vllm:spec_decode_num_accepted_tokens_total",),
}

#: Our name → histograms of seconds whose mean it is.
MEANS: Mapping[str, tuple[str, ...]] = {
    "mean_ttft_ms": (
        "vllm:time_to_first_token_seconds",
        "sglang:time_to_first_token_seconds",
        "lmdeploy:time_to_first_token_seconds",
    ),
    "mean_itl_ms": (
        "vllm:inter_token_latency_seconds",
        "vllm:time_per_output_token_seconds",
        "sglang:inter_token_latency_seconds",
        "sglang:time_per_output_token_seconds",
        "lmdeploy:time_per_output_token_seconds",
        "tgi_request_mean_time_per_token_duration",
    ),
    "mean_e2el_ms": (
        "vllm:e2e_request_latency_seconds",
        "sglang:e2e_request_latency_seconds",
        "lmdeploy:e2e_request_latency_seconds",
        "tgi_request_duration",
    ),
    "mean_queue_ms": (
        "vllm:request_queue_time_seconds",
        "lmdeploy:request_queue_time_seconds",
        "tgi_request_queue_duration",
    ),
}

#: Part ÷ whole of two counters of ours.
RATIOS: Mapping[str, tuple[str, str]] = {
    "prefix_cache_hit_rate": ("prefix_cache_hits", "prefix_cache_queries"),
    "external_cache_hit_rate": ("external_cache_hits", "external_cache_queries"),
    "media_cache_hit_rate": ("media_cache_hits", "media_cache_queries"),
    "acceptance_rate": ("accepted_tokens", "draft_tokens"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One page: family → its value summed over labels, and when the server's processes were started.

    ``several``: pages read one after another were not of one server.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    started: frozenset[float] = frozenset()
    several: bool = False


class Counters:
    """What the server counts itself, read before and after the load, never between."""

    def __init__(self) -> None:
        self._target = Target()
        self._before: Snapshot | None = None

    async def begin(self, target: Target) -> None:
        self._target, self._before = target, await read(target)

    async def end(self, interrupted: bool) -> Observed:
        after = None if interrupted or self._before is None else await read(self._target)
        note = several(self._before, after)
        return Observed(
            counters=deltas(self._before, after),
            fault=restarted(self._before, after),
            notes=(note,) if note else (),
        )


async def read(target: Target) -> Snapshot | None:
    """Read the page, more than once to see whose it is; None where there is none, or it cannot be read in time."""
    pages: list[Snapshot] = []
    with contextlib.suppress(ServerError, TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while len(pages) < LOOKS and (page := await _look(target)) is not None:
                pages.append(page)
    several = any(one.started != other.started or _fallen(one, other) for one, other in pairwise(pages))
    return replace(pages[-1], several=several) if pages else None


async def _look(target: Target) -> Snapshot | None:
    page = await fetch(target, "/metrics", PATIENCE, most=MOST_BYTES)
    return parse(page.body.decode("utf-8", errors="replace")) if page.status == 200 and page.whole else None


def parse(page: str) -> Snapshot | None:
    """Prometheus' text format → a snapshot; None if nothing in it can be read as such.  Buckets are left out."""
    values: dict[str, float] = {}
    started: set[float] = set()
    for line in page.splitlines():
        if line.startswith("#") or not (found := _LINE.fullmatch(line.strip())):
            continue
        name, value = found[1], _number(found[3])
        if value is None or name.endswith("_bucket"):
            continue
        if name == _STARTED:
            started.add(value)
        values[name] = values.get(name, 0.0) + value
    return Snapshot(values=values, started=frozenset(started)) if values else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def several(before: Snapshot | None, after: Snapshot | None) -> Message | None:
    """That more than one server answers at this address, so that their counters say nothing of this load.

    A process that was started before one that was seen earlier is no restart.
    """
    if before is None or after is None:
        return None
    older = before.started != after.started and max(after.started, default=0) <= max(before.started, default=0)
    both = before.started and after.started
    return Message(key="server.several") if before.several or after.several or (both and older) else None


def restarted(before: Snapshot | None, after: Snapshot | None) -> Message | None:
    """Why the figures are not of one server process: it was started anew, or a counter fell."""
    if before is None or after is None or several(before, after) is not None:
        return None
    if before.started and after.started and before.started != after.started:
        return Message(key="server.restarted")
    fallen = _fallen(before, after)
    return Message(key="server.counter_fell", values={"name": fallen}) if fallen else None


def _fallen(before: Snapshot, after: Snapshot) -> str | None:
    """A counter that is lower than it was."""
    names = filter(None, (_present(families, before) for families in COUNTERS.values()))
    return next((n for n in names if n in after.values and after.values[n] < before.values[n]), None)


def deltas(before: Snapshot | None, after: Snapshot | None) -> dict[str, float]:
    """What the server counted in between; what it does not count is absent, and nothing is there after a restart or
    where several servers answer."""
    if before is None or after is None or several(before, after) or restarted(before, after):
        return {}
    found: dict[str, float] = {}
    for ours, families in COUNTERS.items():
        if (name := _present(families, after)) is not None:
            found[ours] = _rise(name, before, after)
    for ours, families in MEANS.items():
        name = next((n for n in families if f"{n}_count" in after.values), None)
        if name is not None and (count := _rise(f"{name}_count", before, after)) > 0:
            found[ours] = _rise(f"{name}_sum", before, after) / count * 1000
    if "prefix_cache_hits" in found and "prefix_cache_queries" not in found and "prompt_tokens" in found:
        found["prefix_cache_queries"] = found["prompt_tokens"]  # SGLang counts hits against every prompt token
    for ours, (part, whole) in RATIOS.items():
        if part in found and found.get(whole, 0) > 0:
            found[ours] = found[part] / found[whole]
    return found


def _present(families: tuple[str, ...], snapshot: Snapshot) -> str | None:
    return next((name for name in families if name in snapshot.values), None)


def _rise(name: str, before: Snapshot, after: Snapshot) -> float:
    """A series that is not there before its first event counts from zero."""
    return after.values.get(name, 0.0) - before.values.get(name, 0.0)
