"""Results of other tools: read under our names, judged, and their gaps said."""

# A tuple with an approx in it is compared with one of numbers, which mypy takes for unlike.
# mypy: disable-error-code=comparison-overlap

from __future__ import annotations

from array import array
from typing import Any

import pytest
from every import every
from runs import closed, of_samples, rule, scenario

from pytest_vllm_bench.judge import imports
from pytest_vllm_bench.judge.imports import ForeignResult
from pytest_vllm_bench.judge.summary import judge_figures
from pytest_vllm_bench.measure.columns import sample, settings_of
from pytest_vllm_bench.measure.metrics import summary
from pytest_vllm_bench.model import JudgeSettings, Message, Record, Verdict
from pytest_vllm_bench.text import say

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def vllm(**changed: Any) -> dict[str, Any]:
    """Keys and units of ``vllm bench serve --save-result``."""
    values: dict[str, Any] = {
        "date": "20261123-052505", "endpoint_type": "openai", "model_id": "m", "num_prompts": 4, "request_rate": "inf",
        "burstiness": 1.0, "max_concurrency": 2, "duration": 2.0, "completed": 3, "failed": 1,
        "total_input_tokens": 300, "total_output_tokens": 30, "request_throughput": 1.5, "request_goodput": None,
        "output_throughput": 15.0, "total_token_throughput": 165.0, "mean_ttft_ms": 50.0, "median_ttft_ms": 49.0,
        "std_ttft_ms": 1.0, "p99_ttft_ms": 60.0, "mean_tpot_ms": 10.0, "p99_itl_ms": 11.0, "p99.9_e2el_ms": 150.0,
    }  # fmt: skip
    return {**values, **changed}


def detailed() -> dict[str, Any]:
    return vllm(
        start_times=[1000.0, 1000.5, 1001.0, 1001.5], ttfts=[0.05, 0.06, 0.0, 0.05],
        itls=[[0.01, 0.01], [0.02], [], [0.01, 0.01]], input_lens=[100, 100, 100, 100], output_lens=[3, 4, 0, 3],
        errors=["", "", "Timeout", ""], generated_texts=["a", "b", "", "c"],
    )  # fmt: skip


def read(data: Any) -> ForeignResult:
    found = imports.read(data, "file.json")
    assert isinstance(found, list)
    (one,) = found
    for lack in one.lacks:
        assert say(lack, "en") != say(lack, "zh")
    return one


def lacks(found: ForeignResult) -> list[str]:
    return [m.key.rpartition(".lacks_")[2] for m in found.lacks]


@every(("broken", "words"), [
    ({"ttfts": 5.0}, r"got `float` - at `\$.ttfts`"), ({"ttfts": [0.05, "x", 0.0, 0.05]}, r"at `\$.ttfts\[1\]`"),
    ({"itls": [[0.01], [float("nan")], [], [0.01]]}, "^a time is not finite$"), ({"errors": 3.5}, r"at `\$.errors`"),
    ({"start_times": [1000.0, None, 1001.0, 1001.5]}, r"got `null` - at `\$.start_times\[1\]`"),
    ({"input_lens": [100, "", 1, 1]}, r"at `\$.input_lens\[1\]`"),
    ({"output_lens": [3, -4, 0, 3]}, "^a number of tokens is no count$"),
    ({"output_lens": [3, 10**12, 0, 3]}, "^a number of tokens is no count$"),
    ({"input_lens": [100, 10_000_001, 1, 1]}, "^a number of tokens is no count$"),
    ({"input_lens": {"a": 1}}, r"at `\$.input_lens`"),
])  # fmt: skip
def test_what_a_tool_does_not_write_is_said_and_no_traceback(broken: dict[str, Any], words: str) -> None:
    read({**detailed(), "input_lens": [100, 10_000_000, 0, 1]})
    with pytest.raises(ValueError, match=words):
        read({**detailed(), **broken})


def test_a_summary_of_vllm() -> None:
    found = read(vllm())
    assert (found.source, found.model, found.concurrency, found.request_rate) == ("vllm", "m", 2, float("inf"))
    assert found.figures["p99_ttft_ms"] == 60
    assert found.figures["p99.9_e2el_ms"] == 150
    assert found.figures["failed_ratio"] == 0.25
    assert "request_goodput" not in found.figures
    assert found.records == ()
    assert lacks(found) == ["requests", "client", "details"]


