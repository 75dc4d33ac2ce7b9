"""Results → the few sentences that matter, found by rule."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from pytest_vllm_bench.model import AbsentResult, Message, Result, Verdict
from pytest_vllm_bench.report import baseline, culprit, frontier, words
from pytest_vllm_bench.report.chart import message
from pytest_vllm_bench.report.failure import observed
from pytest_vllm_bench.report.load import by_shape, either
from pytest_vllm_bench.report.shown import nearness
from pytest_vllm_bench.report.terminal import DOUBT
from pytest_vllm_bench.report.verdict import Roll, gates

#: A step of load is worth it while throughput grows at least with this power of it: by a fifth for each doubling.
WORTH = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence; ``saved`` is a message of a result that belongs behind it."""

    kind: Literal["bad", "warn", "good", "info"]
    message: Message
    scenario: str = ""
    saved: Message | None = None


def findings(results: Sequence[Result], roll: Roll = Roll()) -> list[Finding]:
    """What a reader must know: the first of each kind, the most urgent kind first, then the rest."""
    gated = gates(results)
    loads = [r for r in results if not (r.capacity or r.scenario.of_start)]  # an answer repeats one of its probes
    judged = [result for result in gated if not result.capacity]
    kinds = [
        whole(roll), absent(roll.missing), invalid(gated), capacities(results), breaches(judged), regressions(judged),
        best(loads), settings(results, roll), knees(loads), failures(loads), doubts(loads), undecided(gated),
    ]  # fmt: skip
    return [*(found[0] for found in kinds if found), *(one for found in kinds for one in found[1:])]


def whole(roll: Roll) -> list[Finding]:
    """What failed of the session as a whole."""
    return [Finding(kind="bad", message=message("page.finding.whole", said=said)) for said in roll.failed]


def absent(missing: Sequence[AbsentResult]) -> list[Finding]:
    """For each reason why scenarios did not run one sentence."""
    reasons: dict[str, list[AbsentResult]] = {}
    for one in missing:
        reasons.setdefault(words.why(one, "en"), []).append(one)
    return [
        Finding(
            kind="bad",
            message=some("page.finding.not_run", hit[0].id, len(hit)),
            saved=message("page.plain", text=hit[0].said) if hit[0].said else words.reason(hit[0]),
        )
        for hit in sorted(reasons.values(), key=len, reverse=True)
    ]


def invalid(results: Sequence[Result]) -> list[Finding]:
    """For each reason of invalidity one sentence, however many scenarios it spoiled."""
    reasons: dict[str, list[tuple[Result, Message]]] = {}
    for result in results:
        for check in result.checks:
            if not check.ok:
                reasons.setdefault(check.id, []).append((result, check.message))
        if result.error:
            reasons.setdefault("error", []).append((result, result.error))
    return [
        Finding(
            kind="bad",
            message=some("page.finding.invalid", hit[0][0].id, len(hit)),
            scenario=hit[0][0].id,
            saved=hit[0][1],
        )
        for hit in sorted(reasons.values(), key=len, reverse=True)
    ]


def capacities(results: Sequence[Result]) -> list[Finding]:
    """What each search for the capacity found."""
    kinds: dict[Verdict | None, Literal["bad", "warn", "good"]] = {
        Verdict.PASS: "good", Verdict.FAIL: "bad", Verdict.INVALID: "bad",
    }  # fmt: skip
    return [
        Finding(
            kind=kinds.get(result.verdict, "warn"),
            message=message("page.finding.capacity", scenario=result.id),
            scenario=result.id,
            saved=told[0] if len(told) == 1 else message("report.short.listed", first=told[0], then=told[1]),
        )
        for result in results
        if result.capacity and (told := [note for note in result.notes if note.key.startswith("judge.capacity")][:2])
    ]


def breaches(results: Sequence[Result]) -> list[Finding]:
    """The worst breach: the furthest over its limit, relative to it; and how many more there are."""
    usable = (result for result in results if result.verdict is not Verdict.INVALID)
    hits = [(result, one) for result in usable for one in result.verdicts if one.verdict is Verdict.FAIL]
    if not hits:
        return []
    result, worst = max(hits, key=lambda hit: nearness(hit[1]))
    key = "page.finding.breach" if nearness(worst) < math.inf else "page.finding.no_data"
    said = message(
        key,
        scenario=result.id,
        rule=worst.rule.text,
        observed=message("page.plain", text=observed(worst, "en", unit=True))
        if worst.observed is not None
        else message("report.no_data"),
        over=f"{100 * nearness(worst):.0f}",
    )
    blamed = next(iter(culprit.told(worst)), None) if worst.culprit and worst.culprit.stage else None
    found = [Finding(kind="bad", message=said, scenario=result.id, saved=blamed)]
    if len(hits) > 1:
        found.append(Finding(kind="bad", message=message("page.finding.more_breaches", n=len(hits) - 1)))
    return found


def settings(results: Sequence[Result], roll: Roll) -> list[Finding]:
    """What came of gates on the best setting, and which one that is."""
    kinds: dict[Verdict, Literal["bad", "warn", "good"]] = {Verdict.FAIL: "bad", Verdict.PASS: "good"}
    judged = [one for gate in roll.frontiers for one in frontier.judge(results, gate, roll)]
    found = [Finding(kind=kinds.get(one.verdict, "warn"), message=one.said, scenario=one.best) for one in judged]
    return [*found, *(Finding(kind="good", message=said, scenario=id)
                      for said, id in frontier.sentences(results, roll.frontiers))]  # fmt: skip


