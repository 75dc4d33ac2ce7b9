"""Results of many sessions → Charts over time, one line a scenario."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_vllm_bench.model import Result
from pytest_vllm_bench.report.chart import Axis, Chart, ChartSeries, message, quantity
from pytest_vllm_bench.store.folder import order

METRICS = ("output_throughput", "p99_ttft_ms", "mean_tpot_ms", "mean_e2el_ms", "goodput_ratio")


def trend(results: Sequence[Result]) -> list[Chart]:
    """Empty unless some scenario was measured on at least two occasions."""
    lines: dict[str, list[Result]] = {}
    for result in sorted(results, key=order):
        if moment(result) and not result.scenario.of_start:
            lines.setdefault(result.scenario.cell.key, []).append(result)
    lines = {name: sorted(line, key=moment) for name, line in lines.items() if len({moment(r) for r in line}) > 1}
    charts = [_chart(lines, key) for key in METRICS]
    return [chart for chart in charts if not chart.empty]


def moment(result: Result) -> str:
    """``2026-11-23 05:25:05``, which plotly reads as a time; "" where there is no date."""
    return result.date[:19].replace("T", " ") if result.date[:4].isdigit() else ""


def _chart(lines: dict[str, list[Result]], key: str) -> Chart:
    series = []
    for k, (name, line) in enumerate(lines.items()):
        kept = [(result, value) for result in line if (value := result.metrics.get(key)) is not None]
        series.append(
            ChartSeries(
                name=name,
                x=[moment(result) for result, _ in kept],
                y=[value for _, value in kept],
                scenarios=[result.id for result, _ in kept],
                marks=[str(result.verdict or "") for result, _ in kept],
                colour=k,
            )
        )
    return Chart(
        id=f"trend-{key}",
        title=message("page.chart.trend", figure=quantity(key, unit=False)),
        x=Axis(label=message("page.axis.date")),
        y=Axis(label=quantity(key)),
        series=tuple(s for s in series if len(s.x)),
        group="trend",
    )
