"""Saved results, ours or another tool's, and rules → the same verdicts as after a run, without a server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_vllm_bench import files
from pytest_vllm_bench import judge as stage
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judge import doubts, imports
from pytest_vllm_bench.judge.summary import judge_figures
from pytest_vllm_bench.judging import judge, limits, waited
from pytest_vllm_bench.measure.columns import sample
from pytest_vllm_bench.measure.settings import settings_of
from pytest_vllm_bench.metric_table import parse_name, parse_rule
from pytest_vllm_bench.model import (
    Cell,
    JudgeSettings,
    Measurement,
    Message,
    Metrics,
    Result,
    Rule,
    Scenario,
    Target,
    Verdict,
)
from pytest_vllm_bench.store import earlier
from pytest_vllm_bench.store.foreign import is_ours, understood


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What to judge by; what is not said is each result's own (another tool's has none)."""

    rules: tuple[Rule, ...] = ()
    goodput: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)  # of JudgeSettings

    def of(self, scenario: Scenario) -> Scenario:
        """The scenario, judged by what is asked."""
        return replace(
            scenario,
            rules=self.rules or scenario.rules,
            goodput=self.goodput or scenario.goodput,
            judge=replace(scenario.judge, **self.settings),
        )


def parsed(texts: Sequence[str]) -> tuple[Rule, ...]:
    """Rules as written; BenchError for the first that is none."""
    found = []
    for text in texts:
        rule = parse_rule(text)
        if isinstance(rule, Message):
            raise BenchError(rule.key, **rule.values)
        found.append(rule)
    return tuple(found)


def results(path: Path, asked: Criteria) -> Iterator[Result]:
    """Judge every result in a file; BenchError if it is nobody's."""
    found, name = files.documents(path), files.shown(path)
    for i, data in enumerate(found):
        yield from judged_again(data, path, name if len(found) == 1 else f"{name}[{i}]", asked)


def judged_again(data: Any, path: Path, name: str, asked: Criteria) -> Iterator[Result]:
    """Judge the results in one of a file's documents."""
    if isinstance(data, dict) and is_ours(data):
        yield ours(understood(data, path)[0], asked)
        return
    try:
        found = imports.read(data, name)
    except ValueError as error:
        raise BenchError("files.not_read", why=str(error)) from None
    if isinstance(found, Message):
        raise BenchError(found.key, **found.values)
    for one in found:
        yield theirs(one, asked)


def ours(saved: Result, asked: Criteria) -> Result:
    """A saved result of ours: from its measurement, or what an earlier version kept of it; else from its figures.

    The last of a scenario's repeats pools them all, if they are there; an earlier one is judged by rules only if these
    are asked for, as after the run.  A search's answer keeps its verdict, which is not one of its figures.
    """
    measured = earlier.measurements(saved)
    scenario = asked.of(measured[-1].scenario if measured else saved.scenario)
    answer = saved.capacity is not None and not asked.rules
    waits = answer or (not asked.rules and waited(scenario, saved))
    if measured:
        made = judge(scenario, measured, waits=waits)
    else:
        figures = {**saved.metrics, **saved.pooled}
        odd = doubts.among(saved.notes)
        made = by_figures(
            scenario, figures, asked, waits=waits, rated=scenario.open_loop, complete=saved.complete, odd=odd
        )
        if "predicted" in saved.taints:
            made = replace(made, taints=("predicted", *made.taints))
    if waits and not answer and set(stage.effective_rules(scenario)) > set(stage.of_one_repeat(scenario)):
        made = replace(made, notes=(*made.notes, Message(key="judge.waits", values={"repeats": scenario.repeats.max})))
    if 0 < len(measured) < len(saved.per_repeat):
        lost = Message(key="judge.not_pooled", values={"repeats": len(saved.per_repeat)})
        made = replace(made, notes=(*made.notes, lost))
    if answer:
        return replace(made, verdict=saved.verdict or made.verdict, notes=saved.notes)
    held = saved.baseline if saved.verdict is Verdict.FAIL and not asked.rules else None
    if held is not None and held.failed:
        made = replace(made, verdict=Verdict.worst([made.verdict, Verdict.FAIL]), notes=(*made.notes, *held.failed))
    void = earlier.void(saved, measured)
    return replace(made, verdict=Verdict.INVALID, checks=void) if void else made


def theirs(one: imports.ForeignResult, asked: Criteria) -> Result:
    """A result of another tool; what it lacks is among the notes."""
    scenario = Scenario(
        cell=Cell(place=one.name or one.source),
        target=Target(),
        backend=one.source,
        models=(one.model,) if one.model else (),
        concurrency=one.concurrency,
        request_rate=one.request_rate,
        goodput=asked.goodput,
        rules=asked.rules,
        judge=replace(JudgeSettings(), **asked.settings),
    )
    if not one.records:
        made = by_figures(scenario, one.figures, asked, complete=one.complete)
    else:
        known = one.known_part(sample(one.records, settings_of(scenario)))
        measured = Measurement(scenario=scenario, records=one.records, samples={limits(scenario): known})
        made = judge(scenario, [measured], besides={} if one.has_starts else known_of(one.figures, asked))
    return replace(made, notes=(*made.notes, *one.lacks))


def known_of(row: Metrics, asked: Criteria) -> dict[str, float | int | None]:
    """Its figures, without those that are of other goodput limits than the ones asked for."""
    figures = dict(row)
    if not asked.goodput:
        return figures
    return {k: v for k, v in figures.items() if (n := parse_name(k)) is None or "goodput" not in n.row.needs}


def by_figures(
    scenario: Scenario,
    row: Metrics,
    asked: Criteria,
    *,
    waits: bool = False,
    rated: bool = False,
    complete: bool,
    odd: Sequence[Message] = (),
) -> Result:
    """Verdicts from figures alone: observed, never proven.  ``rated``: latencies count from ``due``."""
    figures = known_of(row, asked)
    rules = stage.of_one_repeat(scenario) if waits else stage.effective_rules(scenario)
    verdicts = judge_figures(rules, figures, scenario.judge, rated=rated, doubts=odd)
    at_best = Verdict.PASS if complete else Verdict.INCONCLUSIVE
    return Result(
        scenario=scenario,
        verdict=Verdict.worst([at_best, *(v.verdict for v in verdicts)]),
        complete=complete,
        metrics=figures,
        verdicts=verdicts,
        notes=(*(() if complete else (Message(key="judge.interrupted"),)), *odd),
        taints=Measurement(scenario=scenario, interrupted=not complete).taints,
    )
