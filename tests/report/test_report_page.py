from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from every import every
from results_made import result, results

from pytest_vllm_bench.metric_table import ROWS
from pytest_vllm_bench.model import BaselineOutcome, CapacityAnswer, Cell, Comparison, Message, Result, Rule, Verdict
from pytest_vllm_bench.report import chart, failure, page, shown, terminal, words
from pytest_vllm_bench.report.charts.detail import detail
from pytest_vllm_bench.report.charts.overview import overview
from pytest_vllm_bench.report.charts.trend import trend
from pytest_vllm_bench.report.findings import findings
from pytest_vllm_bench.report.page import finding_text
from pytest_vllm_bench.report.samples import read as read_samples
from pytest_vllm_bench.store import folder
from pytest_vllm_bench.store.row import from_json
from pytest_vllm_bench.text import table

HOSTILE = "</script><script>window.broken=1</script><img src=x onerror='window.broken=2'>\u2028\"'&{{7*7}}"
MOST = 6_000_000


def hostile(made: Result) -> Result:
    """With a name for everything that has one."""
    asked = made.scenario
    named = replace(
        asked,
        cell=Cell(place=HOSTILE),
        dataset=replace(asked.dataset, label=HOSTILE),
        target=replace(asked.target, name=HOSTILE),
    )
    first, *others = made.verdicts
    judged = (replace(first, rule=replace(first.rule, text=HOSTILE)), *others)
    requests = replace(made.requests, first_error=HOSTILE)
    return replace(made, scenario=named, model=HOSTILE, requests=requests, verdicts=judged)


def matrix(**more: Any) -> list[Result]:
    cells = [(256, c) for c in (1, 4, 16, 64)] + [(1024, c) for c in (1, 4, 16, 64)]
    return [result(input_len=i, concurrency=c, n=10 * c, **more) for i, c in cells]


def with_figures(made: Result, **figures: float) -> Result:
    return replace(made, metrics={**made.metrics, **figures})


# ---------------------------------------------------------------------------------------------- charts


def test_every_row_of_lengths_is_a_line_of_rising_load() -> None:
    by_id = {c.id: c for c in overview(list(reversed(matrix())))}
    lines = by_id["output_throughput-concurrency"].series
    assert [(s.name, list(s.x)) for s in lines] == [("256→256", [1, 4, 16, 64]), ("1024→256", [1, 4, 16, 64])]
    assert list(by_id["heat-output_throughput"].series[0].y) == ["256→256", "1024→256"]


def test_a_limit_is_drawn_where_its_rule_reads() -> None:
    """The rules of these results read the steady window: the whole run's chart must not suggest a breach."""
    made = [with_figures(one, steady_p99_ttft_ms=10.0, steady_median_ttft_ms=5.0) for one in matrix()]
    by_id = {c.id: c for c in overview(made)}
    assert [limit.label for limit in by_id["steady_ttft-concurrency"].limits] == ["p99_ttft_ms <= 500"]
    assert by_id["ttft-concurrency"].limits == ()


def on(made: Result, metric: str, verdict: Verdict = Verdict.FAIL, **more: Any) -> Result:
    """With a rule on this figure as its first."""
    rule = Rule(text=f"{metric} <= 90", metric=metric, op="<=", limit=Decimal(90))
    first, *others = made.verdicts
    return replace(made, verdicts=(replace(first, rule=rule, verdict=verdict, window="whole"), *others), **more)


def test_what_a_rule_is_on_has_its_line_and_its_column() -> None:
    """A p90 rule is seen where p90 is, and marked there, whichever window it names; what else is broken comes first."""
    made = [on(one, "whole_p90_ttft_ms") for one in matrix()]
    drawn = {c.id: c for c in overview(made)}["ttft-concurrency"]
    assert [chart.spoken(s.name, "zh") for s in drawn.series[:2]] == ["256→256 p50", "256→256 p90"]
    assert [limit.label for limit in drawn.limits] == ["whole_p90_ttft_ms <= 90"]
    assert page.columns(made)[2:5] == ["mean_ttft_ms", "p90_ttft_ms", "p99_ttft_ms"]
    assert shown.broken(made[0], "p90_ttft_ms")
    assert page.columns([on(one, "failed") for one in matrix()])[:2] == ["output_throughput", "failed"]
    by_mean = {c.id: c for c in overview([on(one, "mean_tpot_ms") for one in matrix()])}["tpot-concurrency"]
    assert [chart.spoken(s.name, "zh") for s in by_mean.series[:2]] == ["256→256 平均", "256→256 p99"]


