"""What several machines measured of one plan → one Measurement; what several have seen → one Observed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import LoadFacts, Measurement, Message, Observed, WorkerFacts


def merge(measured: Sequence[Measurement]) -> Measurement:
    """What the machines sent of a plan, on the clock of the first of them; BenchError where it was not one plan.

    Records count from the start, which they had together.  They saw one server: the first that saw a thing says it.
    """
    plans = dict.fromkeys(one.plan.digest if one.plan else "–" for one in measured)
    if len(plans) > 1:
        raise BenchError("measure.other_plans", plans=", ".join(plans))
    measured = [on_clock_of(measured[0], one) for one in measured]
    facts = [one.facts for one in measured if one.facts]
    return replace(
        measured[0],
        facts=_facts(facts) if facts else None,
        observed=together([one.observed for one in measured]),
        records=sorted(chain.from_iterable(one.records for one in measured), key=lambda record: record.index),
        complete=all(one.complete for one in measured),
        interrupted=any(one.interrupted for one in measured),
        stopped_by=next((one.stopped_by for one in measured if one.stopped_by), None),
        gone=next((one.gone for one in measured if one.gone), None),
        salvaged=any(one.salvaged for one in measured),
        resumed=any(one.resumed for one in measured),
        environment={key: value for one in reversed(measured) for key, value in one.environment.items()},
        samples={},
    )


def on_clock_of(first: Measurement, one: Measurement) -> Measurement:
    """The absolute times of a measurement by another machine's clock: they began at one moment."""
    if first.facts is None or one.facts is None or not (by := first.facts.started - one.facts.started):
        return one
    workers = (replace(worker, started=worker.started + by, ended=worker.ended + by) for worker in one.facts.workers)
    at = one.observed.fault_at
    facts = replace(one.facts, started=first.facts.started, ended=one.facts.ended + by, workers=tuple(workers))
    tracks = (replace(track, times=tuple(time + by for time in track.times)) for track in one.observed.tracks)
    seen = replace(one.observed, tracks=tuple(tracks), fault_at=None if at is None else at + by)
    return replace(one, facts=facts, observed=seen)


def _facts(facts: Sequence[LoadFacts]) -> LoadFacts:
    return replace(
        facts[0],
        ended=max(one.ended for one in facts),
        workers=_numbered([worker for one in facts for worker in one.workers]),
        complete=all(one.complete for one in facts),
        stop_reason=next((one.stop_reason for one in facts if one.stop_reason), ""),
        steal=max((one.steal for one in facts if one.steal is not None), default=None),
        machines=tuple(chain.from_iterable(one.machines for one in facts)),
        warnings=_once(one.warnings for one in facts),
    )


def _numbered(workers: Sequence[WorkerFacts]) -> tuple[WorkerFacts, ...]:
    """Each under a number of its own, which it keeps where no two machines gave the same."""
    if len({worker.worker for worker in workers}) == len(workers):
        return tuple(sorted(workers, key=lambda worker: worker.worker))
    return tuple(replace(worker, worker=number) for number, worker in enumerate(workers))


def together(seen: Sequence[Observed]) -> Observed:
    """What all of them have seen; what several have, as the first of them did."""
    tracks = {(t.name, t.device, t.bound): t for one in reversed(seen) for t in reversed(one.tracks)}
    return Observed(
        counters={name: value for one in reversed(seen) for name, value in one.counters.items()},
        fault=next((one.fault for one in seen if one.fault), None),
        fault_at=next((one.fault_at for one in seen if one.fault), None),
        tracks=tuple(reversed(tracks.values())),
        environment={name: value for one in reversed(seen) for name, value in one.environment.items()},
        notes=_once(one.notes for one in seen),
    )


def _once(said: Iterable[Iterable[Message]]) -> tuple[Message, ...]:
    messages = [*chain.from_iterable(said)]
    return tuple(one for i, one in enumerate(messages) if one not in messages[:i])
