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
    assert [note.key for note in built.plan.notes] == ["plan.trace_worth", "plan.trace_left_out"]


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


def refused(make: Make, tmp_path: Path, kind: str, data: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        replayed(make, tmp_path, kind, data, **options)
    assert say(caught.value.message, "zh")
    return say(caught.value.message)


def lines(*times: Any, output: Any = 3, head: str = "timestamp,input_length,output_length") -> str:
    return head + "\n" + "".join(f"{time},20,{output}\n" for time in times)


def test_more_blocks_than_the_tokens_make_are_refused_with_the_size_that_fits(make: Make, tmp_path: Path) -> None:
    rows = [
        {"timestamp": 0, "input_length": 100, "output_length": 5, "hash_ids": [1, 2, 3, 4, 5, 6, 7]},
        {"timestamp": 9, "input_length": 33, "output_length": 5, "hash_ids": [1, 2, 8]},
    ]
    told = refused(make, tmp_path, "mooncake", rows)
    assert "line 1: 7 hash_ids for 100 tokens" in told
    assert "they would be 1" in told
    assert "block: 16 fits all rows" in told
    assert len(replayed(make, tmp_path, "mooncake", rows, block=16).rows) == 2
    fewer = [{"timestamp": 0, "input_length": 4096, "output_length": 5, "hash_ids": [1, 2]}]
    assert "block: 2048" in refused(make, tmp_path, "mooncake", fewer)
    rows[1]["hash_ids"] = list(range(33))
    assert "no block size fits" in refused(make, tmp_path, "mooncake", rows)


def test_blocks_by_name_and_in_cells(make: Make, tmp_path: Path) -> None:
    named = [{"timestamp": 0, "input_length": 40, "output_length": 5, "hash_ids": ["a", "b", "c"]}] * 2
    built = replayed(make, tmp_path, "trace", named, block=16)
    assert built.texts[0].split()[8:] == built.texts[1].split()[8:]
    cells = 'timestamp,input_length,output_length,hash_ids\n0,40,5,"[1, 2, 3]"\n1,40,5,1 2 9\n'
    assert replayed(make, tmp_path, "trace", cells, block=16).rows["shared_len"].tolist() == [0, 32]


def test_times_in_every_unit_that_can_be_told(make: Make, tmp_path: Path) -> None:
    day = 1_700_000_000
    found: dict[str, tuple[str, dict[str, Any]]] = {
        "seconds": (lines(5, 7.5, 9), {}),
        "a date in s": (lines(day, day + 2.5, day + 4), {}),
        "a date in ms": (lines(day * 1000, day * 1000 + 2500, day * 1000 + 4000), {}),
        "a date in us": (lines(*(day * 10**6 + t for t in (0, 2_500_000, 4_000_000))), {}),
        "a date in ns": (lines(*(day * 10**9 + t for t in (0, 2_500_000_000, 4_000_000_000))), {}),
        "ISO": (lines("2024-05-10T00:00:00Z", "2024-05-10T00:00:02.5+00:00", "2024-05-10T02:00:04+02:00"), {}),
        "by its name": (lines(0, 2500, 4000, head="Arrival_Time_ms,Input Length,OUTPUT-LENGTH"), {}),
        "as asked": (lines(0, 2500, 4000), {"unit": "ms"}),
        "vllm": (lines(0, 2.5, 4, head="arrival_time,prompt_len,output_len"), {}),
        "azure": (lines(0, 2.5, 4, head="TIMESTAMP,ContextTokens,GeneratedTokens"), {}),
        "burst": (lines(0, 2.5, 4, head="timestamp,request_tokens,Response tokens"), {}),
        "vidur": (lines(0, 2.5, 4, head="arrived_at,num_prefill_tokens,num_decode_tokens"), {}),
    }
    off = {}
    for name, (data, options) in found.items():
        due = replayed(make, tmp_path, "trace", data, **options).rows["due"].tolist()
        if due != pytest.approx([0, 2.5, 4], abs=1e-5):
            off[name] = due
    assert not off


def test_rows_that_cannot_be_meant_are_refused(make: Make, tmp_path: Path) -> None:
    bad = ["", "nan", "-5", "inf", "soon", "1e300", '"0,5"']
    data = lines(0, *bad) + "9,1e12,3\n9,10.5,3\n9,10,\n9,10,-1\n9,99999999999999999999,3\n9,true,3\n9,10,3\n"
    told = refused(make, tmp_path, "trace", data)
    assert [n for n in range(2, 17) if f"line {n}:" in told] == list(range(3, 16))
    nan = [{"timestamp": float("nan"), "input_length": 10, "output_length": 3}]
    assert "line 1" in refused(make, tmp_path, "trace", nan)
    assert "no rows" in refused(make, tmp_path, "trace", "timestamp,input_length,output_length\n")
    assert "unit: ms" in refused(make, tmp_path, "trace", lines(*(t * 86_400_000 for t in range(5))))


def test_what_is_odd_about_a_trace_is_said(make: Make, tmp_path: Path) -> None:
    built = replayed(make, tmp_path, "trace", lines(0, 5, 3, 3, 9) + "9,20,0\n")
    assert built.rows["due"].tolist() == [0, 3, 3, 5, 9]
    notes = [say(note) for note in built.plan.notes]
    for words in ("1 of 6 recorded requests are earlier", "1 of 6 recorded requests are equal", "1 of 6 recorded"):
        assert any(words in note for note in notes), words
    assert "5 requests in 9 s, 0.5556 a second on average; 100 prompt and 15 answer tokens" in notes[0]
    assert "unit: s" in say(replayed(make, tmp_path, "trace", lines(*range(0, 60_000, 1000))).plan.notes[0])
    paced = replayed(make, tmp_path, "trace", lines(0, 5), {"num_prompts": 2, "request_rate": 4.0})
    assert "a rate of the config's" in say(paced.plan.notes[0])
    bounded = replayed(make, tmp_path, "trace", lines(*range(100)), {"duration": 10.0})
    assert "10 requests in 9 s" in say(bounded.plan.notes[0])


def test_columns_are_known_whatever_the_format_is_called(make: Make, tmp_path: Path) -> None:
    assert replayed(make, tmp_path, "azure", BURSTGPT).rows["due"].tolist() == [0, 40, 113]
    told = refused(make, tmp_path, "azure", "Timestamp,Model\n1,GPT-4\n")
    assert "Timestamp, Model" in told
    assert "request_tokens" in told