def test_a_summary_and_a_detailed_result_of_vllm_to_the_letter() -> None:
    settings = ("num_prompts", "burstiness", "max_concurrency")
    figures = {k: v for k, v in vllm().items() if isinstance(v, float | int) and k not in settings}
    assert read(vllm()) == ForeignResult(
        source="vllm", name="file.json", figures=figures | {"failed_ratio": 0.25}, concurrency=2, model="m",
        lacks=read(vllm()).lacks,
    )  # fmt: skip
    assert [say(lack) for lack in read(vllm()).lacks] == [
        "it does not hold every single request, so nothing can be proven, only observed",
        "it does not say whether the client kept up, so no figure can be called invalid",
        "run vllm bench serve with --save-detailed to keep the requests",
    ]
    bare = read(vllm(max_concurrency=None, model_id=None, mean_ttft_ms=True, std_ttft_ms=float("nan")))
    assert (bare.concurrency, bare.model, bare.figures.keys() & {"mean_ttft_ms", "std_ttft_ms"}) == (None, "", set())

    def made(index: int, sent: float, times: list[float], tokens: list[int], **more: Any) -> Record:
        first, last = (times[0], times[-1]) if times else (None, None)
        values: dict[str, Any] = {
            "first_chunk": first, "first_token": first, "first_output": first, "last_token": last, "done": last,
            "arrival_times": array("d", times), "arrival_events": array("i", [1] * len(times)),
            "arrival_tokens": array("i", tokens), "output_tokens": sum(tokens),
        }  # fmt: skip
        return Record(index=index, chain=index, due=sent, ready=sent, sent=sent, prompt_tokens=100, **(values | more))

    def rounded(record: Record) -> Record:
        for field in ("first_chunk", "first_token", "first_output", "last_token", "done"):
            if (value := getattr(record, field)) is not None:
                setattr(record, field, round(value, 9))
        record.arrival_times = array("d", [round(t, 9) for t in record.arrival_times])
        return record

    failed = {"done": 1.0, "output_tokens": None, "error": "protocol"}
    wanted = (
        made(0, 0.0, [0.05, 0.06, 0.07], [1, 1, 1]),
        made(1, 0.5, [0.56, 0.58], [1, 3]),
        made(2, 1.0, [], [], **failed, error_detail="Timeout"),
        made(3, 1.5, [1.55, 1.56, 1.57], [1, 1, 1]),
    )
    assert tuple(rounded(record) for record in read(detailed()).records) == wanted
    unsaid = read(detailed() | {"errors": [], "input_lens": None, "output_lens": [3]}).records
    assert (unsaid[2].error, unsaid[2].error_detail) == ("protocol", "empty")
    assert [r.prompt_tokens for r in unsaid] == [None] * 4
    assert [r.output_tokens for r in unsaid] == [3, 2, None, 3]
    long = read(detailed() | {"errors": ["x" * 900, "", "", ""]}).records[0]
    assert (long.error_detail, long.done) == ("x" * 500, pytest.approx(0.07))
    for lacking in ("ttfts", "itls"):
        assert read({k: v for k, v in detailed().items() if k != lacking}).records == ()
    assert read(detailed() | {"ttfts": [0.05]}).records == ()


def test_failures_of_an_older_vllm_are_what_is_missing() -> None:
    data = vllm()
    del data["failed"]
    assert read(data).figures["failed"] == 1
    nothing = read(vllm(completed=0, failed=0)).figures
    assert "failed_ratio" not in nothing
    for completed, failed, ratio in ((1, 0, 0), (2, 2, 0.5), (0, 1, 1)):
        assert read(vllm(completed=completed, failed=failed)).figures["failed_ratio"] == ratio


def test_a_mean_of_nothing_is_no_figure_of_vllm() -> None:
    """It writes 0 where no answer had a second token; a median of 0 may be one."""
    nothing = {f"{statistic}_{id}_ms": 0.0 for statistic in ("mean", "median", "std", "p99") for id in ("tpot", "itl")}
    found = read(vllm(**nothing, **{"mean_e2el_ms": 50.0, "std_e2el_ms": 0.0}))
    assert not [key for key in found.figures if "tpot" in key or "itl" in key]
    assert found.figures["std_e2el_ms"] == 0


