"""Due offsets under a cap → which request goes when: the one loop behind every load shape.

Closed loop: everything is due at 0, under a cap.  Open loop: offsets, with or without a cap.  A trace: given offsets.
A conversation: each turn is due a think time after the answer before it.  It reads no clock and sets no timer of its
own, so that it runs in virtual time as well.
"""

from __future__ import annotations

import heapq
import math
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple, Protocol

from pytest_vllm_bench.model import INDEX_ROW

_row = struct.Struct(INDEX_ROW)
NAN = math.nan


class PlannedRow(NamedTuple):
    """One request of the plan, as far as sending it needs to know."""

    number: int
    chain: int
    turn: int
    model: int
    due: float  # offset in seconds; NaN for a later turn
    think: float  # seconds after the end of the turn before
    offset: int  # of its body in bodies.bin
    length: int


Chain = list[PlannedRow]


def rows(index: bytes | memoryview, numbers: Iterable[int] | None = None) -> Iterator[PlannedRow]:
    """The plan's rows in order; ``numbers``: theirs in the whole plan, where this is a part of one."""
    numbered = zip(count() if numbers is None else numbers, _row.iter_unpack(index), strict=False)
    for number, (offset, length, chain, turn, model, due, think, *_) in numbered:
        yield PlannedRow(number, chain, turn, model, due, think, offset, length)


def chains(
    index: bytes | memoryview, shard: int = 0, of: int = 1, numbers: Iterable[int] | None = None
) -> Iterator[Chain]:
    """Every ``of``-th chain, beginning with chain ``shard``; the rows of a chain are adjacent, turn 0 first."""
    chain: Chain = []
    for row in rows(index, numbers):
        if row.chain % of != shard:
            continue
        if chain and row.chain != chain[0].chain:
            yield chain
            chain = []
        chain.append(row)
    if chain:
        yield chain


def share(cap: int | None, shard: int, of: int) -> int | None:
    """A shard's part of the cap; the parts sum to the cap."""
    return None if cap is None else cap // of + (shard < cap % of)


def is_closed(index: bytes | memoryview) -> bool:
    """All is due at once: the loop is closed by the cap."""
    for at in range(len(index) - _row.size, -1, -_row.size):
        due = _row.unpack_from(index, at)[5]
        if not math.isnan(due):
            return bool(due == 0.0)
    return True


