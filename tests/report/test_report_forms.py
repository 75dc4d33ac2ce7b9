"""Saved results in the forms of other tools, and reports made again from folders."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from results_made import edited, named, result, results

from pytest_vllm_bench.cli import main
from pytest_vllm_bench.comparing import side_by_side
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Cell, Message, Problem, Result, TestEnd, Verdict
from pytest_vllm_bench.report import (
    badge,
    exports,
    failure,
    github,
    openmetrics,
    page,
    pictures,
    rebuild,
    session,
    terminal,
)
from pytest_vllm_bench.report.charts.overview import overview
from pytest_vllm_bench.report.findings import findings
from pytest_vllm_bench.report.trend import Drift, TrendOutcome
from pytest_vllm_bench.report.verdict import Roll
from pytest_vllm_bench.store import folder
from pytest_vllm_bench.store.history import HistoryPoint
from pytest_vllm_bench.store.row import plain
from pytest_vllm_bench.text import say

CONFIG = "bench_cases/config.yaml"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A results folder with two sessions: the first one's scenario was replaced by the second one's."""
    for day, concurrency in (("1", 4), ("1", 16), ("2", 16)):
        one = result(concurrency=concurrency, n=40, session=f"s{day}", date=f"2026-11-2{day}T00:00:00+00:00")
        folder.write(one, tmp_path / "results")
    return tmp_path / "results"


# ------------------------------------------------------------------------------------------ other tools


@pytest.mark.parametrize(
    ("lang", "sheet", "header"),
    [
        ("en", "Results", "P99 TTFT (ms)"),
        ("zh", "结果", "P99 首 token 时延 TTFT (ms)"),
        ("both", "Results", "P99 TTFT (ms) P99 首 token 时延 TTFT (ms)"),
    ],
)
def test_excel_has_numbers_and_units(tmp_path: Path, lang: str, sheet: str, header: str) -> None:
    (path,) = exports.export(results(), tmp_path, ["excel"], lang)
    books = pd.read_excel(path, sheet_name=None)
    table, rules = books.values()
    assert header in table.columns
    assert list(table[header].dropna())[-2:] == [129.6, 302.4]
    assert len(rules) == 8


def test_parquet_keeps_every_figure(tmp_path: Path) -> None:
    made = [*results(), result(scenario={"cell": Cell(place="rate"), "request_rate": 2.5})]
    (path,) = exports.export(made, tmp_path, ["parquet"])
    table = pd.read_parquet(path)
    assert set(table["request_rate"]) == {"inf", "2.5"}
    assert table["p99_ttft_ms"].notna().all()
    assert "verdicts" not in table.columns


@pytest.mark.slow
def test_every_form_says_that_a_session_was_resumed(tmp_path: Path) -> None:
    """As it does of every other taint; in a table of none there is no column for it."""
    folder.write(one := result(n=40, taints=("simulated", "resumed")), tmp_path)
    (plain := tmp_path / "plain").mkdir()
    folder.write(replace(one, taints=()), plain)
    asked = rebuild.ReportRequest(formats=[name for name in rebuild.FORMATS if name != "png"])
    said = {path.relative_to(tmp_path): words_of(path) for path in rebuild.report([tmp_path], tmp_path, asked)}
    said |= {Path("summary"): terminal.summary([one]), Path("junit"): str(failure.properties(one))}
    assert [path for path, text in said.items() if "resumed" not in text.lower()] == []
    for table in rebuild.report([plain], plain, rebuild.ReportRequest(formats=["csv", "excel"])):
        assert not re.search("taints|know of the figures", words_of(table))
    parser = pytest.importorskip("prometheus_client.openmetrics.parser", reason="pip install prometheus-client")
    families = parser.text_string_to_metric_families(said[Path("metrics.txt")])
    (tainted,) = (family for family in families if family.name == "tainted")
    assert [sample.labels["taint"] for sample in tainted.samples] == ["simulated", "resumed"]


