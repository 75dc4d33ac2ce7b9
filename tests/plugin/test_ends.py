"""How a session ends, whatever ends it: what did not run is said, nothing that was measured is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_vllm_bench.cli import main

pytestmark = pytest.mark.slow  # whole sessions

Bench = Callable[..., pytest.RunResult]
Begin = Callable[..., subprocess.Popen[str]]
GROUPED = ("-n", "2", "--dist", "loadgroup")
TWO = {"input_output": [[64, 8], [64, 400]], "concurrency_prompts": [[2, 300]]}
NOBODY = ("--vllm-url=http://127.0.0.1:9", "--vllm-ready-timeout=0.1")


def told(pytester: pytest.Pytester) -> dict[str, Any]:
    """The session in one file, as any script reads it."""
    found: dict[str, Any] = json.loads((pytester.path / "results" / "verdict.json").read_text())
    return found


def scenarios(pytester: pytest.Pytester) -> dict[str, tuple[str, str]]:
    return {one["scenario_id"]: (one["verdict"], one.get("why") or "") for one in told(pytester)["scenarios"]}


def until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and not ready():
        time.sleep(0.05)


def under_load(pytester: pytest.Pytester, name: str) -> Callable[[], bool]:
    tape = pytester.path / "results" / ".running" / f"bench_{name}" / "tape"
    return lambda: sum(path.stat().st_size for path in tape.glob("*.tape")) > 100_000


def left_behind(process: subprocess.Popen[str], pytester: pytest.Pytester) -> list[str]:
    """Measuring processes of ours that outlive their session."""
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        try:
            if b"pytest_vllm_bench.load" in (one / "cmdline").read_bytes() and (one / "cwd").resolve() == pytester.path:
                found.append(one.name)
        except OSError:  # it has just ended
            continue
    return found


@pytest.mark.parametrize("how", [(), GROUPED], ids=["here", "xdist"])
def test_a_server_that_is_not_there_is_no_pass(
    bench: Bench, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, how: tuple[str, ...]
) -> None:
    """Yesterday's file is overtaken, and every page, summary and command says that nothing ran."""
    (pytester.path / "results").mkdir()
    (pytester.path / "results" / "verdict.json").write_text('{"verdict": "PASS", "complete": true, "scenarios": []}')
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    monkeypatch.setenv("GITLAB_CI", "true")
    result = bench(*NOBODY, *how)
    assert result.ret == 1
    said = told(pytester)
    assert (said["verdict"], said["complete"], said["status"]) == ("INCONCLUSIVE", False, "ended")
    assert (said["selected"], said["counts"]) == (4, {"not_run": 4})
    assert {one["said"] for one in said["scenarios"][1:]} == {"server not there, see io64x8-mc1-np4"}
    assert said["scenarios"][0]["why"] == "error"
    assert "127.0.0.1:9" in said["scenarios"][0]["said"]
    assert "3 of 4 scenarios did not run" in result.stdout.str()
    assert result.stdout.str().count("::error title=io") == 4
    summary = (pytester.path / "summary.md").read_text()
    assert "INCONCLUSIVE" in summary.splitlines()[0]
    assert "did not run: io64x8-mc4-np12" in summary
    page = (pytester.path / "results" / "report.html").read_text()
    assert "not every scenario that was to run has run" in page
    assert (pytester.path / "results" / "metrics.txt").read_text().startswith("not_run 4\n")


def test_what_was_not_selected_or_not_reached(bench: Bench, pytester: pytest.Pytester) -> None:
    bench("--collect-only")
    assert bench(sla=["no_such_metric <= 1"]).ret == pytest.ExitCode.USAGE_ERROR
    assert bench("--vllm-ready-timeout=soon").ret == pytest.ExitCode.USAGE_ERROR
    assert not (pytester.path / "results").exists()
    bench("-k", "mc1").assert_outcomes(passed=2)
    said = told(pytester)
    assert (said["verdict"], said["complete"], said["selected"], said["matrix"]) == ("PASS", True, 2, 4)
    bench("-x", "--vllm-results=other", sla=["p99_ttft_ms <= 0.001"], judge={"mode": "exact"})
    said = json.loads((pytester.path / "other" / "verdict.json").read_text())
    assert (said["verdict"], said["complete"]) == ("FAIL", False)
    assert [one.get("why") for one in said["scenarios"]] == [None, "stopped", "stopped", "stopped"]
    assert "stopping after 1 failures" in said["scenarios"][1]["said"]


