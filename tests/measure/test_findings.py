"""What was watched, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from every import every

from pytest_vllm_bench.measure.findings import findings, rising
from pytest_vllm_bench.model import Sample, Track
from pytest_vllm_bench.text import say


def said(*tracks: Track, **more: Any) -> list[str]:
    columns = dict.fromkeys(("sent", "due", "ready", "done", "tried", "chain", "ok", "counted", "reconnected"))
    made = Sample(**{**columns, "begin": 0.0, "end": 60.0, "open_loop": True, **more}, tracks=tracks)
    return [say(message) for message in findings(made)]


def track(name: str, values: Any) -> Track:
    return Track(
        name=name, every=1.0, times=tuple(np.arange(len(values), dtype=float)), values=tuple(map(float, values))
    )


FULL = track("kv_usage", [0.5] * 41 + [1.0] * 20)


def test_a_full_cache_with_its_second_and_what_came_of_it() -> None:
    assert said(track("kv_usage", [0.5, 0.97] * 30)) == []
    assert said(FULL) == ["The server's KV cache was full from 41 s on, 33% of the time."]
    preempted = track("preemptions", [3] * 42 + list(range(4, 21)) + [20] * 2)
    assert said(FULL, preempted)[0].endswith("; then 17 preemptions.")
    seconds = np.arange(0.5, 60)
    fell = {"output_throughput": (seconds, np.where(seconds < 41, 100.0, 78.0))}
    assert said(FULL, preempted, tallies=fell)[0].endswith("; then 17 preemptions: output throughput fell by 22%.")
    even = {"output_throughput": (seconds, np.full(60, 100.0))}
    assert said(FULL, preempted, tallies=even)[0].endswith("; then 17 preemptions.")


def test_a_queue_that_grows_throughout_an_open_loop() -> None:
    growing = track("waiting", np.round(0.8 * np.arange(61)))
    assert said(growing) == ["The server's queue grew by 0.8 requests a second: the load is above its capacity."]
    assert said(growing, open_loop=False) == [], "a closed loop's queue has an end"
    assert said(growing, steady=(10.0, 12.0)) == [], "too little was seen of the judged window"
    noise = np.random.default_rng(3).poisson(5, 61)
    for name, waiting in {
        "rests": [40] * 61,
        "falls": np.arange(61)[::-1],
        "varies": noise,
        "peaks": [0] * 30 + [9] + [0] * 30,
    }.items():
        assert said(track("waiting", waiting)) == [], name


def test_a_slope_that_outliers_do_not_turn() -> None:
    times = np.arange(50.0)
    values = 0.5 * times
    values[[3, 17, 40]] = 500, -300, 900
    low, slope = rising(times, values)
    assert slope == pytest.approx(0.5)
    assert 0 < low <= slope
    assert rising(np.arange(5000.0), 2 * np.arange(5000.0)) == pytest.approx((2, 2))


def test_a_cache_that_is_full_only_outside_of_the_run() -> None:
    assert said(FULL, end=40.0) == []
    assert said(FULL, end=41.0) == ["The server's KV cache was full from 41 s on, 2% of the time."]
    assert said(FULL, begin=50.0) == ["The server's KV cache was full from 50 s on, 100% of the time."]
    assert said(track("kv_usage", [0.979] * 61)) == []
    assert said(track("kv_usage", [0.98] * 61)) == ["The server's KV cache was full from 0 s on, 100% of the time."]
    fills = track("kv_usage", [0.5] * 41 + [0.98] + [1.0] * 19)
    assert said(fills) == ["The server's KV cache was full from 41 s on, 33% of the time."]
    assert said(FULL, begin=None) == said(FULL, end=None) == []


def test_what_throughput_did_when_requests_were_preempted() -> None:
    several = [track("preemptions", [0] * 50 + [2] * 11), track("preemptions", [7] * 45 + [8] * 16),
               track("preemptions", [])]  # fmt: skip
    seconds = np.arange(0.5, 60)

    def fell(before: float, after: float, **more: Any) -> str:
        amount = np.where(seconds < 41, before, after)
        return said(FULL, *several, tallies={"output_throughput": (seconds, amount)}, **more)[0]

    assert fell(100, 96).endswith("; then 3 preemptions.")
    assert fell(100, 94).endswith("; then 3 preemptions: output throughput fell by 6%.")
    assert fell(100, 0).endswith("throughput fell by 100%.")
    whole = np.arange(1.0, 61.0)
    at_the_second = {"output_throughput": (whole, np.where(whole <= 41, 100.0, 50.0))}
    assert said(FULL, *several, tallies=at_the_second)[0].endswith("fell by 50%."), "what came at 41 s came before"
    assert fell(0, 100).endswith("; then 3 preemptions."), "it came from nothing"
    assert fell(100, 50, begin=41.0).endswith("; then 3 preemptions."), "nothing was there before"
    assert fell(100, 50, begin=40.5).endswith("; then 3 preemptions."), "less than a second"
    assert fell(100, 50, begin=40.0).endswith("fell by 50%."), "of the second before"
    assert said(FULL, track("preemptions", [5] * 50 + [6] * 11))[0].endswith("; then 1 preemptions.")
    assert said(FULL, track("preemptions", [5] * 61)) == [
        "The server's KV cache was full from 41 s on, 33% of the time."
    ]
    assert said(FULL, track("preemptions", [0] * 20 + [5] * 41))[0].endswith("33% of the time."), "before it was full"


@every(
    ("outside", "ttft", "words"),
    [
        ([0.03] * 3, [0.1] * 3, ["30% of TTFT (median 30.0 ms) passed outside of the engine"]),
        ([0.9] * 3, [1.0] * 3, ["90% of TTFT (median 900.0 ms) passed outside of the engine"]),
        ([0.025] * 3, [0.1] * 3, []),
        ([0.09, 0.01, 0.03], [0.1, 0.1, 0.1], ["30% of TTFT (median 30.0 ms) passed outside of the engine"]),
        ([0.03, np.nan, 0.9, 0.9], [0.1, 0.1, np.nan, 0.0], ["30% of TTFT (median 30.0 ms) passed outside"]),
        ([np.nan], [0.1], []),
        ([0.05, 0.05, -0.0021, -0.0021, -0.0019], [0.1] * 5,
         ["The server's own times are longer than what was seen of 2 requests, by more than 2 ms"]),
        ([-0.0021], [0.1], ["The server's own times are longer than what was seen of 1 requests"]),
        ([-0.002], [0.1], []),
    ],
)  # fmt: skip
def test_time_that_the_server_says_nothing_of(outside: list[float], ttft: list[float], words: list[str]) -> None:
    def of(outside: list[float], ttft: list[float], counted: list[bool]) -> list[str]:
        values = {"outside_first": np.array(outside), "ttft": np.array(ttft)}
        return said(values=values, counted=np.array(counted))

    found = of(outside, ttft, [True] * len(ttft))
    assert len(found) == len(words)
    assert all(line.startswith(start) for line, start in zip(found, words, strict=True))
    assert of([*outside, 0.1], [*ttft, 0.1], [*[True] * len(ttft), False]) == found, "what we stopped is no sample"
    assert said(values={"ttft": np.array(ttft)}, counted=np.ones(len(ttft), bool)) == []


def test_findings_are_in_the_order_in_which_things_went_wrong() -> None:
    values = {"outside_first": np.array([0.05, 0.05, -1.0]), "ttft": np.full(3, 0.1)}
    growing = track("waiting", np.arange(61))
    lines = said(FULL, growing, values=values, counted=np.ones(3, bool))
    assert [line.split()[3] for line in lines] == ["cache", "grew", "(median", "times"]


def test_a_queue_must_have_grown_by_three() -> None:
    """Within the window that is judged, where it was seen six times."""
    for rise, found in ((3.0, True), (2.9, False)):
        assert bool(said(track("waiting", np.arange(61) * rise / 60))) is found
    assert said(track("waiting", np.arange(61) * 0.2), steady=(30.0, 40.0)) == []
    assert said(track("waiting", [*[0] * 40, *range(1, 22)])) == [], "it may as well have rested"
    for window, found in (((10.0, 15.0), True), ((10.0, 14.9), False), ((10.1, 15.0), False)):
        assert bool(said(track("waiting", np.arange(61)), steady=window)) is found


def test_a_slope_and_its_lower_bound_by_hand() -> None:
    """Of four values six slopes: by Kendall's variance ±2.576·√(4·3·13/18) = 7.6 places around the middle."""
    low, slope = rising(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0, 4.0]))
    assert low == -1
    assert slope == pytest.approx((1 + 4 / 3) / 2)
    times = np.arange(300.0)
    values = np.sqrt(times)
    slopes = sorted((values[j] - values[i]) / (times[j] - times[i]) for i in range(300) for j in range(i))
    low, slope = rising(times, values)
    assert slope == np.median(slopes)
    assert low == slopes[int((44850 - 2.576 * np.sqrt(300 * 299 * 605 / 18)) / 2)]
    for n, step in ((400, 1), (401, 2), (3991, 10)):
        many = np.arange(float(n))
        some = many[::step]
        slopes = sorted((np.sqrt(b) - np.sqrt(a)) / (b - a) for i, b in enumerate(some) for a in some[:i])
        assert rising(many, np.sqrt(many))[1] == pytest.approx(np.median(slopes), rel=1e-12), "400 at most"
