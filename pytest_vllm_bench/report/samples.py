"""A file of records → the few hundred numbers that its charts need, however many requests it holds."""

from __future__ import annotations

import gzip
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Requests and token arrivals that are read at most; beyond, every k-th request stands for k.
REQUESTS = 100_000
ARRIVALS = 2_000_000


class Line(msgspec.Struct):
    """What charts need of a record; the rest of the line is skipped unread."""

    due: float | None = None
    ready: float | None = None
    sent: float | None = None
    connect_s: float | None = None
    first_token: float | None = None
    last_token: float | None = None
    done: float | None = None
    output_tokens: int | None = None
    error: str | None = None


class Arrivals(msgspec.Struct):
    arrival_times: list[float] = []
    arrival_tokens: list[int] = []


@dataclass(slots=True)
class Columns:
    """Every ``stride``-th request as columns (seconds; NaN = it did not happen), the arrivals of every ``every``-th."""

    times: Floats  # n × 6: due, ready, sent, first_token, last_token, done
    tokens: Floats
    connect: Floats
    failed: NDArray[np.bool_]
    stride: int
    every: int
    arrival_times: Floats
    arrival_tokens: Floats
    gaps: Floats

    @property
    def n(self) -> int:
        return len(self.tokens)

    def column(self, name: str) -> Floats:
        chosen: Floats = self.times[:, NAMES.index(name)]
        return chosen


NAMES = ("due", "ready", "sent", "first_token", "last_token", "done")


@dataclass(slots=True)
class _Reading:
    facts: array[float] = field(default_factory=lambda: array("d"))  # eight a request
    failed: array[int] = field(default_factory=lambda: array("b"))
    times: list[Any] = field(default_factory=list)
    tokens: list[Any] = field(default_factory=list)
    gaps: list[Any] = field(default_factory=list)


def _lines(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") as lines:
        yield from lines


def read(path: Path, requests: int, tokens: int) -> Columns | None:
    """Columns of a records file of about so many requests and output tokens; None where nothing can be drawn: a damaged
    file costs its charts, not the report."""
    try:
        return _read(path, requests, tokens)
    except (OSError, EOFError, ValueError, zlib.error, msgspec.MsgspecError):
        return None


def _read(path: Path, requests: int, tokens: int) -> Columns | None:
    import numpy as np

    stride = max(1, -(-requests // REQUESTS))
    every = stride * max(1, -(-tokens // (stride * ARRIVALS)))
    one, arrivals = msgspec.json.Decoder(Line), msgspec.json.Decoder(Arrivals)
    got = _Reading()
    nan = float("nan")
    for k, text in enumerate(_lines(path)):
        if k % stride:
            continue
        line = one.decode(text)
        if line.sent is None:
            continue
        facts = (line.due, line.ready, line.sent, line.first_token, line.last_token, line.done)
        got.facts.extend(nan if t is None else t for t in (*facts, line.output_tokens, line.connect_s))
        got.failed.append(line.error is not None)
        if k % every == 0 and line.error is None:
            seen = arrivals.decode(text)
            times = np.asarray(seen.arrival_times)
            got.times.append(times)
            got.tokens.append(np.asarray(seen.arrival_tokens, dtype=float))
            got.gaps.append(np.diff(times))
    if not got.facts:
        return None
    table = np.frombuffer(got.facts).reshape(-1, 8)
    empty = [np.empty(0)]
    return Columns(
        times=table[:, :6],
        tokens=table[:, 6],
        connect=table[:, 7],
        failed=np.frombuffer(got.failed, dtype=bool),
        stride=stride,
        every=every,
        arrival_times=np.concatenate(got.times or empty),
        arrival_tokens=np.concatenate(got.tokens or empty),
        gaps=np.concatenate(got.gaps or empty),
    )
