"""JSON dicts → the few sentences that matter, found by rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

from pytest_vllm_bench.model import Message
from pytest_vllm_bench.report import baseline, words
from pytest_vllm_bench.report.artifacts import Row, plain
from pytest_vllm_bench.report.chart import message
from pytest_vllm_bench.report.failure import observed
from pytest_vllm_bench.report.load import by_shape, concurrency, rate
from pytest_vllm_bench.report.terminal import DOUBT
from pytest_vllm_bench.report.verdict import gates, measured, missing

#: A step of load is worth it while throughput grows at least with this power of it: by a fifth for each doubling.
WORTH = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence; ``saved`` is a message out of a result file that belongs behind it."""

    kind: Literal["bad", "warn", "good", "info"]
    message: Message
    scenario: str = ""
    saved: object = None


def findings(rows: Sequence[Row]) -> list[Finding]:
    """What a reader must know: the first of each kind, the most urgent kind first, then the rest."""
    unrun, rows = missing(rows), measured(rows)
    gated = gates(rows)
    loads = [row for row in rows if not row.get("capacity")]  # a search's answer repeats one of its probes
    judged = [row for row in gated if not row.get("capacity")]
    kinds = [
        absent(unrun), invalid(gated), capacities(rows), breaches(judged), regressions(judged), best(loads),
        knees(loads), failures(loads), doubts(loads), undecided(gated),
    ]  # fmt: skip
    return [*(found[0] for found in kinds if found), *(one for found in kinds for one in found[1:])]


def absent(rows: Sequence[Row]) -> list[Finding]:
    """For each reason why scenarios did not run one sentence."""
    reasons: dict[str, list[Row]] = {}
    for row in rows:
        reasons.setdefault(words.why(row, "en"), []).append(row)
    return [
        Finding(
            kind="bad",
            message=some("page.finding.not_run", hit[0]["scenario_id"], len(hit)),
            saved=hit[0].get("said") or plain(words.reason(hit[0])),
        )
        for hit in sorted(reasons.values(), key=len, reverse=True)
    ]


def invalid(rows: Sequence[Row]) -> list[Finding]:
    """For each reason of invalidity one sentence, however many scenarios it spoiled."""
    reasons: dict[str, list[tuple[Row, Row]]] = {}
    for row in rows:
        for check in row.get("validity") or []:
            if not check.get("ok"):
                reasons.setdefault(str(check.get("check")), []).append((row, check))
        if row.get("error"):
            reasons.setdefault("error", []).append((row, {"message": row["error"]}))
    return [
        Finding(
            kind="bad",
            message=some("page.finding.invalid", hit[0][0]["scenario_id"], len(hit)),
            scenario=hit[0][0]["scenario_id"],
            saved=hit[0][1].get("message"),
        )
        for hit in sorted(reasons.values(), key=len, reverse=True)
    ]


def capacities(rows: Sequence[Row]) -> list[Finding]:
    """What each search for the capacity found."""
    kinds: dict[Any, Literal["bad", "warn", "good"]] = {"PASS": "good", "FAIL": "bad", "INVALID": "bad"}
    return [
        Finding(
            kind=kinds.get(row.get("verdict"), "warn"),
            message=message("page.finding.capacity", scenario=row["scenario_id"]),
            scenario=row["scenario_id"],
            saved=row["notes"][0],
        )
        for row in rows
        if row.get("capacity") and row.get("notes")
    ]


def breaches(rows: Sequence[Row]) -> list[Finding]:
    """The worst breach: the furthest over its limit, relative to it; and how many more there are."""
    hits = [(row, rule) for row in rows for rule in row.get("verdicts") or [] if rule.get("verdict") == "FAIL"]
    if not hits:
        return []
    row, rule = max(hits, key=lambda hit: over(hit[1]))
    key = "page.finding.breach" if over(rule) < float("inf") else "page.finding.no_data"
    said = message(
        key,
        scenario=row["scenario_id"],
        rule=str(rule.get("rule")),
        observed=message("page.plain", text=observed(rule, "en"))
        if rule.get("observed") is not None
        else message("report.no_data"),
        over=f"{100 * over(rule):.0f}",
    )
    found = [Finding(kind="bad", message=said, scenario=row["scenario_id"])]
    if len(hits) > 1:
        found.append(Finding(kind="bad", message=message("page.finding.more_breaches", n=len(hits) - 1)))
    return found


def regressions(rows: Sequence[Row]) -> list[Finding]:
    """What failed against each reference: the scenario that changed most, or was not compared, and how many more."""
    hits: dict[str, list[Row]] = {}
    for row in rows:
        if row.get("verdict") == "FAIL" and baseline.failed(row):
            hits.setdefault(baseline.reference(row), []).append(row)
    found = []
    for name, of in hits.items():
        worst = max(of, key=_changed)
        said = some("page.finding.regression", worst["scenario_id"], len(of), name=name)
        found.append(Finding(kind="bad", message=said, scenario=worst["scenario_id"], saved=baseline.failed(worst)[0]))
    return found


def _changed(row: Row) -> float:
    """The largest change that failed, as a share of the reference."""
    worse = [c for c in baseline.comparisons(row, gated=True) if c.get("verdict") == "FAIL" and c.get("reference")]
    return max((abs(c["observed"] / c["reference"] - 1) for c in worse), default=0.0)


