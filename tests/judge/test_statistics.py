"""The judge's own statistics against scipy, the printed tables, and series whose τ is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from every import every
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from pytest_vllm_bench.judge import statistics as ours
from pytest_vllm_bench.judge.selection import Series
from pytest_vllm_bench.judge.shares import Count, Levels, fewest_to_pass, more, share_interval, value_interval


@settings(deadline=None)
@given(st.floats(0, 7).map(lambda e: 10**e), st.floats(0, 1).map(lambda u: u**3), st.floats(1e-4, 0.99))  # n, k ÷ n, m
def test_beta_is_scipys(n: float, part: float, share: float) -> None:
    k = n * part
    assert ours.at_most(k, n, share) == pytest.approx(
        float(special.betainc(n - k, k + 1, 1 - share)) if k < n else 1.0, abs=1e-9
    )
    assert ours.at_least(k, n, share) == pytest.approx(
        float(special.betainc(k, n - k + 1, share)) if k > 0 else 1.0, abs=1e-9
    )


@pytest.mark.parametrize(("k", "n", "share"), [(0, 10, 0.1), (3, 10, 0.1), (10, 10, 0.5), (50, 1000, 0.05)])
def test_beta_is_the_binomial(k: int, n: int, share: float) -> None:
    assert ours.at_most(k, n, share) == pytest.approx(float(stats.binom.cdf(k, n, share)), abs=1e-12)
    assert ours.at_least(k, n, share) == pytest.approx(float(stats.binom.sf(k - 1, n, share)), abs=1e-12)


def test_beta_at_its_ends() -> None:
    assert ours.beta(0.3, 0, 2) == 1
    assert ours.beta(0.3, 2, 0) == 0
    assert ours.beta(0, 2, 3) == 0
    assert ours.beta(1, 2, 3) == 1


@every("df", [1, 2, 3, 4, 5, 7, 9, 12, 30, 100, 10_000])
@every("p", [0.01, 0.3, 0.5, 0.8, 0.9, 0.95, 0.975, 0.99, 0.998, 0.9999])
def test_t_is_scipys(p: float, df: int) -> None:
    assert ours.t_quantile(p, df) == pytest.approx(float(stats.t.ppf(p, df)), abs=1e-9, rel=1e-9)
    assert ours.t_above(1.3, df) == pytest.approx(float(stats.t.sf(1.3, df)), abs=1e-12)
    assert ours.t_above(-1.3, df) == pytest.approx(float(stats.t.sf(-1.3, df)), abs=1e-12)


@every(
    ("share", "confidence", "needed"),
    [(0.1, 0.95, [29, 46, 61]), (0.05, 0.95, [59, 93, 124]), (0.01, 0.95, [299, 473, 628]),
     (0.1, 0.99, [44, 64, 81]), (0.05, 0.99, [90, 130, 165]), (0.01, 0.99, [459, 662, 838])],
)  # fmt: skip
def test_requests_needed_for_pass(share: float, confidence: float, needed: list[int]) -> None:
    alpha = 1 - confidence
    assert [fewest_to_pass(misses, share, alpha) for misses in range(3)] == needed
    for misses, n in enumerate(needed):
        assert Count(n_eff=n, k_eff=misses, tau=1, share=share).proven_within(alpha)
        assert not Count(n_eff=n - 1, k_eff=misses, tau=1, share=share).proven_within(alpha)


@every(("n", "misses"), [(10, 2), (20, 2), (40, 3), (80, 3), (160, 5), (1000, 16)])
def test_misses_that_prove_p99_fail(n: int, misses: int) -> None:
    assert Count(n_eff=n, k_eff=misses, tau=1, share=0.01).proven_over(0.05)
    assert not Count(n_eff=n, k_eff=misses - 1, tau=1, share=0.01).proven_over(0.05)


@every("confidence", [0.95, 0.99])
@every("n", [25, 40, 100, 1000])
def test_an_estimated_tau_is_held_to_students_t(n: int, confidence: float) -> None:
    level = float(stats.norm.sf(stats.t.ppf(confidence, n / 4)))
    assert ours.level_of_estimate(1 - confidence, n / 4) == pytest.approx(level, abs=1e-9)
    known = Count(n_eff=n, k_eff=0, tau=1, share=0.1)
    estimated = Count(n_eff=n, k_eff=0, tau=1.2, share=0.1)
    assert known.level(0.05) == 0.05
    assert estimated.level(1 - confidence) == pytest.approx(level, abs=1e-9)
    chance = 0.9**n
    assert known.proven_within(1 - confidence) is (chance <= 1 - confidence)
    assert estimated.proven_within(1 - confidence) is (chance <= level)


def test_the_share_is_bounded_at_the_same_level() -> None:
    """What the interval excludes is what is proven."""
    for tau in (1.0, 2.0):
        seen = Count(n_eff=200, k_eff=10, tau=tau, share=0.1)
        low, high = share_interval(seen, 0.05)
        assert at(seen, high - 1e-6).proven_within(0.05) is False
        assert at(seen, high + 1e-6).proven_within(0.05) is True
        assert at(seen, low - 1e-6).proven_over(0.05) is True
        assert at(seen, low + 1e-6).proven_over(0.05) is False


@pytest.mark.parametrize(("misses", "n"), [(0, 20), (1, 20), (20, 20)])
def test_the_share_is_bounded_as_clopper_and_pearson_do(misses: int, n: int) -> None:
    low, high = share_interval(Count(n_eff=n, k_eff=misses, tau=1, share=0.1), 0.05)
    assert low == pytest.approx(float(stats.beta.ppf(0.05, misses, n - misses + 1)) if misses else 0.0, abs=1e-9)
    assert high == pytest.approx(float(stats.beta.ppf(0.95, misses + 1, n - misses)) if misses < n else 1.0, abs=1e-9)


def at(seen: Count, share: float) -> Count:
    return replace(seen, share=share)


def test_one_miss_never_fails_and_24_requests_never_pass() -> None:
    assert not Count(n_eff=1, k_eff=1, tau=1, share=0.01).proven_over(0.05)
    assert not Count(n_eff=24.9, k_eff=0, tau=1, share=0.5).proven_within(0.05)
    assert Count(n_eff=25, k_eff=0, tau=1, share=0.5).proven_within(0.05)


@pytest.mark.parametrize(("share", "needed"), [(0.1, 180), (0.05, 390), (0.01, 2000)])
def test_four_in_five_pass_at_half_the_allowed_share(share: float, needed: int) -> None:
    largest = max(k for k in range(200) if ours.at_most(k, needed, share) <= 0.05)
    assert ours.at_most(largest, needed, share / 2) == pytest.approx(0.8, abs=0.03)


def by_hand(seen: Count, levels: Levels) -> int | None:
    """``more`` by trying every n″."""
    rate = seen.k_eff / seen.n_eff
    n = math.ceil(seen.n_eff)
    while n <= 100 / seen.share:
        level = levels.alpha if seen.tau == 1 else float(stats.norm.sf(stats.t.ppf(1 - levels.alpha, n / 4)))
        if n >= 25 and ours.at_most(math.ceil(rate * n - 1e-12), n, seen.share) <= level:
            return max(1, math.ceil((n - seen.n_eff) * seen.tau))
        misses = math.floor(rate * n + 1e-12)
        if misses >= 2 and ours.at_least(misses, n, seen.share) <= levels.alpha_fail:
            return max(1, math.ceil((n - seen.n_eff) * seen.tau))
        n += 1
    return None


@settings(deadline=None)
@given(st.integers(5, 300), st.integers(0, 12), st.sampled_from([0.1, 0.05, 0.5]), st.sampled_from([1.0, 2.5]))
def test_more_is_the_smallest_number_that_decides(n: int, k: int, share: float, tau: float) -> None:
    seen = Count(n_eff=n / tau, k_eff=min(k, n) / tau, tau=tau, share=share)
    levels = Levels(alpha=0.05, alpha_fail=0.025)
    if not seen.proven_within(levels.alpha) and not seen.proven_over(levels.alpha_fail):
        assert more(seen, levels) == by_hand(seen, levels)


@every(
    ("n", "k", "share", "tau", "needed"),
    [(24, 1, 0.1, 2.5, 206), (24, 3, 0.1, 1.0, 600), (24, 0, 0.5, 1.0, 1), (100, 6, 0.05, 1.0, None),
     (28, 0, 0.1, 1.0, 1), (100, 0, 0.01, 1.0, 199)],
)  # fmt: skip
def test_more_by_examples(n: int, k: int, share: float, tau: float, needed: int | None) -> None:
    seen, levels = Count(n_eff=n / tau, k_eff=k / tau, tau=tau, share=share), Levels(alpha=0.05, alpha_fail=0.025)
    assert more(seen, levels) == by_hand(seen, levels) == needed


def test_a_chance_of_exactly_alpha_is_enough() -> None:
    within, over = Count(n_eff=40, k_eff=1, tau=1, share=0.1), Count(n_eff=40, k_eff=8, tau=1, share=0.1)
    for proven, chance in (
        (within.proven_within, ours.at_most(1, 40, 0.1)),
        (over.proven_over, ours.at_least(8, 40, 0.1)),
    ):
        assert proven(chance)
        assert not proven(math.nextafter(chance, 0))


@pytest.mark.parametrize(
    ("n", "k", "share", "misses", "of"),
    [(100, 43.5, 0.5, 87, 200), (100, 56.5, 0.5, 113, 200), (30, 4, 0.1, 5, 38)],
)
def test_more_where_the_chance_then_is_exactly_alpha(n: int, k: float, share: float, misses: int, of: int) -> None:
    """200 is also the most that is looked for, 100 ÷ 0.5."""
    chance = ours.at_most(misses, of, share) if k < share * n else ours.at_least(misses, of, share)
    levels = Levels(alpha=chance, alpha_fail=chance)
    assert more(Count(n_eff=n, k_eff=k, tau=1, share=share), levels) == of - n


@pytest.mark.parametrize("tau", [1.0, 3.0])
def test_the_interval_counts_in_independent_requests(tau: float) -> None:
    n, values = 300, np.arange(300.0)
    series = Series(badness=values, missed=values > 290, failed=values < 0, sizes=(n,), misses=(9,))
    low, high = value_interval(series, Count(n_eff=n / tau, k_eff=9 / tau, tau=tau, share=0.1), 0.05)
    level = 0.05 if tau == 1 else float(stats.norm.sf(stats.t.ppf(0.95, n / tau / 4)))
    passing = [k for k in range(n) if ours.at_most(k / tau, n / tau, 0.1) <= level]
    failing = [k for k in range(n) if k / tau >= 2 and ours.at_least(k / tau, n / tau, 0.1) <= 0.05]
    assert (low, high) == (n - min(failing), n - 1 - max(passing))


def test_a_sample_too_small_to_prove_anything_bounds_nothing() -> None:
    series = Series(badness=np.arange(1.0), missed=np.ones(1, dtype=bool), failed=np.zeros(1, dtype=bool), sizes=(1,),
                    misses=(1,))  # fmt: skip
    assert value_interval(series, Count(n_eff=1, k_eff=1, tau=1, share=0.1), 0.05) == (-math.inf, math.inf)


def ar1(n: int, phi: float, seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=n)
    x = np.empty(n)
    x[0] = noise[0] / math.sqrt(1 - phi * phi)
    for i in range(1, n):
        x[i] = phi * x[i - 1] + noise[i]
    return x


@pytest.mark.parametrize("phi", [0.3, 0.6, 0.9])
def test_tau_of_an_ar1_series(phi: float) -> None:
    true = (1 + phi) / (1 - phi)
    assert ours.tau(ar1(20_000, phi)) == pytest.approx(true, rel=0.25)


def test_tau_of_a_long_series_is_that_of_blocks() -> None:
    x = ar1(400_000, 0.9)
    assert ours.tau(x) == pytest.approx(19, rel=0.15)


def test_tau_of_independent_values_is_one() -> None:
    found = [ours.tau(np.random.default_rng(i).normal(size=500)) for i in range(100)]
    assert sum(t == 1 for t in found) >= 90


@pytest.mark.parametrize("series", [[], [1.0] * 50, [0, 1] * 3, [0, 1] * 50])
def test_tau_is_one_where_there_is_nothing_to_see(series: list[float]) -> None:
    assert ours.tau(np.array(series)) == 1


def test_tau_as_written() -> None:
    """Geyer's sequence by hand on a short series."""
    x = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1], dtype=float)
    d = x - x.mean()
    r = [float((d[: len(d) - lag] * d[lag:]).sum() / (d * d).sum()) for lag in range(len(d))]
    total, before = 0.0, math.inf
    for i in range(len(d) // 2):
        pair = r[2 * i] + r[2 * i + 1]
        if pair <= 0:
            break
        before = min(before, pair)
        total += before
    raw = 2 * total - 1
    assert ours.tau(x) == pytest.approx(1 + (raw - 1) / max(0.2, 1 - 2 * math.sqrt(raw / len(x))))


def test_the_worst_tenth_marks_ties_with_its_last() -> None:
    assert list(ours.worst_tenth(np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10]))) == [False] * 9 + [True]
    assert ours.worst_tenth(np.array([1.0] * 15 + [2.0] * 5)).sum() == 5
    assert ours.worst_tenth(np.array([1.0] * 95 + [2.0] * 5)).sum() == 5
    assert ours.worst_tenth(np.array([1.0] * 96 + [2.0] * 4)).sum() == 0


