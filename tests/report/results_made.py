"""Results made by hand, with every kind of verdict and error in them."""

from __future__ import annotations

from array import array
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from pytest_vllm_bench.measure import brief
from pytest_vllm_bench.model import (
    Cell,
    Check,
    LoadFacts,
    Message,
    Record,
    Result,
    Rule,
    RuleVerdict,
    Scenario,
    Target,
    Verdict,
    WorkerFacts,
)
from pytest_vllm_bench.store.row import from_json, to_json

RULE = Rule(text="p99_ttft_ms <= 500", metric="p99_ttft_ms", op="<=", limit=Decimal(500))
FAILED = Rule(text="failed == 0", metric="failed", op="==", limit=Decimal(0), implied=True)


def scenario(input_len: int, output_len: int, concurrency: int, n: int, **more: Any) -> Scenario:
    key = f"io{input_len}x{output_len}-mc{concurrency}"
    fields: dict[str, Any] = {
        "cell": Cell(place=key, bound=f"np{n}"),
        "target": Target(base_url="http://server:8000", headers={"Authorization": "Bearer secret"}),
        "backend": "vllm",
        "models": ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",),
        "input_len": input_len,
        "output_len": output_len,
        "concurrency": concurrency,
        "num_prompts": n,
        "rules": (RULE, FAILED),
        "goodput": {"ttft": 500.0},
    }
    return Scenario(**{**fields, **more})


def record(index: int, n_tokens: int, *, slots: int = 16, error: Any = None) -> Record:
    """A request of a closed loop: the time to the first token grows with the slots, 10 ms a token."""
    wave, slot = divmod(index, slots)
    sent = wave * (0.05 + 0.01 * n_tokens) + 0.001 * slot
    first = sent + 0.04 + 0.002 * slots + 0.0005 * (index % 7)
    times = array("d", [first + 0.01 * k for k in range(n_tokens)])
    if error:
        return Record(index=index, ready=sent, sent=sent, done=sent + 0.5, error=error, error_detail=f"said: {error}")
    return Record(
        index=index,
        ready=sent - 0.0001,
        sent=sent,
        connect_s=0.0008 if index < slots else None,
        first_chunk=first - 0.002,
        first_token=first,
        last_token=times[-1],
        done=times[-1] + 0.001,
        arrival_times=times,
        arrival_events=array("i", [1] * n_tokens),
        arrival_tokens=array("i", [1] * n_tokens),
        asked_input=1024,
        asked_output=n_tokens,
        prompt_tokens=1024,
        output_tokens=n_tokens,
        token_source="usage",
        status=200,
    )


def figures(scenario: Scenario, failed: int) -> dict[str, float | int | None]:
    """Metrics as a real run has them, made up from the concurrency alone."""
    c, n = scenario.concurrency or 1, scenario.num_prompts or 0
    done, out, into = n - failed, scenario.output_len or 0, scenario.input_len or 0
    tpot = 10 + 0.4 * c
    speed = c / (0.04 + 0.002 * c + out * tpot / 1e3)
    found: dict[str, float | int | None] = {
        "duration": done / speed,
        "completed": done,
        "failed": failed,
        "total_input_tokens": into * done,
        "total_output_tokens": out * done,
        "request_throughput": speed,
        "output_throughput": speed * out,
        "total_token_throughput": speed * (out + into),
        "request_goodput": 0.9 * speed,
        "goodput_ratio": 0.9,
        "max_concurrent_requests": c,
        "mean_concurrency": c - 0.25,
        "max_output_tokens_per_s": None,
        "rtfx": None,
    }
    for name, value in (("ttft", 40.0 + 2 * c), ("tpot", tpot), ("itl", tpot), ("e2el", out * tpot)):
        spread = {"mean": 1.0, "median": 0.95, "std": 0.1, "min": 0.5, "max": 2.0, "p50": 0.95, "p90": 1.3, "p95": 1.4}
        found |= {f"{stat}_{name}_ms": value * k for stat, k in {**spread, "p99": 1.8}.items()}
    return found


