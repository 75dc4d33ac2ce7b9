"""Scenarios that are run more than once: repeats, targets, and the search for capacity."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from pytest_vllm_bench import simulator
from pytest_vllm_bench.model import Message
from pytest_vllm_bench.plugin.reporting import compared
from pytest_vllm_bench.regression import beside, between_targets
from pytest_vllm_bench.rejudge import Criteria, results
from pytest_vllm_bench.simulator import LatencyModel, SimulatorOptions
from pytest_vllm_bench.store.row import from_json

pytestmark = pytest.mark.slow  # whole sessions

Bench = Callable[..., pytest.RunResult]
ONE = {"input_output": [[64, 8]], "concurrency_prompts": [[2, 12]]}
#: With ``until: 100%`` a width that any two repeats meet, half their difference against their mean, however busy the
#: machine is; with the usual confidence two that differ by a sixth are too few.
HARDLY_SURE = {"confidence": 0.5}
UNASKING = """
import pytest

@pytest.mark.asyncio
async def test_serving(scenario, vllm_bench):
    await vllm_bench(scenario)
"""


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
    shown = " ".join(result.stdout.str().split())
    assert "io64x8-mc2-np12-r2: from run to run (2 runs) they varied: output_throughput" in shown
    assert "r1: from run to run" not in shown


@pytest.mark.parametrize(("rules", "expected"), [
    (["failed_ratio <= 0.5"], {"passed": 2}),
    (["failed_ratio <= 0.5", "server.requests >= 12"], {"passed": 1, "failed": 1}),
])  # fmt: skip
def test_a_repeat_answers_for_its_own_failures_and_its_servers_counters(
    bench: Bench, pytester: pytest.Pytester, rules: list[str], expected: dict[str, int]
) -> None:
    """Failures that the rules allow fail no repeat, and what the server counted in the first is not forgotten."""
    faults = pytester.path / "faults.json"
    faults.write_text(json.dumps([{"fault": "status code=500", "requests": [6]}]))
    with simulator.start(SimulatorOptions(faults=str(faults))) as server:
        keys = {**ONE, "base_url": server.base_url, "repeats": 2, "judge": {"mode": "exact"}, "sla": rules}
        bench(test=UNASKING, **keys).assert_outcomes(**expected)
    first = saved(pytester, "io64x8_mc2_np12_r1")
    assert first["failed"] == 1
    assert [v["rule"] for v in first["verdicts"]] == rules[1:]
    for path in (pytester.path / "results").glob("bench_*.json"):
        (made,) = results(path, Criteria())
        row = json.loads(path.read_text())
        assert (str(made.verdict), len(made.verdicts)) == (row["verdict"], len(row["verdicts"]))


def test_more_requests_of_the_same_load_are_a_scenario_of_their_own(bench: Bench, pytester: pytest.Pytester) -> None:
    """What a baseline takes for one is two: neither judges the other's repeats."""
    keys = {**ONE, "concurrency_prompts": [[2, 12], [2, 16]], "sla": ["p90_ttft_ms <= 60000"], "repeats": 2}
    text = bench(**keys).stdout.str()
    pooled = [saved(pytester, f"io64x8_mc2_np{n}_r2")["pooled"]["completed"] for n in (12, 16)]
    assert pooled == [24, 32]
    assert "18 requests cannot prove" in text
    assert "26 requests cannot prove" in text


def test_the_last_selected_to_run_judges(bench: Bench, pytester: pytest.Pytester) -> None:
    keys = {**ONE, "sla": ["p50_ttft_ms <= 0.001"], "repeats": 3, "judge": {"mode": "exact"}}
    bench("-k", "not r3", **keys).assert_outcomes(passed=1, failed=1)
    assert saved(pytester, "io64x8_mc2_np12_r2")["pooled"]["completed"] == 24


@pytest.mark.parametrize("repeats", [2, {"min": 2, "max": 3, "until": "100%"}])
def test_a_repeat_that_is_tried_again_replaces_its_own(
    bench: Bench, pytester: pytest.Pytester, repeats: dict[str, Any] | int
) -> None:
    """pytest-rerunfailures: what failed runs again, pooled with the other repeats and not with what it was."""
    pytest.importorskip("pytest_rerunfailures")
    keys = {**ONE, "sla": ["mean_tpot_ms <= 0.001"], "repeats": repeats, "judge": HARDLY_SURE}
    result = bench("--reruns", "1", **keys)
    assert "1 failed, 1 passed" in result.stdout.str()
    assert "1 rerun" in result.stdout.str()
    row = saved(pytester, "io64x8_mc2_np12_r2")
    assert (len(row["per_repeat"]), row["pooled"]["completed"]) == (2, 24)


