"""What of accelerators spoils a result: slowed by heat, broken, shared."""

from __future__ import annotations

from typing import Any

from pytest_vllm_bench.judge import devices
from pytest_vllm_bench.model import Message, Sample, Track
from pytest_vllm_bench.text import say


def sample(*tracks: Track, **times: Any) -> Sample:
    columns = dict.fromkeys(("sent", "due", "ready", "done", "tried", "chain", "ok", "counted", "reconnected"))
    return Sample(**{**columns, "begin": 0.0, "end": 9.0, **times}, tracks=tracks)


def track(name: str, *values: float, device: str = "0") -> Track:
    return Track(name=name, device=device, every=1.0, times=tuple(map(float, range(len(values)))), values=values)


def said(*tracks: Track, **times: Any) -> list[tuple[str, str]]:
    return [(taint, say(message)) for taint, message in devices.findings(sample(*tracks, **times))]


def test_what_is_a_setting_is_no_throttling() -> None:
    """A busy H200 reaches its power limit all the time."""
    assert said(track("throttle_reasons", *[0x4, 0x1, 0x2, 0x100, 0x10] * 2)) == []
    assert devices.throttled(sample(track("power_w", 1, 2))) is None


def test_heat_in_more_than_a_twentieth_of_the_judged_window() -> None:
    hot = track("throttle_reasons", 0, 0, 0x20, 0x44, 0, 0, 0, 0, 0, 0, device="3")
    cool = track("throttle_reasons", *[0] * 10)
    ((taint, words),) = said(cool, hot)
    assert taint == "throttled"
    assert "Accelerator 3 was slowed by heat" in words
    assert "20%" in words
    assert said(cool, hot, steady=(4.0, 9.0)) == [], "only what was judged"
    assert devices.throttled(sample(track("throttle_reasons", 0x8, 0x80))) == (1.0, "0")
    rising = track("thermal_violation", 5, 5, 7, 7, 7, 7, 7, 7, 7, 7)
    assert devices.throttled(sample(rising)) == (0.1, "0"), "a counter of time"


def test_a_twentieth_is_what_may_be_slowed_at_the_window_and_its_edges() -> None:
    once = track("throttle_reasons", 0x20, *[0] * 19)
    assert said(once, end=19.0) == []
    assert len(said(once, end=18.0)) == 1
    assert devices.throttled(sample(once, begin=0.0, end=19.0)) == (0.05, "0")
    edges = track("throttle_reasons", 0, 0x20, 0, 0x20, 0)
    assert devices.throttled(sample(edges, begin=1.0, end=3.0)) == (2 / 3, "0")
    for none in ({"begin": None}, {"end": None}, {"begin": 7.0}):
        assert devices.throttled(sample(edges, **none)) is None
    steady = {"begin": None, "steady": (1.0, 3.0)}
    assert devices.throttled(sample(track("power_w", 1, 2), edges, **steady)) == (2 / 3, "0")


def test_errors_that_came_meanwhile() -> None:
    ((taint, words),) = said(track("xid", 0, 0, 79, 79))
    assert (taint, "XID 79, 2 s after" in words) == ("broken", True)
    assert said(track("xid", 31, 31, 31)) == [], "it had that before"
    assert said(track("xid", 31, 0, 0)) == []
    assert said(track("xid", 13, 31, device="5")) == [
        ("broken", say(Message(key="judge.devices.xid", values={"device": "5", "seconds": "1", "code": 31})))
    ]
    both = said(
        track("power_w", 1, 2), track("ecc_uncorrected", 1, 1), track("xid", 0, 48), track("ecc_uncorrected", 0, 1)
    )
    assert [taint for taint, _ in both] == ["broken", "broken"]
    for reset in ((6, 7, 4), (6, 7, 6)):
        assert said(track("ecc_uncorrected", *reset)) == [], "a counter that was reset"
    ecc = {"device": "2", "seconds": "1", "n": 3}
    assert said(track("ecc_uncorrected", 1, 3, 4, device="2")) == [
        ("broken", say(Message(key="judge.devices.ecc", values=ecc)))]  # fmt: skip
    ((taint, words),) = said(track("ecc_uncorrected", 4, 6))
    assert (taint, "counted 2 uncorrectable" in words) == ("broken", True)
    assert said(track("ecc_uncorrected", 4, 4)) == said(track("ecc_uncorrected", 4)) == said(track("xid")) == []


def test_others_on_the_device() -> None:
    assert said(track("strangers"), track("power_w", 5), track("strangers", 1, 0, device="3")) == [
        ("shared", say(Message(key="judge.devices.shared", values={"device": "3", "n": 1})))]  # fmt: skip
    ((taint, words),) = said(track("strangers", 0, 2), track("strangers", 0, 0, device="1"))
    assert (taint, "used accelerator 0 as well: 2" in words) == ("shared", True)
