"""Figures over many nights → from which session on they were others, and which of that is for the worse and new."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judge.baseline import KEPT, differences
from pytest_vllm_bench.judge.drift import FEWEST, change_points
from pytest_vllm_bench.metric_table import TREND_METRICS, parse_name
from pytest_vllm_bench.model import Message, Result
from pytest_vllm_bench.report.trend import Drift, TrendOutcome
from pytest_vllm_bench.store import history as kept
from pytest_vllm_bench.store.folder import read as read_folder
from pytest_vllm_bench.store.history import HistoryPoint, add, points, read

#: Sessions of one plan below which a series says nothing.
SHORTEST = 4 * FEWEST
#: How much surer than what is shown must be what fails: every night looks again, at every place, and moods are not
#: known exactly.  At p = 0.001 one series in a hundred fails in a year without a change.
SURER = 0.001


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
class DriftGate:
    """What is asked of a session beside those before it; ``history``: the folder, file or URL where these are."""

    history: str
    metrics: tuple[str, ...] = TREND_METRICS
    settings: DriftSettings = DriftSettings()
    known: tuple[Acknowledgement, ...] = ()


def hold(gate: DriftGate, results: Sequence[Result]) -> TrendOutcome:
    """Put a session into the history, and look at all of it: what fails is of figures that this session has measured.
    BenchError where the history cannot be read or written."""
    mine = points(results, tuple(dict.fromkeys((*gate.metrics, *KEPT))))
    if is_folder(gate.history):
        before = points(read_folder(Path(gate.history), history=True), gate.metrics)
    else:
        add(gate.history, mine)
        before = read(gate.history)
    asked = {(one.scenario, one.metric) for one in mine if one.metric in gate.metrics}
    known = {(one.scenario, one.metric, one.session, one.origin): one for one in (*before, *mine)}
    apart = told_apart([one for one in known.values() if (one.scenario, one.metric) in asked])
    sessions = {(one.session, one.origin) for one in mine}
    ours = {one.scenario for one in apart if (one.session, one.origin) in sessions}
    return looked([one for one in apart if one.scenario in ours], gate.settings, gate.known)


def looked(
    found: Sequence[HistoryPoint], settings: DriftSettings = DriftSettings(), known: Collection[Acknowledgement] = ()
) -> TrendOutcome:
    """What has changed of all that was found, or that it is too little to say."""
    series, sessions = by_series(told_apart(found)), len({one.session for one in found})
    few = Message(key="report.trend.too_short", values={"n": sessions, "least": SHORTEST})
    return TrendOutcome(series=series, drifts=drifts(series, settings, known), notes=() if series else (few,))


def drifts(
    series: Mapping[tuple[str, str], Sequence[HistoryPoint]],
    settings: DriftSettings = DriftSettings(),
    known: Collection[Acknowledgement] = (),
) -> list[Drift]:
    """The changes of all series, those that fail first.  A worsening fails that began among the newest sessions, that
    nobody has acknowledged, and that is sure also in view of how many series are looked at (Holm)."""
    found = [one for line in series.values() for one in _of(line, settings, known)]
    at_stake = sorted((d for d in found if d.worse and d.recent and d.accepted is None), key=lambda d: d.p)
    failing: set[int] = set()
    for k, one in enumerate(at_stake):
        if one.p * (len(series) - k) > settings.p * SURER:
            break
        failing.add(id(one))
    marked = [replace(one, fails=id(one) in failing) for one in found]
    return sorted(marked, key=lambda d: (not d.fails, not d.worse, d.first.date, d.scenario, d.metric))


def reachable(gate: DriftGate, results: Path) -> None:
    """BenchError where it shows before the load that the history cannot be read or begun; the results folder comes into
    being with the first of them."""
    if not is_folder(gate.history):
        kept.reachable(gate.history)
    elif not os.path.isdir(gate.history) and Path(gate.history) != results:
        raise BenchError("report.no_folder", folder=gate.history)


def is_folder(history: str) -> bool:
    """Whether it is one of results, rather than a file or a database."""
    return "://" not in history and (history.endswith("/") or Path(history).is_dir())


#: What makes a scenario another one, where a history holds several; drivers and limits, in brackets, come and go.
KINDS, PASSING = ("model", "accelerators"), re.compile(r" \([^)]*\)")


def told_apart(history: Sequence[HistoryPoint]) -> list[HistoryPoint]:
    """Scenarios of which several models or kinds of accelerators were measured are as many, called after them: the
    machines of a team share a history."""
    several: dict[str, dict[str, set[str]]] = {}
    for one in history:
        for name in KINDS:
            if kind := _kind(one, name):
                several.setdefault(one.scenario, {}).setdefault(name, set()).add(kind)
    apart = {scenario: [n for n, kinds in of.items() if len(kinds) > 1] for scenario, of in several.items()}
    return [
        replace(one, scenario=", ".join([one.scenario, *(_kind(one, name) or "?" for name in names)])) if names else one
        for one in history for names in [apart.get(one.scenario)]
    ]  # fmt: skip


def _kind(one: HistoryPoint, name: str) -> str:
    return PASSING.sub("", str(one.environment.get(name) or ""))


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
            at=point.at,
            first=line[point.at],
            before=point.before,
            after=point.after,
            change=point.change,
            interval=point.interval,
            p=point.p,
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
