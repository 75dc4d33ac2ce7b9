"""A scenario that searches → probes run one after another, and the largest load that still meets the rules."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judge import enough
from pytest_vllm_bench.judge.capacity import Outcome, Probe, at_least, search
from pytest_vllm_bench.judging import judge
from pytest_vllm_bench.memory import alike
from pytest_vllm_bench.model import (
    CapacityAnswer,
    Message,
    Result,
    Rule,
    RuleVerdict,
    Scenario,
    Verdict,
)
from pytest_vllm_bench.run import Keep, discreet, measured_and_judged
from pytest_vllm_bench.store import folder
from pytest_vllm_bench.world import Probes, Watch, World

#: Requests of a probe before it is multiplied: so many for each slot, or seconds' worth of the rate; at least FEWEST,
#: and as many as the rules take to be decided at all.
EACH, SECONDS, FEWEST = 10, 20, 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOutcome:
    """What came of one probe; ``result`` is None where an interruption left none."""

    result: Result | None
    outcome: Outcome


async def find(scenario: Scenario, world: World, watch: Watch, keep: Keep) -> Result:
    """Probe level after level; each probe is a result of its own.  The last result carries the answer and its gate.

    A probe that another tier of the same search has sent is judged again by this one's rules, and not sent again.
    """
    assert scenario.search is not None
    begin(scenario, world.probes)
    steps = search(scenario.search, {level(s.scenario, scenario) for s in world.probes.measured})
    results, probe = list[Result](), next(steps)
    while True:
        watch.phase(Message(key="plugin.probe", values={"level": f"{probe.level:g}"}))
        one = probed(scenario, probe, world.probes)
        tried = again(one, world) or await sent(one, world, watch, keep, later(scenario, world.probes))
        results += [tried.result] if tried.result else []
        try:
            probe = steps.send(tried.outcome)
        except StopIteration as end:
            answer: CapacityAnswer = end.value
            break
    world.probes.answered.add(scenario.id)
    if results:
        result = answered(scenario, answer, results)
        keep(told := discreet(result, world.target))
        folder.write(told, world.folder)
    if answer.stopped == "interrupted":
        raise asyncio.CancelledError
    return result


def begin(scenario: Scenario, probes: Probes) -> None:
    """A tier that runs once more (a rerun) wants fresh measurements."""
    if scenario.id in probes.answered:
        probes.measured.clear()
        probes.answered.clear()


def later(scenario: Scenario, probes: Probes) -> Probes:
    """The search as it is for the tiers that are still to come."""
    ids = [tier.id for tier in probes.tiers]
    return replace(probes, tiers=probes.tiers[ids.index(scenario.id) + 1 :] if scenario.id in ids else ())


def probed(scenario: Scenario, probe: Probe, probes: Probes = Probes()) -> Scenario:
    """The scenario of one probe: the level, and ``multiple`` times the requests that every tier can decide with."""
    assert scenario.search is not None
    fewest = max(FEWEST, *(enough.enough(tier) for tier in (scenario, *probes.tiers)))
    if scenario.search.over == "concurrency":
        cap = int(probe.level)
        n = max(fewest, EACH * cap) * probe.multiple
        level, one = f"mc{cap}", replace(scenario, concurrency=cap)
    else:
        n = math.ceil(max(fewest, SECONDS * probe.level) * probe.multiple)
        level, one = f"rr{probe.level:g}", replace(scenario, request_rate=probe.level)
    cell = replace(scenario.cell.of_search, level=level, bound=f"np{n}")
    return replace(one, cell=cell, num_prompts=n, search=None)


async def sent(one: Scenario, world: World, watch: Watch, keep: Keep, others: Probes) -> ProbeOutcome:
    """Run a probe, once more where a disturbed machine has spoilt it; kept for the tiers that are still to come."""
    alone = replace(world, gate=None, probes=others)
    clock, results = asyncio.get_running_loop().time, list[Result]()
    started = clock()

    def note(result: Result) -> None:
        results.append(result)
        keep(result)

    try:
        made, result = await measured_and_judged(one, alone, watch, note)
        if result.verdict is Verdict.INVALID and result.error is None:
            made, result = await measured_and_judged(one, alone, watch, note)
    except asyncio.CancelledError:
        partial = results[-1] if results else None
        return ProbeOutcome(result=partial, outcome=Outcome(verdict=Verdict.INCONCLUSIVE, over="interrupted"))
    if others.tiers and result.complete and result.error is None:
        others.measured.append(made)
    found = replace(outcome(result), runs=len(results), seconds=clock() - started)
    return ProbeOutcome(result=result, outcome=found)


def again(one: Scenario, world: World) -> ProbeOutcome | None:
    """Judge a probe that another tier has sent; None where there is none, or where it says nothing to these rules."""
    match = next((m for m in world.probes.measured if alike(m.scenario, one)), None)
    if match is None:
        return None
    try:
        result = judge(one, [match])
    except BenchError:  # its records are not there, or no longer whole
        return None
    if result.verdict is Verdict.INVALID:
        return None
    return ProbeOutcome(result=result, outcome=replace(outcome(result), runs=0))


def outcome(result: Result) -> Outcome:
    """What the search needs to know of a probe; rules that are compared exactly prove nothing."""
    sides = [v.within for v in result.verdicts]
    within = False if False in sides else None if None in sides else True
    deciding = [v.proven for v in result.verdicts if v.verdict is result.verdict]
    over = "gone" if result.error is not None else ""
    return Outcome(verdict=result.verdict, within=within, proven=any(deciding), result=result.scenario.id, over=over)  # type: ignore[arg-type]


def answered(scenario: Scenario, answer: CapacityAnswer, results: Sequence[Result]) -> Result:
    """The answer as a result: its gate, beside the figures of the largest level that held."""
    assert scenario.search is not None
    gate = verdict(scenario, answer)
    whole = answer.stopped != "interrupted"
    told = {"invalid": gate.verdict is Verdict.INVALID, "gone": True}  # what must be changed is said by the last probe
    held = [r for r in results if level(r.scenario, scenario) == answer.held and r.complete]
    best = held[-1] if held and not told.get(answer.stopped) else results[-1]
    load = {"concurrency": best.scenario.concurrency, "request_rate": best.scenario.request_rate}
    stopped = [] if answer.stopped in ("found", "max", "floor") else [f"judge.capacity_stopped.{answer.stopped}"]
    return replace(
        best,
        scenario=replace(scenario, **load),  # type: ignore[arg-type]
        verdict=gate.verdict if whole else Verdict.worst([gate.verdict, Verdict.INCONCLUSIVE]),
        verdicts=(gate,),
        complete=whole,
        taints=tuple(dict.fromkeys((*best.taints, *(() if whole else ("interrupted",))))),
        capacity=answer,
        notes=(gate.reason, *(Message(key=key) for key in stopped), *answer.notes, *best.notes),
    )


def verdict(scenario: Scenario, answer: CapacityAnswer) -> RuleVerdict:
    """The gate "at least N", as one rule; without an N anything that holds is enough."""
    asked = scenario.search
    assert asked is not None
    gate = at_least(answer, asked.at_least)
    text = f"{asked.over} {'>' if asked.at_least is None else '>='} {asked.at_least or 0:g}"
    return RuleVerdict(
        rule=Rule(
            text=text,
            metric=asked.over,
            op=">" if asked.at_least is None else ">=",
            limit=Decimal(repr(asked.at_least or 0)),
            line=asked.line,
        ),
        verdict=gate.verdict,
        reason=said(scenario, answer),
        observed=answer.held if answer.held is not None else 0.0 if answer.broken is not None else None,
        within=gate.within,
        proven=gate.proven,
        n=len(answer.levels),
        interval=(answer.held, answer.broken) if answer.held is not None and answer.broken is not None else None,
    )


def said(scenario: Scenario, answer: CapacityAnswer) -> Message:
    """The answer in one sentence."""
    asked = scenario.search
    assert asked is not None

    def side(name: str, at: float | None, proven: bool) -> Message:
        if at is None and name == "broke" and answer.stopped == "max":
            return Message(key="judge.capacity_max_held")
        if at is None:
            return Message(key=f"judge.capacity_none_{name}")
        how = Message(key="judge.proven" if proven else "judge.observed")
        return Message(key=f"judge.capacity_{name}", values={"level": f"{at:g}", "how": how})

    return Message(
        key="judge.capacity" if asked.at_least is None else "judge.capacity_asked",
        values={
            "over": Message(key=f"judge.over.{asked.over}"),
            "held": side("held", answer.held, answer.held_proven),
            "broken": side("broke", answer.broken, answer.broken_proven),
            "wanted": f"{asked.at_least or 0:g}",
            "runs": answer.runs,
            "levels": len(answer.levels),
        },
    )


def level(one: Scenario, scenario: Scenario) -> float:
    """The level that a probe was run at."""
    assert scenario.search is not None
    return float((one.concurrency or 0) if scenario.search.over == "concurrency" else one.request_rate)
