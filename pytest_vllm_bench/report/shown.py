"""Results → what tables and charts show of them: repeats as one, probes under their search, the worst first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pytest_vllm_bench.metric_table import STARTUP
from pytest_vllm_bench.model import Cell, Metrics, Result, RuleVerdict, Verdict
from pytest_vllm_bench.report.verdict import coloured, of_test
from pytest_vllm_bench.store.folder import order, session_of

#: Share of a request's time below which a stage is not shown.
LEAST = 0.0005


def pooled(results: Iterable[Result]) -> list[Result]:
    """Of a scenario's repeats the one that judged them all, with the figures of all; the others where none did.

    Of a start its own figures are shown, and not those of its one request."""
    results = list(results)
    judges: dict[tuple[str, Cell], int] = {}  # several, where others wanted more of one that was decided
    for one in (one for one in results if one.per_repeat):
        cell = session_of(one), one.scenario.cell.repeated
        judges[cell] = max(judges.get(cell, 0), len(one.per_repeat))
    found = []
    for one in results:
        if one.scenario.of_start:
            figures = {key: one.metrics.get(key) for key in ("completed", "failed")}
            one = replace(one, metrics=figures | started(one), pooled={})
        if one.per_repeat and len(one.per_repeat) == judges[session_of(one), one.scenario.cell.repeated]:
            asked = replace(one.scenario, cell=one.scenario.cell.repeated)
            found.append(replace(one, scenario=asked, metrics={**one.metrics, **one.pooled}))
        elif (session_of(one), one.scenario.cell.repeated) not in judges:
            found.append(one)
    return found


def started(result: Result) -> dict[str, float]:
    """Figures of its server's start, where the test started it."""
    return {key: value for key, value in result.server.items() if key in STARTUP}


def without_probes(results: Iterable[Result]) -> list[Result]:
    """Without those whose search has its answer among the results."""
    results = list(results)
    answered = {one.scenario.cell.of_search for one in results if one.capacity}
    return [one for one in results if not one.scenario.probe_of or one.scenario.cell.of_search not in answered]


def worst_first(results: Iterable[Result]) -> list[Result]:
    """Invalid, failed, undecided, passed; within each as every table is sorted.  Probes come last."""
    return sorted(results, key=lambda one: (bool(one.scenario.probe_of), -rank(one), order(one)))


def rank(result: Result) -> int:
    """As the verdict's; a test that failed counts as a failure, and no verdict as the least."""
    shown = coloured(result.verdict, of_test(result)[0])
    return shown.rank if shown else -1


def spread(result: Result, key: str) -> tuple[float, float] | None:
    """The least and the greatest that the repeats had; None where there is one."""
    values = [value for one in result.per_repeat if isinstance(value := one.get(key), int | float)]
    return (min(values), max(values)) if len(values) > 1 else None


def broken(result: Result, key: str) -> RuleVerdict | None:
    """The first rule on this figure that did not pass."""
    judged = (one for one in result.verdicts if one.verdict is not Verdict.PASS)
    return next((one for one in judged if figure_of(one) == key), None)


def figure_of(judged: RuleVerdict) -> str:
    """The figure that a rule is on, of whichever window."""
    return judged.rule.metric.removeprefix("steady_").removeprefix("whole_")


def rules(results: Sequence[Result]) -> list[tuple[str, RuleVerdict, Result, dict[Verdict, int]]]:
    """Each rule once, those that failed first: its text, how it fared at worst and where, and its verdicts' counts."""
    found: dict[str, list[tuple[Result, RuleVerdict]]] = {}
    for result in results:
        for judged in () if result.scenario.probe_of else result.verdicts:
            found.setdefault(judged.rule.text, []).append((result, judged))
    lines = []
    for text, every in found.items():
        hits = [hit for hit in every if hit[0].verdict is not Verdict.INVALID] or every  # whose figures can be used
        where, worst = max(hits, key=lambda hit: (hit[1].verdict.rank, nearness(hit[1])))
        counts = {verdict: sum(judged.verdict is verdict for _, judged in hits) for verdict in Verdict}
        lines.append((text, worst, where, counts))
    return sorted(lines, key=lambda line: (-line[1].verdict.rank, line[1].rule.implied))


def nearness(judged: RuleVerdict) -> float:
    """How far a figure lies over its limit (below 0: within it), as a share of it; infinite where that is no number."""
    value, limit = judged.observed, float(judged.rule.limit)
    if not isinstance(value, int | float) or not limit:
        return math.inf if judged.verdict is Verdict.FAIL else 0.0
    gap = (value - limit) / abs(limit)
    return -gap if judged.rule.op in (">", ">=") else gap


def stages(result: Result) -> list[tuple[str, Metrics, float]]:
    """What a scenario's requests were made of: each stage that took anything, and its share of all of it."""
    took = {stage: max(0.0, of.get("mean") or 0.0) for stage, of in result.stages.items()}
    whole = sum(took.values())
    return [
        (stage, result.stages[stage], took[stage] / whole) for stage in took if whole and took[stage] > LEAST * whole
    ]
