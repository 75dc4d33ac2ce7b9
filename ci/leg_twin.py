"""Real servers (llama.cpp, vLLM's CPU build) → a twin of each, held against loads and against what the server counted.

Whoever shares the machine makes steps that are computed faster or slower from load to load: a twin is held against them
at the pace of each; to its goals where the steps of a vLLM last as long as they are told to, behind its own scheduler
and all before it.

python ci/leg_twin.py [FOLDER [llama.cpp] [paced] [vllm]]: where the results stay; ``vllm``: whose steps are computed
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from bench import bench
from leg import ROOT, Findings, Unavailable, main
from models import llama
from servers import free_port, serving
from vllm_server import installed, vllm

from pytest_vllm_bench import twin as twins
from pytest_vllm_bench.judge import prediction
from pytest_vllm_bench.model import Measurement
from pytest_vllm_bench.simulator.engine import Engine, Job, LatencyModel
from pytest_vllm_bench.store import measurement
from pytest_vllm_bench.twin import Twin, fit, playing

VARIED = {"name": "random", "range_ratio": 0.5}
#: Learnt from llama.cpp: concurrencies and requests at two lengths; it has four slots, so that some of eight wait.
SLOTS: dict[str, Any] = {"input_output": [[96, 48], [384, 24]], "concurrency_prompts": [[1, 20], [3, 45], [8, 80]]}
#: Kept from it: another concurrency, other lengths, lengths that vary so that some decode while others are prefilled
#: or wait, and an open loop.
SLOTS_KEPT: tuple[dict[str, Any], ...] = (
    {"input_output": [[96, 48]], "concurrency_prompts": [[2, 40]]},
    {"input_output": [[192, 48]], "concurrency_prompts": [[4, 60], [6, 80]], "dataset": VARIED},
    {"input_output": [[192, 32]], "concurrency_prompts": [[None, 40]], "request_rate": 1},
)
#: Learnt from vLLM, and kept from it: another length, another concurrency, and an open loop.
LEARNT: dict[str, Any] = {"input_output": [[128, 32], [512, 24]], "concurrency_prompts": [[1, 12], [4, 40], [16, 128]]}
KEPT: tuple[dict[str, Any], ...] = (
    {"concurrency_prompts": [[3, 36], [8, 64]], "input_output": [[256, 28]]},
    {"concurrency_prompts": [[None, 60]], "input_output": [[256, 28]], "request_rate": 3},
)
#: Its worker lies in this folder.
PACED = ("--worker-cls", "paced_worker.PacedWorker")
SHOWN = ("output_throughput", "median_tpot_ms", "p99_tpot_ms", "median_ttft_ms", "p90_ttft_ms")
#: Where steps are computed, what is told is at least so good, and what is not is at the pace of the load.
LIKE = {"output_throughput": 0.25, "median_tpot_ms": 0.25, "median_ttft_ms": 0.40}
#: The same where they last as long as they are told to.
GOALS = {"output_throughput": 0.05, "median_tpot_ms": 0.05, "median_ttft_ms": 0.10}
#: Server and client share the machine.
SHARED = {"lag_ms": 100, "steal": 0.5}
#: So that four prompts fit and their answers do not; one block is vLLM's own.
BLOCKS, BLOCK, PROMPT, ANSWER, REQUESTS, TOGETHER = 20, 128, 512, 128, 64, 16
SMALL = ("--max-model-len", "1024", "--num-gpu-blocks-override", str(BLOCKS), "--max-num-seqs", str(TOGETHER))


def leg(findings: Findings) -> None:
    which = sys.argv[2:] or ["llama.cpp", "paced"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch)
        if "llama.cpp" in which:
            slots(findings, folder / "llama.cpp", Path(scratch) / "model.gguf")
        for name in ("paced", "vllm"):
            if name in which:
                vllm_cpu(findings, folder / name, paced=name == "paced")


def slots(findings: Findings, folder: Path, model: Path) -> None:
    common: dict[str, Any] = {"model": "tiny-random", "tokenizer": "simulator", "backend": "llama.cpp"}
    common |= {"sla": ["failed == 0"], "validity": SHARED}
    with llama_cpp(model) as url:
        twin = learnt(findings, {**common, **SLOTS}, url, folder)
        findings.check(f"slots: {twin.engine.max_num_seqs} of 4", holds=twin.engine.max_num_seqs == 4)
        for one in unseen(common, SLOTS_KEPT, url, folder):
            alike(findings, twin, one, LIKE)


@contextmanager
def llama_cpp(model: Path) -> Iterator[str]:
    """The tests' own server, with a model whose steps take milliseconds; the block gets its URL."""
    for needed in ("xllamacpp", "gguf"):
        if importlib.util.find_spec(needed) is None:
            raise Unavailable(f"the package {needed} is not installed (it is in the extra: test)")
    port = free_port()
    script = ROOT / "tests" / "servers" / "serve_llama.py"
    command = [sys.executable, str(script), str(model), "counts", "slow", "--port", str(port)]
    with serving(command, f"http://127.0.0.1:{port}/health"):
        yield f"http://127.0.0.1:{port}"


