"""The noun ``Chart``: what is drawn, without saying with what; the page draws it by plotly, files by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_vllm_bench.model import Message
from pytest_vllm_bench.report import words
from pytest_vllm_bench.text import LANGUAGES, say

#: Words of ours travel as a Message and are said in the reader's language; names of the user's stay as they are.
Label = Message | str
Number = float | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    label: Label
    log: bool = False  # drawn logarithmically at first; the reader may change it
    categories: bool = False  # values are names, in the order given


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartSeries:
    """Points in order.  ``spans`` are bars from x over ``width`` at height y; ``heat`` has z[y][x]."""

    name: Label
    x: Sequence[Any]
    y: Sequence[Any]
    kind: Literal["line", "points", "steps", "bars", "spans", "heat"] = "line"
    colour: int = 0  # position in the palette
    dashed: bool = False
    faint: bool = False  # what it was before
    scenarios: Sequence[str] = ()  # per point: the scenario it belongs to, for the filter and the click
    marks: Sequence[str] = ()  # per point: its scenario's verdict, "" if it has none
    width: Sequence[Number] = ()
    z: Sequence[Sequence[Number]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A line that should not be crossed; ``region`` shades the side that keeps to it (from 0)."""

    axis: Literal["x", "y"]
    value: float
    label: Label
    region: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something that happened at x."""

    at: float
    label: Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """``panels``: small charts below it, on its x axis; the first few are drawn, the others where a reader asks."""

    id: str
    title: Label
    x: Axis
    y: Axis
    series: tuple[ChartSeries, ...]
    limits: tuple[Limit, ...] = ()
    note: Label | None = None  # how it was drawn, where that is not plain
    moments: tuple[Moment, ...] = ()
    panels: tuple[Chart, ...] = ()
    group: str = ""  # charts of one group share a place in the page; the reader picks one

    @property
    def empty(self) -> bool:
        return not any(len(s.x) and (s.kind != "heat" or len(s.z)) for s in self.series)


def message(key: str, **values: Any) -> Message:
    return Message(key=key, values=values)


def quantity(key: str, *, unit: bool = True) -> Message:
    """A metric's key as a label that is said in each language."""
    return Message(key="page.key_unit" if unit and words.unit(key) else "page.key", values={"metric": key})


def spoken(label: Label, lang: str) -> str:
    """A label in words; a metric's key among the values becomes its name."""
    if isinstance(label, str):
        return label
    values = dict(label.values)
    if "metric" in values:
        values |= {"name": words.label(values["metric"], lang), "unit": words.unit(values["metric"])}
    values = {k: spoken(v, lang) if isinstance(v, Message) else v for k, v in values.items()}
    return say(label.key, lang, **values)


class ChartWords:
    """The labels of a page, each kept once in every language; ``table`` is what the page's script looks them up in."""

    def __init__(self) -> None:
        self.table: list[dict[str, str]] = []
        self._known: dict[tuple[str, ...], int] = {}

    def __call__(self, label: Label | None) -> int | str | None:
        """A label's number; a user's own string stays as it is."""
        if label is None or isinstance(label, str):
            return label
        said = tuple(spoken(label, lang) for lang in LANGUAGES)
        if said not in self._known:
            self._known[said] = len(self.table)
            self.table.append(dict(zip(LANGUAGES, said, strict=True)))
        return self._known[said]


def digits(value: Any) -> Any:
    """Numbers of a drawing need no more than four digits; what is not finite is a gap."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if not math.isfinite(value):
        return None
    if isinstance(value, int) or value == 0:
        return value
    rounded = round(value, 3 - math.floor(math.log10(abs(value))))
    return int(rounded) if rounded == int(rounded) and abs(rounded) < 1e15 else rounded


def to_json(chart: Chart, say_it: ChartWords, index: Mapping[str, int]) -> dict[str, Any]:
    """The chart as the page's script reads it; scenarios become their positions in ``index``."""
    made: dict[str, Any] = {
        "id": chart.id,
        "title": say_it(chart.title),
        "x": _axis(chart.x, say_it),
        "y": _axis(chart.y, say_it),
        "series": [_series(s, say_it, index) for s in chart.series],
    }
    if chart.group:
        made["group"] = chart.group
    if chart.limits:
        made["limits"] = [
            {"axis": k.axis, "value": digits(k.value), "label": say_it(k.label), "region": k.region}
            for k in chart.limits
        ]
    if chart.moments:
        made["moments"] = [{"at": digits(one.at), "label": say_it(one.label)} for one in chart.moments]
    if chart.panels:
        made["panels"] = [to_json(panel, say_it, index) for panel in chart.panels]
    if chart.note is not None:
        made["note"] = say_it(chart.note)
    return made


def _axis(axis: Axis, say_it: ChartWords) -> dict[str, Any]:
    return {"label": say_it(axis.label), "log": axis.log, "categories": axis.categories}


def _series(series: ChartSeries, say_it: ChartWords, index: Mapping[str, int]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": say_it(series.name),
        "kind": series.kind,
        "colour": series.colour,
        "x": _numbers(series.x),
        "y": _numbers(series.y),
    }
    made |= {how: True for how in ("dashed", "faint") if getattr(series, how)}
    if series.scenarios:
        made["of"] = [index.get(name, -1) for name in series.scenarios]
    if series.width:
        made["width"] = _numbers(series.width)
    if series.z:
        made["z"] = [_numbers(line) for line in series.z]
    return made


def _numbers(values: Iterable[Any]) -> list[Any]:
    return [digits(v) for v in values]
