"""Saved results, ours or another tool's, and rules → the same verdicts as after a run, without a server."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from pytest_vllm_bench import files, judge
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judge import doubts, imports
from pytest_vllm_bench.judge.summary import judge_figures
from pytest_vllm_bench.measure.metrics import summary
from pytest_vllm_bench.measure.rows import sample
from pytest_vllm_bench.measure.settings import MetricSettings, settings_of
from pytest_vllm_bench.metric_table import parse_name, parse_rule
from pytest_vllm_bench.model import (
    Check,
    JudgeSettings,
    Message,
    Plan,
    Record,
    Repeats,
    Result,
    Rule,
    Sample,
    Scenario,
    Stage,
    Target,
    ValiditySettings,
    Verdict,
)
from pytest_vllm_bench.report import baseline, records
from pytest_vllm_bench.report.folder import complete, is_ours, records_of, stem
from pytest_vllm_bench.report.shape import misfit
from pytest_vllm_bench.report.words import restore


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to judge by; what is not said is each result's own (another tool's has none)."""

    rules: tuple[Rule, ...] = ()
    goodput: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)  # of JudgeSettings


class Saved(msgspec.Struct):
    """What a result's ``config`` says of its scenario and verdicts depend on."""

    stages: tuple[Stage, ...] = ()
    repeats: Repeats = Repeats()
    cache: Literal["cold", "warm"] = "cold"
    validity: ValiditySettings = ValiditySettings()
    judge: JudgeSettings = JudgeSettings()
    xfail: str = ""


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
    found, name = files.documents(path), files.shown(path)
    for i, data in enumerate(found):
        yield from judged_again(data, path, name if len(found) == 1 else f"{name}[{i}]", asked)


def judged_again(data: Any, path: Path, name: str, asked: Asked) -> Iterator[Result]:
    """Judge the results in one of a file's documents."""
    if isinstance(data, dict) and is_ours(data):
        if (wrong := misfit(data)) is not None:
            raise BenchError(wrong.key, **wrong.values)
        yield ours(complete(data, path), asked)
        return
    try:
        found = imports.read(data, name)
    except ValueError as error:
        raise BenchError("files.not_read", why=str(error)) from None
    if isinstance(found, imports.Unknown):
        raise BenchError(found.message.key, **found.message.values)
    for one in found:
        yield theirs(one, asked)


def ours(row: Mapping[str, Any], asked: Asked) -> Result:
    """A saved result of ours: from its records where they are, else from its figures.

    The last of a scenario's repeats pools them all, if their records are there; an earlier one is judged by rules only
    if these are asked for, as after the run.  A search's answer keeps its verdict, which is not one of its figures.
    """
    odd = doubts.among(map(restore, row.get("notes") or ()))
    found, workers = pooled(row), len((row.get("client") or {}).get("workers") or ()) or 1
    scenario, whole = saved_scenario(row, asked), row.get("complete") is not False
    answer, rules = bool(row.get("capacity")) and not asked.rules, judge.effective_rules(scenario)
    if answer or (not asked.rules and waited(scenario, row)):
        scenario, rules = replace(scenario, goodput={}), judge.of_one_repeat(scenario)
    if found:
        server = {k: v for k, v in (row.get("server") or {}).items() if isinstance(v, int | float)}
        settings = settings_of(scenario, workers=workers, complete=whole)
        samples = [sample(records_in(path), settings) for path in found]
        made = judged(scenario, samples, settings, rules, server=server, plan=planned(row), doubts=odd)
    else:
        figures = {**row, **(row.get("pooled") or {})}
        figures = {k: v for k, v in figures.items() if isinstance(v, int | float) or v is None}
        made = by_figures(
            scenario, rules, of_these_limits(figures, asked), rated=scenario.open_loop, complete=whole, odd=odd
        )
    if 0 < len(found) < len(row.get("per_repeat") or ()):
        lost = Message(key="judge.not_pooled", values={"repeats": len(row["per_repeat"])})
        made = replace(made, notes=(*made.notes, lost))
    if answer:
        verdict = Verdict(row["verdict"]) if row.get("verdict") in list(Verdict) else made.verdict
        made = replace(made, verdict=verdict, notes=tuple(map(restore, row.get("notes") or ())))
    elif stands := standing(row, asked):
        known = {note.key for note in stands}
        notes = [n for n in made.notes if n.key != "judge.interrupted" or known.isdisjoint(OWN_FAULTS)]
        made = replace(made, verdict=Verdict.worst([made.verdict, Verdict.FAIL]), notes=(*notes, *stands))
    void = tuple(saved_check(c) for c in row.get("validity") or () if not c.get("ok"))
    # What the client saw of itself is not in the file, only what was found of it: a void run stays void.
    return replace(made, verdict=Verdict.INVALID, checks=void) if void else made


