"""A plan and those who will send it → how many measuring processes, and what is said where it is beyond them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from pytest_vllm_bench import environment, load, plan
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.load.worker import run_on_uvloop
from pytest_vllm_bench.machines import Machine
from pytest_vllm_bench.model import LoadFacts, Message, Plan, Scenario
from pytest_vllm_bench.world import Watch, World

#: Bytes of memory for a request until it is judged, and for each of its events (docs/*/machines.md has the figures).
REQUEST_BYTES, EVENT_BYTES = 1000, 24
#: Open files that a process may have where nobody limits them: what Linux allows by itself.
MANY = 1 << 20
#: Seconds over which the dues of an open loop are counted: answers last about as long.
BUSIEST_S = 10


@cache
def limits_here() -> load.SendingLimits:
    """This machine's, for a thread of its own."""
    found = list[load.SendingLimits]()

    async def look() -> None:
        found.append(await load.limits(environment.cores()))

    run_on_uvloop(look)
    return found[0]


def connections(scenario: Scenario) -> float:
    """The most that a measuring process may have open at once; infinity where requests come whether or not earlier
    ones have ended, and the server alone decides."""
    slots = [stage.concurrency for stage in scenario.stages if stage.concurrency]
    most = scenario.concurrency or max(slots, default=0)
    if scenario.search is not None and scenario.search.over == "concurrency":
        most = int(scenario.search.max)
    if not most and scenario.open_loop:
        return math.inf
    return -(-(most or scenario.num_prompts or 1) // (scenario.workers or 1))


def room(scenarios: Sequence[Scenario], machines: Sequence[Machine] = ()) -> None:
    """BenchError where those who will send may not have so many connections open; here that is raised as far as need
    be, there by the machines themselves.  Where the server decides it is raised as far as may be, and shown after the
    load if it was not enough."""
    each = [connections(one) for one in scenarios]
    most = max((int(one) for one in each if one < math.inf), default=1)
    if not machines and math.inf in each:
        load.open_files_problem(MANY)
    if not machines and (problem := load.open_files_problem(most)):
        raise BenchError(problem.key, **problem.values)
    for machine in machines:
        if problem := load.crowded(-(-most // len(machines)), machine.limits.files):
            raise BenchError("machines.refused", machine=machine.name, what=problem)


async def beyond(planned: Plan, scenario: Scenario, world: World, watch: Watch) -> list[Message]:
    """What of a plan is more than the weakest of its senders takes, and than this machine has memory for; said, too."""
    rows = plan.index(planned)
    tokens = np.maximum(rows["output_len"].astype("f8"), 1.0)
    ceiling = planned.duration is not None and not scenario.open_loop  # whose number of requests is one
    found = [] if ceiling else [too_large(len(rows), float(tokens.sum()))]
    if scenario.open_loop:
        wanted = busiest(rows["due"], tokens if planned.streamed else np.ones(len(rows)))
        found.append(await too_fast(wanted, scenario.workers, world.machines))
    said = [one for one in found if one is not None]
    for one in said:
        watch.warn(one)
    return said


def too_large(n: int, events: float) -> Message | None:
    needed, free = REQUEST_BYTES * n + EVENT_BYTES * events, environment.memory_available()
    if free is None or needed <= free:
        return None
    values = {"n": f"{n:,}", "needed": f"{needed / 1e9:.1f}", "free": f"{free / 1e9:.1f}"}
    return Message(key="load.memory", values=values)


async def too_fast(wanted: float, workers: int | None, machines: Sequence[Machine]) -> Message | None:
    senders: list[tuple[Any, load.SendingLimits]] = [(machine.name, machine.limits) for machine in machines]
    senders = senders or [(Message(key="load.here"), await asyncio.to_thread(limits_here))]
    rate, who = min(((its.events_per_s(workers), who) for who, its in senders), key=lambda one: one[0])
    if (share := wanted / len(senders)) <= rate:
        return None
    return Message(key="load.too_fast", values={"who": who, "wanted": f"{share:,.0f}", "rate": f"{rate:,.0f}"})


def busiest(due: Any, events: Any) -> float:
    """Events a second that answers come to, of the requests that are due in the busiest ten seconds; of all of a
    shorter load.  Later turns of conversations go with the first."""
    there = np.isfinite(due)
    if not there.any():
        return 0.0
    span = max(1.0, float(np.max(due[there], initial=0.0)))
    bins = int(np.ceil(span / BUSIEST_S))
    first = np.histogram(due[there], bins, (0.0, span), weights=events[there])[0]
    return float(first.max() * bins / span * events.sum() / events[there].sum())


def workers(scenario: Scenario, warm: LoadFacts | None, world: World, watch: Watch) -> int:
    """How many measuring processes on each machine: as asked, else as the warm-up showed; where they are too few on one
    of them, that is said before the load."""
    if warm is None:
        return scenario.workers or 1
    n = max(1, len(world.machines))
    cores = n * min((one.limits.cores for one in world.machines), default=environment.cores())
    needed = load.workers_needed(warm, scenario.concurrency, closed=not scenario.open_loop, cores=cores)
    each = scenario.workers or -(-needed // n)
    if (problem := load.too_much(warm, each, [one.name for one in world.machines])) is not None:
        watch.warn(problem)
    return each
