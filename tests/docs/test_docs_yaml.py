"""Every YAML block can be read, by what would read it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from blocks import PAGES, ROOT, Block, blocks

from pytest_vllm_bench.config import Overrides, matrix, read
from pytest_vllm_bench.config.lines import parse
from pytest_vllm_bench.errors import ConfigError
from pytest_vllm_bench.plugin.items import shown
from pytest_vllm_bench.registry import builtin

EVERY = [block for pair in PAGES.items() for page in pair for block in blocks(page, "yaml")]
MINIMAL = {"base_url": "http://localhost:8000", "input_output": [[256, 64]], "concurrency_prompts": [[16, 160]]}
#: Datasets whose prompts bring their own lengths go without these.
VARIABLES = ("OPENAI_API_KEY", "API_KEY", "BENCH_TOKEN")


def of(*kinds: str) -> list[Block]:
    return [block for block in EVERY if (block.words[:1] or ("",))[0] in kinds]


@pytest.fixture
def keys() -> Iterator[None]:
    """The variables that the pages name, as a reader would have set them."""
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(VARIABLES, "secret-of-a-reader"))
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


def test_the_errors_that_are_shown_are_those_that_are_said(tmp_path: Path) -> None:
    wrong = "base_url: http://localhost:8000\nmodel: m\ninput_output: [[1024, 256]]\nconcurrency_prompts: [[16, 8]]\n"
    wrong += "sla: [p99_tttf_ms <= 500]\ntimeouts: {conect: 5s}\n"
    (tmp_path / "config.yaml").write_text(wrong, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read(tmp_path / "config.yaml", Overrides(), builtin())
    for lang in ("en", "zh"):
        *_, shown_there = blocks(ROOT / "docs" / lang / "configuration.md", "text")
        said = [re.sub(r"^.*config\.yaml", "config.yaml", shown(one, lang)) for one in caught.value.problems]
        assert shown_there.text.splitlines() == said
