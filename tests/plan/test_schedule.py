"""Load shapes: the gaps are what they are called, rates change in time as drawn, and nothing is rescaled."""

# A tuple with an approx in it is compared with one of numbers, which mypy takes for unlike.
# mypy: disable-error-code=comparison-overlap

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_vllm_bench.model import Cell, RampUp, Scenario, Stage, Target
from pytest_vllm_bench.plan.schedule import Schedule, schedule
from pytest_vllm_bench.plan.seeds import stream

SEEDS = range(20)


def planned(seed: int = 0, **fields: Any) -> Schedule:
    scenario = Scenario(**{"cell": Cell(place="s"), "target": Target(), "backend": "openai", **fields})
    return schedule(scenario, stream(seed, "arrivals"))


def due(seed: int = 0, **fields: Any) -> np.ndarray:
    times = planned(seed, **fields).due
    assert times is not None
    return times


def fits(samples: list[np.ndarray], cdf: Any) -> None:
    """Kolmogorov–Smirnov over many seeds: p-values of a true hypothesis are uniform, so few of them are small."""
    values = [stats.kstest(sample, cdf).pvalue for sample in samples]
    assert sum(p < 0.05 for p in values) <= 5
    assert min(values) > 1e-4


@pytest.mark.parametrize("rate", [0.5, 200.0])
def test_poisson_gaps_are_exponential(rate: float) -> None:
    gaps = [np.diff(due(s, request_rate=rate, num_prompts=3000)) for s in SEEDS]
    fits(gaps, stats.expon(scale=1 / rate).cdf)


@pytest.mark.parametrize("shape", [0.25, 0.5, 2.0, 8.0])
def test_burstiness_is_the_gamma_shape(shape: float) -> None:
    gaps = [np.diff(due(s, request_rate=10.0, burstiness=shape, num_prompts=3000)) for s in SEEDS]
    fits(gaps, stats.gamma(shape, scale=1 / (10 * shape)).cdf)


def test_gaps_of_a_poisson_load_are_independent() -> None:
    for seed in SEEDS:
        gaps = np.diff(due(seed, request_rate=10.0, num_prompts=3000))
        assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 4 / math.sqrt(len(gaps))


def test_constant_is_constant() -> None:
    assert due(request_rate=8.0, burstiness=math.inf, num_prompts=20000) == pytest.approx(np.arange(20000) / 8)


def test_gaps_are_never_rescaled_to_the_mean() -> None:
    """The achieved rate of a short Poisson load varies as 1/√n; a rescaled one would not vary at all."""
    rates = [99 / due(s, request_rate=10.0, num_prompts=100)[-1] for s in range(400)]
    assert np.std(rates) == pytest.approx(1.0, rel=0.2)
    assert np.mean(rates) == pytest.approx(10.0, rel=0.03)


def test_a_duration_bounds_the_load_and_not_its_size() -> None:
    counts = [len(due(s, request_rate=50.0, duration=20.0)) for s in range(200)]
    assert np.mean(counts) == pytest.approx(1000, rel=0.01)
    assert np.var(counts) == pytest.approx(1000, rel=0.35)  # a Poisson count's variance is its mean
    assert all(due(s, request_rate=50.0, duration=20.0)[-1] < 20 for s in SEEDS)


@settings(max_examples=60, deadline=None)
@given(
    rate=st.floats(0.1, 5000),
    burst=st.sampled_from([0.3, 1.0, 4.0, math.inf]),
    n=st.integers(1, 3000),
    ramp=st.sampled_from(
        [
            None,
            RampUp(over=3.0),
            RampUp(over=3.0, shape="exponential", start=0.05),
            RampUp(over=None),
            RampUp(over=None, shape="exponential"),
        ]
    ),
    seed=st.integers(0, 5),
)
def test_arrivals_begin_at_zero_and_never_decrease(
    rate: float, burst: float, n: int, ramp: RampUp | None, seed: int
) -> None:
    times = due(seed, request_rate=rate, burstiness=burst, num_prompts=n, ramp_up=ramp)
    assert len(times) == n
    assert times[0] == 0
    assert np.all(np.diff(times) >= 0)
    assert np.all(np.isfinite(times))


def test_a_longer_load_begins_with_the_shorter_one() -> None:
    assert due(request_rate=5.0, num_prompts=9000)[:100].tolist() == due(request_rate=5.0, num_prompts=100).tolist()


def test_a_linear_ramp_rises_evenly_in_time() -> None:
    times = due(request_rate=100.0, burstiness=math.inf, num_prompts=4000, ramp_up=RampUp(over=20.0))
    # ∫ of a rate that rises to 100/s over 20 s: 2.5 t² requests by t, 1,000 at the end, then 100 a second.
    for t in (4.0, 10.0, 20.0):
        assert np.searchsorted(times, t) == pytest.approx(2.5 * t * t, abs=1.5)
    assert np.searchsorted(times, 30.0) == pytest.approx(2000, abs=1.5)


