"""Outcomes of probes → the next level to probe, until the largest that holds and the smallest that breaks are near.

``search`` is a generator: it yields a Probe, is sent its Outcome, and returns an Answer.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Generator
from dataclasses import dataclass, field
from typing import Literal

from pytest_vllm_bench.model import CapacityAnswer, CapacityLevel, Message, Search, SearchEnd, Verdict

#: How many times the requests an undecided level gets, one fresh run after another.
MULTIPLES = (1, 2, 4, 8)
#: Bisection ends when the two levels are this near (a share of the higher one; for a concurrency at least 1).
NEAR = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One run at a level (concurrency, or requests/s) with ``multiple`` times the scenario's requests."""

    level: float
    multiple: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a probe came to; ``within``: the observed side; ``proven``: it is more than observed.

    ``runs`` and ``seconds``: what it cost, nothing where another tier had measured it; ``result``: where it is kept.
    ``over``: why no probe will follow.
    """

    verdict: Verdict
    within: bool | None = None
    proven: bool = False
    runs: int = 1
    seconds: float = 0.0
    result: str = ""
    over: Literal["", "gone", "interrupted"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityGate:
    """What an answer says to "at least N"; INCONCLUSIVE with a side: it was observed, and no verdict says so."""

    verdict: Verdict
    within: bool | None = None
    proven: bool = False


def at_least(answer: CapacityAnswer, wanted: float | None) -> CapacityGate:
    """Whether the server takes ``wanted``; None: anything at all."""
    if answer.stopped == "gone":
        return CapacityGate(verdict=Verdict.FAIL, within=False)
    held = [s for s in answer.levels if s.held and (wanted or 0) <= s.level <= (answer.held or 0)]
    broke = [s for s in answer.levels if not s.held and s.level <= (math.inf if wanted is None else wanted)]
    seen = held or broke
    if not seen:
        return CapacityGate(verdict=Verdict.INVALID if answer.stopped == "invalid" else Verdict.INCONCLUSIVE)
    side = Verdict.PASS if held else Verdict.FAIL
    decided = any(s.decided for s in seen)
    return CapacityGate(
        verdict=side if decided else Verdict.INCONCLUSIVE,
        within=bool(held),
        proven=any(s.proven for s in seen),
    )


@dataclass(slots=True, kw_only=True)
class _State:
    settings: Search
    measured: Collection[float] = ()  # levels that another tier has measured
    known: dict[float, CapacityLevel] = field(default_factory=dict)
    runs: int = 0
    seconds: float = 0.0
    stopped: SearchEnd = "found"

    @property
    def spent(self) -> Literal["", "runs", "time"]:
        if self.runs >= self.settings.runs:
            return "runs"
        return "time" if self.seconds >= self.settings.seconds else ""

    @property
    def held(self) -> float | None:
        return max((s.level for s in self.known.values() if s.held), default=None)

    @property
    def broken(self) -> float | None:
        return min((s.level for s in self.known.values() if not s.held), default=None)

    def near(self, wanted: float, low: float, high: float) -> float:
        """The measured level of [low, high] that is nearest to ``wanted``, which is free; else ``wanted``."""
        free = [m for m in self.measured if low <= m <= high and m not in self.known]
        return min(free, key=lambda m: abs(m - wanted), default=wanted)


Steps = Generator[Probe, Outcome, CapacityLevel | None]


def search(settings: Search, measured: Collection[float] = ()) -> Generator[Probe, Outcome, CapacityAnswer]:
    """Find the capacity: doubling, then bisection; ``measured``: levels that cost nothing, since another tier of the
    same search has sent them: they are taken where one is as good as the level that would come next."""
    state = _State(settings=settings, measured=tuple(measured))
    yield from _bracket(state)
    while state.stopped == "found" and (level := _between(state)) is not None:
        yield from _settle(state, level)
    yield from _look_above(state)
    return _answer(state)


def _bracket(state: _State) -> Generator[Probe, Outcome, None]:
    """Double from the level asked for (or 1) until one breaks, or halve until one holds."""
    settings = state.settings
    level = min(settings.at_least or 1.0, settings.max)
    seen = yield from _settle(state, level)
    while seen is not None and seen.held:
        if level >= settings.max:
            state.stopped = "max"
            return
        double = min(level * 2, settings.max)
        level = state.near(double, level, double)
        seen = yield from _settle(state, level)
    while seen is not None and not seen.held and (state.held is None):
        half = _half(state, level)
        if half <= 0:
            state.stopped = "floor"
            return
        level = state.near(half, half, level)
        seen = yield from _settle(state, level)


def _half(state: _State, level: float) -> float:
    """Half the level; 0 where nothing lower makes sense."""
    if state.settings.over == "concurrency":
        return float(int(level) // 2)
    start = state.settings.at_least or 1.0
    return level / 2 if level / 2 >= start / 1024 else 0.0


def _between(state: _State) -> float | None:
    """The middle of the bracket; None when it is narrow enough."""
    low, high = state.held, state.broken
    if low is None or high is None or high - low <= _step(state, high):
        return None
    middle = (low + high) / 2
    middle = float(math.floor(middle)) if state.settings.over == "concurrency" else float(f"{middle:.4g}")
    return state.near(middle, low, high)


def _step(state: _State, level: float) -> float:
    """How near two levels are that need not be told apart."""
    return max(1.0, math.floor(NEAR * level)) if state.settings.over == "concurrency" else NEAR * level


def _look_above(state: _State) -> Generator[Probe, Outcome, None]:
    """Where one level alone broke, the next above it must break too: else the break was no limit of the server's."""
    broken = [s.level for s in state.known.values() if not s.held]
    if state.stopped != "found" or len(broken) != 1 or state.spent:
        return
    above = broken[0] + _step(state, broken[0])
    if above <= state.settings.max:
        yield from _settle(state, state.near(above, above, state.settings.max))
        state.stopped = "found"  # the answer is there, whatever became of this one


