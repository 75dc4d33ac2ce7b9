"""A rule and the samples → the series of requests (or gaps) that it is about, worst values last to be excused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from pytest_vllm_bench.metric_table import FROM_DUE, Name
from pytest_vllm_bench.model import Message, Rule, Sample

#: The client's own figures: a failed request has them too, and one without them is no miss.
CLIENT_FIGURES = frozenset({"connect", "send_lag", "slot_wait"})
#: Undefined for an answer of one token, which then is left out.
NEED_TWO_TOKENS = frozenset({"tpot", "max_gap", "output_tps_per_user"})
Window = Literal["whole", "steady"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The rule's sample in the order of sending, repeats one after another.

    ``badness``: the value in the limit's unit, larger = worse (negated for >= rules), +inf for a failed request or a
    missing value; ``failed``: which of them have no value; ``sizes``, ``misses``: per repeat.  ``margin``: the limit ÷
    the largest value (of a lower limit, the smallest value ÷ it); 0 where a request failed.
    """

    badness: Any
    missed: Any
    failed: Any
    sizes: tuple[int, ...]
    misses: tuple[int, ...]
    margin: float = 0.0

    @property
    def n(self) -> int:
        return sum(self.sizes)

    @property
    def k(self) -> int:
        return sum(self.misses)


def allowed_share(rule: Rule, name: Name) -> Fraction | None:
    """m, the share of the sample that may miss the limit; None where the rule is not judged by counting misses."""
    upper, lower = rule.op in ("<=", "<"), rule.op in (">=", ">")
    limit = Fraction(rule.limit)
    if name.row.id == "failed_ratio":
        return limit if upper else None
    if name.row.id in ("goodput_ratio", "slo_attainment"):
        return 1 - limit if lower else None
    if (name.statistic == "max" and upper) or (name.statistic == "min" and lower):
        return Fraction(0)
    if name.percent is None or not (upper or lower):
        return None
    share = Fraction(name.percent) / 100
    return 1 - share if upper else share


def metric_id(name: Name, open_loop: bool) -> str:
    """Which value the rule reads: with a finite rate that from ``due``, unless ``service_`` was asked for."""
    if open_loop and not name.service:
        return FROM_DUE.get(name.row.id, name.row.id)
    return name.row.id


def nothing_to_count(rule: Rule, name: Name, samples: Sequence[Sample], goodput: Mapping[str, float]) -> Message | None:
    """Why the samples have no values for a rule that counts them: nobody set its limit, or another tool, or this kind
    of load, has none of them."""
    if name.row.id in ("goodput_ratio", "slo_attainment") and not goodput:
        return Message(key="judge.no_goodput")
    if name.slo and name.slo not in goodput:
        return Message(key="judge.slo_not_set", values={"rule": rule.text, "slo": name.slo})
    there = all(id in sample.values for sample in samples for id in counts(name, sample))
    return None if there else Message(key="judge.not_measured")


def counts(name: Name, sample: Sample) -> list[str]:
    """The metrics whose values a rule on requests counts."""
    if name.row.per == "request":
        return [metric_id(name, sample.open_loop)]
    if name.row.id == "goodput_ratio":
        return list(sample.met)
    return [name.slo] if name.slo else []


def series(
    rule: Rule, name: Name, samples: Sequence[Sample], window: Window, goodput: Mapping[str, float]
) -> Series:  # fmt: skip
    """The series of a rule that counts misses, in the given window of every sample."""
    parts = []
    for sample in samples:
        if name.row.per in ("gap", "token"):
            parts.append(_gaps(rule, name, sample, window))
        elif name.row.per == "run":
            parts.append(_ratio(name, sample, window, goodput))
        else:
            parts.append(_requests(rule, name, sample, window))
    badness, missed, failed = (np.concatenate([p[i] for p in parts]) for i in range(3))
    return Series(
        badness=badness,
        missed=missed,
        failed=failed,
        sizes=tuple(len(p[0]) for p in parts),
        misses=tuple(int(p[1].sum()) for p in parts),
        margin=_margin(rule, name, badness) if all(s.ok[s.counted].all() for s in samples) else 0.0,
    )


