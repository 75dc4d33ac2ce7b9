"""What was watched of the server, and what the client saw meanwhile → findings in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pytest_vllm_bench.curves import FULL, Curve, Floats, curves
from pytest_vllm_bench.model import Message, Sample, Track

#: Requests by which a queue must have grown in the window before that is said, and samples that it takes to see it.
GROWN, FEWEST = 3.0, 6
#: Share by which throughput must have fallen before that is said.
FELL = 0.05
#: Share of TTFT that may pass outside of the engine unsaid; seconds by which clocks may disagree.
OUTSIDE, GRAIN = 0.25, 0.002
#: Of the standard normal, for a slope that is there in 99 of 100.
_Z = 2.576
#: Samples of a series that slopes are drawn between; all pairs of them are looked at.
MOST = 400


def findings(sample: Sample) -> list[Message]:
    """In the order in which things went wrong."""
    if sample.begin is None or sample.end is None:
        return []
    whole, seen = (sample.begin, sample.end), curves(sample.tracks)
    found = [
        _full(sample, whole, seen.get("kv_usage")),
        _queue(sample, sample.steady or whole, seen.get("waiting")),
        _outside(sample),
        _beyond(sample),
    ]
    return [message for message in found if message is not None]


def _outside(sample: Sample) -> Message | None:
    """That much of the time to the first token passed neither in the queue nor in the prefill."""
    if "outside_first" not in sample.values:
        return None
    outside, ttft = (sample.values[id][sample.counted] for id in ("outside_first", "ttft"))
    known = np.isfinite(outside) & np.isfinite(ttft) & (ttft > 0)
    if not known.any():
        return None
    share = float(np.median(outside[known] / ttft[known]))
    if share <= OUTSIDE:
        return None
    values = {"share": f"{share:.0%}", "ms": f"{float(np.median(outside[known])) * 1e3:.1f}"}
    return Message(key="judge.watched.outside", values=values)


def _beyond(sample: Sample) -> Message | None:
    """That a server says of more time before the first token than there was; a stream may be shorter for the client,
    whom its first token reached late."""
    n = int((sample.values["outside_first"] < -GRAIN).sum()) if "outside_first" in sample.values else 0
    return Message(key="judge.watched.beyond", values={"n": n, "ms": f"{GRAIN * 1e3:g}"}) if n else None


def _full(sample: Sample, whole: tuple[float, float], usage: Curve | None) -> Message | None:
    """From when on the KV cache was full, and what came of it."""
    if usage is None:
        return None
    times, values = _within(whole, usage)
    if not (values >= FULL).any():
        return None
    since = float(times[int(np.argmax(values >= FULL))])
    said = {"seconds": f"{since:.0f}", "share": f"{(values >= FULL).mean():.0%}"}
    preempted = _risen(sample.tracks, "preemptions", since, whole[1])
    if preempted <= 0:
        return Message(key="judge.watched.full", values=said)
    before, after = (_throughput(sample, span) for span in ((whole[0], since), (since, whole[1])))
    fell = 1 - after / before if before and after is not None else 0.0
    said |= {"n": f"{preempted:.0f}", "fell": f"{fell:.0%}"}
    return Message(key="judge.watched.full_fell" if fell > FELL else "judge.watched.full_preempted", values=said)


def _within(window: tuple[float, float], curve: Curve) -> Curve:
    times, values = curve
    inside = (times >= window[0]) & (times <= window[1])
    return times[inside], values[inside]


def _risen(tracks: Sequence[Track], name: str, begin: float, end: float) -> float:
    rises = [
        np.interp([begin, end], track.times, track.values) for track in tracks if track.name == name and track.times
    ]
    return float(sum(rise[1] - rise[0] for rise in rises))


def _throughput(sample: Sample, span: tuple[float, float]) -> float | None:
    """Output tokens a second, as the client saw them; None of less than a second."""
    if "output_throughput" not in sample.tallies or span[1] - span[0] < 1:
        return None
    when, amount = sample.tallies["output_throughput"]
    return float(amount[(when > span[0]) & (when <= span[1])].sum()) / (span[1] - span[0])


def _queue(sample: Sample, window: tuple[float, float], waiting: Curve | None) -> Message | None:
    """That the server's queue grew throughout an open loop: a closed one has an end to it."""
    if waiting is None or not sample.open_loop:
        return None
    times, values = _within(window, waiting)
    if len(times) < FEWEST:
        return None
    low, slope = rising(times, values)
    if low <= 0 or slope * (window[1] - window[0]) < GROWN:
        return None
    return Message(key="judge.watched.queue_grows", values={"slope": f"{slope:.2g}"})


def rising(times: Floats, values: Floats) -> tuple[float, float]:
    """Theil and Sen's slope: the median of those between all pairs; and its lower bound, by Kendall's variance."""
    step = math.ceil(len(times) / MOST)
    times, values = times[::step], values[::step]
    n = len(times)
    first, second = np.triu_indices(n, 1)
    slopes = np.sort((values[second] - values[first]) / (times[second] - times[first]))
    spread = _Z * np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    return float(slopes[int((len(slopes) - spread) / 2)]), float(np.median(slopes))
