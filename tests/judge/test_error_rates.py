"""Seeded simulations at the limit: how often the judge errs, corner by corner.  All of it in virtual time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from processes import autoregressive, independent, queue
from scipy import stats

from pytest_vllm_bench.judge.baseline import SessionFigures, noise_shown
from pytest_vllm_bench.judge.comparison import (
    BaselineSettings,
    compare,
    compare_targets,
    comparisons_planned,
    default_noise,
)
from pytest_vllm_bench.judge.selection import Series
from pytest_vllm_bench.judge.shares import Count, count
from pytest_vllm_bench.judge.statistics import tau, worst_tenth
from pytest_vllm_bench.model import Comparison

pytestmark = pytest.mark.slow

RUNS = 2000


def evidence(row: Any, limit: float, share: Fraction) -> Count:
    missed = row > limit
    series = Series(badness=row, missed=missed, failed=np.zeros(len(row), dtype=bool), sizes=(len(row),),
                    misses=(int(missed.sum()),))  # fmt: skip
    return count(series, share)


@lru_cache(maxsize=1)
def runs_of(kind: str, of: float, n: int) -> Any:
    """2,000 runs; another seed for each kind and length."""
    rng = np.random.default_rng([*kind.encode(), round(100 * of), n])
    return {"independent": lambda: independent(RUNS, n, rng), "AR(1)": lambda: autoregressive(of, RUNS, n, rng),
            "M/M/1": lambda: queue(of, RUNS, n, rng)}[kind]()  # fmt: skip


@lru_cache(maxsize=1)
def counts(kind: str, of: float, share: Fraction, n: int) -> list[Count]:
    """The evidence of runs whose true percentile lies exactly at the limit: each verdict on it is an error."""
    limit = -math.log(share) * of / (1 - of) if kind == "M/M/1" else float(stats.norm.ppf(1 - float(share)))
    return [evidence(row, limit, share) for row in runs_of(kind, of, n)]


#: Kind, its parameter, and how many times the nominal errors are allowed.
KINDS = [("independent", 0, 1), ("AR(1)", 0.5, 1), ("AR(1)", 0.8, 1), ("AR(1)", 0.95, 1.5), ("M/M/1", 0.5, 3),
         ("M/M/1", 0.7, 3), ("M/M/1", 0.9, 3)]  # fmt: skip
GRID = [
    (kind, of, excess, Fraction(1, one_in), n)
    for kind, of, excess in KINDS
    for n in (100, 200, 300, 600)
    for one_in in (10, 20)
]
LONG: list[tuple[str, float, int, Fraction, int]] = [
    ("independent", 0, 1, Fraction(1, 100), n) for n in (300, 500, 1000)
]
LONG += [("M/M/1", 0.5, 3, Fraction(1, 100), 2000), ("M/M/1", 0.9, 3, Fraction(1, 10), 2000)]


@pytest.mark.parametrize(("kind", "of", "excess", "share", "n"), [*GRID, *LONG])
def test_false_pass_at_the_limit(kind: str, of: float, excess: float, share: Fraction, n: int) -> None:
    seen = counts(kind, of, share, n)
    assert sum(c.proven_within(0.05) for c in seen) <= 131 * excess
    assert sum(c.proven_within(0.01) for c in seen) <= 35 * excess
    assert sum(c.proven_over(0.05) for c in seen) <= 131


def test_the_naive_test_would_pass_a_queue_far_too_often() -> None:
    naive = [Count(n_eff=1000, k_eff=c.k_eff * c.tau, tau=1, share=0.1)
             for c in counts("M/M/1", 0.9, Fraction(1, 10), 1000)]  # fmt: skip
    assert sum(c.proven_within(0.05) for c in naive) >= 0.26 * RUNS


def test_without_the_worse_half_a_short_run_would_pass_too_often() -> None:
    """What the worst tenth alone has to say of 100 requests: too often nothing."""
    errors = 0
    for row in runs_of("AR(1)", 0.8, 100):
        worth, missed = tau(worst_tenth(row)), row > float(stats.norm.ppf(0.9))
        errors += Count(n_eff=100 / worth, k_eff=missed.sum() / worth, tau=worth, share=0.1).proven_within(0.01)
    assert errors > 35


# --------------------------------------------------------------------------------------------- baselines

METRICS = ("output_throughput", "mean_tpot_ms", "mean_e2el_ms", "mean_ttft_ms", "mean_itl_ms", "p99_ttft_ms")
SCENARIOS = 50
ASSUMED = np.array([default_noise(m) for m in METRICS])
SETTINGS = BaselineSettings(tolerance=dict.fromkeys(METRICS, "5%"))
PLANNED = comparisons_planned(SCENARIOS, SETTINGS)
TOLERANCE = math.log(1.05)


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Sessions in which nothing changed: ln(metric), worse = more, by (kept, repeat, session, scenario, metric).

    ``first`` and ``again`` are compared with those kept, and lack that axis.
    """

    kept: Any
    first: Any
    again: Any


