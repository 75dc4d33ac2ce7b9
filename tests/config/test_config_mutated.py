"""Configs that were right, with a few places changed: read or told, and never anything else."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from long import times

from pytest_vllm_bench.config import Overrides, matrix, read
from pytest_vllm_bench.config.schema import File
from pytest_vllm_bench.errors import ConfigError
from pytest_vllm_bench.registry import builtin
from pytest_vllm_bench.text import say

REGISTRY = builtin()
EXAMPLES = times(120, 10_000)
FULL: dict[str, Any] = {
    "base_url": "http://me:hunter2@h:1/v1",
    "model": ["a", "b"], "model_choice": [1, 2.5], "tokenizer": "ids", "backend": "vllm-chat", "endpoint": "/v1/x",
    "headers": {"X-Team": "serving"}, "input_output": [[256, 32], [None, 8]],
    "concurrency_prompts": [[2, "10x"], [4, 40]],
    "request_rate": [2, "inf"], "dataset": [{"name": "random", "range_ratio": 0.1, "label": "r"}, "sonnet"],
    "burstiness": 0.5, "ramp_up": {"over": "3s", "shape": "linear"}, "duration": "60s", "warmup": "2x", "seed": 3,
    "sampling": {"temperature": 0, "top_p": 0.9}, "extra_body": {"a": [{"b": 1.5}, None]},
    "timeouts": {"connect": 1, "total": "5m"}, "workers": "auto", "worker_cpus": [0],
    "tls": {"verify": True, "ca": "x.pem"},
    "goodput": {"ttft": 500, "tpot": 50}, "sla": ["p99_ttft_ms <= 400", "goodput_ratio >= 0.9", "failed <= 3"],
    "judge": {"mode": "exact", "confidence": 0.9}, "validity": {"rate": 0.5, "length": "5%", "lag_ms": "auto"},
    "repeats": {"min": 5, "max": 6, "until": "5%"}, "percentiles": [50, 99.9], "tape": "keep",
    "search": {"over": "concurrency", "max": 64, "at_least": 4,
               "tiers": {"t": {"at_least": 2, "sla": "p90_ttft_ms <= 9"}}},
    "baseline": {"tolerance": {"mean_ttft_ms": "5%", "output_throughput": -3}, "noise": {"mean_ttft_ms": "5%"}},
    "targets": {"a": "http://h", "b": {"base_url": "https://u:p@h2", "api_key_env": "HOME", "headers": {"A": "b"}}},
    "stages": [{"rate": 2, "for": "5s"}, {"concurrency": 3, "for": 4}], "token_detail": "on",
    "overrides": [{"match": "*mc2*", "set": {"seed": 4, "sla": ["failed == 0"]}}, {"match": "*", "xfail": "slow"}],
}  # fmt: skip
#: Few enough keys to be right together.
SMALL = {
    k: FULL[k] for k in ("base_url", "input_output", "concurrency_prompts", "goodput", "sla", "warmup", "overrides")
}
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 70_000), st.floats(), st.text(max_size=6),
    st.integers(10**6, 10**30), st.sampled_from([10**4000, -(10**400), 1e308, 5e-324, float("inf"), float("nan")]),
    st.sampled_from([
        "", " ", "10x", "1e9x", "9" * 400 + "x", "5%", "-5%", "9" * 400 + "%", "30s", "9" * 400 + "s", "inf",
        "auto", "on",
        "simulator", "unix:///x", "http://[", "http://u:p@[::1", "~nobody/x", "/dev/zero", "\0", "\ud800", "a\nb",
        "é" * 300,
        "failed >= 0", "p99_ttft_ms <= 1e400", "p99_ttft_ms <= " + "9" * 5000, "server.x != 0",
        "preset:deepseek-r1", "*", "[a",
    ]),
    st.sampled_from([{}, [], [[]], {"": 1}, {"a": {"b": [1]}}, [[1, 2], [3, 4]], {"name": "random"}, [None]]),
)  # fmt: skip


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [p for key in keys for p in [(*above, key), *places(value[key], (*above, key))]]


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A config with a few of its places replaced, removed, doubled, renamed or wrapped."""
    base = (
        FULL
        if draw(st.booleans())
        else {**SMALL, **draw(st.dictionaries(st.sampled_from([*File.model_fields]), ODD, max_size=2))}
    )
    value: Any = copy.deepcopy(base)  # what is drawn is drawn again
    for _ in range(draw(st.integers(1, 4))):
        if not (all_places := places(value)):
            break
        *way, last = draw(st.sampled_from(all_places))
        inner = value
        for key in way:
            inner = inner[key]
        match draw(st.integers(0, 4)):
            case 0 | 1:
                inner[last] = copy.deepcopy(draw(ODD))
            case 2:
                del inner[last]
            case 3:
                inner[last] = [inner[last], copy.deepcopy(inner[last])]
            case _ if isinstance(inner, dict):
                inner[draw(st.text(max_size=5) | st.sampled_from([*File.model_fields, "name", "set"]))] = inner.pop(
                    last
                )
            case _:
                inner[last] = {"a": inner[last]}
    return value  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutated") / "config.yaml"


def read_or_told(path: Path, text: bytes, *, secret: bool = True) -> None:
    path.write_bytes(text)
    try:
        config = read(path, Overrides(), REGISTRY)
    except ConfigError as error:
        told = [say(p.message, lang) for p in error.problems for lang in ("en", "zh")]
    else:
        told = [repr((config, scenarios := matrix(config)))]
        assert len({s.id for s in scenarios}) == len(scenarios) > 0
    assert told
    assert all(told)
    assert not secret or "hunter2" not in "".join(told)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutated())
def test_a_config_with_changed_places(path: Path, value: dict[str, Any]) -> None:
    read_or_told(path, yaml.dump(value, allow_unicode=True).encode("utf-8", "surrogatepass"))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_the_text_of_a_config_with_changed_letters(path: Path, data: st.DataObject) -> None:
    text = bytearray(
        yaml.dump(FULL if data.draw(st.booleans()) else SMALL, default_flow_style=data.draw(st.booleans())), "utf-8"
    )
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(text) - 1))
        odd = [b"\0", b"\t", b"&a ", b"*a", b"!!int ", b"!!binary ", b"<<: ", b"\xff", b"- ", b": ", b"[", b"}",
               b"'", b'"', b"\n", b"| ", b"#", b"9" * 50]  # fmt: skip
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.sampled_from(odd) | st.binary(max_size=2))
    read_or_told(path, bytes(text), secret=False)  # it may have become a key