def test_the_least_of_a_vllm_result() -> None:
    least = {"request_throughput": 1.5, "completed": 3, "duration": 2.0}
    assert (read(least).source, read(least).figures) == ("vllm", least)


def test_a_detailed_result_of_vllm_has_its_requests() -> None:
    found = read(detailed())
    assert lacks(found) == ["client"]
    first, second, third, _ = found.records
    assert (first.sent, first.first_token, first.last_token) == (0, 0.05, pytest.approx(0.07))
    assert (second.output_tokens, list(second.arrival_tokens)) == (4, [1, 3])
    assert (third.error, third.error_detail) == ("protocol", "Timeout")
    settings = settings_of(scenario(concurrency=None))
    figures = summary([sample(found.records, settings)], settings)
    assert figures["mean_ttft_ms"] == pytest.approx((50 + 60 + 50) / 3)
    assert figures["failed"] == 1
    assert figures["total_output_tokens"] == 10
    assert figures["p99_itl_ms"] == pytest.approx(19.6)


def test_a_rate_without_due_times_is_said() -> None:
    found = read(detailed() | {"request_rate": 2.0})
    assert found.request_rate == 2
    assert lacks(found) == ["client", "due"]


def test_details_without_start_times_are_used_for_what_they_say() -> None:
    """As vLLM 0.8 and SGLang save them: latencies request by request, throughput only as the summary has it."""
    data = detailed()
    del data["start_times"], data["failed"], data["num_prompts"]
    found = read(data)
    assert lacks(found) == ["client", "starts"], "he gave the flag"
    assert [r.error for r in found.records] == [None, None, "protocol", None]
    assert found.figures["failed"] == 1
    settings = settings_of(scenario(concurrency=None))
    known = found.known_part(sample(found.records, settings))
    figures = summary([known], settings)
    assert figures["mean_ttft_ms"] == pytest.approx((50 + 60 + 50) / 3)
    assert figures["p99_itl_ms"] == pytest.approx(19.6)
    unknown = ("duration", "output_throughput", "request_throughput", "max_concurrent_requests", "steady_mean_ttft_ms")
    assert [figures[key] for key in unknown] == [None] * 5
    assert lacks(read(data | {"ttfts": [0.05]})) == ["requests", "client", "lists"]


def test_imported_requests_are_judged_like_our_own() -> None:
    ours = closed([0.1 + 0.0001 * (i * 37 % 101) for i in range(101)])
    data = vllm(
        start_times=[500 + float(r.sent or 0) for r in ours],
        ttfts=[float(r.first_token or 0) - float(r.sent or 0) for r in ours],
        itls=[[0.01] * 9 for _ in ours], input_lens=[100] * 101, output_lens=[10] * 101, errors=[""] * 101,
    )  # fmt: skip
    found = read(data)
    asked = scenario("p90_ttft_ms <= 500", "p50_e2el_ms <= 1", "mean_tpot_ms <= 11")
    settings = settings_of(asked)
    one = found.known_part(sample(found.records, settings))
    judged = of_samples(asked, [one])
    assert [v.verdict for v in judged.verdicts] == [PASS, FAIL, PASS, PASS]


def distribution(**values: Any) -> dict[str, Any]:
    percentiles = {"p001": 1.0, "p01": 1.0, "p05": 2.0, "p10": 3.0, "p25": 4.0, "p50": 5.0, "p75": 6.0, "p90": 7.0,
                   "p95": 8.0, "p99": 9.0, "p999": 10.0}  # fmt: skip
    made = {"mean": 5.5, "median": 5.0, "mode": 5.0, "variance": 1.0, "std_dev": 1.0, "min": 0.5, "max": 11.0,
            "count": 9, "total_sum": 49.5, "percentiles": percentiles}  # fmt: skip
    return {"successful": {**made, **values}, "errored": {"count": 0}, "incomplete": {"count": 0}, "total": made}


