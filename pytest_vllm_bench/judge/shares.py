"""A count of misses → proven within, proven over, or how many more requests would decide."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from pytest_vllm_bench.judge.selection import Series
from pytest_vllm_bench.judge.statistics import at_least, at_most, level_of_estimate, tau, tau_between, tau_of_misses

FEWEST_FOR_PASS = 25
FEWEST_MISSES_FOR_FAIL = 2
#: Lags that the estimate of τ sums over, in τ.
LAGS = 4
#: How many times the largest value the limit must be for the distance between them to count.
FAR = 3.0
#: Values that lie low together, in τ.  Of a mean n requests are worth n/τ; that the whole of a run lies low is
#: likelier, and how much so the simulations say (``tests/judge/test_far_from_the_limit.py``).
STRETCH = 1.5
#: A count that floats put this little beside a whole number is that number.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The errors allowed: ``alpha`` for PASS; ``alpha_fail``, that divided by the rules that may fail, for FAIL."""

    alpha: float
    alpha_fail: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Evidence about one rule: n requests of which k missed, worth n′ and k′ independent ones; share = m.

    ``margin``: the limit ÷ the largest value (of a lower limit, the smallest value ÷ it); 0 where a request failed, or
    where values have no distance.  ``stretch``: τ of the values themselves, where that was asked.
    """

    n_eff: float
    k_eff: float
    tau: float
    share: float
    margin: float = 0.0
    stretch: float = 1.0

    def proven_within(self, alpha: float) -> bool:
        return self.counted_within(alpha) or self.proven_far(alpha)

    def proven_far(self, alpha: float) -> bool:
        """Whether it holds because nothing came near the limit: then n counts, not n′."""
        margin = self.margin * (1 + ROUNDING)
        return margin >= FAR and margin >= self.margin_needed(alpha)

    def margin_needed(self, alpha: float) -> float:
        """How many times the largest value a limit must be that these n requests prove without a miss.

        n′ answers the fear that the run lay within one good stretch.  Were the percentile at the limit L, a share m of
        the values would be beyond it; and beyond L/r, with a tail no heavier than an exponential one (waiting in a
        queue has just that), a share m^(1/r).  That none is, in ν = n/1.5τ stretches, has the probability
        (1 − m^(1/r))^ν: at most α from r = ln m / ln(1 − α^(1/ν)) on.  So the distance proves what independence would
        (r = 1 is the binomial test itself), and n need only be what that asks for; below ``FAR`` nobody relies on the
        tail.  τ is that of the values: that a queue wanders shows there even where the worst tenth, by which n′ goes,
        are too few to show it.
        """
        n = self.n_eff * self.tau
        if n + ROUNDING < fewest_to_pass(0, self.share, alpha):
            return math.inf
        below = alpha ** (STRETCH * self.stretch / n)
        return max(FAR, math.log(self.share) / math.log1p(-below)) if 1 - below < 1 else math.inf

    def counted_within(self, alpha: float) -> bool:
        if self.n_eff < FEWEST_FOR_PASS:
            return False
        chance = at_most(self.k_eff, self.n_eff, self.share)
        return chance <= alpha and chance <= self.level(alpha)

    def each_for_itself(self) -> Count:
        """The same where each request counts, as n decides."""
        return replace(self, n_eff=self.n_eff * self.tau, k_eff=self.k_eff * self.tau, tau=1.0)

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
    seen = Count(n_eff=series.n / worth, k_eff=series.k / worth, tau=worth, share=float(share))
    if not series.margin:
        return seen
    return replace(seen, margin=series.margin, stretch=max(worth, tau(series.badness, known=True)))


def more(seen: Count, levels: Levels) -> int | None:
    """How many more requests, missing the limit as often as those seen, would decide; None: too close to the limit."""
    limit = 100 / seen.share
    rate = seen.k_eff / seen.n_eff
    far = _more_to_be_far(seen, levels.alpha)
    needed = _more_to_pass(seen, rate, limit, levels.alpha)
    if needed is None:
        needed = _more_to_fail(seen, rate, limit, levels.alpha_fail)
    if needed is None:
        return far
    counted = max(1, math.ceil((needed - seen.n_eff) * seen.tau))
    return counted if far is None else min(counted, far)


def _more_to_be_far(seen: Count, alpha: float) -> int | None:
    """As many as ``margin_needed`` asks for, where all that come stay as far from the limit."""
    if seen.margin < FAR:
        return None
    beyond = seen.share ** (1 / seen.margin)
    stretches = math.log(alpha) / math.log1p(-beyond) if beyond < 1 else 0
    needed = max(fewest_to_pass(0, seen.share, alpha), stretches * STRETCH * seen.stretch)
    return max(1, math.ceil(needed - seen.n_eff * seen.tau))


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
    counted = replace(seen, margin=0.0)
    excused = _largest(lambda k: replace(counted, k_eff=k / seen.tau).proven_within(alpha), n)
    upper = float(ordered[n - excused - 1]) if excused >= 0 else math.inf
    if seen.margin:
        worst, times = float(ordered[-1]), seen.margin_needed(alpha)
        upper = min(upper, worst * times if worst > 0 else worst / times)
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
    if seen.proven_far(alpha):
        seen = seen.each_for_itself()
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
