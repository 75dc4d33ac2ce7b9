"""A prediction is PREDICTED in every form that people or machines read, and never PASS: one test a form."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from every import every
from loads import ENGINE, measured

from pytest_vllm_bench import comparing, judging, regression, rejudge
from pytest_vllm_bench.metric_table import parse_rule
from pytest_vllm_bench.model import FrontierGate, JudgeSettings, Result, Rule, Scenario, Verdict
from pytest_vllm_bench.report import (
    badge,
    failure,
    frontier,
    github,
    headline,
    openmetrics,
    pictures,
    rebuild,
    session,
    terminal,
)
from pytest_vllm_bench.report.verdict import summary
from pytest_vllm_bench.store import folder, history, measurement, records
from pytest_vllm_bench.twin import Lesson, Twin, playing

ERRORS = {"p50_tpot_ms": 0.02, "p99_ttft_ms": 0.05, "output_throughput": 0.02}
TWIN = Twin(engine=ENGINE, lessons=(Lesson(scenario="x", requests=1),), errors=ERRORS)
GREEN = re.compile(r"\bPASS\b|✅|\d passed|\d 个通过|every rule held|#1a7f37")


def prediction(*rules: str) -> Result:
    texts = rules or ("p99_ttft_ms <= 9000", "output_throughput >= 1")
    load = measured((128, 16), 4, n=40)
    parsed = tuple(rule for text in texts if isinstance(rule := parse_rule(text), Rule))
    asked = replace(load.scenario, rules=parsed, judge=JudgeSettings(mode="exact"))
    one = playing.predict(TWIN, asked, playing.again(load, 16))
    return judging.judge(asked, [replace(one, session="2026-11-27T00:00:00Z", date="2026-11-27T00:00:00Z")])


@pytest.fixture(scope="module")
def results() -> list[Result]:
    """One whose rules hold, and one whose rules break."""
    breaks = prediction("p99_ttft_ms <= 1")
    other = replace(breaks.scenario, cell=replace(breaks.scenario.cell, place="io999x16-mc4"))
    return [prediction(), replace(breaks, scenario=other)]


def predicted(text: str, word: str = "PREDICTED") -> None:
    assert word in text
    assert not GREEN.search(text), GREEN.search(text)


def test_whoever_makes_the_verdict(results: Sequence[Result]) -> None:
    for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE):
        rule = replace(results[0].verdicts[0], verdict=verdict, proven=True)
        made = replace(results[0], verdict=verdict, verdicts=(rule,))
        assert (made.verdict, made.verdicts[0].verdict, made.verdicts[0].proven) == ("PREDICTED", "PREDICTED", False)
    assert replace(results[0], verdict=Verdict.INVALID).verdict is Verdict.INVALID


def test_what_pytest_makes_of_it(results: Sequence[Result]) -> None:
    """Skipped, whatever the rules are; red where strictness asks for proof; never green by ``inconclusive: pass``."""
    lenient = [replace(one, scenario=_asking(one, inconclusive="pass", mode="evidence")) for one in results]
    assert {one.outcome for one in (*results, *lenient)} == {"skip"}
    assert {replace(one, scenario=_asking(one, strict=True)).outcome for one in results} == {"fail"}


def _asking(one: Result, **how: Any) -> Scenario:
    return replace(one.scenario, judge=replace(one.scenario.judge, **how))


@every("lang, word", [("en", "PREDICTED"), ("zh", "预测")])
def test_terminal(results: Sequence[Result], lang: str, word: str) -> None:
    predicted(terminal.summary(results, width=200, lang=lang), word)


@every("lang, word", [("en", "PREDICTED"), ("zh", "预测")])
def test_failure_and_headline(results: Sequence[Result], lang: str, word: str) -> None:
    for one in results:
        predicted(failure.failure(one, lang), word)
    assert "would break" in headline.headline(results[1]) and "would hold" in headline.headline(results[0])  # noqa: PT018


def test_markdown(results: Sequence[Result], tmp_path: Path) -> None:
    predicted(github.comment(results, tmp_path).read_text("utf-8"))


def test_github(results: Sequence[Result]) -> None:
    predicted(github.step_summary(results))
    commands = github.workflow_commands(results)
    assert [line.partition(" ")[0] for line in commands] == ["::warning"] * 2
    predicted("\n".join(commands))


def test_gitlab(results: Sequence[Result], tmp_path: Path) -> None:
    """Two branches are compared by these figures, which cannot say where they come from: a prediction has none."""
    text = openmetrics.gitlab(results, tmp_path).read_text("utf-8")
    assert "output_throughput" not in text
    assert 'tainted{scenario="io128x16-mc4-np40",taint="predicted"} 1' in text


def test_openmetrics(results: Sequence[Result], tmp_path: Path) -> None:
    text = openmetrics.pushed(results, tmp_path).read_text("utf-8")
    assert re.findall(r'_verdict{[^}]*verdict="(\w+)"} 1', text) == ["PREDICTED"] * 2
    assert "throughput" not in text


def test_junit(results: Sequence[Result]) -> None:
    told = failure.properties(results[0])
    assert (told["verdict"], told["outcome"], told["taints"]) == ("PREDICTED", "skip", "predicted")


def test_verdict_json(results: Sequence[Result]) -> None:
    told = summary(results)
    assert (told["verdict"], told["outcome"], told["taints"]) == ("PREDICTED", "skip", ["predicted"])
    predicted(json.dumps(told))


def test_a_session_with_one_is_no_pass(results: Sequence[Result]) -> None:
    passed = replace(results[0], taints=(), verdict=Verdict.PASS)
    assert summary([passed, results[1]])["verdict"] == "PREDICTED"


def test_csv_page_and_json(results: Sequence[Result], tmp_path: Path) -> None:
    for one in results:
        folder.write(one, tmp_path)
    for write in session.writers(results, tmp_path, {}):
        write()
    for line in csv.DictReader((tmp_path / "aggregate_results.csv").read_text("utf-8").splitlines()):
        assert (line["verdict"], line["outcome"]) == ("PREDICTED", "skip")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "v-PREDICTED" in page
    assert not re.search(r'class="badge v-PASS|class="j-PASS|every rule held</span>', page)
    for back in folder.read(tmp_path):
        assert (back.verdict, {v.verdict for v in back.verdicts}) == ("PREDICTED", {Verdict.PREDICTED})


def test_badge_and_pictures(results: Sequence[Result]) -> None:
    predicted(badge.badge(results))
    predicted(badge.badge(results, lang="zh"), "预测")
    assert "PREDICTED" in pictures.MARKERS


def test_baseline(results: Sequence[Result], tmp_path: Path) -> None:
    path = tmp_path / "reference.json"
    refused = regression.save(path, results, 5)
    assert [one.values["taint"].key for one in refused] == ["report.taint.predicted"] * 2
    assert not path.exists()


def test_trend(results: Sequence[Result]) -> None:
    assert history.points(results, ["output_throughput"]) == []


def test_compare(results: Sequence[Result]) -> None:
    real = replace(results[0], taints=(), verdict=Verdict.PASS)
    made = comparing.side_by_side([real], [results[0]])
    assert [why.key for _, why in made.untested] == ["report.compare.predicted"]
    assert {change.finding for change in made.changes} == {"untested"}


def test_judge(results: Sequence[Result], tmp_path: Path) -> None:
    """Judged again from its measurement, and from its figures alone, where that is gone."""
    stem = tmp_path / folder.stem(results[0].id)
    records.write(results[0].records, stem.with_name(stem.name + records.SUFFIX))
    load = replace(measured((128, 16), 4, n=40), scenario=results[0].scenario, predicted=TWIN.errors)
    folder.write(results[0], tmp_path)
    measurement.save(load, stem)
    asked = rejudge.Criteria(rules=results[0].scenario.rules)
    path = tmp_path / f"{stem.name}.json"
    (whole,) = rejudge.results(path, asked)
    for left in tmp_path.glob("*.gz"):
        left.unlink()
    (bare,) = rejudge.results(path, asked)
    for one in (whole, bare):
        assert (one.verdict, one.outcome, one.taints) == ("PREDICTED", "skip", ("predicted",))
        assert {v.verdict for v in one.verdicts} == {Verdict.PREDICTED}


def test_every_form_of_report(results: Sequence[Result], tmp_path: Path) -> None:
    """Whatever ``report`` writes, but for pictures and what has a test of its own above."""
    for one in results:
        folder.write(one, tmp_path)
    rest = [name for name in rebuild.FORMATS if name not in ("html", "gitlab", "openmetrics", "svg", "png")]
    paths = rebuild.report([tmp_path], tmp_path / "out", rebuild.ReportRequest(formats=rest))
    assert len(paths) >= len(rest)
    for path in paths:
        predicted(_text(path))


def _text(path: Path) -> str:
    if path.suffix == ".xlsx":
        return "\n".join(sheet.to_csv() for sheet in pd.read_excel(path, sheet_name=None).values())
    return str(pd.read_parquet(path).to_csv()) if path.suffix == ".parquet" else path.read_text("utf-8")


def test_frontier(results: Sequence[Result]) -> None:
    """The best of several settings is one that was measured."""
    gate = FrontierGate(at=None, metric="output_throughput", at_least=1.0)
    assert [one.verdict for one in frontier.judge(results, gate)] != [Verdict.PASS]
