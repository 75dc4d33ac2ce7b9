"""Numbers → probabilities, quantiles and effective sample sizes: the statistics of the judge, without scipy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

#: Longer series are averaged in blocks first, so that an autocorrelation stays a matter of milliseconds.
LONGEST_SERIES = 65_536
#: Decimals of a millisecond: what is finer is the rounding of floats, whose patterns are no queue.
NANOSECOND = 6
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)


def beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I(x; a, b) for real a, b ≥ 0 (a = 0: 1, b = 0: 0)."""
    if a <= 0 or x >= 1:
        return 1.0
    if b <= 0 or x <= 0:
        return 0.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _beta_tail(1 - x, b, a)
    return _beta_tail(x, a, b)


def _beta_tail(x: float, a: float, b: float) -> float:
    """I(x; a, b) for x below the mean, where no denominator of its continued fraction is near 0 (Lentz)."""
    c, d = 1.0, 1 / (1.0 - (a + b) * x / (a + 1))
    fraction = d
    for i in range(1, 100_000):
        for step in (
            i * (b - i) * x / ((a + 2 * i - 1) * (a + 2 * i)),
            -(a + i) * (a + b + i) * x / ((a + 2 * i) * (a + 2 * i + 1)),
        ):
            d = 1 / (1 + step * d)
            c = 1 + step / c
            fraction *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return math.exp(_log_front(x, a, b)) * fraction / a


def _log_front(x: float, a: float, b: float) -> float:
    """ln(x^a (1−x)^b / B(a, b)).

    A difference of two large lgammas loses the digits that they share, so Stirling's series takes their place.
    """
    small, large = min(a, b), max(a, b)
    if large < 10:
        return math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if small < 10:
        grown = (large - 0.5) * math.log1p(small / large) + small * math.log(a + b) - small
        grown += _rest(a + b) - _rest(large)
        return grown - math.lgamma(small) + a * math.log(x) + b * math.log1p(-x)
    away = x * (a + b) - a  # from the mean, in counts
    scaled = a * math.log1p(away / a) + b * math.log1p(-away / b)
    return scaled + 0.5 * math.log(a * b / (2 * math.pi * (a + b))) + _rest(a + b) - _rest(a) - _rest(b)


def _rest(z: float) -> float:
    """lgamma(z) less its leading terms, for z ≥ 10."""
    return sum(term / z ** (2 * i + 1) for i, term in enumerate(_STIRLING))


def at_most(k: float, n: float, share: float) -> float:
    """P(Bin(n, share) ≤ k), for real n and k."""
    return beta(1 - share, n - k, k + 1)


def at_least(k: float, n: float, share: float) -> float:
    """P(Bin(n, share) ≥ k), for real n and k."""
    return beta(share, k, n - k + 1)


def t_above(t: float, df: float) -> float:
    """P(T > t) of Student's t."""
    tail = 0.5 * beta(df / (df + t * t), df / 2, 0.5)
    return tail if t >= 0 else 1 - tail


@lru_cache(maxsize=4096)
def t_quantile(p: float, df: float) -> float:
    """t[p, df]: the value that Student's t stays below with probability p, 0 < p < 1."""
    if p < 0.5:
        return -t_quantile(1 - p, df)
    if p >= 1:
        return math.inf
    if p == 0.5:
        return 0.0
    above = 1 - p
    low, high = 0.0, 1.0
    while t_above(high, df) > above:
        low, high = high, high * 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if t_above(middle, df) > above else (low, middle)
    return (low + high) / 2


def t_quantiles(p: float, df: Any) -> Any:
    """t[p, df] of many degrees of freedom, rounded down to halves, from ten on to whole ones, and to a hundred."""
    df = np.clip(df, 0.5, 100.0)
    step = np.where(df < 10, 2 * df, df + 10).astype(np.intp)
    known = np.flatnonzero(np.bincount(step.ravel()))
    quantiles = np.empty(111)
    quantiles[known] = [t_quantile(p, one / 2 if one < 20 else one - 10.0) for one in known.tolist()]
    return quantiles[step]


def digamma(x: Any) -> Any:
    """ψ(x) = d ln Γ(x) / dx for x > 0."""
    y = x + 6.0
    tail = np.log(y) - 1 / (2 * y) - 1 / (12 * y**2) + 1 / (120 * y**4) - 1 / (252 * y**6)
    return tail - sum(1 / (x + i) for i in range(6))


def trigamma(x: Any) -> Any:
    """ψ′(x) for x > 0."""
    y = x + 6.0
    tail = 1 / y + 1 / (2 * y**2) + 1 / (6 * y**3) - 1 / (30 * y**5) + 1 / (42 * y**7)
    return tail + sum(1 / (x + i) ** 2 for i in range(6))


def trigamma_inverse(value: Any) -> Any:
    """The x of which ψ′(x) is ``value``, by halving; between 1e-4 and 1e4."""
    low: Any = math.log(1e-4)
    high: Any = math.log(1e4)
    for _ in range(50):
        middle = (low + high) / 2
        larger = trigamma(np.exp(middle)) > value
        low, high = np.where(larger, middle, low), np.where(larger, high, middle)
    return np.exp((low + high) / 2)