def guidellm(**changed: Any) -> dict[str, Any]:
    """Keys and units of GuideLLM's benchmarks.json."""
    metrics = {
        "request_totals": {"successful": 9, "errored": 1, "incomplete": 2, "total": 12},
        "requests_per_second": distribution(mean=3.0), "request_latency": distribution(),
        "time_to_first_token_ms": distribution(), "inter_token_latency_ms": distribution(),
        "time_per_output_token_ms": distribution(), "output_tokens_per_second": distribution(mean=300.0),
        "tokens_per_second": distribution(mean=400.0),
    }  # fmt: skip
    if kept := changed.get("requests"):
        metrics["request_totals"] = {kind: len(kept.get(kind) or ()) for kind in ("successful", "errored")}
    return {"metadata": {"version": 2}, "benchmarks": [{"type_": "generative_benchmark", "duration": 4.0,
                                                       "metrics": metrics, **changed}]}  # fmt: skip


def test_guidellm() -> None:
    found = read(guidellm())
    assert found.source == "guidellm"
    figures = found.figures
    assert (figures["completed"], figures["failed"], figures["unsent"]) == (9, 1, 2)
    assert (figures["p99_ttft_ms"], figures["p99.9_ttft_ms"], figures["median_ttft_ms"]) == (9, 10, 5)
    labels = ("p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "min", "max", "mean", "std")
    assert [figures[f"{s}_ttft_ms"] for s in labels] == [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 11, 5.5, 1]
    assert figures["p95_e2el_ms"] == 8000, "its request latency is in seconds"
    assert figures["p99_tpot_ms"] == 9, "its inter-token latency is one figure a request"
    assert "mean_itl_ms" not in figures
    assert (figures["request_throughput"], figures["output_throughput"]) == (3, 300)
    assert figures["failed_ratio"] == pytest.approx(0.1)
    assert lacks(found) == ["requests", "client", "gaps"]


def test_a_distribution_of_nothing_is_no_figure() -> None:
    data = guidellm()
    metrics = data["benchmarks"][0]["metrics"]
    metrics["time_to_first_token_ms"] = distribution(count=0, mean=0.0)
    metrics |= {"request_latency": None, "requests_per_second": {}, "tokens_per_second": {"successful": None}}
    figures = read(data).figures
    assert not [key for key in figures if "ttft" in key or "e2el" in key]
    assert not figures.keys() & {"request_throughput", "total_token_throughput"}
    assert figures["output_throughput"] == 300


def test_a_distribution_that_does_not_count_is_read() -> None:
    data = guidellm()
    del data["benchmarks"][0]["metrics"]["time_to_first_token_ms"]["successful"]["count"]
    assert read(data).figures["mean_ttft_ms"] == 5.5


def test_guidellm_with_its_requests() -> None:
    def one(start: float, ttft: float | None) -> dict[str, Any]:
        return {"request_start_time": start, "request_end_time": start + 1.0, "time_to_first_token_ms": ttft,
                "output_tokens": 11, "prompt_tokens": 7}  # fmt: skip

    requests = {
        "successful": [one(5000.0, 100.0), one(5002.0, 200.0)],
        "errored": [one(5001.0, None)],
        "incomplete": [],
    }
    found = read(guidellm(requests=requests))
    assert [r.sent for r in found.records] == [0, 1, 2]
    assert [r.error for r in found.records] == [None, "protocol", None]
    asked = scenario("p99_itl_ms <= 500", "p99_max_gap_ms <= 5000", "mean_tpot_ms <= 500", concurrency=None)
    settings = settings_of(asked)
    known = found.known_part(sample(found.records, settings))
    figures = summary([known], settings)
    assert figures["mean_ttft_ms"] == pytest.approx(150)
    assert figures["mean_e2el_ms"] == pytest.approx(1000)
    assert figures["mean_tpot_ms"] == pytest.approx((90 + 80) / 2)
    assert figures["mean_itl_ms"] is None, "when its tokens came is not saved"
    judged = of_samples(asked, [known])
    assert [v.verdict for v in judged.verdicts[:3]] == [FAIL, FAIL, INCONCLUSIVE]
    assert judged.verdicts[2].n == 3, "too few for an interval, and yet some"
    for text in ("p99_max_gap_ms <= 5000", "goodput_ratio >= 0.5", "slo_attainment.max_gap >= 0.5"):
        asked = scenario(text, goodput={"ttft": 500, "max_gap": 500}, concurrency=None)
        known = found.known_part(sample(found.records, settings_of(asked)))
        only = of_samples(asked, [known]).verdicts[0]
        assert (only.rule.text, only.verdict, only.observed, only.window) == (text, FAIL, None, "whole")
        assert only.reason.values["why"].key == "judge.not_measured"


def test_of_guidellm_a_part_of_the_requests_is_no_sample() -> None:
    """A few of each status: 1 of 10 failed, where it was 1 of 900."""
    one = {"request_start_time": 5.0, "request_end_time": 6.0, "time_to_first_token_ms": 100.0, "output_tokens": 11}
    for kept, many in (("successful", 900), ("errored", 50)):
        data = guidellm(requests={"successful": [one] * 9, "errored": [one]})
        data["benchmarks"][0]["metrics"]["request_totals"][kept] = many
        found = read(data)
        assert (found.records, lacks(found)[0]) == ((), "requests")


def test_what_guidellm_says_in_full() -> None:
    found = read(guidellm())
    assert (found.name, found.has_gaps, found.figures["duration"], found.figures["total_token_throughput"]) == (
        "file.json", False, 4, 400)  # fmt: skip
    assert [say(lack) for lack in found.lacks][2:] == [say(Message(key="judge.import.lacks_gaps"))]
    sent: list[dict[str, Any]] = [
        {"request_start_time": 7.0, "request_end_time": 9.0, "time_to_first_token_ms": 500.0, "output_tokens": 11,
         "prompt_tokens": 7},
        {"request_start_time": 6.0, "request_end_time": None, "time_to_first_token_ms": None},
    ]  # fmt: skip
    bad = {"request_start_time": 8.0, "request_end_time": 8.5}
    first, second, third = read(guidellm(requests={"successful": sent, "errored": [bad]})).records
    assert (first.sent, first.done, first.first_token, first.first_chunk, first.first_output) == (
        0,
        0,
        None,
        None,
        None,
    )
    assert (second.index, second.sent, second.first_token, second.last_token) == (1, 1, 1.5, 3)
    assert (second.prompt_tokens, second.output_tokens, list(second.arrival_tokens)) == (7, 11, [1, 10])
    assert (third.sent, third.done, third.error, third.error_detail) == (2, 2.5, "protocol", "errored")
    for unknown in ({"successful": [*sent, {}], "errored": []}, {"successful": sent, "errored": [{}]}):
        assert read(guidellm(requests=unknown)).records == (), "of some nobody knows when they were sent"
    assert read(guidellm(requests={"successful": [], "errored": []})).records == ()
    assert lacks(read(guidellm(requests={"successful": sent}))) == ["client", "gaps"]


def test_guidellm_keeps_several_runs_in_a_file() -> None:
    data = guidellm()
    data["benchmarks"] *= 2
    found = imports.read(data, "sweep.json")
    assert isinstance(found, list)
    assert [one.name for one in found] == ["sweep.json[0]", "sweep.json[1]"]


def test_genai_perf_and_aiperf() -> None:
    data: dict[str, Any] = {
        "request_throughput": {"unit": "requests/sec", "avg": 3.0},
        "request_latency": {"unit": "ms", "avg": 1000.0, "p50": 990.0, "p99": 1500.0, "min": 900.0, "max": 1600.0,
                            "std": 9.0},
        "time_to_first_token": {"unit": "ms", "avg": 50.0, "p99": 80.0},
        "inter_token_latency": {"unit": "ms", "avg": 10.0, "p90": 12.0},
        "output_token_throughput": {"unit": "tokens/sec", "avg": 300.0},
        "output_token_throughput_per_user": {"unit": "tokens/sec/user", "avg": 100.0, "p1": 90.0},
        "input_config": {},
    }  # fmt: skip
    found = read(data)
    assert found.source == "genai-perf"
    assert found.figures == {
        "request_throughput": 3, "mean_e2el_ms": 1000, "median_e2el_ms": 990, "p50_e2el_ms": 990, "p99_e2el_ms": 1500,
        "min_e2el_ms": 900, "max_e2el_ms": 1600, "std_e2el_ms": 9, "mean_ttft_ms": 50, "p99_ttft_ms": 80,
        "mean_tpot_ms": 10, "p90_tpot_ms": 12, "output_throughput": 300, "mean_output_tps_per_user": 100,
        "p1_output_tps_per_user": 90,
    }  # fmt: skip
    assert lacks(found) == ["requests", "client", "failures", "gaps"]
    newer = data | {
        "schema_version": "1.4", "aiperf_version": "0.13", "request_count": {"unit": "requests", "avg": 90},
        "benchmark_duration": {"unit": "sec", "avg": 30.0}, "inter_chunk_latency": {"unit": "ms", "avg": 9.0},
        "goodput": {"unit": "requests/sec", "avg": 2.0},
    }  # fmt: skip
    found = read(newer)
    assert found.source == "aiperf"
    assert (found.figures["completed"], found.figures["failed"], found.figures["duration"]) == (90, 0, 30)
    assert (found.figures["mean_itl_ms"], found.figures["request_goodput"]) == (9, 2)
    assert lacks(found) == ["requests", "client"]
    assert (found.complete, read(newer | {"was_cancelled": True}).complete) == (True, False)
    assert read(newer | {"error_request_count": {"unit": "requests", "avg": 10}}).figures["failed_ratio"] == 0.1


def test_a_mean_and_its_unit_are_enough_to_know_nvidias_tools() -> None:
    found = read({"request_latency": {"unit": "ms", "avg": 1500}})
    assert (found.source, found.figures["mean_e2el_ms"]) == ("genai-perf", 1500)


@every(
    ("more", "source", "figures", "lacking"),
    [
        ({"schema_version": "1.0"}, "aiperf", {}, ["failures", "gaps"]),
        ({"aiperf_version": "0.2", "request_count": {"unit": "requests", "avg": 9}}, "aiperf",
         {"completed": 9, "failed": 0, "failed_ratio": 0}, ["gaps"]),
        ({"request_count": {"unit": "requests", "avg": 9}}, "genai-perf", {"completed": 9}, ["failures", "gaps"]),
        ({"benchmark_duration": {"unit": "ms", "avg": 2500}}, "genai-perf", {"duration": 2.5}, ["failures", "gaps"]),
        ({"benchmark_duration": {"avg": 2.5}}, "genai-perf", {"duration": 2.5}, ["failures", "gaps"]),
        ({"time_to_first_token": {"unit": "us", "avg": 2000, "p95": None, "count": 9}}, "genai-perf",
         {"mean_ttft_ms": 2}, ["failures", "gaps"]),
    ],
)  # fmt: skip
def test_what_nvidias_tools_say_and_leave_out(
    more: dict[str, Any], source: str, figures: dict[str, float], lacking: list[str]
) -> None:
    """Units are read from the file; that none failed is known of AIPerf alone."""
    found = read({"request_latency": {"unit": "s", "avg": 1.5, "p50": 2, "p99": 3}} | more)
    latency = {"mean_e2el_ms": 1500, "median_e2el_ms": 2000, "p50_e2el_ms": 2000, "p99_e2el_ms": 3000}
    assert (found.source, found.name, found.figures) == (source, "file.json", latency | figures)
    assert lacks(found) == ["requests", "client", *lacking]


@pytest.mark.parametrize(
    "summary_keys",
    [
        {"Test Duration (s)": 30.0, "Concurrency": 4, "Success Requests": 9, "Failed Requests": 1,
         "Req Throughput (req/s)": 3.0, "Avg Latency (s)": 1.5, "Output Throughput (tok/s)": 300.0,
         "Avg TTFT (ms)": 50.0, "Avg TPOT (ms)": 10.0, "Avg ITL (ms)": -1},
        {"Time taken for tests (s)": 30.0, "Number of concurrency": 4, "Succeed requests": 9, "Failed requests": 1,
         "Request throughput (req/s)": 3.0, "Average latency (s)": 1.5, "Output token throughput (tok/s)": 300.0,
         "Average time to first token (s)": 0.05, "Average time per output token (s)": 0.01},
    ],
)  # fmt: skip
def test_evalscope_of_two_generations(summary_keys: dict[str, Any]) -> None:
    found = read(summary_keys)
    assert (found.source, found.name, found.concurrency) == ("evalscope", "file.json", 4)
    assert lacks(found) == ["requests", "client"]
    assert found.figures == pytest.approx(
        {"duration": 30, "completed": 9, "failed": 1, "failed_ratio": 0.1, "request_throughput": 3,
         "mean_e2el_ms": 1500, "output_throughput": 300, "mean_ttft_ms": 50, "mean_tpot_ms": 10}
    )  # fmt: skip
    assert read(summary_keys | {"Failed Requests": 0, "Failed requests": 0}).figures["failed"] == 0
    both = read(
        {"metrics": summary_keys, "percentiles": [{"Percentiles": "99%", "TTFT (ms)": 80.0, "Latency (s)": 2.0}]}
    )
    assert both.figures["p99_ttft_ms"] == 80
    assert both.figures["p99_e2el_ms"] == 2000
    assert both.figures["mean_ttft_ms"] == pytest.approx(50)


def test_evalscopes_table_of_percentiles_alone() -> None:
    rows = [{"Percentiles": "min", "TTFT (ms)": 1.0}, {"Percentiles": "50%", "TTFT (ms)": 5.0, "TPOT (ms)": 2.0},
            {"Percentiles": "max", "TTFT (ms)": 9.0}]  # fmt: skip
    found = read(rows)
    assert found.figures == {"min_ttft_ms": 1, "p50_ttft_ms": 5, "median_ttft_ms": 5, "p50_tpot_ms": 2,
                             "median_tpot_ms": 2, "max_ttft_ms": 9}  # fmt: skip
    assert lacks(found) == ["requests", "client", "failures"]


@every(
    ("data", "figures", "concurrency"),
    [
        ({"Avg TTFT": 50, " Avg TPOT  (ms) ": 10, "Failed Requests": 0, "": 1, "metrics": 2},
         {"mean_ttft_ms": 50, "mean_tpot_ms": 10, "failed": 0}, None),
        ({"Avg TTFT (s) ": 2, "Avg TPOT (us)": 10, "Test Duration (s)": 3, "Concurrency": 1},
         {"mean_ttft_ms": 2000, "mean_tpot_ms": 0.01, "duration": 3}, 1),
        ({"Avg TTFT (ms)": 2, "Avg TPOT (ms)": 3, "Avg ITL (ms)": 4, "Concurrency": 0},
         {"mean_ttft_ms": 2, "mean_tpot_ms": 3, "mean_itl_ms": 4}, None),
        ([{"Percentiles": "99.5%", "TTFT": 8, "Latency (s)": 2}], {"p99.5_ttft_ms": 8, "p99.5_e2el_ms": 2000}, None),
        ({"metrics": None, "percentiles": [{"Percentiles": "max", "ITL (ms)": 8}]}, {"max_itl_ms": 8}, None),
        ({"metrics": {"Avg TTFT": 1, "Avg TPOT": 2, "Avg ITL": 3}, "percentiles": None},
         {"mean_ttft_ms": 1, "mean_tpot_ms": 2, "mean_itl_ms": 3}, None),
    ],
)  # fmt: skip
def test_what_evalscope_leaves_out(data: Any, figures: dict[str, float], concurrency: int | None) -> None:
    """Latencies without a unit are in milliseconds; of a run's two parts one may be missing."""
    found = read(data)
    assert (found.source, found.figures, found.concurrency) == ("evalscope", pytest.approx(figures), concurrency)


@every(
    ("text", "figures", "seen", "words"),
    [
        ("p99_ttft_ms <= 100", {"p99_ttft_ms": 60.0, "completed": 98, "failed": 2}, ("inf", False, "whole", 100),
         "2 of 100 requests failed, more than the rule excuses"),
        ("p98_ttft_ms <= 100", {"p98_ttft_ms": 60.0, "completed": 98, "failed": 2}, (60, True, "whole", 100),
         "within it, but unproven: only a summary was saved, and single requests would be needed to prove it (observed "
         "60, asked <= 100)"),
        ("p90_ttft_ms <= 50", {"p90_ttft_ms": 60.0, "completed": 98}, (60, False, "whole", 98),
         "beyond it, but unproven: only a summary was saved, and single requests would be needed to prove it (observed "
         "60, asked <= 50)"),
        ("failed == 0", {"failed": 3}, (3, False, "whole", 3), "observed 3, asked == 0"),
        ("p99_ttft_ms == 60", {"p99_ttft_ms": 60.0, "completed": 98}, (60, True, "whole", 98),
         "observed 60, asked == 60"),
        ("max_ttft_ms <= 60", {"max_ttft_ms": 60.0, "completed": 98}, (60, True, "whole", 98),
         "observed 60, asked <= 60"),
        ("p50_ttft_ms <= 100", {"p50_ttft_ms": 60.0, "failed": 1}, ("inf", False, "whole", 1),
         "1 of 1 requests failed, more than the rule excuses"),
        ("max_itl_ms <= 100", {"max_itl_ms": 6.0, "completed": 50, "failed": 50}, (6, True, "whole", 100),
         "observed 6, asked <= 100"),
        ("p99_ttft_ms <= 100", {"completed": 98}, (None, None, "whole", 98),
         "no data, which never passes: it was not measured"),
        ("steady_p99_ttft_ms <= 100", {"p99_ttft_ms": 60.0}, (None, None, "steady", 0),
         "no data, which never passes: there is no steady window; ask for more requests (at least 3 per "
         "slot) or write whole_ before the metric"),
    ],
)  # fmt: skip
def test_the_words_of_a_summarys_verdict(text: str, figures: dict[str, Any], seen: tuple[Any, ...], words: str) -> None:
    (found,) = judge_figures([rule(text)], figures, JudgeSettings())
    assert (found.observed, found.within, found.window, found.n) == seen
    assert say(found.reason) == words


@every("data", [{}, [], None, 3, "text", {"hello": 1}, [1, 2], {"benchmarks": []}, {"benchmarks": 5},
                                  {"benchmarks": [1]}, {"benchmarks": [{}]}, {"benchmarks": [{"metrics": None}]},
                                  {"request_latency": 5}, {"Avg TTFT (ms)": 2, "Avg TPOT (ms)": 3},
                                  {"metrics": 1, "percentiles": [2]}, {"metrics": {}, "percentiles": []}])  # fmt: skip
def test_what_is_nobodys(data: Any) -> None:
    found = imports.read(data, "file.json")
    assert isinstance(found, Message)
    assert say(found, "en") != say(found, "zh")


@every(
    ("text", "figures", "evidence", "exact"),
    [
        ("p99_ttft_ms <= 100", {"p99_ttft_ms": 60.0, "completed": 100, "failed": 0}, INCONCLUSIVE, PASS),
        ("p99_ttft_ms <= 50", {"p99_ttft_ms": 60.0, "completed": 100, "failed": 0}, INCONCLUSIVE, FAIL),
        ("p99_ttft_ms <= 100", {"p99_ttft_ms": 60.0, "completed": 98, "failed": 2}, FAIL, FAIL),
        ("p90_ttft_ms <= 100", {"p90_ttft_ms": 60.0, "completed": 98, "failed": 2}, INCONCLUSIVE, PASS),
        ("max_ttft_ms <= 100", {"max_ttft_ms": 60.0, "completed": 98, "failed": 2}, FAIL, FAIL),
        ("mean_ttft_ms <= 100", {"mean_ttft_ms": 60.0, "completed": 98, "failed": 2}, INCONCLUSIVE, PASS),
        ("output_throughput >= 10", {"output_throughput": 5.0}, INCONCLUSIVE, FAIL),
        ("failed == 0", {"failed": 0}, PASS, PASS),
        ("failed_ratio <= 0.1", {"failed_ratio": 0.05}, INCONCLUSIVE, PASS),
        ("p99_ttft_ms <= 100", {"completed": 98}, FAIL, FAIL),
        ("steady_p99_ttft_ms <= 100", {"p99_ttft_ms": 60.0}, FAIL, FAIL),
    ],
)
def test_a_summary_is_observed_never_proven(
    text: str, figures: dict[str, Any], evidence: Verdict, exact: Verdict
) -> None:
    for mode, expected in (("evidence", evidence), ("exact", exact)):
        (found,) = judge_figures([rule(text)], figures, JudgeSettings(mode=mode))  # type: ignore[arg-type]
        assert found.verdict is expected
        assert not found.proven
        assert found.rule.text == text
        assert say(found.reason, "en") != say(found.reason, "zh")
