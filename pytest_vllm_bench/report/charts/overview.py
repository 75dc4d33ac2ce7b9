"""JSON dicts of many scenarios → Charts that compare them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pytest_vllm_bench.model import Result
from pytest_vllm_bench.report import baseline, shown
from pytest_vllm_bench.report.chart import Axis, Chart, ChartSeries, Label, Limit, message, quantity
from pytest_vllm_bench.report.charts.settings import frontiers
from pytest_vllm_bench.report.load import LOADS, by_shape, either
from pytest_vllm_bench.store.folder import order

THROUGHPUTS = ("output_throughput", "request_throughput", "total_token_throughput", "request_goodput")
#: Prefixes of the figures: the whole run, and the steady window that rules read where there is one.
WINDOWS = ("", "steady_")
LATENCIES = ("ttft", "tpot", "itl", "e2el")
_RULED = re.compile(r"(mean|median|p\d+)_(ttft|tpot|itl|e2el)_ms")


def overview(results: Sequence[Result]) -> list[Chart]:
    """Every comparing chart that these results have figures for."""
    made = [
        *frontiers(results),
        *(throughput(results, key, load) for load in LOADS for key in THROUGHPUTS),
        *(latency(results, name, load, window) for load in LOADS for window in WINDOWS for name in LATENCIES),
        *(
            frontier(results, key, window)
            for window in WINDOWS
            for key in ("p99_ttft_ms", "mean_tpot_ms", "p99_e2el_ms")
        ),
        *(heat(results, key) for key in ("output_throughput", "p99_ttft_ms", "mean_tpot_ms", "p99_e2el_ms")),
        errors(results),
    ]
    return [chart for chart in made if not chart.empty]


def _load_axis(load: str) -> Axis:
    return Axis(label=message(f"page.axis.{load}"), log=load == "concurrency")


def _line(name: Label, line: Sequence[Result], x: Sequence[Any], key: str, **how: Any) -> ChartSeries:
    there = ((a, one, one.metrics.get(key)) for a, one in zip(x, line, strict=True))
    kept = [(a, one, y) for a, one, y in there if a is not None and y is not None]
    return ChartSeries(
        name=name,
        x=[a for a, _, _ in kept],
        y=[y for _, _, y in kept],
        scenarios=[one.id for _, one, _ in kept],
        marks=[str(one.verdict or "") for _, one, _ in kept],
        **how,
    )


def _ghosts(results: Sequence[Result], keys: Sequence[str], load: str) -> list[ChartSeries]:
    """What the reference had, a faint line for each figure and line of rising load that was held against one."""
    found = []
    for k, (name, line) in enumerate(by_shape(results, LOADS[load]).items()):
        for key in keys:
            held = [(one, c) for one in line if (c := baseline.of_figure(one, key))]
            if held:
                of = message("page.line", shape=name, statistic=_said(key)) if len(keys) > 1 else name
                said = message("page.reference", name=baseline.reference(held[0][0]), shape=of)
                x, y = [LOADS[load](one) for one, _ in held], [c.reference for _, c in held]
                at = [one.id for one, _ in held]
                dashed = key != keys[0]
                found.append(ChartSeries(name=said, x=x, y=y, colour=k, dashed=dashed, faint=True, scenarios=at))
    return found


def _said(key: str) -> Label:
    """A latency's statistic, as a line of a chart is called by it."""
    statistic = key.split("_")[0]
    return message("report.stat.mean") if statistic == "mean" else statistic.replace("median", "p50")


def throughput(results: Sequence[Result], key: str, load: str) -> Chart:
    series = [
        _line(name, line, [LOADS[load](one) for one in line], key, colour=k)
        for k, (name, line) in enumerate(by_shape(results, LOADS[load]).items())
    ]
    series += _ghosts(results, (key,), load)
    return Chart(
        id=f"{key}-{load}",
        title=message("page.chart.against", figure=quantity(key, unit=False), load=message(f"page.axis.{load}")),
        x=_load_axis(load),
        y=Axis(label=quantity(key)),
        series=tuple(s for s in series if len(s.x)),
        limits=tuple(_limits(results, (key,), "y", "")),
        group="throughput",
    )