def test_misses_in_one_stall_are_worth_less_than_scattered_ones() -> None:
    together, apart = np.zeros(400), np.zeros(400)
    together[200:220] = 1
    apart[::20] = 1
    assert ours.tau_of_misses(together, together > 0) > 5
    assert ours.tau_of_misses(apart, apart > 0) == 1


def test_a_queue_without_a_single_miss_is_worth_fewer_requests() -> None:
    x = ar1(2000, 0.9)
    worst = np.sort(x)[-200]
    assert ours.tau_of_misses(x, x > 1e9) == ours.tau((x >= worst).astype(float)) > 4
    assert ours.tau_of_misses(x[:7], x[:7] > 1e9) == 1


def test_rounding_of_floats_is_no_queue() -> None:
    """Gaps of exactly 10 ms, as differences of growing times: their last digits follow a pattern."""
    times = np.cumsum(np.full(2000, 0.01))
    assert ours.tau_of_misses(np.diff(times) * 1000, np.zeros(1999, dtype=bool)) == 1


def test_short_runs_show_in_their_worse_half_that_they_are_no_independent_requests() -> None:
    """In 100 requests the ten worst may lie apart by chance; the halves of a queue never do."""
    unseen = [x for seed in range(400) if not ours.correlated(ours.worst_tenth(x := ar1(100, 0.8, seed)))]
    assert len(unseen) > 3
    assert all(ours.correlated(ours.worse_half(x)) for x in unseen)
    assert all(ours.tau(ours.worst_tenth(x)) == 1 for x in unseen)
    assert max(ours.tau_of_misses(x, np.zeros(100, dtype=bool)) for x in unseen) > 1.5


