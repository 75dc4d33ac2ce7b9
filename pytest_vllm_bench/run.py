"""Scenario → Measurement → Result: the story of one scenario."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pytest_vllm_bench import crew, environment, files, load, machines, plan, profiling, regression
from pytest_vllm_bench import twin as twins
from pytest_vllm_bench.errors import BenchError, ServerError
from pytest_vllm_bench.files import private_folder
from pytest_vllm_bench.judge import undecided
from pytest_vllm_bench.judging import judge, sample_of
from pytest_vllm_bench.measure.merge import together
from pytest_vllm_bench.memory import without_secrets
from pytest_vllm_bench.model import (
    BaselineOutcome,
    LoadFacts,
    Measurement,
    Message,
    Observed,
    Plan,
    Record,
    Result,
    Scenario,
    Target,
    Verdict,
)
from pytest_vllm_bench.observe import guard, ready
from pytest_vllm_bench.reading import Reading, failed, read_along, read_whole, took
from pytest_vllm_bench.report import session as reports
from pytest_vllm_bench.salvage import BEGUN, keep_readable, written
from pytest_vllm_bench.store import folder, measurement
from pytest_vllm_bench.twin import playing
from pytest_vllm_bench.world import Watch, World, build_context

#: Seconds that requests under way are given after a first Ctrl-C.
DRAIN = 5.0
#: So many requests may all fail by accident.
ACCIDENTS = 2
#: What of a result may be somebody else's words.
WORDS = (
    "error",
    "notes",
    "verdicts",
    "checks",
    "model",
    "requests",
    "client",
    "server",
    "environment",
    "by_model",
    "baseline",
)
#: Who takes a result when it is made, before it is written.
Keep = Callable[[Result], None]


async def run(scenario: Scenario, world: World, watch: Watch, keep: Keep) -> Result:
    """Run one scenario and write its result; an interruption is raised again when what was measured is safe."""
    return (await measured_and_judged(scenario, world, watch, keep))[1]


async def measured_and_judged(scenario: Scenario, world: World, watch: Watch, keep: Keep) -> tuple[Measurement, Result]:
    """As ``run``, with what the result was judged from."""
    world = replace(world, gate=None) if scenario.target.twin else world  # no reference is held against a prediction
    with workplace(scenario, world) as work:
        kept, memory = world.environment.get("server"), world.memory
        one = memory.recall(scenario, kept) or await measure(scenario, world, watch, work)
        measured, last = memory.keep(one), memory.judges(scenario)
        result, interrupted = judge(scenario, measured, waits=not last), one.interrupted
        regression.note(world.gate, result)
        if not last and not interrupted and len(measured) in scenario.repeats.looks:
            result, last = look(result, judge(scenario, measured), world)
        if world.gate is not None and last and not interrupted:
            result, interrupted = await gated(result, world, watch, work)
            result = regression.explained(world.gate, result, [sample_of(one, scenario) for one in measured])
        if last and not interrupted and not scenario.probe_of and profiling.wanted(result):
            result, interrupted = await profiling.profiled(result, world, watch, work, measure)
        memory.keep(one := save(result, world, keep, one, work))
    if interrupted:
        raise asyncio.CancelledError
    return one, result


def look(alone: Result, so_far: Result, world: World) -> tuple[Result, bool]:
    """What the repeats so far come to, where they decide all that is asked; else this one by itself, and it goes on."""
    cell = so_far.scenario.cell.repeated
    world.memory.decided.pop(cell, None)
    by_rules = not undecided(so_far.verdict, so_far.verdicts)
    if regression.undecided(world.gate, so_far) or not by_rules:
        return alone, False
    world.memory.decided[cell] = so_far.scenario.repeat
    return so_far, True


def save(result: Result, world: World, keep: Keep, one: Measurement, work: Path) -> Measurement:
    """Hand the result on and write it, in this order: a full disk then costs the file, not the figures.  Plan and tape
    are there until all that was made of them is.

    → the measurement, its records on disk."""
    target, tape, told = world.target, work / "tape", discreet(result, world.target)
    if tape.is_dir():
        load.blot_out(tape, target.secrets)
        keep_readable(work)
    else:  # nothing was sent anew; what its first end was worth keeping for need not be worth it now
        tape = world.folder / f"{folder.stem(result.scenario.id)}{folder.TAPE_SUFFIX}"
    try:
        keep(told)
    finally:
        try:
            saved = written(told, one, world.folder)
        except BenchError as error:
            if error.message.key != "report.disk_full":
                raise
            shutil.rmtree(work / "plan", ignore_errors=True)  # whose room the result needs more
            saved = written(told, one, world.folder)
        folder.settle(told, world.folder, tape if tape.is_dir() else None, result.scenario.tape)
    (work / f"{BEGUN}{measurement.SUFFIX}").unlink(missing_ok=True)
    return saved


def discreet(result: Result, target: Target) -> Result:
    """As it is shown and written: without secrets, in whatever words they may have come back."""
    asked = result.scenario
    shown = target.covered(without_secrets(asked))
    target = replace(shown.target, name=asked.target.name)
    shown = replace(shown, cell=asked.cell, backend=asked.backend, target=target)
    return replace(result, scenario=shown, **{name: target.covered(getattr(result, name)) for name in WORDS})


async def measure(scenario: Scenario, world: World, watch: Watch, work: Path) -> Measurement:
    """Plan, warm up and send once, with what is done beside the load begun before and ended after.

    Each load has a salt of its own: what is measured once more must not find its prompts in the server's cache.
    """
    world = replace(await world.opened() if world.opened else world, salt=secrets.token_hex(8))
    planned = await build(scenario, world, watch, work)
    if scenario.target.twin:
        return await asyncio.to_thread(predicted, scenario, world, planned)
    more = await crew.beyond(planned, scenario, world, watch)
    warm = await warm_up(scenario, world, watch, work)
    workers = crew.workers(scenario, warm, world, watch)
    measurement.save(one := begun(scenario, world, planned), work / BEGUN)
    besides = [beside for make in world.besides if (beside := make(scenario)) is not None]
    watchers, lost = await guard.begun(besides, world.target)
    try:
        facts, reading, interrupted = await sent(scenario, world, watch, planned, work, workers)
    except BaseException:
        await guard.ended(watchers, True)
        raise
    seen = together([Observed(notes=tuple(lost)), *await guard.ended(watchers, interrupted)])
    fault = seen.fault or (None if interrupted else await changed(world))
    said = [*more, *(warm.warnings if warm is not None else ()), *filter(None, [reading.behind])]
    covered = world.target.covered  # the server's own words are in what is said of it
    one = replace(
        one,
        facts=replace(facts, warnings=covered((*said, *facts.warnings))),
        observed=replace(
            covered(replace(seen, fault=fault, notes=(*seen.notes, *world.notes), tracks=())), tracks=seen.tracks
        ),  # of which there may be millions, and all are numbers
        environment={**one.environment, **seen.environment},
        complete=facts.complete and not interrupted,
        interrupted=interrupted,
        stopped_by=reading.stopped_by,
        gone=covered(reading.gone),
        date=environment.stamp(),
    )
    with contextlib.suppress(BenchError):  # a full disk; else tape and this are there whatever ends us from here on
        measurement.save(one, work / BEGUN)
    return replace(one, records=reading.records)


def predicted(scenario: Scenario, world: World, planned: Plan) -> Measurement:
    """What the twin that is the target says of the plan, instead of sending it."""
    twin = twins.read(world.base_dir / files.path(scenario.target.base_url))
    made = playing.predict(twin, scenario, playing.planned(planned, twin.engine.block))
    one = begun(scenario, world, planned)
    about = {"model": twin.model, "server": twin.server, "date": twin.date, "loads": len(twin.lessons)}
    return replace(
        one,
        records=made.records,
        complete=made.complete,
        predicted=made.predicted,
        observed=replace(one.observed, notes=(*one.observed.notes, *made.observed.notes)),
        environment={**one.environment, "twin": about},
    )


def begun(scenario: Scenario, world: World, planned: Plan) -> Measurement:
    """What is known of a measurement before its first request."""
    return Measurement(
        scenario=without_secrets(scenario),
        plan=replace(planned, path=scenario.target.discreet(planned.path)),
        observed=scenario.target.covered(Observed(notes=world.notes)),
        complete=False,
        environment=scenario.target.covered(world.environment),
        round_trip_ms=world.round_trip_ms,
        date=environment.stamp(),
        session=world.memory.session,
        resumed=world.memory.resumed,
    )


async def changed(world: World) -> Message | None:
    """What of the server is another one after the load; None: nothing, or it does not tell."""
    with contextlib.suppress(ServerError):
        return ready.changed(world.server, await ready.listing(world.target, world.models[0]), world.models)
    return None


async def gated(result: Result, world: World, watch: Watch, work: Path) -> tuple[Result, bool]:
    """Hold the result against the reference; what looks worse is measured again until it is decided, at most ``again``
    times, and after the last scenario all of them are looked at together, which is the session's.

    A comparison that is refused fails, a fresh one too: the reference is there, and nobody has looked.  Also → whether
    a fresh measurement was interrupted, which leaves its question open.
    """
    assert world.gate is not None
    held = regression.hold(world.gate, result)
    if held is None:
        return result, False
    comparisons, notes, interrupted, times = held.comparisons, held.notes, False, 0
    while held.suspected and not interrupted:
        times += 1
        values = {"times": times, "most": world.gate.settings.again}
        watch.phase(Message(key="plugin.again", values=values))
        try:
            fresh = await afresh(result, world, watch, work / f"again-{times}")
            held = regression.hold(world.gate, fresh, fresh=True) or held
        except ServerError as error:
            held = regression.GateOutcome(notes=(error.message,), refused=True)
        except asyncio.CancelledError:
            interrupted = True
        comparisons = held.comparisons or comparisons
    late = () if interrupted else regression.at_the_end(world.gate, result.scenario.cell.key)
    comparisons = (*comparisons, *late)
    failed = held.refused or any(c.gated and c.verdict is Verdict.FAIL and not c.scenario for c in comparisons)
    at_best = Verdict.FAIL if failed else Verdict.INCONCLUSIVE if interrupted else Verdict.PASS
    notes = (*notes, *(note for note in held.notes if held.refused and note not in notes))
    cut = (Message(key="judge.interrupted"),) if interrupted else ()
    outcome = BaselineOutcome(
        reference=world.gate.name, comparisons=tuple(comparisons), notes=notes, refused=held.refused
    )
    made = replace(
        result,
        verdict=Verdict.worst([result.verdict, at_best]),
        complete=result.complete and not interrupted,
        taints=(*result.taints, *(("interrupted",) if interrupted else ())),
        notes=(*result.notes, *cut, *notes),
        baseline=outcome,
    )
    return made, interrupted


async def afresh(result: Result, world: World, watch: Watch, work: Path) -> Result:
    """Measure a result once more, each of the repeats that it pools: a mean of three is confirmed by one of three."""
    last, fresh = result.scenario.repeat, list[Measurement]()
    for number in range(last - max(0, len(result.per_repeat) - 1), last + 1):
        asked = replace(result.scenario, cell=replace(result.scenario.cell, repeat=number))
        place = private_folder(private_folder(work) / str(number))
        fresh.append(await measure(asked, world, watch, place))
        if fresh[-1].interrupted:
            raise asyncio.CancelledError
    return judge(result.scenario, fresh)


@contextlib.contextmanager
def workplace(scenario: Scenario, world: World) -> Iterator[Path]:
    """A folder for the plan and the tapes, in the results folder (where there is room; BenchError where it runs out);
    gone when the run is over, but where one more Ctrl-C ended it before its result was saved."""
    work = world.folder / folder.RUNNING / folder.stem(scenario.id)
    shutil.rmtree(work, ignore_errors=True)
    hurried = False
    with folder.writing(work):
        private_folder(private_folder(work.parent) / work.name)
    try:
        yield work
    except OSError as error:
        if error.errno not in folder.FULL and not str(error.filename).startswith(str(world.folder)):
            raise broken(error, work, world.target) from None
        with folder.writing(work):
            raise
    except BenchError:
        raise
    except Exception as error:
        with contextlib.suppress(OSError, BenchError):
            load.blot_out(work / "tape", world.target.secrets)
        raise broken(error, work, world.target) from None
    except (asyncio.CancelledError, KeyboardInterrupt):
        hurried = (work / f"{BEGUN}{measurement.SUFFIX}").exists()
        raise
    finally:
        if not hurried:
            shutil.rmtree(work, ignore_errors=True)
        with contextlib.suppress(OSError):  # others may be running
            work.parent.rmdir()


def broken(error: Exception, work: Path, target: Target) -> BenchError:
    """What nobody foresaw (a backend of others that cannot read an answer, a mistake of ours) → what is said of it, and
    kept: the traceback, and the plan and the tape as far as they are there."""
    lines = traceback.extract_tb(error.__traceback__)
    where = f"{lines[-1].filename}:{lines[-1].lineno}" if lines else ""
    place = work
    with contextlib.suppress(OSError, BenchError):
        folder.make(work)
        with files.private(work / "traceback.txt") as out:
            out.write(target.discreet("".join(traceback.format_exception(error))).encode("utf-8", "replace"))
        place = folder.keep(work)
    what = target.discreet(f"{type(error).__name__}: {error}")[:300]
    return BenchError("plugin.broke", what=what, where=where, path=str(place))


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
        facts, records = await warmed(scenario, world, warm, how, tape)
        n, failures = failed(records, world)
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


async def warmed(
    scenario: Scenario, world: World, warm: Plan, how: load.SendSettings, tape: Path
) -> tuple[LoadFacts, Sequence[Record]]:
    """Send a warm-up's plan from where the load will come; no moment of it matters."""
    if not world.machines:
        facts = await load.send(warm, world.target, how, tape, asyncio.Event())
        return facts, await asyncio.to_thread(read_whole, warm, tape, world)
    order = machines.Order(target=world.target, settings=how, take=lambda *_: None, lead=machines.WARM_LEAD_S)
    whole = await machines.send(Measurement(scenario=scenario, plan=warm), order, world.machines, asyncio.Event())
    assert whole.facts is not None
    return whole.facts, whole.records