def _settle(state: _State, level: float) -> Steps:
    """Probe a level with more and more requests until it is decided; then the observed side counts."""
    if level in state.known:
        return state.known[level]
    outcome = None
    for multiple in MULTIPLES:
        if spent := state.spent:
            state.stopped = spent
            break
        outcome, ran = (yield Probe(level=level, multiple=multiple)), multiple
        state.runs += outcome.runs
        state.seconds += outcome.seconds
        if outcome.over or outcome.verdict is not Verdict.INCONCLUSIVE:
            break
    if outcome is None:
        return None
    if outcome.over:
        state.stopped = outcome.over
        return None
    decided = outcome.verdict in (Verdict.PASS, Verdict.FAIL)
    if outcome.verdict is Verdict.INVALID or (outcome.within is None and not decided):
        state.stopped = "invalid"
        return None
    state.known[level] = CapacityLevel(
        level=level,
        held=outcome.verdict is Verdict.PASS if decided else bool(outcome.within),
        decided=decided,
        proven=decided and outcome.proven,
        multiple=ran,
        result=outcome.result,
    )
    return state.known[level]


def _answer(state: _State) -> CapacityAnswer:
    held, broken = state.held, state.broken
    notes = []
    if held is not None and broken is not None and broken < held:
        notes.append(Message(key="judge.capacity_not_monotone", values={"broken": f"{broken:g}", "held": f"{held:g}"}))
        held = max(s.level for s in state.known.values() if s.held and s.level < broken)
    return CapacityAnswer(
        held=held,
        broken=broken,
        held_proven=held is not None and state.known[held].proven,
        broken_proven=broken is not None and state.known[broken].proven,
        stopped=state.stopped,
        levels=tuple(sorted(state.known.values(), key=lambda s: s.level)),
        runs=state.runs,
        seconds=state.seconds,
        notes=tuple(notes),
    )
