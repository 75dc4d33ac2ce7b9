"""A scenario's load shape → when each request is due."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from pytest_vllm_bench.model import RampUp, Scenario, Stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.random import RandomState

#: A ramp begins at this share of its final rate: an exponential one cannot begin at nothing.
RAMP_START = 0.01
#: Gaps that are drawn at once.
GAPS = 8192
#: How fast one slot can be at most, in requests/s and tokens/s: the ceiling of a closed loop bounded by time.
SLOT_REQUESTS, SLOT_TOKENS = 50.0, 500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """``due``: seconds from the start, never falling; None = all at once, the cap decides (a closed loop)."""

    n: int
    at_most: bool = False  # ``n`` is a ceiling, ``duration`` the real bound
    due: np.ndarray | None = None
    steps: tuple[tuple[float, int], ...] = ()
    duration: float | None = None


def schedule(scenario: Scenario, draw: RandomState) -> Schedule:
    """The schedule of every shape but a trace, whose times are its own."""
    if scenario.ramp_up is not None and scenario.ramp_up.over is None and scenario.open_loop:
        due = _ramped(scenario.ramp_up, scenario, draw)
        return Schedule(n=len(due), due=due)
    rates = _rates(scenario)
    if rates is None:
        return _closed(scenario)
    due = arrivals(rates, draw, scenario.burstiness, scenario.num_prompts, _end(scenario))
    return Schedule(n=len(due), due=due, duration=_end(scenario))


def _end(scenario: Scenario) -> float | None:
    """Seconds after which nothing is sent; None = bounded by a number of prompts."""
    if scenario.duration is not None:
        return scenario.duration
    return sum(s.seconds for s in scenario.stages) if scenario.stages else None


def _closed(scenario: Scenario) -> Schedule:
    steps = _cap_steps(scenario)
    duration = _end(scenario)
    if scenario.num_prompts is not None:
        return Schedule(n=scenario.num_prompts, steps=steps, duration=duration)
    slots = max((cap for _, cap in steps), default=scenario.concurrency or 1)
    return Schedule(
        n=ceiling(duration or 0.0, slots, scenario.output_len), at_most=True, steps=steps, duration=duration
    )


def ceiling(seconds: float, slots: int, output_len: int | None) -> int:
    """More requests than ``slots`` connections can finish in ``seconds``."""
    shortest = 1 / SLOT_REQUESTS + (output_len or 0) / SLOT_TOKENS
    return slots * (1 + math.ceil(seconds / shortest))


def _cap_steps(scenario: Scenario) -> tuple[tuple[float, int], ...]:
    """How the cap changes in time: by stages, or one more at a time while it ramps up."""
    if scenario.stages:
        starts = _starts([s.seconds for s in scenario.stages])
        return tuple((at, s.concurrency or 1) for at, s in zip(starts, scenario.stages, strict=True))
    if scenario.ramp_up is None or scenario.ramp_up.over is None or not scenario.concurrency:
        return ()
    top, ramp, over = scenario.concurrency, scenario.ramp_up, scenario.ramp_up.over
    least = min(top, max(1, round(ramp.start)))
    along = math.log if ramp.shape == "exponential" else float
    whole = (along(top) - along(least)) or 1.0
    return tuple((over * (along(c) - along(least)) / whole, c) for c in range(least, top + 1))


def _starts(lengths: Sequence[float]) -> list[float]:
    starts, at = [], 0.0
    for seconds in lengths:
        starts.append(at)
        at += seconds
    return starts


@dataclass(frozen=True, slots=True)
class SchedulePiece:
    """A stretch of time in which the rate goes from ``first`` to ``last`` requests/s, straight or exponentially."""

    start: float
    seconds: float  # inf for the last
    first: float
    last: float
    exponential: bool = False

    @property
    def total(self) -> float:
        """Requests expected in it."""
        if self.exponential and self.first != self.last:
            return self.seconds * (self.last - self.first) / math.log(self.last / self.first)
        return self.seconds * (self.first + self.last) / 2

    def when(self, count: np.ndarray) -> np.ndarray:
        """Seconds from the piece's start until ``count`` requests are expected: the inverse of the summed rate."""
        import numpy as np

        if self.first == self.last:
            return count / self.first
        if self.exponential:
            growth = math.log(self.last / self.first) / self.seconds
            return np.log1p(count * growth / self.first) / growth
        slope = (self.last - self.first) / self.seconds
        return (np.sqrt(self.first**2 + 2 * slope * count) - self.first) / slope


