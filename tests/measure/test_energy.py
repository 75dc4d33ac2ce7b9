"""Counters and power → energy in a window, only where it is sure."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from pytest_vllm_bench.measure import energy
from pytest_vllm_bench.model import Message, Sample, Track

RECORDED = Path(__file__).parent.parent / "observe"


def power(*pairs: tuple[float, float], device: str = "0", name: str = "power_w") -> Track:
    times, values = zip(*pairs, strict=True) if pairs else ((), ())
    return Track(name=name, device=device, every=0.5, times=times, values=values)


def steady(watts: float, begin: float = 0.0, end: float = 10.0, device: str = "0") -> Track:
    n = round((end - begin) / 0.5) + 1
    return power(*((begin + 0.5 * i, watts) for i in range(n)), device=device)


def counter(watts: float, begin: float = 0.0, end: float = 10.0, device: str = "0") -> Track:
    return power(*((t, 1e6 + watts * t) for t in steady(0, begin, end).times), device=device, name="energy_j")


def why(tracks: list[Track], window: tuple[float, float] = (2.2, 7.3)) -> Message | None:
    found = energy.used(tracks, window)["0"].why
    assert found is None or energy.joules(tracks, window) is None
    return found


def test_by_hand() -> None:
    window = (2.2, 7.3)
    assert energy.joules([steady(100)], window) == pytest.approx(510)
    assert energy.joules([steady(100), counter(90)], window) == pytest.approx(459), "the counter beats the integral"
    assert energy.joules([steady(100), steady(50, device="1")], window) == pytest.approx(765)
    assert energy.joules([steady(100), counter(60, device="1")], window) == pytest.approx(816)
    ramp = power((0, 0), (1, 100), (2, 200), (3, 300))
    assert energy.joules([ramp], (0.5, 2.5)) == pytest.approx(300), "interpolated at both edges"
    assert energy.highest([ramp], (0.5, 2.5)) == pytest.approx(250)
    turns = [power((0, 100), (1, 0), (2, 100), (3, 0)), power((0, 0), (1, 100), (2, 0), (3, 100), device="1")]
    assert energy.highest(turns, (0.5, 2.5)) == pytest.approx(100), "of both together, not each at its best"


@pytest.mark.parametrize(
    ("track", "reason"),
    [
        (power(), "no_samples"),
        (power((0, 1), (10, 1)), "no_samples"),
        (power((0, 1), (5, 1), (10, 1)), "no_samples"),
        (steady(1, begin=2.5), "window_not_bracketed"),
        (steady(1, end=7), "window_not_bracketed"),
        (power(*((t, 1) for t in (2, 2.5, 3, 3.5, 5.1, 5.6, 6, 6.5, 7, 7.5))), "sampling_gap"),
        (power(*((t, 1) for t in (0.5, 2.5, 3, 3.5, 4, 5, 6, 7, 8))), "sampling_gap"),  # across an edge
    ],
)
def test_each_reason_to_be_absent(track: Track, reason: str) -> None:
    found = why([track])
    assert found is not None
    assert found.key == f"judge.energy.{reason}"
    other = steady(1, device="1")
    assert energy.joules([other], (2.2, 7.3)) is not None
    assert energy.joules([other, track], (2.2, 7.3)) is None, "one card is not the deployment"
    assert energy.joules([track, counter(1)], (2.2, 7.3)) == pytest.approx(5.1), "the counter stands for it"


def test_energy_is_of_the_whole_deployment() -> None:
    pair = [steady(100), steady(50, device="1")]
    assert energy.joules(pair, (2.2, 7.3), 2) == pytest.approx(765)
    assert energy.highest(pair, (2.2, 7.3), 2) == pytest.approx(150)
    for expected in (1, 8):
        assert energy.joules(pair, (2.2, 7.3), expected) is None, "some are not watched, or others are watched too"
        assert energy.highest(pair, (2.2, 7.3), expected) is None


def test_a_counter_that_falls_is_none() -> None:
    fell = power(*((t, 100 - t) for t in range(11)), name="energy_j")
    assert energy.joules([fell, steady(10)], (2.2, 7.3)) == pytest.approx(51)
    assert energy.joules([fell], (2.2, 7.3)) is None
    rests = power(*((t, 100) for t in range(11)), name="energy_j")
    assert energy.joules([rests, steady(10)], (2.2, 7.3)) == pytest.approx(51)
    assert energy.joules([rests, steady(0)], (2.2, 7.3)) == 0
    gaps = power(*((t, 1) for t in (2, 2.5, 3.9, 5.3, 6.7, 8)))
    assert why([gaps]) is None, "three intervals may pass"


def test_what_is_said_of_the_judged_window() -> None:
    def notes(
        *tracks: Track, wanted: bool = True, expected: int | None = None, **times: float | tuple[float, float]
    ) -> list[str]:
        columns = dict.fromkeys(("sent", "due", "ready", "done", "tried", "chain", "ok", "counted", "reconnected"))
        made = Sample(**{**columns, "begin": 1.0, "end": 9.0, **times}, tracks=tracks)  # type: ignore[arg-type]
        return [note.key.removeprefix("judge.energy.") for note in energy.notes(made, wanted, expected)]

    assert notes(steady(100), counter(100)) == []
    assert notes(steady(100), counter(94)) == ["apart"]
    assert notes(steady(100), counter(96)) == []
    assert notes(steady(100), end=9.9, begin=0.1) == []
    assert notes(steady(100, end=8)) == ["window_not_bracketed"]
    assert notes(steady(100, end=8), steady=(2.0, 7.0)) == []
    assert notes() == ["unwatched"]
    assert notes(steady(100), expected=8) == ["device_count"]
    assert notes(steady(100), expected=1) == []
    assert notes(wanted=False) == []
    assert notes(steady(100), end=1.4) == ["no_samples"]
    assert notes(steady(100), end=1.4, wanted=False) == [], "a short run need not be explained to who did not ask"


def test_a_real_cards_counter_and_its_power_agree() -> None:
    """An H200 that was idle, multiplied matrices for twelve seconds, and was idle again."""
    with (RECORDED / "nvidia_smi_h200.csv").open(encoding="utf-8") as file:
        watts = [float(row["power.draw"]) for row in csv.DictReader(file, skipinitialspace=True)]
    told = json.loads((RECORDED / "nvml_h200.json").read_text())
    by_power = power(*zip(told["lines_s"], watts, strict=True))
    by_counter = power(*((t, mj / 1e3) for t, mj in told["energy"]), name="energy_j")
    whole = energy.used([by_power, by_counter], (1.0, 20.0))["0"]
    assert whole.counter == pytest.approx(whole.integral, rel=0.005)
    begin, end = told["busy_s"]
    busy = energy.used([by_power, by_counter], (begin, end))["0"]
    assert busy.counter == pytest.approx(8254, rel=0.005)
    assert busy.integral == pytest.approx(busy.counter, rel=0.04), "power is of the second before: the edges are off"
    assert busy.integral != pytest.approx(busy.counter, rel=0.02)
