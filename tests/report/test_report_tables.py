from __future__ import annotations

import csv as read_csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from every import every
from results_made import RULE, edited, named, record, result, results
from rich.cells import cell_len

from pytest_vllm_bench.model import Cell, Message, Rule, RuleVerdict, Verdict
from pytest_vllm_bench.report import csv, failure, github, progress, terminal, verdict, words
from pytest_vllm_bench.report.verdict import Roll
from pytest_vllm_bench.store import folder
from pytest_vllm_bench.store.row import from_json
from pytest_vllm_bench.text.report import TEXTS

Golden = Callable[[str, str], None]


@pytest.mark.parametrize("lang", ["en", "zh", "both"])
def test_csv_as_people_open_it(tmp_path: Path, golden: Golden, lang: str) -> None:
    dated, plain = csv.write(results(), tmp_path, lang=lang)
    assert (dated.name, plain.name) == ("aggregate_results_20261123.csv", "aggregate_results.csv")
    assert dated.read_bytes() == plain.read_bytes()
    assert plain.read_bytes().startswith(b"\xef\xbb\xbf") is (lang != "en")
    golden(f"aggregate.{lang}.csv", plain.read_text("utf-8-sig"))


def test_csv_is_sorted_and_marks_thin_percentiles() -> None:
    table = csv.frame(results())
    assert list(table["max_concurrency"]) == [1, 4, 16, 64]
    assert not table["p99_ttft_ms"].isna().any(), "scripts look for it"
    assert ["p99_ttft_ms" in names.split() for names in table["few_samples"]] == [True, True, False, False]
    assert not table["mean_ttft_ms"].isna().any()


def test_csv_of_old_results_has_every_column(tmp_path: Path) -> None:
    old = {"scenario_id": "io1x1-mc1-np1", "completed": 1, "input_len": 1}
    plain = csv.write([from_json(old)], tmp_path)[-1]
    assert plain.name == "aggregate_results.csv"
    columns = plain.read_text().splitlines()[0].split(",")
    assert columns == [*csv.COLUMNS, "repeat", "simulated", "complete"]  # what it does not say is not made up


def test_csv_of_no_rows_is_a_header(tmp_path: Path) -> None:
    assert len(csv.write([], tmp_path)[-1].read_text().splitlines()) == 1


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("width", [80, 120, 200])
def test_summary(golden: Golden, lang: str, width: int) -> None:
    text = terminal.summary(results(), width=width, lang=lang)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "\x1b" not in text
    golden(f"summary.{lang}.{width}.txt", text + "\n")


def test_summary_never_overflows_however_narrow() -> None:
    for width in range(40, 160, 7):
        text = terminal.summary(results(), width=width, lang="zh")
        assert max(cell_len(line) for line in text.splitlines()) <= width


def test_summary_is_coloured_by_verdict() -> None:
    text = terminal.summary(results(), width=100, colour=True)
    assert "\x1b[1;31mFAIL" in text
    assert "\x1b[32mPASS" in text


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colours_are_off_in_a_pipe(environment: dict[str, str], coloured: bool) -> None:
    assert terminal.colours(io.StringIO(), environment) is coloured


def test_summary_of_a_hostile_name_is_text() -> None:
    assert "[red]io1[/red]" in terminal.summary([named(result(), "[red]io1[/red]")], width=120)


def test_what_was_written_is_said_relative(tmp_path: Path) -> None:
    paths = [tmp_path / "results" / name for name in ("bench_a.json", "bench_b.json", "verdict.json")]
    assert terminal.written(paths, base=tmp_path) == ["wrote 2 result files in results/", "wrote results/verdict.json"]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_failure_text(golden: Golden, lang: str) -> None:
    texts = [failure.failure(one, lang) for one in results()]
    golden(f"failure.{lang}.txt", "\n\n".join(texts) + "\n")
    for text in texts:
        assert max(cell_len(line) for line in text.splitlines()) <= 80


def test_reasons_of_earlier_versions_are_said_in_chinese_too() -> None:
    old = folder.read(Path(__file__).parent / "results_of_0_1")
    said = [words.said(judged.reason, "zh") for one in old for judged in one.verdicts]
    said += [words.said(check.message, "zh") for one in old for check in one.checks]
    assert len(said) > 20
    assert [one for one in said if one.isascii()] == []


def test_a_reason_is_said_once() -> None:
    """A run that was stopped early has it as its rule's reason, which names the rule, and as a note."""
    why = Message(key="judge.hopeless", values={"rule": "goodput_ratio >= 0.9", "n": 8, "misses": 7})
    rule = Rule(text="goodput_ratio >= 0.9", metric="goodput_ratio", op=">=", limit=Decimal("0.9"))
    judged = RuleVerdict(rule=rule, verdict=Verdict.FAIL, reason=why, observed=None)
    made = result(verdict=Verdict.FAIL, notes=(why,), verdicts=(judged,))
    text = failure.failure(made)
    assert text.count("goodput_ratio >= 0.9") == 1
    narrow = failure.failure(made, width=60)
    assert max(cell_len(line) for line in narrow.splitlines()) <= 60


