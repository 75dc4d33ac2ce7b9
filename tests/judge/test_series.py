"""A rule and made records → which of them it counts, in which order, how bad they are, and which missed the limit."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from every import every
from runs import failure, request, rule, verdict

from pytest_vllm_bench.judge.selection import Series, allowed_share, observed, series
from pytest_vllm_bench.measure.columns import MetricSettings, sample
from pytest_vllm_bench.metric_table import parse_name
from pytest_vllm_bench.model import Record, Sample
from pytest_vllm_bench.text import say

INF = math.inf
GOODPUT = {"ttft": 100.0, "tpot": 20.0}
#: Due a second apart.  The first waited half a second for its slot; the last but one failed.
MIXED = [
    request(0, 0.5, due=0.0, connect_s=0.004),
    request(1, 1.0, due=1.0),
    request(2, 2.0, due=2.0, gaps=[0.04] * 9, connect_s=0.002),
    request(3, 3.0, due=3.0, gaps=[]),
    failure(4, 4.0, due=4.0),
    request(5, 5.0, due=5.0, first_token=None),
]


def made(records: list[Record], *, open_loop: bool = True, steady: tuple[int, ...] = ()) -> Sample:
    """``steady``: the indexes of the requests in a steady window, which lasts from 1.5 s to 2.5 s."""
    one = sample(records, MetricSettings(open_loop=open_loop, goodput=GOODPUT))
    return replace(one, steady=(1.5, 2.5), in_steady=np.isin(np.arange(len(records)), steady))


def counted(text: str, *samples: Sample, window: Any = "whole") -> Series:
    asked = rule(text)
    name = parse_name(asked.metric)
    assert name is not None
    return series(asked, name, samples, window, GOODPUT)


def near(values: list[float]) -> Any:
    return pytest.approx(values, abs=1e-9)


@every(
    ("text", "badness", "missed"),
    [
        ("goodput_ratio >= 0.9", [5.5, 0.5, 2, 0.5, INF, INF], [1, 0, 1, 0, 1, 1]),
        ("slo_attainment.ttft >= 0.9", [5.5, 0.5, 0.5, 0.5, INF, INF], [1, 0, 0, 0, 1, 1]),
        ("slo_attainment.tpot >= 0.9", [0.5, 0.5, 2, 0, INF, INF], [0, 0, 1, 0, 1, 1]),
        ("failed_ratio <= 0.1", [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 1, 0]),
        ("p90_ttft_ms <= 100", [550, 50, 50, 50, INF, INF], [1, 0, 0, 0, 1, 1]),
        ("p90_service_ttft_ms < 50.1", [50, 50, 50, 50, INF, INF], [0, 0, 0, 0, 1, 1]),
        ("p10_e2el_ms >= 200", [-640, -140, -410, -50, INF, -140], [0, 1, 0, 1, 1, 1]),
        ("p90_tpot_ms <= 20", [10, 10, 40, INF, INF], [0, 0, 1, 1, 1]),  # the fourth has one token and no tpot
        ("p10_output_tps_per_user > 30", [-100, -100, -25, INF, INF], [0, 0, 1, 1, 1]),
        ("p90_max_gap_ms <= 20", [10, 10, 40, INF, 10], [0, 0, 1, 1, 0]),
        ("p90_connect_ms <= 3", [4, 2], [1, 0]),  # no miss where there was no connection to open
        ("p90_slot_wait_ms <= 100", [500, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]),
    ],
)
def test_what_a_rule_counts(text: str, badness: list[float], missed: list[int]) -> None:
    found = counted(text, made(MIXED))
    assert found.badness.tolist() == near(badness)
    assert found.missed.tolist() == missed
    twice = counted(text, made(MIXED), made(MIXED[1:]))
    assert twice.badness.tolist() == near(badness + badness[1:]), "repeats one after another"
    assert (twice.sizes, twice.misses) == ((len(badness), len(badness) - 1), (sum(missed), sum(missed[1:])))


def test_which_of_them_failed() -> None:
    for text in ("goodput_ratio >= 0.9", "failed_ratio <= 0.1"):
        assert counted(text, made(MIXED)).failed.tolist() == [0, 0, 0, 0, 1, 0]
    assert counted("p90_ttft_ms <= 100", made(MIXED)).failed.tolist() == [0, 0, 0, 0, 1, 1], "the last has no ttft"
    assert not counted("p90_itl_ms <= 5", made(MIXED)).failed.any(), "gaps do not see failures"


@every(
    ("text", "records", "margin"),
    [
        ("p90_ttft_ms <= 1100", MIXED[:3], 2), ("p90_ttft_ms < 1100", MIXED[:3], 2),
        ("p90_ttft_ms <= 55", MIXED[:3], 0.1), ("p10_e2el_ms >= 70", MIXED[:3], 2),
        ("p10_e2el_ms > 0.5", MIXED[:3], 280), ("p10_e2el_ms >= 0", MIXED[:3], 0),
        ("p90_slot_wait_ms <= 100", MIXED[1:3], INF), ("p90_connect_ms <= 8", MIXED[:3], 2),
        ("p90_connect_ms <= 1", [request(0, 0.0, due=0.0, connect_s=0.0005)], 2),
        ("goodput_ratio >= 0.9", MIXED[1:3], 0.5), ("slo_attainment.ttft >= 0.9", MIXED[1:3], 2),
        ("slo_attainment.tpot >= 0.9", [MIXED[3]], INF),  # an answer of one token has no tpot to be far from
        # Failures have no values, and where one failed nothing is far from failing.
        ("failed_ratio <= 0.1", MIXED[:3], 0), ("p90_ttft_ms <= 1100", MIXED, 0), ("p90_ttft_ms <= 1100", [], 0),
        ("goodput_ratio >= 0.9", MIXED, 0), ("p90_itl_ms <= 80", MIXED[:3], 2), ("p90_itl_ms <= 80", MIXED[:5], 0),
    ],
)  # fmt: skip
def test_how_many_times_the_largest_value_would_keep_the_limit(text: str, records: list[Record], margin: float) -> None:
    assert counted(text, made(records)).margin == pytest.approx(margin)


def test_a_closed_loop_reads_what_the_server_did() -> None:
    found = counted("slo_attainment.ttft >= 0.9", made(MIXED, open_loop=False))
    assert found.badness.tolist() == near([0.5, 0.5, 0.5, 0.5, INF, INF])


@pytest.mark.parametrize(
    ("text", "badness"),
    [
        ("p90_ttft_ms <= 100", [50, 50]),
        ("goodput_ratio >= 0.9", [2, 0.5, INF]),  # a failure joins it wherever it was
        ("failed_ratio <= 0.1", [0, 0, 0, 0, 1, 0]),  # of the whole run
        ("p90_connect_ms <= 3", [2]),
        ("p90_tpot_ms <= 20", [40]),
    ],
)
def test_what_it_counts_in_the_steady_window(text: str, badness: list[float]) -> None:
    assert counted(text, made(MIXED, steady=(2, 3)), window="steady").badness.tolist() == near(badness)


def test_gaps_are_those_that_end_in_the_window_in_the_order_of_their_end() -> None:
    one = made([request(0, 0.0, ttft=1.0, gaps=[0.5, 1.0]), request(1, 0.0, ttft=1.25, gaps=[0.75])])
    assert counted("p50_itl_ms <= 700", one).badness.tolist() == [500, 750, 1000]
    assert counted("p50_itl_ms <= 700", one).missed.tolist() == [0, 1, 1]
    assert counted("p50_itl_token_ms >= 700", one).badness.tolist() == [-500, -750, -1000]
    steady = counted("p50_itl_ms <= 700", one, window="steady")
    assert steady.badness.tolist() == [750, 1000], "(1.5, 2.5]: the window begins with an arrival"
    nowhere = counted("p50_itl_ms <= 700", replace(one, steady=None), window="steady")
    assert nowhere.badness.tolist() == [500, 750, 1000]


def test_the_order_is_that_of_sending_and_of_the_plan_where_many_were_sent_at_once() -> None:
    burst = [request(i, 1.0, ttft=0.001 * ((i * 37) % 100)) for i in range(1, 101)]
    found = counted("p90_ttft_ms <= 100", made([request(0, 2.0, ttft=0.5), *burst], open_loop=False))
    assert found.badness.tolist() == near([*((i * 37) % 100 for i in range(1, 101)), 500])
    parts = [((i * 37) % 100 + 1) / 128 for i in range(100)]
    at_once = [request(i + 1, 0.0, ttft=1 - part, gaps=[part]) for i, part in enumerate(parts)]
    gaps = counted("p90_itl_ms <= 100", made([request(0, 0.0, ttft=1.0, gaps=[1.0]), *at_once]))
    assert gaps.badness.tolist() == [*(1000 * part for part in parts), 1000]


@every(
    ("text", "share"),
    [
        ("p90_ttft_ms <= 5", "1/10"), ("p90_ttft_ms > 5", "9/10"), ("p99.9_ttft_ms < 5", "1/1000"),
        ("median_ttft_ms >= 5", "1/2"), ("max_ttft_ms <= 5", "0"), ("min_ttft_ms >= 5", "0"),
        ("max_ttft_ms >= 5", None), ("min_ttft_ms <= 5", None), ("mean_ttft_ms <= 5", None), ("p90_ttft_ms == 5", None),
        ("failed_ratio <= 0.1", "1/10"), ("failed_ratio > 0.1", None), ("goodput_ratio >= 0.9", "1/10"),
        ("slo_attainment.ttft > 0.75", "1/4"), ("goodput_ratio < 0.9", None), ("duration <= 5", None),
    ],
)  # fmt: skip
def test_the_share_that_may_miss(text: str, share: str | None) -> None:
    asked = rule(text)
    name = parse_name(asked.metric)
    assert name is not None
    assert allowed_share(asked, name) == (None if share is None else Fraction(share))


@every(
    ("text", "value"),
    [
        ("p10_ttft_ms <= 1", 10), ("p50_ttft_ms < 1", 30), ("p90_ttft_ms <= 1", 50), ("max_ttft_ms < 1", 50),
        ("p10_ttft_ms >= 1", 10), ("p50_ttft_ms > 1", 30), ("p90_ttft_ms >= 1", 50), ("min_ttft_ms > 1", 10),
    ],
)  # fmt: skip
def test_the_order_statistic_that_decides(text: str, value: float) -> None:
    """Of five values, for limits from above and from below."""
    records = [request(i, float(i), ttft=0.01 * (i + 1)) for i in range(5)]
    asked = rule(text)
    name = parse_name(asked.metric)
    assert name is not None
    share = allowed_share(asked, name)
    assert share is not None
    assert observed(counted(text, made(records)), share, asked) == pytest.approx(value)
    failed = counted(text, made([failure(i, float(i)) for i in range(5)]))
    assert observed(failed, share, asked) == "inf"


@every(
    ("text", "n"),
    [("p90_slot_wait_ms <= 100", 0), ("p90_response_ttft_ms <= 100", 0), ("p90_ttft_ms <= 100", 5),
     ("failed_ratio <= 0.5", 6), ("goodput_ratio >= 0.5", 5), ("p90_itl_ms <= 100", 18)],
)  # fmt: skip
def test_what_a_closed_loop_does_not_have_was_not_measured(text: str, n: int) -> None:
    found = verdict(text, MIXED, goodput=GOODPUT)
    assert (found.reason.key == "judge.no_data", found.n) == (n == 0, n)
    assert n or (found.reason.values["why"].key, found.window) == ("judge.not_measured", "steady")


def test_a_limit_that_nobody_set_is_no_data() -> None:
    found = verdict("slo_attainment.ttft >= 0.5", MIXED, goodput={"e2el": 500})
    assert (found.verdict.value, found.observed, found.window) == ("FAIL", None, "steady")
    assert say(found.reason) == (
        "no data, which never passes: slo_attainment.ttft >= 0.5: goodput has no limit for ttft; "
        "add it, as in goodput: {ttft: 500}"
    )
    assert verdict("slo_attainment.e2el >= 0.5", MIXED, goodput={"e2el": 500}).misses == 1
