"""Waiting for a server ends when it was said to, whatever the server does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.errors import NotReady, ServerError
from pytest_vllm_bench.model import Message, Target
from pytest_vllm_bench.observe import ready

PROBE = ready.Probe(backend=BACKENDS["vllm"], path="/v1/completions", model=None)


@contextlib.contextmanager
def silent() -> Iterator[Target]:
    """Connections are taken, and that is all."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield Target(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}")


def test_a_server_that_hangs_is_waited_for_no_longer_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "LEAST", 0.2)
    said: list[Message] = []
    with silent() as target, pytest.raises(ServerError) as caught:
        asyncio.run(asyncio.wait_for(ready.wait(target, PROBE, 0.5, said.append), 60))
    assert caught.value.message.key == "server.not_ready"
    assert caught.value.message.values["why"].key == "server.silent"


def test_the_list_of_models_is_not_waited_for_as_long_as_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "LISTING", 0.2)
    with silent() as target, pytest.raises(NotReady) as caught:
        asyncio.run(asyncio.wait_for(ready.look(target, PROBE), 60))
    assert caught.value.message.key == "server.silent"
