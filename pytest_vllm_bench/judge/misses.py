"""A count of misses → proven within, proven over, or how many more requests would decide."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from pytest_vllm_bench.judge.series import Series
from pytest_vllm_bench.judge.statistics import at_least, at_most, level_of_estimate, tau_between, tau_of_misses

FEWEST_FOR_PASS = 25
FEWEST_MISSES_FOR_FAIL = 2
#: Lags that the estimate of τ sums over, in τ.
LAGS = 4
#: A count that floats put this little beside a whole number is that number.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The errors allowed: ``alpha`` for PASS; ``alpha_fail``, that divided by the rules that may fail, for FAIL."""

    alpha: float
    alpha_fail: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Evidence about one rule: n requests of which k missed, worth n′ and k′ independent ones; share = m."""

    n_eff: float
    k_eff: float
    tau: float
    share: float

    def proven_within(self, alpha: float) -> bool:
        if self.n_eff < FEWEST_FOR_PASS:
            return False
        chance = at_most(self.k_eff, self.n_eff, self.share)
        return chance <= alpha and chance <= self.level(alpha)

    def level(self, alpha: float) -> float:
        """What ``alpha`` comes to for PASS.

        A τ above 1 is an estimate from the run itself: a sum over about 2τ lags on either side, with the n/4τ degrees
        of freedom of such a sum.  So α is then that of Student's t: 0.044 instead of 0.05 at n′ = 100, 0.0065 of 0.01.
        """
        return alpha if self.tau == 1 else level_of_estimate(alpha, self.n_eff / LAGS)

    def proven_over(self, alpha: float) -> bool:
        return self.k_eff >= FEWEST_MISSES_FOR_FAIL and at_least(self.k_eff, self.n_eff, self.share) <= alpha


def count(series: Series, share: Fraction) -> Count:
    """The evidence in a series; requests are not independent, so τ of them are worth one."""
    worth = max(tau_of_misses(series.badness, series.missed), tau_between(series.misses, series.sizes))
    return Count(n_eff=series.n / worth, k_eff=series.k / worth, tau=worth, share=float(share))


def more(seen: Count, levels: Levels) -> int | None:
    """How many more requests, missing the limit as often as those seen, would decide; None: too close to the limit."""
    limit = 100 / seen.share
    rate = seen.k_eff / seen.n_eff
    needed = _more_to_pass(seen, rate, limit, levels.alpha)
    if needed is None:
        needed = _more_to_fail(seen, rate, limit, levels.alpha_fail)
    return None if needed is None else max(1, math.ceil((needed - seen.n_eff) * seen.tau))


def _more_to_pass(seen: Count, rate: float, limit: float, alpha: float) -> float | None:
    """The smallest n″ that proves it with ⌈rate · n″⌉ misses."""
    if rate >= seen.share:
        return None
    misses = math.ceil(seen.k_eff)
    while True:
        enough = max(fewest_to_pass(misses, seen.share, alpha, seen.tau), math.ceil(seen.n_eff))
        if enough > limit:
            return None
        if rate * enough <= misses + ROUNDING:
            return enough
        misses += 1


def fewest_to_pass(misses: int, share: float, alpha: float, tau: float = 1.0) -> int:
    """The fewest independent requests that prove a share of misses below ``share`` with that many misses."""

    def enough(n: int) -> bool:
        return Count(n_eff=n, k_eff=misses, tau=tau, share=share).proven_within(alpha)

    low, high = misses, max(FEWEST_FOR_PASS, misses + 1)
    while not enough(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _more_to_fail(seen: Count, rate: float, limit: float, alpha: float) -> float | None:
    """The smallest n″ that disproves it with ⌊rate · n″⌋ misses."""
    if rate <= seen.share:
        return None
    misses = max(FEWEST_MISSES_FOR_FAIL, math.floor(seen.k_eff))
    while True:
        requests = max(math.ceil(misses / rate - ROUNDING), math.ceil(seen.n_eff))
        if requests > limit:
            return None
        if at_least(misses, requests, seen.share) <= alpha:
            return requests
        misses += 1


def value_interval(series: Series, seen: Count, alpha: float) -> tuple[float, float]:
    """The limits that this evidence would leave undecided, in badness: (highest disproven, lowest proven)."""
    ordered = np.sort(series.badness)
    n = series.n
    excused = _largest(lambda k: replace(seen, k_eff=k / seen.tau).proven_within(alpha), n)
    upper = float(ordered[n - excused - 1]) if excused >= 0 else math.inf
    tolerated = _largest(lambda k: not replace(seen, k_eff=k / seen.tau).proven_over(alpha), n)
    lower = float(ordered[n - tolerated - 1]) if tolerated < n else -math.inf
    return lower, upper


def _largest(holds: Any, n: int) -> int:
    """The largest k in 0..n for which ``holds`` (true up to a point, then false); −1 if for none."""
    low, high = -1, n + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def share_interval(seen: Count, alpha: float) -> tuple[float, float]:
    """The shares of misses that this evidence would leave undecided (Clopper–Pearson)."""
    level = seen.level(alpha)
    low = _root(lambda p: at_least(seen.k_eff, seen.n_eff, p) <= alpha)
    return low, 1 - _root(lambda p: at_most(seen.k_eff, seen.n_eff, 1 - p) <= level)


def _root(holds: Any) -> float:
    """The largest p in [0, 1] up to which ``holds``; 0 if for none."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
