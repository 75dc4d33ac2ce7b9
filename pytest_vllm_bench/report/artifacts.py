"""Result → one flat JSON dict: vLLM's ``--save-result`` keys under their exact names, ours beside them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from decimal import Decimal
from typing import Any

from pytest_vllm_bench.model import Check, LoadFacts, Message, Plan, Record, Result, RuleVerdict, Scenario, WorkerFacts
from pytest_vllm_bench.text import say

Row = dict[str, Any]

#: Raised when a key changes its meaning; new keys do not raise it.
SCHEMA_VERSION = 1

#: From the best witness of a token count to the worst.
TOKEN_SOURCES = ("usage", "counter", "ids", "tokenizer", "events")
#: What a search found, as figures of the result.
CAPACITY = ("held", "held_proven", "broken", "broken_proven", "runs")
#: Fields of a Record whose spread over the requests a result carries.
LENGTHS = ("asked_input", "prompt_tokens", "asked_output", "output_tokens")


def plain(value: Any) -> Any:
    """Anything → JSON builtins: NaN becomes None, infinities the strings "inf" and "-inf", a Message its words."""
    if isinstance(value, Message):
        return {"key": value.key, "values": plain(value.values), "text": words(value)}
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


def to_json(result: Result) -> Row:
    """The result file's content."""
    scenario = result.scenario
    row: Row = {"schema_version": SCHEMA_VERSION}
    row |= _vllm_keys(result)
    row |= _identity(scenario, result)
    row |= {
        "complete": result.complete,
        "taints": list(result.taints),
        "verdict": str(result.verdict),
        "outcome": result.outcome,
        "outcome_reason": plain(result.outcome_reason),
        "verdicts": [_rule_verdict(v) for v in result.verdicts],
        "validity": [_check(c) for c in result.checks],
        "error": plain(result.error),
        "notes": [plain(n) for n in _notes(result)],
        "error_counts": dict(Counter(r.error for r in result.records if r.error)),
        "first_error": next((r.error_detail for r in result.records if r.error and r.error_detail), None),
        "token_source": token_source(result.records),
        "lengths": lengths(result.records),
    }
    row |= {key: plain(value) for key, value in result.metrics.items()}
    row |= {
        "plan": _plan(result.plan),
        "plan_digest": result.plan.digest if result.plan else None,
        "seeds": {"seed": scenario.seed, "plan": result.plan.seed if result.plan else None, "repeat": scenario.repeat},
        "client": _load(result.facts),
        "server": plain(result.server),
        "environment": plain(result.environment),
        "config": config(scenario),
    }
    if result.per_repeat:
        row["per_repeat"] = plain(result.per_repeat)
        row["pooled"] = plain(result.pooled)
    if result.by_model:
        row["by_model"] = plain(result.by_model)
    if result.by_turn:
        row["by_turn"] = plain(result.by_turn)
    if scenario.probe_of:
        row["probe_of"] = scenario.probe_of
    if result.capacity is not None:
        row["capacity"] = plain(result.capacity)
        row |= {f"capacity_{key}": row["capacity"].get(key) for key in CAPACITY}
    if result.baseline:
        row["baseline"] = {
            "reference": result.baseline,
            "comparisons": plain(result.comparisons),
            "notes": plain(result.baseline_notes),
            "refused": result.baseline_refused,
        }
    return row


def vllm_date(iso: str) -> str:
    """ISO 8601 → vLLM's ``20261123-052505``."""
    return iso[:19].replace("-", "").replace(":", "").replace("T", "-")


def _vllm_keys(result: Result) -> Row:
    """The keys of ``vllm bench serve --save-result`` that are not metrics."""
    scenario = result.scenario
    model = scenario.models[0] if scenario.models else result.environment.get("model")
    if result.plan and result.plan.models:
        model = result.plan.models[0]
    sampled = [r for r in result.records if r.error not in ("cancelled", "not_sent")]
    return {
        "date": vllm_date(result.date),
        "endpoint_type": scenario.backend,
        "backend": scenario.backend,
        "label": scenario.target.name or None,
        "model_id": plain(model),
        "tokenizer_id": scenario.tokenizer or plain(model),
        "num_prompts": scenario.num_prompts if scenario.num_prompts is not None else len(result.records) or None,
        "request_rate": plain(scenario.request_rate),
        "burstiness": plain(scenario.burstiness),
        "max_concurrency": scenario.concurrency,
        "completed": sum(r.error is None for r in sampled),
        "failed": sum(r.error is not None for r in sampled),
    }


