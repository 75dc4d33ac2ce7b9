"""An answer, and the next turn's body with markers → that body with the answer in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_vllm_bench.load.dispatch import Row
from pytest_vllm_bench.load.wire import Flight


class Turns:
    """The conversations in flight."""

    def __init__(self, read: Any, framing: str, marker: str, last: dict[int, int]) -> None:
        self._read, self._framing, self._marker = read, framing, marker
        self._last = last  # chain → its last turn
        self._answers: dict[int, list[bytes]] = {}  # chain → its answers, JSON-escaped

    @staticmethod
    def of(folder: Path) -> Turns | None:
        """The plan's conversations; None if every chain is one request."""
        return None

    def needed(self, row: Row) -> bool:
        return self._last.get(row.chain, 0) > row.turn

    def body(self, row: Row, body: bytes) -> bytes:
        for turn, answer in enumerate(self._answers.get(row.chain, [])):
            body = body.replace(self._marker.format(turn=turn).encode(), answer)
        return body

    def answered(self, flight: Flight) -> None: ...
