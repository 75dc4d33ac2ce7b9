"""Seeded simulations at the limit: how often the judge errs.  2,000 runs each, in virtual time."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pytest_vllm_bench.judge.baseline import Session
from pytest_vllm_bench.judge.comparison import BaselineSettings, compare, comparisons_planned, confirmed, worst
from pytest_vllm_bench.judge.misses import Count, count
from pytest_vllm_bench.judge.series import Series
from pytest_vllm_bench.model import Verdict

RUNS = 2000


def independent(n: int, rng: np.random.Generator) -> Any:
    return rng.normal(size=(RUNS, n))


def autoregressive(phi: float, n: int, rng: np.random.Generator) -> Any:
    """AR(1) with a standard normal marginal, stationary from the start."""
    x = np.empty((RUNS, n))
    noise = rng.normal(size=(RUNS, n)) * math.sqrt(1 - phi * phi)
    x[:, 0] = rng.normal(size=RUNS)
    for i in range(1, n):
        x[:, i] = phi * x[:, i - 1] + noise[:, i]
    return x


def queue(rho: float, n: int, rng: np.random.Generator) -> Any:
    """Time in an M/M/1 queue with unit arrival rate (Lindley), stationary from the start."""
    served = rng.exponential(rho, size=(RUNS, n))
    between = rng.exponential(1, size=(RUNS, n))
    waited = np.empty((RUNS, n))
    waited[:, 0] = np.where(rng.random(RUNS) < rho, rng.exponential(rho / (1 - rho), size=RUNS), 0)
    for i in range(1, n):
        waited[:, i] = np.maximum(0, waited[:, i - 1] + served[:, i - 1] - between[:, i])
    return waited + served


def evidence(row: Any, limit: float, share: Fraction) -> Count:
    missed = row > limit
    series = Series(badness=row, missed=missed, failed=np.zeros(len(row), dtype=bool), sizes=(len(row),),
                    misses=(int(missed.sum()),))  # fmt: skip
    return count(series, share)


@cache
def false_verdicts(kind: str, of: float, share: Fraction, n: int) -> dict[str, int]:
    """Verdicts of runs whose true percentile lies exactly at the limit: each is an error."""
    rng = np.random.default_rng(20261123)
    normal = float(stats.norm.ppf(1 - float(share)))
    if kind == "independent":
        runs, limit = independent(n, rng), normal
    elif kind == "AR(1)":
        runs, limit = autoregressive(of, n, rng), normal
    else:
        runs, limit = queue(of, n, rng), -math.log(share) * of / (1 - of)
    counts = [evidence(row, limit, share) for row in runs]
    return {
        "PASS 0.95": sum(c.proven_within(0.05) for c in counts),
        "PASS 0.99": sum(c.proven_within(0.01) for c in counts),
        "FAIL 0.95": sum(c.proven_over(0.05) for c in counts),
        "naive PASS": sum(
            Count(n_eff=n, k_eff=c.k_eff * c.tau, tau=1, share=float(share)).proven_within(0.05) for c in counts
        ),
    }


@pytest.mark.parametrize(
    ("kind", "of", "excess"),
    [("independent", 0, 1), ("AR(1)", 0.5, 1), ("AR(1)", 0.8, 1), ("AR(1)", 0.95, 1.5), ("M/M/1", 0.5, 3),
     ("M/M/1", 0.7, 3), ("M/M/1", 0.9, 3)],
)  # fmt: skip
@pytest.mark.parametrize(("share", "n"), [(Fraction(1, 10), 1000), (Fraction(1, 20), 500)])
def test_false_pass_at_the_limit(kind: str, of: float, excess: float, share: Fraction, n: int) -> None:
    seen = false_verdicts(kind, of, share, n)
    assert seen["PASS 0.95"] <= 131 * excess
    assert seen["PASS 0.99"] <= 35 * excess
    assert seen["FAIL 0.95"] <= 131


def test_false_pass_of_a_p99() -> None:
    seen = false_verdicts("independent", 0, Fraction(1, 100), 1000)
    assert seen["PASS 0.95"] <= 131
    assert seen["PASS 0.99"] <= 35


def test_the_naive_test_would_pass_a_queue_far_too_often() -> None:
    assert false_verdicts("M/M/1", 0.9, Fraction(1, 10), 1000)["naive PASS"] >= 0.26 * RUNS


# --------------------------------------------------------------------------------------------- baselines

METRICS = ("output_throughput", "mean_tpot_ms", "mean_e2el_ms", "mean_ttft_ms", "mean_itl_ms", "p99_ttft_ms")
SCENARIOS = 50


def measured(variation: float, repeats: int, rng: np.random.Generator, worse: float = 0.0) -> Session:
    values = {}
    for metric in METRICS:
        sign = -1 if metric == "output_throughput" else 1
        logs = rng.normal(0, variation, size=repeats) + sign * worse
        values[metric] = tuple(float(v) for v in 100 * np.exp(logs))
    return Session(session="", digest="d", values=values)


def fails(sessions: int, repeats: int, variation: float, rng: np.random.Generator, worse: float = 0.0) -> bool:
    """Whether one scenario of a session fails, the fresh measurement included."""
    settings = BaselineSettings(tolerance=dict.fromkeys(METRICS, "5%"))
    planned = comparisons_planned(SCENARIOS, settings)
    reference = [measured(variation, repeats, rng) for _ in range(sessions)]
    first = compare(reference, measured(variation, repeats, rng, worse), settings, planned)
    if not any(c.suspected for c in first):
        return False
    again = compare(reference, measured(variation, repeats, rng, worse), settings, planned)
    return worst(confirmed(first, again)) is Verdict.FAIL


def test_sessions_that_changed_nothing_fail_in_one_percent() -> None:
    """50 scenarios × 6 metrics; each session draws K = 1–10, R = 1–3, each scenario its variation of 1.5–12 %."""
    rng = np.random.default_rng(7)
    false = 0
    for _ in range(200):
        sessions, repeats = int(rng.integers(1, 11)), int(rng.integers(1, 4))
        false += any(fails(sessions, repeats, float(rng.uniform(0.015, 0.12)), rng) for _ in range(SCENARIOS))
    assert false <= 4, "2 expected at one percent"


@pytest.mark.parametrize("sessions", [1, 5, 10])
def test_the_printed_change_is_noticed_four_times_in_five(sessions: int) -> None:
    """With the noise that is assumed, a worsening by what is printed is over the tolerance in 80 % of sessions."""
    rng, noticed, runs = np.random.default_rng(11), 0, 500
    settings = BaselineSettings(tolerance={"mean_tpot_ms": "5%"})
    for _ in range(runs):
        reference = [measured(0.03, 1, rng) for _ in range(sessions)]
        honest = compare(reference, measured(0.03, 1, rng), settings, planned=1)
        printed = next(c.detectable for c in honest if c.gated)
        found = compare(reference, measured(0.03, 1, rng, math.log1p(printed)), settings, planned=1)
        noticed += next(c.suspected for c in found if c.gated)
    assert noticed >= 0.77 * runs, "80 % but for the noise of 500 runs"


@pytest.mark.parametrize(("sessions", "printed"), [(1, 0.33), (5, 0.19), (10, 0.17)])
def test_the_detectable_change_that_the_documentation_states(sessions: int, printed: float) -> None:
    spread = 0.03 * np.array([-1, 1] * 5)[:sessions] * math.sqrt((sessions - 1) / sessions) if sessions > 1 else [0.0]
    if sessions == 5:
        spread = 0.03 * np.array([-1.0, -1, 0, 1, 1])
    reference = [Session(session="", digest="d", values={"mean_tpot_ms": (100 * math.exp(x),)}) for x in spread]
    new = Session(session="", digest="d", values={"mean_tpot_ms": (100.0,)})
    (found,) = [c for c in compare(reference, new, BaselineSettings(), planned=1) if c.metric == "mean_tpot_ms"]
    assert found.detectable == pytest.approx(printed, abs=0.006)
