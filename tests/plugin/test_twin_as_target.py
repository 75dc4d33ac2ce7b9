"""``base_url: twin.json``: any config against a twin; pytest skips what nobody has measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loads import ENGINE

import pytest_vllm_bench.rejudge  # noqa: F401 - numpy is loaded once a process, and pytester forgets what a test loads
from pytest_vllm_bench import twin as twins
from pytest_vllm_bench.cli import main
from pytest_vllm_bench.twin import Lesson, Twin

Bench = Callable[..., pytest.RunResult]
ERRORS = {"p50_tpot_ms": 0.02, "median_tpot_ms": 0.02, "p90_ttft_ms": 0.05, "output_throughput": 0.02}
ASKED: dict[str, Any] = {"base_url": "twin.json", "input_output": [[128, 16]], "concurrency_prompts": [[4, 40]],
                         "sla": ["p90_ttft_ms <= 5000", "p50_tpot_ms <= 1"]}  # fmt: skip


@pytest.fixture
def place(pytester: pytest.Pytester) -> Path:
    """Where the config will lie, with a twin beside it."""
    folder = pytester.path / "cases"
    folder.mkdir()
    twins.write(Twin(engine=ENGINE, lessons=(Lesson(scenario="x", requests=1),), errors=ERRORS), folder / "twin.json")
    return folder


def told(pytester: pytest.Pytester) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((pytester.path / "results" / "verdict.json").read_text("utf-8"))
    return found


def test_a_config_against_a_twin_is_skipped_and_says_why(bench: Bench, pytester: pytest.Pytester, place: Path) -> None:
    result = bench("-rs", "--junitxml=results/junit.xml", **ASKED)
    result.assert_outcomes(skipped=1)
    text = " ".join(result.stdout.str().split())
    assert "would hold" in text
    assert "would break" in text
    assert "nobody has measured them" in text
    (one,) = told(pytester)["scenarios"]
    assert (one["verdict"], one["outcome"], one["taints"]) == ("PREDICTED", "skip", ["predicted"])
    junit = (pytester.path / "results" / "junit.xml").read_text("utf-8")
    assert '<property name="verdict" value="PREDICTED"' in junit
    assert "<skipped" in junit
    assert main(["judge", str(pytester.path / "results")]) == 0


def test_strictness_refuses_it_and_no_reference_is_made_of_it(
    bench: Bench, pytester: pytest.Pytester, place: Path
) -> None:
    result = bench("--vllm-strict", "--vllm-save-baseline=main", **ASKED)
    result.assert_outcomes(failed=1)
    assert "--vllm-strict refuses predictions" in " ".join(result.stdout.str().split())
    assert not list(pytester.path.rglob("main.json"))


def test_a_search_asks_the_twin(bench: Bench, pytester: pytest.Pytester, place: Path) -> None:
    search = {"over": "concurrency", "at_least": 2, "max": 16}
    result = bench(**{**ASKED, "sla": ["p50_tpot_ms <= 9.5"], "search": search, "concurrency_prompts": None})
    result.assert_outcomes(skipped=1)
    answer, *probes = sorted(told(pytester)["scenarios"], key=lambda one: "probe_of" in one)
    assert {one["verdict"] for one in (answer, *probes)} == {"PREDICTED"}
    assert 2 <= answer["capacity_held"] < 16


def test_a_trace(bench: Bench, pytester: pytest.Pytester, place: Path) -> None:
    """When what is due is the plan's."""
    rows = [{"timestamp": 1000 * i, "input_length": 64, "output_length": 8, "hash_ids": [0, i]} for i in range(12)]
    (place / "trace.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    keys = {**ASKED, "input_output": None, "concurrency_prompts": None, "sla": ["p50_tpot_ms <= 100"]}
    bench(**keys, dataset={"name": "trace", "path": "trace.jsonl", "block": 32}).assert_outcomes(skipped=1)


def test_a_twin_that_is_not_there_is_a_problem_of_the_config(bench: Bench, pytester: pytest.Pytester) -> None:
    result = bench(**ASKED)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "base_url: there is no file twin.json" in result.stderr.str() + result.stdout.str()


def test_a_twin_on_the_command_line_lies_where_that_was_written(
    bench: Bench, pytester: pytest.Pytester, place: Path
) -> None:
    (place / "twin.json").rename(pytester.path / "other.json")
    bench("--vllm-url=other.json", **{**ASKED, "base_url": "http://127.0.0.1:9"}).assert_outcomes(skipped=1)


@pytest.mark.slow
def test_what_cannot_be_predicted_says_so(bench: Bench, pytester: pytest.Pytester, place: Path) -> None:
    """Later turns hold answers that nobody knows yet; a cap that changes; no room."""
    talk = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}] * 3}
    (place / "talks.jsonl").write_text("\n".join([json.dumps(talk)] * 4), encoding="utf-8")
    data = {"name": "custom", "path": "talks.jsonl"}
    for keys in (
        {"dataset": data, "input_output": [[None, 8]], "backend": "vllm-chat"},
        {"input_output": [[999_990, 64]]},
    ):
        result = bench(**{**ASKED, "concurrency_prompts": [[1, 2]], "sla": ["failed == 0"], **keys})
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert "predicted" in result.stdout.str() or "does not fit" in result.stdout.str()
    stages = [{"concurrency": 1, "for": "2s"}, {"concurrency": 4, "for": "2s"}]
    result = bench(**{**ASKED, "concurrency_prompts": [[None, None]], "stages": stages, "sla": ["failed == 0"]})
    result.assert_outcomes(errors=0, failed=1)
    assert "cannot be predicted" in " ".join(result.stdout.str().split())
