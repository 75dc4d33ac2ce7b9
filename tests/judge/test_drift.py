"""Change points over nights: found where they are, soon enough, and hardly ever where there are none."""

# A tuple with an approx in it is compared with one of numbers, which mypy takes for unlike.
# mypy: disable-error-code=comparison-overlap

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from every import every
from hypothesis import given
from hypothesis import strategies as st
from long import times
from scipy import stats

from pytest_vllm_bench.judge import drift
from pytest_vllm_bench.judge.drift import ChangePoint
from pytest_vllm_bench.trend import SURER, DriftSettings


def change_points(values: Any, **changed: Any) -> list[ChangePoint]:
    return drift.change_points(values, **{"p": 0.001, "min_change": 0.03, "window": 50, **changed})


def nights(rng: Any, n: int, noise: float, *, alike: float = 0.0, outliers: float = 0.0) -> Any:
    """Logarithms of n nights about nought: a moving mood (AR(1)), and now and then a night that is off."""
    own = rng.normal(size=n) * noise
    found = own.copy()
    for i in range(1, n):
        found[i] = alike * found[i - 1] + np.sqrt(1 - alike**2) * own[i]
    return found + (rng.random(n) < outliers) * rng.choice([-1, 1], n) * 4 * noise


def test_two_steps_are_found_where_they_are() -> None:
    rng = np.random.default_rng(5)
    logs = nights(rng, 120, 0.02)
    logs[40:] += np.log(1.10)
    logs[90:] -= np.log(1.06)
    first, second = change_points(np.exp(logs))
    assert (abs(first.at - 40) <= 1, abs(second.at - 90) <= 1) == (True, True)
    assert first.change == pytest.approx(0.10, abs=0.02)
    assert second.interval[0] < 1 / 1.06 - 1 < second.interval[1]


def test_one_night_that_is_off_is_no_change() -> None:
    values = [100.0, 101.0, 99.0, 100.5] * 10
    values[-1] = values[20] = 180.0
    assert change_points(values) == []


@pytest.mark.parametrize(("size", "noise", "within"), [(0.05, 0.03, 7), (0.03, 0.02, 9)])
def test_how_soon_a_shift_is_found(size: float, noise: float, within: int) -> None:
    """In four cases of five, of sixty nights before, as the documentation says."""
    rng, found, cases = np.random.default_rng(26), 0, 50
    for _ in range(cases):
        logs = nights(rng, 60 + within, noise)
        logs[60:] += np.log1p(size)
        seen = (change_points(np.exp(logs[: 60 + k]), min_change=0.02) for k in range(within, 2, -1))
        found += any(one.change > 0 and one.at >= 50 for points in seen for one in points)
    assert found >= 0.8 * cases - 2 * (0.16 * cases) ** 0.5


def test_what_does_not_change_is_left_alone() -> None:
    """A year of nights, looked at ever again: what would fail, being worse and new, is found in hardly more than one of
    a hundred, with moods and outliers."""
    rng, failed, usual = np.random.default_rng(7), 0, DriftSettings()
    cases, every = times(12, 600), times(24, 3)
    for _ in range(cases):
        logs = nights(rng, 365, 0.03, alike=0.3, outliers=0.02)
        seen = (logs[max(0, n - 150) : n] for n in range(24, 366, every))
        looks = ((len(one), change_points(np.exp(one), min_change=usual.min_change)) for one in seen)
        failed += any(
            one.p <= usual.p * SURER and one.change > 0 and one.at >= n - usual.fail_on
            for n, points in looks
            for one in points
        )
    assert failed <= cases / 100 + 2 * (cases * 0.01) ** 0.5 * (cases > 100)


@given(st.lists(st.floats(1e-6, 1e9), max_size=40))
def test_anything_goes(values: list[float]) -> None:
    for one in change_points(values):
        assert 3 <= one.at <= len(values) - 3
        assert one.interval[0] <= one.change <= one.interval[1]


# --------------------------------------------------------------------------------------------- the mathematics