def test_a_run_that_is_tried_again_is_judged_alone(bench: Bench, pytester: pytest.Pytester) -> None:
    """Also where a test measures twice: the file holds the second run, and so does the verdict."""
    pytest.importorskip("pytest_rerunfailures")
    bench("--reruns", "1", "--junitxml=junit.xml", **ONE, sla=["mean_ttft_ms <= 0.001"])
    row = saved(pytester, "io64x8_mc2_np12")
    *_, last = ElementTree.parse(pytester.path / "junit.xml").iter("testcase")
    assert [p.get("value") for p in last.iterfind(".//property[@name='mean_ttft_ms']")] == [str(row["mean_ttft_ms"])]
    assert not row.get("per_repeat")
    assert not row.get("pooled")


def test_a_try_that_failed_leaves_no_tape_beside_the_one_that_passed(bench: Bench, pytester: pytest.Pytester) -> None:
    """It would be decoded into a result that it is not of."""
    pytest.importorskip("pytest_rerunfailures")
    faults = pytester.path / "faults.json"
    faults.write_text(json.dumps([{"fault": "status code=500", "requests": [6]}]))
    with simulator.start(SimulatorOptions(faults=str(faults))) as server:
        bench(f"--vllm-url={server.base_url}", **ONE).assert_outcomes(failed=1)
        assert [*(pytester.path / "results").glob("*.tape")]
    with simulator.start(SimulatorOptions(faults=str(faults))) as server:
        result = bench("--reruns", "1", f"--vllm-url={server.base_url}", **ONE)
    assert "1 passed, 1 rerun" in result.stdout.str()
    assert not [*(pytester.path / "results").glob("*.tape")]


def test_repeats_until_it_is_precise(bench: Bench) -> None:
    """A width that anything meets: two repeats are enough, and the others are skipped."""
    keys = {**ONE, "sla": ["mean_tpot_ms <= 60000"], "judge": HARDLY_SURE}
    bench(**keys, repeats={"min": 2, "max": 4, "until": "100%"}).assert_outcomes(passed=2, skipped=2)


def test_two_targets_in_turn(bench: Bench) -> None:
    with simulator.start() as a, simulator.start() as b:
        targets = {"a": a.base_url, "b": b.base_url}
        result = bench("-v", base_url=None, targets=targets, repeats=2, **ONE)
    result.assert_outcomes(passed=4)
    assert [name.split("-")[0] for name in order(result)] == ["a", "b", "b", "a"]
    assert "targets: a, b (config.yaml:" in result.stdout.str()
    assert "io64x8-mc2-np12: b against a" in result.stdout.str(), "whichever ended the rounds"


def test_a_slower_target_is_told_apart(bench: Bench, pytester: pytest.Pytester) -> None:
    """Five rounds, AB BA AB …: twice as slow is beyond any tolerance."""
    slow = SimulatorOptions(latency=LatencyModel(step_s=0.009))
    with simulator.start() as a, simulator.start(slow) as b:
        result = bench(base_url=None, targets={"a": a.base_url, "b": b.base_url}, repeats=5, **ONE)
    result.assert_outcomes(passed=10)
    assert "io64x8-mc2-np12: b against a" in result.stdout.str()
    assert "mean_tpot_ms" in result.stdout.str().split("b against a")[1]
    page = (pytester.path / "results" / "report.html").read_text()
    assert "Compared with a<" in page, "what the screen says of two targets is on the page too"
    assert 'class="forest' in page


def test_targets_are_compared_in_each_scenario() -> None:
    """Also in those that differ in their requests alone."""
    rows = [
        {"scenario_id": f"{t}-io64x8-mc2-np{n}-r5", "scenario_key": f"{t}-io64x8-mc2", "target": t, "repeat": 5,
         "per_repeat": [{"output_throughput": 100.0 + n + r} for r in range(5)]}
        for n in (12, 16) for t in ("a", "b")
    ]  # fmt: skip
    pairs = between_targets((from_json(row), {}) for row in rows)
    assert [(p.cell, p.a, p.b) for p in pairs] == [("io64x8-mc2-np12", "a", "b"), ("io64x8-mc2-np16", "a", "b")]
    assert [p.outcome[0].reference for p in pairs if not isinstance(p.outcome, Message)] == [
        pytest.approx(100 + n + 2, rel=1e-3) for n in (12, 16)
    ]
    shown = beside(map(from_json, rows), pairs)
    assert [one.baseline and one.baseline.reference for one in shown] == [None, "a", None, "a"]
    assert not any(c.gated for one in shown if one.baseline for c in one.baseline.comparisons), (
        "nobody asked for a gate"
    )
    few = [replace(p, outcome=Message(key="judge.targets_rounds", values={"rounds": 2, "needed": 5})) for p in pairs]
    assert len(compared(few, "en")) == 2, "why nothing is compared is said once"


