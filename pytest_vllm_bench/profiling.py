"""A judged Result → the same with what the server's profiler saw of a second, short load, which nobody judges."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from pytest_vllm_bench import environment
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.files import private_folder
from pytest_vllm_bench.model import Measurement, Message, Record, Repeats, Result, Scenario, Warmup
from pytest_vllm_bench.observe.profiler import FIRST_STEP, Profiler, base_ns, now
from pytest_vllm_bench.store import folder, measurement, records, spans
from pytest_vllm_bench.world import Watch, World

SUFFIX = ".profile"
#: How a load is sent: what ``run.measure`` is.
Measure = Callable[[Scenario, World, Watch, Path], Awaitable[Measurement]]


def wanted(result: Result) -> bool:
    """A server that went away cannot be profiled, nor one that is foretold."""
    return result.scenario.profile is not None and result.error is None and not result.scenario.target.twin


class _Aside:
    """Who is told, but for how many requests there were: those are of the load that was judged."""

    def __init__(self, watch: Watch) -> None:
        self.phase, self.warn = watch.phase, watch.warn

    def record(self, record: Record) -> None: ...


async def profiled(result: Result, world: World, watch: Watch, work: Path, measure: Measure) -> tuple[Result, bool]:
    """Send the load and keep the traces beside the result; also → whether it was interrupted."""
    asked = result.scenario.profile
    assert asked is not None
    into = world.folder / f"{folder.stem(result.id)}{SUFFIX}"
    steps = max(1, min(asked.steps, (result.scenario.output_len or asked.steps) - FIRST_STEP))
    profiler = Profiler(asked, into.resolve(), steps, watch.warn)
    watch.phase(Message(key="plugin.profiling"))
    try:
        with folder.writing(world.folder):  # else it would go where an earlier session's files of this name do
            folder.retire(world.folder, folder.stem(result.id), result.session)
        alone = replace(world, besides=[lambda _: profiler])
        load = await measure(shorter(result.scenario), alone, _Aside(watch), private_folder(work / "profiled"))
    except BenchError as error:
        watch.warn(error.message)
        return replace(result, notes=(*result.notes, world.target.covered(error.message))), False
    except asyncio.CancelledError:  # while the server writes, say: what was judged is saved all the same
        return result, True
    troubles = [note for note in load.observed.notes if note.key == "server.profile_goes_on"]
    for note in troubles:
        watch.warn(note)
    started = environment.since_1970() - now() + (load.facts.started if load.facts else 0.0)
    try:
        own = spans.save(load.records, into, started, base_ns(profiler.files))
        records.write(load.records, into / f"load{records.SUFFIX}")
        measurement.save(load, into / "load")
    except BenchError as error:
        return replace(result, notes=(*result.notes, error.message)), load.interrupted
    traces = [own, *(file for file in profiler.files if file.resolve() != own.resolve())]
    named = [_named(path.resolve(), world.folder.resolve()) for path in traces]
    values = {"n": len(load.records), "files": len(traces) - 1, "folder": str(into)}
    said = Message(key="server.profiled_apart" if profiler.files else "server.profiled_elsewhere", values=values)
    notes = (*result.notes, said, *troubles)
    return replace(result, notes=notes, traces=tuple(named)), load.interrupted


def _named(trace: Path, results: Path) -> str:
    """As it is found again where the folder of results was moved."""
    return trace.relative_to(results).as_posix() if trace.is_relative_to(results) else str(trace)


def shorter(asked: Scenario) -> Scenario:
    """The same shape: as many at once, or as fast as it became, and as many requests as that takes at least."""
    least = asked.profile.requests if asked.profile else 1
    top = max(asked.stages, key=lambda stage: (stage.rate or 0.0, stage.concurrency or 0), default=None)
    if top is not None:
        asked = replace(asked, concurrency=top.concurrency, request_rate=top.rate or asked.request_rate)
    return replace(
        asked,
        num_prompts=max(least, asked.concurrency or 1),
        duration=None,
        stages=(),
        ramp_up=None,
        warmup=Warmup(),
        repeats=Repeats(),
        rules=(),
        goodput={},
        tape="drop",
    )
