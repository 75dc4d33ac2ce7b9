"""Conversations: figures of each turn and of the whole, from their requests' records."""

from __future__ import annotations

import pytest

from pytest_vllm_bench.measure.by_turn import by_turn
from pytest_vllm_bench.measure.columns import MetricSettings
from pytest_vllm_bench.model import Record


def answered(index: int, chain: int, turn: int, sent: float, cached: int | None = None) -> Record:
    """100 ms to the first token, 100 more to the end."""
    return Record(
        index=index,
        chain=chain,
        turn=turn,
        sent=sent,
        ready=sent,
        first_token=sent + 0.1,
        first_chunk=sent + 0.1,
        last_token=sent + 0.2,
        done=sent + 0.2,
        prompt_tokens=10 * (turn + 1),
        output_tokens=5,
        cached_tokens=cached,
    )


def test_single_requests_have_no_turns() -> None:
    assert by_turn([answered(0, 0, 0, 0.0), answered(1, 1, 0, 1.0)], MetricSettings()) == {}


def test_each_turn_and_the_whole() -> None:
    records = [
        answered(0, 0, 0, 0.0, cached=0),
        answered(1, 0, 1, 1.0, cached=8),
        answered(2, 1, 0, 0.0),
        answered(3, 1, 1, 3.0, cached=12),
    ]
    found = by_turn(records, MetricSettings())
    assert list(found) == ["1", "2", "conversation"]
    assert (found["1"]["completed"], found["2"]["completed"]) == (2, 2)
    assert found["2"]["mean_ttft_ms"] == pytest.approx(100)
    assert (found["1"]["mean_prompt_tokens"], found["2"]["mean_prompt_tokens"]) == (10, 20)
    assert (found["1"]["mean_cached_tokens"], found["2"]["mean_cached_tokens"]) == (0, 10)
    assert found["conversation"] == {"conversations": 2, "completed": 2, "mean_duration_ms": pytest.approx(2200)}


def test_a_failed_turn_fails_its_conversation() -> None:
    broken = answered(1, 0, 1, 1.0)
    broken.error = "reset"
    found = by_turn([answered(0, 0, 0, 0.0), broken], MetricSettings())
    assert found["conversation"] == {"conversations": 1, "completed": 0, "mean_duration_ms": None}


def test_conversations_that_start_late_and_turns_without_a_window() -> None:
    records = [answered(i, i // 2, i % 2, 100.0 + i) for i in range(40)]
    found = by_turn(records, MetricSettings(concurrency=1))
    assert not [name for figures in found.values() for name in figures if name.startswith("steady_")]
    assert found["conversation"]["mean_duration_ms"] == pytest.approx(1200)
