"""What people write → numbers."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys

import pytest
from every import every
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from pytest_vllm_bench.config import lines, values

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
AMOUNT = st.floats(0.001, 1e6).map(lambda x: round(x, 3)).filter(lambda x: x > 0)


@given(AMOUNT, st.sampled_from(sorted(SECONDS)), st.sampled_from(["", " "]))
def test_a_duration_with_its_unit(amount: float, unit: str, space: str) -> None:
    assert values.duration(f"{amount:.3f}{space}{unit}") == pytest.approx(amount * SECONDS[unit])


@given(AMOUNT)
def test_a_duration_without_a_unit_is_seconds(amount: float) -> None:
    assert values.duration(amount) == values.duration(f"{amount:.3f}") == amount


@given(st.integers(0, 99), st.integers(0, 59), st.integers(1, 59))
def test_units_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert values.duration(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_told(text: str) -> None:
    with contextlib.suppress(PydanticCustomError):
        assert 0 < values.duration(text) < math.inf


@given(st.integers(1, 10_000))
def test_multiples(factor: int) -> None:
    assert values.multiple(f"{factor}x") == values.multiple(f" {factor} X ") == values.multiple(f"{factor}×") == factor


@given(st.floats(0, 100).map(lambda x: round(x, 6)))
def test_shares_with_and_without_percent(percent: float) -> None:
    assert values.share(f"{percent:.6f}%") == pytest.approx(percent / 100)
    assert values.share(percent / 100) == percent / 100


@every("value", [True, None, [], {}, "", "5", "x", math.nan])
def test_what_is_no_share(value: object) -> None:
    with pytest.raises(PydanticCustomError):
        values.share(value)


@every(
    ("text", "value"),
    [
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("true", True), ("010", 10), ("0x1F", 31), ("1e3", 1000.0),
        ("1_000", "1_000"), ("10:30", "10:30"), ("2024-01-01", "2024-01-01"), (".inf", math.inf), ("-.inf", -math.inf),
        ("inf", "inf"), ("~", None), ("null", None), ("", None), ("1.", 1.0), ("0.5", 0.5), ("+3", 3), ("1%", "1%"),
        ("10x", "10x"),
    ],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    document = lines.parse(f"a: {text}\n")
    assert document.problems == []
    assert document.value == {"a": value}
    assert type(document.value["a"]) is type(value)


def test_every_value_has_its_line() -> None:
    document = lines.parse("a:\n  - b: 1\n    c: [2,\n      3]\n# no\nd: {e: f}\n")
    assert document.lines == {
        "a": 1,
        "a[0]": 2,
        "a[0].b": 2,
        "a[0].c": 3,
        "a[0].c[0]": 3,
        "a[0].c[1]": 4,
        "d": 6,
        "d.e": 6,
    }


def test_merge_keys_and_anchors_work() -> None:
    document = lines.parse("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: *x\n")
    assert document.problems == []
    assert document.value == {"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}, "z": {"a": 1, "b": 2}}


def test_aliases_that_multiply_are_stopped() -> None:
    text = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    text += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    assert [p.message.key for p in lines.parse(text).problems] == ["config.yaml_endless"]


@given(st.text(max_size=80))
def test_any_text_is_yaml_or_told(text: str) -> None:
    document = lines.parse(text)
    assert all(problem.line is None or problem.line >= 1 for problem in document.problems)


def test_reading_imports_nothing_heavy() -> None:
    code = """
import sys
from pathlib import Path
import pytest_vllm_bench.config
print(sorted({"numpy", "pandas", "transformers", "aiohttp", "plotly"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