def test_figures_of_what_is_invalid_stand_for_nothing_where_others_can() -> None:
    good, bad = on(result(), "p90_ttft_ms", Verdict.PASS), on(result(256, verdict=Verdict.INVALID), "p90_ttft_ms")
    (text, worst, where, _), *_ = [line for line in shown.rules([good, bad]) if "p90" in line[0]]
    assert (text, worst.verdict, where.id) == ("p90_ttft_ms <= 90", Verdict.PASS, good.id)
    assert [one.scenario for one in findings([good, bad])][:1] == [bad.id]
    assert not any("Worst breach" in finding_text(one, "en") for one in findings([good, bad]))
    assert 'class="j-INVALID"' in page.page([bad])


def test_the_headline_says_whether_what_is_unproven_is_within() -> None:
    shown_as = [
        page.page([replace(one, verdicts=tuple(replace(v, within=within) for v in one.verdicts))])
        for one in [result(verdict=Verdict.INCONCLUSIVE)]
        for within in (True, False)
    ]
    assert ["尚未证实" in text for text in shown_as] == [True, False]


def test_a_line_of_before_is_of_its_own_figures() -> None:
    """What all scenarios together changed stands at the last of them, and is no figure of that one."""
    own = Comparison(
        metric="output_throughput",
        gated=True,
        verdict=Verdict.PASS,
        reason=Message(key="report.no_data"),
        reference=90.0,
        observed=80.0,
        change=-0.1,
        interval=(-0.2, 0.0),
        tolerance=0.05,
        detectable=0.3,
        sessions=1,
    )
    every = replace(own, scenario="*", reference=1.0, observed=0.5)
    made = [replace(one, baseline=BaselineOutcome(reference="main", comparisons=(every, own))) for one in matrix()]
    ghosts = [s for s in {c.id: c for c in overview(made)}["output_throughput-concurrency"].series if s.faint]
    assert [(chart.spoken(s.name, "en"), set(s.y)) for s in ghosts] == [
        ("main: 256→256", {90.0}),
        ("main: 1024→256", {90.0}),
    ]


@every(
    ("seconds", "said"),
    [(2.92, "2.92 s"), (0.0, "0 s"), (90.0, "90 s"), (200.0, "3.33 min"), (9000.0, "2.50 h")],
)
def test_how_long_it_took(seconds: float, said: str) -> None:
    assert words.lasting(seconds) == said


def test_figures_that_stand_alone_have_units() -> None:
    told = [words.figure("p99_ttft_ms", 28.61), words.figure("goodput_ratio", 0.976), words.figure("failed", 3)]
    assert told == ["28.6 ms", "97.6%", "3"]
    assert [words.checked(*one) for one in (("send_lag", 0.000144), ("cpu", 0.9), ("flags", 2.0))] == [
        "0.144 ms",
        "90%",
        "2",
    ]


def test_requests_at_a_rate_are_drawn_against_the_rate() -> None:
    made = [result(scenario={"cell": Cell(place=f"rr{r}"), "request_rate": r}) for r in (4.0, 2.0)]
    by_id = {c.id: c for c in overview(made)}
    assert list(by_id["output_throughput-rate"].series[0].x) == [2.0, 4.0]
    assert "output_throughput-concurrency" not in by_id


def test_errors_are_counted_by_kind() -> None:
    (drawn,) = [c for c in overview([result(failed=3)]) if c.id == "errors"]
    assert [(chart.spoken(s.name, "zh"), list(s.y)) for s in drawn.series] == [("超时", [3])]


def test_a_scenario_drawn_from_its_records(tmp_path: Path) -> None:
    made = result(concurrency=4, n=40, tokens=20)
    made.records[7].error = "reset"
    _, path = folder.write(made, tmp_path)
    columns = read_samples(path, 40, 760)
    assert columns is not None
    assert (columns.n, columns.every) == (40, 1)
    by_id = {c.id: c for c in detail(made, columns, 50)}
    assert max(by_id["concurrency"].series[0].y) == 4
    assert {chart.spoken(s.name, "en") for s in by_id["timeline"].series} >= {
        "until the first token",
        "decode",
        "failed",
    }
    for series in by_id["cdf"].series:
        assert list(series.x) == sorted(series.x)
    assert all(len(s.x) <= 51 for c in by_id.values() for s in c.series)


