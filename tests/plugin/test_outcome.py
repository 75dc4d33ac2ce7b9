"""What pytest makes of a verdict is computed once: every form says what CI did, and why."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

import pytest_vllm_bench.rejudge  # noqa: F401 - numpy is loaded once a process, and pytester forgets what a test loads
from pytest_vllm_bench import simulator
from pytest_vllm_bench.cli import main
from pytest_vllm_bench.model import JudgeSettings, Taint, Verdict, outcome_of
from pytest_vllm_bench.report import verdict
from pytest_vllm_bench.report.words import tainted
from pytest_vllm_bench.simulator import SimulatorOptions
from pytest_vllm_bench.store.row import from_json

Bench = Callable[..., pytest.RunResult]
#: One request proves nothing: undecided, and on the wrong side.
OVER = {"input_output": [[64, 8]], "concurrency_prompts": [[1, 1]], "sla": ["p99_ttft_ms <= 0.001"]}


@pytest.fixture
def ci(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All services at once; → the step summary's file."""
    summary = pytester.path / "summary.md"
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "SAVE_TO_PYTORCH_BENCHMARK_FORMAT"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    return summary


def told(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / "verdict.json").read_text(encoding="utf-8"))
    return found


def test_a_verdict_becomes_an_outcome() -> None:
    """The whole table: how undecided ones end, strictness, and what was cut off, no pass until it is resumed."""
    lean, strict = JudgeSettings(), JudgeSettings(strict=True, inconclusive="pass")
    table: list[tuple[Verdict, bool, JudgeSettings, tuple[str, ...], str]] = [
        (Verdict.PASS, True, lean, (), "pass"),
        (Verdict.PASS, True, lean, ("simulated",), "pass"),
        (Verdict.PASS, True, strict, (), "pass"),
        (Verdict.PASS, True, strict, ("simulated",), "fail"),
        (Verdict.FAIL, False, lean, (), "fail"),
        (Verdict.INVALID, True, JudgeSettings(inconclusive="skip"), (), "fail"),
        (Verdict.INCONCLUSIVE, True, lean, (), "pass"),
        (Verdict.INCONCLUSIVE, False, lean, (), "fail"),
        (Verdict.INCONCLUSIVE, False, JudgeSettings(inconclusive="pass"), (), "pass"),
        (Verdict.INCONCLUSIVE, True, JudgeSettings(inconclusive="fail"), (), "fail"),
        (Verdict.INCONCLUSIVE, True, JudgeSettings(inconclusive="skip"), (), "skip"),
        (Verdict.INCONCLUSIVE, True, strict, (), "fail"),
        (Verdict.INCONCLUSIVE, True, lean, ("interrupted",), "fail"),
        (Verdict.PASS, True, JudgeSettings(inconclusive="pass"), ("salvaged",), "fail"),
        (Verdict.PASS, True, lean, ("salvaged", "resumed"), "pass"),
    ]
    wrong = [(*case,) for case in table if outcome_of(case[0], [case[1]], case[2], case[3])[0] != case[4]]
    assert not wrong


def test_every_taint_has_words() -> None:
    said = [tainted(taint, lang, key) for taint in get_args(Taint) for lang in ("en", "zh")
            for key in ("report.taint", "report.mark")]  # fmt: skip
    assert len({*said}) == len(said) == 4 * len(get_args(Taint))
    assert tainted("of a later version", "en") == "of a later version"


