"""Saved results, ours or another tool's, and rules → the same verdicts as after a run, without a server."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from pytest_vllm_bench import judge
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judge import imports
from pytest_vllm_bench.judge.summary import judge_figures
from pytest_vllm_bench.measure.metrics import summary
from pytest_vllm_bench.measure.rows import sample, settings_of
from pytest_vllm_bench.metric_table import parse_rule
from pytest_vllm_bench.model import Check, JudgeSettings, Message, Record, Result, Rule, Scenario, Target, Verdict
from pytest_vllm_bench.report import records
from pytest_vllm_bench.report.folder import complete, records_of
from pytest_vllm_bench.report.words import restore


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The rules to judge by; empty: each result's own (another tool's has none)."""

    rules: tuple[Rule, ...] = ()
    goodput: Mapping[str, float] = field(default_factory=dict)
    settings: JudgeSettings = JudgeSettings()


def parsed(texts: Sequence[str]) -> tuple[Rule, ...]:
    """Rules as written; BenchError for the first that is none."""
    found = []
    for text in texts:
        rule = parse_rule(text)
        if isinstance(rule, Message):
            raise BenchError(rule.key, **rule.values)
        found.append(rule)
    return tuple(found)


def results(path: Path, asked: Asked) -> Iterator[Result]:
    """Judge every result in a file; BenchError if it is nobody's."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError("report.not_read", why=error.strerror or str(error)) from None
    except ValueError as error:
        raise BenchError("report.not_json", why=str(error)) from None
    if isinstance(data, dict) and {"schema_version", "scenario_id"} <= data.keys():
        yield ours(complete(data, path), asked)
        return
    found = imports.read(data, path.stem)
    if isinstance(found, imports.Unknown):
        raise BenchError(found.message.key, **found.message.values)
    for one in found:
        yield theirs(one, asked)


def ours(row: Mapping[str, Any], asked: Asked) -> Result:
    """A saved result of ours: from its records where they are, else from its figures."""
    was = row.get("config") or {}
    scenario = Scenario(
        id=row["scenario_id"],
        key=row.get("scenario_key") or row["scenario_id"],
        target=Target(base_url=row.get("base_url") or "", simulated=bool(row.get("simulated"))),
        backend=row.get("backend") or "",
        concurrency=row.get("max_concurrency"),
        request_rate=math.inf if row.get("request_rate") in (None, "inf") else float(row["request_rate"]),
        num_prompts=row.get("num_prompts"),
        input_len=row.get("input_len"),
        output_len=row.get("output_len"),
        goodput=asked.goodput or was.get("goodput") or {},
        rules=asked.rules or parsed(was.get("rules") or ()),
        judge=asked.settings,
    )
    where = records_of(dict(row))
    if where is not None:
        server = {k: v for k, v in (row.get("server") or {}).items() if isinstance(v, int | float)}
        try:
            requests = list(records.read(where))
        except (OSError, EOFError, zlib.error, msgspec.MsgspecError) as error:
            raise BenchError("report.damaged", name=where.name, why=str(error)) from None
        made = judged(scenario, requests, whole=row.get("complete") is not False, server=server)
    else:
        made = by_figures(scenario, {k: v for k, v in row.items() if isinstance(v, int | float) or v is None})
    void = tuple(saved_check(c) for c in row.get("validity") or () if not c.get("ok"))
    # What the client saw of itself is not in the file, only what was found of it: a void run stays void.
    return replace(made, verdict=Verdict.INVALID, checks=void) if void else made


def saved_check(saved: Mapping[str, Any]) -> Check:
    """A check as it stands in a result file."""
    return Check(
        id=str(saved.get("check")),
        ok=bool(saved.get("ok")),
        observed=saved.get("observed"),
        limit=saved.get("limit"),
        message=restore(saved.get("message") or {}),
    )


def theirs(one: imports.Imported, asked: Asked) -> Result:
    """A result of another tool; what it lacks is among the notes."""
    scenario = Scenario(
        id=one.name or one.source,
        key=one.name or one.source,
        target=Target(),
        backend=one.source,
        models=(one.model,) if one.model else (),
        concurrency=one.concurrency,
        request_rate=one.request_rate,
        goodput=asked.goodput,
        rules=asked.rules,
        judge=asked.settings,
    )
    if one.records:
        return judged(scenario, list(one.records), imported=one)
    return by_figures(scenario, one.figures, notes=one.lacks)


def judged(
    scenario: Scenario,
    found: list[Record],
    *,
    whole: bool = True,
    server: Mapping[str, float] | None = None,
    imported: imports.Imported | None = None,
) -> Result:
    """Verdicts from requests."""
    settings = settings_of(scenario, complete=whole)
    one = sample(found, settings)
    one = imported.known_part(one) if imported else one
    metrics = summary([one], settings)
    judgement = judge.judge(
        scenario, [one], judge.Evidence(metrics=metrics, per_repeat=(metrics,), server=server or {})
    )
    return Result(
        scenario=scenario,
        verdict=judgement.verdict,
        complete=whole,
        metrics=metrics,
        verdicts=judgement.verdicts,
        checks=judgement.checks,
        notes=(*judgement.faults, *judgement.notes, *(imported.lacks if imported else ())),
    )


def by_figures(scenario: Scenario, figures: Mapping[str, Any], notes: tuple[Message, ...] = ()) -> Result:
    """Verdicts from figures alone: observed, never proven."""
    verdicts = judge_figures(judge.effective_rules(scenario), figures, scenario.judge)
    return Result(
        scenario=scenario,
        verdict=Verdict.worst(v.verdict for v in verdicts),
        complete=True,
        metrics=figures,
        verdicts=verdicts,
        notes=notes,
    )
