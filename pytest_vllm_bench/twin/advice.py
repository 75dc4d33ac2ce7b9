"""Twins → which loads would teach them most, and how two of them differ in the engine's terms."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pytest_vllm_bench.twin import PARAMETERS, Twin

#: What may be measured: lengths and concurrencies.
INPUTS, OUTPUTS, CONCURRENCIES = (64, 256, 1024, 4096), (64, 256), (1, 4, 16, 64)
#: So many are advised.
LOADS = 3
#: A change is one beyond so many spreads, and beyond this share.
SURE, LEAST = 2.0, 0.03
#: A parameter that is so little of a step cannot be told.
SMALL = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A load that is worth measuring; ``gain``: by how much it narrows all parameters together, as a factor."""

    input_len: int
    output_len: int
    concurrency: int
    gain: float


def next_loads(twin: Twin) -> list[Advice]:
    """The loads that, with those before them, tell most of the parameters (D-optimal, one after another)."""
    known = np.array(twin.known) + 1e-6 * np.eye(len(PARAMETERS))
    chosen: list[Advice] = []
    room = [one for one in itertools.product(INPUTS, OUTPUTS, CONCURRENCIES) if _fits(twin, *one)]
    while room and len(chosen) < LOADS:
        gains = [float(np.linalg.slogdet(known + _told(twin, *one))[1]) for one in room]
        best = int(np.argmax(gains))
        gain = math.exp((gains[best] - float(np.linalg.slogdet(known)[1])) / 2 / len(PARAMETERS))
        known = known + _told(twin, *room[best])
        prompt, output, concurrency = room.pop(best)
        chosen.append(Advice(input_len=prompt, output_len=output, concurrency=concurrency, gain=gain))
    return chosen


def _fits(twin: Twin, prompt: int, output: int, concurrency: int) -> bool:
    return concurrency <= twin.engine.max_num_seqs and concurrency * (prompt + output) <= twin.engine.kv_tokens


def _told(twin: Twin, prompt: int, output: int, concurrency: int) -> Any:
    """XᵀX of the steps of a load: one in the middle of decoding, and one with a prefill."""
    values = np.array([twin.parameters[name] for name in PARAMETERS])
    context = prompt + output / 2
    decode = np.array([1, concurrency, concurrency * context, 0, 0]) * values
    beside = concurrency - 1
    prefill = np.array([1, beside, beside * context, prompt, not beside]) * values
    rows = np.array([decode / decode.sum(), prefill / prefill.sum()])
    return rows.T @ rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterChange:
    """One parameter of an engine, before and after; ``sure``: a smaller change could be chance."""

    name: str
    before: float
    after: float
    sure: float
    what: Literal["slower", "faster", "unchanged", "too_small"]


def changes(old: Twin, new: Twin) -> Iterator[ParameterChange]:
    """What of an engine is another now."""
    for i, name in enumerate(PARAMETERS):
        before, after = old.parameters[name], new.parameters[name]
        share = max(math.sqrt(t.known[i][i] / len(t.lessons)) for t in (old, new))
        sure = max(LEAST, SURE * math.hypot(old.spread.get(name, 0.0), new.spread.get(name, 0.0)))
        moved = math.log(after / before) if before > 0 < after else 0.0
        what: Any = "too_small" if share < SMALL else "unchanged" if abs(moved) <= sure else None
        what = what or ("slower" if moved > 0 else "faster")
        yield ParameterChange(name=name, before=before, after=after, sure=sure, what=what)
