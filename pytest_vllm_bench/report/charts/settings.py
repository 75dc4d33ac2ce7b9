"""Results of several settings → Charts of what each gives a user and what it makes of its accelerators."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_vllm_bench.model import Result
from pytest_vllm_bench.report.chart import Axis, Chart, ChartSeries, Label, message, quantity
from pytest_vllm_bench.report.frontier import DEVICE, USER, figure, per, settings, works
from pytest_vllm_bench.report.load import by_shape, either

Points = list[tuple[float, float, Result]]


def frontiers(results: Sequence[Result]) -> list[Chart]:
    """One a kind of work that several settings have done."""
    return [_chart(name, line) for name, line in works(results).items() if settings(line) > 1]


def _chart(name: str, line: Sequence[Result]) -> Chart:
    metric = per(line)
    lines = {label: _points(one, metric) for label, one in by_shape(line, either).items()}
    best = outermost(point for points in lines.values() for point in points)
    x, y = [x for x, _, _ in best], [y for _, y, _ in best]
    return Chart(
        id="-".join(["settings", *name.replace("→", "x").split()]),
        title=message("page.chart.settings", work=name) if name else message("page.chart.settings_alone"),
        x=Axis(label=quantity(USER)),
        y=Axis(label=quantity(metric)),
        series=(
            *(_series(label, of, colour=k) for k, (label, of) in enumerate(lines.items()) if of),
            ChartSeries(name=message("page.outermost"), x=x, y=y, colour=7, dashed=True),
        ),
        note=None if metric == DEVICE else message("page.note.per_server"),
        group="settings",
    )


def _points(line: Iterable[Result], metric: str) -> Points:
    found = ((figure(one, USER), figure(one, metric), one) for one in line)
    return [(x, y, one) for x, y, one in found if x is not None and y is not None]


def outermost(points: Iterable[tuple[float, float, Result]]) -> Points:
    """Those that no other one beats in both: from the quickest for a user to the one that makes the most."""
    found: Points = []
    for point in sorted(points, key=lambda point: (-point[0], -point[1])):
        if not found or point[1] > found[-1][1]:
            found.append(point)
    return found


def _series(name: Label, points: Points, *, colour: int) -> ChartSeries:
    return ChartSeries(
        name=name,
        x=[x for x, _, _ in points],
        y=[y for _, y, _ in points],
        scenarios=[one.id for _, _, one in points],
        marks=[str(one.verdict or "") for _, _, one in points],
        colour=colour,
    )
