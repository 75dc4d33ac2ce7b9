"""An answer, and the next turn's body with markers where answers belong → that body as it is sent.

The plan's ``turns.json`` names the backend, whose ``read`` knows the answer's text in an event, and the marker.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec

from pytest_vllm_bench.framing import Events
from pytest_vllm_bench.http import Response
from pytest_vllm_bench.load.dispatch import PlannedRow
from pytest_vllm_bench.model import Backend

#: An answer is read in pieces of this many bytes, so that other streams' reads do not wait for all of it.
PIECE_BYTES = 16 << 10


class NoAnswer(Exception):
    """The response is not what its backend answers with."""


class Turns:
    """The conversations under way: of each the answers so far."""

    def __init__(self, backend: Backend, marker: str) -> None:
        self._backend, self._marker = backend, marker
        self._answers: dict[int, list[bytes]] = {}  # chain → what stands for its markers: JSON, without the quotes

    @staticmethod
    def of(folder: Path) -> Turns | None:
        """The plan's conversations; None if every chain is one request."""
        path = folder / "turns.json"
        if not path.exists():
            return None
        from pytest_vllm_bench.backends import BACKENDS  # most plans have no conversations, and start sooner without

        told = json.loads(path.read_text("utf-8"))
        return Turns(BACKENDS[told["backend"]], told["marker"])

    def body(self, row: PlannedRow, body: bytes) -> bytes:
        """The body with the answers so far in place of the markers."""
        for turn, answer in enumerate(self._answers.get(row.chain, [])):
            body = body.replace(self._marker.format(turn=turn).encode(), answer)
        return body

    async def answered(self, row: PlannedRow, response: list[bytes]) -> None:
        """Remember the text of the answer to ``row``, given the response's bytes as they came.  Raises NoAnswer."""
        try:
            text = await answer(self._backend, response)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise NoAnswer from error
        self._answers.setdefault(row.chain, []).append(msgspec.json.encode(text)[1:-1])

    def over(self, row: PlannedRow) -> None:
        """The conversation has ended."""
        self._answers.pop(row.chain, None)


async def answer(backend: Backend, response: list[bytes]) -> str:
    """The content of the answer, without the thinking; other callbacks run between its pieces."""
    body, events, said = Response(), Events(backend.framing), ""
    whole = b"".join(response)
    for at in range(0, len(whole), PIECE_BYTES):
        said = _said(backend, events.feed(body.feed(whole[at : at + PIECE_BYTES])), said)
        await asyncio.sleep(0)
    body.close()
    if body.problem:
        raise NoAnswer(body.problem)
    return _said(backend, events.flush(), said)


def _said(backend: Backend, payloads: list[bytes], said: str) -> str:
    for payload in payloads:
        delta = backend.read(payload)
        if delta.error is not None:
            raise NoAnswer(delta.error)
        said = delta.text if delta.cumulative else said + delta.text
    return said
