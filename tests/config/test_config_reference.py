"""The reference page and the JSON schema are what the code would make today."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from every import every

from pytest_vllm_bench.config import SCHEMA_FILE
from pytest_vllm_bench.config.lines import parse
from pytest_vllm_bench.config.schema import File

ROOT = Path(__file__).parent.parent.parent
CONFIGS = sorted(ROOT.glob("bench_cases/**/*.yaml"))


def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def schema() -> Any:
    return json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_is_up_to_date(lang: str) -> None:
    for name in reference().PAGES:
        text = (ROOT / "docs" / lang / name).read_text(encoding="utf-8")
        assert reference().page(text, lang) == text, "run: python docs/reference.py"


def test_the_schema_is_up_to_date() -> None:
    assert reference().schema() == SCHEMA_FILE.read_text(encoding="utf-8"), "run: python docs/reference.py"


def test_every_key_stands_in_one_section() -> None:
    keys = [key for section in reference().SECTIONS.values() for key in section]
    assert sorted(keys) == sorted(File.model_fields)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@every("path", CONFIGS, ids=[str(p.relative_to(ROOT)) for p in CONFIGS])
def test_editors_accept_what_we_accept(path: Path) -> None:
    jsonschema.validate(parse(path.read_text(encoding="utf-8")).value, schema())


ACCEPTED = """\
x-rules: &rules [p99_ttft_ms <= 500]
model: [a, b]
model_choice: [1, 2]
base_url: http://h
tls: {verify: false}
input_output: [[256, 256], [null, 8]]
concurrency_prompts: [[16, 10x], [null, 500], [4, null]]
request_rate: [2, inf, .inf]
stages: [{rate: 2, for: 60s}]
duration: 5m
warmup: 2x
ignore_eos: auto
workers: auto
goodput: {ttft: 500}
sla: p99_ttft_ms <= 500
dataset: [random, {name: random, label: x, prefix_len: 3}]
targets: {a: http://a, b: {base_url: http://b}}
repeats: 3
search: {over: concurrency, max: 512, time: 20m}
baseline: {tolerance: {mean_ttft_ms: 5%, output_throughput: -3%}, noise: {mean_ttft_ms: 5%}}
validity: {lag_ms: auto, length: 1%}
percentiles: [50, 99.9]
overrides: [{match: "*", set: {seed: 1}, skip: why}]
"""
REFUSED = [
    "modle: x", "timeouts: {conect: 1}", "input_output: [256, 256]", "concurrency_prompts: [[16, lots]]", "seed: x",
    "stages: [{rate: 2, until: 60s}]", "judge: {mode: maybe}", "percentiles: [0.99]", "sla: 3", "repeats: 0",
]  # fmt: skip


def test_editors_accept_every_way_of_writing() -> None:
    value = parse(ACCEPTED).value
    value["request_rate"] = [2, "inf"]
    jsonschema.validate(value, schema())


@every("text", REFUSED)
def test_editors_see_the_usual_slips(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(parse(text).value, schema())
