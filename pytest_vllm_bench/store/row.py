"""Result ↔ one flat JSON dict: vLLM's ``--save-result`` keys under their exact names, ours beside them.

Nobody else knows how a result is spelt in a file.  Files of earlier versions lack keys, and later ones have more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.metric_table import parse_name, parse_rule
from pytest_vllm_bench.model import (
    BaselineOutcome,
    CapacityAnswer,
    Check,
    ClientSummary,
    Comparison,
    Culprit,
    Message,
    Plan,
    RequestSummary,
    Result,
    Rule,
    RuleVerdict,
    Scenario,
    Spread,
    TestOutcome,
    Verdict,
    read_cell,
)
from pytest_vllm_bench.store.misfit import misfit
from pytest_vllm_bench.text import say

#: Raised when a key changes its meaning; new keys do not raise it.
SCHEMA_VERSION = 1
#: What a file may say of a figure: no data, or beyond all numbers.
Figure = float | int | Literal["inf", "-inf"] | None
Figures = dict[str, Figure]


class RuleRow(msgspec.Struct, kw_only=True):
    """A rule and its verdict."""

    rule: str
    metric: str = ""
    op: Literal["<=", "<", ">=", ">", "==", "!="] = "<="
    limit: Figure = None
    implied: bool = False
    line: int | None = None
    verdict: Verdict
    reason: Message | None = None
    observed: Figure = None
    within: bool | None = None
    proven: bool = False
    window: Literal["whole", "steady"] = "whole"
    other: Figure = None
    n: int = 0
    misses: int | None = None
    n_eff: float | None = None
    misses_eff: float | None = None
    tau: float | None = None
    interval: tuple[Figure, Figure] | None = None
    more: int | None = None
    culprit: Culprit | None = None


class CheckRow(msgspec.Struct, kw_only=True):
    """A check of validity."""

    check: str
    ok: bool
    observed: Figure = None
    limit: Figure = None
    message: Message | None = None


class PlanRow(msgspec.Struct, kw_only=True):
    """What was sent, in short."""

    n: int = 0
    chains: int = 0
    path: str = ""
    models: tuple[str, ...] = ()
    max_in_flight: int | None = None
    steps: tuple[tuple[float, int], ...] = ()
    duration: float | None = None
    seed: int = 0
    salt: str = ""
    digest: str = ""
    force_length: bool = False
    streamed: bool = True
    template_tokens: int = 0
    output_field: str = ""


class BaselineRow(msgspec.Struct, kw_only=True):
    """What came of holding the result against a reference."""

    reference: str
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[Message, ...] = ()
    refused: bool | None = None  # None: of a version that did not say


class Row(msgspec.Struct, kw_only=True):
    """The keys of a result's file that are no figures; beside them lies each figure under its own name."""

    schema_version: int = SCHEMA_VERSION
    date: str = ""  # UTC, as vLLM writes it
    endpoint_type: str = ""
    backend: str = ""
    label: str | None = None
    model_id: str | None = None
    tokenizer_id: str | None = None
    num_prompts: int | None = None
    request_rate: Figure = None
    burstiness: Figure = 1.0
    max_concurrency: int | None = None
    scenario_id: str
    scenario_key: str = ""
    session: str = ""
    date_utc: str = ""
    base_url: str = ""
    target: str | None = None
    simulated: bool = False
    dataset: str = ""
    input_len: int | None = None
    output_len: int | None = None
    repeat: int = 1
    complete: bool = True  # False after an interruption
    taints: tuple[str, ...] = ()
    verdict: Verdict | None = None
    outcome: TestOutcome | None = None  # what pytest makes of the verdict
    outcome_reason: Message | None = None
    verdicts: tuple[RuleRow, ...] = ()
    validity: tuple[CheckRow, ...] = ()
    error: Message | None = None
    notes: tuple[Message, ...] = ()
    error_counts: dict[str, int] = {}
    first_error: str | None = None
    token_source: Literal["usage", "counter", "ids", "tokenizer", "events"] | None = None
    lengths: dict[str, Spread | None] = {}
    plan: PlanRow | None = None
    plan_digest: str | None = None
    seeds: dict[str, Any] = {}
    client: ClientSummary | None = None
    server: Figures = {}
    environment: dict[str, Any] = {}
    config: dict[str, Any] = {}
    per_repeat: tuple[dict[str, Figure | str], ...] = ()
    pooled: Figures = {}
    by_model: dict[str, Figures] = {}
    by_turn: dict[str, Figures] = {}
    by_position: dict[str, Figures] = {}
    traces: tuple[str, ...] = ()
    stages: dict[str, Figures] = {}
    probe_of: str = ""
    capacity: CapacityAnswer | None = None
    capacity_held: Figure = None
    capacity_held_proven: bool | None = None
    capacity_broken: Figure = None
    capacity_broken_proven: bool | None = None
    capacity_runs: int | None = None
    baseline: BaselineRow | None = None