def level_of_estimate(alpha: float, df: float) -> float:
    """The level at which a test of a known variance is as strict as Student's t is at ``alpha``: ≤ ``alpha``."""
    return 0.5 * math.erfc(t_quantile(1 - alpha, df) / math.sqrt(2))


def autocorrelation(series: Any) -> Any:
    """Autocorrelation of a series at every lag (r[0] = 1), mean removed, by FFT; the variance must not be 0."""
    x = series - series.mean()
    size = 1 << (2 * len(x) - 1).bit_length()
    spectrum = np.fft.rfft(x, size)
    r = np.fft.irfft(spectrum * np.conj(spectrum))[: len(x)]
    return r / r[0]


def correlated(series: Any) -> bool:
    """Whether neighbours are more alike than chance explains, at 5 %."""
    x = series - series.mean()
    square = float((x * x).sum())
    return len(x) >= 8 and square > 0 and float((x[1:] * x[:-1]).sum()) / square >= 1.645 / math.sqrt(len(x))


def tau(series: Any, *, known: bool = False) -> float:
    """How many requests of the series are worth one independent request (≥ 1).

    Geyer's initial monotone sequence, enlarged for the bias of short series; long series by blocks.  ``known``: that
    they depend on one another is known from elsewhere and need not be seen in this series.
    """
    n = len(series)
    if n < 8 or series.min() == series.max():
        return 1.0
    if n > LONGEST_SERIES:
        size = math.ceil(n / LONGEST_SERIES)
        means = series[: n // size * size].reshape(-1, size).mean(axis=1)
        return max(1.0, size * float(means.var() / series.var()) * tau(means, known=known))
    if not (known or correlated(series)):
        return 1.0
    r = autocorrelation(series)
    pairs = r[:-1:2] + r[1::2]
    ends = np.flatnonzero(pairs <= 0)
    kept = np.minimum.accumulate(pairs[: ends[0]] if len(ends) else pairs)
    found = max(1.0, 2 * float(kept.sum()) - 1)
    return 1 + (found - 1) / max(0.2, 1 - 2 * math.sqrt(found / n))


def tau_between(misses: Sequence[int], sizes: Sequence[int]) -> float:
    """The least τ that the spread of the miss shares between repeats allows (1 = no more than chance)."""
    repeats, n = len(sizes), sum(sizes)
    if repeats < 2 or min(sizes) == 0 or not 0 < sum(misses) < n:
        return 1.0
    share = sum(misses) / n
    shares = np.array(misses) / np.array(sizes)
    spread = (n / repeats) * float(shares.var(ddof=1)) / (share * (1 - share))
    return spread * (t_quantile(0.95, repeats - 1) / 1.645) ** 2 if spread > 1 else 1.0


def worst_tenth(badness: Any) -> Any:
    """1 for the ⌈n/10⌉ worst values (all that tie with the last of them), as a bool series.

    Where nearly everything ties (a share of failures), only what is worse than the tie, if that is five or more.
    """
    n = len(badness)
    badness = np.round(badness, NANOSECOND)
    count = math.ceil(n / 10)
    cut = np.partition(badness, n - count)[n - count]
    marked = badness >= cut
    if marked.all():
        worse = badness > cut
        return worse if worse.sum() >= 5 else ~marked
    return marked


def worse_half(badness: Any) -> Any:
    """1 for the values from the median on, as a bool series."""
    badness = np.round(badness, NANOSECOND)
    return badness >= np.median(badness)


def tau_of_misses(badness: Any, missed: Any) -> float:
    """τ of requests in the order in which they were sent: the larger of the worst tenth's and the misses'.

    In a short run the worst tenth are so few that its dependence can go unseen (a run of 100, AR(1) with φ = 0.8: once
    in 40); the worse half shows it always.  How strong it is in the tail, the tail still says.
    """
    found = tau(worst_tenth(badness), known=correlated(worse_half(badness))) if len(badness) >= 8 else 1.0
    return max(found, tau(missed)) if missed.sum() >= 5 else found


def half_width(values: Sequence[float], confidence: float) -> float:
    """t[confidence, B − 1] · s / √B of B ≥ 2 values."""
    count = len(values)
    return t_quantile(confidence, count - 1) * float(np.std(values, ddof=1)) / math.sqrt(count)


def slope_t(values: Sequence[float]) -> float:
    """The t value of a straight line's slope through equally spaced values; ±inf for a perfect line."""
    y = np.array(values)
    x = np.arange(len(y)) - (len(y) - 1) / 2
    slope = float((x * y).sum() / (x * x).sum())
    rest = y - y.mean() - slope * x
    error = math.sqrt(float((rest * rest).sum()) / (len(y) - 2) / float((x * x).sum()))
    if error == 0:
        return math.copysign(math.inf, slope) if slope else 0.0
    return slope / error