class Launch(Protocol):
    """Send ``row`` now.  ``ready``: when it could have gone; ``due``: when it should have (NaN: it has no due)."""

    def __call__(self, row: PlannedRow, ready: float, due: float) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a dispatch needs of the world around it; times are absolute seconds on ``clock``."""

    clock: Callable[[], float]
    wake: Callable[[float], None]  # call ``pump`` at that time; a new one replaces the one before
    launch: Launch
    expect: Callable[[int], None] = lambda n: None  # so many are due within ``lead``
    skip: Callable[[PlannedRow], None] = lambda row: None  # will not be sent, though it was due


class Dispatch:
    """Sends each row when it is due and a slot is free."""

    BREATH = 16  # sends take half a millisecond
    LOOK_AHEAD = 4096  # rows, so that the pool of connections can grow before they are due

    def __init__(
        self,
        plan: Iterator[Chain],
        outside: Outside,
        *,
        cap: int | None,
        steps: Sequence[tuple[float, int]] = (),
        closed: bool = False,
        lead: float = 0.25,
    ) -> None:
        self._plan, self._outside, self._closed, self._lead = plan, outside, closed, lead
        self._ahead: deque[Chain] = deque()
        self._later: list[tuple[float, int, Chain, int]] = []  # turns that wait for their think time
        self._open_chains: dict[int, Chain] = {}  # row in flight → its chain, where turns follow
        self._cap, self._steps = cap, deque(steps)
        self._free: deque[float] = deque()  # since when each free slot has been free
        self._more = True
        self._deadline = math.inf
        self.start = 0.0
        self.in_flight = 0
        self.stopped = False

    def begin(self, start: float, duration: float | None = None) -> None:
        """The clock starts at ``start``; nothing is sent ``duration`` seconds after it, but what could have gone before
        and was late by nobody's doing but ours."""
        self.start = start
        self._deadline = math.inf if duration is None else start + duration
        if self._cap is not None:
            self._free.extend([start] * self._cap)
        self.pump()

    @property
    def finished(self) -> bool:
        """Nothing is in flight and nothing will be."""
        if self.in_flight:
            return False
        return self.stopped or not (self._more or self._ahead or self._later or self._open_chains)

    def stop(self) -> None:
        """Send nothing more.  In an open loop, what was due and waited for a slot is skipped aloud."""
        if self.stopped:
            return
        self.stopped = True
        self._later.clear()
        over = min(self._outside.clock(), self._deadline)
        while not self._closed and self._next_at() <= over:
            self._outside.skip(self._ahead.popleft()[0])
            self._look_ahead(over - self._lead)
        self._ahead.clear()

    def freed(self, row: PlannedRow, at: float) -> None:
        """``row`` ended at ``at``; if turns follow it, ``answered`` says whether they do."""
        self.in_flight -= 1
        if self._cap is not None and self.in_flight + len(self._free) < self._cap:
            self._free.append(at)

    def has_more(self, row: PlannedRow) -> bool:
        """Turns follow this one."""
        return row.number in self._open_chains

    def answered(self, row: PlannedRow, at: float, well: bool = True) -> None:
        """The answer to ``row``, which ended at ``at``, is read: its next turn can go; or, without one, none will."""
        chain = self._open_chains.pop(row.number)
        place = row.turn + 1
        if well and not self.stopped:
            heapq.heappush(self._later, (at + chain[place].think, chain[place].number, chain, place))
        elif not well:
            for turn in chain[place:]:
                self._outside.skip(turn)

    def pump(self) -> None:
        """Send all that may go now, and ask to be woken for the next.

        Of a burst ``BREATH`` at a time: what is answered meanwhile gets its timestamp before the rest is sent.
        """
        clock, left = self._outside.clock, self.BREATH
        now = clock()
        self._step(now)
        self._look_ahead(now)
        while not self.stopped:
            at = self._next_at()
            over = now >= self._deadline and (self._closed or self._ready(at) >= self._deadline)
            if over or (self._deadline <= at < math.inf and not self._open_chains):
                self.stop()
                return
            if at > now:
                now = clock()
            if at > now or (self._cap is not None and not self._free):
                break
            if not left:
                self._outside.wake(now)
                return
            left -= 1
            self._send_next(at)
            if not self._ahead:
                self._look_ahead(now)
        if not self.stopped:
            self._ask(now)

    def _next_at(self) -> float:
        first = self.start + self._ahead[0][0].due if self._ahead else math.inf
        return min(first, self._later[0][0]) if self._later else first

    def _ready(self, at: float) -> float:
        """When what is due ``at`` that time can go."""
        if self._cap is None:
            return at
        return max(at, self._free[0]) if self._free else math.inf

    def _send_next(self, at: float) -> None:
        if self._later and self._later[0][0] == at:
            _, _, chain, place = heapq.heappop(self._later)
        else:
            chain, place = self._ahead.popleft(), 0
        row = chain[place]
        if place + 1 < len(chain):
            self._open_chains[row.number] = chain
        ready = self._ready(at)
        if self._cap is not None:
            self._free.popleft()
        self.in_flight += 1
        due = NAN if place or (self._closed and ready > at) else at
        self._outside.launch(row, ready, due)

    def _look_ahead(self, now: float) -> None:
        horizon = now + self._lead
        while self._more and len(self._ahead) < self.LOOK_AHEAD:
            if self._ahead and self.start + self._ahead[-1][0].due > horizon:
                return
            chain = next(self._plan, None)
            if chain is None:
                self._more = False
            else:
                self._ahead.append(chain)

    def _step(self, now: float) -> None:
        while self._steps and self.start + self._steps[0][0] <= now:
            offset, self._cap = self._steps.popleft()
            while self._free and self.in_flight + len(self._free) > self._cap:
                self._free.pop()
            grown = self._cap - self.in_flight - len(self._free)
            self._free.extend([self.start + offset] * max(0, grown))

    def _ask(self, now: float) -> None:
        """Say how many connections are needed soon; wake for the next due row, the next step of the cap, and ``lead``
        before either, when connections for it are to be opened."""
        expected = len(self._ahead) + len(self._later)
        if self._ahead and self.start + self._ahead[-1][0].due > now + self._lead:
            expected -= 1
        times: list[float] = []
        if self._cap is not None:
            slots = len(self._free)
            if self._steps:
                step = self.start + self._steps[0][0]
                times.append(step - self._lead if step - self._lead > now else step)
                slots += max(0, self._steps[0][1] - self._cap) if step - self._lead <= now else 0
            expected = min(expected, slots)
        self._outside.expect(expected)
        if self._cap is None or self._free:
            times.append(self._next_at())
            if self._ahead and self._more:
                times.append(max(now + self._lead / 8, self.start + self._ahead[-1][0].due - self._lead))
        times.append(self._deadline)
        if min(times) < math.inf:
            self._outside.wake(min(times))
