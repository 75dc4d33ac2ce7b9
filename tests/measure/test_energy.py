"""Counters and power → energy in a window, only where it is sure."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
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
    ("track", "reason", "seen"),
    [
        (power(), "no_samples", 0),
        (power((0, 1), (10, 1)), "no_samples", 0),
        (power((0, 1), (2.2, 1), (5, 1), (7.3, 1), (10, 1)), "no_samples", 1),
        (steady(1, begin=2.5), "window_not_bracketed", "0.3"),
        (steady(1, end=7), "window_not_bracketed", "0.3"),
        (steady(1, begin=2.5, end=6), "window_not_bracketed", "1.3"),
        (power(*((t, 1) for t in (2, 2.5, 3, 3.5, 5.1, 5.6, 6, 6.5, 7, 7.5))), "sampling_gap", "1.6"),
        (power(*((t, 1) for t in (0.5, 2.5, 3, 3.5, 4, 5, 6, 7, 8))), "sampling_gap", "2.0"),  # across an edge
        (power(*((t, 1) for t in (2, 3, 4, 5, 6, 7, 9))), "sampling_gap", "2.0"),
    ],
)
def test_each_reason_to_be_absent(track: Track, reason: str, seen: int | str) -> None:
    found = why([track])
    assert found is not None
    assert found.key == f"judge.energy.{reason}"
    assert found.values == {"device": "0", "n" if reason == "no_samples" else "seconds": seen}
    assert energy.highest([track], (2.2, 7.3)) is None
    assert energy.highest([track, steady(1, device="1")], (2.2, 7.3)) is None
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
    gaps = power(*((t, 1) for t in (0, 2, 2.5, 4, 5.5, 7, 8.5, 20)))
    assert why([gaps]) is None, "three intervals may pass, and what lies before and after does not matter"


def test_a_window_that_begins_and_ends_with_a_value() -> None:
    ramp = power((2.0, 0), (2.5, 50), (3.0, 100), (3.5, 150))
    assert energy.joules([ramp], (2.0, 3.5)) == pytest.approx(112.5)
    assert energy.highest([ramp], (2.0, 3.5)) == 150
    assert tuple(energy.used([ramp], (2.0, 3.5))["0"]) == (None, 112.5, None)
    assert tuple(energy.used([ramp, counter(75, 2.0, 3.5)], (2.0, 3.5))["0"]) == (112.5, 112.5, None)
    assert tuple(energy.used([counter(75)], (2.0, 3.5))["0"]) == (112.5, None, None)
    rests = power(*((t, 100) for t in range(11)), name="energy_j")
    assert energy.joules([replace(rests, every=1.0)], (2.2, 7.3)) == 0, "nothing says that it used any"
    other = Track(name="temperature_c", device="7", every=0.5, times=ramp.times, values=ramp.values)
    assert list(energy.used([other, ramp], (2.0, 3.5))) == ["0"]
    assert energy.highest([other], (2.0, 3.5)) is energy.joules([other], (2.0, 3.5)) is None


def test_what_is_said_of_the_judged_window() -> None:
    def notes(
        *tracks: Track, wanted: bool = True, expected: int | None = None, **times: float | tuple[float, float] | None
    ) -> list[str]:
        columns = dict.fromkeys(("sent", "due", "ready", "done", "tried", "chain", "ok", "counted", "reconnected"))
        made = Sample(**{**columns, "begin": 1.0, "end": 9.0, **times}, tracks=tracks)  # type: ignore[arg-type]
        return [note.key.removeprefix("judge.energy.") for note in energy.notes(made, wanted, expected)]

    assert notes(steady(100), counter(100)) == []
    assert notes(steady(100), counter(94)) == ["apart"]
    assert notes(steady(100), counter(96)) == []
    assert notes(steady(100), end=9.9, begin=0.1) == []
    assert notes(steady(95), counter(100)) == notes(steady(105), counter(100)) == []
    assert notes(steady(106), counter(100)) == notes(steady(94), counter(100)) == ["apart"], "of the counter"
    assert notes(steady(100, end=8)) == ["window_not_bracketed"]
    assert notes(steady(100, end=8), steady=(2.0, 7.0)) == []
    assert notes() == ["unwatched"]
    assert notes(steady(100), expected=8) == ["device_count"]
    assert notes(steady(100), expected=1) == []
    assert notes(wanted=False) == []
    assert notes(steady(100), end=1.4) == ["no_samples"]
    for end, said in ((2.4, []), (2.5, ["window_not_bracketed"])):
        late = power((1.2, 1), (1.4, 1), (1.6, 1), (9, 1))
        assert notes(late, end=end, wanted=False) == said, "a short run need not be explained to who did not ask"
        assert notes(late, end=end) == ["window_not_bracketed"]
    assert notes(steady(100), begin=None) == notes(power((1, 1), name="temperature_c")) == ["unwatched"]


def test_what_is_said_names_the_device_and_what_was_seen() -> None:
    columns = dict.fromkeys(("sent", "due", "ready", "done", "tried", "chain", "ok", "counted", "reconnected"))

    def notes(*tracks: Track, expected: int | None = None) -> list[Message]:
        made = Sample(**columns, begin=1.0, end=9.0, tracks=tracks)  # type: ignore[arg-type]
        return energy.notes(made, True, expected)

    pair = [steady(100), counter(100), steady(50, device="1"), counter(75, device="1")]
    values = {"device": "1", "counter": "600", "integral": "400"}
    assert notes(*pair) == [Message(key="judge.energy.apart", values=values)]
    (why,) = notes(*pair, steady(1, begin=1.5, device="2"))
    assert why == Message(key="judge.energy.window_not_bracketed", values={"device": "2", "seconds": "0.5"})
    rare = Message(key="judge.energy.no_samples", values={"device": "3", "n": 0})
    assert notes(*pair, counter(1, 0.0, 0.5, device="3")) == [rare]
    count = Message(key="judge.energy.device_count", values={"seen": 2, "expected": 8})
    assert notes(*pair, expected=8) == [count]


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
