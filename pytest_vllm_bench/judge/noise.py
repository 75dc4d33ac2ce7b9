"""Sessions of a reference → how far a new one may be from them although nothing changed.

Arrays hold y ÷ s₀: y = ln(metric), worse = more, s₀ = the noise that is assumed, so that metrics are alike; by metric,
session, scenario, and before them whatever else (a simulation's runs).  A session's figures are taken apart: the
scenario's mean, what all scenarios of the session have in common (its *mood*), and what is left (*own*):

    own²  = Σ rest² / (K−1) · J/(J−1), moderated over the scenarios as limma's squeezeVar does (Smyth 2004)
    mood² = var of the sessions' means over the scenarios, K−1 degrees of freedom

Neither is taken for less than what the metrics show together.  Each is used twice, and what either finds is found:
weighed with what is assumed, which a long history outvotes in both directions, and alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_vllm_bench.judge.statistics import digamma, trigamma, trigamma_inverse

#: Degrees of freedom that what is assumed of one scenario is worth, and of the mood of a session.
WORTH, WORTH_OF_MOOD = 4.0, 3.0
#: The mood that is assumed, as a share of the noise of one measurement.
MOOD = 0.75
#: The share of α for what the history finds alone.
ALONE = 0.25
#: What a single session's neighbours tell of a scenario is worth no more degrees of freedom than this.
MOST_OF_NEIGHBOURS = 8.0
#: A history never shows less noise than this share of what is assumed: clocks and rounding have their own.
LEAST = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruler:
    """The variance of one session as somebody believes it, by degrees of freedom, and the share of α that this gets."""

    variance: Any
    df: Any
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What a reference has shown; ``own``, ``mood`` are None where nothing was seen twice (``kept`` = 1).

    ``within``: the variance of one run within a session, where sessions were of several (``runs``).
    """

    kept: Any
    own: Any = None
    own_df: Any = None
    mood: Any = None
    mood_df: Any = None
    within: Any = None
    runs: float = 1.0

    def of(self, metric: int) -> Noise:
        """Of one metric alone."""

        def cut(values: Any, axes: int) -> Any:
            return None if values is None else values[(..., metric, *[slice(None)] * axes)]

        return replace(self, kept=cut(self.kept, 1), own=cut(self.own, 1), own_df=cut(self.own_df, 1),
                       mood=cut(self.mood, 0), mood_df=cut(self.mood_df, 0), within=cut(self.within, 0))  # fmt: skip


def shown(history: Any, within: Any = None, runs: float = 1.0, together: Any = slice(None)) -> Noise:
    """The noise of a history (…, metric, session, scenario), NaN where a session lacks a figure; ``together``: the
    metrics that are held beside one another."""
    there = np.isfinite(history)
    kept, of_session = there.sum(-2), there.sum(-1, keepdims=True)
    within = None if within is None else at_least(within, together, -1)
    if kept.max() < 2:
        return Noise(kept=kept, within=within, runs=runs)
    apart = _where(there, history - _mean(history, there, -2)[..., None, :])
    moods = _mean(apart, there, -1)
    # How much of each session is in what it is compared with: all of it where its scenarios were seen once.
    itself = (there / np.maximum(of_session, 1)) @ np.swapaxes(there / np.maximum(kept, 1)[..., None, :], -1, -2)
    mood_df = ((np.eye(history.shape[-2]) * (of_session > 0) - itself) ** 2).sum((-2, -1))
    mood = at_least((moods**2).sum(-1) / _positive(mood_df), together, -1)
    rest = _where(there, apart - moods[..., None])
    scenarios = int(there.any(-2).sum(-1).max())
    shared = scenarios / max(1, scenarios - 1)
    df = _where(there, 1 - 1 / np.maximum(of_session, 1)).sum(-2) * (1 - 1 / np.maximum(kept, 1)) * shared
    own = at_least((rest**2).sum(-2) / _positive(df) * shared, together, -2)
    own, own_df = moderated(own, df, df.sum(-1, keepdims=True) / shared)
    return Noise(kept=kept, own=own, own_df=own_df, mood=mood, mood_df=mood_df, within=within, runs=runs)


