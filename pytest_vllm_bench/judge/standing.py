"""A reference's sessions, and what this one has measured so far → each scenario's comparisons, and those of all.

y = mean over repeats of ln(metric), or the metric itself where the tolerance is in its unit; see ``noise``, ``gate``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_vllm_bench.judge import gate, noise
from pytest_vllm_bench.judge.baseline import KEPT, SessionFigures
from pytest_vllm_bench.judge.comparison import (
    POWER,
    BaselineSettings,
    Place,
    runs_of,
    scale_of,
    tolerance_of,
)
from pytest_vllm_bench.judge.gate import Alphas, Apart, Fresh
from pytest_vllm_bench.model import Comparison

#: Of each scenario its sessions, or of this session its measurements: the first one, then the fresh ones.
Sessions = Mapping[str, Sequence[SessionFigures]]
#: The name of all scenarios together.
ALL = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a reference says of its scenarios: arrays (metric, scenario)."""

    settings: BaselineSettings
    levels: Alphas
    metrics: tuple[str, ...]
    keys: tuple[str, ...]
    known: noise.Noise
    base: Any  # the reference's mean of y
    scale: Any  # what a change is divided by: the noise that is assumed, negative where more is better
    gated: list[int]  # metrics that are gated, and that the reference has
    together: list[int]  # of them those whose noise is held beside one another: nothing in a unit of its own

    def moved(self, measured: Sessions, key: str, m: int) -> Any:
        """The change of each measurement of one scenario; none where one of them has no figure."""
        if key not in self.keys:
            return np.array([])
        j = self.keys.index(key)
        runs = [runs_of(one, self.metrics[m], self.settings) for one in measured[key]]
        if not np.isfinite(self.base[m, j]) or any(y is None for y in runs):
            return np.array([])
        return np.array([(y.mean() - self.base[m, j]) / self.scale[m, j] for y in runs])

    def changes(self, measured: Sessions, m: int) -> dict[str, float]:
        """How far each measured scenario is from the reference, by its fresh measurements where it has some."""
        found = {key: self.moved(measured, key, m) for key in measured}
        return {key: _latest(moved) for key, moved in found.items() if len(moved)}

    def place(self, m: int, j: int) -> Place:
        """Of one metric of one scenario."""
        return Place(
            metric=self.metrics[m],
            settings=self.settings,
            base=float(self.base[m, j]),
            scale=float(self.scale[m, j]),
            sessions=int(self.known.kept[m, j]),
        )


def _latest(moved: Any) -> float:
    return float(moved[1:].mean() if len(moved) > 1 else moved[0])


@np.errstate(all="ignore")
def standing(reference: Sessions, settings: BaselineSettings, scenarios: int) -> Standing:
    """``scenarios``: how many this session will compare, so that its false alarms are counted together."""
    keys, metrics = tuple(key for key in reference if reference[key]), tuple(dict.fromkeys((*settings.gated, *KEPT)))
    places = _places([reference[key] for key in keys])
    y = np.full((len(metrics), max((p + 1 for one in places for p in one), default=1), max(1, len(keys))), math.nan)
    squares, df = np.zeros(y.shape), np.zeros(y.shape)
    for j, key in enumerate(keys):
        for k, one in zip(places[j], reference[key], strict=True):
            for m, metric in enumerate(metrics):
                if (runs := runs_of(one, metric, settings)) is not None:
                    y[m, k, j] = runs.mean()
                    squares[m, k, j], df[m, k, j] = ((runs - runs.mean()) ** 2).sum(), len(runs) - 1
    there = np.isfinite(y)
    base = np.where(there.any(1), np.where(there, y, 0).sum(1) / np.maximum(there.sum(1), 1), math.nan)
    scale = np.array([[scale_of(metric, mean, settings) for mean in base[m]] for m, metric in enumerate(metrics)])
    within = (squares / scale[:, None] ** 2).sum((1, 2)) / np.maximum(df.sum((1, 2)), 1) if df.any() else None
    gated = [m for m, metric in enumerate(metrics) if metric in settings.gated and there[m].any()]
    repeats = [one.repeats for key in keys for one in reference[key]]
    together = [m for m in gated if tolerance_of(metrics[m], settings)[1]]
    known = noise.shown(y / scale[:, None], within, float(np.mean(repeats or [1])), together)
    return Standing(
        settings=settings,
        levels=Alphas.of(max(1, scenarios), max(1, len(settings.gated)), settings.again),
        metrics=metrics,
        keys=keys,
        known=known,
        base=base,
        scale=scale,
        gated=gated,
        together=together,
    )


def _places(scenarios: Sequence[Sequence[SessionFigures]]) -> list[list[int]]:
    """Which session of the reference each one is: by its name, or, where names say nothing, counted from the newest."""
    names = sorted({one.session for old in scenarios for one in old})
    if all(one.session for old in scenarios for one in old) and all(
        len({one.session for one in old}) == len(old) for old in scenarios
    ):
        return [[names.index(one.session) for one in old] for old in scenarios]
    longest = max(map(len, scenarios))
    return [list(range(longest - len(old), longest)) for old in scenarios]


