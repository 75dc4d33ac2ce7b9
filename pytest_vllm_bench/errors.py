"""The exceptions, which exist at the edge only; inside, a failed request is a Record with an ``error``.

BenchError                  carries a Message
├── ConfigError             every problem of a config at once
├── DataError               a dataset or tokenizer that cannot be used: file, line, what to do
└── ServerError             a server that was never there, or is not the one asked for
    └── NotReady            it may become ready: refused, 503
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_vllm_bench.model import Message, Problem


class BenchError(Exception):
    """Something the user must change; ``message`` says what, where, and what to write instead."""

    def __init__(self, key: str, **values: Any) -> None:
        super().__init__(key, values)
        self.message = Message(key=key, values=values)


class ConfigError(BenchError):
    """All that is wrong with a config."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("config.problems", count=len(problems))
        self.problems = tuple(problems)


class DataError(BenchError):
    """A dataset or tokenizer that cannot be used."""


class ServerError(BenchError):
    """A server that is not there, or is not what was asked for."""


class NotReady(ServerError):
    """The server may still become ready (connection refused, 503)."""
