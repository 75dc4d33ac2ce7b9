"""Change points over nights: found where they are, soon enough, and hardly ever where there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from long import times

from pytest_vllm_bench.judge.drift import change_points
from pytest_vllm_bench.trend import SURER, DriftSettings


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
    """A year of nights, looked at ever again: what would fail is found in one of a hundred, with moods and outliers."""
    rng, failed, most = np.random.default_rng(7), 0, DriftSettings().p * SURER
    cases, every = times(12, 600), times(24, 3)
    for _ in range(cases):
        logs = nights(rng, 365, 0.03, alike=0.3, outliers=0.02)
        looks = (change_points(np.exp(logs[max(0, n - 150) : n]), min_change=0.02) for n in range(24, 366, every))
        failed += any(one.p <= most for points in looks for one in points)
    assert failed <= cases / 100 + 2 * (cases * 0.01) ** 0.5 * (cases > 100)


@given(st.lists(st.floats(1e-6, 1e9), max_size=40))
def test_anything_goes(values: list[float]) -> None:
    for one in change_points(values):
        assert 3 <= one.at <= len(values) - 3
        assert one.interval[0] <= one.change <= one.interval[1]