def matrix(kept: int, repeats: int, variation: Any, sessions: int, seed: int, scenarios: int = SCENARIOS) -> Matrix:
    """``variation``: from run to run, for all or by scenario (and session)."""
    rng = np.random.default_rng([seed, kept, repeats])
    size = (repeats, sessions, scenarios, len(METRICS))
    spread = np.broadcast_to(np.asarray(variation, dtype=np.float32), (sessions, scenarios))[..., None]

    def measured(*more: int) -> Any:
        return rng.standard_normal((*more, *size), dtype=np.float32) * spread

    return Matrix(kept=measured(kept), first=measured(), again=measured())


def error(kept: Any, *, shown: bool = True) -> Any:
    """s·√(1 + 1/K) of each comparison, as the documentation has it; ``shown``: with what the whole matrix shows."""
    k, repeats = kept.shape[:2]
    means = kept.mean(1)
    own = means.var(0, ddof=1) if k > 1 else np.zeros_like(means[0])
    prior = np.broadcast_to(ASSUMED**2, own.shape) * (4 if k == repeats == 1 else 1)
    if shown and k > 1:
        prior = np.maximum(prior, own.mean(1, keepdims=True))
    if shown and repeats > 1:
        prior = np.maximum(prior, kept.var(1, ddof=1).mean((0, 2), keepdims=True)[0] / repeats)
    return np.sqrt((3 * prior + (k - 1) * own) / (k + 2) * (1 + 1 / k))


def over(drawn: Matrix, allowed: Any, worse: Any = 0.0) -> Any:
    """Comparisons in which both measurements are over what is ``allowed``."""
    mean = drawn.kept.mean((0, 1))
    return (drawn.first.mean(0) + worse - mean > allowed) & (drawn.again.mean(0) + worse - mean > allowed)


def quantile(q: float, kept: int) -> float:
    return float(stats.t.ppf(q, kept + 2))


def failing(drawn: Matrix, *, shown: bool = True) -> float:
    """The share of sessions that fail although nothing changed."""
    k, planned = drawn.kept.shape[0], drawn.kept.shape[3] * len(METRICS)
    allowed = TOLERANCE + quantile(1 - min(0.01, 0.6 / planned), k) * error(drawn.kept, shown=shown)
    return float(over(drawn, allowed).any((1, 2)).mean())


def own_variation(sessions: int) -> Any:
    """Every scenario of every session has its own."""
    return np.random.default_rng(1).uniform(0.015, 0.12, size=(sessions, SCENARIOS))


@pytest.mark.parametrize("repeats", [1, 2, 3])
@pytest.mark.parametrize("variation", [0.015, 0.03, 0.06, 0.09, 0.12, "its own"])
def test_sessions_that_changed_nothing_fail_in_one_percent(variation: float | str, repeats: int) -> None:
    """50 scenarios × 6 metrics, in each corner: not on average."""
    sessions = 600
    for kept in (1, 2, 3, 5, 10):
        varies = own_variation(sessions) if variation == "its own" else variation
        assert failing(matrix(kept, repeats, varies, sessions, seed=7)) <= 0.01, kept


def test_without_the_matrix_a_third_of_them_would() -> None:
    assert failing(matrix(2, 1, 0.12, 600, seed=7), shown=False) > 0.2


def test_a_few_scenarios_that_vary_far_more_than_the_others() -> None:
    """Five of fifty with four times what is assumed, the others with half: up to 5 %, from five sessions on 1 %."""
    variation = np.where(np.arange(SCENARIOS) < 5, 0.12, 0.015)
    for kept, most in ((2, 0.05), (3, 0.05), (5, 0.01)):
        assert failing(matrix(kept, 1, variation, 1500, seed=3)) <= most, kept


def as_session(runs: Any, scenario: int) -> SessionFigures:
    """One session of a matrix as the results would have it: 100 where ln is 0, throughputs are worse when less."""
    signs = [-1 if m == "output_throughput" else 1 for m in METRICS]
    values = {
        m: tuple(100 * np.exp(sign * runs[:, 0, scenario, i].astype(float)))
        for i, (m, sign) in enumerate(zip(METRICS, signs, strict=True))
    }
    return SessionFigures(session="", digest="d", values=values)


