"""What devices say of themselves, look by look → tracks and the environment."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_vllm_bench.model import Message, Observed, Track

#: Seconds between two states of an exporter, beyond which they are no timeline.
RAREST = 15.0
#: What is known of a device that says nothing of itself.
_UNTOLD = {"name": "", "driver": "", "power_limit_w": None, "memory_mib": None}
#: Tracks that are asked for before and after alone, or told when something happens.
SELDOM = ("ecc_uncorrected", "strangers", "xid")
_NUMBER = re.compile(r"\(?\s*(\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReading:
    """One device at one moment: our track's name → its value; ``told``: what does not change."""

    device: str
    values: Mapping[str, float]
    told: Mapping[str, Any] = field(default_factory=dict)


def number(text: Any) -> float | None:
    """A cell's value, its unit left out; None for ``N/A``, ``[Not Supported]`` and what no sensor can say."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text) if math.isfinite(text) and text >= 0 else None
    text = str(text).strip()
    with contextlib.suppress(ValueError):
        if text.lower().startswith("0x"):
            return float(int(text.partition(" ")[0], 16))
        if (found := _NUMBER.match(text)) is not None and math.isfinite(value := float(found[1])):
            return value
    return None


class DeviceLog:
    """Everything seen of the devices of one load."""

    def __init__(self, every: float) -> None:
        self.every = every
        self.devices: dict[str, dict[str, Any]] = {}  # what each is
        self.series: dict[tuple[str, str], list[tuple[float, float]]] = {}  # device and track → (when, value)
        self._states: list[tuple[float, tuple[Any, ...]]] = []

    def take(self, at: float, readings: Iterable[DeviceReading]) -> None:
        state = []
        for reading in readings:
            if reading.device not in self.devices:
                self.series[reading.device, "power_w"] = []  # one that never tells is a device all the same
            known = self.devices.setdefault(reading.device, dict(_UNTOLD))
            known.update({key: value for key, value in reading.told.items() if value not in (None, "")})
            for track, value in reading.values.items():
                self.add(at, reading.device, track, value)
            state.append((reading.device, tuple(reading.values.items())))
        self._states.append((at, tuple(state)))

    def add(self, at: float, device: str, track: str, value: float) -> None:
        self.series.setdefault((device, track), []).append((at, value))

    def refreshed(self) -> None:
        """Leave out looks at which an exporter still showed what it had shown before: that is no fresh sample."""
        states = self._states
        fresh = [at for (at, now), (_, before) in zip(states[1:], states, strict=False) if now != before]
        if len(fresh) < 2 or len(fresh) == len(states) - 1:
            return
        kept = {states[0][0], *fresh}
        self.every = max(self.every, min(RAREST, float(np.median(np.diff(sorted(kept))))))
        for key, seen in self.series.items():
            self.series[key] = [one for one in seen if one[0] in kept]

    def last(self) -> float:
        """When each device had said something last."""
        often = [seen for (_, track), seen in list(self.series.items()) if seen and track not in SELDOM]
        return min((seen[-1][0] for seen in often), default=-math.inf)

    def observed(self, notes: Iterable[Message] = ()) -> Observed:
        series = {key: tuple(zip(*list(seen), strict=True)) or ((), ()) for key, seen in self.series.copy().items()}
        return Observed(
            tracks=tuple(
                Track(name=name, device=device, every=self.every, times=times, values=values)
                for (device, name), (times, values) in sorted(series.items())
            ),
            environment={"accelerators": list(self.devices.values())} if self.devices else {},
            notes=tuple(notes),
        )
