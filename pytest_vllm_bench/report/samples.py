"""A file of records → the few hundred numbers that its charts need, however many requests it holds."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_vllm_bench.store import records

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Requests and token arrivals that are read at most; beyond, every k-th request stands for k.
REQUESTS = 100_000
ARRIVALS = 2_000_000


@dataclass(slots=True)
class ChartColumns:
    """Every ``stride``-th request as columns (seconds; NaN = it did not happen), the arrivals of every ``every``-th."""

    times: Floats  # n × 6: due, ready, sent, first_token, last_token, done
    tokens: Floats
    connect: Floats
    told: Floats  # n × 2: in the server's queue, of prefill, by its own word
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
    facts: array[float] = field(default_factory=lambda: array("d"))  # ten a request
    failed: array[int] = field(default_factory=lambda: array("b"))
    times: list[Any] = field(default_factory=list)
    tokens: list[Any] = field(default_factory=list)
    gaps: list[Any] = field(default_factory=list)


def read(path: Path, requests: int, tokens: int) -> ChartColumns | None:
    """Columns of a records file of about so many requests and output tokens; None where nothing can be drawn: a damaged
    file costs its charts, not the report."""
    try:
        return _read(path, requests, tokens)
    except records.DAMAGED:
        return None


def _read(path: Path, requests: int, tokens: int) -> ChartColumns | None:
    import numpy as np

    from pytest_vllm_bench.stages import told

    stride = max(1, -(-requests // REQUESTS))
    every = stride * max(1, -(-tokens // (stride * ARRIVALS)))
    got = _Reading()
    nan = float("nan")
    for k, text in enumerate(records.lines(path)):
        if k % stride:
            continue
        line = records.decode(text)
        if line.sent is None:
            continue
        facts = (line.due, line.ready, line.sent, line.first_token, line.last_token, line.done)
        says = (told(line, "server_queue"), told(line, "server_prefill"))
        got.facts.extend(nan if t is None else t for t in (*facts, line.output_tokens, line.connect_s, *says))
        got.failed.append(line.error is not None)
        if k % every == 0 and line.error is None:
            times = np.frombuffer(line.arrival_times)
            got.times.append(times)
            got.tokens.append(np.array(line.arrival_tokens, dtype=float))
            got.gaps.append(np.diff(times))
    if not got.facts:
        return None
    table = np.frombuffer(got.facts).reshape(-1, 10)
    empty = [np.empty(0)]
    return ChartColumns(
        times=table[:, :6],
        tokens=table[:, 6],
        connect=table[:, 7],
        told=table[:, 8:],
        failed=np.frombuffer(got.failed, dtype=bool),
        stride=stride,
        every=every,
        arrival_times=np.concatenate(got.times or empty),
        arrival_tokens=np.concatenate(got.tokens or empty),
        gaps=np.concatenate(got.gaps or empty),
    )
