"""A saved result → the measurements that its verdict is of; what earlier versions kept of one is brought up to date."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from pytest_vllm_bench import files
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judge import doubts
from pytest_vllm_bench.judge.baseline import cell_of
from pytest_vllm_bench.metric_table import parse_rule
from pytest_vllm_bench.model import (
    Check,
    JudgeSettings,
    LoadFacts,
    Measurement,
    Message,
    Observed,
    Plan,
    Repeats,
    Rule,
    RuleVerdict,
    Scenario,
    Stage,
    Target,
    ValiditySettings,
    Verdict,
    WorkerFacts,
    read_cell,
)
from pytest_vllm_bench.report import records
from pytest_vllm_bench.report.folder import records_of, stem
from pytest_vllm_bench.report.words import restore
from pytest_vllm_bench.store import measurement

#: Notes of earlier versions that say that the server failed the run, and that one of its rules stopped it.
FAULTS, STOPPED = ("server.restarted", "server.counter_fell", "server.model_changed"), "judge.hopeless"


def measurements(row: Mapping[str, Any]) -> list[Measurement]:
    """Those that the verdict of a saved result is of: its own, or of all the repeats that it pooled; none: not kept."""
    own = records_of(dict(row))
    if own is None:
        return []
    last, count = int(row.get("repeat") or 1), len(row.get("per_repeat") or ())
    found = [own]
    for number in range(last - 1, last - count, -1):
        beside = own.with_name(stem(f"{cell_of(row)}-r{number}") + records.SUFFIX)
        if not os.path.exists(beside) or (_row(beside) or {}).get("session") != row.get("session"):
            found = [own]
            break
        found.insert(0, beside)
    return [_measurement(lines, row if lines == own else _row(lines) or {}) for lines in found]


def _row(lines: Path) -> dict[str, Any] | None:
    """The result that records belong to; None where it cannot be read."""
    try:
        (data,) = files.documents(lines.with_name(lines.name.removesuffix(records.SUFFIX) + ".json"))
    except (BenchError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def _measurement(lines: Path, row: Mapping[str, Any]) -> Measurement:
    if (saved := lines.with_name(lines.name.removesuffix(records.SUFFIX) + measurement.SUFFIX)).is_file():
        return measurement.load(saved)
    notes = [restore(note) for note in row.get("notes") or ()]
    stopped = next((note for note in notes if note.key == STOPPED), None)
    return Measurement(
        scenario=scenario(row),
        plan=_plan(row),
        facts=_facts(row),
        observed=Observed(
            counters={k: v for k, v in (row.get("server") or {}).items() if isinstance(v, int | float)},
            fault=next((note for note in notes if note.key in FAULTS), None),
            notes=tuple(doubts.among(notes)),
        ),
        records=measurement.RecordsOnDisk(lines, int((row.get("plan") or {}).get("n") or 0)),
        complete=row.get("complete") is not False,
        interrupted=any(note.key == "judge.interrupted" for note in notes),
        stopped_by=_stopped_by(stopped),
        gone=restore(row["error"]) if row.get("error") else None,
        environment=row.get("environment") or {},
        date=str(row.get("date_utc") or ""),
        session=str(row.get("session") or ""),
    )


def _stopped_by(reason: Message | None) -> RuleVerdict | None:
    rule = parse_rule(str(reason.values.get("rule"))) if reason else None
    if reason is None or not isinstance(rule, Rule):
        return None
    return RuleVerdict(rule=rule, verdict=Verdict.FAIL, reason=reason, observed=None, within=False, proven=True)


def _plan(row: Mapping[str, Any]) -> Plan | None:
    """What checks need to know of the plan; None where the result does not say."""
    if not (was := row.get("plan")):
        return None
    return Plan(
        scenario_id=row["scenario_id"],
        folder=Path(),
        n=was.get("n", 0),
        path=was.get("path", ""),
        digest=row.get("plan_digest") or "",
        force_length=was.get("force_length", False),
        template_tokens=was.get("template_tokens", 0),
        output_field=str(was.get("output_field") or ""),
    )


def _facts(row: Mapping[str, Any]) -> LoadFacts | None:
    """How many processes there were; what they saw of themselves is not in such a file, only what was found of it."""
    if not (client := row.get("client")):
        return None
    nobody = WorkerFacts(worker=0, started=0.0, ended=0.0, cpu_s=0.0, reads=0, bytes_in=0, bytes_out=0)
    workers = tuple(replace(nobody, worker=i) for i, _ in enumerate(client.get("workers") or ()))
    return LoadFacts(started=0.0, ended=0.0, workers=workers, complete=row.get("complete") is not False)


def void(row: Mapping[str, Any], measured: list[Measurement]) -> tuple[Check, ...]:
    """The checks that made a run void, where its file does not hold what they were of: it stays void."""
    if measured and measured[-1].facts is not None and measured[-1].facts.ended:
        return ()
    return tuple(
        Check(
            id=str(check.get("check")),
            ok=False,
            observed=check.get("observed"),
            limit=check.get("limit"),
            message=restore(check.get("message") or {}),
        )
        for check in row.get("validity") or ()
        if not check.get("ok")
    )


class SavedConfig(msgspec.Struct):
    """What a result's ``config`` says of its scenario and verdicts depend on."""

    stages: tuple[Stage, ...] = ()
    repeats: Repeats = Repeats()
    cache: Literal["cold", "warm"] = "cold"
    validity: ValiditySettings = ValiditySettings()
    judge: JudgeSettings = JudgeSettings()
    goodput: dict[str, float] = {}
    xfail: str = ""


def scenario(row: Mapping[str, Any]) -> Scenario:
    """What verdicts need to know of the scenario; BenchError where the file is damaged."""
    was = row.get("config") or {}
    try:
        kept = msgspec.convert(was, SavedConfig, strict=False)
    except msgspec.ValidationError as error:
        raise BenchError("report.damaged", name=str(row["scenario_id"]), why=str(error)) from None
    written = was["rules"] if "rules" in was else [v["rule"] for v in row.get("verdicts") or () if not v.get("implied")]
    rules = [parse_rule(str(text)) for text in written]
    for rule in rules:
        if isinstance(rule, Message):
            raise BenchError(rule.key, **rule.values)
    return Scenario(
        cell=read_cell(
            row["scenario_id"],
            row.get("scenario_key") or row["scenario_id"],
            target=row.get("target") or "",
            repeat=int(row.get("repeat") or 1),
            probe_of=row.get("probe_of") or "",
        ),
        target=Target(base_url=row.get("base_url") or "", simulated=bool(row.get("simulated"))),
        backend=row.get("backend") or "",
        concurrency=row.get("max_concurrency"),
        request_rate=math.inf if row.get("request_rate") in (None, "inf") else float(row["request_rate"]),
        num_prompts=row.get("num_prompts"),
        input_len=row.get("input_len"),
        output_len=row.get("output_len"),
        stages=kept.stages,
        repeats=kept.repeats,
        xfail=kept.xfail,
        cache=kept.cache,
        validity=kept.validity,
        goodput=kept.goodput,
        rules=tuple(rule for rule in rules if isinstance(rule, Rule)),
        judge=kept.judge,
    )
