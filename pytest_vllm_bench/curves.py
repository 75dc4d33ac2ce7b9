"""Tracks → curves: every series that can be drawn and judged, of all servers and devices together, and its moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_vllm_bench.model import Track

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
#: Share of the KV cache from which on it is full: what is left is less than a request needs.
FULL = 0.98
#: NVIDIA's reasons for a lower clock that are no setting: heat, the board's own emergency, the rack's brake.  A power
#: limit that is reached under load is how a card is run.
SLOWED = 0x8 | 0x20 | 0x40 | 0x80


def curves(tracks: Sequence[Track], besides: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Curve]:
    """Every series that can be drawn, of all servers together; gauges ``besides`` those that are judged."""
    found = {}
    for name, combined in {**GAUGES, **besides}.items():
        if (curve := together(named(tracks, name), combined)) is not None:
            found[name] = curve
    for name, counter in RATES.items():
        if (curve := together(named(tracks, counter))) is not None and len(curve[0]) > 1:
            rise, seconds = np.diff(curve[1]), np.diff(curve[0])
            kept = (rise >= 0) & (seconds > 0)
            found[name] = curve[0][1:][kept], rise[kept] / seconds[kept]
    for name, pair in QUOTIENTS.items():
        part, whole = (together(named(tracks, counter)) for counter in pair)
        if part is not None and whole is not None and len(part[0]) == len(whole[0]):
            more = np.diff(whole[1])
            found[name] = part[0][1:][more > 0], np.diff(part[1])[more > 0] / more[more > 0]
    return found


def named(tracks: Sequence[Track], name: str) -> list[Track]:
    return [track for track in tracks if track.name == name and track.times]


def together(tracks: Sequence[Track], combined: Any = np.sum) -> Curve | None:
    """One curve of several servers' where all of them are known."""
    if not tracks:
        return None
    if len(tracks) == 1:
        return np.array(tracks[0].times), np.array(tracks[0].values)
    times = np.unique(np.concatenate([track.times for track in tracks]))
    times = times[(times >= max(t.times[0] for t in tracks)) & (times <= min(t.times[-1] for t in tracks))]
    return times, combined([np.interp(times, track.times, track.values) for track in tracks], axis=0)


def slowed(track: Track) -> Any:
    """For each sample whether the device was slowed; None: the track is of something else."""
    values = np.array(track.values)
    if track.name == "throttle_reasons":
        return (values.astype(np.int64) & SLOWED) != 0
    if track.name == "thermal_violation":  # a counter of time
        return np.diff(values, prepend=values[:1]) > 0
    return None


def moments(tracks: Sequence[Track]) -> list[tuple[float, str, int]]:
    """When something happened, what, and how often: the KV cache was full, requests were preempted, a device slowed."""
    found = list[tuple[float, str, int]]()
    if (usage := together(named(tracks, "kv_usage"), np.max)) is not None:
        full = np.concatenate([[False], usage[1] >= FULL])
        found += [(float(at), "kv_full", 1) for at in usage[0][np.flatnonzero(full[1:] & ~full[:-1])]]
    if (counted := together(named(tracks, "preemptions"))) is not None:
        rises = np.diff(counted[1])
        found += [(float(counted[0][k + 1]), "preempted", round(rises[k])) for k in np.flatnonzero(rises > 0)]
    for track in tracks:
        if (hot := slowed(track)) is not None and len(hot):
            begins = np.flatnonzero(hot & ~np.concatenate([[False], hot[:-1]]))
            found += [(track.times[k], "throttled", 1) for k in begins]
    return sorted(found)
