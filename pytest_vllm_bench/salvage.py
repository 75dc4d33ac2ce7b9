"""What a killed session left under ``.running``, or a tape that was kept → the measurement, and its result."""

from __future__ import annotations

import contextlib
import functools
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_vllm_bench import load, plan, tokenizer
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judging import judge, waited
from pytest_vllm_bench.measure.decode import Decoder
from pytest_vllm_bench.measure.tokens import Counter
from pytest_vllm_bench.model import (
    Backend,
    LoadFacts,
    Measurement,
    Message,
    Record,
    Result,
    Target,
    Verdict,
    WorkerFacts,
)
from pytest_vllm_bench.store import earlier, folder, measurement, tracks
from pytest_vllm_bench.store import records as records_file

#: In the folder of a load that runs: what is known of its measurement, without the ending.
BEGUN = "begun"


def left(results: Path) -> list[Path]:
    """The folders of loads that were cut off, and of which something can be known."""
    return sorted(found.parent for found in (results / folder.KEPT).glob(f"*/{BEGUN}{measurement.SUFFIX}"))


def recover(
    works: Sequence[Path], results: Path, backends: Mapping[str, Backend], targets: Sequence[Target] = ()
) -> Iterator[Result | Message]:
    """Save what loads that were cut off had measured as results of their own session; a folder goes when that is done.

    ``targets``: whose secrets nobody is to read.  A Message says why a folder stays as it is.
    """
    for work in works:
        try:
            one = salvaged(work, backends)
            if one is None and not (work / f"{BEGUN}{measurement.SUFFIX}").is_file():
                yield Message(key="plugin.left_running", values={"path": str(work)})
                continue
            if one is not None:
                for target in targets:
                    for record in one.records:
                        record.error_detail = target.discreet(record.error_detail)
                yield saved(one, results, work / "tape" if one.scenario.tape != "drop" else None)
        except BenchError as error:
            yield Message(key="load.not_salvaged", values={"folder": str(work), "why": error.message})
        except Exception as error:  # a backend of somebody else's reads what is there, and may be why it was cut off
            yield Message(
                key="load.not_salvaged", values={"folder": str(work), "why": f"{type(error).__name__}: {error}"}
            )
        else:
            shutil.rmtree(work, ignore_errors=True)
            with contextlib.suppress(OSError):
                work.parent.rmdir()


def salvaged(work: Path, backends: Mapping[str, Backend]) -> Measurement | None:
    """The measurement that a load was to become; None where nothing was sent, BenchError where it is unreadable."""
    if not (saved := work / f"{BEGUN}{measurement.SUFFIX}").is_file():
        return None
    one = measurement.load(saved)
    if not (records := decoded(one, work / "plan", work / "tape", backends)):
        return None
    planned = one.plan.n if one.plan else len(records)
    facts = one.facts or facts_of(work / "tape", records)
    note = Message(key="load.salvaged", values={"n": sum(r.error is None for r in records), "of": planned})
    whole = one.complete and len(records) == planned  # of a long tape the oldest parts may have been dropped
    return replace(
        one,
        facts=replace(facts, complete=whole, warnings=(*facts.warnings, note)),
        records=records,
        complete=whole,
        salvaged=True,
    )


def decoded(one: Measurement, planned: Path, tape: Path, backends: Mapping[str, Backend]) -> list[Record]:
    """The records of a tape, by its plan's index and its scenario's backend; none where nothing was sent."""
    if (backend := backends.get(one.scenario.backend)) is None:
        raise BenchError("load.no_backend", backend=one.scenario.backend)
    try:
        start = load.started(tape) if tape.is_dir() else None
        if one.plan is None or start is None:
            return []
        sent = replace(one.plan, folder=planned)
        rows: Any = plan.index(sent)
        decoder = Decoder(
            sent, backend, rows, count_tokens=counter(one), started=start, keep_text=one.scenario.keep_text
        )
        records = [record for entry in load.read(tape) if (record := decoder.feed(entry)) is not None]
    except (OSError, EOFError, LookupError, ValueError, zlib.error) as error:
        raise BenchError("report.damaged", name=str(tape), why=str(error)) from None
    return sorted([*records, *decoder.rest()], key=lambda record: record.index)


