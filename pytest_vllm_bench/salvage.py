"""What a killed session left under ``.running``, or a tape that was kept → the measurement, and its result."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_vllm_bench import load, plan
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judging import judge
from pytest_vllm_bench.measure.decode import Decoder
from pytest_vllm_bench.model import Backend, LoadFacts, Measurement, Message, Plan, Record, Result, Target, WorkerFacts
from pytest_vllm_bench.report import artifacts, folder
from pytest_vllm_bench.store import measurement

#: In the folder of a load that runs: what is known of its measurement, without the ending.
BEGUN = "begun"


def left(results: Path) -> list[Path]:
    """The folders of loads that were running when their session was killed."""
    running = results / folder.RUNNING
    return sorted(one for one in running.iterdir() if one.is_dir()) if running.is_dir() else []


def recover(
    results: Path, backends: Mapping[str, Backend], targets: Sequence[Target] = ()
) -> Iterator[Result | Message]:
    """Read what is left, and save it as results of their own session; a folder is gone only when that is done.

    ``targets``: whose secrets nobody is to read.  A Message says why a folder stays as it is.
    """
    for work in left(results):
        try:
            one = salvaged(work, backends)
        except BenchError as error:
            yield Message(key="load.not_salvaged", values={"folder": str(work), "why": error.message})
            continue
        if one is not None:
            for target in targets:
                for record in one.records:
                    record.error_detail = target.discreet(record.error_detail)
            yield saved(one, results, work / "tape")
        shutil.rmtree(work, ignore_errors=True)
        with contextlib.suppress(OSError):
            work.parent.rmdir()


def salvaged(work: Path, backends: Mapping[str, Backend]) -> Measurement | None:
    """The measurement that a load was to become; None where nothing had been sent; BenchError where it is unreadable."""
    saved = work / f"{BEGUN}{measurement.SUFFIX}"
    if not saved.is_file():
        return None
    one = measurement.load(saved)
    records = decoded(one, work / "plan", work / "tape", backends)
    if not records:
        return None
    facts = one.facts or facts_of(work / "tape", records)
    note = Message(key="load.salvaged", values={"n": len(records), "of": one.plan.n if one.plan else len(records)})
    whole = one.complete and one.plan is not None and len(records) == one.plan.n
    return replace(
        one,
        facts=replace(facts, complete=whole, warnings=(*facts.warnings, note)),
        records=records,
        complete=whole,
        salvaged=True,
    )


def decoded(one: Measurement, planned: Path, tape: Path, backends: Mapping[str, Backend]) -> list[Record]:
    """The records of a tape, by its plan's index and its scenario's backend; none where nothing was sent."""
    backend = backends.get(one.scenario.backend)
    if backend is None:
        raise BenchError("load.no_backend", backend=one.scenario.backend)
    start = load.started(tape) if tape.is_dir() else None
    if one.plan is None or start is None:
        return []
    sent: Plan = replace(one.plan, folder=planned)
    decoder = Decoder(sent, backend, plan.index(sent), started=start)
    records = [record for entry in load.read(tape) if (record := decoder.feed(entry)) is not None]
    return sorted([*records, *decoder.rest()], key=lambda record: record.index)


def facts_of(tape: Path, records: Sequence[Record]) -> LoadFacts:
    """What a tape tells of those who wrote it."""
    start = load.started(tape) or 0.0
    last = max((record.done or record.last_token or record.sent or 0.0 for record in records), default=0.0)
    nobody = WorkerFacts(worker=0, started=start, ended=start, cpu_s=0.0, reads=0, bytes_in=0, bytes_out=0)
    workers = tuple(replace(nobody, worker=number) for number in load.writers(tape))
    return LoadFacts(started=start, ended=start + last, workers=workers, complete=False, stop_reason="killed")


def saved(one: Measurement, results: Path, tape: Path) -> Result:
    """Judge a measurement alone and write what a run would have written."""
    alone = one.scenario.repeats.max > 1
    result = judge(one.scenario, [one], waits=alone)
    keep = folder.Keep(tape=tape if one.scenario.tape != "drop" else None, tape_policy=one.scenario.tape)
    folder.write(artifacts.to_json(result), results, result.records, keep)
    measurement.save(one, results / folder.stem(one.scenario.id))
    return result