def _rates(scenario: Scenario) -> list[SchedulePiece] | None:
    """The rate in time, piece by piece; None without one."""
    if scenario.stages:
        if all(s.rate is None for s in scenario.stages):
            return None
        starts = _starts([s.seconds for s in scenario.stages])
        return [_flat(s, at) for s, at in zip(scenario.stages, starts, strict=True)]
    rate = scenario.request_rate
    if math.isinf(rate):
        return None
    if scenario.ramp_up is None:
        return [SchedulePiece(0.0, math.inf, rate, rate)]
    return [_ramp(scenario.ramp_up, rate), SchedulePiece(scenario.ramp_up.over or 0.0, math.inf, rate, rate)]


def _flat(stage: Stage, at: float) -> SchedulePiece:
    return SchedulePiece(at, stage.seconds, stage.rate or 0.0, stage.rate or 0.0)


def _ramp(ramp: RampUp, rate: float) -> SchedulePiece:
    exponential = ramp.shape == "exponential"
    first = ramp.start or (rate * RAMP_START if exponential else 0.0)
    return SchedulePiece(0.0, ramp.over or 0.0, first, rate, exponential)


def _ramped(ramp: RampUp, scenario: Scenario, draw: RandomState) -> np.ndarray:
    """Due times where each request has a rate of its own, from the first's to the last's."""
    import numpy as np

    n, last = scenario.num_prompts or 0, scenario.request_rate
    share = np.arange(1, n) / max(1, n - 1)
    first = ramp.start or last * RAMP_START
    rates = first * (last / first) ** share if ramp.shape == "exponential" else first + (last - first) * share
    gaps = np.concatenate([*islice(_gaps(draw, scenario.burstiness), -(-n // GAPS))])[: max(0, n - 1)]
    return np.concatenate(([0.0], np.cumsum(gaps / rates)))[:n]


def arrivals(
    pieces: Sequence[SchedulePiece], draw: RandomState, burstiness: float, n: int | None, end: float | None
) -> np.ndarray:
    """Due times: gaps of mean 1 drawn once, then stretched to the rate in force; never rescaled to come out even.

    The first is due at 0.  Bounded by ``n``, by ``end`` seconds, or by both.
    """
    import numpy as np

    kept: list[np.ndarray] = []
    got, at = 0, 0.0
    for gaps in _gaps(draw, burstiness):
        counts = at + np.cumsum(gaps)
        at = float(counts[-1])
        if not kept:
            counts = np.concatenate(([0.0], counts))
        due = _when(pieces, counts)
        if end is not None:
            due = due[due < end]
        if n is not None:
            due = due[: n - got]
        kept.append(due)
        got += len(due)
        if got == n or (end is not None and len(due) < len(counts)):
            return np.concatenate(kept)
        if n is None and end is None:
            raise ValueError("a schedule needs an end")
    raise AssertionError("gaps never end")


def _gaps(draw: RandomState, burstiness: float) -> Iterator[np.ndarray]:
    """Gaps of mean 1: gamma with shape ``burstiness`` (1 is Poisson), constant where it is infinite."""
    import numpy as np

    while True:
        if math.isinf(burstiness):
            yield np.ones(GAPS)
        else:
            yield draw.gamma(burstiness, 1 / burstiness, GAPS)


def _when(pieces: Sequence[SchedulePiece], counts: np.ndarray) -> np.ndarray:
    """The time at which ``counts`` requests are expected; inf beyond the last piece."""
    import numpy as np

    due = np.full(len(counts), np.inf)
    before = 0.0
    for piece in pieces:
        total = math.inf if math.isinf(piece.seconds) else piece.total
        inside = (counts >= before) & (counts < before + total)
        if inside.any():
            due[inside] = piece.start + piece.when(counts[inside] - before)
        before += total
    return due