@pytest.fixture
def before_and_after() -> Iterator[dict[str, str]]:
    """Two servers, the second of them twice as slow."""
    slow = SimulatorOptions(latency=LatencyModel(step_s=0.009))
    with simulator.start() as a, simulator.start(slow) as b:
        yield {"after": b.base_url, "before": a.base_url}


def test_a_slower_target_fails_where_the_config_says_so(
    bench: Bench, pytester: pytest.Pytester, before_and_after: dict[str, str]
) -> None:
    """In whatever order the config names them, the last round ends with the one that is judged."""
    gate = {"target": "before", "tolerance": {"median_tpot_ms": "30%"}}
    result = bench("-v", base_url=None, targets=before_and_after, repeats=5, baseline=gate, **ONE)
    result.assert_outcomes(passed=9, failed=1)
    assert [name.split("-")[0] for name in order(result)[:10]][-4:] == ["after", "before", "before", "after"]
    row = saved(pytester, "after_io64x8_mc2_np12_r5")
    assert row["baseline"]["reference"] == "before"
    assert [(c["metric"], c["verdict"]) for c in row["baseline"]["comparisons"] if c["gated"]] == [
        ("median_tpot_ms", "FAIL")
    ]
    assert "baseline" not in saved(pytester, "before_io64x8_mc2_np12_r5")
    said = " ".join(result.stdout.str().split())
    assert "against the baseline before" in said
    assert "over the rounds: worse by more than 30.0%" in said
    assert "after against before" not in said, "said once"
    verdict = json.loads((pytester.path / "results" / "verdict.json").read_text())
    assert verdict["verdict"] == "FAIL"


def until_decided(bench: Bench, targets: dict[str, str], tolerance: str, **more: Any) -> pytest.RunResult:
    keys: dict[str, Any] = {"base_url": None, "targets": targets, "repeats": {"min": 5, "max": 8, "until": "decided"}}
    gate = {"target": "before", "tolerance": {"median_tpot_ms": tolerance}}
    return bench("-v", **{**keys, "baseline": gate, **ONE, **more})


def test_rounds_end_when_they_have_decided(
    bench: Bench, pytester: pytest.Pytester, before_and_after: dict[str, str]
) -> None:
    """Twice as slow is seen after five rounds of eight; neither target takes any more."""
    result = until_decided(bench, before_and_after, "30%")
    result.assert_outcomes(passed=9, failed=1, skipped=6)
    assert [name.split("-")[0] for name in order(result)[6:10]] == ["after", "before", "before", "after"]
    assert saved(pytester, "after_io64x8_mc2_np12_r5")["baseline"]["comparisons"][0]["verdict"] == "FAIL"
    before = saved(pytester, "before_io64x8_mc2_np12_r5")
    assert ("baseline" in before, len(before["per_repeat"]), before["verdict"]) == (False, 5, "PASS")
    verdict = json.loads((pytester.path / "results" / "verdict.json").read_text())
    assert (verdict["verdict"], verdict["complete"]) == ("FAIL", True)
    assert {one["why"] for one in verdict["scenarios"] if one["verdict"] == "not_run"} == {"enough"}


