"""A figure that is too bad, and the stages of its requests → which of them it comes from.

Each stage is replaced by its uncontended value (its tenth percentile), alone and with others, and the figure is read
again.  A stage's share is Shapley's value: what it takes off, on average over all orders of replacing them.  Intervals
are by a block bootstrap over the requests; a stage is named only where its interval excludes those of all others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from pytest_vllm_bench.judge.parts import GRAIN, MADE, STAGES, Parts, Usual, taken, usual
from pytest_vllm_bench.judge.selection import Window, allowed_share, counts, series
from pytest_vllm_bench.judge.statistics import tau, tau_of_misses
from pytest_vllm_bench.metric_table import COMPARE, FROM_DUE, Name, parse_name
from pytest_vllm_bench.model import Comparison, Culprit, Metrics, Rule, RuleVerdict, Sample, StageShare, Verdict

#: Stages that are told apart; of more, those that take least are one.
MOST = 6
#: Draws of the bootstrap, how sure its intervals are together, and requests that it looks at.
DRAWS, SURE, REQUESTS = 600, 0.99, 4000
#: Requests of a long run that are read, one of so many each: there are up to 64 figures of each.
READ = 50_000
#: Requests that it takes to say anything.
FEWEST = 20

#: Independent requests below which a stage must take so many times what all others take (at the rates of
#: ``tests/judge/test_culprit.py``, where no stage is worse than another, one is named in at most one run of twenty).
INDEPENDENT, DOMINATES = 20, 3
#: A difference of figures that is none.
TINY = 1e-9
#: What those are called; what is no single stage's can be named, and says little.
OTHER = "other"

#: Requests' badness by which stages were replaced, and how often each request counts, by draw → the figure, likewise.
Figure = Callable[[Any, Any], Any]


def shapley(worth: Any) -> Any:
    """Each player's value; ``worth[S]`` is that of the players whose bits are in S, of many games along other axes."""
    sets = np.arange(len(worth))
    n = len(worth).bit_length() - 1
    sizes = np.array([int(one).bit_count() for one in sets])
    found = []
    for player in range(n):
        without = sets[sets >> player & 1 == 0]
        weights = np.array([1 / (n * math.comb(n - 1, size)) for size in sizes[without]])
        found.append(np.tensordot(weights, worth[without | 1 << player] - worth[without], 1))
    return np.array(found)


