"""``python -m benchmarks.pacing``: 2,000 requests a second from one process, and how punctually they leave.

Exits with 1 if p99 ``send_lag`` is over 2 ms, or the rate is more than 0.5 % off the plan's own.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import truth
from benchmarks.truth import Case
from pytest_vllm_bench import load, plan, tokenizer
from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.measure.decode import Decoder
from pytest_vllm_bench.model import Cell, Record, Scenario, Target

LAG_MS, OFF = 2.0, 0.005


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pacing", description=__doc__)
    parser.add_argument("--rate", type=float, default=2000.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--burstiness", type=float, default=1.0, help="1 Poisson, inf constant")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth.build(folder)
        with truth.serving(Case(name="pacing", ttft_ms=5, itl_ms=1), folder) as server:
            lags, off = paced(server, folder, asked)
    p50, p99 = np.percentile(lags, [50, 99]) * 1e3
    print(f"{len(lags)} requests at {asked.rate:g}/s: send lag p50 {p50:.3f} ms, p99 {p99:.3f} ms; rate {off:+.3%}")
    return int(p99 > LAG_MS or abs(off) > OFF)


def paced(server: truth.Server, folder: Path, asked: argparse.Namespace) -> tuple[list[float], float]:
    """Send an open loop → each request's lag in seconds, and how far the rate is off the plan's own (a share)."""
    target = Target(base_url=server.url)
    scenario = Scenario(
        cell=Cell(place="pacing"),
        target=target,
        backend="vllm",
        input_len=64,
        output_len=2,
        request_rate=asked.rate,
        burstiness=asked.burstiness,
        num_prompts=math.ceil(asked.rate * asked.seconds),
    )
    words = tokenizer.load("simulator", "truth")
    context = plan.BuildContext(backend=BACKENDS["vllm"], tokenizer=words, models=("truth",), salt="pacing")
    made = plan.build(scenario, context, folder / "plan")
    asyncio.run(load.send(made, target, load.SendSettings(), folder / "tape", asyncio.Event()))
    started = load.started(folder / "tape")
    rows = plan.index(made)
    decoder = Decoder(made, BACKENDS["vllm"], rows, started=started)  # type: ignore[arg-type]
    records = [record for entry in load.read(folder / "tape") if (record := decoder.feed(entry)) is not None]
    sent = sorted(moment(record.sent) for record in records)
    due = rows["due"]
    span, asked_span = sent[-1] - sent[0], float(due[-1] - due[0])
    return [moment(r.sent) - moment(r.ready) for r in records], asked_span / span - 1


def moment(seconds: float | None) -> float:
    """A time that every request of a healthy run has."""
    assert seconds is not None, Record
    return seconds


if __name__ == "__main__":
    sys.exit(main())