def vllm_cpu(findings: Findings, folder: Path, *, paced: bool) -> None:
    python, model = installed(), llama()
    common = {"model": "tiny", "tokenizer": str(model), "sla": ["failed == 0"], "validity": SHARED}
    with vllm(python, model, "--max-model-len", "4096", *(PACED if paced else ())) as url:
        twin = learnt(findings, {**common, **LEARNT}, url, folder)
        for one in unseen(common, KEPT, url, folder):
            alike(findings, twin, one, GOALS if paced else LIKE)
        shared = {"dataset": {"name": "random", "prefix_len": 384}, "input_output": [[128, 32]]}
        (one,) = measured({**common, **shared, "concurrency_prompts": [[8, 96]]}, url, folder / "prefix")
        prefixes(findings, one)
    with vllm(python, model, *SMALL) as url:
        full = {"input_output": [[PROMPT, ANSWER]], "concurrency_prompts": [[TOGETHER, REQUESTS]]}
        (one,) = measured({**common, **full}, url, folder / "full")
        preempted(findings, one)


def learnt(findings: Findings, config: Mapping[str, Any], url: str, folder: Path) -> Twin:
    twin = fit.calibrate(measured(config, url, folder / "learnt"), {}, "")
    twins.write(twin, folder / "twin.json")
    told(findings, twin)
    return twin


def unseen(
    common: Mapping[str, Any], kept: Sequence[Mapping[str, Any]], url: str, folder: Path
) -> Iterator[Measurement]:
    for number, config in enumerate(kept):
        yield from measured({**common, **config}, url, folder / f"kept-{number}")


def measured(config: Mapping[str, Any], url: str, folder: Path) -> list[Measurement]:
    bench(config, url, kept=folder)
    return [measurement.load(path) for path in sorted(folder.glob(f"bench_*{measurement.SUFFIX}"))]


def told(findings: Findings, twin: Twin) -> None:
    """Its parameters, and its error on each load that was kept from it; none is asserted, for it says so itself."""
    print(f"        {dict(twin.parameters)}, jitter {twin.engine.jitter:.3f}", flush=True)
    for one in twin.lessons:
        print(f"        {one.scenario}: {said(one.off)}", flush=True)
    findings.check("steps, prefill and the way in take time", holds=min(twin.parameters.values()) > 0)


def alike(findings: Findings, twin: Twin, one: Measurement, most: Mapping[str, float]) -> None:
    """What the twin tells of a load that it has not seen, and how like it is at the pace that the machine had then."""
    example = fit.read(one, twin.engine)
    speed, steps = fit.parameters(twin.engine), example.steps
    pace = float(np.median(steps.seconds / (steps.causes @ speed)))
    off = fit.errors(example, twin.engine)
    like = fit.errors(example, fit.with_parameters(twin.engine, speed * pace))
    sure = [name for name in most if (prediction.error(name, twin.errors) or 1) <= prediction.MOST]
    words = f"{one.scenario.id}: told {sure}; off by {said(off)}; at {pace:.2f} of the time {said(like)}"
    told = all(off[name] <= LIKE[name] for name in sure)
    findings.check(words, holds=told and all(like[name] <= share for name, share in most.items()))


def said(off: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {off[name]:.1%}" for name in SHOWN if name in off)


def prefixes(findings: Findings, one: Measurement) -> None:
    """As many prompt tokens are found in the engine's prefix cache as the server found in its own."""
    lines = playing.again(one, BLOCK).timelines(LatencyModel(block=BLOCK))
    found, true = sum(line.cached for line in lines), one.observed.counters["prefix_cache_hits"]
    findings.check(f"prefix cache: {found} tokens found, the server {true:.0f}", holds=abs(found - true) <= 0.05 * true)


def preempted(findings: Findings, one: Measurement) -> None:
    engine = Engine(LatencyModel(kv_tokens=(BLOCKS - 1) * BLOCK, block=BLOCK, max_num_seqs=TOGETHER))
    left = [Job(prompt_len=PROMPT, output_len=ANSWER) for _ in range(REQUESTS)]
    for _ in range(TOGETHER):
        engine.submit(left.pop())
    while engine.busy:
        for job in engine.step().made:
            if job.done and left:
                engine.submit(left.pop())
    true, made = one.observed.counters["preemptions"], engine.preemptions
    findings.check(f"preemptions: {made}, the server {true:.0f}", holds=true / 2 <= made <= 2 * true)


if __name__ == "__main__":
    main("twins of llama.cpp and of vLLM (CPU build)", leg)
