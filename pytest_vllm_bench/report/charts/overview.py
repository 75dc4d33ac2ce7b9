"""JSON dicts of many scenarios → Charts that compare them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_vllm_bench.report.artifacts import Row
from pytest_vllm_bench.report.chart import Axis, Chart, ChartSeries, Limit, message, quantity
from pytest_vllm_bench.report.folder import order
from pytest_vllm_bench.report.load import LOADS, by_shape, concurrency, rate

THROUGHPUTS = ("output_throughput", "request_throughput", "total_token_throughput", "request_goodput")
#: Prefixes of the figures: the whole run, and the steady window that rules read where there is one.
WINDOWS = ("", "steady_")
LATENCIES = ("ttft", "tpot", "itl", "e2el")
#: Drawn of each latency: (statistic, dashed).
STATISTICS = (("median", False), ("p99", True))


def overview(rows: Sequence[Row]) -> list[Chart]:
    """Every comparing chart that these rows have figures for."""
    made = [
        *(throughput(rows, key, load) for load in LOADS for key in THROUGHPUTS),
        *(latency(rows, name, load, window) for load in LOADS for window in WINDOWS for name in LATENCIES),
        *(frontier(rows, key, window) for window in WINDOWS for key in ("p99_ttft_ms", "mean_tpot_ms", "p99_e2el_ms")),
        *(heat(rows, key) for key in ("output_throughput", "p99_ttft_ms", "mean_tpot_ms", "p99_e2el_ms")),
        errors(rows),
    ]
    return [chart for chart in made if not chart.empty]


def _load_axis(load: str) -> Axis:
    return Axis(label=message(f"page.axis.{load}"), log=load == "concurrency")


def _line(name: str, rows: Sequence[Row], x: Sequence[Any], key: str, **how: Any) -> ChartSeries:
    kept = [(a, row) for a, row in zip(x, rows, strict=True) if a is not None and row.get(key) is not None]
    return ChartSeries(
        name=name,
        x=[a for a, _ in kept],
        y=[row[key] for _, row in kept],
        scenarios=[row["scenario_id"] for _, row in kept],
        marks=[str(row.get("verdict") or "") for _, row in kept],
        **how,
    )


def throughput(rows: Sequence[Row], key: str, load: str) -> Chart:
    series = [
        _line(name, line, [LOADS[load](row) for row in line], key, colour=k)
        for k, (name, line) in enumerate(by_shape(rows, LOADS[load]).items())
    ]
    return Chart(
        id=f"{key}-{load}",
        title=message("page.chart.against", figure=quantity(key, unit=False), load=message(f"page.axis.{load}")),
        x=_load_axis(load),
        y=Axis(label=quantity(key)),
        series=tuple(s for s in series if len(s.x)),
        limits=tuple(_limits(rows, (key,), "y", "")),
        group="throughput",
    )


def latency(rows: Sequence[Row], name: str, load: str, window: str = "") -> Chart:
    series = []
    for k, (label, line) in enumerate(by_shape(rows, LOADS[load]).items()):
        x = [LOADS[load](row) for row in line]
        for stat, dashed in STATISTICS:
            shown = f"{label} {'p50' if stat == 'median' else stat}"
            series.append(_line(shown, line, x, f"{window}{stat}_{name}_ms", colour=k, dashed=dashed))
    keys = tuple(f"{stat}_{name}_ms" for stat in ("mean", "median", "p50", "p90", "p95", "p99"))
    return Chart(
        id=f"{window}{name}-{load}",
        title=message("page.chart.against", figure=quantity(f"{window}{name}"), load=message(f"page.axis.{load}")),
        x=_load_axis(load),
        y=Axis(label=quantity(f"{name}_ms"), log=True),
        series=tuple(s for s in series if len(s.x)),
        limits=tuple(_limits(rows, keys, "y", window)),
        group="latency",
    )


def frontier(rows: Sequence[Row], key: str, window: str = "") -> Chart:
    """Throughput over latency: further up and left is better; the shaded side keeps to the limit."""
    series = []
    for k, (name, line) in enumerate(by_shape(rows, lambda row: concurrency(row) or rate(row)).items()):
        series.append(
            _line(name, line, [row.get(window + key) for row in line], f"{window}output_throughput", colour=k)
        )
    return Chart(
        id=f"frontier-{window}{key}",
        title=message("page.chart.frontier", figure=quantity(window + key, unit=False)),
        x=Axis(label=quantity(window + key)),
        y=Axis(label=quantity(f"{window}output_throughput")),
        series=tuple(s for s in series if len(s.x)),
        limits=tuple(_limits(rows, (key,), "x", window, region=True)),
        group="frontier",
    )


def _limits(rows: Sequence[Row], keys: Sequence[str], axis: Any, window: str, *, region: bool = False) -> list[Limit]:
    """The limits that rules set on these metrics of this window, each once."""
    found: dict[tuple[str, float], Limit] = {}
    for row in rows:
        for rule in row.get("verdicts") or []:
            limit = rule.get("limit")
            same = (rule.get("window") == "steady") is bool(window)
            if same and rule.get("metric") in keys and isinstance(limit, int | float):
                text = str(rule.get("rule"))
                found[text, limit] = Limit(axis=axis, value=limit, label=text, region=region)
    return list(found.values())[:4]


def heat(rows: Sequence[Row], key: str) -> Chart:
    """Lengths down, load across, the figure as colour."""
    lines = by_shape(rows, lambda row: concurrency(row) or rate(row))
    across = sorted({concurrency(row) or rate(row) or 0 for line in lines.values() for row in line})
    cells = {name: {concurrency(row) or rate(row): row for row in line} for name, line in lines.items()}
    z = [[cell.get(x, {}).get(key) for x in across] for cell in cells.values()]
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


def errors(rows: Sequence[Row]) -> Chart:
    """How many requests failed, and how, by scenario."""
    bad = [row for row in sorted(rows, key=order) if row.get("error_counts")]
    kinds = sorted({kind for row in bad for kind in row["error_counts"]})
    series = tuple(
        ChartSeries(
            name=message(f"page.error.{kind}"),
            x=[row["scenario_id"] for row in bad],
            y=[row["error_counts"].get(kind, 0) for row in bad],
            scenarios=[row["scenario_id"] for row in bad],
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
