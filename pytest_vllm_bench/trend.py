"""Figures over many nights → from which session on they were others, and which of that is for the worse and new."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_vllm_bench.judge.baseline import differences
from pytest_vllm_bench.judge.drift import FEWEST, ChangePoint, change_points
from pytest_vllm_bench.metric_table import parse_name
from pytest_vllm_bench.model import Message
from pytest_vllm_bench.store.history import HistoryPoint

#: What is looked at where nobody says.
METRICS = ("output_throughput", "mean_ttft_ms", "p99_ttft_ms", "mean_tpot_ms", "mean_e2el_ms")
#: Sessions of one plan below which a series says nothing.
SHORTEST = 4 * FEWEST
#: How much surer than what is shown must be what fails: every night looks again.
SURER = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSettings:
    """``p``: how sure a change must be to be shown; ``min_change``: a share below which it does not matter; ``window``:
    sessions that are looked at together; ``fail_on``: of how many newest sessions a worsening fails."""

    p: float = 0.001
    min_change: float = 0.02
    window: int = 50
    fail_on: int = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """A change that somebody knows of: of this metric, begun after this date or commit, and why it is accepted."""

    metric: str
    after: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One change of one scenario's figure; ``first``: the first session of the new level."""

    scenario: str
    metric: str
    first: HistoryPoint
    point: ChangePoint
    worse: bool
    recent: bool
    accepted: str | None = None  # why, where somebody knows of it
    fails: bool = False
    others: tuple[Message, ...] = ()  # what of the environment is another one since the session before


def drifts(
    history: Sequence[HistoryPoint], settings: DriftSettings = DriftSettings(), known: Collection[Acknowledgement] = ()
) -> list[Drift]:
    """The changes of all series, those that fail first.  A worsening fails that began among the newest sessions, that
    nobody has acknowledged, and that is sure also in view of how many series are looked at (Holm)."""
    series = by_series(history)
    found = [one for line in series.values() for one in _of(line, settings, known)]
    at_stake = sorted((d for d in found if d.worse and d.recent and d.accepted is None), key=lambda d: d.point.p)
    failing: set[int] = set()
    for k, one in enumerate(at_stake):
        if one.point.p * (len(series) - k) > settings.p * SURER:
            break
        failing.add(id(one))
    marked = [replace(one, fails=id(one) in failing) for one in found]
    return sorted(marked, key=lambda d: (not d.fails, not d.worse, d.first.date, d.scenario, d.metric))


def by_series(history: Sequence[HistoryPoint]) -> dict[tuple[str, str], list[HistoryPoint]]:
    """By scenario and metric, oldest first: the newest plan's sessions, if they are enough to say something."""
    lines: dict[tuple[str, str], list[HistoryPoint]] = {}
    for one in sorted(history, key=lambda point: (point.date, point.session)):
        lines.setdefault((one.scenario, one.metric), []).append(one)
    same = {key: [one for one in line if one.plan == line[-1].plan] for key, line in lines.items()}
    return {key: line for key, line in same.items() if len(line) >= SHORTEST}


def _of(line: Sequence[HistoryPoint], settings: DriftSettings, known: Collection[Acknowledgement]) -> list[Drift]:
    name = parse_name(line[0].metric)
    higher = name is not None and name.row.better == "higher"
    values = [one.value for one in line]
    points = change_points(values, p=settings.p, min_change=settings.min_change, window=settings.window)
    return [
        Drift(
            scenario=line[0].scenario,
            metric=line[0].metric,
            first=line[point.at],
            point=point,
            worse=(point.change > 0) is not higher,
            recent=point.at >= len(line) - settings.fail_on,
            accepted=next((one.why for one in known if _covers(one, line, point.at)), None),
            others=tuple(differences(line[point.at - 1].environment, line[point.at].environment)),
        )
        for point in points
    ]


def _covers(one: Acknowledgement, line: Sequence[HistoryPoint], at: int) -> bool:
    """Whether a change began where somebody expects one: at the first session of the commit, or within a week of the
    date."""
    if one.metric not in (line[at].metric, "*"):
        return False
    commits = [k for k, point in enumerate(line) if point.commit and point.commit.startswith(one.after[:12])]
    dates = [k for k, point in enumerate(line) if point.date[:10] >= one.after] if one.after[:2] == "20" else []
    expected = commits[:1] or dates[:1]
    return bool(expected) and abs(at - expected[0]) <= 2 * FEWEST


def otava(history: Sequence[HistoryPoint]) -> list[list[Any]]:
    """A line a session as Apache Otava reads it: time, commit, a column a series."""
    series = sorted({(one.scenario, one.metric) for one in history})
    sessions: dict[str, dict[tuple[str, str], HistoryPoint]] = {}
    for one in sorted(history, key=lambda point: (point.date, point.session)):
        sessions.setdefault(one.session, {})[one.scenario, one.metric] = one
    head = ["time", "commit", *(f"{scenario}.{metric}" for scenario, metric in series)]
    return [
        head,
        *(
            [(first := next(iter(of.values()))).date, first.commit, *(of[k].value if k in of else "" for k in series)]
            for of in sessions.values()
        ),
    ]