@pytest.mark.heavy
def test_rounds_that_decide_nothing_go_on_to_the_last(bench: Bench, pytester: pytest.Pytester) -> None:
    """No worsening at all is accepted of two that are alike: nothing can show that there is none.

    One of them is the quicker one by chance, and one time in twenty by enough for the usual confidence."""
    with simulator.start() as a, simulator.start() as b:
        targets = {"before": a.base_url, "after": b.base_url}
        sure = {"repeats": {"min": 5, "max": 6, "until": "decided"}, "judge": {"confidence": 0.9999}}
        result = until_decided(bench, targets, "0%", **sure)
        result.assert_outcomes(passed=12)
        assert order(result)[10:12] == ["before-io64x8-mc2-np12-r6", "after-io64x8-mc2-np12-r6"]
        (gated,) = [c for c in saved(pytester, "after_io64x8_mc2_np12_r6")["baseline"]["comparisons"] if c["gated"]]
        assert (gated["verdict"], gated["sessions"]) == ("INCONCLUSIVE", 6)
        alike = bench(base_url=None, targets=targets, repeats={"min": 5, "max": 7, "until": "decided"}, **ONE)
    assert "io64x8-mc2-np12: before against after" in alike.stdout.str(), "shown, where no gate was asked for"
    assert "baseline" not in saved(pytester, "before_io64x8_mc2_np12_r5")


def test_a_rule_is_measured_until_it_is_decided(bench: Bench, pytester: pytest.Pytester) -> None:
    """Twelve requests say nothing of a p90; 48 do, as sure as the fourth look of eight must be."""
    keys: dict[str, Any] = {"repeats": {"max": 8, "until": "decided"}, "sla": ["p90_ttft_ms <= 60000"], **ONE}
    outcomes = bench(**keys).parseoutcomes()
    assert outcomes["passed"] + outcomes["skipped"] == 8
    assert 4 <= outcomes["passed"] < 8
    name = f"io64x8_mc2_np12_r{outcomes['passed']}"
    row = saved(pytester, name)
    assert (row["verdict"], len(row["per_repeat"])) == ("PASS", outcomes["passed"])
    (again,) = results(pytester.path / "results" / f"bench_{name}.json", Criteria())
    assert again.verdict == "PASS", "judged again it is as sure"
    bench(**{**keys, "sla": []}).assert_outcomes(passed=1, skipped=7)


@pytest.mark.heavy
def test_a_target_as_good_as_the_other_passes(bench: Bench, pytester: pytest.Pytester) -> None:
    with simulator.start() as a, simulator.start() as b:
        targets = {"before": a.base_url, "after": b.base_url}
        gate = {"target": "before", "tolerance": {"mean_tpot_ms": "100%"}}
        bench(base_url=None, targets=targets, repeats=5, baseline=gate, **ONE).assert_outcomes(passed=10)
    (gated,) = [c for c in saved(pytester, "after_io64x8_mc2_np12_r5")["baseline"]["comparisons"] if c["gated"]]
    assert gated["verdict"] == "PASS"


def test_a_target_whose_rival_was_not_measured_fails(bench: Bench, before_and_after: dict[str, str]) -> None:
    gate = {"target": "before"}
    result = bench("-k", "after and r5", base_url=None, targets=before_and_after, repeats=5, baseline=gate, **ONE)
    result.assert_outcomes(failed=1)
    assert "nothing was measured of before" in " ".join(result.stdout.str().split())
    result = bench("-k", "r5", base_url=None, targets=before_and_after, repeats=5, baseline=gate, **ONE)
    result.assert_outcomes(passed=1, failed=1)
    assert "comparing two targets takes 5 rounds" in " ".join(result.stdout.str().split())


def test_one_reference_at_a_time(bench: Bench, before_and_after: dict[str, str]) -> None:
    keys = {"base_url": None, "targets": before_and_after, "repeats": 5, "baseline": {"target": "before"}, **ONE}
    result = bench("--vllm-baseline=main", **keys)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = " ".join((result.stdout.str() + result.stderr.str()).split())
    assert "--vllm-baseline names one reference, baseline.target (before) another" in said


GATE = """
import pytest

@pytest.mark.asyncio
async def test_serving(scenario, vllm_bench):
    await vllm_bench(scenario)
"""
SEARCH = {"over": "concurrency", "at_least": 2, "max": 4, "runs": 6, "time": "60s"}


def test_capacity_is_a_gate_of_its_own(bench: Bench, pytester: pytest.Pytester) -> None:
    keys = {**ONE, "test": GATE, "search": SEARCH, "judge": {"mode": "exact"}}
    result = bench("-k", "capacity", sla=["p50_ttft_ms <= 60000"], **keys)
    result.assert_outcomes(passed=1)
    row = saved(pytester, "io64x8_capacity")
    assert row["capacity"]["held"] == 4
    assert (row["capacity_held"], row["capacity_held_proven"], row["max_concurrency"]) == (4, False, 4)
    assert [(v["rule"], v["verdict"], v["observed"]) for v in row["verdicts"]] == [("concurrency >= 2", "PASS", 4)]
    probe = saved(pytester, "io64x8_capacity_mc2_np60")
    assert (probe["completed"], probe["probe_of"]) == (60, "io64x8-capacity")
    never = ["p50_ttft_ms <= 0.001"]
    result = bench("-k", "capacity", sla=never, **keys)
    result.assert_outcomes(failed=1)
    assert "nothing held, 1 broke (observed); at least 2 was asked" in " ".join(result.stdout.str().split())
    assert saved(pytester, "io64x8_capacity")["capacity"]["held"] is None


