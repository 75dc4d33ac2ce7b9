"""What was watched of the server while load ran → small charts below its requests, and moments that stand out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_vllm_bench.model import Message, Track
from pytest_vllm_bench.report.chart import Axis, Chart, ChartSeries, Label, Moment, message
from pytest_vllm_bench.store import measurement, tracks

if TYPE_CHECKING:
    from pytest_vllm_bench.curves import Curve

#: Panel → its series, the most telling panels first.
PANELS: dict[str, tuple[str, ...]] = {
    "load": ("running", "waiting"),
    "kv": ("kv_usage",),
    "power": ("power_w",),
    "utilization": ("utilization_pct",),
    "cpu": ("host_cpu_pct", "server_cpu_pct"),
    "speed": ("prompt_tok_s", "output_tok_s"),
    "cache": ("hit_rate",),
    "temperature": ("temperature_c",),
    "clock": ("clock_mhz",),
    "memory": ("memory_mib", "host_memory_mib", "server_memory_mib"),
}
#: Panels that are drawn unasked.
SHOWN = 4
#: Shares, which are drawn in percent.
SHARES = ("kv_usage", "hit_rate")
#: Moments of one kind that lie closer than this share of the run are one; and moments at most.
CLOSE, MOST = 0.12, 6


def watched(records: Path | None) -> tuple[dict[str, Curve], list[tuple[float, str, int]]]:
    """Every curve that was watched beside a file of records, in seconds since the start, and moments likewise."""
    import numpy as np

    from pytest_vllm_bench import curves

    if records is None:
        return {}, []
    stem = records.with_name(records.name.partition(".records.")[0])
    one = measurement.found(stem) if stem.with_name(stem.name + tracks.SUFFIX).is_file() else None
    if one is None or one.facts is None:
        return {}, []
    seen, start = one.observed.tracks, one.facts.started
    found = curves.curves(seen, {"power_w": np.sum})
    moments = [(at - start, what, n) for at, what, n in curves.moments(seen)]
    if one.observed.fault is not None and one.observed.fault_at is not None:
        moments.append((one.observed.fault_at - start, "restart", 1))
    return {name: (times - start, values) for name, (times, values) in found.items()}, sorted(moments)


#: Samples that show how something went.
FEWEST = 4


def at_a_glance(records: Path | None, bars: int) -> list[tuple[Label, list[float]]]:
    """The most telling series as so many values each, the largest of each stretch of time: of what there is to see."""
    import numpy as np

    found, _ = watched(records)
    told = list[tuple[Label, list[float]]]()
    for chart in panels(found, tracks.DRAWN)[:SHOWN]:
        for series in chart.series:
            if len(series.x) < FEWEST or not any(series.y):
                continue
            x, y = np.array(series.x), np.array(series.y)
            edges = np.linspace(x[0], x[-1], bars + 1)
            parts = [y[(x >= a) & (x <= b)] for a, b in pairwise(edges)]
            told.append((series.name, [float(part.max()) for part in parts if len(part)]))
    return told


def panels(found: dict[str, Curve], points: int) -> tuple[Chart, ...]:
    """The most telling first; where there is power, utilisation comes after the others."""
    made = []
    for name, names in PANELS.items():
        drawn = [_series(found[one], one, k, points) for k, one in enumerate(names) if one in found]
        if drawn:
            made.append(
                Chart(
                    id=f"watched-{name}",
                    title=message(f"page.watched.{name}"),
                    x=Axis(label=message("page.axis.time")),
                    y=Axis(label=message(f"page.watched.{name}")),
                    series=tuple(drawn),
                )
            )
    first = [one for one in made if not (one.id == "watched-utilization" and "power_w" in found)]
    shown = first if len(first) >= SHOWN else made
    return (*shown, *(one for one in made if one not in shown))


def _series(curve: Curve, name: str, colour: int, points: int) -> ChartSeries:
    times, values = curve
    thin = tracks.thinned(Track(name=name, times=tuple(times.tolist()), values=tuple(values.tolist())), points)
    scale = 100 if name in SHARES else 1
    return ChartSeries(
        name=message(f"page.track.{name}"),
        x=thin.times,
        y=[scale * value for value in thin.values],
        kind="line",
        colour=colour,
    )


def moments(found: Sequence[tuple[float, str, int]], end: float) -> tuple[Moment, ...]:
    """What happened from the first request on; what happened again and again is one, with how often."""
    kept: list[tuple[float, str, int]] = []
    last: dict[str, tuple[int, float]] = {}
    for at, what, n in found:
        if at < 0 or at > end:
            continue
        place, before = last.get(what, (-1, -end))
        if place >= 0 and at - before <= CLOSE * end:
            kept[place] = (kept[place][0], what, kept[place][2] + n)
        else:
            place = len(kept)
            kept.append((at, what, n))
        last[what] = place, at
    return tuple(Moment(at=at, label=_said(what, n)) for at, what, n in kept[:MOST])


def _said(what: str, n: int) -> Message:
    once = message(f"page.moment.{what}")
    return once if n < 2 else message("page.moment.times", event=once, n=n)


def with_tracks(chart: Chart, records: Path | None, points: int) -> Chart:
    """A chart over time with what was watched below it."""
    found, happened = watched(records)
    ends = [x + w for one in chart.series for x, w in zip(one.x, one.width or [0.0] * len(one.x), strict=True)]
    if not found or not ends:
        return chart
    return replace(chart, panels=panels(found, points), moments=moments(happened, max(ends)))
