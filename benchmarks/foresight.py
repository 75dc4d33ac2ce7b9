"""A twin's own speed: calibration of 4 × 500 requests, and a curve of 12 loads, in seconds of one process."""

from __future__ import annotations

import time

import numpy as np

from pytest_vllm_bench.metric_table import parse_rule
from pytest_vllm_bench.model import Cell, Measurement, Record, Rule, Scenario, Target
from pytest_vllm_bench.simulator.engine import LatencyModel
from pytest_vllm_bench.twin import fit, whatif
from pytest_vllm_bench.twin.playing import happened, load_of

ENGINE = LatencyModel(step_s=0.012, decode_s=1e-4, context_s=1e-7, prefill_tokens_per_s=20_000, front_s=0.004,
                      max_num_seqs=64)  # fmt: skip
#: Mean lengths, concurrency.
LOADS = ((256, 128, 1), (256, 128, 16), (1024, 128, 16), (512, 128, 128))
RATES = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 24.0)


def measured(prompt: int, output: int, concurrency: int, requests: int = 500) -> Measurement:
    draw = np.random.RandomState(concurrency)
    lengths = [np.maximum(2, draw.uniform(0.7 * mean, 1.3 * mean, requests)).astype(int) for mean in (prompt, output)]
    rows = [Record(index=i, chain=i, due=0.0, prompt_tokens=int(p), output_tokens=int(o))
            for i, (p, o) in enumerate(zip(*lengths, strict=True))]  # fmt: skip
    load = load_of(rows, concurrency, ENGINE.block)
    place = f"io{prompt}x{output}-mc{concurrency}"
    asked = Scenario(cell=Cell(place=place), target=Target(), backend="vllm", concurrency=concurrency)
    return Measurement(scenario=asked, records=happened(load, load.timelines(ENGINE, seed=1), open_loop=False))


def table() -> str:
    """Seconds passed, and of the processor."""
    loads = [measured(*load) for load in LOADS]
    rule = parse_rule("p99_ttft_ms <= 500")
    assert isinstance(rule, Rule)
    clocks = time.perf_counter(), time.process_time()
    twin = fit.calibrate(loads, {}, "")
    lines = [_row("calibrate, 4 × 500 requests", 20, clocks)]
    clocks = time.perf_counter(), time.process_time()
    asked = whatif.Question(rules=(rule,))
    for rate in RATES:
        whatif.foretell(twin, asked, "request_rate", rate)
    lines.append(_row("whatif, 12 loads", 5, clocks))
    return "\n".join(["| what | goal, s | passed, s | processor, s |", "|---|---|---|---|", *lines])


def _row(what: str, goal: int, began: tuple[float, float]) -> str:
    passed, used = time.perf_counter() - began[0], time.process_time() - began[1]
    return f"| {what} | {goal} | {passed:.1f} | {used:.1f} |"
