"""Several settings: which is the best within a limit, which carries the most, what the gate makes of it, everywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from results_made import result

from pytest_vllm_bench.metric_table import frontier_gate
from pytest_vllm_bench.model import (
    CapacityAnswer,
    Cell,
    FrontierGate,
    Result,
    Search,
    ServerCommand,
    Target,
    TestEnd,
    Verdict,
)
from pytest_vllm_bench.report import frontier, github, page, terminal, verdict
from pytest_vllm_bench.report.chart import spoken
from pytest_vllm_bench.report.charts.overview import overview
from pytest_vllm_bench.report.charts.settings import outermost
from pytest_vllm_bench.report.exports import markdown_text
from pytest_vllm_bench.report.verdict import Roll


def setting(name: str, speed: float, user: float, concurrency: int = 16, **more: Any) -> Result:
    """What a setting makes: ``speed`` tokens/s on each accelerator, ``user`` tokens/s for each user."""
    figures = {
        "output_throughput_per_accelerator": speed,
        "median_output_tps_per_user": user,
        "p99_tpot_ms": 1000 / user,
        **more.pop("figures", {}),
    }
    cell = Cell(target=name, place=f"io1024x256-mc{concurrency}", bound="np160")
    cell = replace(cell, **more.pop("cell", {}))
    launch = ServerCommand(command=("serve",))
    made = result(concurrency=concurrency, scenario={"cell": cell, "target": Target(name=name, launch=launch)}, **more)
    return replace(made, metrics={**made.metrics, **figures})


WIDE = [setting("mns256", 300, 60, 16), setting("mns256", 412, 40, 64), setting("mns256", 500, 20, 256)]
NARROW = [setting("mns64", 150, 80, 16), setting("mns64", 217, 50, 64), setting("mns64", 230, 25, 256)]
BOTH = [*WIDE, *NARROW]
AT_30 = frontier_gate("p99_tpot_ms <= 30", "output_throughput_per_accelerator", 400)


def said(results: list[Result], *gates: FrontierGate, lang: str = "en") -> list[str]:
    return frontier.lines(results, Roll(frontiers=gates), lang)


def without(one: Result, *keys: str) -> Result:
    return replace(one, metrics={key: value for key, value in one.metrics.items() if key not in keys})


def test_the_best_within_the_limit_is_said_in_a_sentence() -> None:
    assert said(BOTH) == ["Within the rules the best is mns256: 500 tok/s per accelerator, 2.17 × mns64."]
    assert said(BOTH, AT_30) == [
        "PASS: frontier: Output throughput per accelerator of the best within 30 ms P99 TPOT: 412, at least 400 asked "
        "for (mns256-io1024x256-mc64-np160).",
        "Within 30 ms P99 TPOT the best is mns256: 412 tok/s per accelerator, 1.9 × mns64.",
    ]
    assert "满足 P99 单 token 时延 TPOT ≤ 30 ms 的最好组合是 mns256：412 tok/s/卡，是 mns64 的 1.9 倍。" in said(
        BOTH, AT_30, lang="zh"
    )
    no_cards = [without(one, "output_throughput_per_accelerator") for one in BOTH]
    assert "tok/s per server (its accelerators are not known)" in said(no_cards)[0]
    assert said(WIDE) == []
    fast = frontier_gate("p99_tpot_ms <= 15", "output_throughput_per_accelerator", 1)
    assert said([*WIDE, setting("mns64", 100, 90)], fast)[1] == (
        "Within 15 ms P99 TPOT is mns64 alone: 100 tok/s per accelerator."
    )
    assert said(BOTH, replace(fast, at=replace(fast.at, limit="1", text="p99_tpot_ms <= 1")))[1] == (  # type: ignore[type-var]
        "Within 1 ms P99 TPOT is no setting."
    )


def test_only_what_passed_and_is_whole_counts() -> None:
    """Not what broke its rules, what was cut short, a search's answer, or a start."""
    better = setting("mns64", 900, 50)
    launch = replace(better.scenario.target.launch, caches="cold")  # type: ignore[type-var]
    start = replace(better.scenario, target=replace(better.scenario.target, launch=launch))
    for spoilt in (
        replace(better, verdict=Verdict.FAIL),
        replace(better, verdict=Verdict.INVALID),
        replace(better, complete=False),
        replace(better, capacity=CapacityAnswer(held=4, broken=5)),
        replace(better, scenario=start),
    ):
        assert "the best is mns256" in said([*BOTH, spoilt])[0]
    assert "the best is mns64: 900" in said([*BOTH, better])[0]


