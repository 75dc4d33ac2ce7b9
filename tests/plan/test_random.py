"""Random prompts: exact lengths, never twice, the same load in every session."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plans import Built

from pytest_vllm_bench import plan, tokenizer
from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import INDEX_ROW, Cell, DatasetChoice, Scenario, Target
from pytest_vllm_bench.text import say
from pytest_vllm_bench.tokenizer import Tokenizer

Make = Callable[..., Built]
ANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "deepseek", "qwen"])
@pytest.mark.parametrize("cache", ["cold", "warm"])
def test_every_prompt_has_exactly_its_length(make: Make, request: pytest.FixtureRequest, name: str, cache: str) -> None:
    vocabulary: Tokenizer = request.getfixturevalue(name)
    built = make(input_len=300, output_len=7, num_prompts=40, cache=cache, tokenizer=vocabulary)
    assert set(vocabulary.count(built.texts)) == {300}
    assert set(built.rows["input_len"]) == {300}
    assert set(built.rows["output_len"]) == {7}
    assert all(body["max_tokens"] == 7 and body["ignore_eos"] for body in built.bodies)


@ANY
@given(length=st.integers(4, 80), n=st.integers(1, 30), seed=st.integers(0, 9), cache=st.sampled_from(["cold", "warm"]))
def test_lengths_are_exact_and_beginnings_differ(
    make: Make, small: Tokenizer, length: int, n: int, seed: int, cache: str
) -> None:
    built = make(input_len=length, output_len=1, num_prompts=n, seed=seed, cache=cache)
    assert set(small.count(built.texts)) == {length}
    assert len({tuple(text.split()[:8]) for text in built.texts}) == n


@ANY
@given(length=st.integers(2, 60), ratio=st.floats(0, 0.9), seed=st.integers(0, 9))
def test_range_ratio_is_uniform_around_the_length(
    make: Make, small: Tokenizer, length: int, ratio: float, seed: int
) -> None:
    built = make(
        {"name": "random", "range_ratio": ratio}, input_len=length, output_len=length, num_prompts=20, seed=seed
    )
    low, high = max(1, math.floor(length * (1 - ratio))), math.ceil(length * (1 + ratio))
    assert small.count(built.texts) == built.rows["input_len"].tolist()
    for column in ("input_len", "output_len"):
        assert built.rows[column].min() >= low
        assert built.rows[column].max() <= high


def test_a_wide_range_is_used_evenly(make: Make) -> None:
    lengths = make({"name": "random", "range_ratio": 0.5}, input_len=40, output_len=40, num_prompts=2000).rows
    for column in ("input_len", "output_len"):
        assert set(lengths[column].tolist()) == set(range(20, 61))
        assert abs(lengths[column].mean() - 40) < 1
    assert abs(np.corrcoef(lengths["input_len"], lengths["output_len"])[0, 1]) < 0.1


def test_a_prefix_is_shared_and_told(make: Make, small: Tokenizer) -> None:
    built = make({"name": "random", "prefix_len": 32}, input_len=16, output_len=1, num_prompts=10)
    assert set(small.count(built.texts)) == {48}
    assert len({tuple(text.split()[:32]) for text in built.texts}) == 1
    assert len({tuple(text.split()[32:]) for text in built.texts}) == 10
    assert set(built.rows["shared_len"]) == {32}


def test_prompts_are_disjoint_between_sessions_scenarios_repeats_and_warmup(make: Make) -> None:
    asked = {"input_len": 40, "output_len": 4}
    variants = [
        make(**asked),
        make(**asked, context={"salt": "tomorrow"}),
        make(**asked, cell=Cell(place="case", bound="np9")),
        make(**asked, cell=Cell(place="case", repeat=2)),
        make(**asked, concurrency=8, warmup=True),
    ]
    heads = [{" ".join(text.split()[:8]) for text in built.texts} for built in variants]
    assert sum(map(len, heads)) == len(set.union(*heads)) == 5 * 8


def test_warm_prompts_return_in_the_next_session_only(make: Make) -> None:
    asked = {"input_len": 40, "output_len": 4, "cache": "warm"}
    first = make(**asked)
    assert make(**asked, context={"salt": "tomorrow"}).texts == first.texts
    assert not set(make(**asked, cell=Cell(place="other")).texts) & set(first.texts)
    assert not set(make(**asked, concurrency=8, warmup=True).texts) & set(first.texts)


def test_the_digest_tells_loads_apart_but_not_sessions(make: Make) -> None:
    asked = {"input_len": 40, "output_len": 4, "request_rate": 5.0}
    digest = make(**asked).plan.digest
    assert make(**asked, context={"salt": "tomorrow"}).plan.digest == digest
    assert make(**asked, cell=Cell(place="renamed")).plan.digest == digest
    for other in (
        {"seed": 1},
        {"cell": Cell(place="case", repeat=2)},
        {"output_len": 5},
        {"num_prompts": 9},
        {"request_rate": 6.0},
    ):
        assert make(**{**asked, **other}).plan.digest != digest


def test_token_ids_need_no_tokenizer(make: Make) -> None:
    built = make(input_len=24, output_len=2, tokenizer=tokenizer.load("ids", "m"))
    assert all(len(p) == 24 and all(1000 <= i < 8192 for i in p) for p in built.prompts)
    assert len({tuple(p[:8]) for p in built.prompts}) == 8


def test_token_ids_are_refused_where_the_backend_takes_none(make: Make) -> None:
    with pytest.raises(DataError, match="ids_not_taken"):
        make(input_len=24, output_len=2, backend="openai-chat", tokenizer=tokenizer.load("ids", "m"))


def test_what_the_template_adds_is_taken_off(make: Make, small: Tokenizer) -> None:
    built = make(input_len=50, output_len=2, backend="openai-chat", context={"template_tokens": 7})
    assert set(small.count(built.texts)) == {43}
    assert set(built.rows["input_len"]) == {50}
    assert built.plan.template_tokens == 7
    with pytest.raises(DataError) as caught:
        make(input_len=7, output_len=2, backend="openai-chat", context={"template_tokens": 7})
    assert "more than 7" in say(caught.value.message)


def test_a_server_that_only_counts_gives_exact_lengths_too(make: Make, small: Tokenizer) -> None:
    asked = tokenizer.ServerTokenizer(tokenize=small.encode_batch, detokenize=small.decode_batch)
    built = make(input_len=64, output_len=2, tokenizer=tokenizer.load("server", "m", server=asked))
    assert set(small.count(built.texts)) == {64}


def test_prompts_too_short_to_differ_are_refused(make: Make) -> None:
    with pytest.raises(DataError) as caught:
        make(input_len=1, output_len=1, num_prompts=6000)
    assert "cannot all differ" in say(caught.value.message)


def test_lengths_are_needed(make: Make) -> None:
    with pytest.raises(DataError, match="lengths_missing"):
        make(input_len=None, output_len=4)


def test_a_prompt_beyond_the_window_is_refused_with_its_row(make: Make) -> None:
    options = {"name": "random", "range_ratio": 0.5}
    built = make(options, input_len=40, output_len=4)
    limit = int((built.rows["input_len"] + built.rows["output_len"]).max()) - 1
    longest = int((built.rows["input_len"] + built.rows["output_len"]).argmax()) + 1
    with pytest.raises(DataError) as caught:
        make(options, input_len=40, output_len=4, context={"max_model_len": limit})
    assert f"row(s) {longest}" in say(caught.value.message)


def test_a_cache_that_can_neither_be_read_nor_written_is_done_without(
    make: Make, small: Tokenizer, tmp_path: Path
) -> None:
    (tmp_path / "a file").write_text("in the way")
    for cache in (tmp_path / "a file" / "cache", tmp_path / "a file"):
        made = make(input_len=64, output_len=1, num_prompts=4, tokenizer=small, context={"cache_dir": cache})
        assert set(small.count(made.texts)) == {64}


def test_what_was_proven_once_is_not_counted_again(make: Make, small: Tokenizer, tmp_path: Path) -> None:
    from dataclasses import replace

    counted = 0

    def counting(texts: Sequence[str]) -> list[int]:
        nonlocal counted
        counts = [len(ids) for ids in small.encode_batch(texts)]
        counted += sum(counts)
        return counts

    watched = replace(small, count_batch=counting)
    cache = {"cache_dir": tmp_path / "cache"}
    make(input_len=512, output_len=1, num_prompts=50, tokenizer=watched, context=cache)
    first, counted = counted, 0
    again = make(input_len=512, output_len=1, num_prompts=50, tokenizer=watched, context={**cache, "salt": "next"})
    assert counted < first / 10
    assert set(small.count(again.texts)) == {512}


@pytest.mark.parametrize(
    ("choice", "shares"),
    [("round_robin", (100, 100, 100)), ("random", (100, 100, 100)), ((6.0, 3.0, 1.0), (180, 90, 30))],
    ids=["round robin", "random", "weights"],
)
def test_requests_are_shared_between_models(make: Make, choice: Any, shares: tuple[int, ...]) -> None:
    names = ("base", "lora-a", "lora-b")
    fields: dict[str, Any] = {"input_len": 8, "output_len": 2, "num_prompts": 300, "model_choice": choice}
    built = make("random", models=names, context={"models": names}, **fields)
    asked = [body["model"] for body in built.bodies]
    found = [asked.count(name) for name in names]
    assert [names[i] for i in built.rows["model"].tolist()] == asked
    if choice == "round_robin":
        assert asked == list(names) * 100
    else:
        assert found == pytest.approx(shares, abs=30)
        assert asked == [
            body["model"] for body in make("random", models=names, context={"models": names}, **fields).bodies
        ]


@pytest.mark.asyncio
async def test_a_plan_that_is_called_off_is_not_built_to_its_end(tmp_path: Path, small: Tokenizer) -> None:
    """The thread ends at its next row: nobody who presses Ctrl-C waits for 20,000 prompts."""
    loop, begun = asyncio.get_running_loop(), asyncio.Event()

    def begin(done: int, total: int) -> None:
        loop.call_soon_threadsafe(begun.set)

    around = plan.BuildContext(
        backend=BACKENDS["openai"],
        tokenizer=small,
        salt="today",
        progress=begin,
    )
    choice = DatasetChoice(name="random")
    asked = Scenario(cell=Cell(place="s"), target=Target(), backend="openai", dataset=choice, num_prompts=20_000)
    asked = dataclasses.replace(asked, input_len=500, output_len=9)
    task = asyncio.create_task(plan.background(plan.build, asked, around, tmp_path / "plan"))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await loop.shutdown_default_executor()  # until the thread has ended
    assert not (tmp_path / "plan" / "plan.json").exists()
    assert (tmp_path / "plan" / "index.bin").stat().st_size < 20_000 * struct.calcsize(INDEX_ROW)
