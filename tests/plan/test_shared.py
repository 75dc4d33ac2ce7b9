"""Datasets whose prompts share their beginnings on purpose, and those with words of a poem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from plans import Built

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.text import say
from pytest_vllm_bench.tokenizer import Tokenizer

Make = Callable[..., Built]


def beginnings(built: Built, tokens: int) -> Counter[str]:
    return Counter(" ".join(text.split()[:tokens]) for text in built.texts)


def test_prefixes_are_repeated_as_evenly_as_can_be(make: Make, small: Tokenizer) -> None:
    dataset = {"name": "prefix_repetition", "prefixes": 7, "prefix_len": 40}
    built = make(dataset, input_len=16, output_len=3, num_prompts=40)
    found = beginnings(built, 40)
    assert sorted(found.values()) == [5, 5, 6, 6, 6, 6, 6]
    assert set(small.count(built.texts)) == {56}
    assert set(built.rows["shared_len"]) == {40}
    assert len(set(built.texts)) == 40


def test_shared_prefixes_are_new_in_every_session(make: Make) -> None:
    dataset = {"name": "prefix_repetition", "prefixes": 3, "prefix_len": 40}
    today = make(dataset, input_len=16, output_len=3, num_prompts=12)
    tomorrow = make(dataset, input_len=16, output_len=3, num_prompts=12, context={"salt": "tomorrow"})
    assert not set(beginnings(today, 8)) & set(beginnings(tomorrow, 8))
    assert today.plan.digest == tomorrow.plan.digest


def test_groups_are_asked_for_alike_without_zipf(make: Make) -> None:
    dataset = {"name": "generated_shared_prefix", "groups": 8, "prefix_len": 32}
    built = make(dataset, input_len=8, output_len=3, num_prompts=80)
    assert set(beginnings(built, 32).values()) == {10}


def test_zipf_makes_the_first_group_the_most_popular(make: Make) -> None:
    dataset = {"name": "generated_shared_prefix", "groups": 10, "prefix_len": 16, "zipf": 1.0}
    built = make(dataset, input_len=8, output_len=3, num_prompts=5000)
    shares = np.array(sorted(beginnings(built, 16).values(), reverse=True)) / 5000
    expected = (1 / np.arange(1, 11)) / (1 / np.arange(1, 11)).sum()
    assert shares == pytest.approx(expected, abs=0.02)


def test_sonnets_begin_alike_and_end_in_lines_of_their_own(make: Make, small: Tokenizer) -> None:
    built = make("sonnet", num_prompts=20)
    lengths = np.array(small.count(built.texts))
    assert built.rows["input_len"].tolist() == lengths.tolist()
    assert np.all((lengths <= 550) & (lengths > 530))
    assert set(built.rows["output_len"]) == {150}
    shared = int(built.rows["shared_len"][0])
    assert 180 < shared <= 200
    assert len({text.partition("\n")[2][:400] for text in built.texts}) == 1
    assert len(set(built.texts)) == 20


def test_sonnets_of_the_users_own(make: Make, tmp_path: Path) -> None:
    (tmp_path / "poem.txt").write_text("床前明月光\n疑是地上霜\n举头望明月\n低头思故乡\n", "utf-8")
    built = make({"name": "sonnet", "path": "poem.txt", "prefix_len": 40}, input_len=90, output_len=9, num_prompts=3)
    assert all("明月" in text for text in built.texts)


def test_sonnets_without_room_are_refused(make: Make) -> None:
    with pytest.raises(DataError) as caught:
        make("sonnet", input_len=200, output_len=9)
    assert "prefix_len" in say(caught.value.message)