def waited(scenario: Scenario, row: Mapping[str, Any]) -> bool:
    """Whether a later repeat was to judge the rules.  The last to run may have been the only one (``--lf``)."""
    alone = {rule.text for rule in judge.of_one_repeat(scenario)}
    by_rules = any(verdict["rule"] not in alone for verdict in row.get("verdicts") or ())
    return scenario.repeats.max > 1 and not row.get("per_repeat") and not by_rules


def planned(row: Mapping[str, Any]) -> Plan | None:
    """What checks need to know of the plan; None where the result does not say."""
    if not (was := row.get("plan")):
        return None
    return Plan(
        scenario_id=row["scenario_id"],
        folder=Path(),
        n=was.get("n", 0),
        path=was.get("path", ""),
        force_length=was.get("force_length", False),
        template_tokens=was.get("template_tokens", 0),
        output_field=str(was.get("output_field") or ""),
    )


def of_these_limits(figures: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """Figures without those that are of other goodput limits than the ones asked for."""
    if not asked.goodput:
        return dict(figures)
    return {k: v for k, v in figures.items() if (name := parse_name(k)) is None or "goodput" not in name.row.needs}


#: Notes that say why a run failed, whatever the rules are, and by one of its own rules.
FAULTS, OWN_FAULTS = ("server.restarted", "server.counter_fell", "server.model_changed"), ("judge.hopeless",)


def standing(row: Mapping[str, Any], asked: Asked) -> tuple[Message, ...]:
    """What failed the run and cannot be asked of its file again: the server, the reference, the rule that stopped it;
    the latter two count while it is judged as it was."""
    keys = FAULTS if asked.rules else (*FAULTS, *OWN_FAULTS)
    found = [note for note in row.get("notes") or () if note.get("key") in keys]
    found += [row["error"]] if row.get("error") else []  # the server was gone
    against = row.get("verdict") == Verdict.FAIL and not asked.rules
    return tuple(map(restore, [*found, *(baseline.failed(dict(row)) if against else ())]))


def saved_scenario(row: Mapping[str, Any], asked: Asked) -> Scenario:
    """What verdicts need to know of the scenario; BenchError where the file is damaged."""
    was = row.get("config") or {}
    try:
        saved = msgspec.convert(was, Saved, strict=False)
    except msgspec.ValidationError as error:
        raise BenchError("report.damaged", name=str(row["scenario_id"]), why=str(error)) from None
    return Scenario(
        id=row["scenario_id"],
        key=row.get("scenario_key") or row["scenario_id"],
        target=Target(base_url=row.get("base_url") or "", simulated=bool(row.get("simulated"))),
        backend=row.get("backend") or "",
        concurrency=row.get("max_concurrency"),
        request_rate=math.inf if row.get("request_rate") in (None, "inf") else float(row["request_rate"]),
        num_prompts=row.get("num_prompts"),
        input_len=row.get("input_len"),
        output_len=row.get("output_len"),
        stages=saved.stages,
        repeats=saved.repeats,
        probe_of=row.get("probe_of") or "",
        xfail=saved.xfail,
        cache=saved.cache,
        validity=saved.validity,
        goodput=asked.goodput or was.get("goodput") or {},
        rules=asked.rules or parsed(was["rules"] if "rules" in was else ruled(row)),
        judge=replace(saved.judge, **asked.settings),
    )


def ruled(row: Mapping[str, Any]) -> list[str]:
    """The rules that a result was judged by, where it does not say which were asked for."""
    return [str(verdict["rule"]) for verdict in row.get("verdicts") or () if not verdict.get("implied")]


def pooled(row: Mapping[str, Any]) -> list[Path]:
    """The records that the verdict is of: the result's own, or of all the repeats that it pooled; none: not kept."""
    own = records_of(dict(row))
    if own is None:
        return []
    last, count = int(row.get("repeat") or 1), len(row.get("per_repeat") or ())
    name = str(row["scenario_id"]).removesuffix(f"-r{last}")
    found = [own]
    for number in range(last - 1, last - count, -1):
        beside = own.with_name(f"{stem(f'{name}-r{number}')}.json")
        where = beside.with_name(beside.stem + records.SUFFIX)
        if not os.path.exists(where) or session_in(beside) != row.get("session"):
            return [own]
        found.insert(0, where)
    return found


def session_in(path: Path) -> str | None:
    """The session that a result is of; None where that cannot be read."""
    try:
        (data,) = files.documents(path)
    except (BenchError, ValueError):
        return None
    return data.get("session") if isinstance(data, dict) else None


def records_in(path: Path) -> list[Record]:
    """BenchError if they cannot be read."""
    try:
        if not path.stat().st_size:  # what a full disk left; to gzip it is a file without requests
            raise EOFError("0 bytes")
        return list(records.read(path))
    except records.DAMAGED as error:
        raise BenchError("report.damaged", name=path.name, why=str(error)) from None


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
        judge=replace(JudgeSettings(), **asked.settings),
    )
    rules = judge.effective_rules(scenario)
    if not one.records:
        return by_figures(scenario, rules, of_these_limits(one.figures, asked), notes=one.lacks, complete=one.complete)
    settings = settings_of(scenario)
    made = judged(scenario, [one.known_part(sample(one.records, settings))], settings, rules)
    return replace(made, notes=(*made.notes, *one.lacks))