def settings(scenario: Scenario, world: World, workers: int) -> load.SendSettings:
    """How the load is sent."""
    return load.SendSettings(
        backend=world.backend,
        timeouts=scenario.timeouts,
        workers=workers,
        worker_cpus=scenario.worker_cpus,
        keep_alive=scenario.keep_alive,
        drain_s=DRAIN,
        request_id_prefix=scenario.request_id_prefix or f"{scenario.id}-",
    )


async def sent(
    scenario: Scenario, world: World, watch: Watch, planned: Plan, work: Path, workers: int
) -> tuple[LoadFacts, Reading, bool]:
    """Send the plan, from here or from the machines there are, and decode beside it; also → whether it was interrupted.

    When this task is cancelled (Ctrl-C), sending stops, requests under way get a moment to end, and what came is kept.
    """
    stop, n = asyncio.Event(), load.at_most(max(1, len(world.machines)), planned)
    halt = partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set)
    workers = load.at_most(workers, planned, n)
    reading = Reading(plan=planned, tape=work / "tape", over=threading.Event(), stop=halt, workers=n * workers)
    asked = scenario, world, watch, reading
    send = by_machines if world.machines else from_here
    loading = asyncio.create_task(send(*asked, settings(scenario, world, workers), stop))
    asyncio.get_running_loop().run_in_executor(None, reports.load_libraries)
    interrupted = False
    try:
        facts = await asyncio.shield(loading)
    except asyncio.CancelledError:
        interrupted = True
        stop.set()
        watch.warn(Message(key="plugin.stopping", values={"seconds": round(DRAIN)}))
        facts = await loading
    return facts, reading, interrupted