def result(input_len: int = 1024, output_len: int = 256, concurrency: int = 16, n: int = 160, **more: Any) -> Result:
    """One finished scenario; ``verdict`` says how it went, ``failed`` how many requests did not."""
    verdict: Verdict = more.pop("verdict", Verdict.PASS)
    failed: int = more.pop("failed", 0)
    tokens: int = more.pop("tokens", 8)
    made = scenario(input_len, output_len, concurrency, n, **more.pop("scenario", {}))
    metrics = figures(made, failed)
    records = [record(k, tokens, slots=concurrency, error="timeout" if k < failed else None) for k in range(n)]
    worker = WorkerFacts(
        worker=0,
        started=0,
        ended=9,
        cpu_s=0.5,
        reads=9,
        bytes_in=1,
        bytes_out=1,
        sentinel_lags=(1e-4, 2e-4),
        loop="uvloop",
    )
    fields: dict[str, Any] = {
        "scenario": made,
        "verdict": verdict,
        "complete": True,
        "metrics": metrics,
        "verdicts": (judged(RULE, verdict, metrics["p99_ttft_ms"], n), judged(FAILED, Verdict.PASS, failed, n)),
        "checks": (check("send_lag", True), check("rate", verdict is not Verdict.INVALID)),
        "model": made.models[0],
        "requests": brief.requests(records),
        "records": records,
        "client": brief.client(LoadFacts(started=0.0, ended=9.0, workers=(worker,), complete=True)),
        "environment": {"client": {"cpus": 2, "python": "3.11"}, "server": {"version": "0.32"}},
        "date": "2026-11-23T05:25:05+00:00",
        "session": "20261123T052000Z",
    }
    return Result(**{**fields, **more})


def judged(rule: Rule, verdict: Verdict, observed: Any, n: int) -> RuleVerdict:
    within = verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)
    if verdict is Verdict.FAIL:
        observed = 523.4
    return RuleVerdict(
        rule=rule,
        verdict=Verdict.PASS if verdict is Verdict.INVALID else verdict,
        reason=Message(key="report.no_data"),
        observed=observed,
        within=within,
        window="steady",
        other=700.0,
        n=n,
        misses=0 if within else 5,
        n_eff=n / 1.4,
        misses_eff=0.0 if within else 3.6,
        tau=1.4,
    )


def check(name: str, ok: bool) -> Check:
    message = Message(key="report.failure.first_error", values={"words": "the load was not what was asked"})
    return Check(id=name, ok=ok, observed=0.9, limit=0.98, message=message)


def edited(made: Result, path: Path | None = None, **keys: Any) -> Result:
    """As it is read from a file with these ``keys`` in place of its own."""
    return from_json({**to_json(made), **keys}, path)


def named(made: Result, id: str) -> Result:
    return replace(made, scenario=replace(made.scenario, cell=Cell(place=id)))


def results(**more: Any) -> list[Result]:
    """Four cells, one of each verdict, one of them interrupted; not in table order."""
    cells = [(64, 640, Verdict.INVALID), (1, 10, Verdict.PASS), (16, 160, Verdict.FAIL), (4, 40, Verdict.INCONCLUSIVE)]
    return [
        result(concurrency=c, n=n, verdict=v, failed=3 if v is Verdict.FAIL else 0, complete=c != 4, **more)
        for c, n, v in cells
    ]


