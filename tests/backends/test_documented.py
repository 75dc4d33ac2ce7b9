"""The page on backends: its table is what the code would make today, and its example runs."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from quiet import NOT_ASKED

from pytest_vllm_bench.backends import BACKENDS

DOCS = Path(__file__).parent.parent.parent / "docs"
TEST = """
import pytest

@pytest.mark.asyncio
async def test_serving(scenario, vllm_bench):
    result = await vllm_bench(scenario)
    assert result.completed == scenario.num_prompts
    assert result.total_output_tokens > 0
"""


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("backends_table", DOCS / "backends.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_table_is_up_to_date(generator: ModuleType, lang: str) -> None:
    text = (DOCS / lang / "backends.md").read_text(encoding="utf-8")
    assert generator.page(text, lang) == text, "run: python docs/backends.py"


def test_the_column_on_forcing_says_what_the_bodies_do(generator: ModuleType) -> None:
    for backend in BACKENDS.values():
        assert bool(generator.forcing(backend)) == backend.forces_length


@pytest.mark.slow
def test_the_example_of_a_backend_of_ones_own(pytester: pytest.Pytester) -> None:
    text = (DOCS / "en" / "backends.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python test conftest\n(.*?)```", text, re.DOTALL)
    config = {
        "base_url": "simulator", "backend": "mine", "input_output": [[32, 8]], "concurrency_prompts": [[2, 6]],
        "warmup": 0, "validity": NOT_ASKED,
    }  # fmt: skip
    pytester.makeconftest(code)
    pytester.path.joinpath("config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    pytester.makepyfile(test_mine=TEST)
    result = pytester.runpytest_subprocess("--vllm-lang=en", "-p", "no:hypothesispytest", timeout=120)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*io32x8-mc2-np6*"])
