"""Figures of each model, where several share a run."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pytest_vllm_bench.measure.by_model import by_model
from pytest_vllm_bench.measure.columns import settings_of
from pytest_vllm_bench.model import Cell, Record, Scenario, Target

SCENARIO = Scenario(cell=Cell(place="x"), target=Target(), backend="vllm", concurrency=2, num_prompts=4)


def record(index: int, model: str, seconds: float) -> Record:
    start = float(index)
    return Record(
        index=index,
        model=model,
        sent=start,
        first_token=start + seconds,
        last_token=start + seconds,
        done=start + seconds,
        output_tokens=1,
    )


def test_each_has_its_own_figures() -> None:
    records = [record(0, "a", 0.1), record(1, "b", 0.5), record(2, "a", 0.3), record(3, "b", 0.5)]
    records[3].error = "http"
    figures = by_model(records, settings_of(replace(SCENARIO, request_rate=math.inf)))
    assert list(figures) == ["a", "b"]
    assert figures["a"]["mean_ttft_ms"] == pytest.approx(200)
    assert (figures["b"]["completed"], figures["b"]["failed"]) == (1, 1)
    assert not [key for key in figures["a"] if key.startswith("steady_")]


def test_one_model_needs_no_table() -> None:
    assert by_model([record(0, "a", 0.1)], settings_of(SCENARIO)) == {}