def judged(
    scenario: Scenario, samples: Sequence[Sample], settings: MetricSettings, rules: Sequence[Rule], **known: Any
) -> Result:
    """Verdicts from requests, of one run or of several repeats; ``known``: the rest of the Evidence."""
    metrics = summary(samples, settings)
    per_repeat = tuple(summary([one], settings) for one in samples)
    evidence = judge.Evidence(metrics=metrics, per_repeat=per_repeat, **known)
    judgement = judge.judge(scenario, samples, evidence, rules)
    return Result(
        scenario=scenario,
        verdict=judgement.verdict,
        complete=settings.complete,
        metrics=metrics,
        verdicts=judgement.verdicts,
        checks=judgement.checks,
        notes=(*judgement.faults, *judgement.notes),
    )


def by_figures(
    scenario: Scenario,
    rules: Sequence[Rule],
    figures: Mapping[str, Any],
    *,
    notes: tuple[Message, ...] = (),
    rated: bool = False,
    complete: bool = True,
    odd: Sequence[Message] = (),
) -> Result:
    """Verdicts from figures alone: observed, never proven.  ``rated``: latencies count from ``due``."""
    verdicts = judge_figures(rules, figures, scenario.judge, rated=rated, doubts=odd)
    notes = (*notes, *odd)
    at_best = Verdict.PASS if complete else Verdict.INCONCLUSIVE
    return Result(
        scenario=scenario,
        verdict=Verdict.worst([at_best, *(v.verdict for v in verdicts)]),
        complete=complete,
        metrics=figures,
        verdicts=verdicts,
        notes=notes if complete else (Message(key="judge.interrupted"), *notes),
    )