def test_a_test_that_fails_or_measures_nothing_is_no_pass(bench: Bench, pytester: pytest.Pytester) -> None:
    """The rules held, and pytest is red: by an assert of its user, a fixture of theirs, or as nothing was measured."""
    test = """
import pytest

@pytest.mark.asyncio
async def test_own(scenario, vllm_bench):
    if scenario.concurrency == 4:
        return
    result = await vllm_bench(scenario)
    assert result.completed == 3
"""
    bench(test=test, input_output=[[64, 8]]).assert_outcomes(failed=1, passed=1)
    said = told(pytester)
    assert (said["verdict"], said["complete"]) == ("FAIL", False)
    assert [(s["verdict"], s.get("test_failed"), s.get("why")) for s in said["scenarios"]] == [
        ("PASS", True, None),
        ("not_run", None, "not_measured"),
    ]


def test_a_session_that_was_killed_is_marked_and_judged_as_such(
    bench: Bench, begin: Begin, pytester: pytest.Pytester, capfd: pytest.CaptureFixture[str]
) -> None:
    """One repeat of two is there when the session is killed: its rules have not been judged."""
    keys = {"input_output": [[64, 400]], "repeats": 2, "sla": ["p50_ttft_ms <= 60000"]}
    bench("--collect-only", **keys, concurrency_prompts=[[2, 30]])
    process = begin()
    until(under_load(pytester, "io64x400_mc2_np30_r2"))
    process.kill()
    process.wait()
    said = told(pytester)
    assert (said["status"], said["verdict"], said["complete"]) == ("running", None, False)
    assert scenarios(pytester) == {"io64x400-mc2-np30-r1": ("PASS", ""), "io64x400-mc2-np30-r2": ("not_run", "")}
    results, (alone,) = str(pytester.path / "results"), (pytester.path / "results").glob("bench_*_r1.json")
    capfd.readouterr()
    assert main(["judge", results]) == 0
    assert "is not complete" in capfd.readouterr().err
    assert main(["judge", "--strict", results]) == 1
    assert main(["judge", "--strict", str(alone)]) == 1
    assert "none of its repeats judges the rules" in capfd.readouterr().err
    assert main(["aggregate", results]) == 0
    assert main(["report", results]) == 0
    assert capfd.readouterr().err.count("1 of 2 scenarios did not run: io64x400-mc2-np30-r2") == 2
    said = told(pytester)
    assert (said["status"], said["verdict"], said["complete"]) == ("interrupted", "INCONCLUSIVE", False)
    assert main(["judge", "--strict", results]) == 1


@pytest.mark.parametrize("how", [(), GROUPED], ids=["here", "xdist"])
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["Ctrl-C", "SIGTERM", "SIGHUP"])
def test_an_interruption_while_the_server_is_waited_for(
    bench: Bench, begin: Begin, pytester: pytest.Pytester, by: signal.Signals, how: tuple[str, ...]
) -> None:
    bench("--collect-only", **TWO)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(100)
        process = begin(f"--vllm-url=http://127.0.0.1:{silent.getsockname()[1]}", "--vllm-ready-timeout=500", *how)
        asked, _ = silent.accept()  # and is left without an answer
    if by is signal.SIGINT:
        os.killpg(process.pid, by)  # as a terminal does
    else:
        process.send_signal(by)
    output, _ = process.communicate(timeout=100)
    asked.close()
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert "Traceback" not in output
    assert (told(pytester)["status"], told(pytester)["verdict"]) == ("interrupted", "INCONCLUSIVE")
    assert set(scenarios(pytester).values()) == {("not_run", "interrupted")}
    assert "2 of 2 scenarios did not run" in output


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interruption_under_xdist_keeps_what_was_measured(
    bench: Bench, begin: Begin, pytester: pytest.Pytester, by: signal.Signals
) -> None:
    """The controller alone is told by CI, everybody by a terminal; the worker drains and writes, and all is shown."""
    bench("--collect-only", **TWO)
    process = begin(*GROUPED)
    until(under_load(pytester, "io64x400_mc2_np300"))
    if by is signal.SIGINT:
        os.killpg(process.pid, by)
    else:
        process.send_signal(by)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert scenarios(pytester) == {"io64x8-mc2-np300": ("PASS", ""), "io64x400-mc2-np300": ("INCONCLUSIVE", "")}
    assert (told(pytester)["verdict"], told(pytester)["complete"]) == ("INCONCLUSIVE", False)
    assert "io64x400-mc2-np300 *" in output
    assert not (pytester.path / "results" / ".running").exists()
    assert left_behind(process, pytester) == []


