"""What was watched, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

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