def _mean(values: Any, there: Any, axis: int) -> Any:
    return _where(there, values).sum(axis) / np.maximum(there.sum(axis), 1)


def _where(there: Any, values: Any) -> Any:
    return np.where(there, values, 0.0)


def _positive(df: Any) -> Any:
    return np.where(df > 0, df, 1)


def at_least(variances: Any, together: Any, axis: int) -> Any:
    """Variances, none taken for less than the metrics' mean, nor for less than clocks can tell."""
    chosen = variances[..., together, :] if axis == -2 else variances[..., together]
    floor = chosen.mean(axis, keepdims=True) if chosen.shape[axis] else 0.0
    return np.maximum(np.maximum(variances, floor), LEAST**2)


def moderated(variances: Any, df: Any, most: Any) -> tuple[Any, Any]:
    """squeezeVar: variances (…, metric, scenario) with ``df`` each, drawn towards their common one, and the degrees of
    freedom that they have then, at most those of all together (``most``)."""
    seen = df > 0
    count = np.maximum(seen.sum(-1, keepdims=True), 1)
    pooled = (variances * df).sum(-1, keepdims=True) / _positive(df.sum(-1, keepdims=True))
    if variances.shape[-1] < 3:
        return np.full_like(variances, pooled), np.full_like(variances, most)
    half = _positive(df) / 2
    logs = _where(seen, np.log(variances) - digamma(half) + np.log(half))
    mean = logs.sum(-1, keepdims=True) / count
    spread = (_where(seen, logs - mean) ** 2).sum(-1, keepdims=True) / np.maximum(count - 1, 1)
    beyond = (spread - _where(seen, trigamma(half)).sum(-1, keepdims=True) / count).mean(-2, keepdims=True)
    prior_df = 2 * trigamma_inverse(np.maximum(beyond, 1e-4))
    prior = np.exp(mean + digamma(prior_df / 2) - np.log(prior_df / 2))
    squeezed = (prior_df * prior + df * variances) / (prior_df + df)
    return np.where(beyond > 0, squeezed, pooled), np.minimum(prior_df + df, most)


def weighed(variance: Any, df: Any, assumed: float, worth: float) -> list[Ruler]:
    """What a history has shown, beside what is assumed, and alone; where it has shown more, half of that is assumed,
    and where it has shown nothing, all."""
    seen = df > 0
    more = seen & (variance > assumed**2)
    both = np.where(more, variance, (worth * assumed**2 + df * variance) / (worth + df))
    df_of_both = df + np.where(more, worth / 2, worth)
    alone = Ruler(variance=np.where(seen, variance, both), df=np.where(seen, df, df_of_both), share=ALONE)
    return [Ruler(variance=both, df=df_of_both, share=1 - ALONE), alone]


def mood_rulers(noise: Noise, spread: Any) -> list[Ruler]:
    """Of a mean over the scenarios; ``spread``: the variance of their changes ÷ their number, all that K = 1 shows."""
    if noise.mood is None:
        return [Ruler(variance=MOOD**2 + spread / 2, df=np.asarray(WORTH_OF_MOOD))]
    return weighed(noise.mood, noise.mood_df, MOOD, WORTH_OF_MOOD)


def scenario_rulers(noise: Noise, scenario: int) -> list[Ruler]:
    """Of one scenario alone, its session's mood included."""
    if noise.mood is None:
        return [Ruler(variance=np.asarray(1.0), df=np.asarray(WORTH))]
    return weighed(noise.mood + noise.own[..., scenario], noise.mood_df, 1.0, WORTH)


def own_rulers(noise: Noise, scenario: int, changes: Any) -> list[Ruler]:
    """Of one scenario beside the others; ``changes``: the others' (K = 1: how they scatter is all that is seen)."""
    if noise.own is not None:
        return weighed(noise.own[..., scenario], noise.own_df[..., scenario], 1.0, WORTH)
    seen, df = changes.var(-1, ddof=1) / 2, changes.shape[-1] - 1.0
    both = np.maximum((WORTH + df * seen) / (WORTH + df), seen)
    return [Ruler(variance=both, df=np.asarray(min(WORTH + df, MOST_OF_NEIGHBOURS)))]
