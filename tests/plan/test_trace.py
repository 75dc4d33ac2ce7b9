"""Recorded traces: their lengths, their times, and what their prompts shared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plans import Built

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.text import say
from pytest_vllm_bench.tokenizer import Tokenizer

Make = Callable[..., Built]

BURSTGPT = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,20,0,20,Conversation log
45,GPT-4,30,7,37,API log
118,ChatGPT,50,9,59,Conversation log
"""
AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,37,44
2023-11-16 18:15:50.9951690,39,10
2023-11-16 18:15:51.0000000,40,12
"""
#: Three requests over one system prompt of two blocks, one of them twice over, and one of its own.
MOONCAKE = [
    {"timestamp": 1000, "input_length": 40, "output_length": 5, "hash_ids": [1, 2, 3]},
    {"timestamp": 1000, "input_length": 48, "output_length": 6, "hash_ids": [1, 2, 4]},
    {"timestamp": 3500, "input_length": 30, "output_length": 7, "hash_ids": [9, 8]},
    {"timestamp": 4000, "input_length": 60, "output_length": 8, "hash_ids": [1, 2, 4, 5]},
]


def replayed(
    make: Make, tmp_path: Path, kind: str, data: Any, fields: dict[str, Any] | None = None, **options: Any
) -> Built:
    path = tmp_path / ("trace.csv" if isinstance(data, str) else "trace.jsonl")
    path.write_text(data if isinstance(data, str) else "".join(json.dumps(row) + "\n" for row in data))
    return make({"name": kind, "path": path.name, **options}, **{"num_prompts": None, **(fields or {})})


def test_burstgpt(make: Make, tmp_path: Path, small: Tokenizer) -> None:
    built = replayed(make, tmp_path, "burstgpt", BURSTGPT)
    assert built.rows["due"].tolist() == [0, 40, 113]
    assert small.count(built.texts) == built.rows["input_len"].tolist() == [472, 30, 50]
    assert built.rows["output_len"].tolist() == [18, 7, 9]
    assert [note.key for note in built.plan.notes] == ["plan.trace_left_out"]


def test_azure(make: Make, tmp_path: Path) -> None:
    built = replayed(make, tmp_path, "azure", AZURE)
    assert built.rows["due"].tolist() == pytest.approx([0, 4.314579, 4.31941])
    assert built.rows["input_len"].tolist() == [37, 39, 40]


def test_azure_with_a_zone(make: Make, tmp_path: Path) -> None:
    data = (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,9,4\n2024-05-10 00:00:01+00:00,9,4\n"
    )
    assert replayed(make, tmp_path, "azure", data).rows["due"].tolist() == pytest.approx([0, 0.99007])


def test_mooncake_blocks_are_shared_where_the_hashes_are(make: Make, tmp_path: Path, small: Tokenizer) -> None:
    built = replayed(make, tmp_path, "mooncake", MOONCAKE, block=16)
    assert built.rows["due"].tolist() == [0, 0, 2.5, 3]
    assert small.count(built.texts) == [40, 48, 30, 60]
    words = [text.split() for text in built.texts]
    assert words[0][:32] == words[1][:32] == words[3][:32]
    assert words[1][32:48] == words[3][32:48] != words[0][32:]
    assert words[2][:8] != words[0][:8]
    assert built.rows["shared_len"].tolist() == [0, 32, 0, 48]


def test_a_plain_trace_in_either_kind_of_file(make: Make, tmp_path: Path) -> None:
    rows = [{"timestamp": t, "input_length": n, "output_length": 3} for t, n in ((7.5, 20), (2.0, 10), (2.25, 30))]
    text = "timestamp,input_length,output_length\n" + "".join(f"{r['timestamp']},{r['input_length']},3\n" for r in rows)
    for data in (rows, text):
        built = replayed(make, tmp_path, "trace", data)
        assert built.rows["due"].tolist() == [0, 0.25, 5.5]
        assert built.rows["input_len"].tolist() == [10, 30, 20]


def test_speed_and_window(make: Make, tmp_path: Path) -> None:
    rows = [{"timestamp": t, "input_length": 10 + t, "output_length": 3} for t in range(10)]
    built = replayed(make, tmp_path, "trace", rows, speed=2, start=3, end=7)
    assert built.rows["due"].tolist() == [0, 0.5, 1, 1.5]
    assert built.rows["input_len"].tolist() == [13, 14, 15, 16]


def test_the_first_requests_or_seconds_of_a_trace(make: Make, tmp_path: Path) -> None:
    rows = [{"timestamp": t, "input_length": 10, "output_length": 3} for t in range(10)]
    assert len(replayed(make, tmp_path, "trace", rows, {"num_prompts": 4}).rows) == 4
    bounded = replayed(make, tmp_path, "trace", rows, {"duration": 5.0})
    assert bounded.rows["due"].tolist() == [0, 1, 2, 3, 4]
    assert bounded.plan.duration == 5
    with pytest.raises(DataError) as caught:
        replayed(make, tmp_path, "trace", rows, {"num_prompts": 11})
    assert "at most 10" in say(caught.value.message)


def test_a_rate_takes_the_place_of_the_recorded_times(make: Make, tmp_path: Path) -> None:
    rows = [{"timestamp": t, "input_length": 10, "output_length": 3} for t in range(10)]
    built = replayed(
        make, tmp_path, "trace", rows, {"num_prompts": 10, "request_rate": 4.0, "burstiness": float("inf")}
    )
    assert built.rows["due"].tolist() == pytest.approx((np.arange(10) / 4).tolist())


def test_the_warm_up_of_a_trace_has_other_prompts(make: Make, tmp_path: Path) -> None:
    rows = [{"timestamp": t, "input_length": 20, "output_length": 3} for t in range(10)]
    measured = replayed(make, tmp_path, "trace", rows, {"concurrency": 4})
    before = make({"name": "trace", "path": "trace.jsonl"}, num_prompts=None, concurrency=4, warmup=True)
    assert len(before.rows) == 4
    assert not set(before.texts) & set(measured.texts)


def test_rows_that_cannot_be_replayed_are_told_at_once(make: Make, tmp_path: Path) -> None:
    data = "timestamp,input_length,output_length\n0,10,3\nsoon,10,3\n2,-1,3\n3,ten,3\n4,10,3\n"
    with pytest.raises(DataError) as caught:
        replayed(make, tmp_path, "trace", data)
    told = say(caught.value.message)
    assert [f"line {n}:" in told for n in range(2, 7)] == [False, True, True, True, False]


def test_a_trace_of_another_format_names_its_columns(make: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        replayed(make, tmp_path, "azure", BURSTGPT)
    assert "Request tokens" in say(caught.value.message)