def test_works_are_not_mixed_up() -> None:
    """Other lengths are another kind of work: each has its sentence and its gate."""
    short = [replace(one, scenario=replace(one.scenario, input_len=64)) for one in (WIDE[0], NARROW[2])]
    lines = said([*BOTH, *short], AT_30)
    assert [line.split(":")[0] for line in lines] == ["PASS", "FAIL", "1024→256", "64→256"]
    assert (
        "FAIL: 64→256: frontier: Output throughput per accelerator of the best within 30 ms P99 TPOT: 300, at"
        in lines[1]
    )


def test_a_gate_reads_figures_as_rules_do() -> None:
    steady = setting("a", 100, 50, figures={"steady_output_throughput_per_accelerator": 450.0})
    assert frontier.figure(steady, "output_throughput_per_accelerator") == 450
    assert frontier.figure(steady, "whole_output_throughput_per_accelerator") == 100
    rated = replace(
        steady, scenario=replace(steady.scenario, request_rate=4.0), server={"startup.ready_s": 9.0, "x": 1}
    )
    rated = replace(rated, metrics={**rated.metrics, "p99_response_ttft_ms": 7.0, "p99_ttft_ms": 5.0})
    names = ("p99_ttft_ms", "p99_service_ttft_ms", "startup.ready_s", "server.x", "nonsense", "goodput_ratio")
    assert [frontier.figure(rated, name) for name in names] == [7.0, 5.0, 9.0, 1, None, 0.9]


def test_what_a_part_has_not_reached_the_rest_may() -> None:
    more = replace(AT_30, at_least=999)
    for roll, found in (
        (Roll(matrix=6), Verdict.FAIL),
        (Roll(matrix=7), Verdict.INCONCLUSIVE),
        (Roll(matrix=6, status="interrupted"), Verdict.INCONCLUSIVE),
    ):
        assert [one.verdict for one in frontier.judge(BOTH, more, roll)] == [found]
        assert [one.verdict for one in frontier.judge(BOTH, AT_30, roll)] == [Verdict.PASS]
        assert bool(frontier.failed(BOTH, replace(roll, frontiers=(AT_30, more)))) is (found is Verdict.FAIL)
    assert frontier.judge([], AT_30, Roll())[0].verdict is Verdict.FAIL


def test_the_gate_is_kept_with_the_session(tmp_path: Path) -> None:
    gates = (AT_30, frontier_gate(None, "request_throughput", 1e9))
    verdict.write(BOTH, tmp_path, Roll(matrix=6, frontiers=gates))
    kept = json.loads((tmp_path / "verdict.json").read_text())["frontier"]
    assert [one["outcomes"][0]["verdict"] for one in kept] == ["PASS", "FAIL"]
    assert kept[0]["outcomes"][0]["best"] == "mns256-io1024x256-mc64-np160"
    assert verdict.read(tmp_path).frontiers == gates


def test_everybody_shows_it() -> None:
    roll = Roll(frontiers=(AT_30,))
    sentence = "Within 30 ms P99 TPOT the best is mns256: 412 tok/s per accelerator, 1.9 × mns64."
    assert sentence in terminal.summary(BOTH, roll, width=400)
    assert sentence in markdown_text(BOTH, roll, "en")
    assert sentence in github.step_summary(BOTH, "en", roll)
    shown = page.page(BOTH, extra=page.Extra(roll=roll))
    assert sentence in shown
    assert "settings-1024x256" in shown


def test_the_chart_joins_what_nothing_beats() -> None:
    charts = {chart.id: chart for chart in overview(BOTH)}
    chart = charts["settings-1024x256"]
    assert [spoken(series.name, "en") for series in chart.series] == [
        "mns256 1024→256", "mns64 1024→256", "the best of all"
    ]  # fmt: skip
    assert list(zip(chart.series[-1].x, chart.series[-1].y, strict=True)) == [
        (80, 150), (60, 300), (40, 412), (20, 500)
    ]  # fmt: skip
    assert chart.note is None
    assert not any(one.id.startswith("settings") for one in overview(WIDE))
    points = [(2.0, 1.0, WIDE[0]), (2.0, 3.0, WIDE[1]), (1.0, 3.0, WIDE[2])]
    assert outermost(points) == points[1:2]


