"""A mean or throughput → blocks of it that are independent enough, and the interval that they give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pytest_vllm_bench.judge.selection import metric_id
from pytest_vllm_bench.judge.statistics import half_width, slope_t
from pytest_vllm_bench.metric_table import Name
from pytest_vllm_bench.model import Metrics, Sample

FEWEST_REPEATS = 3
FEWEST_REQUESTS = 8
#: The one-sided 5 % point of Student's t at 3 degrees of freedom: a straight line through five means.
RISING = 2.35


def spread(
    name: Name, samples: Sequence[Sample], per_repeat: Sequence[Metrics], key: str
) -> tuple[list[float], int] | None:
    """Values whose scatter is that of the figure, and the requests behind them; None where there is no evidence.

    From three repeats on: the repeats' own figures; else blocks of the steady windows.
    """
    requests = sum(int(s.in_steady.sum()) for s in samples)
    if len(per_repeat) >= FEWEST_REPEATS:
        figures = [m.get(key) for m in per_repeat]
        if all(f is not None for f in figures):
            counted = sum(int(s.counted.sum()) for s in samples)
            return [float(f) for f in figures if f is not None], requests if key.startswith("steady_") else counted
    if requests < FEWEST_REQUESTS or any(s.steady is None for s in samples):
        return None
    values = [value for sample in samples for value in _blocks(name, sample)]
    return (values, requests) if len(values) >= 2 else None


def interval(figure: float, values: Sequence[float], confidence: float, *, borrowed: bool) -> tuple[float, float]:
    """figure ± t·s/√B; ``borrowed``: the figure is of another window, so the blocks' *relative* width is used."""
    width = half_width(values, confidence)
    if borrowed:
        mean = math.fsum(values) / len(values)
        width = figure * width / mean if mean > 0 else math.inf
    return figure - width, figure + width


def _blocks(name: Name, sample: Sample) -> list[float]:
    """The figure in 5 blocks of the steady window (10 from 1,000 requests)."""
    count = 10 if int(sample.in_steady.sum()) >= 1000 else 5
    if name.row.per == "run":
        return _equal_times(name.row.id, sample, count)
    scale = 1000 if name.row.unit == "ms" else 1
    return [float(block.mean()) * scale for block in np.array_split(_ordered(name, sample), count) if len(block)]


def _equal_times(id: str, sample: Sample, count: int) -> list[float]:
    """Throughput of each of ``count`` stretches of the window; 0 throughout where nothing was answered."""
    if id not in sample.tallies:
        return [0.0] * count
    assert sample.steady is not None
    begin, end = sample.steady
    when, amount = sample.tallies[id]
    inside = (when > begin) & (when <= end)
    place = np.searchsorted(np.linspace(begin, end, count + 1), when[inside]) - 1
    totals = np.bincount(place, weights=amount[inside], minlength=count)
    return [float(t) for t in totals / ((end - begin) / count)]


def _ordered(name: Name, sample: Sample) -> Any:
    """Values of successes of the steady window by ``sent`` (gaps: by their end), in seconds or as they are."""
    if name.row.per == "request":
        values = sample.values[metric_id(name, sample.open_loop)]
        chosen = np.flatnonzero(sample.in_steady & np.isfinite(values))
        return values[chosen[np.argsort(sample.sent[chosen], kind="stable")]]
    assert sample.steady is not None
    ended, gaps = sample.gaps[name.row.id]
    begin, end = sample.steady
    inside = (ended > begin) & (ended <= end)
    return gaps[inside][np.argsort(ended[inside], kind="stable")]


def queue_grows(samples: Sequence[Sample]) -> bool:
    """In some repeat's steady window the means of five blocks of response times by ``due`` rise, and by half."""
    return any(_rises(sample) for sample in samples if sample.steady is not None)


def _rises(sample: Sample) -> bool:
    for id in ("response_ttft", "response_e2el"):
        values = sample.values.get(id)
        if values is None:
            continue
        chosen = np.flatnonzero(sample.in_steady & np.isfinite(values))
        if len(chosen) < 5:
            continue
        ordered = values[chosen[np.argsort(sample.due[chosen], kind="stable")]]
        means = [float(block.mean()) for block in np.array_split(ordered, 5)]
        return slope_t(means) > RISING and means[-1] > 1.5 * means[0]
    return False
