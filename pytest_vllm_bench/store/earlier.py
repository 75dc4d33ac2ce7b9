"""A saved result → the measurements that its verdict is of; what earlier versions kept of one is brought up to date."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pytest_vllm_bench import files
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judge import doubts
from pytest_vllm_bench.metric_table import parse_rule
from pytest_vllm_bench.model import (
    Check,
    LoadFacts,
    Measurement,
    Message,
    Observed,
    Result,
    Rule,
    RuleVerdict,
    Verdict,
    WorkerFacts,
)
from pytest_vllm_bench.store import measurement, records
from pytest_vllm_bench.store.folder import records_of, stem
from pytest_vllm_bench.store.row import from_json

#: Notes of earlier versions that say that the server failed the run, and that one of its rules stopped it.
FAULTS, STOPPED = ("server.restarted", "server.counter_fell", "server.model_changed"), "judge.hopeless"


def measurements(result: Result) -> list[Measurement]:
    """Those that the verdict of a saved result is of: its own, or of all the repeats that it pooled; none: not kept."""
    own = records_of(result)
    if own is None:
        return []
    last, pooled = result.scenario.repeat, [result]
    for number in range(last - 1, last - len(result.per_repeat), -1):
        beside = own.with_name(stem(replace(result.scenario.cell, repeat=number).id) + records.SUFFIX)
        before = result_of(beside.with_name(beside.name.removesuffix(records.SUFFIX) + ".json"))
        if before is None or before.session != result.session:
            pooled = [result]
            break
        pooled.insert(0, before)
    return [_measurement(one) for one in pooled]


def result_of(path: Path) -> Result | None:
    """A saved result; None where it cannot be read."""
    try:
        (data,) = files.documents(path)
        return from_json(data, path)
    except (BenchError, ValueError, AttributeError):
        return None


def _measurement(result: Result) -> Measurement:
    assert result.path is not None
    stem_of = result.path.with_suffix("")
    if (saved := stem_of.with_name(stem_of.name + measurement.SUFFIX)).is_file():
        return measurement.load(saved)
    stopped = next((note for note in result.notes if note.key == STOPPED), None)
    return Measurement(
        scenario=result.scenario,
        plan=result.plan,
        facts=_facts(result),
        observed=Observed(
            counters=result.server,
            fault=next((note for note in result.notes if note.key in FAULTS), None),
            notes=tuple(doubts.among(result.notes)),
        ),
        records=measurement.RecordsOnDisk(
            stem_of.with_name(stem_of.name + records.SUFFIX), result.plan.n if result.plan else 0
        ),
        complete=result.complete,
        interrupted=any(note.key == "judge.interrupted" for note in result.notes),
        stopped_by=_stopped_by(stopped),
        gone=result.error,
        environment=result.environment,
        date=result.date,
        session=result.session,
    )


def _stopped_by(reason: Message | None) -> RuleVerdict | None:
    rule = parse_rule(str(reason.values.get("rule"))) if reason else None
    if reason is None or not isinstance(rule, Rule):
        return None
    return RuleVerdict(rule=rule, verdict=Verdict.FAIL, reason=reason, observed=None, within=False, proven=True)


def _facts(result: Result) -> LoadFacts | None:
    """How many processes there were; what they saw of themselves is not in such a file, only what was found of it."""
    if result.client is None:
        return None
    nobody = WorkerFacts(worker=0, started=0.0, ended=0.0, cpu_s=0.0, reads=0, bytes_in=0, bytes_out=0)
    workers = tuple(replace(nobody, worker=i) for i, _ in enumerate(result.client.workers))
    return LoadFacts(started=0.0, ended=0.0, workers=workers, complete=result.complete)


def void(result: Result, measured: list[Measurement]) -> tuple[Check, ...]:
    """The checks that made a run void, where its file does not hold what they were of: it stays void."""
    if measured and measured[-1].facts is not None and measured[-1].facts.ended:
        return ()
    return tuple(check for check in result.checks if not check.ok)
