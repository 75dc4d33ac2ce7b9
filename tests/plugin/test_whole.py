"""What only the whole session shows fails the session: the trend over its history."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from pytest_vllm_bench import simulator
from pytest_vllm_bench.simulator import LatencyModel, SimulatorOptions
from pytest_vllm_bench.store import history

pytestmark = pytest.mark.slow  # whole sessions

Bench = Callable[..., pytest.RunResult]
ONE = {"input_output": [[64, 16]], "concurrency_prompts": [[2, 8]], "base_url": None}


@pytest.fixture
def server() -> Iterator[str]:
    with simulator.start(SimulatorOptions(latency=LatencyModel(step_s=0.008))) as one:
        yield f"--vllm-url={one.base_url}"


def nights(folder: Path, factor: float, *, last: int = 20) -> None:
    """Make the results of one session those of ``last`` nights, each with its commit; the five newest as this one is,
    and those before them by so much lower."""
    (kept,) = folder.glob("bench_*.json")
    row = json.loads(kept.read_text())
    rng = np.random.default_rng(1)
    for n in range(last):
        day = f"2026-01-{1 + n:02}T02:00:00+00:00"
        scale = float(np.exp(0.01 * rng.standard_normal())) * (1 if n >= last - 5 else factor)
        commit = {"id": f"{n:02}" * 20}
        made = {**row, "session": f"s{n:02}", "date_utc": day, "mean_tpot_ms": row["mean_tpot_ms"] * scale,
                "steady_mean_tpot_ms": None, "environment": {**row["environment"], "commit": commit}}  # fmt: skip
        place = folder / "history" / f"s{n:02}"
        place.mkdir(parents=True)
        (place / kept.name).write_text(json.dumps(made))


def test_a_worsening_over_the_sessions_kept_fails_this_one(
    bench: Bench, pytester: pytest.Pytester, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {**ONE, "trend": {"metrics": ["mean_tpot_ms"], "min_change": "3%"}}
    said = bench(server, **asked)
    said.assert_outcomes(passed=1)
    assert "too few sessions of one plan to see a change: 1 of at least 12" in said.stdout.str()
    results = pytester.path / "results"
    nights(results, 0.5)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    result = bench(server, "--junitxml=junit.xml", **asked)
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    told = " ".join(result.stdout.str().split())
    assert "trend over the sessions in results: a worsening of mean_tpot_ms that began within the newest 14" in told
    assert "FAILED cases/config.yaml::trend - mean_tpot_ms of io64x16-mc2 has been +" in told
    assert "since 2026-01-16" in told
    assert "the first such session is s15, its commit 151515151515" in told
    assert "::error title=the session%3A FAIL::mean_tpot_ms of io64x16-mc2 has been +" in told
    verdict = json.loads((results / "verdict.json").read_text())
    assert (verdict["verdict"], verdict["outcome"], verdict["scenarios"][0]["verdict"]) == ("FAIL", "fail", "PASS")
    (one,) = verdict["trend"]
    assert (one["fails"], one["since"]["session"], one["scenario"]) == (True, "s15", "io64x16-mc2")
    (case,) = ElementTree.parse(pytester.path / "junit.xml").iterfind(".//testcase[@name='trend']/failure")
    assert str(case.get("message")).startswith("mean_tpot_ms of io64x16-mc2 has been +")
    assert "| worse: fails |" in (pytester.path / "summary.md").read_text()
    page = (results / "report.html").read_text()
    assert '"trend-mean_tpot_ms-io64x16-mc2"' in page
    assert "151515151 +" in page, "the commit at its point"
    again = bench(server, "--lf", "-p", "cacheprovider", **asked)
    again.assert_outcomes(passed=1, failed=1)
    known = {"metric": "mean_tpot_ms", "after": "2026-01-15", "why": "driver 580"}
    known_of = bench(server, **{**asked, "trend": {**asked["trend"], "acknowledged": [known]}})  # type: ignore[dict-item]
    known_of.assert_outcomes(passed=1)
    assert "driver 580" in known_of.stdout.str()


def test_a_history_of_its_own_grows_by_each_session(bench: Bench, pytester: pytest.Pytester, server: str) -> None:
    """Whether or not the config asks for it: what the option names is looked at, and what was not measured now fails
    nothing."""
    for name in ("first", "second"):
        bench(server, "--vllm-history=nights.db", f"--vllm-results={name}", **ONE).assert_outcomes(passed=1)
    found = history.read(str(pytester.path / "nights.db"))
    assert len({one.session for one in found}) == 2
    assert {"p99_ttft_ms", "output_throughput"} <= {one.metric for one in found}
    with closing(sqlite3.connect(pytester.path / "nights.db")) as database, database:
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({history.TABLE})")]
        assert {"scenario", "value"} <= set(columns)
        database.execute(f"DROP TABLE {history.TABLE}")
        database.execute(f"CREATE TABLE {history.TABLE} (a INTEGER)")
    broken = bench(server, "--vllm-history=nights.db", **ONE)
    assert broken.ret == pytest.ExitCode.USAGE_ERROR, "before any load"
    assert bench(server, "--vllm-history=no/such/nights.db", **ONE).ret == pytest.ExitCode.USAGE_ERROR
    assert bench(server, "--vllm-history=", **ONE).ret == pytest.ExitCode.USAGE_ERROR
    missing = bench(server, "--vllm-history=nights/", **ONE)
    assert missing.ret == pytest.ExitCode.USAGE_ERROR
    assert "nights/" in missing.stderr.str() + missing.stdout.str()
    assert not (pytester.path / "nights").exists()


def test_the_first_session_of_all_has_a_trend_too(bench: Bench, pytester: pytest.Pytester, server: str) -> None:
    """There is no results folder yet, nor the one that it will be in."""
    bench(server, **ONE, trend={}, results_dir="out/results").assert_outcomes(passed=1)
    assert [*(pytester.path / "out" / "results").glob("bench_*.json")]


def test_a_trend_that_nobody_can_mean(bench: Bench) -> None:
    known = {"metric": "tpot", "after": 20261120, "why": "x"}
    for wrong, words in (
        ({"p": 0.2, "window": 5, "acknowledged": [{**known, "why": ""}]}, ("trend.p", "trend.window", "why")),
        (
            {"metrics": ["mean_tpotms", "duration"], "acknowledged": [known]},
            ("did you mean", "trend.metrics[1]", "tpot"),
        ),
    ):
        result = bench(trend=wrong)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        said = result.stderr.str() + result.stdout.str()
        assert all(word in said for word in words), said