async def from_here(
    scenario: Scenario, world: World, watch: Watch, reading: Reading, how: load.SendSettings, stop: asyncio.Event
) -> LoadFacts:
    """Send from this machine, its tape decoded beside it."""
    decoding = asyncio.create_task(asyncio.to_thread(read_along, scenario, world, watch, reading))
    decoding.add_done_callback(lambda _: stop.set())  # it ends before the load only where it cannot go on
    try:
        facts = await load.send(reading.plan, world.target, how, reading.tape, stop)
    finally:
        reading.over.set()
    await decoding
    return facts


async def by_machines(
    scenario: Scenario, world: World, watch: Watch, reading: Reading, how: load.SendSettings, stop: asyncio.Event
) -> LoadFacts:
    """Send from other machines, which decode what comes."""
    order = machines.Order(
        target=world.target,
        settings=how,
        take=partial(took, scenario, world, watch, reading),
        count=world.tokenizer.count if world.tokenizer.takes_text else None,
        keep_text=scenario.keep_text,
    )
    watch.phase(Message(key="machines.handing", values={"n": len(world.machines)}))
    begun = Measurement(scenario=scenario, plan=reading.plan)
    try:
        whole = await machines.send(begun, order, world.machines, stop)
    finally:
        reading.over.set()
    assert whole.facts is not None
    reading.records = [*whole.records]
    if (n := len(whole.facts.machines)) == len(world.machines):
        return whole.facts
    fewer = Message(key="machines.fewer", values={"n": n, "machines": len(world.machines)})
    watch.warn(fewer)
    return replace(whole.facts, warnings=(fewer, *whole.facts.warnings))
