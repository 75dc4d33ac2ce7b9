"""A plain asyncio HTTP server that does what each request's body tells it, and plans whose bodies tell it."""

from __future__ import annotations

import asyncio
import json
import math
import os
import ssl
import struct
import subprocess
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_vllm_bench import load
from pytest_vllm_bench.model import (
    INDEX_ROW,
    SENT_FIELDS,
    Ending,
    Entry,
    EntryKind,
    LoadFacts,
    Plan,
    Target,
    Timeouts,
)

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
EVENT = b'data: {"choices":[{"text":" x"}]}\n\n'
DONE = b"data: [DONE]\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@dataclass
class Answering:
    """What it has been asked, and over how many connections."""

    connections: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    pipelined: int = 0
    in_flight: int = 0
    peak: int = 0
    port: int = 0
    impatient: bool = False  # closes its first two connections when the first request comes, unanswered
    hasty: bool = False  # turns each request down before it has read the body
    over: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))  # connection → its requests

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while await self._one(number, reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(x.split(":")[1]) for x in head.lower().split("\r\n") if x.startswith("content-length"))
        if self.hasty:
            writer.write(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 2\r\n\r\n{}")
            await asyncio.sleep(0.5)  # the answer is there, and no more of the body than the system's buffers hold
        ask = json.loads(await reader.readexactly(length))
        if self.hasty:
            return True
        if self.impatient and number <= 2:
            return False
        self.heads.append(head)
        self.requests.append(ask)
        self.over[number] += 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            keep = await BEHAVIOURS[ask.get("do", "chunked")](ask, reader, writer, self.over[number])
        finally:
            self.in_flight -= 1
        await writer.drain()
        return keep and "connection: close" not in head


async def _chunked(ask: Mapping[str, Any], _: asyncio.StreamReader, writer: asyncio.StreamWriter, nth: int) -> bool:
    await asyncio.sleep(ask.get("first", 0))
    writer.write(STREAM + b"transfer-encoding: chunked\r\n\r\n")
    for _i in range(ask.get("n", 3)):
        writer.write(chunk(ask.get("event", "").encode() or EVENT))
        await writer.drain()
        await asyncio.sleep(ask.get("gap", 0))
    writer.write(chunk(DONE) + b"0\r\n\r\n")
    return True


async def _length(ask: Mapping[str, Any], _: asyncio.StreamReader, writer: asyncio.StreamWriter, nth: int) -> bool:
    status = ask.get("status", 200)
    body = ask.get("body", "").encode()
    writer.write(b"HTTP/1.1 %d Something\r\ncontent-length: %d\r\n\r\n" % (status, len(body)) + body)
    return True


async def _until_closed(ask: Mapping[str, Any], _: asyncio.StreamReader, writer: asyncio.StreamWriter, n: int) -> bool:
    writer.write(STREAM + b"\r\n" + EVENT + DONE)
    return False


async def _closing(ask: Mapping[str, Any], _: asyncio.StreamReader, writer: asyncio.StreamWriter, nth: int) -> bool:
    writer.write(STREAM + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(DONE) + DONE)
    return False


async def _continued(ask: Mapping[str, Any], _: asyncio.StreamReader, writer: asyncio.StreamWriter, nth: int) -> bool:
    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    await asyncio.sleep(0.01)
    return await _chunked(ask, _, writer, nth)


async def _upgrade(ask: Mapping[str, Any], _: asyncio.StreamReader, writer: asyncio.StreamWriter, nth: int) -> bool:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n")
    return False


async def _cut(ask: Mapping[str, Any], _: asyncio.StreamReader, writer: asyncio.StreamWriter, nth: int) -> bool:
    writer.write(STREAM + b"transfer-encoding: chunked\r\n\r\n" + chunk(EVENT))
    return False


async def _reset(ask: Mapping[str, Any], _: asyncio.StreamReader, writer: asyncio.StreamWriter, nth: int) -> bool:
    writer.write(STREAM + b"transfer-encoding: chunked\r\n\r\n" + chunk(EVENT))
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.get_extra_info("socket").setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER 0: close resets
    return False


async def _not_http(ask: Mapping[str, Any], _: asyncio.StreamReader, writer: asyncio.StreamWriter, nth: int) -> bool:
    writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
    await asyncio.sleep(0.2)
    return False


async def _silent(ask: Mapping[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter, n: int) -> bool:
    writer.write(STREAM + b"transfer-encoding: chunked\r\n\r\n")  # a head, but no body
    await reader.read()
    return False


async def _stalls(ask: Mapping[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter, n: int) -> bool:
    writer.write(STREAM + b"transfer-encoding: chunked\r\n\r\n" + chunk(EVENT))
    await reader.read()
    return False


async def _once(ask: Mapping[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter, nth: int) -> bool:
    """Answers the first request of a connection, and closes when the second has come."""
    return await _chunked(ask, reader, writer, nth) if nth == 1 else False


async def _held(ask: Mapping[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter, nth: int) -> bool:
    """Answers the first request of a connection, holds the second, and breaks off without a byte."""
    if nth == 1:
        return await _chunked(ask, reader, writer, nth)
    await asyncio.sleep(1)
    if ask["by"] == "reset":
        writer.get_extra_info("socket").setsockopt(1, 13, struct.pack("ii", 1, 0))
    return False


async def _chatty(ask: Mapping[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter, n: int) -> bool:
    """Says something that nobody asked for after its answer."""
    more = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"
    writer.write(STREAM + b"content-length: %d\r\n\r\n" % len(DONE) + DONE + more)
    return False


BEHAVIOURS = {
    "chunked": _chunked,
    "length": _length,
    "until closed": _until_closed,
    "closing": _closing,
    "continued": _continued,
    "upgrade": _upgrade,
    "cut": _cut,
    "reset": _reset,
    "not http": _not_http,
    "silent": _silent,
    "stalls": _stalls,
    "once": _once,
    "held": _held,
    "chatty": _chatty,
}


@asynccontextmanager
async def answering(
    *, host: str = "127.0.0.1", unix: Path | None = None, context: ssl.SSLContext | None = None, backlog: int = 100
) -> AsyncIterator[Answering]:
    """A running server; ``port`` says where."""
    behaviour = Answering()
    if unix is not None:
        server: asyncio.AbstractServer = await asyncio.start_unix_server(behaviour.serve, unix, backlog=backlog)
    else:
        server = await asyncio.start_server(behaviour.serve, host, 0, ssl=context)
        behaviour.port = server.sockets[0].getsockname()[1]
    try:
        yield behaviour
    finally:
        server.close()
        await asyncio.sleep(0.01)


def make_plan(
    folder: Path,
    asks: Sequence[Mapping[str, Any]],
    *,
    cap: int | None = 1,
    dues: Sequence[float] | None = None,
    **changed: Any,
) -> Plan:
    """A plan of one-request chains, one for each of ``asks``."""
    folder.mkdir(parents=True, exist_ok=True)
    bodies, index = bytearray(), bytearray()
    for i, ask in enumerate(asks):
        body = json.dumps(ask).encode()
        due = dues[i] if dues else 0.0
        index += struct.pack(INDEX_ROW, len(bodies), len(body), i, 0, 0, due, 0.0, 1, 1, 0, math.nan)
        bodies += body
    (folder / "bodies.bin").write_bytes(bodies)
    (folder / "index.bin").write_bytes(index)
    values = {"scenario_id": "made", "folder": folder, "n": len(asks), "path": "/v1/completions", "chains": len(asks)}
    return Plan(**{**values, "max_in_flight": cap, **changed})


@dataclass
class Sent:
    """One request as the tape tells it."""

    sent: float = math.nan
    ready: float = math.nan
    due: float = math.nan
    connect_s: float = math.nan
    connection: int = 0
    reused: bool = False
    reconnected: bool = False
    data: bytes = b""
    arrivals: list[float] = field(default_factory=list)
    end: float = math.nan
    ending: int = -1
    words: str = ""


def understood(entries: Sequence[Entry]) -> dict[int, Sent]:
    """Request → what the tape says of it; checks that each ended once."""
    found: defaultdict[int, Sent] = defaultdict(Sent)
    for entry in entries:
        one = found[entry.request]
        if entry.kind == EntryKind.SENT:
            ready, due, connect_s, number, flags = struct.unpack(SENT_FIELDS, entry.data)
            assert math.isnan(one.sent) or (entry.time, ready) == (one.sent, one.ready), "its clocks started again"
            found[entry.request] = Sent(
                sent=entry.time, ready=ready, due=due, connect_s=connect_s, connection=number,
                reused=bool(flags & 1), reconnected=bool(flags & 2),
            )  # fmt: skip
        elif entry.kind == EntryKind.READ:
            one.data += entry.data
            one.arrivals.append(entry.time)
        else:
            assert one.ending == -1
            one.end, one.ending, one.words = entry.time, entry.data[0], entry.data[1:].decode()
    return dict(found)


async def sent(
    plan: Plan,
    base_url: str,
    tmp_path: Path,
    *,
    stop: asyncio.Event | None = None,
    verify: bool | str = True,
    **settings: Any,
) -> tuple[dict[int, Sent], LoadFacts]:
    """Send ``plan`` and read the tape."""
    settings.setdefault("timeouts", Timeouts(connect=5, first_token=10, between_tokens=10, total=20))
    target = Target(base_url=base_url, verify=verify)
    tape = tmp_path / "tape"
    facts = await load.send(plan, target, load.SendSettings(**settings), tape, stop or asyncio.Event())
    return understood(list(load.read(tape))), facts


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


def measuring_process() -> int:
    """Our child."""
    listing = subprocess.run(["ps", "-axo", "pid,ppid,command"], capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines()[1:]:
        pid, parent, command = line.split(maxsplit=2)
        if int(parent) == os.getpid() and "pytest_vllm_bench.load" in command:
            return int(pid)
    raise AssertionError(listing)


__all__ = [
    "DONE",
    "EVENT",
    "Answering",
    "Ending",
    "Sent",
    "answering",
    "chunk",
    "make_plan",
    "measuring_process",
    "sent",
    "understood",
    "until",
]
