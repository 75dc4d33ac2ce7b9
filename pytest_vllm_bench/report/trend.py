"""Changes over many nights → lines of text and charts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pytest_vllm_bench.model import Message
from pytest_vllm_bench.report import words
from pytest_vllm_bench.report.chart import Axis, Chart, ChartSeries, message, quantity
from pytest_vllm_bench.store.history import HistoryPoint
from pytest_vllm_bench.text import say


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One change of one scenario's figure: from the session ``first`` on, the ``at``-th of its series, it is another
    one.  ``change``: as a share; ``interval``: the changes that are not ruled out, at 95 %; ``p``: how likely so much
    is by chance; ``recent``: it began among the newest sessions."""

    scenario: str
    metric: str
    at: int
    first: HistoryPoint
    before: float
    after: float
    change: float
    interval: tuple[float, float]
    p: float
    worse: bool
    recent: bool
    accepted: str | None = None  # why, where somebody knows of it
    fails: bool = False
    others: tuple[Message, ...] = ()  # what of the environment is another one since the session before

    @property
    def kind(self) -> str:
        known = "accepted" if self.accepted is not None else "worse"
        return "failed" if self.fails else known if self.worse else "better"

    @property
    def said(self) -> Message:
        """Why it fails, in a sentence."""
        share = [f"{100 * value:+.1f}%" for value in (self.change, *self.interval)]
        also: Message | str = ""
        for other in reversed(self.others):
            also = Message(key="report.trend.also", values={"what": other, "more": also})
        values = {
            "scenario": self.scenario,
            "metric": self.metric,
            "change": share[0],
            "low": share[1],
            "high": share[2],
            "before": words.number(self.before),
            "after": words.number(self.after),
            "date": self.first.date[:10],
            "session": self.first.session,
            "commit": self.first.commit[:12] or "–",
            "others": also,
        }
        return Message(key="report.trend.said", values=values)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendOutcome:
    """What was looked at, by scenario and metric, oldest first; what of it has changed; and what is said beside it."""

    series: Mapping[tuple[str, str], Sequence[HistoryPoint]]
    drifts: Sequence[Drift] = ()
    notes: Sequence[Message] = ()

    @property
    def failed(self) -> tuple[Message, ...]:
        return tuple(one.said for one in self.drifts if one.fails)


NAMES = ("scenario", "metric", "since", "commit", "before", "after", "change", "interval", "what")


def heads(lang: str) -> list[str]:
    return [say(f"report.trend.col.{name}", lang) for name in NAMES]


def lines(made: TrendOutcome, lang: str) -> list[str]:
    """A table of the changes, and what is known of each beside its figures."""
    said = [say(note, lang) for note in made.notes]
    if not made.series:
        return said
    longest = max(map(len, made.series.values()))
    head = [say("report.trend.series", lang, n=len(made.series), sessions=longest), *said]
    if not made.drifts:
        return [*head, say("report.trend.none", lang)]
    notes = []
    for one in made.drifts:
        notes += [f"  {one.scenario}, {one.metric}: {say(other, lang)}" for other in one.others]
        notes += [f"  {one.scenario}, {one.metric}: {one.accepted}"] if one.accepted else []
    body = [heads(lang), *(cells(one, lang) for one in made.drifts)]
    return [*head, "", *(line.rstrip() for line in words.aligned(body, right={4, 5, 6, 7})), *notes]


def cells(one: Drift, lang: str) -> list[str]:
    return [
        one.scenario,
        words.with_unit(one.metric, lang),
        one.first.date[:10],
        one.first.commit[:9] or "—",
        words.number(one.before),
        words.number(one.after),
        f"{100 * one.change:+.1f}%",
        " … ".join(f"{100 * end:+.1f}%" for end in one.interval),
        say(f"report.trend.{one.kind}", lang),
    ]


#: Charts of series at most: those that changed, what fails first.
MOST = 24


def charts(made: TrendOutcome) -> list[Chart]:
    """Each series that has changed: its sessions as dots, the level before and after each change as a line, and where
    it changed by which commit."""
    changed = list(dict.fromkeys((one.scenario, one.metric) for one in made.drifts))[:MOST]
    return [_chart(key, made.series[key], [one for one in made.drifts if (one.scenario, one.metric) == key])
            for key in changed]  # fmt: skip


def _chart(key: tuple[str, str], line: Sequence[HistoryPoint], drifts: Sequence[Drift]) -> Chart:
    scenario, metric = key
    moments, values = [_moment(one) for one in line], [one.value for one in line]
    ends = [0, *sorted(one.at for one in drifts), len(line)]
    levels: list[float] = []
    for low, high in pairwise(ends):
        levels += [math.exp(math.fsum(map(math.log, values[low:high])) / (high - low))] * (high - low)
    dots = ChartSeries(name=message("page.trend.sessions"), x=moments, y=values, kind="points",
                       scenarios=[scenario] * len(line), colour=0)  # fmt: skip
    level = ChartSeries(name=message("page.trend.level"), x=moments, y=levels, kind="steps", colour=1)
    marked = [
        ChartSeries(
            name=f"{one.first.commit[:9] or one.first.date[:10]} {100 * one.change:+.1f}%",
            x=[moments[one.at]],
            y=[values[one.at]],
            kind="points",
            scenarios=[scenario],
            marks=["FAIL" if one.fails else "INCONCLUSIVE" if one.worse else "PASS"],
            colour=5 if one.worse else 2,
        )
        for one in sorted(drifts, key=lambda one: one.at)
    ]
    return Chart(
        id=f"trend-{metric}-{scenario}",
        title=message("page.chart.trend_of", figure=quantity(metric, unit=False), scenario=scenario),
        x=Axis(label=message("page.axis.date")),
        y=Axis(label=quantity(metric)),
        series=(dots, level, *marked),
        group="trend",
    )


def _moment(one: HistoryPoint) -> str:
    return one.date[:19].replace("T", " ")
