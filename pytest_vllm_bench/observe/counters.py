"""A server's /metrics → what it counts and says of itself, under one set of names.

``server.x`` in rules is a key of ``deltas``, or a figure of a timeline (``measure.timeline``).  Families are summed
over their labels (engines, models, reasons), of shares the highest counts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from pytest_vllm_bench.model import Message
from pytest_vllm_bench.observe.prometheus import is_page, labels, samples

_STARTED = "process_start_time_seconds"

#: Our name → the families that count it, as vLLM, SGLang, LMDeploy, TGI, llama.cpp and Triton call them; the first
#: that is there counts.  All only ever rise.
COUNTERS: Mapping[str, tuple[str, ...]] = {
    "requests": (
        "vllm:request_success_total",
        "sglang:num_requests_total",
        "lmdeploy:request_success_total",
        "trtllm_request_success_total",
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
    "drafts": ("vllm:spec_decode_num_drafts_total",),
}

#: Our name → histograms of seconds, of which mean and quantiles are told in ms.
HISTOGRAMS: Mapping[str, tuple[str, ...]] = {
    "ttft": (
        "vllm:time_to_first_token_seconds",
        "sglang:time_to_first_token_seconds",
        "lmdeploy:time_to_first_token_seconds",
        "trtllm_time_to_first_token_seconds",
    ),
    "itl": (
        "vllm:inter_token_latency_seconds",
        "vllm:time_per_output_token_seconds",
        "sglang:inter_token_latency_seconds",
        "sglang:time_per_output_token_seconds",
        "lmdeploy:time_per_output_token_seconds",
        "trtllm_time_per_output_token_seconds",
        "tgi_request_mean_time_per_token_duration",
    ),
    "e2el": (
        "vllm:e2e_request_latency_seconds",
        "sglang:e2e_request_latency_seconds",
        "lmdeploy:e2e_request_latency_seconds",
        "trtllm_e2e_request_latency_seconds",
        "tgi_request_duration",
    ),
    "queue": (
        "vllm:request_queue_time_seconds",
        "sglang:queue_time_seconds",
        "lmdeploy:request_queue_time_seconds",
        "trtllm_request_queue_time_seconds",
        "tgi_request_queue_duration",
    ),
    "prefill": ("vllm:request_prefill_time_seconds", "lmdeploy:request_prefill_time_seconds"),
    "decode": ("vllm:request_decode_time_seconds", "lmdeploy:request_decode_time_seconds"),
}

#: Our name → what is so at the moment.
GAUGES: Mapping[str, tuple[str, ...]] = {
    "running": (
        "vllm:num_requests_running",
        "sglang:num_running_reqs",
        "lmdeploy:num_requests_running",
        "trtllm_num_requests_running",
        "tgi_batch_current_size",
        "llamacpp:requests_processing",
    ),
    "waiting": (
        "vllm:num_requests_waiting",
        "sglang:num_queue_reqs",
        "lmdeploy:num_requests_waiting",
        "trtllm_num_requests_waiting",
        "nv_inference_pending_request_count",
        "tgi_queue_size",
        "llamacpp:requests_deferred",
    ),
    "kv_usage": (
        "vllm:kv_cache_usage_perc",
        "vllm:gpu_cache_usage_perc",
        "sglang:token_usage",
        "lmdeploy:gpu_cache_usage_perc",
        "trtllm_kv_cache_utilization",
        "llamacpp:kv_cache_usage_ratio",
    ),
    "load": ("node_load1",),  # of a machine, by node-exporter
}
#: Of these the fullest engine is what matters.
SHARES = frozenset(GAUGES["kv_usage"])

#: Part ÷ whole of two counters of ours.
RATIOS: Mapping[str, tuple[str, str]] = {
    "prefix_cache_hit_rate": ("prefix_cache_hits", "prefix_cache_queries"),
    "external_cache_hit_rate": ("external_cache_hits", "external_cache_queries"),
    "media_cache_hit_rate": ("media_cache_hits", "media_cache_queries"),
    "acceptance_rate": ("accepted_tokens", "draft_tokens"),
}


_PLAIN = frozenset(chain([_STARTED], *COUNTERS.values(), *GAUGES.values()))
_OF_HISTOGRAMS = frozenset(chain(*HISTOGRAMS.values()))
_MODELS = frozenset(chain(COUNTERS["generation_tokens"], GAUGES["running"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One page: family → its value over all labels, and when the server's processes were started.

    ``buckets``: histogram → upper bound → how many were not above it.  ``several``: pages read one after another were
    not of one server.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    buckets: Mapping[str, Mapping[float, float]] = field(default_factory=dict)
    started: frozenset[float] = frozenset()
    models: frozenset[str] = frozenset()
    several: bool = False


def parse(page: str) -> Snapshot | None:
    """Prometheus' text format → what of it has a name of ours; None if nothing in it can be read as such."""
    values: dict[str, float] = {}
    buckets: dict[str, dict[float, float]] = {}
    started, models = set[float](), set[str]()
    for name, written, value in samples(page, _wanted):
        if name == _STARTED:
            started.add(value)
        elif name in _MODELS and (model := labels(written).get("model_name")):
            models.add(model)
        family, _, part = name.rpartition("_")
        if part == "bucket":
            counts, bound = buckets.setdefault(family, {}), labels(written).get("le", "")
            with contextlib.suppress(ValueError):
                counts[float(bound)] = counts.get(float(bound), 0.0) + value
        else:
            values[name] = max(values.get(name, 0.0), value) if name in SHARES else values.get(name, 0.0) + value
    if not values and not is_page(page):
        return None
    return Snapshot(values=values, buckets=buckets, started=frozenset(started), models=frozenset(models))


