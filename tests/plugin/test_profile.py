"""``--vllm-profile``: a second, short load under the server's profiler, which leaves the judged figures alone."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_vllm_bench import profiling, simulator
from pytest_vllm_bench.cli import main
from pytest_vllm_bench.model import Cell, Measurement, Message, Problem, Profile, Result, Scenario, Target, Verdict
from pytest_vllm_bench.simulator import SimulatorOptions
from pytest_vllm_bench.store import folder, measurement

pytestmark = pytest.mark.slow  # whole sessions

Bench = Callable[..., pytest.RunResult]
ONE = {"input_output": [[32, 16]], "concurrency_prompts": [[2, 12]], "base_url": None}
NAME = "bench_io32x16_mc2_np12"


def saved(pytester: pytest.Pytester) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((pytester.path / "results" / f"{NAME}.json").read_text())
    return found


def test_traces_lie_beside_a_result_that_they_do_not_change(
    bench: Bench, pytester: pytest.Pytester, tmp_path: Path
) -> None:
    """vLLM's protocol: the folder is read off the server's own command line."""
    told = json.dumps({"profiler": "torch", "torch_profiler_dir": str(tmp_path / "traces")})
    with simulator.start(SimulatorOptions(profiler_config=told)) as server:
        result = bench("--vllm-profile", f"--vllm-url={server.base_url}", **ONE, profile={"requests": 5})
    result.assert_outcomes(passed=1)
    row = saved(pytester)
    assert row["completed"] == 12
    assert row["taints"] == [], "what was judged was not profiled"
    own, theirs = pytester.path / "results" / row["traces"][0], Path(row["traces"][1])
    assert (theirs.parent, theirs.name[:6]) == (tmp_path / "traces", "rank0.")
    assert own.parent == pytester.path / "results" / f"{NAME}.profile"
    spans = [one for one in json.loads(gzip.decompress(own.read_bytes()))["traceEvents"] if one["ph"] == "X"]
    for name in ("request", "until the first token", "stream"):
        assert len({one["tid"] for one in spans if one["name"] == name}) == 5, "a track a request"
    wholes = [one for one in spans if one["name"] == "request"]
    assert all(one["dur"] > 0 and one["args"]["output_tokens"] == 16 for one in wholes)
    assert all(1.7e15 < one["ts"] < 4e15 for one in wholes), "microseconds since 1970, as this server counts from there"
    load = measurement.load(own.parent / f"load{measurement.SUFFIX}")
    assert (load.taints, len(load.records)) == (("profiled",), 5)
    with (pytester.path / "results" / "aggregate_results.csv").open(encoding="utf-8-sig") as file:
        assert len(list(csv.reader(file))) == 2, "one row"
    page = (pytester.path / "results" / "report.html").read_text(encoding="utf-8")
    assert f'href="{NAME}.profile/client.trace.json.gz"' in page
    assert f'href="{theirs.as_uri()}"' in page
    assert "ui.perfetto.dev" in page
    (note,) = [note for note in row["notes"] if note["key"].startswith("server.profil")]
    assert note["values"] == {"n": 5, "files": 1, "folder": str(own.parent)}
    moved = (pytester.path / "results").rename(pytester.path / "moved")
    assert main(["report", str(moved), "--formats", "html"]) == 0
    assert f'href="{NAME}.profile/client.trace.json.gz"' in (moved / "report.html").read_text(encoding="utf-8")
    problems = list[Problem]()
    for path in (*moved.glob("*.json"), *moved.glob("*.gz")):
        path.unlink()
    assert folder.read(moved, history=True, problems=problems) == [], "traces are no results"
    assert problems == []


def test_sglang_records_so_many_steps_into_our_folder(bench: Bench, pytester: pytest.Pytester) -> None:
    with simulator.start(SimulatorOptions(dialect="sglang")) as server:
        for _ in range(2):  # the first session's files make room for the second's
            result = bench(f"--vllm-url={server.base_url}", **ONE, backend="sglang", profile="*-mc2-*")
            result.assert_outcomes(passed=1)
            own, theirs = (pytester.path / "results" / name for name in saved(pytester)["traces"])
            assert (theirs.parent, theirs.name[:5]) == (own.parent, "TP-0.")
            assert own.is_file()
            assert theirs.is_file()
    assert len(list(pytester.path.glob("results/history/*/*.profile/client.trace.json.gz"))) == 1


def test_what_goes_wrong_is_said_and_the_result_stands(bench: Bench, pytester: pytest.Pytester, tmp_path: Path) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps([{"fault": "status code=500 message=full", "path": "/stop_profile"}]))
    config = json.dumps({"torch_profiler_dir": str(tmp_path / "traces")})
    for options, key, word in (
        (SimulatorOptions(), "server.no_profiler", "--profiler-config"),
        (SimulatorOptions(profiler_config=config, faults=str(faults)), "server.profile_goes_on", "full"),
    ):
        with simulator.start(options) as server:
            result = bench(f"--vllm-url={server.base_url}", **ONE, profile=True)
        result.assert_outcomes(passed=1)
        row = saved(pytester)
        assert key in [note["key"] for note in row["notes"]]
        assert row["verdict"] == "PASS"
        assert word in result.stdout.str()


def test_what_was_judged_outlives_an_interruption(tmp_path: Path) -> None:
    """A Ctrl-C comes while the server writes, which takes minutes."""
    asked = Scenario(cell=Cell(place="x"), target=Target(), backend="vllm", profile=Profile())
    judged = Result(scenario=asked, verdict=Verdict.PASS)

    @dataclass(frozen=True)
    class Around:
        folder: Path = tmp_path
        target: Target = Target()
        besides: tuple[Any, ...] = ()

    async def interrupted(*_: Any) -> Measurement:
        raise asyncio.CancelledError

    class Told:
        def phase(self, message: Message) -> None: ...

        warn = record = phase

    work: Any = profiling.profiled(judged, Around(), Told(), tmp_path, interrupted)  # type: ignore[arg-type]
    assert asyncio.run(work) == (judged, True)


def test_a_pattern_that_nothing_matches_is_an_error(bench: Bench) -> None:
    simulated = {**ONE, "base_url": "simulator"}
    for given, written in (([], {"profile": "*-mc64-*"}), (["--vllm-profile=*-mc64-*"], {})):
        result = bench(*given, **simulated, **written)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert "no scenario matches *-mc64-*" in result.stderr.str().replace("\n", " ")