def searched(name: str, held: float | None, broken: float | None, over: Any = "concurrency", **more: Any) -> Result:
    one = setting(name, 100, 50, cell={"place": "io1024x256", "search": "capacity", "bound": ""})
    search = Search(over=over, at_least=None, max=64, runs=9, seconds=9)
    answer = CapacityAnswer(held=held, broken=broken, **more)
    return replace(one, scenario=replace(one.scenario, search=search), capacity=answer)


@pytest.mark.parametrize("over", ["concurrency", "request_rate"])
def test_which_setting_carries_the_most(over: Any) -> None:
    results = [searched("mns64", 32, 33, over), searched("mns256", 48, 50, over), searched("broken", None, 1, over)]
    words = {"concurrency": "The most users at once", "request_rate": "The highest rate"}[over]
    (sentence,) = said(results)
    assert sentence.startswith(f"{words} within the rules")
    assert "by mns256: 48" in sentence
    assert "1.5 × mns64 (32)." in sentence
    assert "1.5 倍" in said(results, lang="zh")[0]
    shown = terminal.summary(results, width=200).splitlines()
    names = ("mns64", "mns256", "broken")
    table = [line.split() for line in shown if line.startswith("  ") and line.split()[0] in names]
    assert table == [["mns256", "48", "50", "100"], ["mns64", "32", "33", "100"], ["broken", "—", "1", "100"]]
    assert "| mns256 | 48 | 50 | 100 |" in markdown_text(results, Roll(), "en")
    assert '<th scope="row">mns256</th><td class="n">48</td><td class="n">50</td>' in page.page(results)


def test_what_a_search_did_not_answer_is_not_ranked() -> None:
    """Not ended, or nothing broke up to its end: what is said is no more than what is known."""
    for results, words in (
        ([searched("a", 8, None, stopped="max"), searched("b", 4, 5)], "by a: at least 8, 2 × b (4)."),
        ([searched("a", 8, None), searched("b", 8, None)], "Within the rules a and b carry the same: at least 8."),
        ([searched("a", 8, 9), searched("b", None, 1)], "Within the rules a alone carries any load: 8."),
        ([searched("a", None, 1), searched("b", None, 1)], "No setting carries any load within the rules."),
        ([searched("a", 8, 9), searched("b", 4, 5), searched("c", None, None, stopped="invalid")],
         "by a: 8, 2 × b (4). Not known of: c."),
        ([searched("a", 8, 9), searched("b", 2, None, stopped="gone")],
         "Which setting carries the most is not known: these searches came to no answer: b."),
        ([searched("a", 8, 9, stopped="runs"), searched("b", 4, 5, stopped="time")], "by a: 8, 2 × b (4)."),
    ):  # fmt: skip
        (sentence,) = said(results)
        assert sentence.endswith(words)


def test_loads_at_which_a_setting_is_invalid_are_left_out_for_all() -> None:
    """The slower setting is not the best because the other's best load was spoilt."""
    slow = [setting("branch", 150, 80, 16), setting("branch", 300, 40, 64)]
    fast = [setting("main", 200, 90, 16), replace(setting("main", 400, 50, 64), verdict=Verdict.INVALID)]
    assert said([*slow, *fast]) == ["Within the rules the best is main: 200 tok/s per accelerator, 1.33 × branch."]


def test_a_gate_is_on_the_scenarios_of_its_own_config(tmp_path: Path) -> None:
    """Others that a session puts beside them are not asked to be as good; and that is kept."""
    other = replace(setting("mns64", 1, 90, 16), test=TestEnd(config_file="b.yaml"))
    other = replace(other, scenario=replace(other.scenario, input_len=64))
    own = [replace(one, test=TestEnd(config_file="a.yaml")) for one in BOTH]
    gate = replace(AT_30, config_file="a.yaml")
    assert [one.verdict for one in frontier.judge([*own, other], AT_30)] == [Verdict.PASS, Verdict.FAIL]
    assert [one.verdict for one in frontier.judge([*own, other], gate)] == [Verdict.PASS]
    assert not frontier.failed([*own, other], Roll(frontiers=(gate,)))
    verdict.write([*own, other], tmp_path, Roll(frontiers=(gate,)))
    assert verdict.read(tmp_path).frontiers == (gate,)
