"""Reading a config written into the test."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_made import SHORT, Read, Wrong

from pytest_vllm_bench.config import Config, Overrides, read
from pytest_vllm_bench.errors import ConfigError
from pytest_vllm_bench.model import Problem
from pytest_vllm_bench.registry import builtin
from pytest_vllm_bench.text import say


@pytest.fixture
def config(tmp_path: Path) -> Read:
    """``text`` → Config; with ``short`` after the three lines that every config needs."""

    def reading(text: str, given: Overrides = Overrides(), *, short: bool = True) -> Config:
        path = tmp_path / "config.yaml"
        path.write_text((SHORT if short else "") + text, encoding="utf-8")
        return read(path, given, builtin())

    return reading


@pytest.fixture
def wrong(config: Read) -> Wrong:
    """``text`` → its problems; every one of them can be put into words in both languages."""

    def reading(text: str, given: Overrides = Overrides(), *, short: bool = True) -> list[Problem]:
        with pytest.raises(ConfigError) as caught:
            config(text, given, short=short)
        for problem in caught.value.problems:
            assert say(problem.message, "en")
            assert say(problem.message, "zh")
        return list(caught.value.problems)

    return reading
