"""Where nothing came near the limit n decides, not n′; and how often that errs."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from every import every
from long import times
from processes import autoregressive, queue, regimes
from runs import closed, in_mode, judged, request, scenario, verdict
from scipy import stats

from pytest_vllm_bench.judge.selection import Series
from pytest_vllm_bench.judge.shares import FAR, Count, _more_to_be_far, count, fewest_to_pass
from pytest_vllm_bench.judge.statistics import tau
from pytest_vllm_bench.model import Verdict
from pytest_vllm_bench.text import say

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def waves(n: int, low: float = 0.02, high: float = 0.08, together: int = 8) -> list[float]:
    """TTFTs in seconds of batches, each of which waited for as long."""
    rng = np.random.default_rng(3)
    between = np.repeat(rng.uniform(0, 1, size=-(-n // together)), together)[:n] + rng.uniform(0, 0.01, size=n)
    return [float(x) for x in low + (high - low) * between / between.max()]


def test_a_tail_a_thousand_times_below_its_limit_is_proven() -> None:
    """1,280 requests of which the slowest took 81 ms say that the p99 is not a minute."""
    found = verdict("p99_ttft_ms <= 60000", closed(waves(1281, high=0.081)))
    assert (found.verdict, found.proven, found.n, found.misses) == (PASS, True, 1280, 0)
    assert (found.n_eff, found.misses_eff, found.tau) == (1280, 0, 1)
    assert "all 1280 at most 1 % of the limit" in say(found.reason)
    near = verdict("p99_ttft_ms <= 82", closed(waves(1281, high=0.081)))
    assert near.verdict is INCONCLUSIVE, "where it comes near, n′ decides"
    assert near.n_eff is not None
    assert near.n_eff < 300


@every(
    ("text", "kept", "near"),
    [
        ("p95_ttft_ms <= 500", "p95_ttft_ms <= 260", "p95_ttft_ms <= 100"),
        ("p95_ttft_ms < 500", "p95_ttft_ms < 260", "p95_ttft_ms < 100"),
        ("p5_ttft_ms >= 2", "p5_ttft_ms > 5", "p5_ttft_ms >= 15"),
        ("p95_e2el_ms <= 5000", "p95_e2el_ms <= 1000", "p95_e2el_ms <= 180"),
        ("whole_p95_ttft_ms <= 500", "whole_p95_ttft_ms <= 300", "whole_p95_ttft_ms <= 100"),
        ("goodput_ratio >= 0.95", "goodput_ratio > 0.95", None),
        ("slo_attainment.ttft >= 0.95", "slo_attainment.ttft > 0.95", None),
    ],
)
def test_every_rule_that_counts(text: str, kept: str, near: str | None) -> None:
    """Far and just far enough; and near enough for n′ to decide."""
    records = closed(waves(101))
    for asked in (text, kept):
        assert verdict(asked, records, goodput={"ttft": 500, "e2el": 5000}).verdict is PASS
    found = verdict(near or text, records, goodput={"ttft": 100, "e2el": 5000})
    assert found.verdict is INCONCLUSIVE


def test_a_third_of_the_limit_is_far_and_what_is_above_it_is_not() -> None:
    records = [request(i, float(i), ttft=0.0625 if i % 16 < 8 else 0.03125) for i in range(101)]
    for record in records:  # without the rounding of a sum
        record.first_token = float(record.sent or 0) + (0.0625 if record.index % 16 < 8 else 0.03125)
    assert verdict(f"p95_ttft_ms <= {62.5 * FAR}", records).verdict is PASS
    assert verdict(f"p95_ttft_ms <= {62.5 * FAR - 0.1}", records).verdict is INCONCLUSIVE


def test_n_is_what_independence_needs() -> None:
    for n, expected in ((59, PASS), (58, INCONCLUSIVE)):
        found = verdict("p95_ttft_ms <= 5000", closed(waves(n + 1)))
        assert (found.n, found.verdict) == (n, expected)
    assert found.more == 1
    assert say(found.reason).startswith("within it, but unproven: all 58 at most 2 % of the limit, which are worth ")
    assert "about 1 more requests would make it proof" in say(found.reason)


def test_a_failure_anywhere_in_the_run_ends_it() -> None:
    """Also where it is before the window of the rule."""
    for failed in (0, 100):
        ttfts: list[float | None] = list(waves(301))
        ttfts[failed] = None
        found = verdict("p95_ttft_ms <= 5000", closed(ttfts), goodput={})
        assert found.tau is not None
        assert found.tau > 1
        assert found.verdict is INCONCLUSIVE


def test_an_exact_gate_and_a_figure_that_is_only_compared_are_as_before() -> None:
    records = closed(waves(301))
    asked = in_mode(scenario("p95_ttft_ms <= 5000", "max_ttft_ms <= 5000", "std_ttft_ms <= 5000"), "exact")
    assert {v.verdict for v in judged(asked, records).verdicts} == {PASS}
    assert not any(v.proven for v in judged(asked, records).verdicts)


def test_the_interval_that_is_shown_is_the_one_that_decides() -> None:
    """Its end is the lowest limit that would pass."""
    for text, step in (("p95_ttft_ms <= 5000", 0.01), ("p5_ttft_ms >= 0.1", -0.001)):
        records = closed(waves(101))
        found = verdict(text, records)
        assert (found.verdict, found.interval is not None) == (PASS, True)
        assert found.interval is not None
        name, op, _ = text.split()
        end = found.interval[1] if step > 0 else found.interval[0]
        assert math.isfinite(end)
        assert verdict(f"{name} {op} {end + step:.6f}", records).verdict is PASS
        assert verdict(f"{name} {op} {end - step:.6f}", records).verdict is INCONCLUSIVE
    found = verdict("goodput_ratio >= 0.95", closed(waves(101)), goodput={"ttft": 5000})
    assert found.interval == pytest.approx((0.05 ** (1 / 100), 1.0), abs=1e-6)


def test_a_queue_that_wanders_must_be_farther_off() -> None:
    """The more the values go together, the farther from the limit they must have stayed; three times at least."""
    needed = [
        Count(n_eff=300, k_eff=0, tau=1, share=0.01, margin=1, stretch=s).margin_needed(0.05) for s in (1, 20, 40)
    ]
    assert needed == [FAR, pytest.approx(3.41, abs=0.01), pytest.approx(5.78, abs=0.01)]
    assert Count(n_eff=298, k_eff=0, tau=1, share=0.01, margin=9).margin_needed(0.05) == math.inf
    plain = Count(n_eff=29, k_eff=0, tau=1, share=0.1, margin=1, stretch=0.5)
    assert plain.margin_needed(0.05) == FAR
    binomial = math.log(0.1) / math.log1p(-(0.05 ** (1 / fewest_to_pass(0, 0.1, 0.05))))
    assert binomial == pytest.approx(1, abs=0.02), "with no distance at all it is the binomial test"


# --------------------------------------------------------------------------------------------- how often it errs


def evidence(row: Any, limit: float, share: Fraction) -> Count:
    missed = row > limit
    far = limit / float(row.max())
    series = Series(badness=row, missed=missed, failed=np.zeros(len(row), dtype=bool), sizes=(len(row),),
                    misses=(int(missed.sum()),), margin=far)  # fmt: skip
    return count(series, share)


def errors(kind: str, of: float, share: Fraction, n: int, runs: int, alpha: float, *, distance: bool = True) -> float:
    """How many runs pass whose percentile lies at the limit; ``distance``: where nothing came near, n decides."""
    rng = np.random.default_rng([*kind.encode(), round(100 * of), n])
    at = float(stats.norm.ppf(1 - float(share)))
    if kind == "M/M/1":
        rows, limit = queue(of, runs, n, rng), -math.log(share) * of / (1 - of)
    elif kind == "AR(1)":
        rows, limit = np.exp(autoregressive(of, runs, n, rng)), math.exp(at)
    else:
        rows, limit = regimes(float(share), 20, of, runs, n, rng), 1.0
    seen = (evidence(row, limit, share) for row in rows)
    return sum(c.proven_within(alpha) if distance else c.counted_within(alpha) for c in seen) / runs


#: Kind, its parameter, how many times the nominal errors are allowed.
KINDS = [("AR(1)", 0.8, 1), ("AR(1)", 0.95, 1.5), ("M/M/1", 0.7, 3), ("M/M/1", 0.9, 3)]
SIZES = [(100, 10), (100, 20), (300, 100)]


@every(("kind", "of", "excess"), KINDS)
def test_it_errs_as_rarely_as_is_stated(kind: str, of: float, excess: float) -> None:
    """Latencies of an exponential or a log-normal tail; few runs, so with what chance allows."""
    for n, one_in in SIZES:
        found = errors(kind, of, Fraction(1, one_in), n, 200, 0.05)
        assert found <= 0.05 * excess + 0.03, (n, one_in)


@pytest.mark.slow
@every(("kind", "of", "excess"), KINDS)
def test_it_errs_as_rarely_as_is_stated_at_either_level(kind: str, of: float, excess: float) -> None:
    runs = times(500, 4000)
    for n, one_in in [*SIZES, (200, 10), (200, 20), (600, 100), (600, 20)]:
        for alpha in (0.05, 0.01):
            allowed = excess * alpha + 3.3 * (excess * alpha * (1 - excess * alpha) / runs) ** 0.5
            if n >= fewest_to_pass(0, 1 / one_in, alpha):
                assert errors(kind, of, Fraction(1, one_in), n, runs, alpha) <= allowed, (n, alpha)


def test_what_did_not_occur_cannot_be_seen() -> None:
    """A server that is slow for a twentieth of the time, 20 requests on end: 100 requests often meet none of it.

    As often by either way of counting where the quick ones are independent; and where they go together the distance
    makes it worse, for there is nothing in the run that would say so.
    """
    by_distance = [errors("regimes", phi, Fraction(1, 20), 100, 200, 0.05) for phi in (0.0, 0.9)]
    by_count = [errors("regimes", phi, Fraction(1, 20), 100, 200, 0.05, distance=False) for phi in (0.0, 0.9)]
    assert min(by_distance[0], by_count[0]) > 0.6
    assert by_count[1] < 0.05 < by_distance[1]


def test_n_alone_would_pass_a_queue_too_often() -> None:
    """The rule of thumb without its ν: what is far enough away in a run of a hundred may be one quiet stretch."""
    rng = np.random.default_rng(1)
    limit = -math.log(0.05) * 9
    far = [row.max() <= limit / FAR for row in queue(0.9, 1000, 100, rng)]
    assert sum(far) > 0.1 * 1000


@every(
    ("share", "margin", "tau", "stretch"),
    [(0.1, 3.0, 1.0, 1.0), (0.1, 3.2, 1.0, 12.0), (0.1, 9.0, 4.0, 40.0), (0.05, 4.0, 3.0, 25.0),
     (0.1, math.inf, 1.0, 40.0), (0.01, 5.0, 2.0, 60.0)],
)  # fmt: skip
def test_so_many_more_prove_it_and_not_one_fewer(share: float, margin: float, tau: float, stretch: float) -> None:
    """Where all that come stay as far from the limit; without any spread n need only be what counting asks for."""

    def seen(n: int) -> Count:
        return Count(n_eff=n / tau, k_eff=0, tau=tau, share=share, margin=margin, stretch=stretch)

    needed = _more_to_be_far(seen(10), 0.05)
    assert needed is not None
    assert seen(10 + needed).proven_far(0.05)
    if margin < math.inf:
        assert not seen(9 + needed).proven_far(0.05)
    else:
        assert needed == fewest_to_pass(0, share, 0.05) - 10


def test_where_requests_hang_together_through_the_whole_run_no_distance_proves_it() -> None:
    assert Count(n_eff=300, k_eff=0, tau=1, share=0.1, margin=9, stretch=1e6).margin_needed(0.05) == math.inf
    one = Count(n_eff=100, k_eff=3, tau=2.0, share=0.1, margin=4.0, stretch=5.0)
    assert one.each_for_itself() == Count(n_eff=200, k_eff=6, tau=1.0, share=0.1, margin=4.0, stretch=5.0)


def test_how_values_hang_together_counts_though_a_short_run_does_not_prove_it() -> None:
    values = autoregressive_values(50)
    series = Series(badness=values, missed=values > 99, failed=values < 0, sizes=(50,), misses=(0,), margin=4.0)
    assert tau(values) == 1.0 < tau(values, known=True)
    assert count(series, Fraction(1, 10)).stretch == tau(values, known=True)


def autoregressive_values(n: int) -> Any:
    z = np.random.default_rng(7).normal(size=(2, n))
    for t in range(1, n):
        z[:, t] = 0.5 * z[:, t - 1] + 0.75**0.5 * z[:, t]
    return np.exp(z[0])