def test_many_requests_are_drawn_as_few_and_that_is_said(tmp_path: Path) -> None:
    made = result(concurrency=4, n=400, tokens=10)
    _, path = folder.write(made, tmp_path)
    columns = read_samples(path, 400, 10_000_000)
    assert columns is not None
    assert columns.every == 5
    by_id = {c.id: c for c in detail(made, columns, 30)}
    assert chart.spoken(by_id["timeline"].note or "", "en") == "30 of 400 requests are drawn."
    assert chart.spoken(by_id["speed"].note or "", "zh") == "每 5 个请求取 1 个绘制。"
    whole = read_samples(path, 400, 4000)
    assert whole is not None
    totals = [float(c.arrival_tokens.sum()) * c.every for c in (columns, whole)]
    assert totals == [4000, 4000]


def test_a_trend_needs_two_occasions() -> None:
    first, second = (result(session=s, date=f"2026-11-2{s}T00:00:00+00:00") for s in "12")
    assert trend([first]) == []
    (drawn, *_) = trend([second, first])
    assert list(drawn.series[0].x) == ["2026-11-21 00:00:00", "2026-11-22 00:00:00"]


@every(
    ("value", "short"),
    [(1234567, 1234567), (1234567.8, 1235000), (0.123456, 0.1235), (float("nan"), None), ("a", "a"), (0, 0)],
)
def test_a_drawing_needs_few_digits(value: Any, short: Any) -> None:
    assert chart.digits(value) == short


# -------------------------------------------------------------------------------------------- findings


def test_findings_say_the_most_urgent_of_each_kind_first() -> None:
    made = matrix()
    made[3] = result(input_len=256, concurrency=64, n=640, verdict=Verdict.FAIL, failed=5)
    made[7] = result(concurrency=64, n=640, verdict=Verdict.INVALID)
    texts = [finding_text(found, "en") for found in findings(made)]
    assert texts[0].startswith("io1024x256-mc64-np640 is invalid:")
    assert texts[1] == "Worst breach: io256x256-mc64-np640 missed “p99_ttft_ms <= 500” by 5 % (observed 523.4 ms)."
    assert texts[2].startswith("Best output throughput within the rules: 959.2 tok/s")
    assert any("timeout" in text for text in texts)


def test_the_knee_is_where_load_stops_paying() -> None:
    speeds = (100.0, 390.0, 1400.0, 1500.0)
    made = [with_figures(one, output_throughput=speed) for one, speed in zip(matrix()[:4], speeds, strict=True)]
    (knee,) = [finding_text(f, "en") for f in findings(made) if f.kind == "info"]
    assert knee.startswith("Knee for 256→256: beyond a load of 16, going to 64 changes throughput by only +7 %")


def test_a_great_step_that_pays_is_no_knee() -> None:
    """From 1 to 16 at once throughput grew 4.6 times: short of perfect, and well worth it."""
    one, _, sixteen, *_ = matrix()
    made = [with_figures(one, output_throughput=250.0), with_figures(sixteen, output_throughput=1160.0)]
    assert [f for f in findings(made) if f.kind == "info"] == []


def test_what_a_search_found_is_said_everywhere() -> None:
    note = Message(key="judge.capacity_stopped.time")
    made = result(notes=(note,), capacity=CapacityAnswer(held=16.0, broken=None))
    text = "the search ended before it was done"
    assert text in finding_text(findings([made])[0], "en")
    assert "： " not in finding_text(findings([made])[0], "zh"), "a full-width sign has its space in it"
    assert f"io1024x256-mc16-np160: {text}" in terminal.summary([made], width=200)
    assert text in failure.failure(made, width=200)
    assert 'id="notes"' in page.page([made])


def test_models_that_share_a_server_have_a_table() -> None:
    text = page.page([result(by_model={"lora-a": {"completed": 80, "p99_ttft_ms": 71.5}, "lora-b": {}})])
    assert 'id="models"' in text
    assert "<td>lora-a</td>" in text


def test_nothing_to_find_in_nothing() -> None:
    assert findings([]) == []


# ------------------------------------------------------------------------------------------------ page


def scripts(text: str) -> list[str]:
    seen = Visible()
    seen.feed(text)
    return seen.scripts