def over(rule: Row) -> float:
    """How far over its limit, as a share of it; infinite where there is no number to compare."""
    value, limit = rule.get("observed"), rule.get("limit")
    if not isinstance(value, int | float) or not isinstance(limit, int | float) or not limit:
        return float("inf")
    return abs(value - limit) / abs(limit)


def failures(rows: Sequence[Row]) -> list[Finding]:
    """How many requests failed, and in the server's own words why."""
    failed = sum(row.get("failed") or 0 for row in rows)
    if not failed:
        return []
    everything = failed + sum(row.get("completed") or 0 for row in rows)
    worst = max(rows, key=lambda row: row.get("failed") or 0)
    counts: dict[str, int] = {}
    for row in rows:
        for kind, n in (row.get("error_counts") or {}).items():
            counts[kind] = counts.get(kind, 0) + n
    kind = max(counts, key=lambda k: counts[k], default="")
    said = message("page.finding.failed", failed=failed, n=everything, scenario=worst["scenario_id"])
    if kind:
        said = message(
            "page.finding.failed_kind",
            failed=failed,
            n=everything,
            scenario=worst["scenario_id"],
            kind=message(f"page.error.{kind}"),
        )
    return [Finding(kind="bad", message=said, scenario=worst["scenario_id"], saved=worst.get("first_error"))]


def doubts(rows: Sequence[Row]) -> list[Finding]:
    """What is odd about the answers, each kind once."""
    kinds: dict[str, list[tuple[Row, Any]]] = {}
    for row in rows:
        for note in row.get("notes") or []:
            if str(note.get("key")).startswith(DOUBT):
                kinds.setdefault(note["key"], []).append((row, note))
    return [
        Finding(
            kind="warn",
            message=some("page.finding.doubt", hits[0][0]["scenario_id"], len(hits)),
            scenario=hits[0][0]["scenario_id"],
            saved=hits[0][1],
        )
        for hits in kinds.values()
    ]


def undecided(rows: Sequence[Row]) -> list[Finding]:
    """Scenarios without enough evidence, with what would decide the first of them."""
    hits = [row for row in rows if row.get("verdict") == "INCONCLUSIVE"]
    if not hits:
        return []
    more = [rule["more"] for row in hits for rule in row.get("verdicts") or [] if rule.get("more")]
    first = hits[0]["scenario_id"]
    found = [Finding(kind="warn", message=some("page.finding.undecided", first, len(hits)), scenario=first)]
    if more:
        found[0] = replace(found[0], saved=plain(message("page.finding.more", more=max(more))))
    return found


def some(key: str, scenario: str, n: int, **values: str) -> Message:
    """A sentence about one scenario, or about it and others."""
    if n == 1:
        return message(key, scenario=scenario, **values)
    return message(f"{key}_some", scenario=scenario, others=n - 1, **values)


def best(rows: Sequence[Row]) -> list[Finding]:
    """The highest output throughput among the scenarios that passed."""
    passed = [row for row in rows if row.get("verdict") == "PASS" and row.get("output_throughput") is not None]
    if not passed:
        return []
    top = max(passed, key=lambda row: float(row["output_throughput"]))
    value = words.number(top["output_throughput"])
    judged = any(not rule.get("implied") for rule in top.get("verdicts") or [])
    key = "page.finding.best_within" if judged else "page.finding.best"
    return [
        Finding(
            kind="good", message=message(key, scenario=top["scenario_id"], value=value), scenario=top["scenario_id"]
        )
    ]


def knees(rows: Sequence[Row]) -> list[Finding]:
    """Per line of rising load, where more load stops bringing more throughput but costs latency."""
    found = []
    for name, line in by_shape(rows, lambda row: concurrency(row) or rate(row)).items():
        usable = [row for row in line if row.get("output_throughput") and row.get("verdict") != "INVALID"]
        knee = _knee(usable)
        if knee is None:
            continue
        at, beyond = knee
        gain = beyond["output_throughput"] / at["output_throughput"] - 1
        key, values = "page.finding.knee", {}
        if at.get("p99_ttft_ms") and beyond.get("p99_ttft_ms"):
            key = "page.finding.knee_ttft"
            values = {"before": words.number(at["p99_ttft_ms"]), "after": words.number(beyond["p99_ttft_ms"])}
        said = message(
            key,
            shape=name,
            load=f"{concurrency(at) or rate(at):g}",
            next=f"{concurrency(beyond) or rate(beyond):g}",
            gain=f"{100 * gain:+.0f}",
            **values,
        )
        found.append(Finding(kind="info", message=said, scenario=at["scenario_id"]))
    return found


def _knee(line: Sequence[Row]) -> tuple[Row, Row] | None:
    """The last load worth its step, and the next one."""
    for at, beyond in pairwise(line):
        step = (concurrency(beyond) or rate(beyond) or 1) / (concurrency(at) or rate(at) or 1)
        gain = beyond["output_throughput"] / at["output_throughput"]
        if step > 1 and math.log(gain) < WORTH * math.log(step):
            return at, beyond
    return None
