"""Dataset options: every problem at once, in both languages, before a file is opened."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from every import every

from pytest_vllm_bench.model import DatasetChoice
from pytest_vllm_bench.plan import DATASETS, check
from pytest_vllm_bench.text import say


def problems(name: str, **options: Any) -> dict[str, str]:
    found = check(DatasetChoice(name=name, options=options))
    assert all(say(problem.message, "zh") for problem in found)
    return {problem.path: say(problem.message) for problem in found}


def test_good_options_have_no_problems() -> None:
    assert problems("random") == {}
    assert problems("random", range_ratio=0.5, prefix_len=64) == {}
    assert problems("sharegpt", path="s.json", max_turns=None) == {}
    assert problems("trace", path="t.csv", speed=2, start=10, end=20.5) == {}


@every(
    ("name", "options", "path", "words"),
    [
        ("radnom", {}, "name", "did you mean random"),
        ("xyz", {}, "name", "prefix_repetition"),
        ("random", {"range_rato": 0.1}, "range_rato", "did you mean range_ratio"),
        ("random", {"foo": 1}, "foo", "prefix_len"),
        ("random", {"range_ratio": "a lot"}, "range_ratio", "float"),
        ("random", {"range_ratio": 1.5}, "range_ratio", "at most"),
        ("random", {"prefix_len": -1}, "prefix_len", "at least 0"),
        ("random", {"prefix_len": 1.5}, "prefix_len", "int"),
        ("random", {"prefix_len": True}, "prefix_len", "int"),
        ("random", {"prefix_len": None}, "prefix_len", "int"),
        ("sharegpt", {}, "", "path"),
        ("sharegpt", {"path": 3}, "path", "str"),
        ("sharegpt", {"path": "a", "shuffle": "yes"}, "shuffle", "bool"),
        ("random_mm", {"format": "gif"}, "format", "jpeg | png"),
        ("conversation", {"turns": 5, "max_turns": 4}, "", "below"),
        ("trace", {"path": "a", "start": 5, "end": 5}, "", "before"),
    ],
)
def test_each_problem_says_what_and_where(name: str, options: dict[str, Any], path: str, words: str) -> None:
    found = problems(name, **options)
    assert list(found) == [path]
    assert words in found[path]


def test_all_problems_are_told_at_once() -> None:
    assert set(problems("sharegpt", patch="x", shuffle=1, max_prompt=0)) == {"patch", "shuffle", "max_prompt", ""}


@every("name", DATASETS)
def test_every_dataset_says_what_is_missing_and_nothing_else(name: str) -> None:
    found = problems(name)
    assert all("needs the option path" in told for told in found.values())


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_of_workloads_names_every_dataset_and_option(lang: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / lang / "workloads.md").read_text("utf-8")
    for name, dataset in DATASETS.items():
        assert f"`{name}`" in page
        assert all(f"`{option.name}`" in page for option in fields(dataset.options))