def judged(observed: Any, limit: str = "2", *, within: bool | None = None, misses: int | None = None) -> RuleVerdict:
    rule = replace(RULE, limit=Decimal(limit))
    said = Message(key="report.no_data")
    return RuleVerdict(rule=rule, verdict=Verdict.FAIL, reason=said, observed=observed, within=within, misses=misses)


@every(
    ("rule", "shown"),
    [
        (judged(523.4, "500", within=False), "+23.4 (+4.7%)"),
        (judged(0.9, "0.99", within=False), "-0.09 (-9.1%)"),
        (judged(3, "0", within=False), "+3"),
        (judged(1, within=True), ""),
        (judged(None), ""),
        (judged("inf"), ""),
    ],
)
def test_by_how_much(rule: RuleVerdict, shown: str) -> None:
    assert failure.by_how_much(rule) == shown


def test_an_order_statistic_that_is_a_failure() -> None:
    assert failure.observed(judged("inf", misses=12), "en") == "inf (12 failed)"
    assert failure.observed(judged(None), "zh") == "无数据"


def test_properties_are_numbers() -> None:
    found = failure.properties(result(verdict=Verdict.FAIL, failed=2))
    assert found["verdict"] == "FAIL"
    assert isinstance(found["p99_ttft_ms"], float)
    assert found["failed"] == 2
    assert "schema_version" not in found


def test_verdict_file(tmp_path: Path) -> None:
    read = json.loads(verdict.write(results(), tmp_path).read_text())
    assert read["verdict"] == "INVALID"
    assert read["counts"] == {"INVALID": 1, "PASS": 1, "FAIL": 1, "INCONCLUSIVE": 1}
    assert read["complete"] is False
    failed = next(s for s in read["scenarios"] if s["verdict"] == "FAIL")
    assert failed["rules"][0]["observed"] == 523.4
    assert failed["file"] == "bench_io1024x256_mc16_np160.json"
    assert "baseline" not in failed


@every(
    ("verdicts", "refused", "why"),
    [
        (["FAIL"], False, ["worse"]),
        (["PASS"], False, []),
        (["PASS"], True, ["another machine"]),  # one gate has no data
        (["FAIL"], True, ["worse", "another machine"]),
        ([], True, ["another machine"]),
        ([], None, ["another machine"]),  # a result of before this was written down
        ([], False, []),  # a new scenario
    ],
)
def test_a_baseline_says_why_it_failed(verdicts: list[str], refused: bool | None, why: list[str]) -> None:
    """Also where nothing was compared: an error without a reason helps nobody."""
    notes = [{"key": "of.tomorrow", "text": "another machine"}]
    one = {"metric": "mean_tpot_ms", "gated": True, "reason": {"key": "of.tomorrow", "text": "worse"}, "reference": 1.0}
    one |= {"observed": 2.0, "change": 1.0, "interval": [0.5, 1.5], "tolerance": 0.1, "detectable": 0.1, "sessions": 2}
    baseline = {"reference": "main", "comparisons": [one | {"verdict": v} for v in verdicts], "notes": notes}
    said = {} if refused is None else {"refused": refused}
    made = edited(result(verdict=Verdict.FAIL, verdicts=(), checks=()), baseline=baseline | said)
    (scenario,) = verdict.summary([made])["scenarios"]
    assert (scenario["baseline"]["reference"], scenario["baseline"]["failed"]) == ("main", why)
    (annotation,) = github.workflow_commands([made])
    assert annotation.endswith("::" + ("%0A".join(why) or "FAIL"))


def test_chinese_lines_neither_begin_nor_end_with_the_wrong_sign() -> None:
    text = "请重新保存基线，或设为（warn），并说明"
    for width in range(12, 40):
        for line in words.fold(text, width, indent=""):
            assert not line.startswith(tuple("，。）"))
            assert not line.endswith("（")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_progress(lang: str, golden: Golden) -> None:
    state = progress.ProgressState(scenario_id="io1024x256-mc16-np160", total=160)
    lines = [progress.line(state, lang)]
    for k in range(80):
        state = progress.advance(state, record(k, 20, error="http" if k == 7 else None), 0.1 * k)
    lines += [progress.line(state, lang, width=width) for width in (40, 60, 80, 120)]
    for line, width in zip(lines, (80, 40, 60, 80, 120), strict=True):
        assert cell_len(line) < width
    golden(f"progress.{lang}.txt", "\n".join([*lines, progress.log_line(state, lang)]) + "\n")


def test_progress_of_what_we_stopped_is_not_counted() -> None:
    state = progress.ProgressState(scenario_id="x", total=2)
    assert progress.advance(state, record(0, 1, error="cancelled"), 1.0).done == 0


def test_progress_by_time() -> None:
    state = progress.ProgressState(scenario_id="x", seconds=60, elapsed=15)
    assert progress.share(state) == 0.25
    assert progress.time_left(state) == 45
    assert progress.time_left(progress.ProgressState(scenario_id="x", total=9)) is None


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (59.4, "59s"), (185, "3m05s"), (3720, "1h02m")])
def test_clock(seconds: float, text: str) -> None:
    assert progress.clock(seconds) == text


