"""A scenario that searches → probes run one after another, and the largest load that still meets the rules."""

from __future__ import annotations

import math
from dataclasses import replace

from pytest_vllm_bench.judge import before
from pytest_vllm_bench.judge.capacity import Answer, Outcome, Probe, Seen, search
from pytest_vllm_bench.model import Message, Result, Scenario, Verdict
from pytest_vllm_bench.run import Keep, run, save
from pytest_vllm_bench.world import Watch, World

#: Requests of a probe before it is multiplied: so many for each slot, or seconds' worth of the rate; at least FEWEST,
#: and as many as the rules take to be decided at all.
EACH, SECONDS, FEWEST = 10, 20, 60
SUFFIX = "-capacity"


async def find(scenario: Scenario, world: World, watch: Watch, keep: Keep) -> Result:
    """Probe level after level; each probe is a result of its own.  The last result carries the answer and its gate."""
    assert scenario.search is not None
    known: dict[float, Seen] = {}
    steps, results = search(scenario.search, known), list[Result]()
    probe = next(steps)
    while True:
        watch.phase(Message(key="plugin.probe", values={"level": f"{probe.level:g}"}))
        for _ in range(2):  # a disturbed machine may spoil one probe; a second one spoilt ends the search
            result = await run(probed(scenario, probe), replace(world, repetitions=[], gate=None), watch, keep)
            if result.verdict is not Verdict.INVALID:
                break
        results.append(result)
        try:
            probe = steps.send(outcome(result))
        except StopIteration as end:
            answer: Answer = end.value
            break
    result = answered(scenario, answer, results)
    save(result, world, keep)
    return result


def probed(scenario: Scenario, probe: Probe) -> Scenario:
    """The scenario of one probe: the level, and ``multiple`` times its requests."""
    assert scenario.search is not None
    cell = scenario.key.removesuffix(SUFFIX)
    fewest = max(FEWEST, before.enough(scenario))
    if scenario.search.over == "concurrency":
        cap = int(probe.level)
        n = max(fewest, EACH * cap) * probe.multiple
        key, one = f"{cell}-mc{cap}", replace(scenario, concurrency=cap)
    else:
        n = math.ceil(max(fewest, SECONDS * probe.level) * probe.multiple)
        key, one = f"{cell}-rr{probe.level:g}", replace(scenario, request_rate=probe.level)
    return replace(one, id=f"{key}-np{n}", key=key, num_prompts=n, search=None)


def outcome(result: Result) -> Outcome:
    """What the search needs to know of a probe."""
    sides = [v.within for v in result.verdicts]
    within = False if False in sides else None if None in sides else True
    return Outcome(verdict=result.verdict, within=within, seconds=float(result.metrics.get("duration") or 0))


def answered(scenario: Scenario, answer: Answer, results: list[Result]) -> Result:
    """The answer as a result: the figures are those of the largest level that held."""
    assert scenario.search is not None
    wanted = scenario.search.at_least
    holds = answer.at_least(wanted) if wanted is not None else answer.held is not None
    verdict = {True: Verdict.PASS, False: Verdict.FAIL, None: Verdict.INCONCLUSIVE}[holds]
    best = next((r for r in results if level(r, scenario) == answer.held), results[-1])
    if answer.stopped == "invalid" and holds is None:
        verdict, best = Verdict.INVALID, results[-1]  # what made the last probe void is what must be changed
    said = Message(
        key="judge.capacity",
        values={
            "over": scenario.search.over,
            "held": "–" if answer.held is None else f"{answer.held:g}",
            "broken": "–" if answer.broken is None else f"{answer.broken:g}",
            "held_how": Message(key="judge.proven" if answer.held_proven else "judge.observed"),
            "broken_how": Message(key="judge.proven" if answer.broken_proven else "judge.observed"),
            "wanted": "–" if wanted is None else f"{wanted:g}",
            "runs": answer.runs,
        },
    )
    return replace(best, scenario=scenario, verdict=verdict, capacity=answer, notes=(said, *answer.notes, *best.notes))


def level(result: Result, scenario: Scenario) -> float | None:
    """The level that a probe was run at."""
    assert scenario.search is not None
    return result.scenario.concurrency if scenario.search.over == "concurrency" else result.scenario.request_rate
