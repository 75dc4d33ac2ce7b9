"""Answers that are not what was asked, seen by users: said everywhere, and no rule that they undermine is PASS."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from relay import relay

from pytest_vllm_bench import simulator
from pytest_vllm_bench.rejudge import Criteria, parsed, results
from pytest_vllm_bench.simulator import LatencyModel, SimulatorOptions

pytestmark = pytest.mark.slow  # whole sessions

Bench = Callable[..., pytest.RunResult]
ONE = {"input_output": [[64, 32]], "concurrency_prompts": [[2, 30]], "base_url": None, "backend": "openai-chat"}
NAME = "io64x32_mc2_np30"


def faulty(tmp_path: Path, fault: str, **options: Any) -> SimulatorOptions:
    path = tmp_path / "faults.json"
    path.write_text(json.dumps([{"fault": fault, "path": "/v1/chat/completions"}]))
    return SimulatorOptions(faults=str(path), **options)


def saved(pytester: pytest.Pytester) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((pytester.path / "results" / f"bench_{NAME}.json").read_text())
    return found


def doubts(row: dict[str, Any]) -> dict[str, str]:
    return {n["key"].removeprefix("judge.doubt."): n["text"] for n in row["notes"] if "judge.doubt." in n["key"]}


def test_a_server_that_knows_another_field_for_the_length(
    bench: Bench, pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finding that names the field, in whatever people read; and the switch that mends it."""
    step = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    rules = ["p50_e2el_ms <= 60000", "output_throughput >= 0.001"]
    with simulator.start(faulty(tmp_path, "field name=max_tokens default=96")) as server:
        keys = {**ONE, "ignore_eos": False, "judge": {"mode": "exact"}, "sla": rules, "token_detail": "off"}
        told = bench(f"--vllm-url={server.base_url}", **keys)
        told.assert_outcomes(passed=1)
        row = saved(pytester)
        strict = bench("--vllm-strict", f"--vllm-url={server.base_url}", **keys)
        strict.assert_outcomes(failed=1)
        monkeypatch.delenv("GITHUB_ACTIONS")
        bench(f"--vllm-url={server.base_url}", **keys, output_field="max_tokens").assert_outcomes(passed=1)
    said = "max_completion_tokens"
    assert said in doubts(row)["length"]
    assert "32 tokens were asked for" in doubts(row)["length"]
    assert row["verdict"] == "INCONCLUSIVE"
    assert {v["verdict"] for v in row["verdicts"] if not v["implied"]} == {"INCONCLUSIVE"}
    assert "not PASS because of it: p50_e2el_ms, output_throughput" in " ".join(told.stdout.str().split())
    assert said in strict.stdout.str()
    assert said in step.read_text()
    mended = saved(pytester)
    assert mended["verdict"] == "PASS"
    assert "length" not in doubts(mended)


def test_a_proxy_that_collects_the_stream(bench: Bench, pytester: pytest.Pytester, tmp_path: Path) -> None:
    """A rule on gaps that is judged again from what was saved is not PASS either."""
    latency = LatencyModel(step_s=0.01)
    rules = ["p50_itl_token_ms <= 6000", "p50_e2el_ms <= 60000"]
    with simulator.start(faulty(tmp_path, "coalesce events=16", latency=latency)) as server:
        bench(f"--vllm-url={server.base_url}", **ONE, sla=rules, judge={"mode": "exact"}).assert_outcomes(passed=1)
    row = saved(pytester)
    assert list(doubts(row)) == ["few_lumps"]
    assert re.search(r"lumps of 1[456] events \(30 of 30", doubts(row)["few_lumps"])
    verdicts = {v["rule"]: v["verdict"] for v in row["verdicts"]}
    assert [verdicts[rule] for rule in rules] == ["INCONCLUSIVE", "PASS"]
    path = pytester.path / "results" / f"bench_{NAME}.json"
    (again,) = results(path, Criteria(rules=parsed(rules)))
    assert [str(v.verdict) for v in again.verdicts[:2]] == ["INCONCLUSIVE", "PASS"]
    path.with_name(f"bench_{NAME}.records.jsonl.gz").unlink()
    (again,) = results(path, Criteria(rules=parsed(rules)))
    assert [str(v.verdict) for v in again.verdicts[:2]] == ["INCONCLUSIVE", "PASS"], "without the requests too"


@pytest.mark.parametrize(
    ("fault", "kind", "metric", "verdict"),
    [
        ("coalesce events=20 once=1", "held", "p50_ttft_ms", "INCONCLUSIVE"),
        ("unstreamed", "unstreamed", "p50_itl_ms", "FAIL"),
    ],
)
def test_a_gateway_that_keeps_the_beginning_back_or_does_not_stream(
    bench: Bench, pytester: pytest.Pytester, tmp_path: Path, fault: str, kind: str, metric: str, verdict: str
) -> None:
    rules = [f"{metric} <= 20000", "p50_e2el_ms <= 60000"]
    with simulator.start(faulty(tmp_path, fault, latency=LatencyModel(step_s=0.01))) as server:
        told = bench(f"--vllm-url={server.base_url}", **ONE, sla=rules, judge={"mode": "exact"})
    row = saved(pytester)
    assert list(doubts(row)) == [kind]
    assert doubts(row)[kind] in " ".join(told.stdout.str().split())
    assert "docs/en/troubleshooting.md" in told.stdout.str()
    verdicts = {v["rule"]: v["verdict"] for v in row["verdicts"]}
    assert [verdicts[rule] for rule in rules] == [verdict, "PASS"]


def test_a_server_that_refuses_the_fields_name_is_asked_by_another(
    bench: Bench, pytester: pytest.Pytester, tmp_path: Path
) -> None:
    """Once, before the load, and it is said; what the user wrote is sent, and refused in the server's words."""
    with simulator.start(faulty(tmp_path, "field name=max_tokens refuse=1")) as server:
        told = bench(f"--vllm-url={server.base_url}", **ONE)
        told.assert_outcomes(passed=1)
        row = saved(pytester)
        written = bench(f"--vllm-url={server.base_url}", **ONE, output_field="max_completion_tokens")
        written.assert_outcomes(errors=1)
    assert (row["verdict"], row["total_output_tokens"]) == ("PASS", 30 * 32)
    assert row["plan"]["output_field"] == "max_tokens"
    (note,) = [n["text"] for n in row["notes"] if n["key"] == "server.output_field"]
    assert "'max_completion_tokens' is not supported" in note
    assert "output_field: max_tokens" in told.stdout.str()
    assert "'max_completion_tokens' is not supported" in written.stdout.str()


def test_a_server_that_lists_another_model_after_the_load_fails(bench: Bench, pytester: pytest.Pytester) -> None:
    def swapped(data: bytes, asked: list[str]) -> bytes:
        return data.replace(b'"simulated"', b'"otherwise"') if len(asked) > 33 and "/v1/models" in asked[-2:] else data

    options = SimulatorOptions(models=("simulated",))
    with simulator.start(options) as server, relay(server.base_url, altered=swapped) as (url, _):
        keys = {**ONE, "backend": "vllm", "sla": ["p50_e2el_ms <= 60000"]}
        told = bench(f"--vllm-url={url}", **keys)
        told.assert_outcomes(failed=1)
    row = saved(pytester)
    assert row["verdict"] == "FAIL"
    assert "simulated before, otherwise after" in " ".join(told.stdout.str().split())
    path = pytester.path / "results" / f"bench_{NAME}.json"
    (again,) = results(path, Criteria(rules=parsed(["failed == 0"])))
    assert str(again.verdict) == "FAIL", "no rule makes it one server"