def regressions(results: Sequence[Result]) -> list[Finding]:
    """What failed against each reference: the scenario that changed most, or was not compared, and how many more."""
    hits: dict[str, list[tuple[Result, Message]]] = {}
    for result in results:
        if result.baseline and result.verdict is Verdict.FAIL and (why := result.baseline.failed):
            hits.setdefault(result.baseline.reference, []).append((result, why[0]))
    found = []
    for name, of in hits.items():
        worst, why_first = max(of, key=lambda hit: _changed(hit[0]))
        said = some("page.finding.regression", worst.id, len(of), name=name)
        found.append(Finding(kind="bad", message=said, scenario=worst.id, saved=why_first))
    return found


def _changed(result: Result) -> float:
    """The largest change that failed, as a share of the reference."""
    return max((abs(c.observed / c.reference - 1) for c in baseline.worse(result) if c.reference), default=0.0)


def failures(results: Sequence[Result]) -> list[Finding]:
    """How many requests failed, and in the server's own words why."""
    failed = sum(_count(result, "failed") for result in results)
    if not failed:
        return []
    everything = failed + sum(_count(result, "completed") for result in results)
    worst = max(results, key=lambda result: _count(result, "failed"))
    counts = Counter[str]()
    for result in results:
        counts.update(result.requests.error_counts)
    values = {"failed": failed, "n": everything, "scenario": worst.id}
    said = message("page.finding.failed", **values)
    if counts:
        kind = message(f"page.error.{counts.most_common(1)[0][0]}")
        said = message("page.finding.failed_kind", **values, kind=kind)
    first = worst.requests.first_error
    saved = message("page.plain", text=first) if first else None
    return [Finding(kind="bad", message=said, scenario=worst.id, saved=saved)]


def _count(result: Result, key: str) -> int:
    return int(result.metrics.get(key) or 0)


def doubts(results: Sequence[Result]) -> list[Finding]:
    """What is odd about the answers, each kind once."""
    kinds: dict[str, list[tuple[Result, Message]]] = {}
    for result in results:
        for note in result.notes:
            if note.key.startswith(DOUBT):
                kinds.setdefault(note.key, []).append((result, note))
    return [
        Finding(
            kind="warn",
            message=some("page.finding.doubt", hits[0][0].id, len(hits)),
            scenario=hits[0][0].id,
            saved=hits[0][1],
        )
        for hits in kinds.values()
    ]


def undecided(results: Sequence[Result]) -> list[Finding]:
    """Scenarios without enough evidence, with what would decide the first of them."""
    hits = [result for result in results if result.verdict is Verdict.INCONCLUSIVE]
    if not hits:
        return []
    more = [one.more for result in hits for one in result.verdicts if one.more]
    found = Finding(kind="warn", message=some("page.finding.undecided", hits[0].id, len(hits)), scenario=hits[0].id)
    return [replace(found, saved=message("page.finding.more", more=max(more))) if more else found]


def some(key: str, scenario: str, n: int, **values: str) -> Message:
    """A sentence about one scenario, or about it and others."""
    if n == 1:
        return message(key, scenario=scenario, **values)
    return message(f"{key}_some", scenario=scenario, others=n - 1, **values)


def best(results: Sequence[Result]) -> list[Finding]:
    """The highest output throughput among the scenarios that passed."""
    passed = [result for result in results if result.verdict is Verdict.PASS and _speed(result)]
    if not passed:
        return []
    top = max(passed, key=_speed)
    judged = any(not one.rule.implied for one in top.verdicts)
    key = "page.finding.best_within" if judged else "page.finding.best"
    said = message(key, scenario=top.id, value=words.number(_speed(top)))
    return [Finding(kind="good", message=said, scenario=top.id)]


def _speed(result: Result) -> float:
    return result.metrics.get("output_throughput") or 0.0


def _load(result: Result) -> float:
    return either(result) or 1


def knees(results: Sequence[Result]) -> list[Finding]:
    """Per line of rising load, where more load stops bringing more throughput but costs latency."""
    found = []
    for name, line in by_shape(results, either).items():
        usable = [
            result
            for result in line
            if _speed(result) and result.verdict is not Verdict.INVALID and not result.scenario.probe_of
        ]
        knee = _knee(usable)
        if knee is None:
            continue
        at, beyond = knee
        gain = _speed(beyond) / _speed(at) - 1
        key, values = "page.finding.knee", {}
        waits = [one.metrics.get("p99_ttft_ms") for one in knee]
        if all(waits):
            key = "page.finding.knee_ttft"
            values = {"before": words.number(waits[0]), "after": words.number(waits[1])}
        load = {"load": f"{_load(at):g}", "next": f"{_load(beyond):g}"}
        said = message(key, shape=name, **load, gain=f"{100 * gain:+.0f}", **values)
        found.append(Finding(kind="info", message=said, scenario=at.id))
    return found


def _knee(line: Sequence[Result]) -> tuple[Result, Result] | None:
    """The last load worth its step, and the next one."""
    for at, beyond in pairwise(line):
        step = _load(beyond) / _load(at)
        if step > 1 and math.log(_speed(beyond) / _speed(at)) < WORTH * math.log(step):
            return at, beyond
    return None
