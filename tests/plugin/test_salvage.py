"""Whatever ends a session, what had arrived is read: nothing that was measured is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_vllm_bench import simulator
from pytest_vllm_bench.simulator import LatencyModel, SimulatorOptions
from pytest_vllm_bench.store import measurement, records

pytestmark = pytest.mark.slow  # whole sessions

Begin = Callable[..., subprocess.Popen[str]]
Bench = Callable[..., pytest.RunResult]
LONG = {"input_output": [[64, 400]], "concurrency_prompts": [[2, 300]]}
NAME = "bench_io64x400_mc2_np300"


def row(pytester: pytest.Pytester, name: str = NAME) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((pytester.path / "results" / f"{name}.json").read_text())
    return found


def lines(pytester: pytest.Pytester, name: str) -> Path:
    return pytester.path / "results" / f"{name}{records.SUFFIX}"


def called(pytester: pytest.Pytester, *args: str) -> tuple[int, str, str]:
    """One of our commands → exit code, what it says, and on stderr."""
    command = [sys.executable, "-m", "pytest_vllm_bench", "--lang", "en", *args]
    done = subprocess.run(command, cwd=pytester.path, capture_output=True, text=True, timeout=100)
    return done.returncode, done.stdout, done.stderr


def killed_under_load(bench: Bench, begin: Begin, pytester: pytest.Pytester, name: str = NAME, **keys: Any) -> None:
    """A session that is killed when a few hundred kilobytes of answers have come."""
    bench("--collect-only", "-q", **{**LONG, **keys})
    process = begin()
    tape = pytester.path / "results" / ".running" / name / "tape"
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and sum(p.stat().st_size for p in tape.glob("*.tape")) < 300_000:
        time.sleep(0.05)
    process.kill()
    process.wait(30)


def test_what_a_killed_session_had_measured_is_saved(bench: Bench, begin: Begin, pytester: pytest.Pytester) -> None:
    killed_under_load(bench, begin, pytester)
    assert not (pytester.path / "results" / f"{NAME}.json").exists()
    code, said, _ = called(pytester, "salvage", "results")
    assert (code, "salvaged: the session was killed meanwhile" in said) == (0, True)
    found = row(pytester)
    assert (found["verdict"], found["complete"]) == ("INCONCLUSIVE", False)
    assert found["taints"] == ["simulated", "salvaged"]
    assert 0 < found["completed"] < 300
    assert found["mean_ttft_ms"] > 0
    assert not list((pytester.path / "results" / ".running").glob("*"))
    told = json.loads((pytester.path / "results" / "verdict.json").read_text())
    assert (told["status"], told["outcome"], found["outcome"]) == ("ended", "fail", "fail")
    assert [one["outcome"] for one in told["scenarios"]] == ["fail"]
    assert called(pytester, "judge", f"results/{NAME}.json")[0] == 1, "no pass, wherever it is asked"
    code, said, _ = called(pytester, "salvage", "results")
    assert (code, said.strip()) == (0, "nothing was left running in results")


@pytest.mark.heavy
def test_a_session_that_was_killed_is_taken_up_again(bench: Bench, begin: Begin, pytester: pytest.Pytester) -> None:
    """What it had measured whole is judged, by today's rules, and not sent again; the rest is measured."""
    keys = {"input_output": [[64, 8], [64, 400]], "concurrency_prompts": [[2, 60]], "tape": "keep"}
    killed_under_load(bench, begin, pytester, name="bench_io64x400_mc2_np60", **keys)
    first, second = "bench_io64x8_mc2_np60", "bench_io64x400_mc2_np60"
    before = row(pytester, first)
    result = bench("--vllm-resume", **keys, sla=["p90_ttft_ms <= 60000", "mean_e2el_ms <= 0.001"])
    result.assert_outcomes(failed=2)
    assert f"resuming the session of {before['session']}" in result.stdout.str()
    assert "what it had measured of io64x400-mc2-np60 is saved" in result.stdout.str()
    again, other = row(pytester, first), row(pytester, second)
    same = ("session", "date_utc", "duration", "completed", "mean_ttft_ms", "plan")
    assert {key: again[key] for key in same} == {key: before[key] for key in same}
    assert [v["rule"] for v in again["verdicts"]][:2] == ["p90_ttft_ms <= 60000", "mean_e2el_ms <= 0.001"]
    assert (other["session"], other["completed"], other["complete"]) == (before["session"], 60, True)
    assert [one["taints"] for one in (again, other)] == [["simulated", "resumed"]] * 2
    told = json.loads((pytester.path / "results" / "verdict.json").read_text())
    assert (told["complete"], told["selected"], told["session"]) == (True, 2, before["session"])
    assert called(pytester, "decode", f"results/{first}.tape", f"results/{second}.tape")[0] == 0
    assert [row(pytester, name) for name in (first, second)] == [again, other], "each tape is of what is beside it"


def test_another_load_is_no_part_of_the_session_that_is_resumed(bench: Bench, pytester: pytest.Pytester) -> None:
    keys = {"input_output": [[64, 8]], "concurrency_prompts": [[2, 20]]}
    result = bench("--vllm-resume", **keys)
    result.assert_outcomes(passed=1)
    assert "there is no session to resume" in result.stdout.str()
    name = "bench_io64x8_mc2_np20"
    before = row(pytester, name)
    bench("--vllm-resume", **keys, seed=7).assert_outcomes(passed=1)
    changed = row(pytester, name)
    assert changed["plan"]["salt"] != before["plan"]["salt"]
    bench("--vllm-resume", **keys, seed=7).assert_outcomes(passed=1)
    assert row(pytester, name)["plan"]["salt"] == changed["plan"]["salt"]


