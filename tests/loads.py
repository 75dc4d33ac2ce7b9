"""Loads of an engine that is known, measured in virtual time by a perfect client."""

from __future__ import annotations

import math
import random

from pytest_vllm_bench.model import Cell, Measurement, Record, Scenario, Target
from pytest_vllm_bench.simulator.engine import LatencyModel
from pytest_vllm_bench.twin.playing import happened, load_of

ENGINE = LatencyModel(step_s=0.008, decode_s=0.0002, context_s=2e-7, prefill_tokens_per_s=20_000, front_s=0.004,
                      jitter=0.05, max_num_seqs=16)  # fmt: skip


def measured(
    lengths: tuple[int, int],
    concurrency: int | None = None,
    rate: float | None = None,
    *,
    n: int = 120,
    engine: LatencyModel = ENGINE,
    seed: int = 0,
    vary: float = 0.3,
) -> Measurement:
    """Lengths vary by 30 % or so around the ones given; without a concurrency requests come at a rate."""
    draw, due, records = random.Random(seed), 0.0, []
    for i in range(n):
        due += draw.expovariate(rate) if rate else 0.0
        prompt, output = (max(2, round(length * draw.uniform(1 - vary, 1 + vary))) for length in lengths)
        records.append(Record(index=i, chain=i, due=due, prompt_tokens=prompt, output_tokens=output))
    load = load_of(records, concurrency, engine.block)
    place = f"io{lengths[0]}x{lengths[1]}-" + (f"rr{rate:g}" if rate else f"mc{concurrency}")
    asked = Scenario(
        cell=Cell(place=place, bound=f"np{n}"),
        target=Target(base_url="http://server:8000"),
        backend="vllm",
        concurrency=concurrency,
        request_rate=rate or math.inf,
        num_prompts=n,
    )
    made = happened(load, load.timelines(engine, seed=seed + 7), rate is not None)
    return Measurement(scenario=asked, records=made, date=f"2026-11-0{seed % 9 + 1}T00:00:00Z")


def usual(engine: LatencyModel = ENGINE) -> list[Measurement]:
    """Four loads that tell all there is to know."""
    loads = [((256, 48), 1, 30), ((256, 48), 8, 120), ((1024, 32), 8, 120), ((512, 64), 32, 150)]
    return [measured(lengths, c, n=n, engine=engine, seed=i) for i, (lengths, c, n) in enumerate(loads)]
