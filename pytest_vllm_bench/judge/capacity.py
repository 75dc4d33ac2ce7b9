"""Outcomes of probes → the next level to probe, until the largest that holds and the smallest that breaks are near.

``search`` is a generator: it yields a Probe, is sent its Outcome, and returns an Answer.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pytest_vllm_bench.model import Message, Search, Verdict

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
    """What a probe came to; ``within``: the observed side; ``seconds`` that it took."""

    verdict: Verdict
    within: bool | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of a level: whether it held, and whether that is proven or only observed."""

    level: float
    held: bool
    proven: bool
    multiple: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The largest level that held and the smallest that broke (None: none did); ``stopped``: why it ended."""

    held: float | None
    broken: float | None
    held_proven: bool = False
    broken_proven: bool = False
    stopped: Literal["found", "max", "runs", "time", "invalid", "floor"] = "found"
    levels: tuple[Seen, ...] = ()
    runs: int = 0
    seconds: float = 0.0
    notes: tuple[Message, ...] = ()

    def at_least(self, wanted: float) -> bool | None:
        """Whether the server takes ``wanted``; None where no probe says so."""
        if self.held is not None and self.held >= wanted:
            return True
        if self.broken is not None and self.broken <= wanted:
            return False
        return None


@dataclass(slots=True, kw_only=True)
class _State:
    settings: Search
    known: dict[float, Seen] = field(default_factory=dict)
    runs: int = 0
    seconds: float = 0.0
    stopped: Literal["found", "max", "runs", "time", "invalid", "floor"] = "found"

    @property
    def spent(self) -> bool:
        if self.runs >= self.settings.runs:
            self.stopped = "runs"
        elif self.seconds >= self.settings.seconds:
            self.stopped = "time"
        else:
            return False
        return True

    @property
    def held(self) -> float | None:
        return max((s.level for s in self.known.values() if s.held), default=None)

    @property
    def broken(self) -> float | None:
        return min((s.level for s in self.known.values() if not s.held), default=None)


Steps = Generator[Probe, Outcome, Seen | None]


def search(settings: Search, known: Mapping[float, Seen] | None = None) -> Generator[Probe, Outcome, Answer]:
    """Find the capacity: doubling, then bisection; ``known``: levels that another tier's search has settled."""
    state = _State(settings=settings, known=dict(known or {}))
    yield from _bracket(state)
    while state.stopped == "found" and (level := _between(state)) is not None:
        if (yield from _settle(state, level)) is None:
            break
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
        level = min(level * 2, settings.max)
        seen = yield from _settle(state, level)
    while seen is not None and not seen.held and (state.held is None):
        level = _half(state, level)
        if level <= 0:
            state.stopped = "floor"
            return
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
    if low is None or high is None or low >= high:
        return None
    whole = state.settings.over == "concurrency"
    if high - low <= (max(1.0, NEAR * high) if whole else NEAR * high):
        return None
    middle = (low + high) / 2
    return float(math.floor(middle)) if whole else float(f"{middle:.4g}")


def _settle(state: _State, level: float) -> Steps:
    """Probe a level with more and more requests until it is decided; then the observed side counts."""
    if level in state.known:
        return state.known[level]
    outcome = None
    multiple = MULTIPLES[0]
    for multiple in MULTIPLES:
        if state.spent:
            break
        outcome = yield Probe(level=level, multiple=multiple)
        state.runs += 1
        state.seconds += outcome.seconds
        if outcome.verdict is not Verdict.INCONCLUSIVE:
            break
    if outcome is None:
        return None
    if outcome.verdict is Verdict.INVALID or (outcome.within is None and outcome.verdict is Verdict.INCONCLUSIVE):
        state.stopped = "invalid"
        return None
    proven = outcome.verdict is not Verdict.INCONCLUSIVE
    held = outcome.verdict is Verdict.PASS or (not proven and bool(outcome.within))
    state.known[level] = Seen(level=level, held=held, proven=proven, multiple=multiple)
    return state.known[level]


def _answer(state: _State) -> Answer:
    held, broken = state.held, state.broken
    notes = []
    if held is not None and broken is not None and broken < held:
        notes.append(Message(key="judge.capacity_not_monotone", values={"broken": f"{broken:g}", "held": f"{held:g}"}))
        held = max((s.level for s in state.known.values() if s.held and s.level < broken), default=None)
    return Answer(
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