# ------------------------------------------------------------------------------------------ one scenario


@np.errstate(all="ignore")
def compare_one(of: Standing, measured: Sessions, key: str, *, last: bool = False) -> list[Comparison]:
    """One scenario beside those that this session has measured so far; ``last``: they are all there, nothing will be
    measured again, and what is suspected and was measured afresh is judged once more."""
    return [_one(of, measured, key, m, last) for m in range(len(of.metrics)) if len(of.moved(measured, key, m))]


def _one(of: Standing, measured: Sessions, key: str, m: int, last: bool) -> Comparison:
    moved, j, known, sure = of.moved(measured, key, m), of.keys.index(key), of.known.of(m), of.settings.confidence
    times, change, place = len(moved) - 1, _latest(moved), of.place(m, j)
    limit = place.limit
    others = np.array([d for name, d in of.changes(measured, m).items() if name != key])
    fresh = Fresh(count=times, runs=float(measured[key][0].repeats), scatter=_scatter(of, measured, key, m))
    apart, alone = (gate.beside(known, j, change, those, fresh) for those in (others, others[:0]))
    suspected = bool(change > limit and apart.x > apart.needed(of.levels.suspected, limit, 0.5))
    alpha = of.levels.end if last else of.levels.looks[max(0, times - 1)]
    over = suspected and times > 0 and bool(apart.x > apart.needed(alpha, limit, sure))
    most = change + alone.width(sure)
    if over:
        reason = "judge.baseline_worse_beside" if len(others) > 1 else "judge.baseline_worse"
    elif suspected:
        reason = "judge.baseline_suspected" if times < of.settings.again and not last else "judge.baseline_undecided"
    elif place.within(most):
        reason = "judge.baseline_within"
    else:
        reason = "judge.baseline_not_confirmed" if times else "judge.baseline_unproven"
    said = {
        "first": place.words(float(moved[0])),
        "times": times,
        "others": place.words(float(np.median(others)) if len(others) else 0.0),
    }
    noticed = noticeable(apart, of.levels.looks[-1], place)
    return place.compared((change, change - apart.width(sure), most), noticed, reason, said)


def noticeable(apart: Apart, alpha: float, place: Place) -> float:
    """The worsening that fails four times in five, on the scale of the changes."""
    return float(apart.needed(alpha, place.limit, place.settings.confidence) + apart.width(POWER))


def _scatter(of: Standing, measured: Sessions, key: str, m: int) -> Any:
    """The variance of a scenario's measurements in this session; None of a single one."""
    if len(measured[key]) < 2:
        return None
    rows = [moved for i in dict.fromkeys((m, *of.together)) if len(moved := of.moved(measured, key, i))]
    return gate.scatter(list(np.array(rows).T))[0]


# ------------------------------------------------------------------------------------------ all scenarios


@np.errstate(all="ignore")
def compare_all(of: Standing, measured: Sessions) -> list[Comparison]:
    """The gated metrics of all scenarios together, the geometric mean of their changes: a uniform shift, which no
    scenario shows alone.  Nothing of a single scenario."""
    found = []
    for m in of.together:
        changes = of.changes(measured, m)
        if len(changes) < 2:
            continue
        apart = gate.together(of.known.of(m), np.array(list(changes.values())))
        place, sure = of.place(m, of.keys.index(next(iter(changes)))), of.settings.confidence
        change, width = float(np.mean(list(changes.values()))), float(apart.width(sure))
        over = bool(apart.x > apart.needed(of.levels.together, place.limit, sure))
        reason = "worse" if over else "within" if place.within(change + width) else "unproven"
        seen, noticed = (change, change - width, change + width), noticeable(apart, of.levels.together, place)
        made = place.compared(seen, noticed, f"judge.matrix_{reason}", {"scenarios": len(changes)})
        found.append(replace(made, scenario=ALL, reference=1.0, observed=1.0 + made.change))
    return found


@np.errstate(all="ignore")
def foreseen(of: Standing, keys: Iterable[str]) -> dict[str, tuple[str, str]]:
    """By gated metric the worsening that this gate can find, before anything is measured: of one scenario (what the
    noisiest needs), and of all."""
    found = {}
    for m in of.gated:
        there = [j for key in keys if key in of.keys and np.isfinite(of.base[m, j := of.keys.index(key)])]
        if not there:
            continue
        known, places = of.known.of(m), [of.place(m, j) for j in there]
        others = math.sqrt(2) * np.tile([1.0, -1.0], len(there))[: len(there) - 1]  # K = 1: they scatter as is assumed
        each = [
            noticeable(gate.beside(known, j, 0.0, others), of.levels.looks[-1], place)
            for j, place in zip(there, places, strict=True)
        ]
        whole = noticeable(gate.together(known, np.zeros(len(there))), of.levels.together, places[0])
        found[of.metrics[m]] = (places[0].words(max(each)), places[0].words(whole if len(there) > 1 else max(each)))
    return found