def words_of(path: Path) -> str:
    """What a person or a script finds in a file."""
    if path.suffix == ".xlsx":
        return str(pd.read_excel(path).to_csv())
    return str(pd.read_parquet(path).to_csv()) if path.suffix == ".parquet" else path.read_text("utf-8")


def test_json_lines(tmp_path: Path) -> None:
    (path,) = exports.export([edited(result(n=20), ttfts=[0.1])], tmp_path, ["jsonl"])
    (line,) = path.read_text("utf-8").splitlines()
    assert json.loads(line)["scenario_id"] == "io1024x256-mc16-np20"
    assert "ttfts" not in json.loads(line)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_markdown(lang: str, golden: Any) -> None:
    golden(f"results.{lang}.md", exports.markdown_text(results(), Roll(), lang))


def test_markdown_of_a_hostile_name_is_text() -> None:
    made = result(scenario={"cell": Cell(place="a|b`<img>`[x](y)")})
    line = exports.markdown_text([made], Roll(), "en").splitlines()[2]
    assert line.startswith("| a\\|b\\`&lt;img&gt;\\`\\[x\\](y) |")


def test_an_extra_that_is_not_installed_is_named() -> None:
    with pytest.raises(BenchError) as error:
        exports.need("a_module_that_is_nowhere", "excel")
    assert "pytest-vllm-bench[excel]" in say(error.value.message)


# --------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize(("kind", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_every_chart_is_drawn_without_a_browser(tmp_path: Path, kind: str, begins: bytes) -> None:
    charts = overview(results())[:3]
    for path in pictures.draw(charts, tmp_path, kind=kind, lang="zh"):
        assert path.read_bytes().startswith(begins)
    assert len(list(tmp_path.iterdir())) == 3


def test_pictures_of_one_scenario(saved: Path, tmp_path: Path) -> None:
    made = replace(folder.read(saved)[0], metrics={})  # no figures: nothing to compare
    written = rebuild.visualize([made], tmp_path / "charts")
    assert {p.name for p in written} >= {"cdf.svg", "timeline.svg", "concurrency.svg", "speed.svg"}


def test_the_same_chart_gives_the_same_file() -> None:
    (chart, *_) = overview(results())
    assert pictures.picture(chart) == pictures.picture(chart)


# -------------------------------------------------------------------------------------------- CI systems


def test_the_step_summary_says_what_matters(golden: Any) -> None:
    golden("step_summary.en.md", github.step_summary(results()))


@pytest.mark.slow
def test_the_step_summary_stays_small_with_many_scenarios() -> None:
    one = results()[0]
    text = github.step_summary([named(one, f"{'x' * 400}-{k}") for k in range(3000)])
    assert len(text.encode()) <= github.MOST_BYTES
    assert "scenarios that are in the CSV file only" in text


def test_annotations_cannot_be_broken_out_of() -> None:
    made = named(result(verdict=Verdict.FAIL, test=TestEnd(config_file=CONFIG)), "a\n::error::b,c:d")
    (line,) = github.workflow_commands([made])
    assert "\n" not in line
    assert line.startswith("::error file=bench_cases/config.yaml,title=a%0A%3A%3Aerror%3A%3Ab%2Cc%3Ad%3A FAIL::")


def test_annotations_point_at_the_line_of_the_rule() -> None:
    rules = [
        {"rule": "failed == 0", "metric": "failed", "op": "==", "limit": 0, "verdict": "PASS", "line": 3},
        {"rule": "p99_ttft_ms <= 5", "metric": "p99_ttft_ms", "op": "<=", "limit": 5, "verdict": "FAIL", "line": 7},
    ]
    made = edited(result(verdict=Verdict.FAIL), verdicts=rules)
    (line,) = github.workflow_commands([replace(made, test=TestEnd(config_file=CONFIG))])
    assert line.startswith("::error file=bench_cases/config.yaml,line=7,")


