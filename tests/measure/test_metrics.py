"""Every figure of the metric table, from made records whose truth is known by hand."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import closed, failure, opened, request, scenario

from pytest_vllm_bench.measure.columns import MetricSettings, sample, settings_of
from pytest_vllm_bench.measure.metrics import metrics
from pytest_vllm_bench.metric_table import SAMPLED, SCALAR, parse_name
from pytest_vllm_bench.model import Deployment, RampUp, Record, Stage

PLAIN = MetricSettings(concurrency=1)


def figures(records: list[Record], **settings: Any) -> dict[str, Any]:
    return metrics(records, settings=MetricSettings(**{"concurrency": 1, **settings}))


def arrivals(times: list[float], tokens: list[int]) -> dict[str, Any]:
    return {"arrival_times": array("d", times), "arrival_tokens": array("i", tokens),
            "arrival_events": array("i", [1] * len(times)), "first_token": times[0], "last_token": times[-1],
            "done": times[-1], "output_tokens": sum(tokens)}  # fmt: skip


def test_one_request_by_hand() -> None:
    found = figures([request(0, 1.0, ttft=0.1, gaps=[0.02, 0.03, 0.05], first_chunk=1.05, connect_s=0.004)])
    assert found["mean_ttft_ms"] == pytest.approx(100)
    assert found["mean_first_chunk_ms"] == pytest.approx(50)
    assert found["mean_ttfo_ms"] == pytest.approx(100)
    assert found["mean_tpot_ms"] == pytest.approx(100 / 3)
    assert found["mean_itl_ms"] == pytest.approx(100 / 3)
    assert found["median_itl_ms"] == pytest.approx(30)
    assert found["max_max_gap_ms"] == pytest.approx(50)
    assert found["mean_e2el_ms"] == pytest.approx(200)
    assert found["mean_connect_ms"] == pytest.approx(4)
    assert found["mean_send_lag_ms"] == 0
    assert found["mean_output_tps_per_user"] == pytest.approx(30)
    assert found["duration"] == pytest.approx(0.2)
    assert found["request_throughput"] == pytest.approx(5)
    assert found["output_throughput"] == pytest.approx(20)
    assert found["total_token_throughput"] == pytest.approx(520)
    assert found["total_input_tokens"] == 100
    assert found["total_output_tokens"] == 4
    assert found["max_output_tokens_per_s"] is None, "shorter than a second"
    assert found["mean_response_ttft_ms"] is None, "a closed loop has no due time"
    assert found["steady_mean_ttft_ms"] is None


def test_a_read_with_several_tokens_is_one_gap_and_several_tokens() -> None:
    made = request(0, 0.0, **arrivals([0.1, 0.14, 0.20], [2, 4, 1]))
    found = figures([made])
    assert found["mean_itl_ms"] == pytest.approx(50), "40 and 60 ms: a pause stays a pause"
    assert found["mean_itl_token_ms"] == pytest.approx((4 * 10 + 60) / 5), "once per token"
    assert found["mean_tpot_ms"] == pytest.approx(100 / 5), "the first arrival's tokens have no gap before them"
    assert found["max_max_gap_ms"] == pytest.approx(60)


def test_an_answer_in_one_read_has_no_tpot() -> None:
    found = figures([request(0, 0.0, **arrivals([0.1], [5]))])
    assert found["mean_tpot_ms"] is None
    assert found["mean_itl_ms"] is None
    assert found["mean_max_gap_ms"] is None
    assert found["mean_output_tps_per_user"] is None


def test_reads_without_tokens_and_reads_at_one_time_have_no_infinite_figures() -> None:
    empty_read = [request(0, 0.0, **arrivals([0.1, 0.2, 0.4], [1, 0, 2]))]
    assert figures(empty_read)["mean_itl_ms"] == pytest.approx(150)
    assert figures(empty_read)["mean_itl_token_ms"] == pytest.approx(100), (
        "two tokens in 200 ms; a read of none has none"
    )
    twos = figures([request(0, 0.0, **arrivals([0.1, 0.2, 0.4], [1, 2, 2]))])
    assert twos["mean_itl_token_ms"] == pytest.approx((2 * 50 + 2 * 100) / 4)
    assert figures([request(0, 0.0, gaps=[0.03])])["mean_tpot_ms"] == pytest.approx(30), "two tokens are enough"
    one = sample(
        [request(0, 0.0, **arrivals([0.1, 0.2], [5, 0])), request(1, 0.0, **arrivals([0.1, 0.1], [1, 1]))], PLAIN
    )
    assert one.values["tpot"] == pytest.approx([np.nan, 0], nan_ok=True), "all of it in the first read: nobody knows"
    assert one.values["output_tps_per_user"] == pytest.approx([np.nan, np.nan], nan_ok=True)


def test_without_a_stream_the_end_counts() -> None:
    changed: dict[str, Any] = {"first_token": None, "first_chunk": None, "first_output": None, "last_token": None}
    empty: dict[str, Any] = {"arrival_times": array("d"), "arrival_tokens": array("i"), "arrival_events": array("i")}
    found = figures([request(0, 0.0, **changed, **empty)])
    assert found["mean_e2el_ms"] == pytest.approx(140)
    assert found["output_throughput"] == pytest.approx(10 / 0.14)
    assert found["mean_ttft_ms"] is None


def test_pooling_has_no_output_tokens() -> None:
    changed: dict[str, Any] = {"first_token": None, "last_token": None, "output_tokens": None, "sequences": 8,
                               "arrival_times": array("d"), "arrival_tokens": array("i")}  # fmt: skip
    found = figures([request(0, 0.0, **changed)])
    assert found["output_throughput"] is None
    assert found["total_output_tokens"] is None
    assert found["input_throughput"] == pytest.approx(100 / 0.14)
    assert found["total_token_throughput"] == pytest.approx(100 / 0.14)
    assert found["input_sequence_throughput"] == pytest.approx(8 / 0.14)


def test_failures_are_not_in_latencies_or_throughput_but_in_ratios() -> None:
    records = [request(0, 0.0), failure(1, 0.2, "timeout", after=0.8), failure(2, 0.3, "rejected")]
    found = figures(records, goodput={"ttft": 60})
    assert (found["completed"], found["failed"], found["unsent"]) == (1, 2, 0)
    assert (found["failed_timeout"], found["failed_rejected"], found["failed_reset"]) == (1, 1, 0)
    assert found["failed_ratio"] == pytest.approx(2 / 3)
    assert found["goodput_ratio"] == pytest.approx(1 / 3)
    assert found["duration"] == pytest.approx(1.0)
    assert found["request_throughput"] == pytest.approx(1.0)
    assert found["request_goodput"] == pytest.approx(1.0)
    assert found["max_e2el_ms"] == pytest.approx(140)


def test_tokens_are_those_of_successes_whose_number_is_known() -> None:
    cut = failure(2, 0.5, "truncated", prompt_tokens=70, output_tokens=5)
    found = figures([request(0, 0.0, prompt_tokens=None), request(1, 1.0, prompt_tokens=30, done=2.0), cut])
    assert (found["total_input_tokens"], found["total_output_tokens"]) == (30, 20)
    assert found["input_throughput"] == pytest.approx(30 / 2)
    assert found["total_token_throughput"] == pytest.approx((30 + 20) / 2)


def test_audio_is_measured_by_its_length() -> None:
    records = [request(0, 0.0, audio_s=3.0), request(1, 1.0, audio_s=5.0, done=2.0), failure(2, 1.0, audio_s=9.0)]
    assert figures(records)["rtfx"] == pytest.approx((3 + 5) / 2)
    assert figures([request(0, 0.0)])["rtfx"] is None


def test_nothing_sent_is_null_and_no_time_is_no_rate() -> None:
    refused = [failure(i, None, "connect", due=float(i), ready=None, done=i + 1.0) for i in range(2)]
    found = figures(refused, open_loop=True)
    assert (found["failed"], found["failed_connect"], found["failed_ratio"]) == (2, 2, 1)
    unknown = ("duration", "request_throughput", "max_output_tokens_per_s", "max_concurrent_requests",
               "mean_concurrency", "cap_bound")  # fmt: skip
    assert {name: found[name] for name in unknown} == dict.fromkeys(unknown)
    stopped = figures([failure(0, 0.0, "cancelled", done=None)])
    assert (stopped["completed"], stopped["failed"], stopped["unsent"], stopped["failed_ratio"]) == (0, 0, 1, None)
    assert (stopped["duration"], stopped["mean_send_lag_ms"]) == (None, None)
    at_once = figures([request(0, 0.0, ttft=0.0, gaps=[])])
    assert (at_once["duration"], at_once["request_throughput"], at_once["mean_concurrency"]) == (0, None, None)
    pooled = figures([*refused, request(0, 0.0, repeat=2)])
    assert (pooled["mean_concurrency"], pooled["duration"]) == (1, pytest.approx(0.14)), "the second repeat's alone"
    nobody = figures([failure(0, 0.0, "reset", after=0.0), failure(1, None, "connect", done=1.0)])
    assert (nobody["duration"], nobody["max_concurrent_requests"], nobody["mean_concurrency"]) == (1, 0, 0)


def test_nothing_measured_is_null_never_zero() -> None:
    for records in ([], [failure(0, 0.0), failure(1, 0.1)]):
        found = figures(records, goodput={"ttft": 60})
        zeros = {key for key, value in found.items() if value == 0 and not key.startswith("failed")}
        zeros = {key for key in zeros if "send_lag" not in key}  # the client's own figure: failed requests have it too
        assert zeros <= {"completed", "unsent", "reconnected", "goodput_ratio", "slo_attainment.ttft"}
        assert (found["failed"], found["failed_timeout"]) == ((2, 2) if records else (None, None))
        assert found["mean_ttft_ms"] is None
        assert found["p99_e2el_ms"] is None
        assert found["output_throughput"] is None
        assert found["request_throughput"] is None


def test_what_we_stopped_is_no_sample() -> None:
    records = [request(0, 0.0), failure(1, 0.1, "cancelled"), failure(2, None, "not_sent", due=0.2)]
    found = figures(records, complete=False, goodput={"ttft": 60})
    assert (found["completed"], found["failed"], found["unsent"]) == (1, 0, 2)
    assert found["goodput_ratio"] == 1


def test_what_the_cap_kept_from_being_sent_is_a_miss() -> None:
    held = failure(1, None, "not_sent", due=0.2)
    found = figures([request(0, 0.0, due=0.0), held], open_loop=True, goodput={"ttft": 60})
    assert (found["failed"], found["unsent"], found["goodput_ratio"]) == (1, 0, 0.5)
    closed_loop = figures([request(0, 0.0), held], goodput={"ttft": 60})
    assert (closed_loop["failed"], closed_loop["unsent"]) == (0, 1)


def test_response_latencies_count_from_due() -> None:
    record = request(0, 5.0, ttft=0.1, due=2.0, ready=4.5)
    found = figures([record], open_loop=True)
    assert found["mean_ttft_ms"] == pytest.approx(100)
    assert found["mean_response_ttft_ms"] == pytest.approx(3100)
    assert found["mean_response_ttfo_ms"] == pytest.approx(3100)
    assert found["mean_response_e2el_ms"] == pytest.approx(3190)
    assert found["mean_slot_wait_ms"] == pytest.approx(2500)
    assert found["mean_send_lag_ms"] == pytest.approx(500)
    assert found["cap_bound"] == 1


def test_a_later_turn_without_due_waits_from_when_it_was_ready() -> None:
    found = figures([request(0, 5.0, ttft=0.1, due=None, ready=4.9)], open_loop=True)
    assert found["mean_response_ttft_ms"] == pytest.approx(200)
    assert found["mean_slot_wait_ms"] == 0


def test_goodput_reads_every_slo() -> None:
    records = [
        request(0, 0.0, ttft=0.05),
        request(1, 1.0, ttft=0.2),
        request(2, 2.0, ttft=0.05, gaps=[0.01, 0.5]),
        request(3, 3.0, ttft=0.05, gaps=[]),  # one token: tpot and max_gap are met
        request(4, 4.0, ttft=0.05, **arrivals([4.05], [5])),  # five tokens at once: nobody knows its tpot
        request(5, 5.0, ttft=0.05, first_output=None),
    ]
    found = figures(records, goodput={"ttft": 100, "tpot": 20, "max_gap": 100, "ttfo": 100, "e2el": 400})
    assert found["slo_attainment.ttft"] == pytest.approx(5 / 6)
    assert found["slo_attainment.tpot"] == pytest.approx(4 / 6)
    assert found["slo_attainment.max_gap"] == pytest.approx(4 / 6)
    assert found["slo_attainment.ttfo"] == pytest.approx(4 / 6)
    assert found["slo_attainment.e2el"] == pytest.approx(5 / 6)
    assert found["goodput_ratio"] == pytest.approx(2 / 6)
    assert found["request_goodput"] == pytest.approx(2 / found["duration"])
    assert found["good_output_throughput"] == pytest.approx(11 / found["duration"])


def test_a_limit_is_met_by_a_value_equal_to_it() -> None:
    assert figures([request(0, 0.0, ttft=0.0625)], goodput={"ttft": 62.5})["goodput_ratio"] == 1


def test_goodput_with_a_rate_reads_the_response() -> None:
    record = request(0, 5.0, ttft=0.1, due=2.0, ready=4.5)
    assert figures([record], open_loop=True, goodput={"ttft": 200})["goodput_ratio"] == 0


def test_without_a_good_request_goodput_is_zero() -> None:
    found = figures(closed([0.1] * 20), goodput={"ttft": 1})
    for name in ("goodput_ratio", "request_goodput", "good_output_throughput", "slo_attainment.ttft"):
        assert (found[name], found[f"steady_{name}"]) == (0, 0), name


def test_what_never_ended_is_in_flight_to_the_end() -> None:
    found = figures([request(0, 0.0, done=10.0), failure(1, 2.0, "cancelled", done=None)])
    assert (found["max_concurrent_requests"], found["mean_concurrency"]) == (2, (10 + 8) / 10)


def test_concurrency_ends_before_it_starts_at_a_tie() -> None:
    found = figures([request(i, i * 0.14, done=(i + 1) * 0.14) for i in range(11)])
    assert found["max_concurrent_requests"] == 1
    assert found["mean_concurrency"] == pytest.approx(1)


def test_the_busiest_second_slides() -> None:
    times = [0.0, 0.9, 1.2, 1.8, 1.95, 4.0]
    found = figures([request(0, 0.0, **arrivals(times, [1, 2, 3, 4, 5, 1]))])
    assert found["max_output_tokens_per_s"] == 12, "1.2 to 1.95: 12 in [1.2, 2.2), 11 in [0.9, 1.9), not 14"
    burst = figures([request(0, 0.0, **arrivals([0.0, 0.5, 3.0], [5, 6, 1]))])
    assert burst["max_output_tokens_per_s"] == 11, "the first second of all"


def test_percentiles_are_numpys_over_all_repeats_pooled() -> None:
    first = [request(i, float(i), ttft=0.1 + 0.01 * i) for i in range(7)]
    second = [request(i, float(i), ttft=0.5 + 0.02 * i, repeat=2) for i in range(4)]
    found = figures(first + second, percentiles=(50, 99.9))
    values = [100 + 10 * i for i in range(7)] + [500 + 20 * i for i in range(4)]
    assert found["p99.9_ttft_ms"] == pytest.approx(float(np.percentile(values, 99.9)))
    assert found["p50_ttft_ms"] == found["median_ttft_ms"] == pytest.approx(float(np.median(values)))
    assert found["std_ttft_ms"] == pytest.approx(float(np.std(values)))
    assert found["duration"] == pytest.approx((6 + 0.16 + 0.09) + (3 + 0.56 + 0.09))
    assert found["completed"] == 11
    alone = figures([request(i, float(i), ttft=ttft) for i, ttft in enumerate((0.1, 0.2, 0.6))], percentiles=(99,))
    assert (alone["median_ttft_ms"], alone["p99_ttft_ms"]) == (pytest.approx(200), pytest.approx(592))


def test_the_columns_of_a_sample() -> None:
    records = [
        request(0, 1.0, gaps=[], due=0.5, repeat=2, cached_tokens=3, shared_input=4, prompt_tokens=101, asked_output=2),
        request(1, 2.0, gaps=[0.01], due=1.5, repeat=2, token_source="events"),
        request(2, 2.5, gaps=[0.01] * 2, due=2.0, repeat=2),
        failure(3, None, "connect", due=3.0, ready=None, done=3.5, repeat=2),
        failure(4, None, "not_sent", due=4.0, ready=None, repeat=2),
    ]
    one = sample(records[::-1], MetricSettings(open_loop=True, complete=True))
    assert (one.repeat, one.open_loop, one.complete, one.begin) == (2, True, True, 1.0)
    assert one.end == pytest.approx(3.5)
    assert one.tried.tolist() == [1.0, 2.0, 2.5, 3.5, 4.0]
    assert one.counted.tolist() == [True] * 5
    assert one.one_token.tolist() == [True, False, False, False, False]
    assert (one.token_sources, one.errors) == ({"usage": 2, "events": 1}, {"connect": 1, "not_sent": 1})
    known = {name: [v for v in values if not np.isnan(v)] for name, values in one.tokens.items()}
    assert known == {"prompt": [101, 100, 100], "asked_input": [100] * 5, "output": [1, 2, 3], "cached": [3],
                     "asked_output": [2, 2, 3, 10, 10], "shared": [4, 0, 0, 0, 0]}  # fmt: skip
    assert [column.dtype for column in (one.ok, one.counted, one.in_steady)] == [np.bool_] * 3
    closed_loop = sample(records, MetricSettings(complete=False))
    assert (closed_loop.open_loop, closed_loop.complete) == (False, False)
    assert closed_loop.counted.tolist() == [True] * 4 + [False]
    nothing = sample([], PLAIN)
    assert (nothing.repeat, nothing.begin, nothing.end, nothing.steady) == (1, None, None, None)
    assert [len(c) for c in (nothing.ok, nothing.counted, nothing.in_steady, nothing.tried)] == [0] * 4
    assert nothing.ok.dtype == nothing.counted.dtype == nothing.in_steady.dtype == np.bool_


def test_repeats_are_pooled_by_their_own_time() -> None:
    first = [request(0, 0.0, done=2.0), request(1, 0.0, done=4.0)]
    second = [request(i, i + 1.0, done=i + 1.5, repeat=2) for i in range(3)]
    found = figures(first + second)
    assert found["mean_concurrency"] == pytest.approx((6 + 1.5) / (4 + 2.5))
    assert (found["max_concurrent_requests"], found["duration"]) == (2, 6.5)
    assert found["request_throughput"] == pytest.approx(5 / 6.5)
    assert figures([])["max_concurrent_requests"] in (0, None)
    alone = figures([request(0, 0.0, **arrivals([0.0, 1.0], [3, 4]))], percentiles=(99,))
    assert alone["max_output_tokens_per_s"] == 4, "a second is long enough, and ends before its end"
    assert alone["median_itl_ms"] == 1000


def test_a_wait_for_the_cap_is_any_wait() -> None:
    waits = [request(i, i + 0.5, due=float(i), ready=i + wait) for i, wait in enumerate((0.0, 0.2, 0.5))]
    assert figures(waits, open_loop=True)["cap_bound"] == pytest.approx(2 / 3)


def test_a_closed_loop_steadies_from_the_cth_completion_to_the_last_dispatch() -> None:
    records = closed([1.0, 2.0] + [0.1] * 18, cap=2)
    one = sample(records, MetricSettings(concurrency=2))
    done = sorted(r.done for r in records if r.done is not None)
    assert one.steady == (done[1], max(r.sent for r in records if r.sent is not None))
    found = figures(records, concurrency=2)
    assert found["p99_ttft_ms"] > 1000
    assert found["steady_max_ttft_ms"] == pytest.approx(100)
    assert found["steady_requests"] == int(one.in_steady.sum())
    assert found["steady_duration"] == pytest.approx(one.steady[1] - one.steady[0])


def test_without_enough_ends_there_is_no_steady_window() -> None:
    """Requests whose end nobody wrote down: the second to end, from which two at once would be steady, is not known."""
    unended = [request(i, i / 10, done=None) for i in range(9)]
    assert sample(unended, MetricSettings(concurrency=2)).steady is None
    assert sample([*unended, request(9, 0.95)], MetricSettings(concurrency=2)).steady is None
    both = [*unended, request(9, 0.1), request(10, 0.2), request(11, 1.5, done=None)]
    assert sample(both, MetricSettings(concurrency=2)).steady == (request(10, 0.2).done, 1.5)


def test_a_steady_window_has_a_length() -> None:
    """A server that refuses at once, on a clock that does not move: C have ended when the last is sent."""
    refused = [failure(i, 1.0, "http", after=0.0) for i in range(12)]
    assert sample(refused, MetricSettings(concurrency=2)).steady is None
    then = [*refused, failure(12, 1.5, "http", after=0.0)]
    assert sample(then, MetricSettings(concurrency=2)).steady == (1.0, 1.5)


def test_every_steady_figure_is_that_of_the_window() -> None:
    """Each request takes a second, its arrivals after 0.25, 0.5 and 1 s: the window is (1, 9]."""
    records = [request(i, float(i), ttft=0.25, gaps=[0.25, 0.5]) for i in range(10)]
    found = figures(records)
    known = {
        "begin_s": 1, "end_s": 9, "duration": 8, "requests": 9, "completed": 9, "failed": 0, "failed_ratio": 0,
        "total_input_tokens": 900, "total_output_tokens": 27, "request_throughput": 1, "input_throughput": 100,
        "output_throughput": 3, "total_token_throughput": 103, "mean_itl_ms": 375, "mean_itl_token_ms": 375,
        "mean_ttft_ms": 250, "max_output_tokens_per_s": 3, "max_concurrent_requests": 1, "mean_concurrency": 1,
    }  # fmt: skip
    assert {name: found[f"steady_{name}"] for name in known} == known
    again = figures([*records, *(request(i, float(i), ttft=0.25, gaps=[0.25, 0.5], repeat=2) for i in range(10))])
    assert (again["steady_requests"], again["steady_duration"]) == (18, 16)
    assert (again["steady_begin_s"], again["steady_end_s"]) == (None, None), "each has its own"
    assert figures(records[:3]).keys() == found.keys(), "the same figures, known or not"


def test_steady_gaps_are_those_that_end_in_the_window() -> None:
    slow = [0.5] * 9
    middle = [request(i, 4.6 + i * 0.2) for i in range(1, 30)]
    found = figures([request(0, 0.0, gaps=slow), *middle, request(30, 11.0, gaps=slow)])
    assert found["max_itl_ms"] == pytest.approx(500)
    assert found["steady_max_itl_ms"] == pytest.approx(10)
    assert found["steady_mean_itl_token_ms"] == pytest.approx(10)


def test_steady_throughput_of_a_regular_loop_is_exact() -> None:
    found = figures(closed([0.1] * 40, cap=4), concurrency=4)
    assert found["steady_request_throughput"] == pytest.approx(4 / 0.19)
    assert found["steady_output_throughput"] == pytest.approx(40 / 0.19, rel=0.02)
    assert found["steady_mean_concurrency"] == pytest.approx(4)
    assert found["mean_concurrency"] == pytest.approx(4)


@pytest.mark.parametrize(("prompts", "there"), [(11, False), (12, True)])
def test_no_steady_window_below_three_a_slot(prompts: int, there: bool) -> None:
    records = closed([0.1 + 0.001 * i for i in range(prompts)], cap=4)
    assert (sample(records, MetricSettings(concurrency=4)).steady is not None) is there


def test_no_steady_window_of_fewer_than_five() -> None:
    assert sample(closed([0.1] * 5), PLAIN).steady is None
    assert sample(closed([0.1] * 6), PLAIN).steady is not None


def test_no_steady_window_without_a_cap_or_under_changing_caps() -> None:
    records = closed([0.1] * 30)
    assert sample(records, MetricSettings(concurrency=None)).steady is None
    assert sample(records, MetricSettings(concurrency=1, staged=True)).steady is None


def test_the_steady_window_ends_with_the_first_dry_shard() -> None:
    records = closed([0.1] * 40, cap=4)
    one = sample(records, MetricSettings(concurrency=4, workers=2))
    last = [max(r.sent for r in records if r.chain % 2 == w and r.sent is not None) for w in (0, 1)]
    assert one.steady is not None
    assert one.steady[1] == min(last)


def test_an_open_loop_steadies_from_fill_to_the_last_due() -> None:
    records = opened([0.1] * 50)
    one = sample(records, MetricSettings(open_loop=True))
    assert one.steady == pytest.approx((0.19, 4.9))
    assert figures(records, open_loop=True)["steady_requests"] == 48
    assert sample(opened([0.1] * 11), MetricSettings(open_loop=True)).steady is None, "fewer than 10 in it"
    assert sample(opened([1.5] * 50), MetricSettings(open_loop=True)).steady is not None
    assert sample(opened([1.6] * 50), MetricSettings(open_loop=True)).steady is None, "shorter than 2F"


def test_waiting_for_the_cap_when_the_window_closed_belongs_to_it() -> None:
    records = opened([0.1] * 50)
    records[40].sent = 6.0
    one = sample(records, MetricSettings(open_loop=True))
    assert one.in_steady[40]


def test_the_open_window_to_the_bit() -> None:
    """Due eight a second, from due to end a second each: the window is [1, 3] of the 3 s that it takes at least."""
    records = [request(i, i / 8, ttft=0.5, gaps=[0.5], due=i / 8) for i in range(25)]
    asked = MetricSettings(open_loop=True)
    assert sample(records[:24], asked).steady is None
    assert sample(records, asked).steady == (1, 3)
    assert np.flatnonzero(sample(records, asked).in_steady).tolist() == list(range(8, 25))
    records[7].sent = 1.0
    for late in (8, 12, 24):
        records[late] = failure(late, 3.5, due=late / 8)
    records[20] = failure(20, 20 / 8, "cancelled", due=20 / 8)
    expected = [7, *range(8, 20), *range(21, 25)]
    assert np.flatnonzero(sample(records, asked).in_steady).tolist() == expected


def test_those_that_wait_for_the_cap_make_a_window_too() -> None:
    records = [request(i, i / 8, ttft=0.5, gaps=[0.5], due=i / 8) for i in range(25)]
    records[15:] = [failure(i, 4.0, due=i / 8) for i in range(15, 25)]
    one = sample(records, MetricSettings(open_loop=True))
    assert (one.steady, int(one.in_steady.sum())) == ((1, 3), 17)


def test_failures_outside_the_window_stay_in_the_steady_ratio() -> None:
    found = figures(closed([None] * 4 + [0.1] * 36, cap=4), concurrency=4, goodput={"ttft": 500})
    assert found["steady_failed"] == 0
    assert found["steady_goodput_ratio"] == pytest.approx(1 - 4 / (4 + found["steady_requests"]))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1, max_size=30))
def test_concurrency_is_what_counting_every_tick_gives(spans: list[tuple[int, int]]) -> None:
    records = [request(i, float(a), done=float(a + n)) for i, (a, n) in enumerate(spans)]
    found = figures(records)
    ticks = [sum(a <= t < a + n for a, n in spans) for t in range(101)]
    begin, end = min(a for a, _ in spans), max(a + n for a, n in spans)
    assert found["max_concurrent_requests"] == max(ticks)
    assert found["mean_concurrency"] == pytest.approx(sum(ticks) / (end - begin))


@settings(deadline=None)
@given(st.lists(st.floats(0.001, 10), min_size=1, max_size=50), st.lists(st.floats(1, 99.9), min_size=2, max_size=6))
def test_percentiles_are_monotone_and_within_the_values(ttfts: list[float], percents: list[float]) -> None:
    asked = tuple(sorted(set(percents)))
    found = figures(closed(ttfts), percentiles=asked)
    values = [found[f"p{int(p) if p == int(p) else p}_ttft_ms"] for p in asked]
    assert values == sorted(values)
    assert found["min_ttft_ms"] <= values[0] <= values[-1] <= found["max_ttft_ms"]


@settings(deadline=None)
@given(st.permutations(range(12)))
def test_the_order_of_records_does_not_matter(order: list[int]) -> None:
    records = closed([0.1 + 0.01 * i for i in range(12)], cap=3)
    settings = MetricSettings(concurrency=3, goodput={"ttft": 150})
    assert metrics([records[i] for i in order], settings=settings) == metrics(records, settings=settings)


def test_every_row_of_the_table_has_its_figures() -> None:
    found = figures(closed([0.1] * 30, cap=2), concurrency=2)
    for window in ("", "steady_"):
        for row in SCALAR.values():
            if not (window and row.id.startswith("failed_") and row.id != "failed_ratio"):
                assert window + row.id in found
        for row in SAMPLED.values():
            unit = "_ms" if row.unit == "ms" else ""
            assert f"{window}p99_{row.id}{unit}" in found
    for key in found:
        assert parse_name(key) is not None or key in ("steady_requests", "steady_begin_s", "steady_end_s"), key


def test_who_counted_is_told_of_what_was_answered() -> None:
    """An answer that ended before it was as long as asked is one."""
    made = [request(0, 0.0), request(1, 1.0, error="short", token_source="events"),
            request(2, 2.0, error="timeout", token_source="tokenizer"), request(3, 3.0, token_source="")]  # fmt: skip
    assert sample(made, PLAIN).token_sources == {"usage": 1, "events": 1}


def test_settings_add_the_percentiles_of_rules() -> None:
    settings = settings_of(scenario("p99.9_ttft_ms <= 500", "p12_output_tps_per_user >= 3", percentiles=(50,)))
    assert settings.percentiles == (12, 50, 99.9)


def test_settings_say_what_the_load_was() -> None:
    staged = scenario(stages=(Stage(seconds=1, concurrency=2), Stage(seconds=1, rate=3.0)), goodput={"ttft": 5})
    found = settings_of(staged, workers=3, complete=False)
    assert (found.staged, found.workers, found.complete, found.concurrency) == (True, 3, False, 1)
    assert found.goodput == {"ttft": 5}
    plain = settings_of(scenario(stages=(Stage(seconds=1, rate=3.0),)))
    assert (plain.staged, plain.workers, plain.complete, plain.rising) == (False, 1, True, 0)
    assert (plain.accelerators, plain.price_per_hour, plain.open_loop) == (None, None, True)
    rented = settings_of(scenario(deployment=Deployment(accelerators=8, price_per_hour=7.2), ramp_up=RampUp(over=9.0)))
    assert (rented.accelerators, rented.price_per_hour, rented.rising, rented.open_loop) == (8, 7.2, 9.0, False)
    assert settings_of(scenario(ramp_up=RampUp(over=None))).rising == 0, "over all of the requests"


def test_what_a_deployment_costs_by_hand() -> None:
    """Four tokens in 0.2 s are 20 tokens a second; 7.2 an hour are 0.002 a second."""
    one = [request(0, 1.0, ttft=0.1, gaps=[0.02, 0.03, 0.05])]
    found = figures(one, accelerators=8, price_per_hour=7.2)
    assert found["output_throughput_per_accelerator"] == pytest.approx(2.5)
    assert found["cost_per_million_output_tokens"] == pytest.approx(100)
    steady = figures(closed([0.1] * 40, cap=2), concurrency=2, accelerators=8)
    assert steady["steady_output_throughput_per_accelerator"] == pytest.approx(steady["steady_output_throughput"] / 8)
    plain = figures(one)
    assert plain["output_throughput_per_accelerator"] is plain["cost_per_million_output_tokens"] is None
    assert figures([], price_per_hour=7.2)["cost_per_million_output_tokens"] is None


def test_the_steady_window_begins_after_a_ramp() -> None:
    made = closed([0.1] * 40, cap=2)
    began = min(r.sent for r in made if r.sent is not None)
    one = sample(made, MetricSettings(concurrency=2, rising=1.0))
    assert one.steady == (began + 1.0, max(r.sent for r in made if r.sent is not None))
    paced = [request(i, 0.1 * i, due=0.1 * i) for i in range(100)]
    (usual, later) = (sample(paced, MetricSettings(open_loop=True, rising=s)).steady for s in (0.0, 2.0))
    assert usual is not None
    assert later == (usual[0] + 2.0, usual[1])
