"""The examples: each a config without problems that says what it answers, and each runs against the simulator."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from every import every
from quiet import NOT_ASKED

from pytest_vllm_bench import config, registry

CASES = Path(__file__).parents[2] / "bench_cases"
EXAMPLES = sorted((CASES / "examples").glob("*.yaml"))
#: For a server of the user's: one on real lengths, one beside real cards.
REMOTE = {"deepseek", "energy"}
RUN = [path for path in EXAMPLES if path.stem not in REMOTE]

TEST = """
import pytest

@pytest.mark.vllm_bench(config="examples/{name}.yaml")
@pytest.mark.asyncio
async def test_{name}(scenario, vllm_bench):
    result = await vllm_bench(scenario)
    assert result.complete
    assert result.completed > 0
"""


@every("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_a_config_without_problems(path: Path) -> None:
    read = config.read(path, config.Overrides(), registry.builtin())
    assert config.matrix(read)


def test_the_users_file_gives_every_pair_of_lengths_and_loads() -> None:
    read = config.read(CASES / "examples" / "deepseek.yaml", config.Overrides(), registry.builtin())
    ids = [scenario.id for scenario in config.matrix(read)]
    assert len(ids) == 12
    assert "io1024x1024-mc16-np160" in ids


@every("path", RUN, ids=lambda path: path.stem)
def test_every_example_says_what_it_answers_in_both_languages(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.startswith("# Question: ")
    assert "\n# 问题：" in text
    assert "base_url: simulator" in text or "command: simulator" in text


@pytest.mark.heavy
@pytest.mark.slow
def test_every_example_runs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one session and shortened; rules and thresholds are left to the machines that the examples are for."""
    for name in ("PYTEST_VLLM_URL", "PYTEST_VLLM_CONFIG", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(CASES / "data", pytester.path / "data")
    (pytester.path / "examples").mkdir()
    for path in RUN:
        written = yaml.safe_load(path.read_text("utf-8"))
        written.pop("goodput", None)
        written.pop("frontier", None)
        written["sla"] = ["failed == 0"]
        written["warmup"] = 0
        slots, n = written["concurrency_prompts"][0]
        written["concurrency_prompts"] = [[slots, n and min(n, 12)]]
        if "request_rate" in written:
            written["request_rate"] = written["request_rate"][-1]
        if "profile" in written:
            written["profile"]["scenarios"] = "*"
        if "end" in written.get("dataset", {}):
            written["dataset"]["end"] = 2
        written["validity"] = NOT_ASKED
        (pytester.path / "examples" / path.name).write_text(yaml.safe_dump(written), "utf-8")
    (pytester.path / "test_examples.py").write_text("".join(TEST.format(name=path.stem) for path in RUN))
    light = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    ran = pytester.runpytest_subprocess("-q", "--tb=short", *light, timeout=300)
    assert ran.ret == 0, "\n".join(ran.outlines[-60:])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "module"), [("vision", "PIL"), ("speech", "soundfile")])
def test_an_example_that_needs_a_package_more_says_which_line_brings_it(name: str, module: str, tmp_path: Path) -> None:
    """Before any load; the plain installation has neither."""
    (tmp_path / f"{module}.py").write_text("raise ImportError")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    words = [f"--vllm-config={CASES / 'examples' / name}.yaml", f"--vllm-results={tmp_path}", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", str(CASES), *words]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "Run:  pip install 'pytest-vllm-bench[media]'" in done.stdout
    assert not list(tmp_path.glob("bench_*.json"))


def test_one_extra_brings_all_that_something_here_asks_for() -> None:
    package = CASES.parent / "pytest_vllm_bench"
    asked = {
        name for path in package.rglob("*.py") for name in re.findall(r'_missing", extra="(\w+)"', path.read_text())
    }
    extras = tomllib.loads((CASES.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    brought = set(everything.partition("[")[2].rstrip("]").split(","))
    apart = {"all", "docs", "test", "ray"}  # Ray is larger than all the others together, and of use where a cluster is
    assert asked <= brought == extras.keys() - apart
