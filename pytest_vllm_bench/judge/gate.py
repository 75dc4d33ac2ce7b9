"""Changes against a reference, and the noise → how far one scenario, and all of them together, may be from it.

Arrays as in ``noise``; a change is positive where it is worse.  Of a session in which nothing changed 1 % may fail, so

    FAIL iff  x > t[1−α]·e  and  x − t[c]·e > tolerance       (something changed, and by more than is accepted)

x of a scenario: its change less the median of the others', who share the session's mood; of fewer than two others its
change as it is, and e holds the mood too.  x of all: the mean over the scenarios.  A scenario that is suspected is
measured again, up to ``again`` times; x is then the mean of the fresh measurements (the first one was chosen for being
bad), and α is spent on the looks by (i/again)², from the second on.  Half of it is kept for the end, when all others
are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_vllm_bench.judge.noise import Noise, Ruler, mood_rulers, own_rulers, scenario_rulers
from pytest_vllm_bench.judge.statistics import t_quantiles

#: Of sessions in which nothing changed so many may fail: by a scenario, or by all together; hardly ever by both.
ERRING = 0.007
#: … and by one metric of all scenarios together so many, however few metrics are gated.
ERRING_BY_ONE = 0.0025
#: A scenario is measured again as often as one in two sessions needs it without a change.
SUSPECTED = 0.5
#: How much of the scatter of fresh measurements is believed to be gone from their mean.
BELIEVED = 0.7
#: Variance of a median ÷ that of a mean.
MEDIAN = 1.57


@dataclass(frozen=True, slots=True, kw_only=True)
class Alphas:
    """α of each look at one comparison, of the end, and of all scenarios together."""

    looks: tuple[float, ...]
    end: float
    together: float
    suspected: float

    @staticmethod
    def of(scenarios: int, metrics: int, again: int) -> Alphas:
        together = min(ERRING_BY_ONE, ERRING / metrics)
        alone = scenarios == 1  # then one scenario is all of them, and there is no end at which more is known
        each = together if alone else ERRING / (2 * scenarios * metrics)
        shares = [(2 * i - 1) / again**2 for i in range(1, again + 1)]
        if again > 1:  # one that is off and the one that was suspected may both be: a single fresh one proves nothing
            shares[:2] = [0.0, shares[0] + shares[1]]
        return Alphas(
            looks=tuple(each * share for share in shares),
            end=each,
            together=together,
            suspected=min(0.05, SUSPECTED / (scenarios * metrics)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """How far something is from what it was, beyond what explains it; its standard error as each ruler has it."""

    x: Any
    errors: Sequence[tuple[Any, Any, float]]  # error, degrees of freedom, share of α

    def needed(self, alpha: float, tolerance: Any, confidence: float) -> Any:
        """The least x that fails."""
        found = [
            np.maximum(t_quantiles(1 - alpha * share, df) * e, tolerance + t_quantiles(confidence, df) * e)
            for e, df, share in self.errors
        ]
        return np.minimum.reduce(found)

    def width(self, confidence: float) -> Any:
        """Half the width of an interval."""
        return np.minimum.reduce([t_quantiles(confidence, df) * e for e, df, _ in self.errors])


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """How often a scenario was measured again, each time with so many runs; ``scatter``: the variance of all its
    measurements in this session (None: one)."""

    count: Any = 0
    runs: float = 1.0
    scatter: Any = None


def scatter(measurements: Sequence[Any]) -> Any:
    """The variance of a scenario's measurements in one session (each by metric), none less than the metrics' mean."""
    found = np.var(np.stack(measurements), axis=0, ddof=1)
    return np.maximum(found, found.mean(-1, keepdims=True))


def beside(noise: Noise, scenario: int, change: Any, others: Any, fresh: Fresh = Fresh()) -> Apart:
    """One scenario's change, beside those of the others that this session has measured: (…, other)."""
    known = others.shape[-1]
    kept = noise.kept[..., scenario]
    if known < 2:
        rulers, mood, extra = scenario_rulers(noise, scenario), 0.0, 0.0
    else:
        rulers, mood = own_rulers(noise, scenario, others), np.median(others, -1)
        extra = (MEDIAN if known > 2 else 1.0) / known
    errors = [(np.sqrt(_variance(one, noise, kept, fresh, extra)), one.df, one.share) for one in rulers]
    return Apart(x=change - mood, errors=errors)


def _variance(ruler: Ruler, noise: Noise, kept: Any, fresh: Fresh, extra: float) -> Any:
    """Of a new mean less the reference's: what is one session's own does not go away by measuring it again."""
    of_one, count = ruler.variance, np.maximum(fresh.count, 1)
    runs = noise.runs / (count * fresh.runs)
    gone: Any = 0.0
    if noise.within is not None:
        gone = noise.within / noise.runs * (1 - runs)
    elif fresh.scatter is not None:
        gone = BELIEVED * fresh.scatter * (1 - 1 / count)
    new = np.maximum(of_one - gone, of_one * np.minimum(runs, 1))
    found = (new + of_one / kept) * (1 + extra)
    if fresh.scatter is not None:
        found = np.maximum(found, fresh.scatter * (1 / count + 1 / kept))
    return found


def together(noise: Noise, changes: Any) -> Apart:
    """The change of all scenarios (…, scenario): their mean, or their median where that is less."""
    count = changes.shape[-1]
    x = changes.mean(-1) if count < 4 else np.minimum(changes.mean(-1), np.median(changes, -1))
    spread = changes.var(-1, ddof=1) / count if count > 1 else 0.0
    kept = noise.kept.mean(-1)
    return Apart(
        x=x, errors=[(np.sqrt(r.variance * (1 + 1 / kept)), r.df, r.share) for r in mood_rulers(noise, spread)]
    )
