"""The backends against the real llama.cpp server."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from exchange import answer, ask, exchange
from tapes import cut, decode, facts

from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.model import Ending, EntryKind, Prompt, Record


def in_order(record: Record) -> bool:
    times = [record.sent, record.first_chunk, record.first_token, record.last_token, record.done]
    return all(a is not None and b is not None and a <= b for a, b in pairwise(times))


@pytest.mark.parametrize("detail", [False, True], ids=["plain", "with token detail"])
@pytest.mark.parametrize("name", ["llama.cpp", "openai", "llama.cpp-native"])
def test_completions(llama: str, name: str, detail: bool) -> None:
    record = exchange(llama, BACKENDS[name], ask(output_len=40, force_length=True, token_detail=detail))
    assert (record.error, record.error_detail) == (None, "")
    assert (record.output_tokens, record.finish_reason) == (40, "length")
    assert record.token_source == ("counter" if name == "llama.cpp-native" else "usage")
    assert record.prompt_tokens
    assert sum(record.arrival_tokens) == 40
    assert in_order(record)
    assert record.server is not None
    assert record.server["predicted_n"] == 40
    if name != "openai" and detail:
        assert record.tokens_per_event == "exact"


def test_token_ids_are_the_prompt(llama: str) -> None:
    ids = Prompt(token_ids=list(range(10, 42)))
    for name in ("llama.cpp", "llama.cpp-native"):
        record = exchange(llama, BACKENDS[name], ask(prompt=ids, output_len=4))
        assert (record.error, record.prompt_tokens) == (None, 32)


def test_chat(llama: str) -> None:
    record = exchange(llama, BACKENDS["openai-chat"], ask(output_len=20, force_length=True))
    assert (record.error, record.output_tokens, record.finish_reason) == (None, 20, "length")
    assert record.first_output is not None
    assert in_order(record)


def test_chat_that_thinks(thinking_llama: str) -> None:
    record = exchange(thinking_llama, BACKENDS["openai-chat"], ask(output_len=20, force_length=True))
    assert (record.error, record.output_tokens) == (None, 20)
    assert record.first_token is not None
    assert record.first_output is None
    assert record.text


def test_responses(llama: str) -> None:
    record = exchange(llama, BACKENDS["openai-responses"], ask(output_len=20, force_length=True))
    assert (record.error, record.output_tokens, record.token_source) == (None, 20, "usage")
    assert in_order(record)


def test_what_it_sent_means_the_same_however_it_is_cut(llama: str) -> None:
    """Its tokens are bytes: characters, events and chunks are cut everywhere."""
    for name in ("llama.cpp", "llama.cpp-native", "openai-chat", "openai-responses"):
        backend = BACKENDS[name]
        tape = answer(llama, backend, ask(output_len=6, force_length=True))
        data = b"".join(entry.data for entry in tape if entry.kind == EntryKind.READ)
        whole = facts(decode(backend, [data], Ending.EOF))
        assert (whole["error"], whole["output_tokens"]) == (None, 6)
        for place in range(1, len(data)):
            assert facts(decode(backend, cut(data, [place]), Ending.EOF)) == whole, place


@pytest.mark.parametrize("name", ["llama.cpp", "llama.cpp-native", "openai-chat", "openai-responses"])
def test_whole_answers(llama: str, name: str) -> None:
    record = exchange(llama, BACKENDS[name], ask(output_len=20, force_length=True, stream=False))
    assert (record.error, record.output_tokens) == (None, 20)
    assert (record.first_token, record.last_token) == (None, None)
    assert record.text


def test_embeddings(embedding_llama: str) -> None:
    batch = Prompt(inputs=["one", "two and three"])
    record = exchange(embedding_llama, BACKENDS["openai-embeddings"], ask(prompt=batch))
    assert (record.error, record.sequences, record.output_tokens) == (None, 2, None)
    assert record.prompt_tokens
    assert record.first_token is None


def test_rerank(ranking_llama: str) -> None:
    pairs = Prompt(text="what is a panda?", inputs=["a bear", "hi", "an animal of China"])
    record = exchange(ranking_llama, BACKENDS["vllm-rerank"], ask(prompt=pairs))
    assert (record.error, record.sequences) == (None, 3)


def test_its_words_when_it_refuses(llama: str) -> None:
    too_long = exchange(llama, BACKENDS["llama.cpp"], ask("word " * 5000))
    assert (too_long.error, too_long.status) == ("http", 400)
    assert "context size" in too_long.error_detail
    no_embeddings = exchange(llama, BACKENDS["openai-embeddings"], ask())
    assert (no_embeddings.error, no_embeddings.status) == ("http", 501)
    assert "--embeddings" in no_embeddings.error_detail
    wrong_path = exchange(llama, BACKENDS["llama.cpp"], ask(), path="/v1/completion_")
    assert (wrong_path.error, wrong_path.status, wrong_path.error_detail) == ("http", 404, "File Not Found")


def test_what_the_user_adds_reaches_the_server(llama: str) -> None:
    asked = replace(ask(output_len=9), extra_body={"max_tokens": 3, "stream_options": None})
    assert exchange(llama, BACKENDS["llama.cpp"], asked).output_tokens == 3
