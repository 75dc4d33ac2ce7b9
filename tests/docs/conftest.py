"""The folder in which the commands of the pages are run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from blocks import ROOT
from sandbox import run

from pytest_vllm_bench import simulator

#: Small and lenient: what is tested is that a command works, not how fast this machine is.
CONFIG = """\
base_url: simulator
input_output: [[256, 8], [1024, 8]]
concurrency_prompts: [[1, 4], [16, 32]]
warmup: 0
goodput: {ttft: 60000, e2el: 600000}
judge: {mode: exact}
validity: {lag_ms: 60000, rate: 0, concurrency: 0, cpu: 1, steal: 1}
"""
QUICK = simulator.LatencyModel(step_s=0.001, jitter=0.0, prefill_tokens_per_s=1e6)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Stands where the pages say http://localhost:8000."""
    with simulator.start(simulator.SimulatorOptions(latency=QUICK)) as running:
        yield running.base_url


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A project with bench_cases/ and the results of one run."""
    folder = tmp_path_factory.mktemp("reader") / "project"
    (folder / "bench_cases").mkdir(parents=True)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:hypothesispytest\n")  # which costs more than all else
    (folder / "bench_cases" / "config.yaml").write_text(CONFIG)
    shutil.copy(ROOT / "bench_cases" / "test_serving.py", folder / "bench_cases")
    for name in ("examples", "data"):
        if (ROOT / "bench_cases" / name).is_dir():
            shutil.copytree(ROOT / "bench_cases" / name, folder / "bench_cases" / name)
    run(["pytest", "bench_cases", f"--vllm-url={server}", "-q"], folder)
    return folder


@pytest.fixture(scope="module")
def project(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it for one test file."""
    return Path(shutil.copytree(finished, tmp_path_factory.mktemp("copy") / "project"))
