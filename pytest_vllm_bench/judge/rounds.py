"""Two targets measured in turn within one session, AB, BA, … → what of B is worse than A, by the rounds' differences.

d = ln(B) − ln(A) of a round, worse = more; its variance is moderated over all cells that both have taken, as that of a
reference's scenarios is (``noise``).  Nothing is measured afresh, so each comparison has its share of the 1 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_vllm_bench.judge import noise
from pytest_vllm_bench.judge.baseline import KEPT, SessionFigures
from pytest_vllm_bench.judge.comparison import BaselineSettings, Place, at_once, has, runs_of, scale_of, tolerance_of
from pytest_vllm_bench.judge.gate import Apart
from pytest_vllm_bench.judge.looks import level
from pytest_vllm_bench.judge.standing import noticeable
from pytest_vllm_bench.model import FEWEST_ROUNDS, Comparison, Message

#: By cell, whatever names it: what A and B took of it, rounds of the same number beside one another.
Pairs = Mapping[Any, tuple[SessionFigures, SessionFigures]]


@np.errstate(all="ignore")
def compare_rounds(
    pairs: Pairs, cell: Any, settings: BaselineSettings, planned: int, looks: tuple[int, ...] = ()
) -> list[Comparison] | Message:
    """B against A in one cell, the others saying how much rounds vary; ``planned``: comparisons in this session.
    Where one took more rounds than the other, those that both took count.  ``looks``: see ``looks``."""
    rounds = min(one.repeats for one in pairs[cell])
    if rounds < FEWEST_ROUNDS:
        return Message(key="judge.targets_rounds", values={"rounds": rounds, "needed": FEWEST_ROUNDS})
    metrics = [m for m in dict.fromkeys((*settings.gated, *KEPT)) if _differences(pairs[cell], m, settings) is not None]
    cells = [cell, *(name for name in pairs if name != cell)]
    drawn = {(m, c): d for m in metrics for c in cells if (d := _differences(pairs[c], m, settings)) is not None}
    df = np.array([[max(0, len(drawn.get((m, c), ())) - 1) for c in cells] for m in metrics])
    variances = np.array([[np.var(drawn[m, c], ddof=1) if n else 0.0 for c, n in zip(cells, row, strict=True)]
                          for m, row in zip(metrics, df, strict=True)])  # fmt: skip
    together = [i for i, m in enumerate(metrics) if m in settings.gated and tolerance_of(m, settings)[1]]
    floored = noise.at_least(variances.reshape(df.shape), together, -2)
    moderated, worth = noise.moderated(floored, df, df.sum(-1, keepdims=True))
    alpha, found = level(looks, rounds, at_once(planned)), []
    settings = replace(settings, confidence=1 - level(looks, rounds, 1 - settings.confidence))
    for i, metric in enumerate(metrics):
        d = drawn[metric, cell]
        apart = Apart(x=d.mean(), errors=[(np.sqrt(moderated[i, 0] / len(d)), worth[i, 0], 1.0)])
        found.append(_compared(apart, alpha, _place(pairs[cell], metric, settings)))
    return found


def _differences(pair: tuple[SessionFigures, SessionFigures], metric: str, settings: BaselineSettings) -> Any:
    """d of each round ÷ the noise that is assumed; None where a round lacks a figure."""
    relative, rounds = tolerance_of(metric, settings)[1], min(one.repeats for one in pair)
    if not all(has(one, metric, relative) and len(one.values[metric]) == one.repeats for one in pair):
        return None
    a, b = (runs_of(one, metric, settings)[:rounds] for one in pair)
    return (b - a) / scale_of(metric, float(a.mean()), settings)


def _place(pair: tuple[SessionFigures, SessionFigures], metric: str, settings: BaselineSettings) -> Place:
    rounds = min(one.repeats for one in pair)
    base = float(runs_of(pair[0], metric, settings)[:rounds].mean())
    scale = scale_of(metric, base, settings)
    return Place(metric=metric, settings=settings, base=base, scale=scale, sessions=rounds)


def _compared(apart: Apart, alpha: float, place: Place) -> Comparison:
    sure = place.settings.confidence
    width, over = float(apart.width(sure)), bool(apart.x > apart.needed(alpha, place.limit, sure))
    within = place.within(float(apart.x) + width)
    reason = "targets_worse" if over else "baseline_within" if within else "baseline_unproven"
    seen = (float(apart.x), float(apart.x) - width, float(apart.x) + width)
    return place.compared(seen, noticeable(apart, alpha, place), f"judge.{reason}", {})
