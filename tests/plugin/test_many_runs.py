"""Scenarios that are run more than once: repeats, targets, and the search for capacity."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_vllm_bench import simulator
from pytest_vllm_bench.simulator import LatencyModel, SimulatorOptions

Bench = Callable[..., pytest.RunResult]
ONE = {"input_output": [[64, 8]], "concurrency_prompts": [[2, 12]]}


def saved(pytester: pytest.Pytester, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((pytester.path / "results" / f"bench_{name}.json").read_text())
    return found


def order(result: pytest.RunResult) -> list[str]:
    return [line.split("[")[1].split("]")[0] for line in result.outlines if "::test_serving[" in line]


def test_repeats_go_round_robin_and_the_last_judges_them_all(bench: Bench, pytester: pytest.Pytester) -> None:
    keys = {**ONE, "concurrency_prompts": [[2, 12], [4, 12]], "sla": ["p50_ttft_ms <= 60000"], "repeats": 2}
    result = bench("-v", **keys)
    result.assert_outcomes(passed=4)
    assert order(result) == [
        "io64x8-mc2-np12-r1",
        "io64x8-mc4-np12-r1",
        "io64x8-mc2-np12-r2",
        "io64x8-mc4-np12-r2",
    ]
    first, last = saved(pytester, "io64x8_mc2_np12_r1"), saved(pytester, "io64x8_mc2_np12_r2")
    assert (first["completed"], last["completed"], last["pooled"]["completed"]) == (12, 12, 24)
    assert [v["rule"] for v in first["verdicts"]] == ["failed == 0"]
    assert "p50_ttft_ms <= 60000" in [v["rule"] for v in last["verdicts"]]
    assert len(last["per_repeat"]) == 2


def test_the_last_selected_to_run_judges(bench: Bench, pytester: pytest.Pytester) -> None:
    keys = {**ONE, "sla": ["p50_ttft_ms <= 0.001"], "repeats": 3, "judge": {"mode": "exact"}}
    bench("-k", "not r3", **keys).assert_outcomes(passed=1, failed=1)
    assert saved(pytester, "io64x8_mc2_np12_r2")["pooled"]["completed"] == 24


def test_repeats_until_it_is_precise(bench: Bench) -> None:
    """A width that anything meets: two repeats are enough, and the others are skipped."""
    keys = {**ONE, "sla": ["mean_tpot_ms <= 60000"], "repeats": {"min": 2, "max": 4, "until": "100%"}}
    bench(**keys).assert_outcomes(passed=2, skipped=2)


def test_two_targets_in_turn(bench: Bench) -> None:
    with simulator.start() as a, simulator.start() as b:
        targets = {"a": a.base_url, "b": b.base_url}
        result = bench("-v", base_url=None, targets=targets, repeats=2, **ONE)
    result.assert_outcomes(passed=4)
    assert [name.split("-")[0] for name in order(result)] == ["a", "b", "b", "a"]


def test_a_slower_target_is_told_apart(bench: Bench) -> None:
    """Five rounds, AB BA AB …: twice as slow is beyond any tolerance."""
    slow = SimulatorOptions(latency=LatencyModel(step_s=0.009))
    with simulator.start() as a, simulator.start(slow) as b:
        result = bench(base_url=None, targets={"a": a.base_url, "b": b.base_url}, repeats=5, **ONE)
    result.assert_outcomes(passed=10)
    assert "io64x8-mc2: b against a" in result.stdout.str()
    assert "mean_tpot_ms" in result.stdout.str().split("b against a")[1]


def test_capacity_is_a_gate_of_its_own(bench: Bench, pytester: pytest.Pytester) -> None:
    search = {"over": "concurrency", "at_least": 2, "max": 4, "runs": 6, "time": "60s"}
    test = """
import pytest

@pytest.mark.asyncio
async def test_serving(scenario, vllm_bench):
    await vllm_bench(scenario)
"""
    keys = {**ONE, "test": test, "search": search, "judge": {"mode": "exact"}}
    result = bench("-k", "capacity", sla=["p50_ttft_ms <= 60000"], **keys)
    result.assert_outcomes(passed=1)
    row = saved(pytester, "io64x8_capacity")
    assert row["capacity"]["held"] == 4
    assert saved(pytester, "io64x8_mc2_np60")["completed"] == 60
    never = ["p50_ttft_ms <= 0.001"]
    result = bench("-k", "capacity", sla=never, **keys)
    result.assert_outcomes(failed=1)
    assert saved(pytester, "io64x8_capacity")["capacity"]["held"] is None


def test_a_hopeless_run_stops_early_and_keeps_what_it_has(bench: Bench, pytester: pytest.Pytester) -> None:
    keys = {"input_output": [[64, 8]], "concurrency_prompts": [[2, 400]], "sla": ["p90_ttft_ms <= 0.001"]}
    bench(**keys).assert_outcomes(failed=1)
    row = saved(pytester, "io64x8_mc2_np400")
    assert row["complete"] is False
    assert row["verdict"] == "FAIL"
    assert 0 < row["completed"] < 400
