"""A user's folder: a config, a test of five lines, and pytest run on it as users run it.

In this process, where what is asked does not depend on one of its own: a process costs more than all that it measures.
"""

from __future__ import annotations

import gc
import importlib
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from quiet import NOT_ASKED

import pytest_vllm_bench

TEST = """
import pytest

@pytest.mark.asyncio
async def test_serving(scenario, vllm_bench):
    result = await vllm_bench(scenario)
    assert result.completed == scenario.num_prompts
"""
CONFIG: dict[str, Any] = {
    "base_url": "simulator",
    "input_output": [[64, 8], [128, 8]],
    "concurrency_prompts": [[1, 4], [4, 12]],
    "warmup": 0,
    "validity": NOT_ASKED,
}


@pytest.fixture(scope="session")
def everything() -> None:
    """All modules, ours and those that ours import late: a run in this process throws away what it was the first to
    import, and numpy cannot be imported twice."""
    for module in pkgutil.walk_packages(pytest_vllm_bench.__path__, "pytest_vllm_bench."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for late in ("pandas", "tokenizers", "pyarrow.parquet", "openpyxl", "PIL.Image", "sqlalchemy.dialects.sqlite"):
        importlib.import_module(late)
    gc.freeze()


@pytest.fixture
def bench(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, everything: None
) -> Callable[..., pytest.RunResult]:
    """``bench("-k", "io64", sla=[...])``: write config.yaml (keys over a small default, or ``text``), run pytest.

    ``alone``: in a process of its own, as everything that xdist divides is.
    """
    for name in ("PYTEST_VLLM_URL", "PYTEST_VLLM_CONFIG", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    ini = "[pytest]\nfilterwarnings = error\naddopts = -p no:hypothesispytest -p no:anyio\n"  # others' start
    pytester.makefile(".ini", pytest=ini)

    def run(
        *args: str, alone: bool = False, text: str | None = None, test: str = TEST, **keys: Any
    ) -> pytest.RunResult:
        config = {k: v for k, v in {**CONFIG, **keys}.items() if v is not None}
        folder = pytester.path / "cases"
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(config) if text is None else text, encoding="utf-8")
        (folder / "test_cases.py").write_text(test, encoding="utf-8")
        if alone or "-n" in args:
            return pytester.runpytest_subprocess("cases", *args, timeout=180)
        return pytester.runpytest_inprocess("cases", *args)

    return run


@pytest.fixture
def begin(pytester: pytest.Pytester) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """``begin("--vllm-url=…")``: pytest begun on what ``bench`` wrote, in a process group that can be interrupted."""
    command = [sys.executable, "-m", "pytest", "cases", "-p", "no:cacheprovider"]
    begun: list[subprocess.Popen[str]] = []

    def start(*args: str) -> subprocess.Popen[str]:
        # What a shell starts in the background ignores Ctrl-C, and so does all that it starts.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        made = subprocess.Popen(
            [*command, *args], cwd=pytester.path, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        signal.signal(signal.SIGINT, before)
        begun.append(made)
        return made

    yield start
    for process in begun:
        process.kill()
        process.communicate()
