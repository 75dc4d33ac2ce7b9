"""What cannot be written at a session's end costs a sentence, never the table; a reference that is lost fails."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_vllm_bench import regression, simulator
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.simulator import SimulatorOptions
from pytest_vllm_bench.store.row import from_json
from pytest_vllm_bench.text import say

pytestmark = pytest.mark.slow  # whole sessions

Bench = Callable[..., pytest.RunResult]
ONE = {"input_output": [[64, 4]], "concurrency_prompts": [[2, 8]], "base_url": None}


def occupied(path: Path) -> Path:
    """A folder, with something in it, where a file belongs."""
    (path / "inside").mkdir(parents=True)
    return path


def test_every_file_of_a_session_may_be_unwritable(
    bench: Bench, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("aggregate_results.csv", "verdict.json", "metrics.txt", "report.html")
    for name in names:
        occupied(pytester.path / "results" / name)
    (pytester.path / "results" / "half.json").write_text("{")
    reference = occupied(pytester.path / "reference.json")
    summary = occupied(pytester.path / "summary")
    for name, value in {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary), "GITLAB_CI": "1"}.items():
        monkeypatch.setenv(name, value)
    with simulator.start(SimulatorOptions()) as server:
        result = bench(f"--vllm-url={server.base_url}", f"--vllm-save-baseline={reference}", **ONE)
    text = result.stdout.str()
    assert "Traceback" not in text + result.stderr.str()
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED, "the reference that was asked for is not there"
    before, _, after = text.partition("test_cases.py")
    assert str(reference) in before, "said before the load, too"
    for name in (*names, summary.name, reference.name):
        assert name in after
    assert "io64x4-mc2" in after.partition("LLM")[2], "the table"


def test_a_summary_on_a_full_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/dev/full")
    result = bench(**{**ONE, "base_url": "simulator"})
    result.assert_outcomes(passed=1)
    assert "/dev/full" in result.stdout.str()
    assert result.ret == 0


def test_a_reference_that_cannot_be_saved_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "broken.json").write_text('{"scenarios": {"a": [{"session": 5}]}}')
    (tmp_path / "list.json").write_text("[]")
    os.mkfifo(tmp_path / "pipe.json")
    known = {"scenario_id": "a", "scenario_key": "a", "session": "s", "plan_digest": "d", "mean_ttft_ms": 1.0}
    result = from_json(known)
    for name in ("file/x.json", "x" * 300 + ".json", "x" * 300 + "/y.json", "broken.json", "list.json", "pipe.json"):
        path = tmp_path / name
        for attempt in (lambda: regression.savable(path), lambda: regression.save(path, [result], 5)):  # noqa: B023
            with pytest.raises(BenchError) as error:
                attempt()
            assert str(path) in say(error.value.message)
            assert str(path) in say(error.value.message, "zh")
    good = tmp_path / "new" / ("x" * 250 + ".json")  # as long as a name may be
    regression.savable(good)
    assert not good.parent.exists()
    assert regression.save(good, [result], 5) == []
    assert [*json.loads(good.read_text())["scenarios"]] == ["a"]


def test_home_is_meant_wherever_a_path_is_given(
    bench: Bench, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = pytester.mkdir("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PYTEST_VLLM_SAVE_BASELINE", "~/kept/main.json")
    with simulator.start(SimulatorOptions()) as server:
        bench(f"--vllm-url={server.base_url}", results_dir="~/results", **ONE).assert_outcomes(passed=1)
        options = ("--vllm-baseline=~/kept/main.json", "--vllm-results=~/more", "--vllm-config=~/config.yaml")
        (pytester.path / "cases" / "config.yaml").rename(home / "config.yaml")
        result = pytester.runpytest_subprocess("cases", f"--vllm-url={server.base_url}", *options, timeout=180)
    result.assert_outcomes(passed=1)
    assert {"kept", "results", "more"} <= {path.name for path in home.iterdir()}
    assert not [*pytester.path.glob("**/~*")]
