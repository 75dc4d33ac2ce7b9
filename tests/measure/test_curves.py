"""What was watched of a server → figures of the judged window, by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pytest_vllm_bench.measure import timeline
from pytest_vllm_bench.model import Sample, Track


def sample(*tracks: Track, **times: Any) -> Sample:
    columns = dict.fromkeys(("sent", "due", "ready", "done", "tried", "chain", "ok", "counted", "reconnected"))
    return Sample(**{**columns, "begin": 0.0, "end": 10.0, **times}, tracks=tracks)


def track(name: str, *values: float, bound: str = "", device: str = "", start: float = 0.0) -> Track:
    times = tuple(start + i for i in range(len(values)))
    return Track(name=name, device=device, bound=bound, every=1.0, times=times, values=values)


def buckets(name: str, **rises: float) -> list[Track]:
    """Nothing before the window, all that is counted in it; ``b0_3`` is the bound 0.3."""
    return [
        Track(name=f"{name}_bucket", bound=key[1:].replace("_", "."), times=(0, 10), values=(5, 5 + n))
        for key, n in rises.items()
    ]


def test_gauges_of_the_judged_window_alone() -> None:
    full = track("kv_usage", 0.1, 0.2, 0.9, 0.4, 0.3)
    found = timeline.figures(sample(full, steady=(0.5, 3.5)))
    assert found == pytest.approx(
        {"kv_usage_mean": 0.5, "kv_usage_max": 0.9, "kv_usage_last": 0.4, "kv_usage_p95": 0.85}
    )
    assert timeline.figures(sample(full))["kv_usage_last"] == 0.3
    assert timeline.figures(sample(full, begin=20.0, end=30.0)) == {}, "nothing was seen there, which is not nought"
    assert timeline.figures(sample(full, begin=None)) == {}
    assert timeline.figures(sample()) == {}


def test_of_several_servers_sums_and_of_shares_the_fullest() -> None:
    pages = [track("waiting", 1, 2, 3), track("waiting", 10, 20, 30, 40, device="b"),
             track("kv_usage", 0.5, 0.5), track("kv_usage", 0.1, 0.9, device="b")]  # fmt: skip
    found = timeline.figures(sample(*pages))
    assert [found["waiting_last"], found["waiting_mean"]] == [33, 22], "where both are known"
    assert found["kv_usage_max"] == 0.9
    assert found["kv_usage_mean"] == pytest.approx(0.7)


def test_counters_are_rates_and_quotients() -> None:
    tracks = [track("generation_tokens", 0, 100, 300, 50, 60), track("prefix_cache_hits", 0, 5, 5),
              track("prefix_cache_queries", 0, 10, 10)]  # fmt: skip
    found = timeline.figures(sample(*tracks))
    assert (found["output_tok_s_max"], found["output_tok_s_last"]) == (200, 10), "what fell is no rate"
    assert found["hit_rate_last"] == 0.5, "of a second without a request there is no share"
    assert "prompt_tok_s_mean" not in found


def test_quantiles_of_what_was_counted_in_the_window() -> None:
    within = buckets("queue", b0_1=90, b0_3=100, binf=100)
    found = timeline.figures(sample(*within))
    assert found["p50_queue_ms"] == pytest.approx(1e3 * 0.1 * 50 / 90)
    assert found["p95_queue_ms"] == pytest.approx(200)
    assert found["p99_queue_ms"] == pytest.approx(280)
    beyond = buckets("queue", b0_1=90, b0_3=98, binf=100)
    assert timeline.figures(sample(*beyond))["p99_queue_ms"] == math.inf, "it cannot be said how far"
    assert timeline.figures(sample(*buckets("queue", b0_1=1, binf=1)))["p50_queue_ms"] == pytest.approx(50)
    assert timeline.figures(sample(*buckets("queue", b0_1=0, binf=0))) == {}, "nobody came"
    assert timeline.figures(sample(*buckets("queue", b0_1=7))) == {}, "not a whole histogram"


def test_a_mean_says_more_than_a_wide_bucket() -> None:
    """vLLM's first bucket ends at 0.3 s: nobody waited, and a line through it would say 297 ms."""
    wide = buckets("queue", b0_3=100, binf=100)
    assert timeline.figures(sample(*wide))["p99_queue_ms"] == pytest.approx(297)
    told = Track(name="queue_sum", times=(0, 10), values=(1.0, 1.002))
    assert timeline.figures(sample(*wide, told))["p99_queue_ms"] == pytest.approx(2), "a hundred times the mean at most"
    late = Track(name="queue_sum", times=(0, 10), values=(0.0, 25.0))
    assert timeline.figures(sample(*wide, late))["p99_queue_ms"] == pytest.approx(297)


def test_every_histogram_has_its_quantiles_of_all_servers_together() -> None:
    """Of two servers, by hand: 40 waits of up to 0.1 s, 40 of up to 0.2 s, 20 of up to 1 s."""
    for name in ("ttft", "itl", "e2el", "queue", "prefill", "decode"):
        one = buckets(name, b0_1=40, b0_2=60, b1=60, binf=60)
        other = buckets(name, b0_1=0, b0_2=20, b1=40, binf=40)
        found = timeline.figures(sample(*one, *other))
        near = {f"p{p}_{name}_ms": pytest.approx(ms) for p, ms in ((50, 125), (90, 600), (95, 800), (99, 960))}
        assert found == near
        sums = [Track(name=f"{name}_sum", times=(0, 10), values=(3.0, 3.0 + n)) for n in (2.0, 3.0)]
        assert timeline.figures(sample(*one, *other, *sums)) == near | {
            f"p{p}_{name}_ms": pytest.approx(ms) for p, ms in ((50, 100), (90, 500))}  # fmt: skip
        assert timeline.figures(sample(*one, *other, steady=(0.0, 5.0))) == near
        first, rest = buckets(name, b0_2=100)[0], buckets(name, b0_4=100, binf=100)
        assert timeline.figures(sample(first, *rest))[f"p50_{name}_ms"] == pytest.approx(100), "from nought on"


def test_what_was_seen_at_the_edges_of_the_window_counts() -> None:
    found = timeline.figures(sample(track("waiting", 8, 1, 2, 3, 9), steady=(1.0, 3.0)))
    assert found == pytest.approx({"waiting_mean": 2, "waiting_max": 3, "waiting_last": 3, "waiting_p95": 2.9})
    assert timeline.figures(sample(track("waiting", 8, 1, 2, 3, 9), begin=1.0, end=3.0)) == found
    assert timeline.figures(sample(track("waiting", 8, 9), end=None)) == {}
