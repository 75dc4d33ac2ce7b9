"""Rules on what a server was seen to do while load ran."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_vllm_bench import simulator
from pytest_vllm_bench.simulator import SimulatorOptions
from pytest_vllm_bench.simulator.engine import LatencyModel

pytestmark = pytest.mark.slow  # whole sessions

Bench = Callable[..., pytest.RunResult]
#: Three seconds of load on an engine that has room for four at once.
ONE = {
    "input_output": [[64, 30]],
    "concurrency_prompts": [[16, 120]],
    "base_url": None,
    "observe": {"interval": "350ms"},
}
SMALL = LatencyModel(kv_tokens=512, step_s=0.01, jitter=0.0)
NAME = "bench_io64x30_mc16_np120"


def saved(pytester: pytest.Pytester) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((pytester.path / "results" / f"{NAME}.json").read_text())
    return found


def test_a_full_cache_and_a_queue_break_their_rules(bench: Bench, pytester: pytest.Pytester) -> None:
    rules = ["server.kv_usage_max <= 0.5", "server.waiting_max == 0", "server.running_max <= 16",
             "server.p99_queue_ms <= 1", "server.gpu_temperature_max <= 80"]  # fmt: skip
    with simulator.start(SimulatorOptions(latency=SMALL)) as server:
        result = bench(f"--vllm-url={server.base_url}", **ONE, sla=rules)
    result.assert_outcomes(failed=1)
    row = saved(pytester)
    verdicts = {v["rule"]: (v["verdict"], v["observed"]) for v in row["verdicts"]}
    assert verdicts["server.kv_usage_max <= 0.5"] == ("FAIL", row["server"]["kv_usage_max"])
    assert 0.5 < row["server"]["kv_usage_max"] <= 1
    assert verdicts["server.waiting_max == 0"][0] == "FAIL"
    assert 8 <= row["server"]["waiting_max"] < 16
    assert verdicts["server.running_max <= 16"][0] == "PASS"
    assert verdicts["server.p99_queue_ms <= 1"][0] == "FAIL"
    assert verdicts["server.gpu_temperature_max <= 80"] == ("FAIL", None), "what was not seen is no data"


def test_a_broken_latency_rule_names_its_culprit(
    bench: Bench, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More requests come than the engine has room for: what they wait for is its queue, and every report says so."""
    summary = pytester.path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    load = {"concurrency_prompts": [[None, 120]], "request_rate": 30, "warmup": 0}
    with simulator.start(SimulatorOptions(latency=SMALL, request_metrics=True)) as server:
        result = bench(f"--vllm-url={server.base_url}", **{**ONE, **load}, sla=["p90_e2el_ms <= 400"])
    result.assert_outcomes(failed=1)
    row = json.loads((pytester.path / "results" / "bench_io64x30_rr30_np120.json").read_text())
    culprit = row["verdicts"][0]["culprit"]
    assert culprit["stage"] == "server_queue"
    assert culprit["shares"][0]["interval"][0] > culprit["shares"][1]["interval"][1]
    shares = sum(one["share"] for one in culprit["shares"])
    assert shares == pytest.approx(culprit["observed"] - culprit["uncontended"])
    assert row["stages"]["server_queue"]["p99"] > row["stages"]["server_prefill"]["p99"]
    said = " ".join(result.stdout.str().split())
    assert "p90_e2el_ms comes from queueing: " in said
    assert "p90_e2el_ms comes from queueing: " in summary.read_text()
    shown = (pytester.path / "results" / "report.html").read_text()
    assert "p90_e2el_ms comes from queueing: " in shown
    assert "p90_e2el_ms 主要来自服务端排队：" in shown
    assert "watched-load" in shown, "drawn under the requests"
    assert [line for line in result.outlines if "waiting ▁" in line], "and on the terminal"


def test_a_restart_under_load_fails_with_its_second(bench: Bench, pytester: pytest.Pytester, tmp_path: Path) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps([{"fault": "restart", "path": "/metrics", "requests": [6]}]))
    with simulator.start(SimulatorOptions(latency=SMALL, faults=str(faults))) as server:
        result = bench(f"--vllm-url={server.base_url}", **ONE)
    result.assert_outcomes(failed=1)
    (fault,) = (note for note in saved(pytester)["notes"] if note["key"] == "observe.at")
    assert fault["values"]["what"]["key"] == "server.restarted"
    assert 0 <= int(fault["values"]["seconds"]) <= 60
    assert "The server restarted while it was measured" in " ".join(result.stdout.str().split())


def test_what_is_wrong_with_what_is_watched_is_told_before_any_load(bench: Bench) -> None:
    result = bench(
        base_url="http://localhost:1",
        metrics_url="http://user:secret@host/metrics",
        observe={"interval": "10ms", "urls": ["host:9400", "simulator"]},
        sla=["server.kv_usage_max <= 95"],
    )
    assert result.ret == 4
    said = " ".join(result.stderr.str().split())
    for words in ("without credentials", "10ms", "http://host:9400", "write http://host:9400/metrics", "kv_usage"):
        assert words in said, words
    assert "secret" not in said
