"""Results made by hand, with every kind of verdict and error in them."""

from __future__ import annotations

from array import array
from decimal import Decimal
from typing import Any

from pytest_vllm_bench.model import (
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
from pytest_vllm_bench.report import artifacts

RULE = Rule(text="p99_ttft_ms <= 500", metric="p99_ttft_ms", op="<=", limit=Decimal(500))
FAILED = Rule(text="failed == 0", metric="failed", op="==", limit=Decimal(0), implied=True)


def scenario(input_len: int, output_len: int, concurrency: int, n: int, **more: Any) -> Scenario:
    key = f"io{input_len}x{output_len}-mc{concurrency}"
    fields: dict[str, Any] = {
        "id": f"{key}-np{n}",
        "key": key,
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
    worker = WorkerFacts(
        worker=0,
        started=0,
        ended=9,
        cpu_s=0.5,
        reads=9,
        bytes_in=1,
        bytes_out=1,
        sentinel_lags=[1e-4, 2e-4],
        loop="uvloop",
    )
    fields: dict[str, Any] = {
        "scenario": made,
        "verdict": verdict,
        "complete": True,
        "metrics": metrics,
        "verdicts": (judged(RULE, verdict, metrics["p99_ttft_ms"], n), judged(FAILED, Verdict.PASS, failed, n)),
        "checks": (check("send_lag", True), check("rate", verdict is not Verdict.INVALID)),
        "records": [record(k, tokens, slots=concurrency, error="timeout" if k < failed else None) for k in range(n)],
        "facts": LoadFacts(started=0.0, ended=9.0, workers=(worker,), complete=True),
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


def rows(**more: Any) -> list[artifacts.Row]:
    """Four cells, one of each verdict, one of them interrupted; not in table order."""
    cells = [(64, 640, Verdict.INVALID), (1, 10, Verdict.PASS), (16, 160, Verdict.FAIL), (4, 40, Verdict.INCONCLUSIVE)]
    made = [
        result(concurrency=c, n=n, verdict=v, failed=3 if v is Verdict.FAIL else 0, complete=c != 4, **more)
        for c, n, v in cells
    ]
    return [artifacts.to_json(r) for r in made]
