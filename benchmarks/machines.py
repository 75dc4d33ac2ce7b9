"""Ten million requests over 64 machines → what each part of it costs: ``python -m benchmarks.machines``.

Of 100,000 streams.  One machine's part is cut from the plan and sent in virtual time by as many processes as it has
(the dispatch loop alone); its records, all of them, are packed, unpacked, put on the controller's clock and merged.
Times are CPU times of this process, memory is its own; all else follows by multiplication.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import heapq
import os
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from benchmarks import own, rounds, truth
from benchmarks.seen import Seen
from benchmarks.truth import Case
from pytest_vllm_bench import load, machines
from pytest_vllm_bench import plan as plans
from pytest_vllm_bench.load.dispatch import Dispatch, Outside, PlannedRow, chains, share
from pytest_vllm_bench.machines import line
from pytest_vllm_bench.machines.clock import Clock, Offset, on_ours
from pytest_vllm_bench.measure.columns import MetricSettings
from pytest_vllm_bench.measure.merge import merge
from pytest_vllm_bench.measure.metrics import metrics
from pytest_vllm_bench.model import Cell, LoadFacts, Measurement, Plan, Record, Scenario, Target
from pytest_vllm_bench.plan import shard

MACHINES, WORKERS, STREAMS, BODY, EVENTS = 64, 8, 100_000, 2000, 128
#: One machine's part: so many records are packed, unpacked and merged.
MERGED = 156_250


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.machines", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plan = made(Path(folder), asked.requests)
        told("one machine's part cut", *timed(lambda: sum(len(data) for _, data in shard.cut(plan, 5, MACHINES))))
        parts = {"index.bin": bytearray(), "numbers.bin": bytearray()}
        for name, data in shard.cut(plan, 5, MACHINES):
            if name in parts:
                parts[name] += data
        index, numbers = map(bytes, parts.values())
    sent, seconds = 0, 0.0
    for worker in range(WORKERS):
        n, took = timed(lambda place=5 + MACHINES * worker: dispatched(index, numbers, place))
        sent, seconds = sent + n, seconds + took
    told(f"dispatch of {sent:,} requests by {WORKERS} processes, each at {1e6 * seconds / sent:.1f} µs", sent, seconds)
    records, some = memory(lambda: [record(i) for i in range(MERGED)])
    each = some / len(records)
    packed, took = timed(lambda: line._ENCODER.encode(line.Alive(records, 0)))
    told(f"a record of {EVENTS} events on the wire, packed", len(packed) // len(records), took / len(records))
    _, took = timed(lambda: line._DECODER.decode(packed))
    told("… unpacked by the controller", len(records), took / len(records))
    _, took = timed(lambda: merged(records))
    told("… put on its clock and merged", len(records), took / len(records))
    print(f"a record in memory: {each:,.0f} bytes, {asked.requests:,} of them {each * asked.requests / 1e9:,.1f} GB")


#: What is compared of one node and two.
COLUMNS = {name: column for name, column in rounds.COMPARED.items() if name != "CPU µs/event"}


def table(folder: Path, n: int, concurrency: int) -> str:
    """As many streams from two nodes as from one, on one machine, and the seconds that start and end take."""
    case = Case(concurrency=concurrency, requests=4 * concurrency)
    rows = {"one node, 2 processes": alone, "two nodes, 1 process each": together}
    return rounds.table(rounds.run([case], rows, n, folder), COLUMNS)


def alone(case: Case, server: truth.Server, folder: Path) -> Seen:
    began = perf_counter()
    made = own.measured(case, server, folder, own.How(workers=2))
    return replace(made.seen, beyond_s=perf_counter() - began - (made.facts.ended - made.facts.started))


def together(case: Case, server: truth.Server, folder: Path) -> Seen:
    """Two workers as their user starts them; they stand, and their start is no load's."""
    token, command = "a-token-of-benchmarks", [sys.executable, "-m", "pytest_vllm_bench", "worker"]
    with ExitStack() as stack:
        there = []
        for _ in range(2):
            listen = [*command, "--listen", "127.0.0.1:0", "--token-env", "TOKEN"]
            environ = {**os.environ, "TOKEN": token}
            process = stack.enter_context(subprocess.Popen(listen, env=environ, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            assert process.stdout is not None
            port = int(process.stdout.readline().rpartition(":")[2])
            there.append(machines.Machine(host="127.0.0.1", port=port, token=token.encode()))
        settings = load.SendSettings(backend=own.backend_of(case))
        order = machines.Order(target=Target(base_url=server.url), settings=settings, take=lambda *_: None)
        scenario = Scenario(cell=Cell(place="x"), target=Target(), backend="vllm")
        begun = Measurement(scenario=scenario, plan=own.planned(case, folder / "plan"))
        began = perf_counter()
        made = asyncio.run(machines.send(begun, order, there, asyncio.Event()))
        beyond = perf_counter() - began
    assert made.facts is not None
    print([(m.name, f"{m.start_ms:.3f} ± {m.error_ms:.3f} ms") for m in made.facts.machines], file=sys.stderr)
    figures: Any = metrics(list(made.records), settings=MetricSettings(concurrency=case.concurrency, workers=2))
    names = {"ttft_mean": "mean_ttft_ms", "ttft_p99": "p99_ttft_ms", "itl_p50": "p50_itl_ms", "itl_p99": "p99_itl_ms"}
    seen = {ours: figures[name] for ours, name in names.items()}
    beyond -= made.facts.ended - made.facts.started
    return Seen(throughput=figures["output_throughput"], beyond_s=beyond, **seen)


def told(what: str, n: int, seconds: float) -> None:
    print(f"{what}: {n:,}, {seconds:.3g} s", flush=True)


def timed(work: Any) -> tuple[Any, float]:
    before = process_time()
    made = work()
    return made, process_time() - before


def memory(work: Any) -> tuple[Any, int]:
    """What is made, and the bytes that it holds."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    gc.collect()
    before = resident()
    made = work()
    return made, resident() - before


def made(folder: Path, n: int) -> Plan:
    """The plan of a closed loop; its bodies are a file of holes."""
    plan = Plan(scenario_id="x", folder=folder, n=n, path="/", chains=n, max_in_flight=STREAMS, digest="d")
    (folder / "index.bin").write_bytes(b"")
    rows = np.zeros(n, plans.index(replace(plan, n=0)).dtype)
    rows["offset"], rows["length"], rows["chain"] = np.arange(n) * BODY, BODY, np.arange(n)
    rows.tofile(folder / "index.bin")
    with (folder / "bodies.bin").open("wb") as bodies:
        bodies.truncate(n * BODY)
    return plan


def dispatched(index: bytes, numbers: bytes, place: int) -> int:
    """One process' shard in virtual time: answers take a second or so."""
    now, order = 0.0, 0
    ends: list[tuple[float, int, PlannedRow]] = []

    def launch(row: PlannedRow, ready: float, due: float) -> None:
        nonlocal order
        order += 1
        heapq.heappush(ends, (now + 1 + row.number % 7 / 10, order, row))

    of = MACHINES * WORKERS
    mine = chains(index, place, of, memoryview(numbers).cast("I"))
    outside = Outside(clock=lambda: now, wake=lambda at: None, launch=launch)
    dispatch = Dispatch(mine, outside, cap=share(STREAMS, place, of), closed=True)
    dispatch.begin(0.0)
    while not dispatch.finished:
        if dispatch._free and dispatch._more:
            dispatch.pump()
        now, _, row = heapq.heappop(ends)
        dispatch.freed(row, now)
        dispatch.pump()
    return order


def record(i: int) -> Record:
    times = np.linspace(0.1, 2.0, EVENTS) + i
    one: Sequence[int] = [1] * EVENTS
    return Record(
        index=i, chain=i, ready=i, sent=i, first_token=i + 0.1, last_token=i + 2.0, done=i + 2.0, output_tokens=EVENTS,
        arrival_times=array("d", times.tobytes()), arrival_events=array("i", one), arrival_tokens=array("i", one),
        token_source="usage",
    )  # fmt: skip


def merged(records: list[Record]) -> Measurement:
    """As many machines, of which each has some."""
    before, after = Offset(at=0.0, ahead=0.3, error=1e-4), Offset(at=60.0, ahead=0.3 + 60 * 5e-5, error=1e-4)
    begun = Measurement(scenario=Scenario(cell=Cell(place="x"), target=Target(), backend="vllm"))
    facts = LoadFacts(started=2.3, ended=62.3, workers=(), complete=True)
    parts = []
    for machine in range(MACHINES):
        mine = records[machine::MACHINES]
        its = on_ours(mine, facts, 2.0, Clock(before=before, after=after))
        parts.append(replace(begun, facts=its, records=mine))
    return merge(parts)


if __name__ == "__main__":
    main()