def test_correlation_is_seen_one_time_in_twenty_where_there_is_none() -> None:
    rng = np.random.default_rng(9)
    seen = sum(ours.correlated(rng.normal(size=200)) for _ in range(2000))
    assert 60 <= seen <= 140
    assert not ours.correlated(np.ones(100))
    assert not ours.correlated(np.repeat([0, 1], 3))
    assert ours.correlated(np.repeat([0, 1], 4))


def test_the_larger_of_the_two_series_counts() -> None:
    rng = np.random.default_rng(4)
    x, missed = rng.normal(size=1000), np.zeros(1000, dtype=bool)
    missed[400:460] = True
    assert ours.tau_of_misses(x, missed) == ours.tau(missed) > 10
    few = np.zeros(1000, dtype=bool)
    few[400:404] = True
    assert ours.tau_of_misses(x, few) == 1, "fewer than five misses are no series"
    five = np.zeros(1000, dtype=bool)
    five[400:405] = True
    assert ours.tau_of_misses(x, five) > 1
    assert ours.tau_of_misses(x, np.ones(1000, dtype=bool)) == 1


def test_tau_between_repeats() -> None:
    assert ours.tau_between([10], [100]) == 1
    assert ours.tau_between([0, 0], [100, 100]) == 1
    assert ours.tau_between([10, 10, 10], [100, 100, 100]) == 1
    spread = 100 * np.var([0.0, 0.3], ddof=1) / (0.15 * 0.85)
    wanted = spread * (float(stats.t.ppf(0.95, 1)) / 1.645) ** 2
    assert ours.tau_between([0, 30], [100, 100]) == pytest.approx(wanted)