@pytest.mark.parametrize("part", ["error", "notes"])
def test_annotations_say_what_no_rule_stands_for(part: str) -> None:
    """The server went away, or was started anew."""
    made = result(verdict=Verdict.FAIL, verdicts=(), checks=())
    said = {"key": "of.tomorrow", "text": "it was started anew"}
    keys: dict[str, Any] = {part: said if part == "error" else [said]}
    (line,) = github.workflow_commands([edited(made, **keys)])
    assert line.endswith("::it was started anew")


def test_annotations_are_errors_and_warnings() -> None:
    kinds = [line.split(" ")[0] for line in github.workflow_commands(results())]
    assert kinds == ["::error", "::error", "::warning"]


def test_a_session_under_github_and_gitlab(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary), "GITLAB_CI": "true"}
    writers = session.writers(results(), tmp_path / "results", environ, headers="both")
    names = {path.name for write in writers for path in write()}
    assert names == {
        "aggregate_results.csv",
        "aggregate_results_20261123.csv",
        "verdict.json",
        "metrics.txt",
        "report.html",
    }
    assert [len(tell()) for tell in session.tellers(results(), environ)] == [0, 3]
    assert summary.read_text().startswith("before\n## ")
    assert [*session.tellers(results(), {})] == []


def test_gitlab_reads_open_metrics(tmp_path: Path) -> None:
    lines = openmetrics.gitlab(results(), tmp_path).read_text().splitlines()
    assert 'mean_ttft_ms{scenario="io1024x256-mc16-np160"} 72' in lines
    assert lines[-1] == "# EOF"


# ----------------------------------------------------------------------------------------------- again


def test_every_form_again_from_a_folder(saved: Path, tmp_path: Path) -> None:
    forms = [name for name in rebuild.FORMATS if name not in ("svg", "png")]
    written = rebuild.report(
        [saved],
        tmp_path / "out",
        rebuild.ReportRequest(formats=forms, headers="both", against=partial(side_by_side, folder.read(saved))),
    )
    names = {p.name for p in written}
    assert names >= {"report.html", "aggregate_results.csv", "verdict.json", "results.xlsx", "results.parquet"}
    assert names >= {
        "results.jsonl",
        "results.md",
        "metrics.txt",
        "openmetrics.txt",
        "bench_io1024x256_mc16_np40.pytorch.json",
    }
    assert all(p.stat().st_size for p in written)


def test_the_newest_of_each_scenario_is_reported_and_all_make_the_trend(saved: Path) -> None:
    everything = rebuild.gather([saved])
    assert [(one.id, one.session) for one in everything] == [
        ("io1024x256-mc4-np40", "s1"),
        ("io1024x256-mc16-np40", "s1"),
        ("io1024x256-mc16-np40", "s2"),
    ]
    assert "trend-output_throughput" in page.page(folder.latest(everything), extra=page.Extra(history=everything))


def test_a_partial_folder_is_reported_with_what_is_missing_named(saved: Path, tmp_path: Path) -> None:
    (saved / "bench_io1x1_mc1_np1.json").write_text("{half of it")
    problems: list[Problem] = []
    assert rebuild.report([saved], tmp_path / "out", rebuild.ReportRequest(formats=["csv"]), problems)
    assert [Path(p.file).name for p in problems] == ["bench_io1x1_mc1_np1.json"]


def test_nothing_to_report_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BenchError) as error:
        rebuild.report([tmp_path], tmp_path)
    assert error.value.message.key == "report.no_results"


def test_aggregate_takes_a_whole_folder_of_old_results(tmp_path: Path) -> None:
    for concurrency in (8, 1):
        old = {"num_prompts": 10, "completed": 10, "request_throughput": 1.0, "mean_ttft_ms": 3.5}
        (tmp_path / f"bench_io256x256_mc{concurrency}_np10.json").write_text(json.dumps(old))
    assert main(["aggregate", str(tmp_path)]) == 0
    dated, latest = sorted(tmp_path.glob("*.csv"), reverse=True)
    assert re.fullmatch(r"aggregate_results_\d{8}\.csv", dated.name)
    assert dated.read_bytes() == latest.read_bytes()
    assert list(pd.read_csv(latest)["max_concurrency"]) == [1, 8]