KEYS = frozenset(Row.__struct_fields__)
#: Left out of a file where they say nothing.
OPTIONAL = (
    "per_repeat",
    "pooled",
    "by_model",
    "by_turn",
    "by_position",
    "traces",
    "stages",
    "probe_of",
    "capacity",
    "baseline",
)
#: What a search found, as figures of the result.
CAPACITY = ("held", "held_proven", "broken", "broken_proven", "runs")
#: Arrays over the requests, which other tools write into a result.
DETAILED = frozenset({"input_lens", "output_lens", "ttfts", "itls", "start_times", "generated_texts", "errors"})


# ------------------------------------------------------------------------------------------- writing


def plain(value: Any) -> Any:
    """Anything → JSON builtins: NaN becomes None, infinities the strings "inf" and "-inf", a Message its words."""
    if isinstance(value, Message):
        return {"key": value.key, "values": plain(value.values), "text": value.text or words(value)}
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: plain(getattr(value, part.name)) for part in fields(value)}
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float | Decimal):
        number = float(value)
        if math.isnan(number):
            return None
        return number if math.isfinite(number) else str(number)
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(plain(v) for v in value)
    if isinstance(value, Iterable):
        return [plain(v) for v in value]
    if hasattr(value, "item"):  # a numpy scalar
        return plain(value.item())
    return str(value)


def words(message: Message) -> str:
    """English words; a text that is missing must not cost the result it belongs to."""
    try:
        return say(message)
    except (KeyError, IndexError, ValueError, TypeError):
        return message.key


def to_json(result: Result) -> dict[str, Any]:
    """The result file's content: facts first, then the figures, then where all of it comes from."""
    row = _row(result)
    left_out = {name for name in OPTIONAL if not getattr(row, name)}
    left_out |= set() if row.capacity else {f"capacity_{name}" for name in CAPACITY}
    facts = {name: plain(getattr(row, name)) for name in row.__struct_fields__ if name not in left_out}
    return {**plain(result.other), **facts, **plain(result.metrics)}


def flat(result: Result) -> dict[str, Any]:
    """Its figures and plain facts under their JSON keys, taints in a line; what is nested is left to the file."""
    row = to_json(result) | {"taints": " ".join(result.taints)}
    return {key: value for key, value in row.items() if not isinstance(value, dict | list)}


def vllm_date(iso: str) -> str:
    """ISO 8601 → vLLM's ``20261123-052505``."""
    return iso[:19].replace("-", "").replace(":", "").replace("T", "-")


def _row(result: Result) -> Row:
    scenario, plan = result.scenario, result.plan
    answer = result.capacity
    return Row(
        date=vllm_date(result.date),
        endpoint_type=scenario.backend,
        backend=scenario.backend,
        label=scenario.target.name or None,
        model_id=result.model,
        tokenizer_id=scenario.tokenizer or result.model,
        num_prompts=result.num_prompts,
        request_rate=scenario.request_rate,
        burstiness=scenario.burstiness,
        max_concurrency=scenario.concurrency,
        scenario_id=scenario.id,
        scenario_key=scenario.cell.key,
        session=result.session,
        date_utc=result.date,
        base_url=scenario.target.base_url,
        target=scenario.target.name or None,
        simulated=scenario.target.simulated,
        dataset=scenario.dataset.label or scenario.dataset.name,
        input_len=scenario.input_len,
        output_len=scenario.output_len,
        repeat=scenario.repeat,
        complete=result.complete,
        taints=result.taints,
        verdict=result.verdict,
        outcome=result.outcome,
        outcome_reason=result.outcome_reason,
        verdicts=tuple(map(_rule_row, result.verdicts)),
        validity=tuple(
            CheckRow(check=c.id, ok=c.ok, observed=c.observed, limit=c.limit, message=c.message) for c in result.checks
        ),
        error=result.error,
        notes=result.notes,
        error_counts=dict(result.requests.error_counts),
        first_error=result.requests.first_error,
        token_source=result.requests.token_source,  # type: ignore[arg-type]
        lengths=dict(result.requests.lengths),
        plan=PlanRow(**{name: getattr(plan, name) for name in PlanRow.__struct_fields__}) if plan else None,
        plan_digest=plan.digest if plan else None,
        seeds={"seed": scenario.seed, "plan": plan.seed if plan else None, "repeat": scenario.repeat},
        client=result.client,
        server=dict(result.server),
        environment=dict(result.environment),
        config=config(scenario),
        per_repeat=tuple(map(dict, result.per_repeat)),
        pooled=dict(result.pooled),
        by_model={name: dict(of) for name, of in result.by_model.items()},
        by_turn={name: dict(of) for name, of in result.by_turn.items()},
        by_position={name: dict(of) for name, of in result.by_position.items()},
        traces=tuple(result.traces),
        stages={name: dict(of) for name, of in result.stages.items()},
        probe_of=scenario.probe_of,
        capacity=answer,
        **{f"capacity_{name}": getattr(answer, name) for name in CAPACITY if answer},
        baseline=BaselineRow(**vars_of(result.baseline)) if result.baseline else None,
    )


