"""This machine → what one event costs a measuring process here, in seconds of CPU.

A burst of events goes through the measuring path itself, over loopback connections within the process, before the
connections to the server are opened.  It also runs every line of that path once, so that the first measured event
does not pay for that.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import process_time

from pytest_vllm_bench.load.dispatch import PlannedRow
from pytest_vllm_bench.load.tape import Tape
from pytest_vllm_bench.load.wire import Connection, Flight, Hooks

STREAMS, ROUNDS = 64, 24
_EVENT = b'data: {"id":"cmpl-0","object":"text_completion","choices":[{"index":0,"text":" word"}]}'.ljust(230) + b"\n\n"
_CHUNK = b"%x\r\n%s\r\n" % (len(_EVENT), _EVENT)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


async def event_cost() -> float:
    """Seconds of CPU for one event in one read; the median of some rounds, so that a disturbed one does not count."""
    tape = Tape(Path(os.devnull), 0, asyncio.get_running_loop().call_later)
    tape.begin_nowhere()
    hooks = Hooks(
        ended=lambda *_: None,
        died_early=lambda _: None,
        connected=lambda _: True,
        failed=lambda *_: None,
        lost=lambda _: None,
        rested=lambda _: None,
    )
    peers: list[socket.socket] = []
    try:
        connections = [await _stream(tape, hooks, number, peers) for number in range(STREAMS)]
        _say(peers, _HEAD + _CHUNK)
        await _turns_until(lambda: all(connection.reads for connection in connections))
        for connection in connections:
            connection.look()  # the first token is there: nobody looks at what follows
        costs = []
        for turn in range(2, ROUNDS + 2):
            _say(peers, _CHUNK)
            before = process_time()
            await _turns_until(partial(_have_read, connections, turn))
            costs.append((process_time() - before) / STREAMS)
    finally:
        for peer in peers:
            peer.close()
    await _turns_until(lambda: not hooks.active)  # their ends go to the tape, too
    tape.close()
    return statistics.median(costs)


async def _stream(tape: Tape, hooks: Hooks, number: int, peers: list[socket.socket]) -> Connection:
    """A connection that waits for an answer, and into ``peers`` the socket to answer from."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        ours.setblocking(False)
        peer, _ = server.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peers.append(peer)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(tape, hooks, number), sock=ours)
    row = PlannedRow(number, number, 0, 0, 0.0, 0.0, 0, 0)
    connection.start(Flight(row=row, payload=b"POST / HTTP/1.1\r\n\r\n", ready=0.0, due=0.0))
    return connection


def _say(peers: list[socket.socket], data: bytes) -> None:
    for peer in peers:
        peer.send(data)


def _have_read(connections: list[Connection], times: int) -> bool:
    return all(connection.reads >= times for connection in connections)


async def _turns_until(done: Callable[[], bool]) -> None:
    """Let the loop turn, as fast as it can."""
    while True:
        if done():
            return
        await asyncio.sleep(0)
