"""A figure over many sessions → the sessions from which on it was another one.

E-divisive means with a t-test, as in Apache Otava (formerly Hunter): candidates are where two neighbouring stretches
differ most in their energy distance; of those the weakest is dropped, and its neighbours are looked at again, until all
that are left are proven and large enough to matter.  Figures are compared by their logarithms, so that a change is a
share.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pytest_vllm_bench.judge.statistics import t_above, t_quantile

#: How sure a candidate must be, which only says where to look more closely.
CANDIDATE = 0.01
#: Sessions that a change must have before it and behind it: an outlier alone is none.
FEWEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """``at``: the first session of the new level; ``change``: as a share of the old one; ``interval``: the changes that
    are not ruled out, at 95 %; ``p``: how likely so much is by chance."""

    at: int
    before: float
    after: float
    change: float
    interval: tuple[float, float]
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """The difference of two neighbouring stretches of logarithms, with the half-width of its interval."""

    at: int
    before: float
    after: float
    half: float
    p: float

    @property
    def size(self) -> float:
        return abs(self.after - self.before)


def change_points(values: Sequence[float], *, p: float, min_change: float, window: int) -> list[ChangePoint]:
    """Where a series of positive figures, oldest first, changed by more than ``min_change``, each as sure as ``p``.

    ``window``: sessions that are looked at together; the next window begins half of one later.
    """
    if len(values) < 2 * FEWEST:
        return []
    logs = _tamed(np.log(values))
    found = sorted({at for low in _windows(len(logs), window) for at in _candidates(logs, low, low + window)})
    while steps := list(_steps(logs, found)):
        weak = [one for one in steps if one.p >= p]
        small = [one for one in steps if one.size <= math.log1p(min_change)]
        if not weak and not small:
            break
        found.remove(max(weak, key=lambda one: one.p).at if weak else min(small, key=lambda one: one.size).at)
    return [
        ChangePoint(
            at=one.at,
            before=math.exp(one.before),
            after=math.exp(one.after),
            change=math.expm1(one.after - one.before),
            interval=(
                math.expm1(one.after - one.before - one.half),
                math.expm1(one.after - one.before + one.half),
            ),
            p=one.p,
        )
        for one in steps
    ]


#: Half of the nights around one, which tell what it could have been, and how many deviations off it may be.
AROUND, FAR = 3, 2.5


def _tamed(logs: Any) -> Any:
    """Without what no level explains: a night that is far from the median of those around it counts as less far."""
    if len(logs) < 2 * AROUND + 1:
        return logs
    middle = np.array([np.median(logs[max(0, i - AROUND) : i + AROUND + 1]) for i in range(len(logs))])
    reach = FAR * 1.4826 * np.median(np.abs(logs - middle))
    return np.clip(logs, middle - reach, middle + reach)


def _windows(n: int, window: int) -> Iterator[int]:
    """Where windows begin: the last holds the newest sessions."""
    yield from range(0, max(1, n - window), max(1, window // 2))
    if n > window:
        yield n - window


def _candidates(logs: Any, low: int, high: int) -> Iterator[int]:
    """Where the energy distance of two neighbouring stretches is largest, and within each half again."""
    high = min(high, len(logs))
    if (at := _split(logs[low:high])) is None:
        return
    at += low
    if next(_steps(logs[low:high], [at - low])).p < CANDIDATE:
        yield from _candidates(logs, low, at)
        yield at
        yield from _candidates(logs, at, high)


def _split(logs: Any) -> int | None:
    """The τ of the best (τ, κ): Q = 2/n·Σ|between| − 2m/(n(l−1))·Σ|within left| − 2l/(n(m−1))·Σ|within right|, with
    l = τ and m = κ − τ sessions on both sides, n = l + m."""
    n = len(logs)
    sums = np.zeros((n + 1, n + 1))
    sums[1:, 1:] = np.abs(logs[:, None] - logs[None, :]).cumsum(0).cumsum(1)
    tau, kappa = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    left, right = tau, kappa - tau
    fits = (left >= FEWEST) & (right >= FEWEST)
    if not fits.any():
        return None
    inner = np.diag(sums)
    within_left, all_of = inner[tau] / 2, inner[kappa] / 2
    between = sums[tau, kappa] - inner[tau]
    within_right = all_of - within_left - between
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = 2 / kappa * (between - right / (left - 1) * within_left - left / (right - 1) * within_right)
    return int(np.unravel_index(np.where(fits, gain, -np.inf).argmax(), gain.shape)[0])


def _steps(logs: Any, found: Sequence[int]) -> Iterator[_Step]:
    """Each point's two neighbouring stretches, compared by a two-sided t-test of equal variances."""
    ends = [0, *found, len(logs)]
    left = np.concatenate([logs[low:high] - logs[low:high].mean() for low, high in pairwise(ends)])
    slack = math.sqrt((1 + (likeness := _likeness(left, len(ends) - 1))) / (1 - likeness))
    for low, at, high in zip(ends, ends[1:], ends[2:], strict=False):
        before, after = logs[low:at], logs[at:high]
        df = high - low - 2
        if min(len(before), len(after)) < FEWEST:
            yield _Step(at=at, before=before.mean(), after=after.mean(), half=math.inf, p=1.0)
            continue
        pooled = math.sqrt((before.var() * len(before) + after.var() * len(after)) / df)
        error = slack * pooled * math.sqrt(1 / len(before) + 1 / len(after))
        size = abs(after.mean() - before.mean())
        chance = 2 * t_above(size / error, df) if error else float(not size)
        half = t_quantile(0.975, df) * error
        yield _Step(at=at, before=float(before.mean()), after=float(after.mean()), half=half, p=chance)


def _likeness(left: Any, levels: int) -> float:
    """How much a night is like the one before it (the lag-one autocorrelation of what levels leave), 0 to 0.8: nights
    that are alike say less than as many that are not.  Each level that was taken off makes them look less alike than
    they are; what independent nights often show by chance counts as none."""
    n, total = len(left), float((left**2).sum())
    if n < 2 * FEWEST or not total:
        return 0.0
    seen = float((left[1:] * left[:-1]).sum()) / total
    true = seen + levels * (1 + 3 * max(seen, 0.0)) / n
    return min(0.8, true) if true > 1 / math.sqrt(n) else 0.0
