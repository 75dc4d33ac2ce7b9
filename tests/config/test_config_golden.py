"""What a person reads who got a dozen things wrong at once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pytest_vllm_bench.config import Overrides, read
from pytest_vllm_bench.errors import ConfigError
from pytest_vllm_bench.registry import builtin
from pytest_vllm_bench.text import say

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_dozen_problems_read_well(tmp_path: Path, lang: str) -> None:
    path = tmp_path / "config.yaml"
    shutil.copy(GOLDEN / "config_wrong.yaml", path)
    with pytest.raises(ConfigError) as caught:
        read(path, Overrides(), builtin())
    assert all(problem.file == str(path) for problem in caught.value.problems)
    text = "".join(f"config.yaml:{p.line}: {p.path}: {say(p.message, lang)}\n" for p in caught.value.problems)
    golden = GOLDEN / f"config_problems.{lang}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
