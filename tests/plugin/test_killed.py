"""Whatever is killed, and whenever: what lies on disk is whole or absent, nothing stays behind, and the session that is
taken up again has what one that nobody disturbed has.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from every import Offenders
from long import times

from pytest_vllm_bench.cli import main
from pytest_vllm_bench.store import measurement, records

Begin = Callable[..., subprocess.Popen[str]]
Bench = Callable[..., pytest.RunResult]
KILLS = times(5, 50)
#: Repeats, a long load, and a file that is unpacked for as long as it is read.
KEYS: dict[str, Any] = {
    "input_output": [[64, 60]], "concurrency_prompts": [[2, 20]], "repeats": 2,
    "dataset": ["random", {"name": "custom", "path": "rows.jsonl.gz"}], "warmup": 4, "sla": ["p50_ttft_ms <= 60000"],
    "overrides": [{"match": "io64x60-*", "set": {"tape": "keep"}}],
}  # fmt: skip
#: A session that, before what it does to files for the n-th time or soon after it, dies, alone or with all that it has
#: started; or whose measuring processes do.  It notes how often it came to that.
DYING = """
import os, pathlib, signal, sys, threading

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "shutil.move", "os.chmod"}


def kill(victim):
    me = os.getpid()
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            command = stat.with_name("cmdline").read_bytes()
            if parent == me and (victim == "all" or b"pytest_vllm_bench.load" in command):
                os.kill(int(stat.parent.name), signal.SIGKILL)
        except OSError:
            pass
    if victim != "measuring":
        os.kill(me, signal.SIGKILL)


def seen(event, args):
    global moment
    if event in EVENTS and "results" in str(args[0]):
        moment += 1
        if moment == at:
            if delay:
                threading.Timer(delay, kill, [victim]).start()
            else:
                kill(victim)


if "DIES" in os.environ:
    victim, at, delay = os.environ["DIES"].split()
    at, delay, moment = int(at), float(delay), 0
    sys.addaudithook(seen)


def pytest_unconfigure():
    if "DIES" in os.environ:
        pathlib.Path("moments").write_text(str(moment))
"""


@pytest.mark.heavy
@pytest.mark.slow
def test_it_may_be_killed_at_any_moment(
    bench: Bench, begin: Begin, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest(DYING)
    (pytester.path / "cases").mkdir()
    (pytester.path / "cases" / "rows.jsonl.gz").write_bytes(
        gzip.compress(b"".join(b'{"prompt": "row %d of them"}\n' % n for n in range(200)))
    )
    bench("--collect-only", "-q", **KEYS)
    monkeypatch.setenv("TMPDIR", str(pytester.path / "tmp"))
    (pytester.path / "tmp").mkdir()

    def session(results: str, victim: str = "", at: int = 0, delay: float = 0.0) -> subprocess.Popen[str]:
        with monkeypatch.context() as said:
            said.setenv("DIES", f"{victim or '-'} {at} {delay}")
            process = begin(f"--vllm-results={results}")
        process.communicate(timeout=200)
        return process

    assert session("results").returncode == 0
    undisturbed = sorted(kinds(pytester.path / "results"))
    moments = int((pytester.path / "moments").read_text())
    failed: dict[str, BaseException] = {}
    for kill in range(KILLS):
        dice = random.Random(kill)
        victim = dice.choice(["pytest", "pytest", "all", "measuring"])
        at, delay = dice.randrange(1, moments), dice.choice([0.0, dice.uniform(0, 0.5)])
        salvaging = dice.random() < 0.5
        folder = pytester.path / f"results-{kill}"
        if following := dice.random() < 0.5:  # an earlier session's results are in the way
            shutil.copytree(pytester.path / "results", folder)
        try:
            session(folder.name, victim, at, delay)
            left_alone(pytester.path)
            assert list(whole(folder)) == []
            if salvaging:
                assert main(["salvage", str(folder)]) == 0
                assert list(whole(folder)) == []
            resumed = bench("--vllm-resume", f"--vllm-results={folder.name}", **KEYS)
            assert resumed.ret == 0, resumed.stdout.str()
            assert list(whole(folder)) == []
            assert sorted(kinds(folder)) == undisturbed
            assert [path.name for path in [*folder.rglob(".*"), *folder.glob("kept")]] == []
            told = json.loads((folder / "verdict.json").read_text())
            assert (told["complete"], told["status"], told["selected"]) == (True, "ended", 4)
            rows = [json.loads(path.read_text()) for path in folder.glob("bench_*.json")]
            assert {row["session"] for row in rows} == {told["session"]}
            assert {(row["complete"], row["completed"], row["failed"]) for row in rows} == {(True, 20, 0)}
        except Exception as error:
            moment = f"{victim} at {at} of {moments} + {delay:.2f} s, salvaged: {salvaging}, following: {following}"
            failed[f"kill {kill} ({moment})"] = error
    if failed:
        raise Offenders("; ".join(failed), list(failed.values()))


def left_alone(folder: Path) -> None:
    """All that the session had started ends by itself, and leaves nothing in the system's folder for such things."""
    deadline = time.monotonic() + 60
    while (found := [*ours(folder)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found == []
    assert [path.name for path in (folder / "tmp").iterdir() if not path.name.startswith("pytest-of-")] == []


def ours(folder: Path) -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if int(process.name) != os.getpid() and (process / "cwd").resolve() == folder:
                yield (process / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has just ended
            continue


def kinds(results: Path) -> Iterator[str]:
    """What lies there, whatever the day and the session."""
    yield from (path.name for path in results.glob("bench_*"))
    yield from (name for name in ("verdict.json", "report.html", "aggregate_results.csv") if (results / name).exists())


def whole(results: Path) -> Iterator[str]:
    """The files, outside of what a load works with, that are not as they were to be."""
    for path in results.rglob("*"):
        if not path.is_file() or path.name.endswith(".part") or {".running", "kept"} & set(path.parts):
            continue
        try:
            complete(path)
        except Exception as error:
            yield f"{path.relative_to(results)}: {error!r}"


def complete(path: Path) -> None:
    if path.name.endswith(measurement.SUFFIX):
        measurement.load(path)
    elif path.name.endswith(records.SUFFIX):
        found = list(records.read(path))
        row = path.with_name(path.name.removesuffix(records.SUFFIX) + ".json")
        if row.exists():
            said = json.loads(row.read_text())
            answered = [record for record in found if record.error is None]
            assert len(answered) == said["completed"]
            ttfts = [r.first_token - r.sent for r in answered if r.first_token is not None and r.sent is not None]
            assert said["mean_ttft_ms"] == (pytest.approx(1000 * sum(ttfts) / len(ttfts)) if ttfts else None)
    elif path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".csv":
        text = path.read_text("utf-8-sig")
        assert text.endswith("\n")
        assert len({len(row) for row in csv.reader(text.splitlines())}) == 1
    elif path.suffix == ".html":
        assert path.read_text().rstrip().endswith("</html>")
    elif path.name == "metrics.txt":
        assert path.read_text().endswith("\n")
