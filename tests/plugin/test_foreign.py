"""Suites that have nothing to do with us run unchanged while we are installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = {
    "pytest.ini": "[pytest]\nfilterwarnings = error\naddopts = --strict-markers --strict-config\n",
    "conftest.py": """
import pytest

@pytest.fixture(params=["a", "b"])
def scenario(request):
    return request.param
""",
    "test_own.py": """
import pytest

def test_own_fixture(scenario):
    assert scenario in ("a", "b")

@pytest.mark.parametrize("scenario", [1, 2, 3])
def test_own_parameter(scenario):
    assert scenario in (1, 2, 3)
""",
    # A config.yaml in the rootdir that is somebody else's must not be read.
    "config.yaml": "this: [is, not, ours\n",
}


def run(folder: Path, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    for name, text in SUITE.items():
        (folder / name).write_text(text)
    env = {**os.environ, **environment}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", *args]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


def test_with_our_runtime_dependencies_only(tmp_path: Path) -> None:
    """pytest-asyncio comes along with us and would end such a run (exit 3) by a warning of its own."""
    done = run(
        tmp_path, "-p", "pytest_asyncio.plugin", "-p", "pytest_vllm_bench.plugin", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout
    assert "warning" not in done.stdout


def test_the_warning_would_end_the_run_without_us(tmp_path: Path) -> None:
    """The test above can fail: this is what it guards against."""
    done = run(tmp_path, "-p", "pytest_asyncio.plugin", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    if "asyncio_default_fixture_loop_scope" not in done.stdout + done.stderr:
        pytest.skip("this pytest-asyncio does not warn any more")
    assert done.returncode != 0


def test_under_xdist(tmp_path: Path) -> None:
    done = run(tmp_path, "-n", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def test_without_asyncio(tmp_path: Path) -> None:
    done = run(tmp_path, "-p", "no:asyncio")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def test_without_terminal_or_capture(tmp_path: Path) -> None:
    assert run(tmp_path, "-p", "no:terminal").returncode == 0
    assert run(tmp_path, "-s").returncode == 0
