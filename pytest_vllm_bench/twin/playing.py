"""A twin and a load → what a client would have seen of it: Records, and a Measurement that says it is a prediction."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Measurement, Message, Observed, Plan, Record, Scenario
from pytest_vllm_bench.plan import index
from pytest_vllm_bench.simulator.engine import Arrival, Engine, Fleet, LatencyModel, Timeline, simulate
from pytest_vllm_bench.twin import Lesson, Twin
from pytest_vllm_bench.twin.steps import usable

#: Beyond so many times what was measured a prediction says that it is far from it.
FAR = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualLoad:
    """Requests as they are planned (``records`` without anything that happened), and as an engine takes them."""

    records: Sequence[Record] = field(repr=False)
    arrivals: Sequence[Arrival] = field(repr=False)
    concurrency: int | None = None
    until: float = math.inf

    def timelines(self, engine: LatencyModel, fleet: Fleet = Fleet(), seed: int = 0) -> list[Timeline]:
        """What a perfect client sees; DataError where a request has no room in the engine."""
        need = max((a.prompt_len + a.output_len for a in self.arrivals), default=0)
        if not Engine(engine).fits(need):
            raise DataError("twin.no_room", tokens=need, kv_tokens=engine.kv_tokens)
        how = {"concurrency": self.concurrency, "until": self.until, "fleet": fleet}
        return simulate(self.arrivals, model=engine, seed=seed, **how)  # type: ignore[arg-type]


def load_of(records: Sequence[Record], concurrency: int | None, block: int, until: float = math.inf) -> VirtualLoad:
    """Records of which lengths, chain and turn are known → the load that they were or will be.

    Leading shared tokens are the same in all; a later turn begins with what was said before it.
    """
    last: dict[int, int] = {}
    arrivals = []
    talks = {r.chain for r in records if r.turn}
    for number, r in enumerate(records):
        prompt, output = int(r.prompt_tokens or 0), int(r.output_tokens or 0)
        shared = range(-1, -1 - r.shared_input // block if r.chain not in talks else -1, -1)
        own = range(len(shared), (prompt + output) // block) if shared or r.chain in talks else ()
        arrivals.append(
            Arrival(
                due=r.due or 0.0,
                prompt_len=prompt,
                output_len=output,
                hashes=[*shared, *((r.chain << 24) + b for b in own)],
                after=last.get(r.chain) if r.turn else None,
            )
        )
        last[r.chain] = number
    return VirtualLoad(records=records, arrivals=arrivals, concurrency=concurrency, until=until)


def again(one: Measurement, block: int) -> VirtualLoad:
    """The load of a measurement, to be played once more; DataError where its cap changed on the way."""
    if one.plan is not None and one.plan.steps:
        raise DataError("twin.stages")
    ended: dict[int, float] = {}
    planned = []
    for r in sorted(usable(one.records), key=lambda r: r.index):
        kept = {name: getattr(r, name) for name in ("index", "chain", "turn", "due", "shared_input", "prompt_tokens")}
        if r.turn and r.chain in ended:  # how long its user thought
            kept["due"] = max(0.0, (r.sent or 0.0) - ended[r.chain])
        ended[r.chain] = r.arrival_times[-1]
        planned.append(Record(**kept, output_tokens=r.output_tokens or sum(r.arrival_tokens)))
    return load_of(planned, one.plan.max_in_flight if one.plan else one.scenario.concurrency, block)


def planned(plan: Plan, block: int) -> VirtualLoad:
    """A plan's load; DataError where it cannot be played: lengths that are not known before an answer, stages."""
    rows = index(plan)
    if plan.steps:
        raise DataError("twin.stages")
    if (rows["input_len"] < 1).any() or (rows["output_len"] < 1).any():  # as of every later turn of a conversation
        raise DataError("twin.lengths")
    records = [
        Record(
            index=i,
            chain=int(row["chain"]),
            due=float(row["due"]),
            prompt_tokens=int(row["input_len"]),
            output_tokens=int(row["output_len"]),
            shared_input=int(row["shared_len"]),
        )
        for i, row in enumerate(rows)
    ]
    return load_of(records, plan.max_in_flight, block, plan.duration or math.inf)


def happened(load: VirtualLoad, lines: Iterable[Timeline], open_loop: bool) -> list[Record]:
    """The records of a load that was played."""
    return [_seen(load.records[line.number], line, open_loop) for line in lines]


def _seen(record: Record, line: Timeline, open_loop: bool) -> Record:
    first, last = line.tokens[0], line.tokens[-1]
    ones = array("i", [1]) * len(line.tokens)
    due = line.due if open_loop or not record.index else None
    seen: dict[str, Any] = {"due": due, "ready": line.sent, "sent": line.sent, "status": 200, "first_chunk": first}
    seen |= {"first_token": first, "first_output": first, "last_token": last, "done": last}
    seen |= {"arrival_times": line.tokens, "arrival_events": ones, "arrival_tokens": ones}
    seen |= {"asked_input": record.prompt_tokens, "asked_output": record.output_tokens, "cached_tokens": line.cached}
    seen |= {"token_source": "usage", "finish_reason": "length"}
    return msgspec.structs.replace(record, **seen)


def predict(twin: Twin, scenario: Scenario, load: VirtualLoad, fleet: Fleet = Fleet()) -> Measurement:
    """What the twin says that a client would measure; its errors go with it.  DataError where nothing like it fits."""
    records = happened(load, load.timelines(twin.engine, fleet, scenario.seed + scenario.repeat), scenario.open_loop)
    return Measurement(
        scenario=scenario,
        records=records,
        complete=math.isfinite(load.until) or len(records) == len(load.records),
        predicted=twin.errors,
        observed=Observed(notes=tuple(_far(twin.lessons, scenario, load))),
    )


def _far(lessons: Sequence[Lesson], asked: Scenario, load: VirtualLoad) -> Iterable[Message]:
    """What of the load is far from all that was measured."""
    learnt = [(prompt, output) for lesson in lessons for prompt, output, _ in lesson.lengths]
    for which, name in enumerate(("prompt_len", "output_len")):
        known = [pair[which] for pair in learnt]
        here = [getattr(a, name) for a in load.arrivals]
        if known and (max(here) > FAR * max(known) or min(here) < min(known) / FAR):
            seen = f"{min(known)}…{max(known)}"
            yield Message(key=f"twin.far.{name}", values={"asked": f"{min(here)}…{max(here)}", "seen": seen})
    if asked.open_loop and not any(one.request_rate for one in lessons):
        yield Message(key="twin.far.open_loop")
    for name in ("concurrency", "request_rate"):
        most = max((getattr(one, name) or 0 for one in lessons), default=0)
        if most and (value := getattr(asked, name)) and math.isfinite(value) and value > FAR * most:
            yield Message(key=f"twin.far.{name}", values={"asked": f"{value:g}", "seen": f"{most:g}"})
