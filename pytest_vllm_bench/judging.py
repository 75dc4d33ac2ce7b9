"""What is asked and what was measured → Result: the only way to one.

The run, repeats, the tiers of a search, results judged again and what a killed session left all come through here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

from pytest_vllm_bench import judge as stage
from pytest_vllm_bench.judge import devices, prediction, stopping
from pytest_vllm_bench.judge.parts import summed_up
from pytest_vllm_bench.measure import brief, energy, timeline
from pytest_vllm_bench.measure.by_model import by_model
from pytest_vllm_bench.measure.by_position import by_position
from pytest_vllm_bench.measure.by_turn import by_turn
from pytest_vllm_bench.measure.columns import sample
from pytest_vllm_bench.measure.findings import findings
from pytest_vllm_bench.measure.metrics import summary
from pytest_vllm_bench.measure.settings import MetricSettings, settings_of
from pytest_vllm_bench.metric_table import STARTUP, parse_name
from pytest_vllm_bench.model import Measurement, Message, Metrics, Result, Sample, Scenario, Track, Verdict


def judge(
    asked: Scenario, measured: Sequence[Measurement], *, waits: bool = False, besides: Metrics = MappingProxyType({})
) -> Result:
    """The result of the last measurement, its verdict on all of them: the repeats of one cell, in order.

    ``asked`` says by which rules, limits and settings; what was sent is the measurements' own.  ``waits``: later
    repeats will be judged together with this one, which answers alone for what is of each repeat its own.
    ``besides``: figures that another tool saved, for what its records do not say.
    """
    last = measured[-1]
    pool = [last] if waits else measured
    settings = _settings(asked, last)
    samples = [sample_of(one, asked) for one in pool]
    alone = [figures_of(one, asked) for one in pool]
    alone[-1] = {**alone[-1], **{key: value for key, value in besides.items() if alone[-1].get(key) is None}}
    digests = [one.plan.digest if one.plan else None for one in pool]
    per_repeat: list[dict[str, Any]] = [
        {**own, **one.started, "plan_digest": digest} for own, one, digest in zip(alone, pool, digests, strict=True)
    ]
    pooled = summary(samples, settings) if len(pool) > 1 else alone[-1]
    server = {**last.observed.counters, **timeline.figures(samples[-1]), **slowest(pool)}
    seen = replace(last, observed=replace(last.observed, counters=server, fault=_fault_of(last)))
    rules = stage.of_one_repeat(asked) if waits else stage.effective_rules(asked)
    asking = replace(asked, rules=rules, goodput={} if waits else asked.goodput)
    judgement = stage.judge(asking, [*pool[:-1], seen], samples, per_repeat, pooled)
    verdicts = judgement.verdicts
    if (errors := last.predicted) is not None:
        open_loop = any(sample.open_loop for sample in samples)
        edges = _edges(last, asked, errors)
        verdicts = tuple(prediction.predicted(one, errors, open_loop=open_loop, edges=edges) for one in verdicts)
        told = partial(prediction.told, errors=errors, limits=bool(edges))
        alone, per_repeat, pooled = [told(one) for one in alone], [told(one) for one in per_repeat], told(pooled)
    spoilt = [found for sample in samples for found in devices.findings(sample)]
    positions, slows = by_position(last.records)
    notes = [
        *judgement.faults,
        *judgement.notes,
        stopping.spread_said(per_repeat, STARTUP if asked.of_start else stopping.SPREAD),
        *last.said,
        *(note for _, note in spoilt),
        *findings(samples[-1]),
        slows,
        *energy.notes(samples[-1], _asks_for_energy(asked), asked.deployment.accelerators),
    ]
    return Result(
        scenario=asked,
        verdict=Verdict.worst([judgement.verdict, Verdict.FAIL]) if last.gone else judgement.verdict,
        complete=last.complete,
        metrics={**alone[-1], "round_trip_ms": last.round_trip_ms},
        verdicts=verdicts,
        checks=judgement.checks,
        records=last.records,
        error=last.gone,
        model=model_of(last),
        requests=brief.requests(last.records),
        plan=last.plan,
        client=brief.client(last.facts),
        environment=last.environment,
        server=server,
        per_repeat=per_repeat if len(pool) > 1 else (),
        pooled=pooled if len(pool) > 1 else {},
        by_model=by_model(last.records, settings),
        by_turn=by_turn(last.records, settings),
        by_position=positions,
        stages=summed_up(samples),
        date=last.date,
        session=last.session,
        notes=tuple(note for i, note in enumerate(notes) if note and note not in notes[:i]),
        taints=tuple(dict.fromkeys([taint for one in pool for taint in one.taints] + [taint for taint, _ in spoilt])),
    )


def waited(scenario: Scenario, saved: Result) -> bool:
    """Whether a later repeat was to judge the rules.  The last to run may have been the only one (``--lf``)."""
    alone = {rule.text for rule in stage.of_one_repeat(scenario)}
    by_rules = any(verdict.rule.text not in alone for verdict in saved.verdicts)
    return scenario.repeats.max > 1 and not saved.per_repeat and not by_rules


def slowest(pool: Sequence[Measurement]) -> dict[str, float]:
    """Figures of the start, of several starts the worst of each: every one of them must be within a rule."""
    keys = dict.fromkeys(key for one in pool for key in one.started)
    told = {key: [one.started[key] for one in pool if key in one.started] for key in keys}
    return {key: (max if STARTUP[key].better == "lower" else min)(values) for key, values in told.items()}


def _edges(one: Measurement, asked: Scenario, errors: Mapping[str, float]) -> list[Metrics]:
    """What goodput comes to where every request is as much slower, or faster, as the twin may be off."""
    if (off := prediction.of_limits(asked.goodput, errors)) is None:
        return []
    moved = ({id: limit * (1 + sign * off[id]) for id, limit in asked.goodput.items()} for sign in (-1, 1))
    return [figures_of(one, replace(asked, goodput=limits)) for limits in moved]


def model_of(one: Measurement) -> str | None:
    """What the server calls the model that answered."""
    return next(iter((one.plan.models if one.plan else ()) or one.scenario.models), None)


def _asks_for_energy(asked: Scenario) -> bool:
    names = (parse_name(rule.metric) for rule in asked.rules)
    return asked.watching.accelerators not in ("auto", "off") or any(
        name and "accelerators" in name.row.needs for name in names
    )


def _fault_of(one: Measurement) -> Message | None:
    """Why the figures are not of one server, and when that was seen."""
    what, at = one.observed.fault, one.observed.fault_at
    if what is None or at is None or one.facts is None:
        return what
    return Message(key="observe.at", values={"what": what, "seconds": f"{max(0.0, at - one.facts.started):.0f}"})


def sample_of(one: Measurement, asked: Scenario) -> Sample:
    """The columns of a measurement; made once for each set of goodput limits."""
    key = limits(asked)
    if key not in one.samples:
        one.samples[key] = replace(sample(one.records, _settings(asked, one)), tracks=_since_start(one))
    return one.samples[key]


def _since_start(one: Measurement) -> tuple[Track, ...]:
    """What was watched, its times as the records' are."""
    start = one.facts.started if one.facts else 0.0
    return tuple(replace(track, times=tuple(t - start for t in track.times)) for track in one.observed.tracks)


def limits(asked: Scenario) -> tuple[tuple[str, float], ...]:
    """Under what a measurement keeps its sample."""
    return tuple(sorted(asked.goodput.items()))


def figures_of(one: Measurement, asked: Scenario) -> Metrics:
    """The metrics of one measurement alone."""
    return summary([sample_of(one, asked)], _settings(asked, one))


def enough(asked: Scenario, measured: Sequence[Measurement]) -> bool:
    """Whether no further repeat is needed."""
    return stopping.enough_repeats(asked, [figures_of(one, asked) for one in measured])


def _settings(asked: Scenario, one: Measurement) -> MetricSettings:
    made = settings_of(asked, workers=len(one.facts.workers) if one.facts else 1, complete=one.complete)
    spread = None if made.accelerators else one.environment.get("launch", {}).get("accelerators")
    watched = len(one.environment.get("accelerators", ())) or None
    return replace(made, accelerators=made.accelerators or watched, spread=spread)