def test_a_stretch_is_split_where_the_energy_distance_is_largest() -> None:
    """As it is written: sums over all pairs, for every place and every end behind it."""

    def between(one: Any, other: Any) -> float:
        return float(np.abs(one[:, None] - other[None, :]).sum())

    def gain(logs: Any, tau: int, kappa: int) -> float:
        left, right = logs[:tau], logs[tau:kappa]
        inner = (right.size * between(left, left) / (tau - 1) + tau * between(right, right) / (kappa - tau - 1)) / 2
        return float(2 / kappa * (between(left, right) - inner))

    rng = np.random.default_rng(4)
    for n in (6, 7, 8, *range(9, 40, 3)):
        for size in (0.0, 1.0, 3.0):
            logs = rng.normal(size=n) + size * (np.arange(n) >= rng.integers(1, n))
            pairs = [(tau, kappa) for tau in range(3, n - 2) for kappa in range(tau + 3, n + 1)]
            assert drift._split(logs) == max(pairs, key=lambda pair: gain(logs, *pair))[0]
    assert drift._split(np.arange(5.0)) is None


def test_neighbours_are_compared_by_a_t_test() -> None:
    rng = np.random.default_rng(8)
    for at in ([20], [9, 30], [4, 9, 21]):
        logs = rng.normal(size=40) * 0.1 * (1 + np.arange(40) % 2) - 0.3 * (np.arange(40) % 2)  # like no neighbour
        ends = [0, *at, 40]
        for step, low, high in zip(drift._steps(logs, at), ends, ends[2:], strict=False):
            before, after = logs[low : step.at], logs[step.at : high]
            expected = stats.ttest_ind(before, after)
            assert (step.before, step.after) == (pytest.approx(before.mean()), pytest.approx(after.mean()))
            assert step.p == pytest.approx(expected.pvalue)
            lowest, highest = expected.confidence_interval(0.95)
            assert step.half == pytest.approx((highest - lowest) / 2)
    alike = nights(rng, 40, 0.1, alike=0.7)
    left = np.concatenate([alike[:15] - alike[:15].mean(), alike[15:] - alike[15:].mean()])
    likeness = drift._likeness(left, 2)
    assert likeness > 0.3
    (step,) = drift._steps(alike, [15])
    t = stats.ttest_ind(alike[:15], alike[15:]).statistic / ((1 + likeness) / (1 - likeness)) ** 0.5
    assert step.p == pytest.approx(2 * stats.t.sf(abs(t), 38))


def test_steps_of_too_few_or_without_any_noise() -> None:
    logs = np.array([0.0, 1.0, *[2.0] * 4, *[5.0] * 4, *[5.0] * 3])
    few, sure, none = drift._steps(logs, [2, 6, 10])
    assert few == drift._Step(at=2, before=0.5, after=2.0, half=math.inf, p=1.0)
    assert none == drift._Step(at=10, before=5.0, after=5.0, half=0.0, p=1.0)
    assert sure.p < 0.001
    (exact,) = drift._steps(np.repeat([1.0, 2.0], 3), [3])
    assert (exact.p, exact.half, exact.size) == (0.0, 0.0, 1.0)


