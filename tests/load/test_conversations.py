"""Conversations: the next turn's body holds the answer before it, and goes after the think time."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import pytest
from answering import Ending, answering, chunk, sent

from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.load.dispatch import PlannedRow
from pytest_vllm_bench.load.turns import PIECE_BYTES, NoAnswer, Turns, answer
from pytest_vllm_bench.model import INDEX_ROW, Plan

MARKER = "@@answer-7f3-{turn}@@"
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def chat(text: str) -> str:
    return f"data: {json.dumps({'choices': [{'delta': {'content': text}}]}, ensure_ascii=False)}\n\n"


def conversations(folder: Path, chains: list[list[dict[str, object]]], think: float) -> Plan:
    folder.mkdir()
    bodies, index = bytearray(), bytearray()
    for chain, turns in enumerate(chains):
        for turn, ask in enumerate(turns):
            body = json.dumps(ask, ensure_ascii=False).encode()
            due = math.nan if turn else 0.0
            index += struct.pack(INDEX_ROW, len(bodies), len(body), chain, turn, 0, due, think, 1, 1, 0, math.nan)
            bodies += body
    (folder / "bodies.bin").write_bytes(bodies)
    (folder / "index.bin").write_bytes(index)
    (folder / "turns.json").write_text(json.dumps({"backend": "openai-chat", "marker": MARKER}))
    n = sum(map(len, chains))
    return Plan(scenario_id="c", folder=folder, n=n, path="/v1/chat/completions", chains=len(chains), max_in_flight=2)


@pytest.mark.asyncio
async def test_each_turn_holds_the_answers_before_it(tmp_path: Path) -> None:
    said = 'she said "no\\"\n你好 👋'
    first = {"event": chat(said), "n": 1, "messages": ["q0"]}
    second = {"event": chat("second"), "n": 2, "messages": ["q0", MARKER.format(turn=0), "q1"]}
    third: dict[str, object] = {"messages": [MARKER.format(turn=0), f"and: {MARKER.format(turn=1)}!", "q2"]}
    async with answering() as server:
        plan = conversations(tmp_path / "plan", [[first, second, third]] * 2, 0.05)
        requests, facts = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path)
    assert facts.complete
    assert {r.ending for r in requests.values()} == {Ending.COMPLETE}
    bodies = [ask["messages"] for ask in server.requests]
    assert bodies.count(["q0", said, "q1"]) == 2
    assert bodies.count([said, "and: secondsecond!", "q2"]) == 2
    for turn in (1, 2, 4, 5):
        assert requests[turn].ready == pytest.approx(requests[turn - 1].end + 0.05)
        assert math.isnan(requests[turn].due)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "bad",
    [{"do": "length", "status": 500, "body": "no"}, {"do": "length", "body": "no json"}, {"do": "cut"}],
    ids=["http", "not json", "cut"],
)
async def test_a_turn_without_an_answer_ends_the_conversation(tmp_path: Path, bad: dict[str, object]) -> None:
    fine = {"event": chat("fine"), "n": 1}
    async with answering() as server:
        plan = conversations(tmp_path / "plan", [[fine, bad, fine, fine], [fine, fine]], 0.0)
        requests, facts = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path)
    assert facts.complete
    assert [requests[i].ending for i in (2, 3)] == [Ending.NOT_SENT] * 2
    assert [requests[i].ending for i in (0, 4, 5)] == [Ending.COMPLETE] * 3


@pytest.mark.asyncio
async def test_a_long_answer_is_read_in_pieces() -> None:
    words = [f"word {i} " for i in range(3 * PIECE_BYTES // 60)]
    events = [chat(word).encode() for word in words]
    response = [HEAD, *map(chunk, events), b"0\r\n\r\n"]
    assert await answer(BACKENDS["openai-chat"], response) == "".join(words)


@pytest.mark.asyncio
async def test_what_is_no_answer_is_said_so(tmp_path: Path) -> None:
    turns = Turns(BACKENDS["openai-chat"], MARKER)
    with pytest.raises(NoAnswer):
        await turns.answered(PlannedRow(0, 0, 0, 0, 0.0, 0.0, 0, 0), [HEAD, chunk(b"data: {broken\n\n"), b"0\r\n\r\n"])
