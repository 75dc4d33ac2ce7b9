"""Thousands of sessions at once, as the gate judges them: for the table and the error rates of docs/*/verdicts.md.

Drawn is ln(metric) ÷ noise, worse = more, by (run, metric, session, scenario).  A session's mood, and what is a
scenario's own in it, stay when it is measured again; only the scatter of runs is drawn anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pytest_vllm_bench.judge import gate, noise
from pytest_vllm_bench.judge.gate import Alphas, Fresh
from pytest_vllm_bench.judge.looks import level

#: What the gate assumes of a throughput or mean.
ASSUMED = 0.03


@dataclass(frozen=True, kw_only=True)
class Corner:
    """What varies, by how much: sd of ln; ``own`` and ``run`` for all scenarios or for each."""

    kept: int
    scenarios: int = 12
    metrics: int = 3
    repeats: int = 1
    mood: float = 0.015
    own: Any = 0.015
    run: Any = 0.015
    alike: bool = False  # the metrics of a scenario vary as one
    outliers: float = 0.0  # the share of runs that are off by ``size``
    size: float = 0.3
    moods: Any = None  # of each session, by (session, run): a drift
    worse: Any = 0.0  # the new session's change, by scenario
    tolerance: float = 0.05
    again: int = 4
    one_by_one: bool = False  # whether each session kept is of one scenario
    looks: tuple[int, ...] = ()  # ``repeats: {until: decided}`` of the new session; those kept have ``repeats``
    runs: int = 1000
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class Found:
    """Which of the runs failed: by a scenario, by all together; how often a scenario was measured again."""

    scenarios: Any
    together: Any
    again: Any = field(repr=False)

    @property
    def failed(self) -> float:
        return float((self.scenarios.any((1, 2)) | self.together.any(1)).mean())


def simulate(c: Corner) -> Found:
    """All runs of a corner."""
    rng, draw = np.random.default_rng([c.seed, c.kept, c.repeats, c.scenarios]), _Draw(c)
    sessions = [draw.session(rng, None if c.moods is None else c.moods[k]) for k in range(c.kept)]
    history = np.stack([y.mean(0) for y, _ in sessions], -2)
    if c.one_by_one:
        history = np.where(np.arange(c.kept)[:, None] % c.scenarios == np.arange(c.scenarios), history, math.nan)
    within = np.mean([y.var(0, ddof=1).mean(-1) for y, _ in sessions], 0) if c.repeats > 1 else None
    known = noise.shown(history, within, float(c.repeats))
    most = _Draw(_with(c, repeats=max((c.repeats, *c.looks))))
    first, still = most.session(rng, None if c.moods is None else c.moods[c.kept])
    moved = draw.worse - np.nanmean(history, -2)
    measured = [first + moved, *(still + most.run(rng) + moved for _ in range(c.again))]
    return _judge(c, known, np.stack(measured))


class _Draw:
    def __init__(self, c: Corner) -> None:
        self.c, self.size = c, (c.runs, 1 if c.alike else c.metrics, c.scenarios)
        self.worse = np.broadcast_to(np.asarray(c.worse, float), (c.scenarios,)) / ASSUMED

    def normal(self, rng: np.random.Generator, *more: int, spread: Any) -> Any:
        found = rng.standard_normal((*more, *self.size)) * np.asarray(spread) / ASSUMED
        return np.broadcast_to(found, (*more, self.c.runs, self.c.metrics, self.c.scenarios))

    def run(self, rng: np.random.Generator) -> Any:
        off = rng.random((self.c.repeats, self.c.runs, 1, self.c.scenarios)) < self.c.outliers
        return self.normal(rng, self.c.repeats, spread=self.c.run) + off * self.c.size / ASSUMED

    def session(self, rng: np.random.Generator, mood: Any) -> tuple[Any, Any]:
        """Its figures by (repeat, run, metric, scenario), and of them what stays when it is measured again."""
        drawn = rng.standard_normal(self.size[:2]) * self.c.mood if mood is None else np.asarray(mood)[:, None]
        still = drawn[..., None] / ASSUMED + self.normal(rng, spread=self.c.own)
        return still + self.run(rng), still


def _enough(c: Corner, known: noise.Noise, runs: Any, j: int, others: Any) -> Any:
    """How many repeats each run takes of a scenario: until it is within the tolerance, or suspected."""
    levels, limit = Alphas.of(c.scenarios, c.metrics, c.again), math.log1p(c.tolerance) / ASSUMED
    taken = np.full(c.runs, (c.looks or (len(runs),))[-1])
    for n in reversed(c.looks):
        mean, fresh = runs[:n].mean(0), Fresh(runs=float(n))
        sure = 1 - level(c.looks, n, 0.05)
        alone, seen = (gate.beside(known, j, mean, those, fresh) for those in (others[..., :0], others))
        within = (mean + alone.width(sure) < limit).all(1)
        suspected = ((mean > limit) & (seen.x > seen.needed(levels.suspected, limit, 0.5))).any(1)
        taken = np.where(within | suspected, n, taken)
    return taken


def _judge(c: Corner, known: noise.Noise, drawn: Any) -> Found:
    """The scenarios one after another, each beside those before it; at the end beside all others, and all of them.

    ``drawn``: by (measurement, repeat, run, metric, scenario)."""
    measured, repeats = drawn[:, : c.repeats].mean(1), np.full((c.scenarios, c.runs, 1), float(c.repeats))
    levels, confidence = Alphas.of(c.scenarios, c.metrics, c.again), 0.95
    limit = math.log1p(c.tolerance) / ASSUMED
    changes, again = measured[0].copy(), np.zeros((c.runs, c.scenarios), int)
    failed = np.zeros(changes.shape, bool)
    for j in range(c.scenarios):
        if c.looks:
            taken = _enough(c, known, drawn[0, ..., j], j, changes[..., :j])
            means = drawn[..., j].cumsum(1) / np.arange(1, drawn.shape[1] + 1)[:, None, None]
            measured[..., j] = means[:, taken - 1, np.arange(c.runs)]
            changes[..., j], repeats[j] = measured[0, ..., j], taken[:, None]
        seen = gate.beside(known, j, changes[..., j], changes[..., :j])
        open_ = (changes[..., j] > limit) & (seen.x > seen.needed(levels.suspected, limit, 0.5))
        for n, alpha in enumerate(levels.looks, 1):
            at = np.flatnonzero(open_.any(1) & ~failed[..., j].any(1))  # few: the others are not measured again
            if not at.size:
                break
            again[at, j] += 1
            mean = measured[1 : n + 1, at][..., j].mean(0)
            changes[at, :, j] = mean
            fresh = Fresh(count=n, runs=repeats[j, at], scatter=gate.scatter(measured[: n + 1, at][..., j]))
            seen = gate.beside(_of(known, at), j, mean, changes[at, :, :j], fresh)
            failed[at, :, j] |= (mean > limit) & (seen.x > seen.needed(alpha, limit, confidence)) & open_[at]
            open_[at] &= seen.x > seen.needed(levels.suspected, limit, 0.5)
    for j in range(c.scenarios if c.scenarios > 1 else 0):
        for n in set(again[:, j]) - {0}:
            at = np.flatnonzero(again[:, j] == n)
            fresh = Fresh(count=n, runs=repeats[j, at], scatter=gate.scatter(measured[: n + 1, at][..., j]))
            seen = gate.beside(_of(known, at), j, changes[at, :, j], np.delete(changes[at], j, -1), fresh)
            over = (changes[at, :, j] > limit) & (seen.x > seen.needed(levels.end, limit, confidence))
            failed[at, :, j] |= over
    whole = np.zeros(changes.shape[:2], bool)
    if c.scenarios > 1:
        seen = gate.together(known, changes)
        whole = seen.x > seen.needed(levels.together, limit, confidence)
    return Found(scenarios=failed, together=whole, again=again)


def _of(known: noise.Noise, at: Any) -> noise.Noise:
    """What is known in some of the runs."""
    names = ("kept", "own", "own_df", "mood", "mood_df", "within")
    seen: dict[str, Any] = {name: values[at] for name in names if (values := getattr(known, name)) is not None}
    return replace(known, **seen)


def detectable(c: Corner, which: str) -> float:
    """The worsening, as a share, at which four in five sessions fail: of the ``first``, the ``last`` or ``all``."""
    low, high = 0.02, 0.8
    where = {"first": np.arange(c.scenarios) == 0, "last": np.arange(c.scenarios) == c.scenarios - 1}
    for _ in range(9):
        middle = (low + high) / 2
        found = simulate(_with(c, worse=middle * where.get(which, np.ones(c.scenarios))))
        low, high = (low, middle) if found.failed >= 0.8 else (middle, high)
    return math.expm1(high)


def _with(c: Corner, **changed: Any) -> Corner:
    return Corner(**{**{name: getattr(c, name) for name in c.__dataclass_fields__}, **changed})
