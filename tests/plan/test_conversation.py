"""Conversations: chains of turns, each later body with a place for every answer before it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from plans import Built

from pytest_vllm_bench import tokenizer
from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.errors import DataError

Make = Callable[..., Built]


def test_turns_follow_their_conversation(make: Make) -> None:
    built = make({"name": "conversation", "turns": 3, "think": 2.0}, input_len=20, output_len=5, num_prompts=9)
    assert built.rows["chain"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert built.rows["turn"].tolist() == [0, 1, 2] * 3
    assert built.rows["think"].tolist() == [0, 2, 2] * 3
    assert [np.isnan(due) for due in built.rows["due"]] == [False, True, True] * 3
    assert built.plan.chains == 3


def test_chat_bodies_hold_the_history_with_markers_for_the_answers(make: Make) -> None:
    built = make({"name": "conversation", "turns": 3}, input_len=20, output_len=5, num_prompts=3, backend="openai-chat")
    turns = json.loads((built.plan.folder / "turns.json").read_text())
    assert turns["backend"] == "openai-chat"
    marks = [turns["marker"].format(turn=k) for k in range(3)]
    first, second, third = (body["messages"] for body in built.bodies)
    assert [m["role"] for m in third] == ["user", "assistant"] * 2 + ["user"]
    assert second == [*first, {"role": "assistant", "content": marks[0]}, second[2]]
    assert third == [*second, {"role": "assistant", "content": marks[1]}, third[4]]
    assert [body["max_completion_tokens"] for body in built.bodies] == [5, 5, 5]
    assert all(mark.isascii() for mark in marks)


def test_a_backend_of_ones_own_is_read_as_the_one_it_is_made_of(make: Make) -> None:
    talk = {"name": "conversation", "turns": 2}
    mine = replace(BACKENDS["openai-chat"], name="mine", path="/mine")
    built = make(talk, input_len=20, output_len=5, num_prompts=2, context={"backend": mine})
    assert BACKENDS[json.loads((built.plan.folder / "turns.json").read_text())["backend"]].read is mine.read
    other = replace(mine, read=lambda payload: BACKENDS["openai"].read(payload))
    assert make(talk | {"turns": 1}, input_len=20, output_len=5, context={"backend": other}).plan.n
    with pytest.raises(DataError) as caught:
        make(talk, input_len=20, output_len=5, context={"backend": other})
    assert caught.value.message.key == "plan.conversation_backend"


def test_completions_hold_the_history_as_text(make: Make) -> None:
    built = make({"name": "conversation", "turns": 2}, input_len=20, output_len=5, num_prompts=2)
    marker = json.loads((built.plan.folder / "turns.json").read_text())["marker"]
    assert built.texts[1].startswith(f"{built.texts[0]}\n{marker.format(turn=0)}\n")


def test_single_turns_need_no_places(make: Make) -> None:
    built = make({"name": "conversation", "turns": 1}, input_len=20, output_len=5)
    assert not (built.plan.folder / "turns.json").exists()


def test_requests_are_counted_and_the_last_conversation_cut_short(make: Make) -> None:
    built = make({"name": "conversation", "turns": 4}, input_len=20, output_len=5, num_prompts=10)
    assert built.rows["turn"].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


def test_turns_and_pauses_vary_as_asked(make: Make) -> None:
    dataset = {"name": "conversation", "turns": 2, "max_turns": 6, "think": 3.0, "think_spread": "exponential"}
    built = make(dataset, input_len=8, output_len=5, num_prompts=4000)
    turns = np.bincount(built.rows["chain"])[:-1]
    assert set(turns.tolist()) == {2, 3, 4, 5, 6}
    assert turns.mean() == pytest.approx(4, abs=0.2)
    pauses = built.rows["think"][built.rows["turn"] > 0]
    assert pauses.mean() == pytest.approx(3.0, rel=0.1)
    assert pauses.std() == pytest.approx(3.0, rel=0.15)


def test_a_system_prompt_can_be_shared(make: Make) -> None:
    dataset = {"name": "conversation", "turns": 2, "prefix_len": 30}
    built = make(dataset, input_len=10, output_len=5, num_prompts=8, backend="openai-chat")
    firsts = [body["messages"][0]["content"].split() for body in built.bodies[::2]]
    assert len({tuple(words[:30]) for words in firsts}) == 1
    assert len({tuple(words[30:]) for words in firsts}) == 4
    assert built.rows["shared_len"].tolist() == [30, 45] * 4


def test_rates_are_those_of_conversations(make: Make) -> None:
    built = make({"name": "conversation", "turns": 2}, input_len=10, output_len=5, num_prompts=6, request_rate=5.0)
    dues = built.rows["due"]
    assert np.isfinite(dues).tolist() == [True, False] * 3
    assert np.all(np.diff(dues[::2]) > 0)


def test_token_ids_have_no_place_for_answers(make: Make) -> None:
    with pytest.raises(DataError, match="conversation_ids"):
        make("conversation", input_len=10, output_len=5, tokenizer=tokenizer.load("ids", "m"))
