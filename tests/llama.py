"""Fixtures: the real llama.cpp server, in a process of its own, with a tiny random model."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVER = Path(__file__).parent / "servers" / "serve_llama.py"


@contextlib.contextmanager
def serve(folder: Path, *wishes: str) -> Iterator[str]:
    """Its URL.  ``wishes``: thinks, embeds, ranks; counts: with the vocabulary of ``tokenizer: simulator``."""
    for needed in ("xllamacpp", "gguf"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"needs the package {needed}")
    log = folder / "llama.log"
    command = [sys.executable, str(SERVER), str(folder / "tiny.gguf"), *wishes]
    with (
        log.open("wb") as words,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, text=True) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        address = next((line.strip() for line in process.stdout if line.startswith("http")), "")
        assert address, log.read_text(errors="replace")
        try:
            yield address
        finally:
            process.stdin.close()  # what it waits for
            process.stdout.close()


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Completions, chat, responses and its own interface."""
    with serve(tmp_path_factory.mktemp("llama")) as url:
        yield url


@pytest.fixture(scope="session")
def thinking_llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Every answer is reasoning."""
    with serve(tmp_path_factory.mktemp("llama-thinks"), "thinks", "counts") as url:
        yield url


@pytest.fixture(scope="session")
def counting_llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Counts tokens as ``tokenizer: simulator`` does."""
    with serve(tmp_path_factory.mktemp("llama-counts"), "counts") as url:
        yield url


@pytest.fixture(scope="session")
def embedding_llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(tmp_path_factory.mktemp("llama-embeds"), "embeds", "counts") as url:
        yield url


@pytest.fixture(scope="session")
def ranking_llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(tmp_path_factory.mktemp("llama-ranks"), "ranks") as url:
        yield url
