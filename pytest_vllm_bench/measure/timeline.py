"""What was watched of the server → figures of the judged window: of gauges, rates and histograms."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from pytest_vllm_bench.curves import curves, named
from pytest_vllm_bench.model import Sample, Track

HISTOGRAMS = ("ttft", "itl", "e2el", "queue", "prefill", "decode")
PERCENTILES = (50, 90, 95, 99)


def figures(sample: Sample) -> dict[str, float]:
    """``kv_usage_max``, ``waiting_mean``, ``p99_queue_ms`` …; what was not seen in the window is not there."""
    if (window := sample.judged) is None:
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


def quantile(tracks: Sequence[Track], name: str, share: float, window: tuple[float, float]) -> float | None:
    """A quantile of what was counted in the window, in seconds; linear within a bucket, as Prometheus has it, and never
    above what the mean allows: where all but one in a hundred waited for longer than a hundred means, the mean would be
    another.  Beyond the last bound it is infinite."""
    rises = defaultdict[float, float](float)
    for track in named(tracks, f"{name}_bucket"):
        rises[float(track.bound)] += _rise(track, window)
    total = rises[math.inf]
    if total <= 0:
        return None
    sums = [_rise(track, window) for track in named(tracks, f"{name}_sum")]
    allowed = sum(sums) / total / (1 - share) if sums else math.inf
    bound = min(bound for bound, n in rises.items() if n >= share * total)
    lower, below = max(((lower, n) for lower, n in rises.items() if lower < bound), default=(0.0, 0.0))
    return min(lower + (bound - lower) * (share * total - below) / (rises[bound] - below), allowed)


def _rise(track: Track, window: tuple[float, float]) -> float:
    begin, end = np.interp(window, track.times, track.values)
    return float(end - begin)