def compared(drawn: Matrix, new: Any) -> list[list[Comparison]]:
    """What ``compare`` says of the first session of a matrix."""
    reference = {str(i): [as_session(runs, i) for runs in drawn.kept] for i in range(SCENARIOS)}
    shown = noise_shown(reference.values(), repeats=len(new))
    return [compare(reference[str(i)], as_session(new, i), SETTINGS, PLANNED, shown) for i in range(SCENARIOS)]


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("kept", [1, 2, 5])
@pytest.mark.parametrize("variation", [0.03, 0.12])
def test_what_is_simulated_is_what_is_compared(kept: int, repeats: int, variation: float) -> None:
    drawn = matrix(kept, repeats, variation, 1, seed=5)
    sure = quantile(1 - 0.6 / PLANNED, kept) * error(drawn.kept)[0]
    detectable = TOLERANCE + sure + quantile(math.sqrt(0.8), kept) * error(drawn.kept)[0]
    worse = TOLERANCE + sure.mean()
    found = compared(drawn, drawn.first + worse)
    change = drawn.first.mean(0)[0] + worse - drawn.kept.mean((0, 1))[0]
    suspected = np.array([[c.suspected for c in row if c.gated] for row in found])
    assert 0 < suspected.sum() < suspected.size
    assert (suspected == (change > TOLERANCE + sure)).all()
    printed = [[abs(math.log1p(c.detectable)) for c in row if c.gated] for row in found]
    np.testing.assert_allclose(printed, detectable, rtol=1e-4)


@pytest.mark.parametrize("scenarios", [1, 50])
@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("kept", [1, 5, 10])
def test_a_worsening_by_what_is_printed_fails_four_times_in_five(kept: int, repeats: int, scenarios: int) -> None:
    """Sessions vary as is assumed; the fresh measurement included."""
    varies = 0.03 * math.sqrt(repeats)
    drawn = matrix(kept, repeats, varies, 20_000 // scenarios, seed=11, scenarios=scenarios)
    sure, likely = quantile(1 - 0.01, kept) * error(drawn.kept), quantile(math.sqrt(0.8), kept) * error(drawn.kept)
    found = over(drawn, TOLERANCE + sure, worse=TOLERANCE + sure + likely)[..., [0, 1, 2, 4]]
    assert found.mean() >= 0.8
    once = over(
        drawn, TOLERANCE + sure, worse=TOLERANCE + sure + quantile(0.8, kept) / quantile(math.sqrt(0.8), kept) * likely
    )
    if kept > 1:
        assert once[..., [0, 1, 2, 4]].mean() < 0.8, "the quantile of one measurement would be too little"


@pytest.mark.parametrize(
    ("sessions", "noise", "printed"), [(1, {}, 0.77), (1, {"mean_tpot_ms": 0.03}, 0.36), (5, {}, 0.21), (10, {}, 0.19)]
)
def test_the_detectable_change_that_the_documentation_states(
    sessions: int, noise: dict[str, float], printed: float
) -> None:
    spread = 0.03 * np.array([-1, 1] * 5)[:sessions] * math.sqrt((sessions - 1) / sessions) if sessions > 1 else [0.0]
    if sessions == 5:
        spread = 0.03 * np.array([-1.0, -1, 0, 1, 1])
    reference = [SessionFigures(session="", digest="d", values={"mean_tpot_ms": (100 * math.exp(x),)}) for x in spread]
    new = SessionFigures(session="", digest="d", values={"mean_tpot_ms": (100.0,)})
    (found,) = [
        c for c in compare(reference, new, BaselineSettings(noise=noise), planned=1) if c.metric == "mean_tpot_ms"
    ]
    assert found.detectable == pytest.approx(printed, abs=0.006)


@pytest.mark.parametrize("rounds", [5, 10])
def test_two_targets_that_are_the_same_differ_in_one_percent_of_sessions(rounds: int) -> None:
    """Nothing is measured afresh there, so each comparison has its share of the one percent; no tolerance helps."""
    rng = np.random.default_rng(3)
    settings = BaselineSettings(tolerance=dict.fromkeys(METRICS, "0%"))
    found = 0
    for _ in range(1000):
        values = 100 * np.exp(0.12 * rng.normal(size=(2, len(METRICS), rounds)))
        a, b = (
            SessionFigures(session="", digest="d", values={m: tuple(v) for m, v in zip(METRICS, side, strict=True)})
            for side in values
        )
        made = compare_targets(a, b, settings, planned=len(METRICS))
        assert isinstance(made, list)
        found += any(c.suspected for c in made)
    assert found <= 20, "10 expected"