def drawn(n: int, length: int, draws: int) -> Any:
    """How often each of n requests is drawn, in stretches of the series that begin anywhere; a line each draw."""
    rng = np.random.default_rng(n)  # the same run says the same again
    begins = rng.integers(0, n, (draws, -(-n // length), 1))
    places = ((begins + np.arange(length)) % n).reshape(draws, -1)[:, :n]
    return np.array([np.bincount(line, minlength=n) for line in places], float)  # as whole numbers they multiply slowly


def shares(games: Sequence[Any], figure: Figure, length: int) -> tuple[Any, Any, Any, Any]:
    """What the figure is by which stages were replaced, each stage's share of it, and that's interval.  ``games``: the
    requests' badness likewise; several, where what they are replaced by is known several times over."""
    worth = np.mean([figure(rows, np.ones((1, rows.shape[1]))) for rows in games], axis=0)[:, 0]
    every = -(-games[0].shape[1] // REQUESTS)
    thin = [rows[:, ::every] for rows in games]
    weights = drawn(thin[0].shape[1], length // every, DRAWS)
    again = [figure(rows, weights[k :: len(thin)]) for k, rows in enumerate(thin)]
    spread = -shapley(np.concatenate(again, axis=1))
    whole = spread.sum(axis=0)  # a draw tells how the whole is shared, whatever it came to
    spread *= (worth[0] - worth[-1]) / np.where(np.abs(whole) > TINY, whole, np.inf)
    off = (1 - SURE) / 2 / len(spread)  # all of them hold together
    low, high = np.quantile(spread, [off, 1 - off], axis=1)
    return worth, -shapley(worth), low, high


def named(low: Any, high: Any, *, few: bool) -> int | None:
    """The stage whose interval lies above all others, and above nothing at all.

    ``few``: requests have so much to do with one another that the run is one or two of their moods, whose intervals
    promise too much; then a stage must be at least so many times all others together."""
    best = int(np.argmax(low))
    others = np.maximum(np.delete(high, best), 0.0)
    bound = DOMINATES * others.sum() if few else others.max(initial=0.0)
    return best if low[best] > bound else None


def drawn_and_named(games: Sequence[Any], figure: Figure) -> tuple[tuple[Any, Any, Any, Any], int | None]:
    """``shares`` by blocks within which what requests have to do with one another stays, and which stage stands out."""
    seen = games[0][0]
    n = len(seen)
    values = seen if np.isfinite(seen).all() else seen > 1  # of shares of limits a failure has none
    worth = max(tau_of_misses(seen, np.zeros(n)), tau(values, known=True))
    length = min(n // 5, math.ceil(max(n ** (1 / 3), 2 * worth)))
    made = shares(games, figure, length)
    return made, named(*made[2:], few=n < INDEPENDENT * worth)


def explained(verdict: RuleVerdict, samples: Sequence[Sample], goodput: Mapping[str, float]) -> RuleVerdict:
    """A verdict on a broken latency rule, with where its figure comes from."""
    if verdict.within is not False or verdict.observed == "inf" or not samples:
        return verdict
    return replace(verdict, culprit=culprit(verdict.rule, verdict.window, samples, goodput))


def changed(
    one: Comparison, samples: Sequence[Sample], goodput: Mapping[str, float], before: Sequence[Mapping[str, Metrics]]
) -> Comparison:
    """A comparison that failed, with which stage has changed.  ``before``: what sessions of the reference tell of
    their stages."""
    known = [usual(told) for told in before if told]
    if one.verdict is not Verdict.FAIL or one.scenario or not known or not samples:
        return one
    name = parse_name(one.metric)
    sign = -1 if name is not None and name.row.better == "higher" else 1
    accepted = one.reference * (1 + sign * one.tolerance) if one.relative else one.reference + sign * one.tolerance
    rule = Rule(text=one.metric, metric=one.metric, op=">=" if sign < 0 else "<=", limit=Decimal(repr(float(accepted))))
    window: Window = "steady" if all(sample.steady is not None for sample in samples) else "whole"
    return replace(one, culprit=culprit(rule, window, samples, goodput, known))


def culprit(
    rule: Rule,
    window: Window,
    samples: Sequence[Sample],
    goodput: Mapping[str, float],
    before: Sequence[Usual | None] = (),
) -> Culprit | None:
    """None where the rule is on no latency, or nobody tells its stages apart.

    ``before``: what the stages were in other sessions, by which they are then replaced."""
    name = parse_name(rule.metric)
    if name is None or (figure := _figure(rule, name)) is None:
        return None
    ids = [FROM_DUE.get(id, id) if samples[0].open_loop and name.row.per == "run" else id
           for id in counts(name, samples[0])]  # fmt: skip
    took = [{id: taken(samples, id, usual) for id in ids if id in MADE} for usual in before or (None,)]
    players = _players(took[0])

    def badness(chosen: frozenset[str], one: Mapping[str, Sequence[Parts]]) -> Any:
        found = series(rule, name, less(samples, one, chosen), window, goodput).badness
        return found[:: -(-len(found) // READ)]

    games = [_finite([badness(chosen, one) for chosen in _sets(players)], name) for one in took]
    if not players or games[0].shape[1] < FEWEST:
        return None
    made, best = drawn_and_named(games, figure)
    return _told(rule, name, players, made, best)


def _figure(rule: Rule, name: Name) -> Figure | None:
    """What a rule reads of its requests' badness."""
    if name.row.id in ("goodput_ratio", "slo_attainment"):
        return lambda rows, weights: (rows > 1).astype(float) @ weights.T / weights.sum(axis=1)
    if rule.op not in ("<=", "<") or name.row.id not in MADE:
        return None
    if name.statistic == "mean":
        return lambda rows, weights: rows @ weights.T / weights.sum(axis=1)
    share = allowed_share(rule, name)
    return None if share is None else partial(_ordered, share)


def _ordered(share: Fraction, rows: Any, weights: Any) -> Any:
    """The order statistic that decides, ⌊n·share⌋ before the worst."""
    n = rows.shape[1]
    needed = math.floor(n * share) + 1
    found = []
    for row in rows:
        for most in (8 * needed + 30, n):  # far down the order nothing matters, but where few were drawn of the worst
            order = np.argsort(-row)[:most]
            place = (np.cumsum(weights[:, order], axis=1) < needed).sum(axis=1)
            if place.max() < len(order):
                break
        found.append(row[order][place])
    return np.array(found)


def _finite(found: Sequence[Any], name: Name) -> Any:
    """Means are over successes; else what failed is as bad as the worst that did not."""
    rows = np.array(found)
    known = np.isfinite(rows[0])
    if name.statistic == "mean" or known.all() or not known.any():
        return rows[:, known]
    return rows if name.row.per == "run" else np.where(known, rows, rows[0, known].max())


def _players(took: Mapping[str, Sequence[Parts]]) -> list[tuple[str, ...]]:
    """The stages that take anything, in the order of time; of too many, those that take least are one; none where
    nothing is told apart."""
    each = {
        stage: sum(float(np.abs(of[stage]).mean()) for runs in took.values() for of in runs if stage in of)
        for stage in STAGES
        if any(stage in of for runs in took.values() for of in runs)
    }
    most = sorted((stage for stage in each if each[stage] > GRAIN), key=lambda stage: -each[stage])
    if len(each) < 2:
        return []
    kept, rest = (most, []) if len(most) <= MOST else (most[: MOST - 1], most[MOST - 1 :])
    alone: list[tuple[str, ...]] = [(stage,) for stage in STAGES if stage in kept]
    return [*alone, tuple(rest)] if rest else alone


def _sets(players: Sequence[tuple[str, ...]]) -> Iterator[frozenset[str]]:
    """Which stages are replaced: of S the players whose bits are in it."""
    for chosen in range(1 << len(players)):
        yield frozenset(stage for k, stages in enumerate(players) if chosen >> k & 1 for stage in stages)


def less(samples: Sequence[Sample], took: Mapping[str, Sequence[Parts]], chosen: frozenset[str]) -> list[Sample]:
    """The run as it would have been without what the chosen stages took."""
    return [
        replace(
            sample,
            values={
                **sample.values,
                **{
                    id: sample.values[id] - sum(of[i][stage] for stage in chosen if stage in of[i])
                    for id, of in took.items()
                },
            },
        )
        for i, sample in enumerate(samples)
    ]


def _told(rule: Rule, name: Name, players: Sequence[tuple[str, ...]], found: Any, best: int | None) -> Culprit | None:
    worth, share, low, high = found
    if not (np.isfinite(worth).all() and np.isfinite(share).all()):
        return None
    shown = 1 - worth if name.row.per == "run" else worth
    stages = [stages[0] if len(stages) == 1 else OTHER for stages in players]
    told = [
        StageShare(
            stage=stage,
            share=float(share[k]),
            interval=(float(low[k]), float(high[k])),
            without=float(shown[1 << k]),
            within=bool(COMPARE[rule.op](float(shown[1 << k]), float(rule.limit))),
        )
        for k, stage in enumerate(stages)
    ]
    return Culprit(
        stage=None if best is None else stages[best],
        observed=float(shown[0]),
        uncontended=float(shown[-1]),
        shares=tuple(sorted(told, key=lambda one: -one.share)),
    )