def test_tau_between_repeats_at_its_ends() -> None:
    with np.errstate(all="raise"):
        assert ours.tau_between([0, 10], [0, 100]) == 1, "a repeat without requests has no share"
    assert ours.tau_between([0, 0], [0, 0]) == ours.tau_between([100, 100], [100, 100]) == 1
    for misses, sizes in (([10, 20], [100, 100]), ([1, 0], [1, 1])):
        share = sum(misses) / sum(sizes)
        spread = sum(sizes) / 2 * np.var(np.divide(misses, sizes), ddof=1) / (share * (1 - share))
        assert 1 < spread <= 4
        assert ours.tau_between(misses, sizes) == pytest.approx(spread * (6.313751514675043 / 1.645) ** 2)


def test_tau_of_eight_values_of_small_ones_and_of_weak_dependence() -> None:
    step = np.repeat([0.0, 1.0], 4)
    assert ours.correlated(step / 1000)
    assert ours.tau(step) > 1
    assert ours.tau_of_misses(step, step > 2) == ours.tau(step)
    assert ours.tau_of_misses(np.empty(0), np.empty(0, dtype=bool)) == 1
    assert any(1.05 < ours.tau(ar1(200, 0.2, seed)) < 1.7 for seed in range(20))
    assert ours.tau(np.tile([0.0, 1.0], 40_000)) == 1, "block means that do not vary"
    long = np.random.default_rng(7).normal(size=80_000)
    means = long.reshape(-1, 2).mean(axis=1)
    assert ours.tau(np.tile([0.0, 1.0], 40), known=True) == 1, "neighbours that could not be less alike"
    assert ours.tau(np.random.default_rng(5).normal(size=ours.LONGEST_SERIES)) == 1
    for known in (False, True):
        wanted = 2 * float(means.var() / long.var()) * ours.tau(means, known=known)
        assert ours.tau(long, known=known) == pytest.approx(max(1, wanted))


def test_the_worse_half_begins_with_the_median() -> None:
    assert list(ours.worse_half(np.array([1.0, 2, 2, 3]))) == [False, True, True, True]
    assert list(ours.worse_half(np.array([0.1, 0.2, 0.3, 0.4]))) == [False, False, True, True]


def test_slope_is_the_regressions() -> None:
    y = [1.0, 2.5, 2.0, 4.0, 4.5]
    fit = stats.linregress(range(5), y)
    assert ours.slope_t(y) == pytest.approx(fit.slope / fit.stderr)
    assert ours.slope_t([1, 2, 3, 4, 5]) == math.inf
    assert ours.slope_t([1, 1, 1, 1, 1]) == 0


def test_half_width_is_ts() -> None:
    low, high = stats.t.interval(0.9, 4, loc=3, scale=stats.sem([1, 2, 3, 4, 5]))
    assert ours.half_width([1, 2, 3, 4, 5], 0.95) == pytest.approx((high - low) / 2)