@every(
    ("value", "text"),
    [
        (None, "—"),
        (12345.6, "12,346"),
        (523.44, "523.4"),
        (52.34, "52.3"),
        (5.234, "5.23"),
        (0.0523, "0.0523"),
        (7.0, "7"),
        ("inf", "inf"),
    ],
)
def test_numbers_for_people(value: object, text: str) -> None:
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("key", "en", "zh"),
    [
        ("p99_ttft_ms", "P99 TTFT (ms)", "P99 首 token 时延 TTFT (ms)"),
        ("steady_mean_itl_ms", "Mean ITL (steady) (ms)", "平均 token 间隔 ITL（稳态） (ms)"),
        ("output_throughput", "Output throughput (tok/s)", "输出吞吐 (tok/s)"),
        ("unheard_of", "unheard_of", "unheard_of"),
    ],
)
def test_labels(key: str, en: str, zh: str) -> None:
    assert (words.with_unit(key, "en"), words.with_unit(key, "zh")) == (en, zh)


def test_every_text_has_both_languages_and_the_same_fields() -> None:
    import string

    for key, (en, zh) in TEXTS.items():
        fields = [{f for _, f, _, _ in string.Formatter().parse(text) if f} for text in (en, zh)]
        assert fields[0] == fields[1], key
        assert key.startswith("report."), key


def test_summary_says_why_the_first_few_are_undecided() -> None:
    one = result(verdict=Verdict.INCONCLUSIVE)
    text = terminal.summary([named(one, f"io{i}") for i in range(5)], width=120)
    assert [f"io{i}: p99_ttft_ms: " in text for i in range(5)] == [True, True, True, False, False]
    assert "2 more INCONCLUSIVE" in text


def test_a_matrix_that_was_repeated_does_not_fill_the_screen() -> None:
    """How far repeats differed is said of the first few scenarios; Markdown, which can be scrolled, has it of all."""
    note = Message(key="judge.between_runs", values={"runs": 5, "figures": "mean_ttft_ms 3.0%"})
    made = [named(result(notes=(note,)), f"io{i}") for i in range(6)]
    text = terminal.summary(made, width=120)
    assert [f"io{i}: from run to run (5 runs)" in text for i in range(6)] == [True] * 3 + [False] * 3
    assert "More lines like this in report.html: 3." in text
    assert "More lines" not in terminal.summary(made[:3], width=120)
    assert "▁" not in text, "six times one load do not rise"
    assert all(f"io{i}: from run to run" in "\n".join(terminal.notes(made, Roll(), "en")) for i in range(6))


def test_a_chinese_note_fills_its_lines() -> None:
    """Its words have no spaces between them: a line ends where it is full, not where the next space is."""
    values = {"runs": 5, "figures": "mean_ttft_ms 3.0%, mean_tpot_ms 1.0%, mean_e2el_ms 2.0%"}
    made = [result(notes=(Message(key="judge.between_runs", values=values),))]
    (text,) = terminal.notes(made, Roll(), "zh")[-1:]
    shown = terminal.summary(made, width=45, lang="zh").splitlines()
    first = next(line for line in shown if text.startswith(line) and "次运行之间" in line)
    assert 45 - 2 <= cell_len(first) <= 45


def test_repeats_are_one_row_and_single_ones_on_demand(tmp_path: Path) -> None:
    """With the figures of all, how many they are and how far they lie apart; the worst scenario comes first."""
    runs = []
    for number, speed in ((1, 100.0), (2, 110.0), (3, 120.0)):
        one = result(scenario={"cell": Cell(place="io8x8", bound="np9", repeat=number)})
        runs.append(replace(one, metrics={**one.metrics, "output_throughput": speed}))
    last = runs[-1]
    whole = {**last.metrics, "output_throughput": 110.0}
    runs[-1] = replace(last, per_repeat=tuple(run.metrics for run in runs), pooled=whole)
    bad = named(result(verdict=Verdict.FAIL), "io9x9-np9")
    text = csv.write([*runs, bad], tmp_path)[0].read_text(encoding="utf-8")
    row, other = read_csv.DictReader(text.splitlines())
    assert [row[key] for key in ("scenario_id", "repeats", "repeat")] == ["io8x8-np9", "3", ""]
    assert float(row["output_throughput"]) == 110
    assert float(row["spread_output_throughput"]) == pytest.approx(20 / 110, rel=1e-4)
    assert (other["repeats"], other["spread_output_throughput"]) == ("", "")
    apart = csv.write([*runs, bad], tmp_path, repeats=True)[0].read_text(encoding="utf-8")
    assert [line["repeat"] for line in read_csv.DictReader(apart.splitlines())][:3] == ["1", "2", "3"]
    table = terminal.summary([*runs, bad], width=160)
    assert [line.split()[0] for line in table.splitlines() if line.startswith("io")] == ["io9x9-np9", "io8x8-np9"]
    assert "io8x8-np9 ×3" in table