class Visible(HTMLParser):
    """Scripts' contents and the tags seen, as a browser would take the page apart."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data


def test_the_page_is_one_file_that_asks_nobody() -> None:
    text = page.page(results())
    seen = Visible()
    seen.feed(text)
    assert not [a for _, a in seen.tags if a.get("src") or str(a.get("href", "#"))[:1] != "#"]
    assert len(seen.scripts) == 3
    assert json.loads(seen.scripts[0])["names"] == [
        "io1024x256-mc64-np640",
        "io1024x256-mc16-np160",
        "io1024x256-mc4-np40",
        "io1024x256-mc1-np10",
    ], "the worst first"
    assert len(text.encode()) <= MOST


def test_hostile_names_stay_text() -> None:
    seen = Visible()
    seen.feed(page.page([hostile(result(verdict=Verdict.FAIL, failed=1))]))
    assert len(seen.scripts) == 3
    assert not [tag for tag, _ in seen.tags if tag == "img"]
    assert json.loads(seen.scripts[0])["names"] == [HOSTILE]


def test_a_page_of_old_results_lacks_much_and_opens() -> None:
    old = {"scenario_id": "io1x1-mc1-np1", "completed": 1, "complete": True, "verdict": None, "date": "20250101-000000"}
    assert "io1x1-mc1-np1" in page.page([from_json(old)])


def test_a_page_of_nothing() -> None:
    assert "<table" in page.page([])


@pytest.mark.slow
def test_a_thousand_scenarios_fit(thousand: Path) -> None:
    assert thousand.stat().st_size <= MOST
    data = json.loads(scripts(thousand.read_text("utf-8"))[0])
    assert len(data["names"]) == 1000
    assert 100 < len(data["details"]) < 1000  # the others have no room, and the page says so


def test_damaged_records_cost_their_charts_only(tmp_path: Path) -> None:
    one = result(n=20)
    _, path = folder.write(one, tmp_path)
    whole = path.read_bytes()
    no_lines = gzip.compress(b"{]\n")
    for damaged in (whole[:100], b"no gzip", whole[:60] + bytes(40) + whole[100:], no_lines):
        path.write_bytes(damaged)
        assert "io1024x256-mc16-np20" in page.write([one], tmp_path).read_text("utf-8")


@every("key", [key for key in table() if key.startswith(("page.", "report.", "definitions."))])
def test_every_text_speaks_its_language(key: str) -> None:
    en, zh = table()[key]
    assert not re.search(r"[\u3000-\u9fff\uff00-\uffef]", en)
    names = re.sub(r"\{\w+[^}]*\}|`[^`]*`", "", zh)
    words_left = re.findall(r"[A-Za-z]{3,}", names)
    assert re.search(r"[\u4e00-\u9fff]", zh) or len(words_left) <= 3, zh


@every("id", [id for id in ROWS if not id.startswith("failed_")])
def test_every_metric_has_a_name_a_meaning_and_a_formula(id: str) -> None:
    assert words.label(id, "zh") != id
    assert f"definitions.meaning.{id}" in table()
    assert f"definitions.formula.{id}" in table()


def test_every_text_that_the_script_asks_for_is_there() -> None:
    """Some keys are put together: ``words("log_" + axis)``."""
    script = (Path(page.__file__).parent / "page.js").read_text(encoding="utf-8")
    asked = re.findall(r'words\("(\w+)"(\s*\+)?', script)
    there = {key.removeprefix("page.js.") for key in table() if key.startswith("page.js.")}
    assert len(asked) > 5
    assert [key for key, more in asked if not any(k.startswith(key) if more else k == key for k in there)] == []
    assert {"log_x", "log_y"} <= there


def test_repeats_that_are_one_row_have_the_charts_of_the_last(tmp_path: Path) -> None:
    """Also in the session that measured them, whose results were not read from files."""
    runs = [result(n=20, scenario={"cell": Cell(place="io8x8", bound="np20", repeat=number)}) for number in (1, 2)]
    runs[1] = replace(runs[1], per_repeat=tuple(one.metrics for one in runs), pooled=runs[1].metrics)
    for one in runs:
        folder.write(one, tmp_path)
    seen = Visible()
    seen.feed(page.write([replace(one, records=()) for one in runs], tmp_path).read_text(encoding="utf-8"))
    data = json.loads(seen.scripts[0])
    assert data["names"] == ["io8x8-np20"]
    assert {chart["id"] for chart in data["details"]["0"]} >= {"cdf", "timeline"}
