"""Our own client at its limits → events a second, memory over many events, the cost of each stage."""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.own import How, Measured, backend_of, measured, planned
from benchmarks.truth import Case, serving
from pytest_vllm_bench import load, plan
from pytest_vllm_bench.measure.decode import Decoder
from pytest_vllm_bench.model import Target

FLOOD = Case(name="flood", ttft_ms=0, itl_ms=0, concurrency=256, requests=32 * 256, output_len=256)
#: The same flood for longer: 20 million events.
LONG = Case(name="long flood", ttft_ms=0, itl_ms=0, concurrency=256, requests=20_000_000 // 256, output_len=256)
SHORT_ANSWERS = Case(name="one token", ttft_ms=5, itl_ms=1, concurrency=256, requests=20_000, output_len=1)
STANDARD = Case(concurrency=1024, requests=4096)
TAPE_BYTES = 512 << 20


def report(folder: Path) -> str:
    """Run all of it: about two minutes."""
    return "\n".join(
        f"- {line}" for line in (flood(folder), memory(folder), stages(folder), tape(folder), command(folder))
    )


def flood(folder: Path) -> str:
    """As fast as the socket takes it; only received and put on the tape, since decoding needs the other core.

    With one event in a write the server's core is full before ours; with eight it is ours that is measured.
    """
    told = []
    for written in (1, 8):
        done, events, seconds = _flooded(replace(FLOOD, events=written), folder, How(decode=False))
        worker = done.facts.workers[0]
        cost = worker.cpu_s / events * 1e6
        told.append(f"{events / seconds:,.0f} events/s with {written} a write ({cost:.2f} µs of CPU an event)")
    return f"flood, C={FLOOD.concurrency}, received by one process: " + ", ".join(told)


def memory(folder: Path) -> str:
    """A process that has received 20 million events holds no more than one that has received two million."""
    few, fewer_events, _ = _flooded(FLOOD, folder, How(decode=False, keep_bytes=TAPE_BYTES))
    many, events, _ = _flooded(LONG, folder, How(decode=False, keep_bytes=TAPE_BYTES))
    worker = many.facts.workers[0]
    stalls = sorted(worker.tape_stalls, reverse=True)
    slow = worker.tape_writes // 1000  # so many are beyond the 99.9th percentile
    tail = f"{stalls[slow] * 1e3:.2f} ms" if slow < len(stalls) else "under 0.1 ms"
    return (
        f"memory: {few.seen.memory_mb:.0f} MB at most over {fewer_events:,} events, {many.seen.memory_mb:.0f} MB over "
        f"{events:,}; a tape write holds the loop for {tail} at p99.9 of {worker.tape_writes:,}"
    )


def _flooded(case: Case, folder: Path, how: How) -> tuple[Measured, int, float]:
    with serving(case, folder) as server:
        done = measured(case, server, folder, how)
        truth = server.truth()
    return done, truth.events, done.facts.ended - done.facts.started


def tape(folder: Path) -> str:
    """The standard case's tape, decoded when nothing else runs; and how long it is."""
    made, kept = planned(STANDARD, folder / "plan"), folder / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    with serving(STANDARD, folder) as server:
        sending = load.send(made, Target(base_url=server.url), load.SendSettings(), kept, asyncio.Event())
        facts = asyncio.run(sending)
    size = sum(path.stat().st_size for path in kept.glob("*.tape"))
    costs = []
    for _ in range(5):
        rows: Any = plan.index(made)
        decoder = Decoder(made, backend_of(STANDARD), rows, started=load.started(kept))
        before = time.process_time()
        done = [record for entry in load.read(kept) if (record := decoder.feed(entry)) is not None]
        costs.append((time.process_time() - before) / (len(done) * STANDARD.output_len) * 1e6)
    shutil.rmtree(kept)
    return (
        f"tape: {size / facts.workers[0].bytes_in:.2f} × the bytes received; decoded alone on a core "
        f"{statistics.median(costs):.2f} µs an event ({min(costs):.2f} … {max(costs):.2f})"
    )


def command(folder: Path) -> str:
    """What the whole command takes beyond the load: start, plan, warm-up left out, results, report."""
    cases = folder / "cases"
    shutil.rmtree(cases, ignore_errors=True)
    cases.mkdir()
    shutil.copy(Path(__file__).parents[1] / "bench_cases" / "test_serving.py", cases)
    case = Case()
    with serving(case, folder) as server:
        load = f"concurrency_prompts: [[{case.concurrency}, {case.requests}]]\nwarmup: 0\ntokenizer: ids\n"
        lengths = f"input_output: [[{case.input_len}, {case.output_len}]]\n"
        (cases / "config.yaml").write_text(f"base_url: {server.url}\n{lengths}{load}")
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "pytest", "-q", cases], cwd=cases, check=True, capture_output=True)
        took = time.perf_counter() - began
    result = json.loads(next((cases / "results").glob("bench_*.json")).read_text())
    return f"the whole command takes {took - result['duration']:.1f} s beyond the load of {result['duration']:.1f} s"


def stages(folder: Path) -> str:
    """Send and receive from two loads: one of first tokens only, one of streams."""
    with serving(SHORT_ANSWERS, folder) as server:
        short = measured(SHORT_ANSWERS, server, folder).seen
    with serving(STANDARD, folder) as server:
        long = measured(STANDARD, server, folder).seen
    assert short.cpu_us is not None
    assert long.cpu_us is not None
    send = short.cpu_us - 2 * long.cpu_us  # its event, and what follows it
    return (
        f"stages, µs of CPU: send {send:.1f} a request, receive {long.cpu_us:.2f} an event, "
        f"decode beside it {long.decode_us:.2f} an event, metrics {long.metrics_us:.1f} a request"
    )