def _margin(rule: Rule, name: Name, badness: Any) -> float:
    """How many times the largest value would still keep the limit; of failures alone there are no values."""
    if not len(badness) or name.row.id == "failed_ratio":
        return 0.0
    worst = float(badness.max())
    if name.row.per == "run":
        return 1 / worst if worst > 0 else math.inf
    limit = float(rule.limit)
    if rule.op in ("<=", "<"):
        return limit / worst if worst > 0 else math.inf
    return -worst / limit if limit > 0 else 0.0


Part = tuple[Any, Any, Any]


def _beyond(rule: Rule, values: Any) -> Any:
    limit = float(rule.limit)
    return {"<=": values > limit, "<": values >= limit, ">=": values < limit, ">": values <= limit}[rule.op]


def _badness(rule: Rule, values: Any) -> Any:
    return values if rule.op in ("<=", "<") else -values


def _in_order(sample: Sample, chosen: Any) -> Any:
    """Indexes of the chosen requests by when they were sent."""
    where = np.flatnonzero(chosen)
    return where[np.argsort(sample.tried[where], kind="stable")]


def _requests(rule: Rule, name: Name, sample: Sample, window: Window) -> Part:
    (id,) = counts(name, sample)
    values = sample.values[id]
    chosen = sample.counted if window == "whole" else sample.in_steady
    if id in CLIENT_FIGURES:
        chosen = chosen & np.isfinite(values)
    elif id in NEED_TWO_TOKENS:
        chosen = chosen & ~(sample.ok & sample.one_token & np.isnan(values))
    rows = _in_order(sample, chosen)
    scale = 1000 if name.row.unit == "ms" else 1
    found = values[rows] * scale
    failed = np.isnan(found)
    missed = failed | _beyond(rule, found)
    return np.where(failed, math.inf, _badness(rule, found)), missed, failed


def _gaps(rule: Rule, name: Name, sample: Sample, window: Window) -> Part:
    ended, gaps = sample.gaps[name.row.id]
    if window == "steady" and sample.steady is not None:
        inside = (ended > sample.steady[0]) & (ended <= sample.steady[1])
        ended, gaps = ended[inside], gaps[inside]
    found = gaps[np.argsort(ended, kind="stable")] * 1000
    return _badness(rule, found), _beyond(rule, found), np.isnan(found)


def _ratio(name: Name, sample: Sample, window: Window, goodput: Mapping[str, float]) -> Part:
    """failed_ratio, goodput_ratio, slo_attainment.x: a request's badness is its worst value ÷ limit."""
    if name.row.id == "failed_ratio":
        rows = _in_order(sample, sample.counted)
        failed = ~sample.ok[rows]
        return failed.astype(np.float64), failed, failed
    chosen = sample.counted if window == "whole" else sample.in_steady | (sample.counted & ~sample.ok)
    rows = _in_order(sample, chosen)
    slos = counts(name, sample)
    met = np.logical_and.reduce([sample.met[slo][rows] for slo in slos])
    ratios = [
        sample.values[FROM_DUE[slo] if sample.open_loop and slo in FROM_DUE else slo][rows] * 1000 / goodput[slo]
        for slo in slos
    ]
    worst = np.fmax.reduce(ratios)
    failed = ~sample.ok[rows]
    worst = np.where(failed | (np.isnan(worst) & ~met), math.inf, np.where(np.isnan(worst), 0.0, worst))
    return worst, ~met, failed


def observed(series: Series, share: Fraction, rule: Rule) -> float | Literal["inf"]:
    """The order statistic that decides: sorted[⌈n(1−m)⌉ − 1], misses last; "inf" if it is a failure."""
    position = math.ceil(series.n * (1 - share)) - 1
    value = float(np.partition(series.badness, position)[position])
    if math.isinf(value):
        return "inf"
    return float(_badness(rule, value))
