"""The regression gate through pytest: save, compare, confirm, refuse."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pytest_vllm_bench import simulator
from pytest_vllm_bench.judge.comparison import GATED
from pytest_vllm_bench.simulator import LatencyModel, SimulatorOptions

pytestmark = pytest.mark.slow  # whole sessions

Bench = Callable[..., pytest.RunResult]
Begin = Callable[..., subprocess.Popen[str]]
ONE = {"input_output": [[64, 16]], "concurrency_prompts": [[4, 40]], "base_url": None}


@pytest.fixture
def fast() -> Iterator[str]:
    with simulator.start(SimulatorOptions(latency=LatencyModel(step_s=0.004))) as server:
        yield server.base_url


@pytest.fixture
def slow() -> Iterator[str]:
    """Three times slower: far beyond any tolerance and any noise of this machine."""
    with simulator.start(SimulatorOptions(latency=LatencyModel(step_s=0.012))) as server:
        yield server.base_url


def test_saved_compared_and_failed(bench: Bench, pytester: pytest.Pytester, fast: str, slow: str) -> None:
    for _ in range(2):
        bench(f"--vllm-url={fast}", "--vllm-save-baseline=main", **ONE).assert_outcomes(passed=1)
    reference = json.loads((pytester.path / "cases" / "baselines" / "main.json").read_text())
    assert [*reference["scenarios"]] == ["io64x16-mc4"]
    assert len(reference["scenarios"]["io64x16-mc4"]) == 2
    loose = {"baseline": {"tolerance": {"mean_tpot_ms": "80%"}}}
    bench(f"--vllm-url={fast}", "--vllm-baseline=main", **ONE, **loose).assert_outcomes(passed=1)
    result = bench(f"--vllm-url={slow}", "--vllm-baseline=main", **ONE, **loose)
    result.assert_outcomes(failed=1)
    assert "mean_tpot_ms" in result.stdout.str()
    row = json.loads((pytester.path / "results" / "bench_io64x16_mc4_np40.json").read_text())
    gated = [c for c in row["baseline"]["comparisons"] if c["gated"]]
    assert [c["verdict"] for c in gated] == ["FAIL"]
    assert gated[0]["culprit"]["stage"] == "decode"
    assert "mean_tpot_ms changed because of decoding: " in result.stdout.str()
    assert "with decoding as before" in result.stdout.str()


def test_a_simulated_run_is_never_saved(bench: Bench, pytester: pytest.Pytester) -> None:
    result = bench("--vllm-save-baseline=main", **{**ONE, "base_url": "simulator"})
    result.assert_outcomes(passed=1)
    assert not (pytester.path / "cases" / "baselines").exists()
    assert "simulat" in result.stdout.str()


def test_a_reference_that_is_not_there_yet_begins_with_this_session(
    bench: Bench, pytester: pytest.Pytester, fast: str
) -> None:
    """Said before the load and after it, with what one session is worth; a mistyped name shows by the others."""
    bench(f"--vllm-url={fast}", "--vllm-save-baseline=main", **ONE).assert_outcomes(passed=1)
    result = bench(f"--vllm-url={fast}", "--vllm-baseline=mian", **ONE)
    result.assert_outcomes(passed=1)
    said = " ".join(result.stdout.str().split())
    assert "there is no baseline" in said
    assert "mian.json yet (there are: main), so that nothing is compared" in said
    assert "one session tells nothing of how sessions vary" in said
    assert "each is worth more with repeats: 3" in said
    assert (pytester.path / "cases" / "baselines" / "mian.json").exists()
    said = " ".join(bench(f"--vllm-url={fast}", "--vllm-baseline=mian", **ONE).stdout.str().split())
    assert "baseline mian: sessions: 1, from 2" in said
    assert "mean_tpot_ms: noticed four times in five from +" in said


def test_a_reference_that_is_not_there_is_a_usage_error_where_that_is_asked(bench: Bench, fast: str) -> None:
    result = bench(f"--vllm-url={fast}", "--vllm-baseline=nowhere", **ONE, baseline={"absent": "fail"})
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "nowhere.json" in result.stderr.str() + result.stdout.str()


def test_what_cannot_be_compared_is_said(bench: Bench, fast: str, pytester: pytest.Pytester) -> None:
    """Another plan fails, a new scenario is a warning, another machine is what the config says."""
    bench(f"--vllm-url={fast}", "--vllm-save-baseline=main", **ONE).assert_outcomes(passed=1)

    def against(**keys: Any) -> tuple[dict[str, int], str]:
        result = bench(f"--vllm-url={fast}", "--vllm-baseline=main", **{**ONE, **keys})
        return result.parseoutcomes(), " ".join(result.stdout.str().split())

    outcome, said = against(seed=7)
    assert outcome == {"failed": 1}
    assert "was sent another plan when its baseline was saved" in said
    assert "seed – → 7; send the same, or save the baseline anew" in said
    outcome, said = against(input_output=[[32, 16]])
    assert outcome == {"passed": 1}
    assert "the baseline has nothing on io32x16-mc4" in said
    path = pytester.path / "cases" / "baselines" / "main.json"
    reference = json.loads(path.read_text())
    for (session,) in reference["scenarios"].values():
        session["environment"]["client.cpu"] = "another"
    path.write_text(json.dumps(reference))
    for asked, expected in (("warn", {"passed": 1}), ("refuse", {"failed": 1})):
        outcome, said = against(baseline={"other_environment": asked})
        assert outcome == expected
        assert "client.cpu was another, now it is" in said
        assert ("nothing was compared" in said) is (asked == "refuse")


def test_a_metric_that_only_a_tolerance_names_is_kept_and_gated(bench: Bench, fast: str, slow: str) -> None:
    keys = {**ONE, "baseline": {"tolerance": {"median_tpot_ms": "30%"}}}
    bench(f"--vllm-url={fast}", "--vllm-save-baseline=main", **keys).assert_outcomes(passed=1)
    result = bench(f"--vllm-url={slow}", "--vllm-baseline=main", **keys)
    result.assert_outcomes(failed=1)
    assert "median_tpot_ms" in result.stdout.str().split("against the baseline main")[1]


def test_repeats_that_end_early_are_held_against_the_reference_too(bench: Bench, fast: str, slow: str) -> None:
    """A width that anything meets: the second repeat is the last, and the gate must not wait for the third."""
    keys: dict[str, Any] = {
        **ONE,
        "repeats": {"min": 2, "max": 3, "until": "100%"},
        "judge": {"confidence": 0.5},  # with which any two are narrow enough
        "baseline": {"tolerance": {"mean_tpot_ms": "30%"}},
    }
    keys["sla"] = ["mean_tpot_ms <= 60000"]
    bench(f"--vllm-url={fast}", "--vllm-save-baseline=main", **keys).assert_outcomes(passed=2, skipped=1)
    result = bench(f"--vllm-url={slow}", "--vllm-baseline=main", **keys)
    result.assert_outcomes(passed=1, failed=1, skipped=1)
    assert "measured afresh" in " ".join(result.stdout.str().split())


def test_what_repeats_show_is_confirmed_by_as_many(
    bench: Bench, pytester: pytest.Pytester, fast: str, slow: str
) -> None:
    """A mean of two repeats is measured afresh as one: a single run would be of another plan, and confirm nothing."""
    twice = {**ONE, "repeats": 2, "baseline": {"tolerance": {"mean_tpot_ms": "30%"}}}
    bench(f"--vllm-url={fast}", "--vllm-save-baseline=main", **twice).assert_outcomes(passed=2)
    bench(f"--vllm-url={slow}", "--vllm-baseline=main", **twice).assert_outcomes(passed=1, failed=1)
    row = json.loads((pytester.path / "results" / "bench_io64x16_mc4_np40_r2.json").read_text())
    (gated,) = [c for c in row["baseline"]["comparisons"] if c["gated"]]
    assert gated["verdict"] == "FAIL"
    kept = (pytester.path / "cases" / "baselines" / "main.json").read_text()
    result = bench(f"--vllm-url={fast}", "--vllm-baseline=main", "--vllm-save-baseline=main", "-k", "r2", **twice)
    result.assert_outcomes(failed=1)
    assert "not all of its repeats were run" in result.stdout.str(), "not compared"
    assert "is not saved as a baseline" in " ".join(result.stdout.str().split())
    assert (pytester.path / "cases" / "baselines" / "main.json").read_text() == kept


def test_a_fresh_measurement_without_figures_fails(
    bench: Bench, pytester: pytest.Pytester, tmp_path: Path, fast: str
) -> None:
    """What looked worse is not excused by a server that then answers nothing."""
    keys = {**ONE, "baseline": {"tolerance": {"mean_tpot_ms": "30%"}}}
    bench(f"--vllm-url={fast}", "--vllm-save-baseline=main", **keys).assert_outcomes(passed=1)
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps([{"fault": "status code=500", "from": 41, "path": "/v1/completions"}]))
    with simulator.start(SimulatorOptions(latency=LatencyModel(step_s=0.012), faults=str(faults))) as server:
        result = bench(f"--vllm-url={server.base_url}", "--vllm-baseline=main", **keys)
    result.assert_outcomes(failed=1)
    row = json.loads((pytester.path / "results" / "bench_io64x16_mc4_np40.json").read_text())
    assert (row["completed"], row["baseline"]["refused"]) == (40, True)


def test_an_interrupted_fresh_measurement_ends_the_session(
    bench: Bench, begin: Begin, pytester: pytest.Pytester, fast: str
) -> None:
    keys = {**ONE, "baseline": {"tolerance": {"mean_tpot_ms": "30%"}}}
    bench(f"--vllm-url={fast}", "--vllm-save-baseline=main", **keys).assert_outcomes(passed=1)
    with simulator.start(SimulatorOptions(latency=LatencyModel(step_s=0.03))) as server:
        process = begin(f"--vllm-url={server.base_url}", "--vllm-baseline=main")
        tape = pytester.path / "results" / ".running" / "bench_io64x16_mc4_np40" / "again-1" / "1" / "tape"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not any(p.stat().st_size for p in tape.glob("*")):
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    row = json.loads((pytester.path / "results" / "bench_io64x16_mc4_np40.json").read_text())
    assert (row["verdict"], row["complete"], row["completed"]) == ("INCONCLUSIVE", False, 40)


def test_a_shift_of_all_scenarios_fails_together_and_nothing_of_it_is_kept(
    bench: Bench, pytester: pytest.Pytester, fast: str, slow: str
) -> None:
    """What the session shows as a whole is a failure of its own; the rolling gate learns nothing from it."""
    keys: dict[str, Any] = {**ONE, "concurrency_prompts": [[1, 4], [2, 8], [4, 16]], "baseline": {"again": 1}}
    bench(f"--vllm-url={fast}", "--vllm-baseline=main", **keys).assert_outcomes(passed=3)
    path = pytester.path / "cases" / "baselines" / "main.json"
    reference = json.loads(path.read_text())
    for key, (first,) in reference["scenarios"].items():  # five sessions that vary by 1 %
        reference["scenarios"][key] = [
            {**first, "session": f"2026-01-0{i}", "metrics": {
                name: [value * factor for value in values] for name, values in first["metrics"].items()}}
            for i, factor in enumerate((1.0, 1.01, 0.99, 1.005, 0.995))
        ]  # fmt: skip
    path.write_text(json.dumps(reference))
    loose = {**keys, "baseline": {**keys["baseline"], "tolerance": dict.fromkeys(GATED, "5%")}}
    result = bench(
        f"--vllm-url={slow}", "--vllm-baseline=main", "--vllm-save-baseline=main", "--junitxml=junit.xml", **loose
    )
    assert result.parseoutcomes().get("failed", 0) >= 1
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    said = " ".join(result.stdout.str().split())
    assert "baseline main: sessions: 5, from 2026-01-00 to 2026-01-04" in said
    assert "all 3 scenarios together: mean_tpot_ms +" in said
    assert said.count("is not saved as a baseline: it is FAIL") == 3
    assert json.loads(path.read_text()) == reference
    row = json.loads((pytester.path / "results" / "bench_io64x16_mc4_np16.json").read_text())
    together = [c for c in row["baseline"]["comparisons"] if c["scenario"] == "*"]
    assert {c["metric"] for c in together} == {"output_throughput", "mean_tpot_ms", "mean_e2el_ms"}
    assert "FAIL" in {c["verdict"] for c in together}
    own = {c["verdict"] for c in row["baseline"]["comparisons"] if c["gated"] and not c["scenario"]}
    assert (row["verdict"] == "FAIL") is ("FAIL" in own), "what all show is nobody's own"
    assert "FAILED cases/config.yaml::baseline - all 3 scenarios together" in said
    (whole,) = ElementTree.parse(pytester.path / "junit.xml").iterfind(".//testcase[@name='baseline']")
    (failure,) = whole
    assert (failure.tag, "scenarios together" in str(failure.get("message"))) == ("failure", True)
    verdict = json.loads((pytester.path / "results" / "verdict.json").read_text())
    assert (verdict["verdict"], verdict["outcome"], verdict["status"]) == ("FAIL", "fail", "ended")
    assert all("scenarios together" in one for one in verdict["failed"])
    assert "The session as a whole fails" in (pytester.path / "results" / "report.html").read_text()
