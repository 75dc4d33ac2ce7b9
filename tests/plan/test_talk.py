"""Conversations are read by who said what, never by where it stands; what is left out is said with its count."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plans import Built

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.text import say

Make = Callable[..., Built]
Q, A = "air water fire earth", "one two three four five"
Q2, A2 = "light dark warm cold wind", "six seven eight nine ten"


def turns(*roles: str, who: str = "from", what: str = "value") -> list[dict[str, Any]]:
    """Turns of these speakers; what asks has a question's words, what answers an answer's."""
    words = {"gpt": iter((A, A2)), "human": iter((Q, Q2))}
    asks = ("human", "user", "Human", "USER", "prompter", "用户")
    return [{who: role, what: next(words["human" if role in asks else "gpt"])} for role in roles]


def read(make: Make, tmp_path: Path, *rows: Any, n: int = 1, **options: Any) -> Built:
    (tmp_path / "talks.json").write_text(json.dumps([r if isinstance(r, dict) else {"conversations": r} for r in rows]))
    backend = options.pop("backend", "openai-chat")
    dataset = {"name": "sharegpt", "path": "talks.json", "shuffle": False, "min_output": 1, "min_prompt": 1, **options}
    return make(dataset, num_prompts=n, cache="warm", backend=backend)


def notes(built: Built, lang: str = "en") -> str:
    return "\n".join(say(note, lang) for note in built.plan.notes)


def test_an_answer_without_a_question_is_no_question(make: Make, tmp_path: Path) -> None:
    """A third of the well-known file begins so."""
    built = read(make, tmp_path, turns("gpt", "human", "gpt"), turns("human", "gpt"), n=2)
    assert (built.texts, built.rows["output_len"].tolist()) == ([Q, Q], [5, 5])
    assert "1 of 2 conversations begin with an answer" in notes(built)
    assert "2 段对话中有 1 段以回答开头" in notes(built, "zh")


def test_what_one_side_says_in_a_row_is_one_turn(make: Make, tmp_path: Path) -> None:
    built = read(make, tmp_path, turns("human", "human", "gpt"), turns("human", "gpt", "gpt"), n=2)
    assert built.texts == [f"{Q}\n\n{Q2}", Q]
    assert "1 of 2 conversations have several questions in a row" in notes(built)
    assert built.rows["output_len"].tolist()[0] == 5
    assert built.rows["output_len"].tolist()[1] >= 10


def test_speakers_by_every_name_that_is_in_use(make: Make, tmp_path: Path) -> None:
    asking = ["human", "Human", "USER", "user", "prompter", "用户"]
    answering = ["gpt", "GPT", "chatgpt", "ChatGPT", "bing", "bard", "assistant", "Assistant", "model", "bot"]
    answering += ["gpt-4", "claude-2.1", "function_call", "AI", "助手", "agent"]
    pairs = [(a, b) for a in asking for b in answering]
    built = read(make, tmp_path, *(turns(b, a, b) for a, b in pairs), n=len(pairs))
    off = [pair for pair, text in zip(pairs, built.texts, strict=True) if text != Q]
    assert not off
    # Whose turn comes first in the file: the answer's; it is skipped, so the second answer is the one that counts.
    assert set(built.rows["output_len"].tolist()) == {5}


def test_keys_and_contents_by_every_name_that_is_in_use(make: Make, tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "air water"}, {"type": "text", "text": "fire earth"}]
    export = [
        {"author": {"role": "user"}, "content": {"content_type": "text", "parts": [Q]}},
        {"author": {"role": "assistant"}, "content": {"content_type": "text", "parts": [A]}},
    ]
    found: dict[str, Any] = {
        "from/value": turns("human", "gpt"),
        "role/content": turns("user", "assistant", who="role", what="content"),
        "speaker/text": turns("user", "assistant", who="speaker", what="text"),
        "author/message": turns("user", "assistant", who="author", what="message"),
        "export": export,
        "role as key": [{"human": Q, "assistant": A}],
        "lists in a list": [[{"role": "user", "content": Q}], [{"role": "assistant", "content": A}]],
        "JSON in a cell": json.dumps(turns("human", "gpt")),
        "spoken": f"\n\nHuman: {Q}\n\nAssistant: {A}",
        "headed": f"### Instruction:\n{Q}\n\n### Response:\n{A}",
        "plain": [Q, A],
        "columns": {"conversations": {"from": ["human", "gpt"], "value": [Q, A]}},
    }
    built = read(make, tmp_path, *found.values(), n=len(found))
    lengths = built.rows["output_len"].tolist()
    off = {name: t for name, t, n in zip(found, built.texts, lengths, strict=True) if (t, n) != (Q, 5)}
    assert not off
    mixed = [{"role": "user", "content": parts}, {"role": "assistant", "content": [{"type": "text", "text": A}]}]
    assert read(make, tmp_path, {"messages": mixed}).texts == ["air water\nfire earth"]


def test_columns_of_conversations_by_every_name_that_is_in_use(make: Make, tmp_path: Path) -> None:
    names = ("conversations", "Conversation", "messages", "dialog", "dialogue", "conversation_a", "chat", "history")
    off = [name for name in names if read(make, tmp_path, {"id": 7, name: turns("human", "gpt")}).texts != [Q]]
    assert not off


def test_a_system_prompt_stays_one_where_roles_are_known(make: Make, tmp_path: Path) -> None:
    row = [{"from": "system", "value": "be brief"}, *turns("human", "gpt")]
    built = read(make, tmp_path, row)
    assert built.bodies[0]["messages"] == [{"role": "system", "content": "be brief"}, {"role": "user", "content": Q}]
    assert read(make, tmp_path, row, backend="openai").texts == [f"be brief\n\n{Q}"]


def test_results_of_tools_are_put_to_the_model_and_said(make: Make, tmp_path: Path) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    asked, answered = turns("user", "assistant", who="role", what="content")
    row = {"messages": [asked, call, {"role": "tool", "content": "12 degrees"}, answered], "tools": "[]"}
    built = read(make, tmp_path, row, n=2, multi_turn=True)
    assert [m["role"] for m in built.bodies[1]["messages"]] == ["user", "assistant", "user"]
    assert built.texts[1].endswith("12 degrees")
    assert built.rows["output_len"].tolist()[0] > 5  # the call itself was the answer
    assert "1 of 1 conversations have results of tools" in notes(built)
    assert "column tools" in notes(built)


def test_what_is_left_out_is_said_with_its_count(make: Make, tmp_path: Path) -> None:
    strangers = [{"from": "alice", "value": Q}, {"from": "bob", "value": A}]
    rows = [turns("human"), turns("gpt"), [], strangers, None, "no speaker here", turns("human", "gpt")]
    built = read(make, tmp_path, *rows)
    told = notes(built)
    assert "1 of 7 conversations left out: nobody answered" in told
    assert "4 of 7 conversations left out: nobody asks" in told
    assert "1 of 7 conversations left out: their speakers" in told
    with pytest.raises(DataError) as caught:
        read(make, tmp_path, *rows, n=2)
    assert "nobody answered" in say(caught.value.message)
    assert "没有回答" in say(caught.value.message, "zh")


def test_pictures_beside_words_are_said(make: Make, tmp_path: Path) -> None:
    shown = [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}, {"type": "text", "text": Q}]
    row = {"messages": [{"role": "user", "content": shown}, {"role": "assistant", "content": A}], "images": ["a.png"]}
    built = read(make, tmp_path, row)
    assert built.texts == [Q]
    assert "pictures, sound or files" in notes(built)
    assert "column images" in notes(built)