def test_probes_that_break_are_no_failures(bench: Bench, pytester: pytest.Pytester, monkeypatch: Any) -> None:
    """A search must break some level; only its gate counts in what other tools read."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    rule = "max_concurrent_requests <= 3"  # exact, so that the answer is known
    result = bench("-k", "capacity", "--junitxml=j.xml", sla=[rule], test=GATE, search=SEARCH, **ONE)
    result.assert_outcomes(passed=1)
    assert saved(pytester, "io64x8_capacity_mc4_np60")["verdict"] == "FAIL"
    found = json.loads((pytester.path / "results" / "verdict.json").read_text())
    assert (found["verdict"], found["counts"]) == ("PASS", {"PASS": 1})
    assert "::error" not in result.stdout.str()
    junit = (pytester.path / "j.xml").read_text()
    assert junit.count('name="scenario_id"') == 1
    assert '<property name="capacity_held" value="3' in junit


TIERS = {
    "narrow": {"at_least": 2, "sla": ["max_concurrent_requests <= 3"]},
    "wide": {"at_least": 2, "sla": ["max_concurrent_requests <= 5"]},
    "wider": {"at_least": 9, "sla": ["max_concurrent_requests <= 6"]},
}
TIERED = {"over": "concurrency", "max": 16, "tiers": TIERS}


@pytest.mark.heavy
@pytest.mark.parametrize("more", [(), ("-n", "2", "--dist", "loadgroup")])
def test_tiers_share_probes(bench: Bench, pytester: pytest.Pytester, more: tuple[str, ...]) -> None:
    result = bench("-k", "capacity", *more, test=GATE, search=TIERED, **ONE)
    result.assert_outcomes(passed=2, failed=1)
    rows = {tier: saved(pytester, f"io64x8_{tier}_capacity") for tier in TIERS}
    answers = {tier: (row["capacity_held"], row["capacity_broken"], row["verdict"]) for tier, row in rows.items()}
    assert answers == {"narrow": (3, 4, "PASS"), "wide": (5, 6, "PASS"), "wider": (6, 7, "FAIL")}
    runs = {tier: row["capacity_runs"] for tier, row in rows.items()}
    assert runs == {"narrow": 4, "wide": 3, "wider": 1}  # 2, 4, 3, 5; then 10, 7, 6; then 9
    levels = [s["level"] for s in rows["wide"]["capacity"]["levels"]]
    assert {2, 4} <= set(levels)
    with (pytester.path / "results" / "aggregate_results.csv").open() as table:
        probes = [line for line in table if "io64x8-capacity," in line]
    assert len(probes) == sum(runs.values())
    shown = " ".join(result.stdout.str().split())
    assert "io64x8-narrow-capacity: capacity (concurrency): 3 held (observed), 4 broke (observed)" in shown
    assert "io64x8-wide-capacity: capacity (concurrency): 5 held (observed), 6 broke (observed)" in shown
    page = (pytester.path / "results" / "report.html").read_text()
    assert "io64x8-wide-capacity" in page


def test_a_tier_alone_finds_the_same(bench: Bench, pytester: pytest.Pytester) -> None:
    bench("-k", "wide-capacity", test=GATE, search=TIERED, **ONE).assert_outcomes(passed=1)
    row = saved(pytester, "io64x8_wide_capacity")
    assert (row["capacity_held"], row["capacity_broken"]) == (5, 6)
    assert row["capacity_runs"] == len(row["capacity"]["levels"])


@pytest.mark.heavy
def test_only_the_tier_that_failed_runs_again(bench: Bench, pytester: pytest.Pytester) -> None:
    keys = {**ONE, "test": GATE, "search": TIERED}
    bench("-k", "capacity", **keys)
    bench("--lf", **keys).assert_outcomes(failed=1)
    assert saved(pytester, "io64x8_wider_capacity")["capacity_runs"] > 2


def test_a_tier_that_is_tried_again_measures_again(bench: Bench, pytester: pytest.Pytester) -> None:
    """pytest-rerunfailures: a rerun is no second opinion on the same samples."""
    pytest.importorskip("pytest_rerunfailures")
    keys = {**ONE, "test": GATE, "search": TIERED}
    result = bench("-k", "wide or wider", "--reruns", "1", **keys)
    assert "1 failed, 1 passed" in result.stdout.str()
    row = saved(pytester, "io64x8_wider_capacity")
    assert row["capacity_runs"] == len(row["capacity"]["levels"])


def test_a_server_that_goes_away_ends_the_search(bench: Bench, pytester: pytest.Pytester) -> None:
    """Not one level after another against nobody: the gate fails, and the other tiers are skipped."""
    test = """
