"""Every YAML block can be read, by what would read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from blocks import PAGES, Block, blocks

from pytest_vllm_bench.config import Overrides, matrix, read
from pytest_vllm_bench.config.lines import parse
from pytest_vllm_bench.registry import builtin

EVERY = [block for pair in PAGES.items() for page in pair for block in blocks(page, "yaml")]
MINIMAL = {"base_url": "http://localhost:8000", "input_output": [[256, 64]], "concurrency_prompts": [[16, 160]]}
#: Datasets whose prompts bring their own lengths go without these.
VARIABLES = ("OPENAI_API_KEY", "API_KEY")


def of(*kinds: str) -> list[Block]:
    return [block for block in EVERY if (block.words[:1] or ("",))[0] in kinds]


@pytest.fixture
def keys() -> Iterator[None]:
    """The variables that the pages name, as a reader would have set them."""
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(VARIABLES, "secret"))
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("block", of("config"), ids=lambda b: b.id)
def test_a_config_is_one(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(block.text, encoding="utf-8")
    assert matrix(read(path, Overrides(), builtin()))


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("block", of("part"), ids=lambda b: b.id)
def test_a_part_fits_into_a_config(block: Block, tmp_path: Path) -> None:
    part = parse(block.text)
    assert part.problems == []
    rest = {key: value for key, value in MINIMAL.items() if key not in part.value}
    if "targets" in part.value:
        del rest["base_url"]
    path = tmp_path / "config.yaml"
    path.write_text(block.text + yaml.safe_dump(rest), encoding="utf-8")
    assert matrix(read(path, Overrides(), builtin()))


@pytest.mark.parametrize("block", of(""), ids=lambda b: b.id)
def test_other_yaml_is_yaml(block: Block) -> None:
    yaml.safe_load(block.text)


def test_no_other_kind() -> None:
    assert len(of("config", "part", "")) == len(EVERY)