def _wanted(name: str) -> bool:
    return name in _PLAIN or name.rpartition("_")[0] in _OF_HISTOGRAMS


def together(pages: Sequence[Snapshot]) -> Snapshot:
    """The pages of several servers as one."""
    values: dict[str, float] = {}
    for name, value in chain(*(page.values.items() for page in pages)):
        values[name] = max(values.get(name, 0.0), value) if name in SHARES else values.get(name, 0.0) + value
    return Snapshot(values=values)


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
    """Why the figures are not of one server process: it was started anew, serves another model, or a counter fell."""
    if before is None or after is None or several(before, after) is not None:
        return None
    if before.started and after.started and before.started != after.started:
        return Message(key="server.restarted")
    if before.models and after.models and before.models.isdisjoint(after.models):
        names = {"before": ", ".join(sorted(before.models)), "after": ", ".join(sorted(after.models))}
        return Message(key="server.model_changed", values=names)
    name = fallen(before, after)
    return Message(key="server.counter_fell", values={"name": name}) if name else None


def fallen(before: Snapshot, after: Snapshot) -> str | None:
    """A counter that is lower than it was."""
    names = filter(None, (present(families, before) for families in COUNTERS.values()))
    return next((n for n in names if n in after.values and after.values[n] < before.values[n]), None)


def deltas(before: Snapshot | None, after: Snapshot | None) -> dict[str, float]:
    """What the server counted in between; what it does not count is absent, and nothing is there after a restart or
    where several servers answer."""
    if before is None or after is None or several(before, after) or restarted(before, after):
        return {}
    found: dict[str, float] = {}
    for ours, families in COUNTERS.items():
        if (name := present(families, after)) is not None:
            found[ours] = _rise(name, before, after)
    for ours, families in HISTOGRAMS.items():
        name = next((n for n in families if f"{n}_count" in after.values), None)
        if name is not None and (count := _rise(f"{name}_count", before, after)) > 0:
            found[f"mean_{ours}_ms"] = _rise(f"{name}_sum", before, after) / count * 1000
    if "prefix_cache_hits" in found and "prefix_cache_queries" not in found and "prompt_tokens" in found:
        found["prefix_cache_queries"] = found["prompt_tokens"]  # SGLang counts hits against every prompt token
    for ours, (part, whole) in RATIOS.items():
        if part in found and found.get(whole, 0) > 0:
            found[ours] = found[part] / found[whole]
    if found.get("drafts", 0) > 0 and "accepted_tokens" in found:
        found["spec_acceptance_length"] = 1 + found["accepted_tokens"] / found["drafts"]
    return found


def named(page: Snapshot) -> dict[str, list[str]]:
    """Our names of what is on a page."""
    tables = {"gauges": GAUGES, "counters": COUNTERS}
    found = {kind: [ours for ours, names in table.items() if present(names, page)] for kind, table in tables.items()}
    of_histograms = [ours for ours, names in HISTOGRAMS.items() if any(name in page.buckets for name in names)]
    return {**found, "histograms": of_histograms}


def present(families: Sequence[str], snapshot: Snapshot) -> str | None:
    return next((name for name in families if name in snapshot.values), None)


def _rise(name: str, before: Snapshot, after: Snapshot) -> float:
    """A series that is not there before its first event counts from zero."""
    return after.values.get(name, 0.0) - before.values.get(name, 0.0)
