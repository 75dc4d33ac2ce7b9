"""Tracks of accelerators → what of them spoils figures: slowed by heat, broken, or shared with others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pytest_vllm_bench.curves import slowed
from pytest_vllm_bench.model import Message, Sample, Taint, Track

#: Share of the samples that may be slowed before it taints a result.
SHARE = 0.05


def throttled(sample: Sample) -> tuple[float, str] | None:
    """The largest share of a device's samples in the judged window at which it was slowed, and which device's; None
    where no device tells."""
    if (window := sample.judged) is None:
        return None
    found = []
    for track in sample.tracks:
        if (hot := slowed(track)) is None:
            continue
        times = np.array(track.times)
        inside = hot[(times >= window[0]) & (times <= window[1])]
        if len(inside):
            found.append((float(inside.mean()), track.device))
    return max(found, default=None)


def findings(sample: Sample) -> list[tuple[Taint, Message]]:
    """What was seen of the devices from before the load until after it, and the taint that it leaves."""
    found: list[tuple[Taint, Message]] = []
    if (seen := throttled(sample)) is not None and seen[0] > SHARE:
        values = {"device": seen[1], "share": f"{seen[0]:.0%}"}
        found.append(("throttled", Message(key="judge.devices.throttled", values=values)))
    found += _broken(sample.tracks)
    found += [
        ("shared", Message(key="judge.devices.shared", values={"device": track.device, "n": n}))
        for track in sample.tracks
        if track.name == "strangers" and (n := int(max(track.values, default=0))) > 0
    ]
    return found


def _broken(tracks: Sequence[Track]) -> Iterator[tuple[Taint, Message]]:
    """Errors that came meanwhile; what a device had before, it had before."""
    for track in tracks:
        values = np.array(track.values)
        changed = np.flatnonzero(np.diff(values)) + 1
        if not len(changed):
            continue
        at = int(changed[0])
        said = {"device": track.device, "seconds": f"{track.times[at]:.0f}"}
        if track.name == "xid" and values[at]:
            yield "broken", Message(key="judge.devices.xid", values={**said, "code": int(values[at])})
        elif track.name == "ecc_uncorrected" and values[-1] > values[0]:
            yield "broken", Message(key="judge.devices.ecc", values={**said, "n": int(values[-1] - values[0])})