# -------------------------------------------------------------------------------------------- baselines


def compared(verdict: str, **more: Any) -> dict[str, Any]:
    reason = plain(Message(key="report.no_data"))
    one = {"metric": "output_throughput", "gated": True, "verdict": verdict, "reason": reason, "reference": 1000.0}
    seen = {"observed": 900.0, "change": -0.1, "tolerance": 0.05, "relative": True}
    return {**one, **seen, "interval": [-0.2, 0.0], "detectable": 0.1, "sessions": 2, **more}


def held(verdict: str, *others: dict[str, Any], **more: Any) -> Result:
    """A result that was held against a reference; it failed where that says so."""
    free = compared("PASS", metric="p99_ttft_ms", gated=False)
    baseline = {"reference": "main", "comparisons": [free, compared(verdict), *others]}
    worst = {"verdict": "FAIL"} if verdict == "FAIL" else {}
    return edited(result(), **{"baseline": baseline, **worst, **more})


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_regression_is_told_in_the_failure(lang: str, golden: Any) -> None:
    golden(f"regression.{lang}.txt", failure.failure(held("FAIL"), lang) + "\n")


def test_the_step_summary_has_a_line_for_each_figure_that_is_worse() -> None:
    """All scenarios together come first, then what is worse, the worst first; of what passed the largest change alone,
    which stands above the table too; the reference is named whichever result was held against it."""
    whole = compared("FAIL", scenario="*", change=-0.06)
    failed = held("FAIL", compared("FAIL", metric="mean_tpot_ms", change=-0.2), whole)
    fine, alone = held("PASS", scenario_id="fine"), edited(result(), scenario_id="alone")
    told = r"### Compared with the baseline main\n\n\*\*(.*)\*\*\n\n\| Scenario \|.*\n.*\n((?:\|.*\n)*)"
    largest, rows = re.search(told, github.step_summary([fine, failed, alone])).groups()  # type: ignore[union-attr]
    assert rows.splitlines() == [
        "| all together | output_throughput | -6.0% | +10.0% | ❌ FAIL |",
        "| io1024x256-mc16-np160 | output_throughput | -10.0% | +10.0% | ❌ FAIL |",
        "| io1024x256-mc16-np160 | mean_tpot_ms | -20.0% | +10.0% | ❌ FAIL |",
    ]
    assert largest.startswith("largest change: io1024x256-mc16-np160: ")
    faster = edited(held("PASS", compared("PASS", metric="mean_tpot_ms", change=-0.5)), scenario_id="fine")
    *_, rows = re.search(told, github.step_summary([alone, faster])).groups()  # type: ignore[union-attr]
    assert [line.split(" | ")[1:3] for line in rows.splitlines()] == [
        ["output_throughput", "-10.0%"], ["mean_tpot_ms", "-50.0%"]
    ], "what is nearest to being worse, and the largest change, which is for the better"  # fmt: skip
    assert "Compared with" not in github.step_summary([alone])
    assert "### 与基线 main 对比" in github.step_summary([fine], "zh")


def test_a_comment_is_as_long_as_it_may_be_and_says_all_together_whatever_is_cut(tmp_path: Path) -> None:
    fine = held("PASS")
    many = [named(fine, f"{'x' * 200}-{k}") for k in range(400)]
    whole = compared("FAIL", scenario="*", change=-0.06)
    text = github.comment([*many, held("FAIL", whole)], tmp_path).read_text("utf-8")
    assert 50_000 < len(text) < 65_536
    assert text.startswith("## ❌ LLM serving benchmark: FAIL")
    assert "| all together | output_throughput | -6.0% |" in text
    when = HistoryPoint(scenario="s", metric="mean_tpot_ms", session="s1", date="2026-01-01T00:00:00Z", value=1.0)
    drift = Drift(scenario="x" * 2000, metric="mean_tpot_ms", before=1.0, after=2.0, change=1.0, interval=(0.5, 1.5),
                  p=1e-9, at=9, first=when, worse=True, recent=True)  # fmt: skip
    long = Roll(trend=(TrendOutcome(series={}, drifts=(drift,) * 700, notes=()),))
    text = github.comment([], tmp_path, roll=long).read_text("utf-8")
    assert len(text.encode()) <= 65_000
    assert text.endswith("\n…\n")


