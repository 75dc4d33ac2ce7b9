"""Scenario → Plan → Tape → Records → metrics → Verdicts → Result: the story of one scenario."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pytest_vllm_bench import environment, judge, load, plan, regression
from pytest_vllm_bench.errors import BenchError, ServerError
from pytest_vllm_bench.judge import stopping
from pytest_vllm_bench.judge.comparison import confirmed
from pytest_vllm_bench.measure.by_model import by_model
from pytest_vllm_bench.measure.by_turn import by_turn
from pytest_vllm_bench.measure.metrics import summary
from pytest_vllm_bench.measure.rows import sample, settings_of
from pytest_vllm_bench.model import (
    LoadFacts,
    Message,
    Plan,
    Result,
    Scenario,
    Verdict,
)
from pytest_vllm_bench.observe import counters, ready
from pytest_vllm_bench.reading import Source, failed, read_along
from pytest_vllm_bench.report import artifacts, folder
from pytest_vllm_bench.report import session as reports
from pytest_vllm_bench.world import Repetition, Shot, Watch, World, build_context

#: Seconds that requests under way are given after a first Ctrl-C.
DRAIN = 5.0
#: So many requests may all fail by accident.
ACCIDENTS = 2
#: Who takes a result and its row (the content of its file, and where that lies).
Keep = Callable[[Result, dict[str, Any]], None]


async def run(scenario: Scenario, world: World, watch: Watch, keep: Keep) -> Result:
    """Run one scenario and write its result; an interruption is raised again when what was measured is safe."""
    return (await shoot(scenario, world, watch, keep))[1]


async def shoot(scenario: Scenario, world: World, watch: Watch, keep: Keep) -> tuple[Shot, Result]:
    """As ``run``, with what the result was judged from."""
    with workplace(scenario, world) as work:
        shot = await once(scenario, world, watch, work)
        result, interrupted = judged(scenario, world, shot), shot.interrupted
        if world.gate is not None and judges(scenario, world) and not interrupted:
            result, interrupted = await gated(result, world, watch, work)
        save(result, world, keep, work / "tape")
    if interrupted:
        raise asyncio.CancelledError
    return shot, result


def save(result: Result, world: World, keep: Keep, tape: Path | None = None) -> None:
    """Hand the result on and write it, in this order: a full disk then costs the file, not the figures."""
    row = artifacts.to_json(result)
    if tape is not None and tape.is_dir():
        load.blot_out(tape, world.target.secrets)
    keep(result, row | {"results_dir": str(world.folder)})
    folder.write(row, world.folder, result.records, folder.Keep(tape=tape, tape_policy=result.scenario.tape))


async def once(scenario: Scenario, world: World, watch: Watch, work: Path) -> Shot:
    """Plan, warm up and send once, with the server's own counters read before and after.

    Each load has a salt of its own: what is measured once more must not find its prompts in the server's cache.
    """
    world = replace(world, salt=secrets.token_hex(8))
    planned = await build(scenario, world, watch, work)
    warm = await warm_up(scenario, world, watch, work)
    workers = crew(scenario, warm, watch)
    before = await counters.read(world.target)
    shot = await measured(scenario, world, watch, planned, work, workers)
    after = None if shot.interrupted or before is None else await counters.read(world.target)
    said = warm.warnings if warm is not None else ()
    return replace(
        shot,
        facts=replace(shot.facts, warnings=(*said, *shot.facts.warnings)),
        server=counters.deltas(before, after),
        server_fault=counters.restarted(before, after) or (None if shot.interrupted else await changed(world)),
        server_note=counters.several(before, after),
    )


async def changed(world: World) -> Message | None:
    """What of the server is another one after the load; None: nothing, or it does not tell."""
    with contextlib.suppress(ServerError):
        return ready.changed(world.server, await ready.listing(world.target, world.models[0]), world.models)
    return None


async def gated(result: Result, world: World, watch: Watch, work: Path) -> tuple[Result, bool]:
    """Hold the result against the reference; what looks worse is measured once more, and fails if it does again.

    A comparison that is refused fails, the fresh one too: the reference is there, and nobody has looked.  Also →
    whether the fresh measurement was interrupted, which leaves its question open.
    """
    assert world.gate is not None
    held = regression.hold(world.gate, artifacts.to_json(result))
    if held is None:
        return result, False
    comparisons, again, interrupted = held.comparisons, regression.Held(), False
    if held.suspected:
        watch.phase(Message(key="plugin.again"))
        try:
            fresh = await afresh(result, world, watch, work)
            again = regression.hold(world.gate, artifacts.to_json(fresh)) or again
        except ServerError as error:
            again = regression.Held(notes=(error.message,), refused=True)
        except asyncio.CancelledError:
            interrupted = True
        comparisons = confirmed(comparisons, again.comparisons)
    refused = held.refused or again.refused
    failed = refused or any(c.gated and c.verdict is Verdict.FAIL for c in comparisons)
    at_best = Verdict.FAIL if failed else Verdict.INCONCLUSIVE if interrupted else Verdict.PASS
    made = replace(
        result,
        verdict=Verdict.worst([result.verdict, at_best]),
        complete=result.complete and not interrupted,
        notes=(*result.notes, *([Message(key="judge.interrupted")] if interrupted else [])),
        baseline=world.gate.name,
        comparisons=tuple(comparisons),
        baseline_notes=(*held.notes, *(note for note in again.notes if again.refused and note not in held.notes)),
        baseline_refused=refused,
    )
    return made, interrupted


async def afresh(result: Result, world: World, watch: Watch, work: Path) -> Result:
    """Measure a result once more, each of the repeats that it pools: a mean of three is confirmed by one of three."""
    alone = replace(world, repetitions=[], judges=True)
    last = result.scenario.repeat
    first = last - max(0, len(result.per_repeat) - 1)
    for number in range(first, last + 1):
        one = replace(result.scenario, repeat=number)
        shot = await once(one, alone, watch, work / f"again-{number}")
        if shot.interrupted:
            raise asyncio.CancelledError
        made = judged(one, alone, shot)
    return made


@contextlib.contextmanager
def workplace(scenario: Scenario, world: World) -> Iterator[Path]:
    """A folder for the plan and the tapes, in the results folder (where there is room; BenchError where it runs out);
    gone when the run is over."""
    work = world.folder / folder.RUNNING / folder.stem(scenario.id)
    shutil.rmtree(work, ignore_errors=True)
    folder.make(work)
    try:
        yield work
    except OSError as error:
        if error.errno not in folder.FULL:
            raise
        raise BenchError("report.disk_full", path=str(work), why=error.strerror or str(error)) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
        with contextlib.suppress(OSError):  # others may be running
            work.parent.rmdir()


async def build(scenario: Scenario, world: World, watch: Watch, work: Path) -> Plan:
    """Decide everything that will be sent."""
    watch.phase(Message(key="plugin.building"))

    def progress(done: int, total: int) -> None:
        key = "plan.building" if total else "plan.building_some"
        watch.phase(Message(key=key, values={"done": f"{done:,}", "total": f"{total:,}"}))

    known = replace(build_context(world), progress=progress)
    return await plan.background(plan.build, scenario, known, work / "plan")


async def warm_up(scenario: Scenario, world: World, watch: Watch, work: Path) -> LoadFacts | None:
    """Send requests of the same shape and other prompts first → what the client saw of itself, and a warning if some
    failed.  Where all do, the measured ones would: ServerError in the server's words.

    One or two may have met with an accident, and are sent once more; to a search a load that fails is an answer too.
    """
    warm = await plan.background(plan.warmup, scenario, build_context(world), work / "warmup")
    if warm is None:
        return None
    watch.phase(Message(key="plugin.warmup"))
    tape, how = work / "warmup-tape", settings(scenario, world, scenario.workers or 1)
    for last in [True] if warm.n > ACCIDENTS else [False, True]:
        facts = await load.send(warm, world.target, how, tape, asyncio.Event())
        n, failures = await asyncio.to_thread(failed, warm, tape, world)
        shutil.rmtree(tape, ignore_errors=True)
        if failures.total() < n or last:
            break
    if not failures:
        return facts
    (kind, words), _ = failures.most_common(1)[0]
    values = {"n": n, "failed": failures.total(), "kind": kind, "said": words or "–"}
    if failures.total() == n and not scenario.probe_of:
        raise ServerError("plugin.warmup_failed", **values)
    watch.warn(note := Message(key="plugin.warmup_some", values=values))
    return replace(facts, warnings=(note, *facts.warnings))


def crew(scenario: Scenario, warm: LoadFacts | None, watch: Watch) -> int:
    """How many measuring processes: as asked, else as the warm-up showed; too few are said before the load."""
    if warm is None:
        return scenario.workers or 1
    needed = load.workers_needed(warm, scenario.concurrency, closed=not scenario.open_loop)
    workers = scenario.workers or needed
    if (problem := load.too_much(warm, workers)) is not None:
        watch.warn(problem)
    return workers


def settings(scenario: Scenario, world: World, workers: int) -> load.SendSettings:
    """How the load is sent."""
    return load.SendSettings(
        backend=world.backend,
        timeouts=scenario.timeouts,
        workers=workers,
        worker_cpus=scenario.worker_cpus,
        keep_alive=scenario.keep_alive,
        drain_s=DRAIN,
        request_id_prefix=f"{scenario.id}-",
    )


async def measured(scenario: Scenario, world: World, watch: Watch, planned: Plan, work: Path, workers: int) -> Shot:
    """Send the plan and decode its tape beside it.

    When this task is cancelled (Ctrl-C), sending stops, requests under way get a moment to end, and what came is kept.
    """
    stop, over, tape = asyncio.Event(), threading.Event(), work / "tape"
    halt = partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set)
    source = Source(plan=planned, tape=tape, over=over, stop=halt, workers=workers)
    sending = asyncio.create_task(load.send(planned, world.target, settings(scenario, world, workers), tape, stop))
    reading = asyncio.create_task(asyncio.to_thread(read_along, scenario, world, watch, source))
    asyncio.get_running_loop().run_in_executor(None, reports.load_libraries)
    interrupted = False
    try:
        facts = await asyncio.shield(sending)
    except asyncio.CancelledError:
        interrupted = True
        stop.set()
        watch.warn(Message(key="plugin.stopping", values={"seconds": round(DRAIN)}))
        facts = await sending
    finally:
        over.set()
    return Shot(plan=planned, facts=facts, reading=await reading, interrupted=interrupted)


def judges(scenario: Scenario, world: World) -> bool:
    """Whether what was measured so far carries the verdict: the last of the repeats, or enough of them."""
    return world.judges or stopping.enough_repeats(scenario, [r.figures for r in world.repetitions])


def judged(scenario: Scenario, world: World, shot: Shot) -> Result:
    """Metrics of this run, and verdicts: the last of a scenario's repeats is judged on all of them together, an earlier
    one for what is of each repeat its own."""
    complete = shot.facts.complete and not shot.interrupted
    asked = settings_of(scenario, workers=len(shot.facts.workers), complete=complete)
    one = sample(shot.reading.records, asked)
    metrics = summary([one], asked)
    figures = {**metrics, "plan_digest": shot.plan.digest}
    mine = Repetition(repeat=scenario.repeat, sample=one, figures=figures, facts=shot.facts)
    world.repetitions[:] = [*(r for r in world.repetitions if r.repeat != mine.repeat), mine]
    last = judges(scenario, world)
    pool = world.repetitions if last else [mine]
    pooled = summary([r.sample for r in pool], asked)
    evidence = judge.Evidence(
        metrics=pooled,
        per_repeat=tuple(r.figures for r in pool),
        facts=tuple(r.facts for r in pool),
        plan=shot.plan,
        server=shot.server,
        server_fault=shot.server_fault,
        hopeless=shot.reading.hopeless,
    )
    asking, rules = (scenario, None) if last else (replace(scenario, goodput={}), judge.of_one_repeat(scenario))
    seen = filter(None, [stopping.spread_said(evidence.per_repeat), shot.server_note, *world.notes])
    judgement = judge.judge(asking, [r.sample for r in pool], evidence, rules)
    return Result(
        scenario=scenario,
        verdict=Verdict.worst([judgement.verdict, Verdict.FAIL]) if shot.reading.gone else judgement.verdict,
        complete=complete,
        metrics={**metrics, "round_trip_ms": world.round_trip_ms},
        verdicts=judgement.verdicts,
        checks=judgement.checks,
        records=shot.reading.records,
        error=shot.reading.gone,
        plan=shot.plan,
        facts=shot.facts,
        environment=world.environment,
        server=shot.server,
        per_repeat=tuple(r.figures for r in pool) if len(pool) > 1 else (),
        pooled=pooled if len(pool) > 1 else {},
        by_model=by_model(shot.reading.records, asked),
        by_turn=by_turn(shot.reading.records, asked),
        date=environment.stamp(),
        session=world.session,
        notes=(*judgement.faults, *judgement.notes, *seen, *shot.plan.notes, *shot.facts.warnings),
    )