def vars_of(noun: Any) -> dict[str, Any]:
    """A noun's fields by name."""
    return {part.name: getattr(noun, part.name) for part in fields(noun)}


def _rule_row(judged: RuleVerdict) -> RuleRow:
    rule = judged.rule
    known = {name: getattr(rule, name) for name in ("metric", "op", "implied", "line")}
    return RuleRow(**{**vars_of(judged), **known, "rule": rule.text, "limit": float(rule.limit)})


def config(scenario: Scenario) -> dict[str, Any]:
    """The effective scenario; of headers the names alone, since their values never leave the process."""
    effective: dict[str, Any] = plain(asdict(scenario))
    effective["target"]["headers"] = sorted(scenario.target.headers)
    del effective["target"]["hidden"]
    effective["rules"] = [rule.text for rule in scenario.rules if not rule.implied]
    effective["implied_rules"] = [rule.text for rule in scenario.rules if rule.implied]
    return effective


# ------------------------------------------------------------------------------------------- reading


def from_json(row: Mapping[str, Any], path: Path | None = None) -> Result:
    """The result that a file's dict holds; BenchError says what in it is wrong, where, and what belongs there."""
    kept = _converted({key: value for key, value in row.items() if key in KEYS}, Row)
    rest = {key: value for key, value in row.items() if key not in KEYS | DETAILED}
    figures = {key: _figure(key, value) for key, value in rest.items() if _is_figure(key, value)}
    scenario = _scenario(kept)
    cut = any(note.key == "judge.interrupted" for note in kept.notes)
    taints = {"simulated": kept.simulated, "interrupted": cut}  # as a version said it that kept none
    return Result(
        scenario=scenario,
        verdict=kept.verdict,
        complete=kept.complete,
        metrics=figures,
        verdicts=tuple(map(_rule_verdict, kept.verdicts)),
        checks=tuple(_check(one) for one in kept.validity),
        error=kept.error,
        notes=kept.notes,
        taints=kept.taints if "taints" in row else tuple(name for name, holds in taints.items() if holds),
        model=kept.model_id,
        requests=RequestSummary(
            n=kept.num_prompts or 0,
            error_counts=kept.error_counts,
            first_error=kept.first_error,
            token_source=kept.token_source,
            lengths=kept.lengths,
        ),
        plan=_plan(kept),
        client=kept.client,
        server=_numbers(kept.server),
        environment=kept.environment,
        per_repeat=tuple({k: v if k == "plan_digest" else _number(v) for k, v in of.items()} for of in kept.per_repeat),
        pooled=_numbers(kept.pooled),
        by_model={name: _numbers(of) for name, of in kept.by_model.items()},
        by_turn={name: _numbers(of) for name, of in kept.by_turn.items()},
        by_position={name: _numbers(of) for name, of in kept.by_position.items()},
        traces=kept.traces,
        stages={name: _numbers(of) for name, of in kept.stages.items()},
        baseline=_baseline(kept.baseline),
        capacity=kept.capacity,
        date=kept.date_utc or _iso(kept.date),
        session=kept.session,
        other={key: value for key, value in rest.items() if key not in figures and not key.startswith("_")},
        path=path,
    )


def _plan(kept: Row) -> Plan | None:
    """Versions that wrote no plan wrote its digest."""
    if kept.plan is None and not kept.plan_digest:
        return None
    known = msgspec.structs.asdict(kept.plan or PlanRow())
    known["digest"] = known["digest"] or kept.plan_digest or ""
    return Plan(scenario_id=kept.scenario_id, folder=Path(), **known)


