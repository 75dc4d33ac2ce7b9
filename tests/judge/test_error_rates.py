"""Seeded simulations at the limit: how often the judge errs, corner by corner.  All of it in virtual time."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from long import times
from processes import autoregressive, independent, queue
from scipy import stats

from pytest_vllm_bench.judge.baseline import SessionFigures
from pytest_vllm_bench.judge.comparison import BaselineSettings
from pytest_vllm_bench.judge.rounds import compare_rounds
from pytest_vllm_bench.judge.selection import Series
from pytest_vllm_bench.judge.shares import Count, count
from pytest_vllm_bench.judge.statistics import tau, worst_tenth
from pytest_vllm_bench.model import Verdict

pytestmark = pytest.mark.slow

RUNS = times(1000, 2000)
#: Errors of so many runs at levels of 5 % and 1 %, and three standard deviations.
AT_5, AT_1 = times(73, 131), times(21, 35)


def evidence(row: Any, limit: float, share: Fraction) -> Count:
    missed = row > limit
    series = Series(badness=row, missed=missed, failed=np.zeros(len(row), dtype=bool), sizes=(len(row),),
                    misses=(int(missed.sum()),))  # fmt: skip
    return count(series, share)


@lru_cache(maxsize=1)
def runs_of(kind: str, of: float, n: int) -> Any:
    """Runs; another seed for each kind and length."""
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
FURTHER: list[tuple[str, float, int, Fraction, int]] = [
    ("independent", 0, 1, Fraction(1, 100), n) for n in (300, 500, 1000)
]
FURTHER += [("M/M/1", 0.5, 3, Fraction(1, 100), 2000), ("M/M/1", 0.9, 3, Fraction(1, 10), 2000)]


@pytest.mark.parametrize(("kind", "of", "excess", "share", "n"), [*GRID, *FURTHER])
def test_false_pass_at_the_limit(kind: str, of: float, excess: float, share: Fraction, n: int) -> None:
    seen = counts(kind, of, share, n)
    assert sum(c.proven_within(0.05) for c in seen) <= AT_5 * excess
    assert sum(c.proven_within(0.01) for c in seen) <= AT_1 * excess
    assert sum(c.proven_over(0.05) for c in seen) <= AT_5


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
    assert errors > AT_1


@pytest.mark.parametrize("rounds", [5, 10])
def test_two_targets_that_are_the_same_differ_in_one_percent_of_sessions(rounds: int) -> None:
    """Nothing is measured afresh there, so each comparison has its share of the one percent; no tolerance helps."""
    rng = np.random.default_rng(3)
    metrics = ("output_throughput", "mean_tpot_ms", "mean_e2el_ms", "mean_ttft_ms", "mean_itl_ms", "p99_ttft_ms")
    settings = BaselineSettings(tolerance=dict.fromkeys(metrics, "0%"))
    found = 0
    for _ in range(1000):
        values = 100 * np.exp(0.12 * rng.normal(size=(2, len(metrics), rounds)))
        a, b = (
            SessionFigures(session="", digest="d", values={m: tuple(v) for m, v in zip(metrics, side, strict=True)})
            for side in values
        )
        made = compare_rounds({"k": (a, b)}, "k", settings, planned=len(metrics))
        assert isinstance(made, list)
        found += any(c.verdict is Verdict.FAIL for c in made)
    assert found <= 20, "10 expected"