def latency(results: Sequence[Result], name: str, load: str, window: str = "") -> Chart:
    series = []
    statistics = _statistics(results, name)
    for k, (label, line) in enumerate(by_shape(results, LOADS[load]).items()):
        x = [LOADS[load](one) for one in line]
        for stat in statistics:
            of = message("page.line", shape=label, statistic=_said(stat))
            series.append(_line(of, line, x, f"{window}{stat}_{name}_ms", colour=k, dashed=stat != statistics[0]))
    keys = tuple(f"{stat}_{name}_ms" for stat in statistics)
    series += _ghosts(results, keys, load)
    return Chart(
        id=f"{window}{name}-{load}",
        title=message("page.chart.against", figure=quantity(f"{window}{name}"), load=message(f"page.axis.{load}")),
        x=_load_axis(load),
        y=Axis(label=quantity(f"{name}_ms"), log=True),
        series=tuple(s for s in series if len(s.x)),
        limits=tuple(_limits(results, keys, "y", window)),
        group="latency",
    )


def _statistics(results: Sequence[Result], name: str) -> list[str]:
    """A middle and the percentiles above it: those that rules are on, so that each limit stands beside its line."""
    on = (_RULED.fullmatch(shown.figure_of(judged)) for one in results for judged in one.verdicts)
    ruled = {match[1].replace("p50", "median") for match in on if match and match[2] == name}
    middle = "mean" if "mean" in ruled and "median" not in ruled else "median"
    return [middle, *(sorted(ruled - {"mean", "median"}, key=lambda p: float(p[1:])) or ["p99"])]


def frontier(results: Sequence[Result], key: str, window: str = "") -> Chart:
    """Throughput over latency: further up and left is better; the shaded side keeps to the limit."""
    series = []
    for k, (name, line) in enumerate(by_shape(results, either).items()):
        series.append(
            _line(name, line, [one.metrics.get(window + key) for one in line], f"{window}output_throughput", colour=k)
        )
    return Chart(
        id=f"frontier-{window}{key}",
        title=message("page.chart.frontier", figure=quantity(window + key, unit=False)),
        x=Axis(label=quantity(window + key)),
        y=Axis(label=quantity(f"{window}output_throughput")),
        series=tuple(s for s in series if len(s.x)),
        limits=tuple(_limits(results, (key,), "x", window, region=True)),
        group="frontier",
    )


def _limits(
    results: Sequence[Result], keys: Sequence[str], axis: Any, window: str, *, region: bool = False
) -> list[Limit]:
    """The limits that rules set on these metrics of this window, each once."""
    found: dict[tuple[str, float], Limit] = {}
    for judged in (judged for result in results for judged in result.verdicts):
        rule, limit = judged.rule, float(judged.rule.limit)
        if (judged.window == "steady") is bool(window) and shown.figure_of(judged).replace("p50_", "median_") in keys:
            found[rule.text, limit] = Limit(axis=axis, value=limit, label=rule.text, region=region)
    return list(found.values())[:4]


def heat(results: Sequence[Result], key: str) -> Chart:
    """Lengths down, load across, the figure as colour."""
    lines = by_shape(results, either)
    across = sorted({either(one) or 0 for line in lines.values() for one in line})
    cells = {name: {either(one): one.metrics.get(key) for one in line} for name, line in lines.items()}
    z = [[cell.get(x) for x in across] for cell in cells.values()]
    known = len(across) > 1 and any(v is not None for line in z for v in line)
    one = ChartSeries(
        name=quantity(key), x=[f"{x:g}" for x in across], y=list(cells), z=z if known else [], kind="heat"
    )
    return Chart(
        id=f"heat-{key}",
        title=message("page.chart.heat", figure=quantity(key)),
        x=Axis(label=message("page.axis.load"), categories=True),
        y=Axis(label=message("page.axis.shape"), categories=True),
        series=(one,),
        group="heat",
    )


def errors(results: Sequence[Result]) -> Chart:
    """How many requests failed, and how, by scenario."""
    bad = [result for result in sorted(results, key=order) if result.requests.error_counts]
    kinds = sorted({kind for result in bad for kind in result.requests.error_counts})
    series = tuple(
        ChartSeries(
            name=message(f"page.error.{kind}"),
            x=[result.id for result in bad],
            y=[result.requests.error_counts.get(kind, 0) for result in bad],
            scenarios=[result.id for result in bad],
            kind="bars",
            colour=k,
        )
        for k, kind in enumerate(kinds)
    )
    return Chart(
        id="errors",
        title=message("page.chart.errors"),
        x=Axis(label=message("report.col.scenario"), categories=True),
        y=Axis(label=message("page.axis.requests")),
        series=series,
    )
