"""Two sets of results → what changed between them, and what of that is proven, by the judge's own comparison.

Of each scenario the newest session counts, its repeats pooled.  All figures that are shown are judged together: where
nothing changed, 1 % of comparisons show a change.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judge import baseline
from pytest_vllm_bench.judge.baseline import SessionFigures
from pytest_vllm_bench.judge.comparison import BaselineSettings, at_once, compare_two
from pytest_vllm_bench.judge.standing import ALL, compare_all, standing
from pytest_vllm_bench.metric_table import COMPARE, parse_name, unknown
from pytest_vllm_bench.model import Comparison, Message, Result, Verdict
from pytest_vllm_bench.report.compare import Change, Condition, Finding, SideBySide
from pytest_vllm_bench.store.folder import order, session_of
from pytest_vllm_bench.store.row import config

#: What is shown where no conditions ask for something else.
SHOWN = (
    "output_throughput", "request_throughput", "goodput_ratio", "mean_ttft_ms", "p99_ttft_ms", "mean_tpot_ms",
    "mean_e2el_ms", "p99_e2el_ms",
)  # fmt: skip
_CONDITION = re.compile(r"\s*([^\s<>=]+)\s*(<=|>=|<|>)\s*([+-]?)(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*")
#: What of a result, its config and its plan makes its load what it is.
LOAD = (
    "backend", "endpoint", "dataset", "input_len", "output_len", "concurrency", "max_concurrency", "request_rate",
    "burstiness", "ramp_up", "stages", "num_prompts", "duration", "seed", "cache", "sampling", "extra_body",
    "force_length",
)  # fmt: skip


def condition(text: str) -> Condition:
    """``mean_tpot_ms > +5%`` (of what it was) or ``mean_ttft_ms > 20`` (in its unit); BenchError for anything else."""
    if (found := _CONDITION.fullmatch(text)) is None:
        raise BenchError("report.compare.not_a_condition", text=text)
    metric, op, sign, number, percent = found.groups()
    if parse_name(metric) is None:
        raise BenchError(unknown(metric).key, **unknown(metric).values)
    if op in ("<", "<=") and not sign and float(number):
        raise BenchError("report.compare.no_sign", text=text, instead=f"{metric} {op} -{number}{percent}")
    limit = float(sign + number) / (100 if percent else 1)
    return Condition(text=text.strip(), metric=metric, op=op, limit=limit, relative=bool(percent))


def side_by_side(
    before: Sequence[Result],
    after: Sequence[Result],
    names: tuple[str, str] = ("", ""),
    conditions: Sequence[Condition] = (),
) -> SideBySide:
    """Match both sides on the scenario without its number of requests; ``conditions``: what is asked of the changes."""
    old, new = pooled(before), pooled(after)
    shared = [key for key in new if key in old]
    unfit = {key: why for key in shared if (why := _unfit(old[key], new[key])) is not None}
    asked = conditions or [Condition(metric=metric) for metric in SHOWN]
    metrics = [one.metric for one in asked]
    pairs = {key: [baseline.session_of(side[key], metrics) for side in (old, new)] for key in shared}
    tested = {key: pair for key, pair in pairs.items() if key not in unfit}
    planned = max(1, len(tested) * len(asked) * (1 if conditions else 2))  # a change is looked for on both sides
    alone = [[one] for pair in tested.values() for one in pair]
    repeats = {key: min(one.repeats for one in pair) for key, pair in tested.items()}
    noise = {n: baseline.noise_shown(alone, n) for n in set(repeats.values())}
    changes = _together(tested, asked)
    for key, pair in pairs.items():
        proof = _proof(pair, asked, planned, noise[repeats[key]]) if key in tested else {}
        made = (_change(key, one, pair, proof.get((one.metric, one.relative))) for one in asked)
        changes += [one for one in made if conditions or None not in (one.before, one.after)]
    return SideBySide(
        before=names[0] or max(map(session_of, before), default=""),
        after=names[1] or max(map(session_of, after), default=""),
        changes=tuple(changes),
        only_before=tuple(key for key in old if key not in new),
        only_after=tuple(key for key in new if key not in old),
        untested=tuple(unfit.items()),
        others=tuple(
            (key, note)
            for key, (one, two) in pairs.items()
            for note in baseline.differences(one.environment, two.environment)
        ),
        conditions=tuple(conditions),
    )


def _together(tested: Mapping[str, Sequence[SessionFigures]], asked: Sequence[Condition]) -> list[Change]:
    """The geometric mean of all scenarios' changes, by the judge's own gate of a whole matrix, of what is relative."""
    metrics = list(dict.fromkeys(one.metric for one in asked if one.relative))
    if len(tested) < 2 or not metrics:
        return []
    sure = 1 - at_once(2 * len(metrics))
    settings = BaselineSettings(tolerance=dict.fromkeys(metrics, "0%"), confidence=sure)
    of = standing({key: pair[:1] for key, pair in tested.items()}, settings, len(tested))
    made = {one.metric: one for one in compare_all(of, {key: pair[1:] for key, pair in tested.items()})}
    return [
        Change(
            scenario=ALL,
            metric=one.metric,
            before=1.0,
            after=1.0 + made[one.metric].change,
            interval=made[one.metric].interval,
            condition=one.text,
            finding=_finding(one, made[one.metric].interval),
        )
        for one in asked
        if one.relative and one.metric in made
    ]


def pooled(results: Sequence[Result]) -> dict[str, Result]:
    """Of each scenario the newest session's result, of all its repeats; in table order."""
    cells: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda one: (session_of(one), one.scenario.repeat)):
        if result.scenario.of_start:  # what its one request took says nothing
            continue
        cells.setdefault(result.scenario.cell.key, []).append(result)
    found = {}
    for key, runs in cells.items():
        last = runs[-1]
        cell = session_of(last), last.scenario.cell.repeated
        same = [one for one in runs if (session_of(one), one.scenario.cell.repeated) == cell]
        apart = [{**one.metrics, "plan_digest": one.plan.digest if one.plan else None} for one in same]
        found[key] = last if last.per_repeat or len(same) == 1 else replace(last, per_repeat=apart)
    return {key: found[key] for key in sorted(found, key=lambda key: order(found[key]))}