def test_what_became_of_a_baseline_is_a_table_below_the_table() -> None:
    """The largest change is singled out; of what is undecided there are no lines beside it."""
    text = terminal.summary([held("INCONCLUSIVE")], width=120)
    below = text.split("against the baseline main:")[1].splitlines()
    assert below[1].split() == ["Scenario", "metric", "change", "noticed", "from", "verdict"]
    assert below[2].split()[:4] == ["io1024x256-mc16-np160", "output_throughput", "-10.0%", "+10.0%"]
    assert "largest change: io1024x256-mc16-np160: no data" in text


def test_what_failed_against_a_reference_is_found_first() -> None:
    """The one that changed most is named, the others are counted; a passing one with the same notes is not."""
    most = {"observed": 500.0, "change": -0.5}
    made = [held("FAIL", scenario_id="io0"), held("FAIL", scenario_id="io1"), held("FAIL", scenario_id="io2")]
    made[1] = edited(made[1], baseline={"reference": "main", "comparisons": [compared("FAIL", **most)]})
    notes = [{"key": "of.tomorrow", "text": "another plan"}]
    refused = {"reference": "dev", "refused": True, "comparisons": [], "notes": notes}
    made.append(edited(held("PASS"), scenario_id="io3", verdict="FAIL", baseline=refused))
    found = [page.finding_text(f, "en") for f in findings([held("PASS"), *made])]
    assert [text for text in found if "against" in text] == [
        "io1 and 2 more fail against main: no data", "io3 fails against dev: another plan"]  # fmt: skip
    text = page.page([held("PASS", scenario_id="a"), held("FAIL", scenario_id="b")])
    table = text.split('id="baseline"')[1].split("</section>")[0]
    assert table.index(">b<") < table.index(">a<"), "what failed comes first"


def test_a_baseline_is_in_page_and_properties() -> None:
    assert 'id="baseline"' in page.page([held("FAIL")])
    assert failure.properties(held("PASS"))["baseline_output_throughput_change"] == -0.1


def test_a_badge_says_what_became_of_the_session(tmp_path: Path) -> None:
    """In one word that the colour repeats; where the test failed unproven it is no pass."""
    from xml.etree import ElementTree

    lean = [named(result(verdict=Verdict.INCONCLUSIVE), "a")]
    over = [replace(one, verdicts=tuple(replace(v, within=False) for v in one.verdicts)) for one in lean]
    told = {}
    for name, made in {
        "pass": [result()],
        "lean": lean,
        "over": over,
        "invalid": [result(verdict=Verdict.INVALID)],
        "tainted": [result(taints=("simulated",)), result(n=20, taints=("simulated", "resumed", "of tomorrow"))],
    }.items():
        root = ElementTree.fromstring(badge.badge(made))
        told[name] = (root.attrib["aria-label"], root.findall(".//{*}rect")[2].attrib["fill"])
    assert told == {
        "pass": ("LLM serving: PASS", "#1a7f37"),
        "lean": ("LLM serving: INCONCLUSIVE", "#9a6700"),
        "over": ("LLM serving: FAIL", "#cf222e"),
        "invalid": ("LLM serving: INVALID", "#8250df"),
        "tainted": ("LLM serving: PASS · simulated · resumed · of tomorrow", "#1a7f37"),
    }
    assert "推理服务压测: 通过" in badge.write([result()], tmp_path, lang="zh").read_text(encoding="utf-8")