BROKEN = """
import dataclasses

reads = [0]


def broken(wanted):
    raise LookupError("no such row")
    yield


def pytest_vllm_bench_register(registry):
    known = registry.backends["vllm"]

    def read(event):
        reads[0] += 1
        if reads[0] == 40:
            raise ZeroDivisionError("odd event")
        return known.read(event)

    registry.backends["vllm"] = dataclasses.replace(known, read=read)
    registry.datasets["broken"] = dataclasses.replace(registry.datasets["random"], prompts=broken)
"""


def test_what_nobody_foresaw_keeps_plan_and_tape_and_the_others_run(bench: Bench, pytester: pytest.Pytester) -> None:
    """A backend of others that stumbles over an answer, then a data set of theirs that does: each is a failure of its
    own, in one sentence with the place; what was measured lies there."""
    pytester.makeconftest(BROKEN)
    result = bench(input_output=[[64, 8]], concurrency_prompts=[[2, 30], [1, 4]], dataset=["random", "broken"])
    result.assert_outcomes(failed=1, errors=2, passed=1)
    text = result.stdout.str()
    assert "ZeroDivisionError: odd event (at " in text
    assert "LookupError: no such row (at " in text
    assert "Traceback" not in text
    kept = pytester.path / "results" / "kept"
    found = {path.relative_to(kept).as_posix() for path in kept.rglob("*")}
    assert {"bench_io64x8_mc2_np30/traceback.txt", "bench_io64x8_mc2_np30/plan/bodies.bin"} <= found
    assert list(kept.glob("bench_io64x8_mc2_np30/tape/*.tape"))
    assert "bench_broken_io64x8_mc2_np30/traceback.txt" in found
    assert (told(pytester)["verdict"], told(pytester)["complete"]) == ("INCONCLUSIVE", False)
    assert sorted(scenarios(pytester).values()) == [("PASS", ""), *[("not_run", "error")] * 3]


def test_a_disk_that_fills_under_load_is_said_as_that(bench: Bench, pytester: pytest.Pytester) -> None:
    """A limit on the size of files stands for the disk: the plan fits, the tape does not."""
    pytester.makeconftest("import resource\n\nresource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n")
    result = bench(alone=True, input_output=[[64, 400]], concurrency_prompts=[[2, 60]])
    result.assert_outcomes(failed=1)
    text = " ".join(result.stdout.str().split())
    assert "the disk was full" in text
    assert "free some space, or point --vllm-results to another disk" in text
    assert "out-of-memory" not in text
    assert "tape: drop" not in text
    assert scenarios(pytester) == {"io64x400-mc2-np60": ("INVALID", "")}


@pytest.mark.heavy
def test_a_results_folder_that_vanishes_under_load_costs_the_tape_alone(
    bench: Bench, begin: Begin, pytester: pytest.Pytester
) -> None:
    """As does a disk without room for the copy that is kept until the result is written."""
    bench("--collect-only", input_output=[[64, 400]], concurrency_prompts=[[2, 60]])
    process = begin()
    until(under_load(pytester, "io64x400_mc2_np60"))
    shutil.rmtree(pytester.path / "results")
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0, output
    assert scenarios(pytester) == {"io64x400-mc2-np60": ("PASS", "")}


def test_what_a_killed_session_left_is_put_aside(bench: Bench, pytester: pytest.Pytester) -> None:
    left = pytester.path / "results" / ".running" / "bench_x" / "tape"
    left.mkdir(parents=True)
    (left / "w0-000000.tape").write_bytes(b"what was measured")
    result = bench("-k", "io64 and mc1")
    result.assert_outcomes(passed=1)
    assert "what it left of its load is kept in" in result.stdout.str()
    assert (pytester.path / "results" / "kept" / "bench_x" / "tape" / "w0-000000.tape").is_file()
    assert not (pytester.path / "results" / ".running").exists()


def test_ctrl_c_twice_at_once_and_between_tests(bench: Bench, begin: Begin, pytester: pytest.Pytester) -> None:
    bench("--collect-only", **TWO)
    process = begin()
    until(under_load(pytester, "io64x400_mc2_np300"))
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert "Traceback" not in output
    assert told(pytester)["status"] == "interrupted"
    assert left_behind(process, pytester) == []
    results = pytester.path / "results"  # what was measured is there, or is saved by the next session
    assert [*results.glob("bench_*.json"), *(results / ".running").glob("*/begun.measurement.gz")]