def _unfit(old: Result, new: Result) -> Message | None:
    """Why nothing of this scenario can be tested: figures alone, another load, or a result that is none."""
    if Verdict.INVALID in (old.verdict, new.verdict):
        return Message(key="report.compare.invalid")
    if not (old.complete and new.complete):
        return Message(key="report.compare.incomplete")
    if "predicted" in {*old.taints, *new.taints}:
        return Message(key="report.compare.predicted")
    digests = [baseline.session_of(one).digest for one in (old, new)]
    differing = ", ".join(_differing(old, new))
    if None in digests:
        key = "report.compare.other_load" if differing else "report.compare.figures_only"
    elif digests[0] == digests[1]:
        return None
    else:
        key = "report.compare.other_plan" if differing else "report.compare.other_prompts"
    return Message(key=key, values={"what": differing})


def _differing(old: Result, new: Result) -> Iterator[str]:
    """What two loads differ in, as far as both say: ``num_prompts 160 → 320``."""
    one, two = _load(old), _load(new)
    return (f"{name} {one[name]} → {two[name]}" for name in one if name in two and one[name] != two[name])


def _load(result: Result) -> dict[str, Any]:
    told = {**config(result.scenario), "force_length": result.plan.force_length if result.plan else None}
    return dict(leaf for key in LOAD if told.get(key) is not None for leaf in _leaves(key, told[key]))


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield name, value
        return
    for key, inner in value.items():
        yield from _leaves(f"{name}.{key}", inner)


def _proof(
    pair: Sequence[SessionFigures], asked: Sequence[Condition], planned: int, shown: Mapping[str, float]
) -> dict[tuple[str, bool], Comparison]:
    """By metric, and whether its change is relative: the judge's comparison with no worsening accepted, so that its
    interval, which is as sure at both ends, says better and worse."""
    found: dict[tuple[str, bool], Comparison] = {}
    for relative in (True, False):
        gated: dict[str, str | float] = {c.metric: "0%" if relative else 0.0 for c in asked if c.relative is relative}
        settings = BaselineSettings(tolerance=gated, confidence=1 - at_once(planned))
        made = compare_two(pair[0], pair[1], settings, planned, shown) if gated else ()
        found |= {(c.metric, relative): c for c in made if c.gated}
    return found


def _change(scenario: str, asked: Condition, pair: Sequence[SessionFigures], proof: Comparison | None) -> Change:
    figures = [s.values.get(asked.metric) for s in pair]
    before, after = (None if f is None else float(np.mean(f)) for f in figures)
    made = Change(
        scenario=scenario,
        metric=asked.metric,
        before=before,
        after=after,
        relative=asked.relative,
        repeats=(pair[0].repeats, pair[1].repeats),
        condition=asked.text,
        finding="untested",
    )
    if proof is None or (math.isclose(*proof.interval, rel_tol=1e-9) and proof.change):  # no noise known: 0 before
        return made
    finding = _finding(asked, proof.interval)
    return replace(made, before=proof.reference, after=proof.observed, interval=proof.interval, finding=finding)


def _finding(asked: Condition, interval: tuple[float, float]) -> Finding:
    low, high = interval
    if asked.text:
        met = [COMPARE[asked.op](end, asked.limit) for end in interval]
        return "beyond" if all(met) else "undecided" if any(met) else "within"
    if low <= 0 <= high or (name := parse_name(asked.metric)) is None or name.row.better == "neither":
        return "unproven"
    return "better" if (low > 0) is (name.row.better == "higher") else "worse"