import pytest
from pytest_vllm_bench import simulator
from pytest_vllm_bench.store.row import from_json

@pytest.mark.asyncio
async def test_serving(scenario, vllm_bench):
    vllm_bench.items.session(vllm_bench.items.path(vllm_bench.node)).close()
    await vllm_bench(scenario)
"""
    result = bench("-k", "capacity", "--vllm-ready-timeout=1", test=test, search=TIERED, **ONE)
    result.assert_outcomes(failed=1, skipped=2)
    row = saved(pytester, "io64x8_narrow_capacity")
    assert (row["capacity"]["stopped"], row["verdict"], len(row["capacity"]["levels"])) == ("gone", "FAIL", 0)


@pytest.mark.heavy
def test_an_interrupted_search_keeps_its_partial_answer(
    bench: Bench, begin: Callable[..., subprocess.Popen[str]], pytester: pytest.Pytester
) -> None:
    """What held is kept and said; the gate, although met so far, proves nothing."""
    search = {"over": "request_rate", "at_least": 30, "max": 60}
    keys = {**ONE, "request_rate": [30], "concurrency_prompts": [[None, 12]], "sla": ["p50_ttft_ms <= 60000"]}
    bench("--collect-only", test=GATE, search=search, judge={"mode": "exact"}, **{**keys, "input_output": [[64, 80]]})
    process = begin("-k", "capacity")
    first, tapes = pytester.path / "results" / "bench_io64x80_capacity_rr30_np600.json", pytester.path / "results"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (first.exists() and [*tapes.glob(".running/*rr60*/tape/*")]):
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    row = saved(pytester, "io64x80_capacity")
    assert (row["complete"], row["verdict"], row["capacity"]["stopped"]) == (False, "INCONCLUSIVE", "interrupted")
    assert (row["capacity_held"], row["capacity_broken"]) == (30, None)
    assert saved(pytester, "io64x80_capacity_rr30_np600")["complete"] is True
    shown = " ".join(output.split())
    assert shown.count("capacity (request_rate): 30 held (observed), nothing broke") == 1
    assert "it was interrupted" in shown


def test_a_hopeless_run_stops_early_and_keeps_what_it_has(bench: Bench, pytester: pytest.Pytester) -> None:
    keys = {"input_output": [[64, 8]], "concurrency_prompts": [[2, 400]], "sla": ["p90_ttft_ms <= 0.001"]}
    bench(**keys).assert_outcomes(failed=1)
    row = saved(pytester, "io64x8_mc2_np400")
    assert row["complete"] is False
    assert row["verdict"] == "FAIL"
    assert 0 < row["completed"] < 400


def test_quick_failures_of_an_open_loop_are_held_against_all_that_is_in_flight(
    bench: Bench, pytester: pytest.Pytester
) -> None:
    """A fifth fails at once and all others take two seconds: of the first that have ended all have failed."""
    failing = list(range(5, 301, 5))  # 0 is the readiness probe
    faults = [
        {"fault": "status code=500", "requests": failing},
        {"fault": "stall at=1 seconds=2", "requests": sorted({*range(1, 301)} - {*failing})},
    ]
    script = pytester.path / "faults.json"
    script.write_text(json.dumps(faults))
    keys = {"input_output": [[64, 2]], "concurrency_prompts": [[None, 300]], "request_rate": 200, "base_url": None}
    with simulator.start(SimulatorOptions(faults=str(script))) as server:
        bench(f"--vllm-url={server.base_url}", sla=["failed_ratio <= 0.4"], **keys)
    (row,) = (json.loads(path.read_text()) for path in (pytester.path / "results").glob("bench_*.json"))
    assert (row["complete"], row["completed"], row["failed"]) == (True, 240, 60)
