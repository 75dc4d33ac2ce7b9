"""What is asked and what was measured → Result: the only way to one.

The run, repeats, the tiers of a search, results judged again and what a killed session left all come through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_vllm_bench import judge as stage
from pytest_vllm_bench.judge import stopping
from pytest_vllm_bench.measure.by_model import by_model
from pytest_vllm_bench.measure.by_turn import by_turn
from pytest_vllm_bench.measure.metrics import summary
from pytest_vllm_bench.measure.rows import sample
from pytest_vllm_bench.measure.settings import MetricSettings, settings_of
from pytest_vllm_bench.model import Measurement, Metrics, Result, Sample, Scenario, Verdict


def judge(asked: Scenario, measured: Sequence[Measurement], *, waits: bool = False) -> Result:
    """The result of the last measurement, its verdict on all of them: the repeats of one cell, in order.

    ``asked`` says by which rules, limits and settings; what was sent is the measurements' own.  ``waits``: later repeats
    will be judged together with this one, which answers alone for what is of each repeat its own.
    """
    last = measured[-1]
    pool = [last] if waits else measured
    settings = _settings(asked, last)
    samples = [sample_of(one, asked) for one in pool]
    figures = [figures_of(one, asked) for one in pool]
    pooled = summary(samples, settings) if len(pool) > 1 else figures[-1]
    evidence = stage.Evidence(
        metrics=pooled,
        per_repeat=figures,
        facts=[one.facts for one in pool],
        plan=last.plan,
        server=last.observed.counters,
        server_fault=last.observed.fault,
        hopeless=last.stopped_by,
    )
    asking, rules = (replace(asked, goodput={}), stage.of_one_repeat(asked)) if waits else (asked, None)
    judgement = stage.judge(asking, samples, evidence, rules)
    seen = filter(None, [stopping.spread_said(figures), *last.observed.notes])
    return Result(
        scenario=asked,
        verdict=Verdict.worst([judgement.verdict, Verdict.FAIL]) if last.gone else judgement.verdict,
        complete=last.complete,
        metrics={**figures[-1], "round_trip_ms": last.round_trip_ms},
        verdicts=judgement.verdicts,
        checks=judgement.checks,
        records=last.records,
        error=last.gone,
        plan=last.plan,
        facts=last.facts,
        environment=last.environment,
        server=last.observed.counters,
        per_repeat=figures if len(pool) > 1 else (),
        pooled=pooled if len(pool) > 1 else {},
        by_model=by_model(last.records, settings),
        by_turn=by_turn(last.records, settings),
        date=last.date,
        session=last.session,
        notes=(*judgement.faults, *judgement.notes, *seen, *last.plan.notes, *last.facts.warnings),
        taints=last.taints,
    )


def sample_of(one: Measurement, asked: Scenario) -> Sample:
    """The columns of a measurement; made once for each set of goodput limits."""
    key = tuple(sorted(asked.goodput.items()))
    if key not in one.samples:
        one.samples[key] = sample(one.records, _settings(asked, one))
    return one.samples[key]


def figures_of(one: Measurement, asked: Scenario) -> Metrics:
    """The metrics of one measurement alone."""
    return summary([sample_of(one, asked)], _settings(asked, one))


def _settings(asked: Scenario, one: Measurement) -> MetricSettings:
    return settings_of(asked, workers=len(one.facts.workers), complete=one.complete)
