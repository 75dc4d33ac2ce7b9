"""Virtual time: a server that answers at once in it, and a clock that jumps from event to event."""

from __future__ import annotations

import heapq
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from pytest_vllm_bench.load.dispatch import Dispatch, Outside, PlannedRow, chains, is_closed, share
from pytest_vllm_bench.model import INDEX_ROW

START = 1000.0
NAN = math.nan


def index(dues: Sequence[float], turns: Sequence[tuple[int, float]] = ()) -> bytes:
    """Chains due at ``dues``; of each the further turns and their think time."""
    rows = b""
    for chain, due in enumerate(dues):
        more, think = turns[chain] if turns else (0, 0.0)
        rows += struct.pack(INDEX_ROW, 0, 2, chain, 0, 0, due, 0.0, 1, 1, 0, NAN)
        for turn in range(1, more + 1):
            rows += struct.pack(INDEX_ROW, 0, 2, chain, turn, 0, NAN, think, 1, 1, 0, NAN)
    return rows


@dataclass
class Went:
    row: PlannedRow
    at: float
    ready: float
    due: float
    end: float = NAN


@dataclass
class World:
    """Virtual time: a server that takes ``service(row)`` seconds, and a clock that jumps from event to event."""

    service: Callable[[PlannedRow], float] = lambda row: 1.0
    answered: Callable[[PlannedRow], bool] = lambda row: True
    now: float = START
    went: list[Went] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    expected: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._events: list[tuple[float, int, Went | Callable[[], None]]] = []
        self._alarm = math.inf
        self._order = count()

    def run(self, plan: bytes, *, cap: int | None, shard: tuple[int, int] = (0, 1), **options: Any) -> World:
        duration = options.pop("duration", None)
        stop_at, start = options.pop("stop_at", None), options.pop("start", START)
        self.dispatch = dispatch = Dispatch(
            chains(plan, *shard),
            Outside(
                clock=lambda: self.now, wake=self._wake, launch=self._launch,
                expect=lambda n: self.expected.append((self.now, n)), skip=lambda row: self.skipped.append(row.number),
            ),
            cap=share(cap, *shard), closed=is_closed(plan), **options,
        )  # fmt: skip
        if stop_at is not None:
            self.later(stop_at, dispatch.stop)
        dispatch.begin(start, duration)
        while not dispatch.finished:
            event = self._events[0][0] if self._events else math.inf
            assert min(event, self._alarm) < math.inf, "nothing will happen any more, and yet it is not finished"
            self.now = max(self.now, min(event, self._alarm))
            if self._alarm <= event:
                self._alarm = math.inf
                dispatch.pump()
                continue
            what = heapq.heappop(self._events)[2]
            if isinstance(what, Went):
                dispatch.freed(what.row, self.now)
                if dispatch.has_more(what.row):
                    dispatch.answered(what.row, self.now, self.answered(what.row))
                dispatch.pump()
            else:
                what()
        return self

    def later(self, at: float, call: Went | Callable[[], None]) -> None:
        heapq.heappush(self._events, (at, next(self._order), call))

    def _wake(self, at: float) -> None:
        self._alarm = at

    def _launch(self, row: PlannedRow, ready: float, due: float) -> None:
        one = Went(row, self.now, ready, due, self.now + self.service(row))
        self.went.append(one)
        self.later(one.end, one)

    @property
    def offsets(self) -> list[float]:
        return [round(one.at - START, 9) for one in self.went]


def peak(went: Sequence[Went]) -> int:
    ends = sorted([(one.end, -1) for one in went] + [(one.at, 1) for one in went])
    level = top = 0
    for _, change in ends:
        level += change
        top = max(top, level)
    return top
