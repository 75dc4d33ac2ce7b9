"""Whatever stands in a config, it is read or told: no other exception, and every problem can be said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_vllm_bench.config import Overrides, matrix, read
from pytest_vllm_bench.config.schema import File
from pytest_vllm_bench.errors import ConfigError
from pytest_vllm_bench.model import Problem
from pytest_vllm_bench.registry import builtin
from pytest_vllm_bench.text import say

REGISTRY = builtin()
WORDS = ["x", "auto", "on", "10x", "5%", "30s", "inf", "simulator", "http://h", "random", "sharegpt", "preset:x", "*"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 300),
    st.floats(allow_nan=False),
    st.sampled_from([*WORDS, "", "p99_ttft_ms <= 5"]),
    st.text(max_size=8),
)
INNER = ["name", "label", "match", "set", "over", "max", "min", "rate", "for", "total", "mode", "sla", "base_url", "zz"]
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER), inner, max_size=3),
    max_leaves=8,
)
GOOD = {"base_url": "http://h", "input_output": [[8, 8]], "concurrency_prompts": [[2, 20]]}
FILES = st.dictionaries(st.sampled_from([*File.model_fields, "zz"]), VALUES, max_size=4)


def problems_of(path: Path, value: Any) -> Sequence[Problem]:
    """What is wrong with it; if nothing is, it has scenarios."""
    path.write_text(json.dumps(value), encoding="utf-8")
    try:
        config = read(path, Overrides(), REGISTRY)
    except ConfigError as error:
        return error.problems
    assert len({s.id for s in matrix(config)}) == len(matrix(config)) > 0
    return ()


def told_or_read(path: Path, value: Any) -> None:
    for problem in problems_of(path, value):
        assert say(problem.message, "en")
        assert say(problem.message, "zh")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any") / "config.yaml"


@settings(max_examples=150, deadline=None)
@given(FILES)
def test_anything_under_known_keys(path: Path, value: dict[str, Any]) -> None:
    told_or_read(path, {**GOOD, **value})


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_anything_at_all(path: Path, value: Any) -> None:
    told_or_read(path, value)