def test_six_nights_are_enough_and_five_are_not() -> None:
    (point,) = change_points([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    assert (point.at, point.before, point.after, point.p) == (3, 1.0, pytest.approx(2.0), 0.0)
    assert (point.change, point.interval) == (pytest.approx(1.0), pytest.approx((1.0, 1.0)))
    assert change_points([1.0, 1.0, 2.0, 2.0, 2.0]) == []
    assert change_points([]) == []


def test_what_is_told_of_a_change() -> None:
    logs = 3 + 0.01 * np.array([1, -1, 2, -2, 0, 1, -1, 0] * 3)
    logs[12:] += 0.2
    (point,) = change_points(np.exp(logs))
    assert (point.at, point.before, point.after) == (12, near(math.exp(3)), near(math.exp(3.2)))
    assert point.change == pytest.approx(math.expm1(0.2), rel=0.01)
    half = stats.t.ppf(0.975, 22) * 0.01 * (36 / 22 / 6) ** 0.5
    assert point.interval == (near(math.expm1(0.2 - half)), near(math.expm1(0.2 + half)))
    assert 0 < point.p < 1e-12


def near(value: float) -> Any:
    return pytest.approx(value, rel=0.01)


def test_what_is_too_small_to_matter_is_dropped_the_smallest_first() -> None:
    """What is left is compared anew: two steps that are small alone may be a large one together."""
    wave = 1e-4 * np.array([1, -1, 2, -2, 0, 1, -1, 0] * 2)
    small = np.exp(np.concatenate([wave, wave + 0.02]))
    assert change_points(small) == []
    assert [one.at for one in change_points(small, min_change=0.01)] == [16]
    for levels, at in (((0.0, 0.025, 0.035), 16), ((0.0, 0.01, 0.035), 32)):
        logs = np.concatenate([wave + level for level in levels])
        assert [one.at for one in change_points(np.exp(logs), min_change=0.0285)] == [at]


def test_what_is_less_sure_than_is_asked_is_dropped() -> None:
    logs = np.tile([0.1, -0.1, 0.12, -0.12], 6) + 0.15 * (np.arange(24) >= 12)
    assert change_points(np.exp(logs)) == []
    (point,) = change_points(np.exp(logs), p=0.05)
    assert (point.at, 0.001 < point.p < 0.01) == (12, True)


def test_a_night_that_is_off_counts_as_less_far() -> None:
    rng = np.random.default_rng(9)
    for n in (7, 8, 30):
        logs = rng.normal(size=n) * 0.01
        logs[[1, n // 2, n - 2]] += [0.5, -0.5, 0.4]
        middle = np.array([np.median([logs[k] for k in range(n) if abs(k - i) <= 3]) for i in range(n)])
        reach = 2.5 * np.median(abs(logs - middle)) / stats.norm.ppf(0.75)
        tamed = drift._tamed(logs)
        assert tamed == pytest.approx(np.minimum(np.maximum(logs, middle - reach), middle + reach), abs=1e-6)
        assert np.abs(tamed).max() < 0.2
    for n in range(1, 7):
        assert (drift._tamed(logs[:n]) == logs[:n]).all()


@every(
    ("n", "window", "begins"),
    [(5, 50, [0]), (50, 50, [0]), (51, 50, [0, 1]), (60, 50, [0, 10]), (100, 50, [0, 25, 50]),
     (101, 50, [0, 25, 50, 51]), (4, 3, [0, 1]), (6, 3, [0, 1, 2, 3]), (3, 1, [0, 1, 2])],
)  # fmt: skip
def test_windows_overlap_by_half_and_the_last_holds_the_newest(n: int, window: int, begins: list[int]) -> None:
    assert list(drift._windows(n, window)) == begins


@pytest.mark.parametrize("levels", [1, 3])
def test_how_much_nights_are_alike_is_told_rightly_whatever_levels_were_taken_off(levels: int) -> None:
    rng, n, alike = np.random.default_rng(levels), 60, 0.5
    series = rng.normal(size=(3000, n))
    for i in range(1, n):
        series[:, i] = alike * series[:, i - 1] + (1 - alike**2) ** 0.5 * series[:, i]

    def likeness(one: Any) -> float:
        parts = one.reshape(levels, -1)
        return drift._likeness((parts - parts.mean(axis=1, keepdims=True)).ravel(), levels)

    assert np.mean([likeness(one) for one in series]) == pytest.approx(alike, abs=0.012 if levels > 1 else 0.02)
    independent = np.array([likeness(one) for one in rng.normal(size=(1000, n))])
    assert 0.1 < (independent > 0).mean() < 0.25, "most of them show none"
    assert 0 == independent.min() <= independent.max() < 0.8
    assert drift._likeness(np.cumsum(rng.normal(size=400)), 1) == 0.8
    assert [drift._likeness(np.array(left), 1) for left in ([1.0] * 5, [0.0] * 9)] == [0.0, 0.0]
    assert drift._likeness(np.array([1.0, 1.0, 1.0, -1.0, -1.0, -1.0]), 1) == 0.8
