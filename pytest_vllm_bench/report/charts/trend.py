"""JSON dicts of many sessions → Charts over time, one line a scenario."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_vllm_bench.report.artifacts import Row
from pytest_vllm_bench.report.chart import Axis, Chart, ChartSeries, message, quantity
from pytest_vllm_bench.report.folder import order

METRICS = ("output_throughput", "p99_ttft_ms", "mean_tpot_ms", "mean_e2el_ms", "goodput_ratio")


def trend(rows: Sequence[Row]) -> list[Chart]:
    """Empty unless some scenario was measured on at least two occasions."""
    lines: dict[str, list[Row]] = {}
    for row in sorted(rows, key=order):
        if moment(row):
            lines.setdefault(str(row.get("scenario_key") or row["scenario_id"]), []).append(row)
    lines = {name: sorted(line, key=moment) for name, line in lines.items() if len({moment(r) for r in line}) > 1}
    charts = [_chart(lines, key) for key in METRICS]
    return [chart for chart in charts if not chart.empty]


def moment(row: Row) -> str:
    """``20261123-052505`` → ``2026-11-23 05:25:05``, which plotly reads as a time; "" where there is no date."""
    text = str(row.get("date") or "")
    if len(text) < 15 or not (text[:8] + text[9:15]).isdigit():
        return ""
    return f"{text[:4]}-{text[4:6]}-{text[6:8]} {text[9:11]}:{text[11:13]}:{text[13:15]}"


def _chart(lines: dict[str, list[Row]], key: str) -> Chart:
    series = []
    for k, (name, line) in enumerate(lines.items()):
        kept = [row for row in line if row.get(key) is not None]
        series.append(
            ChartSeries(
                name=name,
                x=[moment(row) for row in kept],
                y=[row[key] for row in kept],
                scenarios=[row["scenario_id"] for row in kept],
                marks=[str(row.get("verdict") or "") for row in kept],
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