def _identity(scenario: Scenario, result: Result) -> Row:
    """What names the scenario, so that a reader need not take the id apart."""
    return {
        "scenario_id": scenario.id,
        "scenario_key": scenario.cell.key,
        "session": result.session,
        "date_utc": result.date,
        "base_url": scenario.target.base_url,
        "target": scenario.target.name or None,
        "simulated": scenario.target.simulated,
        "dataset": scenario.dataset.label or scenario.dataset.name,
        "input_len": scenario.input_len,
        "output_len": scenario.output_len,
        "repeat": scenario.repeat,
    }


def _notes(result: Result) -> list[Message]:
    notes = [*result.notes, *result.baseline_notes]
    if result.plan:
        notes += [n for n in result.plan.notes if n not in notes]
    if result.facts:
        notes += [n for n in result.facts.warnings if n not in notes]
    return notes


def config(scenario: Scenario) -> Row:
    """The effective scenario; of headers the names alone, since their values never leave the process."""
    effective: Row = plain(asdict(scenario))
    effective["target"]["headers"] = sorted(scenario.target.headers)
    del effective["target"]["hidden"]
    effective["rules"] = [rule.text for rule in scenario.rules if not rule.implied]
    effective["implied_rules"] = [rule.text for rule in scenario.rules if rule.implied]
    return effective


def _rule_verdict(judged: RuleVerdict) -> Row:
    rule = judged.rule
    row: Row = {
        "rule": rule.text,
        "metric": rule.metric,
        "op": rule.op,
        "limit": plain(rule.limit),
        "implied": rule.implied,
        "line": rule.line,
        "verdict": str(judged.verdict),
        "reason": plain(judged.reason),
    }
    for name in ("observed", "within", "proven", "window", "other", "n", "misses", "n_eff", "misses_eff", "tau"):
        row[name] = plain(getattr(judged, name))
    return row | {"interval": plain(judged.interval), "more": judged.more}


def _check(check: Check) -> Row:
    return {
        "check": check.id,
        "ok": check.ok,
        "observed": plain(check.observed),
        "limit": plain(check.limit),
        "message": plain(check.message),
    }


def _plan(plan: Plan | None) -> Row | None:
    if plan is None:
        return None
    names = ("n", "chains", "path", "models", "max_in_flight", "steps", "duration", "seed", "salt", "digest")
    more = ("force_length", "streamed", "template_tokens", "output_field")
    return {name: plain(getattr(plan, name)) for name in names + more}


def _load(facts: LoadFacts | None) -> Row | None:
    """What the client saw of itself; of the sentinel's thousands of lags a few quantiles."""
    if facts is None:
        return None
    return {
        "seconds": plain(facts.ended - facts.started),
        "steal": plain(facts.steal),
        "stop_reason": facts.stop_reason,
        "workers": [_worker(w) for w in facts.workers],
    }


def _worker(worker: WorkerFacts) -> Row:
    lags = sorted(worker.sentinel_lags)
    names = (
        "worker", "loop", "nice", "cpu", "cpu_s", "reads", "bytes_in", "bytes_out", "gc_collections",
        "voluntary_switches", "involuntary_switches", "peak_memory_bytes", "died",
    )  # fmt: skip
    row: Row = {name: plain(getattr(worker, name)) for name in names}
    return row | {
        "seconds": plain(worker.ended - worker.started),
        "sentinel_ticks": len(lags),
        "p50_sentinel_lag_ms": _quantile(lags, 0.5),
        "p99_sentinel_lag_ms": _quantile(lags, 0.99),
        "max_sentinel_lag_ms": _quantile(lags, 1.0),
        "tape_stalls": len(worker.tape_stalls),
        "tape_stall_ms": 1e3 * sum(worker.tape_stalls),
        "context_switches": [worker.voluntary_switches, worker.involuntary_switches],
    }


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(1e3 * ordered[max(0, math.ceil(share * len(ordered)) - 1)], 4)


def token_source(records: Sequence[Record]) -> str | None:
    """Where token counts come from: the weakest witness among the successful requests, None without any."""
    seen = {r.token_source for r in records if r.error is None and r.token_source}
    return max(seen, key=TOKEN_SOURCES.index) if seen else None


def lengths(records: Sequence[Record]) -> Row:
    """Tokens asked for and tokens counted, of prompts and answers: how they are spread; None where nobody knows."""
    return {name: _spread([getattr(r, name) for r in records]) for name in LENGTHS}


def _spread(values: Sequence[int | None]) -> Row | None:
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    middle, high = (known[math.ceil(share * len(known)) - 1] for share in (0.5, 0.9))
    return {
        "n": len(known),
        "min": known[0],
        "mean": sum(known) / len(known),
        "p50": middle,
        "p90": high,
        "max": known[-1],
    }