def test_what_fails_unproven_is_red_in_every_form(
    bench: Bench, pytester: pytest.Pytester, ci: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under ``inconclusive: lean`` the test fails, and no form shows a warning alone."""
    result = bench("--junitxml=results/junit.xml", **OVER)
    result.assert_outcomes(failed=1)
    results, name = pytester.path / "results", "bench_io64x8_mc1_np1"
    row = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
    said = told(results)
    assert (row["verdict"], row["outcome"], row["taints"]) == ("INCONCLUSIVE", "fail", ["simulated"])
    assert (said["verdict"], said["outcome"], said["scenarios"][0]["outcome"]) == ("INCONCLUSIVE", "fail", "fail")
    why = said["scenarios"][0]["reasons"]
    assert why[0].startswith("p99_ttft_ms <= 0.001: ")
    assert "the observed side decides (inconclusive: lean), and it is on the wrong side" in why[-1]
    text = result.stdout.str()
    assert "::error file=" in text
    assert "::warning" not in text
    flat = " ".join(text.split())
    assert flat.count("and it is on the wrong side: the test fails") >= 2, "where it failed, and in the summary"
    summary = ci.read_text(encoding="utf-8")
    assert summary.startswith("## ❌ ")
    assert "1 undecided · pytest failed" in summary
    assert '\ntest_failed{scenario="io64x8-mc1-np1"} 1\n' in "\n" + (results / "metrics.txt").read_text()
    assert '<property name="outcome" value="fail"' in (results / "junit.xml").read_text(encoding="utf-8")
    assert "pytest failed: the gate is red" in (results / "report.html").read_text(encoding="utf-8")
    pytorch = json.loads((results / f"{name}.pytorch.json").read_text(encoding="utf-8"))
    assert pytorch[0]["benchmark"]["extra_info"]["outcome"] == "fail"
    (line,) = csv.DictReader((results / "aggregate_results.csv").read_text(encoding="utf-8").splitlines())
    assert (line["verdict"], line["outcome"], line["simulated"]) == ("INCONCLUSIVE", "fail", "True")
    assert main(["judge", str(results)]) == 1
    assert "and it is on the wrong side" in " ".join(capsys.readouterr().out.split())
    del row["outcome"], row["outcome_reason"], row["taints"]  # as an earlier version wrote it
    old = from_json(row)
    assert (verdict.of_test(old)[0], old.taints) == ("fail", ("simulated",))


def test_strictness_is_part_of_what_is_asked(bench: Bench, pytester: pytest.Pytester, ci: Path) -> None:
    """The rules hold, proven or not, and pytest is red: so is every form, and the file when it is judged again."""
    result = bench("--vllm-strict", input_output=[[64, 8]], concurrency_prompts=[[1, 1]])
    result.assert_outcomes(failed=1)
    said = told(pytester.path / "results")
    assert (said["scenarios"][0]["verdict"], said["outcome"]) == ("PASS", "fail")
    assert "--vllm-strict refuses the built-in simulator" in said["scenarios"][0]["reasons"][0]
    assert "::error file=" in result.stdout.str()
    assert ci.read_text(encoding="utf-8").startswith("## ❌ ")
    assert main(["judge", str(pytester.path / "results")]) == 1


@pytest.mark.slow
def test_what_a_test_makes_of_it_itself_is_said(bench: Bench, pytester: pytest.Pytester) -> None:
    """An assert of its own, ``measure`` alone, a mark of its own, a skip: the session's outcome is pytest's."""
    test = """
import pytest

@pytest.mark.asyncio
async def test_own(scenario, vllm_bench, request):
    if scenario.concurrency == 1:
        assert (await vllm_bench.measure(scenario)).verdict == "FAIL"
    if scenario.concurrency == 2:
        request.applymarker(pytest.mark.xfail(reason="known to be slow"))
        await vllm_bench(scenario)
    if scenario.concurrency == 3:
        await vllm_bench(scenario)
    if scenario.concurrency == 4:
        await vllm_bench(scenario)
        assert "mine" == "yours"
"""
    overrides = [{"match": f"*-mc{c}-*", "set": {"sla": ["max_ttft_ms <= 0.001"]}} for c in (1, 2)]
    overrides += [{"match": "*-mc3-*", "set": {"sla": OVER["sla"], "judge": {"inconclusive": "skip"}}}]
    keys = {"input_output": [[64, 8]], "concurrency_prompts": [[1, 1], [2, 2], [3, 3], [4, 4]], "overrides": overrides}
    first = bench("-k", "mc1 or mc2", test=test, **keys)
    first.assert_outcomes(passed=1, xfailed=1)
    said = told(pytester.path / "results")
    assert (first.ret, said["verdict"], said["outcome"]) == (0, "FAIL", "pass")
    assert [one.get("xfail") for one in said["scenarios"]] == [None, "known to be slow"]
    last = bench("-k", "mc4", test=test, **keys)
    last.assert_outcomes(failed=1)
    said = told(pytester.path / "results")
    assert said["outcome"] == "fail"
    assert ["'mine' == 'yours'" in " ".join(one["reasons"]) for one in said["scenarios"]] == [True]
    assert "the test itself failed" in last.stdout.str()
    assert main(["report", str(pytester.path / "results"), "--formats", "verdict"]) == 0
    (again,) = [one for one in told(pytester.path / "results")["scenarios"] if "mc4" in one["scenario_id"]]
    assert (again["outcome"], again["test_failed"]) == ("fail", True), "made again from what is saved"


def test_a_reference_is_not_poisoned(bench: Bench, pytester: pytest.Pytester) -> None:
    """A session that fails is not kept, and why is said."""
    keys = {"base_url": None, "input_output": [[64, 8]], "concurrency_prompts": [[1, 4]]}
    with simulator.start(SimulatorOptions()) as server:
        broken = bench(
            f"--vllm-url={server.base_url}", "--vllm-save-baseline=main", **keys, sla=["max_ttft_ms <= 0.001"]
        )
        assert not (pytester.path / "cases" / "baselines").exists()
        assert "is not saved as a baseline: it is FAIL" in " ".join(broken.stdout.str().split())


@pytest.mark.slow
def test_the_last_line_says_why(bench: Bench, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest's short summary and JUnit's message begin with the reason, in the language that was chosen."""
    monkeypatch.setenv("COLUMNS", "240")
    broken = {**OVER, "concurrency_prompts": [[1, 40]], "sla": ["p90_ttft_ms <= 0.001"]}
    result = bench("--junitxml=junit.xml", **broken)
    result.stdout.re_match_lines([r"FAILED cases\S+ - p90_ttft_ms [\d.]+ > 0\.001 \(\+\d+ %\)"])
    assert 'failure message="p90_ttft_ms ' in (pytester.path / "junit.xml").read_text()
    bench("--vllm-lang=zh", **broken).stdout.re_match_lines(
        [r"FAILED cases\S+ - p90_ttft_ms [\d.]+ > 0\.001（\+\d+%）"]
    )
    strict = bench("--vllm-strict", **{**broken, "sla": ["p90_ttft_ms <= 60000"]})
    strict.stdout.re_match_lines([r"FAILED cases\S+ - --vllm-strict refuses the built-in simulator"])
    kept = {**broken, "sla": ["p99_ttft_ms <= 60000"], "judge": {"inconclusive": "fail"}}
    bench(**kept).stdout.re_match_lines([r"FAILED cases\S+ - p99_ttft_ms [\d.]+ <= 60,000, not proven: about \d+ more"])
