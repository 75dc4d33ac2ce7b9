"""A tape as it grows → Records, and the one word that may flow back to the load: stop."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_vllm_bench import environment, load, plan
from pytest_vllm_bench.errors import ServerError
from pytest_vllm_bench.judge import stopping
from pytest_vllm_bench.measure.columns import sample, settings_of
from pytest_vllm_bench.measure.decode import Decoder
from pytest_vllm_bench.model import OURS, Message, Plan, Record, RuleVerdict, Scenario
from pytest_vllm_bench.observe import ready
from pytest_vllm_bench.world import Watch, World

#: So many requests in a row that found nobody, and the server is asked once more.
NOBODY = 5
#: A closed and consumed part of the tape is deleted beyond this size, where the tape is not kept.
TAPE_BYTES = 1 << 30


@dataclass(slots=True, kw_only=True)
class Reading:
    """A load's tape, how it is said that no more will come or that no more is wanted, and what came of reading it."""

    plan: Plan
    tape: Path
    over: threading.Event
    stop: Callable[[], object]
    workers: int = 1
    records: list[Record] = field(default_factory=list)
    stopped_by: RuleVerdict | None = None  # a rule that is proven broken whatever still comes
    gone: Message | None = None  # the server went away
    behind: Message | None = None  # it sends faster than can be read, and was sent nothing more
    looks: int = 0
    nobody: int = 0  # requests in a row that found nobody


def read_along(scenario: Scenario, world: World, watch: Watch, reading: Reading) -> None:
    """Decode until the load is over and all is read; for a thread of its own, which takes low priority."""
    environment.yield_priority()
    rows: Any = plan.index(reading.plan)
    count = world.tokenizer.count if world.tokenizer.takes_text else None
    decoder: Decoder | None = None
    keep = TAPE_BYTES if scenario.tape == "drop" else None

    def behind(unread: int) -> None:
        if reading.behind is None:
            reading.behind = Message(key="load.behind", values={"size": f"{unread / 1e9:.1f} GB"})
            watch.warn(reading.behind)
            reading.stop()

    for entry in load.follow(reading.tape, reading.over.is_set, keep_bytes=keep, behind=behind):
        if decoder is None:
            started = load.started(reading.tape)
            decoder = Decoder(
                reading.plan, world.backend, rows, count_tokens=count, started=started, keep_text=scenario.keep_text
            )
        record = decoder.feed(entry)
        if record is not None:
            took(scenario, world, watch, reading, [record], decoder.in_flight)
    if decoder is not None:
        reading.records += decoder.rest()
    reading.records.sort(key=lambda r: r.index)


def took(
    scenario: Scenario, world: World, watch: Watch, reading: Reading, records: Sequence[Record], in_flight: int
) -> None:
    """Take requests as they have ended; says stop where going on would tell nothing new."""
    for record in records:
        record.error_detail = world.target.discreet(record.error_detail)
        reading.records.append(record)
        watch.record(record)
        if pointless(scenario, world, reading, in_flight):
            reading.stop()


def read_whole(planned: Plan, tape: Path, world: World) -> list[Record]:
    """The requests of a load that is over."""
    count = world.tokenizer.count if world.tokenizer.takes_text else None
    rows: Any = plan.index(planned)
    decoder = Decoder(planned, world.backend, rows, count_tokens=count)
    return [record for entry in load.read(tape) if (record := decoder.feed(entry)) is not None]


def failed(ended: Sequence[Record], world: World) -> tuple[int, Counter[tuple[str, str]]]:
    """Of a load that is over: how many requests were sent, and why how many of them failed."""
    sent = [record for record in ended if record.error not in OURS]
    # What was answered too short was answered: the judge says what that is worth.
    why = [(str(r.error), world.target.discreet(r.error_detail)) for r in sent if r.error not in (None, "short")]
    return len(sent), Counter(why)


def pointless(scenario: Scenario, world: World, reading: Reading, in_flight: int) -> bool:
    """Whether going on would tell nothing new: the server is gone, or a rule is proven broken.

    Looked at as a record has come; for the rules after each tenth of the plan, while there is still load to be spared.
    """
    if reading.stopped_by or reading.gone:
        return False  # said already
    reading.nobody = reading.nobody + 1 if reading.records[-1].error in ("connect", "reset") else 0
    if reading.nobody and reading.nobody % NOBODY == 0:
        reading.gone = absent(world)
        return reading.gone is not None
    if reading.over.is_set() or scenario.repeats.max > 1 or world.probes.tiers:
        return False
    if stopping.due_for_a_look(len(reading.records), reading.plan.n, reading.looks):
        reading.looks += 1
        so_far = sample(reading.records, settings_of(scenario, workers=reading.workers, complete=False))
        open_at_most = max(in_flight, reading.plan.max_in_flight or 0)  # another worker's tape may be read later
        reading.stopped_by = stopping.hopeless(scenario, so_far, open_at_most)
    return reading.stopped_by is not None


def absent(world: World) -> Message | None:
    """What a fresh look at the server says, if it is not there any more."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        try:
            runner.run(ready.there(world.server))
        except ServerError as error:
            return error.message
    return None
