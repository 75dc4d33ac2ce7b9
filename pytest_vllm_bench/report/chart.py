"""The noun ``Chart``: what is drawn, without saying with what; the page draws it by plotly, files by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
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
class Series:
    """Points in order.  ``spans`` are bars from x over ``width`` at height y; ``heat`` has z[y][x]."""

    name: Label
    x: Sequence[Any]
    y: Sequence[Any]
    kind: Literal["line", "points", "steps", "bars", "spans", "heat"] = "line"
    colour: int = 0  # position in the palette
    dashed: bool = False
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
class Chart:
    id: str
    title: Label
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    limits: tuple[Limit, ...] = ()
    note: Label | None = None  # how it was drawn, where that is not plain
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


def both(label: Label) -> dict[str, str] | str:
    """A label as the page keeps it: in every language, or a user's own string."""
    return label if isinstance(label, str) else {lang: spoken(label, lang) for lang in LANGUAGES}


def digits(value: Any, n: int = 4) -> Any:
    """Numbers of a drawing need no more than ``n`` digits; what is not finite is a gap."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if not math.isfinite(value):
        return None
    if isinstance(value, int) or value == 0:
        return value
    rounded = round(value, n - 1 - math.floor(math.log10(abs(value))))
    return int(rounded) if rounded == int(rounded) and abs(rounded) < 1e15 else rounded


def to_json(chart: Chart, index: dict[str, int] | None = None) -> dict[str, Any]:
    """The chart as the page's script reads it; scenarios become their positions in ``index``."""
    return {
        "id": chart.id,
        "title": both(chart.title),
        "group": chart.group,
        "x": _axis(chart.x),
        "y": _axis(chart.y),
        "series": [_series(s, index or {}) for s in chart.series],
        "limits": [
            {"axis": k.axis, "value": digits(k.value), "label": both(k.label), "region": k.region} for k in chart.limits
        ],
        "note": both(chart.note) if chart.note is not None else None,
    }


def _axis(axis: Axis) -> dict[str, Any]:
    return {"label": both(axis.label), "log": axis.log, "categories": axis.categories}


def _series(series: Series, index: dict[str, int]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": both(series.name),
        "kind": series.kind,
        "colour": series.colour,
        "dashed": series.dashed,
        "x": _numbers(series.x),
        "y": _numbers(series.y),
    }
    if series.scenarios:
        made["of"] = [index.get(name, -1) for name in series.scenarios]
    if any(series.marks):
        made["marks"] = list(series.marks)
    if series.width:
        made["width"] = _numbers(series.width)
    if series.z:
        made["z"] = [_numbers(line) for line in series.z]
    return made


def _numbers(values: Iterable[Any]) -> list[Any]:
    return [digits(v) for v in values]
