"""A case → our own figures, stage by stage: the measuring process, decoding beside it, the metrics after it."""

from __future__ import annotations

import asyncio
import math
import shutil
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.seen import Seen
from benchmarks.truth import Case, Server
from pytest_vllm_bench import environment, load, plan
from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.measure.columns import MetricSettings
from pytest_vllm_bench.measure.decode import Decoder
from pytest_vllm_bench.measure.metrics import metrics
from pytest_vllm_bench.model import INDEX_ROW, Ask, Backend, Beside, LoadFacts, Plan, Prompt, Record, Target


@dataclass(frozen=True, kw_only=True)
class How:
    """How much of the product runs."""

    decode: bool = True  # beside the load, as ``run`` does; False: the tape is only read
    workers: int = 1
    keep_bytes: int | None = None  # of the tape
    besides: Callable[[Target], Sequence[Beside]] = lambda target: ()  # what watches meanwhile


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What came of it."""

    seen: Seen
    facts: LoadFacts
    records: list[Record] = field(default_factory=list)


def planned(case: Case, folder: Path) -> Plan:
    """Every request the same body: the truth server does not look further than the lengths."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    backend = backend_of(case)
    prompt = Prompt(text="hello " * case.input_len)
    ask = Ask(prompt=prompt, model="truth", output_len=case.output_len, force_length=True)
    body = backend.body(ask)
    row = struct.Struct(INDEX_ROW)
    with (folder / "index.bin").open("wb") as index:
        for i in range(case.requests):
            index.write(row.pack(0, len(body), i, 0, 0, 0.0, 0.0, case.input_len, case.output_len, 0, math.nan))
    (folder / "bodies.bin").write_bytes(body)
    return Plan(
        scenario_id=case.name,
        folder=folder,
        n=case.requests,
        path=backend.path,
        models=("truth",),
        max_in_flight=case.concurrency,
        chains=case.requests,
        force_length=True,
    )


def backend_of(case: Case) -> Backend:
    return BACKENDS["vllm-chat" if case.chat else "vllm"]


class Reader:
    """Reads the tape in a thread of low priority while the load runs; knows what CPU time that took."""

    def __init__(self, case: Case, made: Plan, tape: Path, how: How) -> None:
        self.records: list[Record] = []
        self.cpu_s = 0.0
        self._case, self._plan, self._tape, self._how = case, made, tape, how
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        environment.yield_priority()
        began = time.thread_time()
        decoder: Decoder | None = None
        rows: Any = plan.index(self._plan)
        for entry in load.follow(self._tape, self._over.is_set, keep_bytes=self._how.keep_bytes):
            if not self._how.decode:
                continue
            if decoder is None:
                decoder = Decoder(self._plan, backend_of(self._case), rows, started=load.started(self._tape))
            record = decoder.feed(entry)
            if record is not None:
                self.records.append(record)
        self.cpu_s = time.thread_time() - began

    def finish(self) -> None:
        self._over.set()
        self._thread.join()


def measured(case: Case, server: Server, folder: Path, how: How = How()) -> Measured:
    """Send the case's load and understand what came."""
    made, tape = planned(case, folder / "plan"), folder / "tape"
    shutil.rmtree(tape, ignore_errors=True)
    verify = str(server.certificate) if server.certificate else True
    target = Target(base_url=server.url, verify=verify)
    load.open_files_problem(case.concurrency)
    reader = Reader(case, made, tape, how)
    try:
        facts = asyncio.run(_sent(made, target, how, tape))
    finally:
        reader.finish()
    shutil.rmtree(tape)
    before = time.process_time()
    figures = metrics(reader.records, settings=MetricSettings(concurrency=case.concurrency)) if how.decode else {}
    metrics_s = time.process_time() - before
    return Measured(seen=_seen(case, facts, figures, (reader.cpu_s, metrics_s)), facts=facts, records=reader.records)


async def _sent(made: Plan, target: Target, how: How, tape: Path) -> LoadFacts:
    watching = how.besides(target)
    for beside in watching:
        await beside.begin(target)
    facts = await load.send(made, target, load.SendSettings(workers=how.workers), tape, asyncio.Event())
    for beside in watching:
        await beside.end(False)
    return facts


def _seen(case: Case, facts: LoadFacts, figures: Any, cost: tuple[float, float]) -> Seen:
    events = case.requests * math.ceil(case.output_len / case.tokens)
    lags = sorted(lag for worker in facts.workers for lag in worker.sentinel_lags)
    return Seen(
        ttft_mean=figures.get("mean_ttft_ms", math.nan),
        ttft_p99=figures.get("p99_ttft_ms", math.nan),
        itl_p50=figures.get("p50_itl_ms", math.nan),
        itl_p99=figures.get("p99_itl_ms", math.nan),
        throughput=figures.get("output_throughput", math.nan),
        cpu_us=sum(worker.cpu_s for worker in facts.workers) / events * 1e6,
        decode_us=cost[0] / events * 1e6,
        metrics_us=cost[1] / case.requests * 1e6,
        memory_mb=max(worker.peak_memory_bytes for worker in facts.workers) / 1e6,
        lag_p99_ms=lags[int(len(lags) * 0.99)] * 1e3 if lags else None,
    )
