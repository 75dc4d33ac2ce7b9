"""What others may import is a list that changes on purpose only, and costs nothing until it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pytest_vllm_bench

PUBLIC = [
    "Ask", "Backend", "Beside", "Dataset", "Delta", "Measurement", "Message", "Observed", "Prompt", "Record",
    "Registry", "Result", "Rule", "Runner", "Scenario", "Target", "Verdict", "Wanted", "__version__",
]  # fmt: skip


def test_the_public_names_are_these_and_are_there() -> None:
    assert pytest_vllm_bench.__all__ == PUBLIC
    assert [name for name in PUBLIC if not hasattr(pytest_vllm_bench, name)] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nobody'"):
        pytest_vllm_bench.Nobody  # noqa: B018


def test_types_are_shipped_and_nothing_is_loaded_before_it_is_asked_for() -> None:
    assert (Path(pytest_vllm_bench.__file__).parent / "py.typed").exists()
    code = "import sys, pytest_vllm_bench; print([m for m in sys.modules if m.startswith('pytest_vllm_bench.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