#: Results of other tools, small and whole: their keys, their units.
VLLM: dict[str, Any] = {
    "date": "20261123-052505", "endpoint_type": "openai", "model_id": "m", "num_prompts": 4, "request_rate": "inf",
    "burstiness": 1.0, "max_concurrency": 2, "duration": 2.0, "completed": 3, "failed": 1, "total_input_tokens": 300,
    "total_output_tokens": 10, "request_throughput": 1.5, "request_goodput:": None, "output_throughput": 5.0,
    "total_token_throughput": 155.0, "mean_ttft_ms": 53.0, "median_ttft_ms": 50.0, "std_ttft_ms": 1.0,
    "p99_ttft_ms": 60.0, "mean_tpot_ms": 10.0, "p99_itl_ms": 20.0, "input_lens": [100] * 4, "output_lens": [3, 4, 0, 3],
    "ttfts": [0.05, 0.06, 0.0, 0.05], "itls": [[0.01, 0.01], [0.02], [], [0.01, 0.01]],
    "start_times": [1000.0, 1000.5, 1001.0, 1001.5], "generated_texts": ["a", "b", "", "c"],
    "errors": ["", "", "Timeout", ""],
}  # fmt: skip
SGLANG: dict[str, Any] = {
    "tag": None, "backend": "sglang", "dataset_name": "random", "request_rate": "inf", "max_concurrency": 2,
    "sharegpt_output_len": None, "random_input_len": 100, "random_output_len": 4, "random_range_ratio": 1.0,
    "duration": 2.0, "completed": 3, "total_input_tokens": 300, "total_output_tokens": 10,
    "total_output_tokens_retokenized": 10, "request_throughput": 1.5, "input_throughput": 150.0,
    "output_throughput": 5.0, "total_throughput": 155.0, "mean_e2e_latency_ms": 80.0, "median_e2e_latency_ms": 80.0,
    "std_e2e_latency_ms": 1.0, "p90_e2e_latency_ms": 90.0, "p99_e2e_latency_ms": 99.0, "mean_ttft_ms": 53.0,
    "median_ttft_ms": 50.0, "std_ttft_ms": 1.0, "p99_ttft_ms": 60.0, "mean_tpot_ms": 10.0, "p99_tpot_ms": 11.0,
    "mean_itl_ms": 10.0, "p95_itl_ms": 19.0, "p99_itl_ms": 20.0, "max_itl_ms": 20.0, "concurrency": 1.9,
    "accept_length": None,
}  # fmt: skip
_SPREAD = {"mean": 5.5, "median": 5.0, "std_dev": 1.0, "min": 0.5, "max": 11.0, "count": 2,
           "percentiles": {"p01": 1.0, "p50": 5.0, "p90": 7.0, "p99": 9.0, "p999": 10.0}}  # fmt: skip
GUIDELLM: dict[str, Any] = {
    "metadata": {"version": 2},
    "benchmarks": [{
        "duration": 4.0,
        "metrics": {"request_totals": {"successful": 2, "errored": 1, "incomplete": 0, "total": 3}}
        | {name: {"successful": _SPREAD} for name in (
            "requests_per_second", "request_latency", "time_to_first_token_ms", "inter_token_latency_ms",
            "output_tokens_per_second", "tokens_per_second")},
        "requests": {
            "successful": [{"request_start_time": at, "request_end_time": at + 1, "time_to_first_token_ms": 100.0,
                            "output_tokens": 11, "prompt_tokens": 7} for at in (5000.0, 5002.0)],
            "errored": [{"request_start_time": 5001.0, "request_end_time": 5001.5}], "incomplete": [],
        },
    }],
}  # fmt: skip
AIPERF: dict[str, Any] = {
    "schema_version": "1.4", "aiperf_version": "0.13", "was_cancelled": False,
    "request_throughput": {"unit": "requests/sec", "avg": 3.0}, "request_count": {"unit": "requests", "avg": 90},
    "request_latency": {"unit": "ms", "avg": 1000.0, "p50": 990.0, "p99": 1500.0, "min": 9.0, "max": 16.0, "std": 9.0},
    "time_to_first_token": {"unit": "ms", "avg": 50.0, "p99": 80.0}, "inter_token_latency": {"unit": "ms", "avg": 10.0},
    "output_token_throughput": {"unit": "tokens/sec", "avg": 300.0}, "benchmark_duration": {"unit": "sec", "avg": 30.0},
}  # fmt: skip
EVALSCOPE: dict[str, Any] = {
    "metrics": {"Test Duration (s)": 30.0, "Concurrency": 4, "Success Requests": 9, "Failed Requests": 1,
                "Req Throughput (req/s)": 3.0, "Avg Latency (s)": 1.5, "Avg TTFT (ms)": 50.0, "Avg ITL (ms)": -1},
    "percentiles": [{"Percentiles": "99%", "TTFT (ms)": 80.0, "Latency (s)": 2.0}],
}  # fmt: skip