def test_an_exponential_ramp_grows_by_the_same_factor_each_second() -> None:
    times = due(
        request_rate=1000.0, burstiness=math.inf, num_prompts=9000, ramp_up=RampUp(over=10.0, shape="exponential")
    )
    counts = np.diff(np.searchsorted(times, np.arange(0, 11)))
    growth = counts[3:] / counts[2:-1]
    assert growth == pytest.approx(np.full(len(growth), 100 ** (1 / 10)), rel=0.05)
    assert np.searchsorted(times, 11.0) - np.searchsorted(times, 10.0) == pytest.approx(1000, abs=1.5)


def test_a_poisson_ramp_is_poisson_in_stretched_time() -> None:
    samples = []
    for seed in SEEDS:
        times = due(seed, request_rate=100.0, num_prompts=900, ramp_up=RampUp(over=20.0))
        samples.append(np.diff(2.5 * times**2))  # back to the time in which the rate is 1
    fits(samples, stats.expon.cdf)


@pytest.mark.parametrize("shape", ["linear", "exponential"])
def test_a_ramp_over_the_requests_gives_each_a_rate_of_its_own(shape: Literal["linear", "exponential"]) -> None:
    """As vllm bench serve has it: from --ramp-up-start-rps to --ramp-up-end-rps, from one request to the next."""
    ramp = RampUp(over=None, start=2.0, shape=shape)
    times = due(request_rate=50.0, burstiness=math.inf, num_prompts=10_001, ramp_up=ramp)
    share = np.arange(1, 10_001) / 10_000
    rates = 2 * 25**share if shape == "exponential" else 2 + 48 * share
    assert 1 / np.diff(times) == pytest.approx(rates)
    assert due(request_rate=50.0, num_prompts=1, ramp_up=ramp).tolist() == [0]


def test_a_ramp_may_begin_at_a_rate() -> None:
    times = due(request_rate=30.0, burstiness=math.inf, num_prompts=900, ramp_up=RampUp(over=10.0, start=10.0))
    assert np.searchsorted(times, 10.0) == pytest.approx(200, abs=1.5)
    assert times[1] == pytest.approx(0.1, rel=0.01)


def test_stages_hold_each_rate_for_its_time() -> None:
    stages = (Stage(seconds=10, rate=20.0), Stage(seconds=5, rate=200.0), Stage(seconds=10, rate=20.0))
    times = due(stages=stages, burstiness=math.inf)
    counts = np.diff(np.searchsorted(times, [0, 10, 15, 25, 1000]))
    assert counts.tolist() == pytest.approx([200, 1000, 200, 0], abs=1)
    assert planned(stages=stages).duration == 25


def test_bursts_are_stages_with_pauses_between() -> None:
    stages = (Stage(seconds=1, rate=100.0), Stage(seconds=9, rate=0.0)) * 3
    times = due(stages=stages)
    assert np.all(times % 10 < 1)
    assert len(times) == pytest.approx(300, abs=60)


def test_stages_of_concurrency_are_steps_of_the_cap() -> None:
    made = planned(stages=(Stage(seconds=30, concurrency=8), Stage(seconds=60, concurrency=64)), output_len=100)
    assert made.due is None
    assert made.steps == ((0.0, 8), (30.0, 64))
    assert made.duration == 90
    assert made.at_most


def test_a_ramp_without_a_rate_raises_the_cap() -> None:
    made = planned(concurrency=5, num_prompts=50, ramp_up=RampUp(over=8.0))
    assert made.steps == ((0.0, 1), (2.0, 2), (4.0, 3), (6.0, 4), (8.0, 5))
    grown = planned(concurrency=16, num_prompts=50, ramp_up=RampUp(over=8.0, shape="exponential")).steps
    assert grown[0] == (0.0, 1)
    assert {cap: at for at, cap in grown}[4] == pytest.approx(4.0)
    assert grown[-1] == (pytest.approx(8.0), 16)
    some = planned(concurrency=5, num_prompts=50, ramp_up=RampUp(over=8.0, start=3.0))
    assert some.steps == ((0.0, 3), (4.0, 4), (8.0, 5))
    assert planned(concurrency=5, num_prompts=50, ramp_up=RampUp(over=8.0, start=9.0)).steps == ((0.0, 5),)


def test_a_closed_loop_has_everything_due_at_once() -> None:
    made = planned(concurrency=4, num_prompts=40)
    assert (made.due, made.n, made.at_most, made.duration) == (None, 40, False, None)


def test_a_rate_with_a_cap_keeps_its_due_times() -> None:
    capped = due(request_rate=5.0, concurrency=2, num_prompts=50)
    assert capped.tolist() == due(request_rate=5.0, num_prompts=50).tolist()


def test_a_closed_loop_bounded_by_time_plans_more_than_can_be_finished() -> None:
    made = planned(concurrency=4, duration=60.0, output_len=100)
    assert made.at_most
    assert made.n >= 4 * 60 / (100 / 500 + 1)
