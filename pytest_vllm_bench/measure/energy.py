"""What accelerators' counters and power came to in a window; figures only where they are sure.

A counter of joules beats the integral of power, which many drivers average over the second before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pytest_vllm_bench.model import Message, Sample, Track

#: Intervals that may pass without a value.
GAP = 3
#: Values of a device within the window.
FEWEST = 2
#: Share by which counter and integral may differ unsaid.
APART = 0.05
COUNTER, POWER = "energy_j", "power_w"

Window = tuple[float, float]


class EnergyUse(NamedTuple):
    """One device's energy by its counter and by its power over time; ``why``: there is neither."""

    counter: float | None
    integral: float | None
    why: Message | None

    @property
    def joules(self) -> float | None:
        return self.integral if self.counter is None else self.counter


def used(tracks: Sequence[Track], window: Window) -> dict[str, EnergyUse]:
    """What each device used; a counter that rests while power flows is none."""
    named, found = {(track.device, track.name): track for track in tracks}, {}
    for device in dict.fromkeys(track.device for track in tracks if track.name in (COUNTER, POWER)):
        counts, power = (
            _cut(named.get((device, name), Track(name=name, device=device)), window) for name in (COUNTER, POWER)
        )
        integral = None if isinstance(power, Message) else float(np.trapezoid(power[1], power[0]))
        counter = None if isinstance(counts, Message) or (np.diff(counts[1]) < 0).any() else float(np.ptp(counts[1]))
        counter = None if counter == 0 and integral else counter
        why = power if isinstance(power, Message) and counter is None else None
        found[device] = EnergyUse(counter, integral, why)
    return found


def _cut(track: Track, window: Window) -> tuple[Any, Any] | Message:
    """Times and values from edge to edge, interpolated there; a Message where that is not sure."""
    times, values = np.array(track.times), np.array(track.values)
    begin, end = window
    inside = (times > begin) & (times < end)
    if inside.sum() < FEWEST:
        return Message(key="judge.energy.no_samples", values={"device": track.device, "n": int(inside.sum())})
    if times[0] > begin or times[-1] < end:
        return _unsure("window_not_bracketed", track, max(times[0] - begin, end - times[-1]))
    around = times[np.searchsorted(times, begin, "right") - 1 : np.searchsorted(times, end) + 1]
    if (gap := np.diff(around).max()) > GAP * track.every:
        return _unsure("sampling_gap", track, gap)
    at = np.concatenate(([begin], times[inside], [end]))
    return at, np.interp(at, times, values)


def _unsure(why: str, track: Track, seconds: float) -> Message:
    return Message(key=f"judge.energy.{why}", values={"device": track.device, "seconds": f"{seconds:.1f}"})


def joules(tracks: Sequence[Track], window: Window, expected: int | None = None) -> float | None:
    """The energy of all devices; None where that of one is not known, or others were seen than are ``expected``."""
    each = [one.joules for one in used(tracks, window).values()]
    known = [one for one in each if one is not None]
    return sum(known) if known and len(known) == len(each) == (expected or len(each)) else None


def highest(tracks: Sequence[Track], window: Window, expected: int | None = None) -> float | None:
    """The highest power of all devices together, at any time at which one of them told its own."""
    found = [_cut(track, window) for track in tracks if track.name == POWER]
    cuts = [cut for cut in found if not isinstance(cut, Message)]
    if not cuts or not len(cuts) == len(found) == (expected or len(found)):
        return None
    at = np.unique(np.concatenate([times for times, _ in cuts]))
    return float(sum(np.interp(at, times, values) for times, values in cuts).max())


def notes(sample: Sample, wanted: bool, expected: int | None = None) -> list[Message]:
    """Why there is no energy in the window that rules are judged in, or what is odd about it."""
    tracks = [track for track in sample.tracks if track.name in (COUNTER, POWER)]
    if not tracks or (window := sample.judged) is None:
        return [Message(key="judge.energy.unwatched")] if wanted else []
    short = (FEWEST + 1) * max(track.every for track in tracks)
    if not wanted and window[1] - window[0] < short:
        return []
    found = used(tracks, window)
    if expected not in (None, len(found)):
        values = {"seen": len(found), "expected": expected}
        return [Message(key="judge.energy.device_count", values=values)]
    return [one.why for one in found.values() if one.why] or [
        Message(key="judge.energy.apart", values={"device": device, "counter": f"{a:.0f}", "integral": f"{b:.0f}"})
        for device, (a, b, _) in found.items()
        if a is not None and b is not None and abs(a - b) > APART * a
    ]
