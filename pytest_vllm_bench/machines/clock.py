"""Exchanges with another machine → its clock by ours, and what it measured on ours.

θ is what that clock is ahead.  Of an exchange (t0 sent, t1 came, t2 went, t3 back) θ = ((t1 − t0) + (t2 − t3)) / 2 and
δ = (t3 − t0) − (t2 − t1): however unlike the ways there and back, θ is off by δ/2 at most.  The shortest counts.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytest_vllm_bench.measure.decode import DIGITS, TIMES
from pytest_vllm_bench.model import LoadFacts, Record

#: Exchanges before and after a load.
EXCHANGES = 50
#: Crystals are off by 50 ppm at most; more is no crystal's doing.
DRIFT = 200e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """What another clock was ahead at one moment of ours, and by how much that may be wrong."""

    at: float
    ahead: float
    error: float


def offset(exchanges: Sequence[tuple[float, float, float, float]]) -> Offset:
    t0, t1, t2, t3 = min(exchanges, key=lambda one: (one[3] - one[0]) - (one[2] - one[1]))
    return Offset(at=(t0 + t3) / 2, ahead=((t1 - t0) + (t2 - t3)) / 2, error=max(0.0, (t3 - t0) - (t2 - t1)) / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Another machine's, by ours: ``before`` and ``after`` a load, and a line between.  ``after`` None: it is lost."""

    before: Offset
    after: Offset | None = None

    @property
    def drift(self) -> float:
        """Seconds a second that it gains."""
        if self.after is None or self.after.at <= self.before.at:
            return 0.0
        return (self.after.ahead - self.before.ahead) / (self.after.at - self.before.at)

    @property
    def error(self) -> float:
        return max(self.before.error, self.after.error if self.after else 0.0)

    @property
    def drifts(self) -> bool:
        """More than any crystal does, and than the exchanges may be wrong by."""
        if self.after is None:
            return False
        doubt = (self.before.error + self.after.error) / max(1e-9, self.after.at - self.before.at)
        return abs(self.drift) - doubt > DRIFT

    def since(self, start: float) -> tuple[float, float]:
        """(late, rate): what it calls t seconds after the ``start`` that it was told is late + rate · t after ours."""
        rate = 1 / (1 + self.drift)
        return -self.drift * (start - self.before.at) * rate, rate


def on_ours(records: Sequence[Record], facts: LoadFacts, start: float, clock: Clock) -> LoadFacts:
    """Put what another machine measured on our clock, its records where they are; they count from the common start.

    What the plan says stays: when a request was due, and that it could go then.  One that its clock had leave late or
    early was late or early.
    """
    late, rate = clock.since(start)
    for record in records:
        planned = {"due", *(["ready"] if record.ready == record.due else [])}
        for name in TIMES:
            if name not in planned and (time := getattr(record, name)) is not None:
                setattr(record, name, round(late + rate * time, DIGITS))
        times = np.round(late + rate * np.frombuffer(record.arrival_times), DIGITS)
        record.arrival_times = array("d", times.tobytes())

    def ours(time: float) -> float:
        return start + late + rate * (time - facts.started)

    workers = tuple(replace(w, started=start, ended=ours(w.ended)) for w in facts.workers)
    return replace(facts, started=start, ended=ours(facts.ended), workers=workers)