def _converted(data: Any, kind: Any, within: str = "") -> Any:
    """``data`` as ``kind``; lenient: 8.0 is a number of things too, and "inf" a figure."""
    try:
        return msgspec.convert(data, kind, strict=False)
    except msgspec.ValidationError as error:
        raise misfit(data, str(error), kind, within) from None


def _is_figure(key: str, value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number or value in (None, "inf", "-inf") or parse_name(key) is not None


def _figure(key: str, value: Any) -> float | int | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not number and value not in ("inf", "-inf"):
        raise misfit({key: value}, f" - at `$.{key}`", Figures)
    return float(value) if isinstance(value, str) else value


def _number(value: Any) -> Any:
    return float(value) if value in ("inf", "-inf") else value


def _numbers(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _number(value) for key, value in figures.items()}


def _iso(date: str) -> str:
    """vLLM's date → ISO 8601; anything else as it is."""
    if len(date) < 13 or not (date[:8] + date[9:13]).isdigit():
        return date
    return f"{date[:4]}-{date[4:6]}-{date[6:8]}T{date[9:11]}:{date[11:13]}:{date[13:15] or '00'}"


def _rule_verdict(row: RuleRow) -> RuleVerdict:
    known, meant = msgspec.structs.asdict(row), parse_rule(row.rule)
    rule = Rule(
        text=row.rule,
        metric=known.pop("metric"),
        op=known.pop("op"),
        limit=Decimal(repr(_number(known.pop("limit")) or 0)),
        implied=known.pop("implied"),
        line=known.pop("line"),
        window=meant.window if isinstance(meant, Rule) else "auto",
    )
    ends = known.pop("interval")
    return RuleVerdict(
        **{
            **known,
            "rule": rule,
            "reason": row.reason or Message(key="report.unsaid"),
            "observed": "inf" if _number(row.observed) == math.inf else row.observed,
            "other": _number(row.other),
            "interval": ends and (_number(ends[0]), _number(ends[1])),
        }
    )


def _check(row: CheckRow) -> Check:
    message = row.message or Message(key="report.unsaid")
    return Check(id=row.check, ok=row.ok, observed=_number(row.observed), limit=_number(row.limit), message=message)


def _baseline(row: BaselineRow | None) -> BaselineOutcome | None:
    if row is None:
        return None
    refused = not row.comparisons if row.refused is None else row.refused
    return BaselineOutcome(reference=row.reference, comparisons=row.comparisons, notes=row.notes, refused=refused)


def _scenario(kept: Row) -> Scenario:
    """What was asked for, from the config that a result carries; what that does not say, from its other keys."""
    told = {key: value for key, value in kept.config.items() if key not in ("rules", "implied_rules")}
    target = told.get("target")
    repeat, named = kept.repeat, kept.target or ""
    cell = read_cell(kept.scenario_id, kept.scenario_key, target=named, repeat=repeat, probe_of=kept.probe_of)
    known = {
        "cell": told.get("cell", cell),
        "backend": kept.backend or kept.endpoint_type,
        "concurrency": kept.max_concurrency,
        "request_rate": math.inf if kept.request_rate is None else _number(kept.request_rate),
        "burstiness": 1.0 if kept.burstiness is None else _number(kept.burstiness),
        "num_prompts": kept.num_prompts if not told else told.get("num_prompts", kept.num_prompts),
        "input_len": kept.input_len,
        "output_len": kept.output_len,
        "target": {
            **(target if isinstance(target, dict) else {}),
            "name": named,
            "base_url": kept.base_url,
            "simulated": kept.simulated,
            "headers": {},
        },
    }
    if not told.get("dataset"):
        known["dataset"] = {"name": kept.dataset}  # "": nobody says
    scenario: Scenario = _converted({**told, **known}, Scenario, "config")
    known_as = scenario.cell if scenario.cell.id == kept.scenario_id else cell  # it was given another name since
    return replace(scenario, cell=known_as, rules=tuple(_rules(kept)))


def _rules(kept: Row) -> Iterator[Rule]:
    """As written; of a version that kept no config those that were judged.  BenchError for what is no rule."""
    judged = {one.rule: one for one in kept.verdicts}
    alone = [one.rule for one in kept.verdicts if not one.implied and not kept.capacity]
    written = _converted(kept.config.get("rules", alone), list[str], "config.rules")
    for text in (*written, *_converted(kept.config.get("implied_rules", []), list[str], "config.implied_rules")):
        rule = parse_rule(text, judged[text].line if text in judged else None)
        if isinstance(rule, Message):
            raise BenchError(rule.key, **rule.values)
        yield replace(rule, implied=text not in written)
