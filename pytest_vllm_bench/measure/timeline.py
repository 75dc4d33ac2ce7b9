"""What was watched of the server → figures of the judged window: of gauges, rates and histograms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_vllm_bench.model import Sample, Track

Floats = NDArray[np.float64]
Curve = tuple[Floats, Floats]  # times, values

#: What is so at the moment, and what it comes to of several servers, engines or devices.
GAUGES: Mapping[str, Any] = {
    **dict.fromkeys(("running", "waiting", "load", "memory_mib"), np.sum),
    **dict.fromkeys(("kv_usage", "temperature_c", "memory_pct"), np.max),
    "utilization_pct": np.mean,
    "clock_mhz": np.min,
    **dict.fromkeys(("host_cpu_pct", "host_memory_mib", "server_cpu_pct", "server_memory_mib"), np.sum),
}
#: Our name → the counter whose rise a second it is.
RATES: Mapping[str, str] = {"prompt_tok_s": "prompt_tokens", "output_tok_s": "generation_tokens"}
#: Our name → the counters whose rises' quotient it is.
QUOTIENTS: Mapping[str, tuple[str, str]] = {"hit_rate": ("prefix_cache_hits", "prefix_cache_queries")}
HISTOGRAMS = ("ttft", "itl", "e2el", "queue", "prefill", "decode")
PERCENTILES = (50, 90, 95, 99)


def judged(sample: Sample) -> tuple[float, float] | None:
    """The window that rules are judged in."""
    if sample.steady is not None:
        return sample.steady
    return None if sample.begin is None or sample.end is None else (sample.begin, sample.end)


def figures(sample: Sample) -> dict[str, float]:
    """``kv_usage_max``, ``waiting_mean``, ``p99_queue_ms`` …; what was not seen in the window is not there."""
    window = judged(sample)
    if window is None or not sample.tracks:
        return {}
    found: dict[str, float] = {}
    for name, (times, values) in curves(sample.tracks).items():
        inside = values[(times >= window[0]) & (times <= window[1])]
        if len(inside):
            found[f"{name}_mean"], found[f"{name}_max"] = float(inside.mean()), float(inside.max())
            found[f"{name}_p95"], found[f"{name}_last"] = float(np.quantile(inside, 0.95)), float(inside[-1])
    for name in HISTOGRAMS:
        for percent in PERCENTILES:
            if (seconds := quantile(sample.tracks, name, percent / 100, window)) is not None:
                found[f"p{percent}_{name}_ms"] = seconds * 1e3
    return found


def curves(tracks: Sequence[Track]) -> dict[str, Curve]:
    """Every series that can be drawn, of all servers together."""
    found = {}
    for name, combined in GAUGES.items():
        if (curve := _together(_named(tracks, name), combined)) is not None:
            found[name] = curve
    for name, counter in RATES.items():
        if (curve := _together(_named(tracks, counter))) is not None and len(curve[0]) > 1:
            rise, seconds = np.diff(curve[1]), np.diff(curve[0])
            kept = (rise >= 0) & (seconds > 0)
            found[name] = curve[0][1:][kept], rise[kept] / seconds[kept]
    for name, pair in QUOTIENTS.items():
        part, whole = (_together(_named(tracks, counter)) for counter in pair)
        if part is not None and whole is not None and len(part[0]) == len(whole[0]):
            more = np.diff(whole[1])
            found[name] = part[0][1:][more > 0], np.diff(part[1])[more > 0] / more[more > 0]
    return found


def _named(tracks: Sequence[Track], name: str) -> list[Track]:
    return [track for track in tracks if track.name == name and track.times]


def _together(tracks: Sequence[Track], combined: Any = np.sum) -> Curve | None:
    """One curve of several servers' where all of them are known."""
    if not tracks:
        return None
    if len(tracks) == 1:
        return np.array(tracks[0].times), np.array(tracks[0].values)
    times = np.unique(np.concatenate([track.times for track in tracks]))
    times = times[(times >= max(t.times[0] for t in tracks)) & (times <= min(t.times[-1] for t in tracks))]
    return times, combined([np.interp(times, track.times, track.values) for track in tracks], axis=0)


def quantile(tracks: Sequence[Track], name: str, share: float, window: tuple[float, float]) -> float | None:
    """A quantile of what was counted in the window, in seconds; linear within a bucket, as Prometheus has it, and never
    above what the mean allows: where all but one in a hundred waited for longer than a hundred means, the mean would be
    another.  Beyond the last bound it is infinite."""
    rises: dict[float, float] = {}
    for track in _named(tracks, f"{name}_bucket"):
        rises[float(track.bound)] = rises.get(float(track.bound), 0.0) + _rise(track, window)
    bounds = sorted(rises)
    total = rises[bounds[-1]] if bounds else 0.0
    if total <= 0 or not math.isinf(bounds[-1]):
        return None
    sums = [_rise(track, window) for track in _named(tracks, f"{name}_sum")]
    allowed = sum(sums) / total / (1 - share) if sums else math.inf
    below, lower = 0.0, 0.0
    for bound in bounds:
        if rises[bound] >= share * total:
            inner = (share * total - below) / (rises[bound] - below) if rises[bound] > below else 1.0
            return min(lower + (bound - lower) * inner if math.isfinite(bound) else math.inf, allowed)
        below, lower = rises[bound], bound
    return math.inf


def _rise(track: Track, window: Iterable[float]) -> float:
    begin, end = np.interp(list(window), track.times, track.values)
    return float(end - begin)