def counter(one: Measurement) -> Counter | None:
    """What counts tokens as the run did; the tokenizer is loaded for the first answer without a count."""
    if (spec := tokenizer.wanted(one.scenario)) == "ids":
        return None

    @functools.cache
    def loaded() -> tokenizer.Tokenizer:
        model = next(iter((one.plan and one.plan.models) or one.scenario.models), "")
        return tokenizer.load(spec, one.environment.get("server", {}).get("roots", {}).get(model, model))

    return lambda texts: loaded().count(texts)


def facts_of(tape: Path, records: Sequence[Record]) -> LoadFacts:
    """What a tape tells of those who wrote it."""
    start = load.started(tape) or 0.0
    last = max((record.done or record.last_token or record.sent or 0.0 for record in records), default=0.0)
    nobody = WorkerFacts(worker=0, started=start, ended=start, cpu_s=0.0, reads=0, bytes_in=0, bytes_out=0)
    workers = tuple(replace(nobody, worker=number) for number in load.writers(tape))
    return LoadFacts(started=start, ended=start + last, workers=workers, complete=False, stop_reason="killed")


def saved(one: Measurement, results: Path, tape: Path | None) -> Result:
    """Judge a measurement alone and write what a run would have written; a tape that nobody asked for goes."""
    result = judge(one.scenario, [one], waits=one.scenario.repeats.max > 1)
    written(result, one, results)
    folder.settle(result, results, tape, one.scenario.tape)
    return result


def written(result: Result, one: Measurement, results: Path) -> Measurement:
    """Write a result and what it was judged from; → the measurement, its records on disk."""
    folder.write(result, results)
    return measurement.save(one, results / folder.stem(result.scenario.id))


def keep_readable(work: Path) -> None:
    """Put beside a tape what it takes to read it again."""
    begun = (work / f"{BEGUN}{suffix}" for suffix in (measurement.SUFFIX, tracks.SUFFIX))
    for name in (work / "plan" / "index.bin", *begun):
        with contextlib.suppress(OSError):  # of a full disk the result needs the room more
            shutil.copyfile(name, work / "tape" / name.name)


def again(tape: Path, backends: Mapping[str, Backend]) -> Result:
    """Read a tape that was kept (``tape: keep``) once more, and write its result beside it anew; what its session found
    besides, and the repeats that it was judged with, stay."""
    if not (begun := tape / f"{BEGUN}{measurement.SUFFIX}").is_file():
        raise BenchError("load.no_tape", folder=str(tape))
    one = measurement.load(begun)
    stem = tape.parent / folder.stem(one.scenario.id)
    beside = measurement.found(stem)
    if beside is not None and (beside.session, beside.date) == (one.session, one.date):
        one = beside  # a session that was resumed asked more of it
    records = decoded(one, tape, tape, backends)
    whole = one.complete and one.plan is not None and len(records) == one.plan.n
    facts = one.facts or facts_of(tape, records)
    one = replace(one, records=records, facts=replace(facts, complete=whole), complete=whole)
    before = earlier.result_of(stem.with_name(f"{stem.name}.json"))
    if before is None or before.session != one.session:
        return saved(one, tape.parent, None)
    with folder.writing(tape.parent):
        records_file.write(records, stem.with_name(f"{stem.name}{records_file.SUFFIX}"))
    measurement.save(one, stem)
    if len(pool := earlier.measurements(before)) < len(before.per_repeat):
        raise BenchError("load.repeats_gone", name=before.id, repeats=len(before.per_repeat))
    result = judged_anew(before, pool)
    folder.write(result, tape.parent)
    return result


def judged_anew(before: Result, pool: Sequence[Measurement]) -> Result:
    """A result from what was measured, with what no measurement holds: the reference that it failed, its traces."""
    made = judge(pool[-1].scenario, pool, waits=waited(pool[-1].scenario, before))
    failed = before.verdict is Verdict.FAIL and before.baseline is not None and before.baseline.failed
    known = {note.key for note in made.notes}
    return replace(
        made,
        verdict=Verdict.worst([made.verdict, Verdict.FAIL]) if failed else made.verdict,
        notes=(*made.notes, *(n for n in before.notes if n.key not in known and not n.key.startswith("judge."))),
        baseline=before.baseline,
        traces=before.traces,
        test=before.test,
    )