def test_what_cannot_be_read_stays_where_it_is_and_is_said(pytester: pytest.Pytester) -> None:
    work = pytester.path / "results" / ".running" / NAME
    work.mkdir(parents=True)
    (work / "begun.measurement.gz").write_bytes(b"half")
    code, _, said = called(pytester, "salvage", "results")
    assert (code, "cannot be read" in said) == (2, True)
    assert list((pytester.path / "results").rglob("begun.measurement.gz"))


def test_a_tape_that_was_kept_is_decoded_to_the_same_result(bench: Bench, pytester: pytest.Pytester) -> None:
    bench(input_output=[[64, 8]], concurrency_prompts=[[2, 40]], tape="keep")
    name = "bench_io64x8_mc2_np40"
    before = row(pytester, name)
    records = pytester.path / "results" / f"{name}.records.jsonl.gz"
    for file in (records, pytester.path / "results" / f"{name}.json"):
        file.unlink()
    assert called(pytester, "decode", f"results/{name}.tape")[0] == 0
    assert records.exists()
    assert row(pytester, name) == before
    code, _, said = called(pytester, "decode", "results")
    assert (code, "is no tape" in said) == (2, True)


def test_a_tape_of_a_repeat_keeps_what_all_repeats_said(bench: Bench, pytester: pytest.Pytester) -> None:
    """Tokens that the server does not count are counted by the run's tokenizer again."""
    keys = {"backend": "deepspeed-mii-generate", "input_output": [[64, 8]], "concurrency_prompts": [[2, 40]]}
    bench(**keys, repeats=2, sla=["p50_e2el_ms <= 60000"], tape="keep")
    names = [f"bench_io64x8_mc2_np40_r{repeat}" for repeat in (1, 2)]
    before = [row(pytester, name) for name in names]
    assert before[1]["pooled"]["completed"] == 80
    assert [one.token_source for one in records.read(lines(pytester, names[1]))] == ["tokenizer"] * 40
    lines(pytester, names[1]).unlink()
    assert called(pytester, "decode", *(f"results/{name}.tape" for name in names))[0] == 0
    assert [row(pytester, name) for name in names] == before
    lines(pytester, names[0]).unlink()
    (pytester.path / "results" / f"{names[0]}.json").unlink()
    code, _, said = called(pytester, "decode", f"results/{names[1]}.tape")
    assert (code, "not all of them lie beside it any more" in said) == (2, True)
    assert row(pytester, names[1]) == before[1]


def test_a_tape_of_a_run_that_failed_its_reference_fails_it_still(bench: Bench, pytester: pytest.Pytester) -> None:
    keys = {"base_url": None, "input_output": [[64, 8]], "concurrency_prompts": [[2, 40]], "tape": "keep"}
    loose = {"baseline": {"tolerance": {"mean_tpot_ms": "50%"}}}
    with simulator.start() as server:
        for _ in range(2):
            bench(f"--vllm-url={server.base_url}", "--vllm-save-baseline=main", **keys).assert_outcomes(passed=1)
    with simulator.start(SimulatorOptions(latency=LatencyModel(step_s=0.012))) as server:
        bench(f"--vllm-url={server.base_url}", "--vllm-baseline=main", **keys, **loose).assert_outcomes(failed=1)
    name = "bench_io64x8_mc2_np40"
    before = row(pytester, name)
    assert before["verdict"] == "FAIL"
    assert called(pytester, "decode", f"results/{name}.tape")[0] == 0
    assert row(pytester, name) == before
    assert called(pytester, "judge", f"results/{name}.json")[0] == 1


def test_no_measuring_process_outlives_a_killed_session(bench: Bench, begin: Begin, pytester: pytest.Pytester) -> None:
    killed_under_load(bench, begin, pytester)
    deadline = time.monotonic() + 60

    def alive() -> list[int]:
        return [int(p.name) for p in Path("/proc").glob("[0-9]*") if ours(p, pytester.path)]

    while time.monotonic() < deadline and alive():
        time.sleep(0.1)
    left = alive()
    for process in left:
        os.kill(process, signal.SIGKILL)
    assert left == []


def ours(process: Path, cwd: Path) -> bool:
    try:
        called = (process / "cmdline").read_bytes()
        return b"pytest_vllm_bench" in called and (process / "cwd").resolve() == cwd
    except OSError:  # it has just ended
        return False


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("tape", ["drop", "compress"])
def test_plan_and_tape_are_there_until_the_disk_has_what_was_made_of_them(
    bench: Bench, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tape: str
) -> None:
    """Seen where the system is asked to write: when that is the folder's turn, each file in it had its own, and nothing
    of the load is gone."""
    results, real = pytester.path / "results", os.fsync
    files, moments = set[int](), list[tuple[set[str], bool]]()

    def seen(handle: int) -> None:
        real(handle)
        files.add(os.fstat(handle).st_ino)
        if os.readlink(f"/proc/self/fd/{handle}") == str(results):
            left = [path for path in results.glob(".running/*/*/*") if path.stat().st_size]
            index = [path for path in left if path.name == "index.bin" and path.stat().st_ino in files]
            on_disk = {path.name for path in results.iterdir() if path.is_file() and path.stat().st_ino in files}
            moments.append((on_disk, bool(index) and any(path.suffix == ".tape" for path in left)))

    monkeypatch.setattr(os, "fsync", seen)
    bench("-k", "io64 and mc1", tape=tape).assert_outcomes(passed=1, deselected=3)
    name = "bench_io64x8_mc1_np4"
    assert moments == [
        ({f"{name}{end}" for end in (".json", records.SUFFIX, measurement.SUFFIX)} | moments[0][0], True)
    ]
    packed = {path.stat().st_ino for path in results.glob("*.tape/*.tape.gz")}
    assert bool(packed) is (tape == "compress")
    assert packed <= files
