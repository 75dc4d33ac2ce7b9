"""Two machines that know one token → a line between them: whole messages, and none is waited for in vain.

Who does what
    A machine listens (``node``), the one that has the plan calls (``sending``).  The one that listens asks first; then
    each proves that it knows the token, by HMAC over both nonces, and neither says it.

What passes, each message as its length (u32) and MessagePack
    ← Challenge  → TokenProof  ← Welcome                who it is: versions, limits; or a Decline, here and at any time
    → Ping  ← Pong                                      before and after a load, to compare clocks
    → ShardJob  → Piece …                               what to send and how; the files of its part of the plan
    ← Ready  → Go                                       all connections are open; the start, in the listener's own clock
    ↔ Alive  ← CountTokens → TokenCounts  → Halt        once a second from the job on; ← with records that are whole
    ← Finish                                            what the client saw of itself
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import platform
import socket
import ssl
import struct
from array import array
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from pytest_vllm_bench import __version__
from pytest_vllm_bench.load import SendingLimits
from pytest_vllm_bench.model import LoadFacts, Message, Plan, Record, Target, Timeouts

#: Seconds between signs of life while a job is under way, and of silence after which the other side is lost.
SAYS_S, LOST_S = 1.0, 10.0
#: Bytes of a message: of one whom nobody knows yet, and of one who has proved himself.
FIRST_BYTES, MOST_BYTES = 4096, 1 << 30
_LENGTH = struct.Struct("<I")


class LineLoss(Exception):
    """The other side is gone, silent, or speaks of something else; words of the system's or ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where one listens and how it is spoken to; what it can: once it has said so."""

    host: str
    port: int
    token: bytes = field(repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    identity: str = ""
    limits: SendingLimits = SendingLimits()
    patience: float = LOST_S

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    @property
    def name(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Challenge(msgspec.Struct, tag=True):
    nonce: bytes


class TokenProof(msgspec.Struct, tag=True):
    nonce: bytes
    mac: bytes


class Welcome(msgspec.Struct, tag=True, kw_only=True):
    """Who listens there."""

    mac: bytes = b""
    versions: dict[str, str]
    identity: str  # of the machine
    limits: SendingLimits


class Decline(msgspec.Struct, tag=True):
    why: Message


class Ping(msgspec.Struct, tag=True):
    pass


class Pong(msgspec.Struct, tag=True):
    came: float
    went: float


class ShardJob(msgspec.Struct, tag=True, kw_only=True):
    """What a machine is to send, and how.  Its target's headers may hold secrets, and nothing of it touches a disk."""

    place: tuple[int, int]
    plan: Plan
    target: Target
    authorities: str  # the certificates that the server's is checked by, where a file here names them
    backend: str
    timeouts: Timeouts
    workers: int
    worker_cpus: tuple[int, ...]
    keep_alive: bool
    drain_s: float
    request_id_prefix: str
    closed: bool
    keep_text: bool
    counts: bool  # the controller has a tokenizer


class Piece(msgspec.Struct, tag=True):
    """A part of a file; without a name: that was all."""

    file: str = ""
    data: bytes = b""


class Ready(msgspec.Struct, tag=True):
    digest: bytes  # of what came


class Go(msgspec.Struct, tag=True):
    at: float


class Halt(msgspec.Struct, tag=True):
    pass


class Alive(msgspec.Struct, tag=True):
    records: list[Record] = []
    in_flight: int = 0


class CountTokens(msgspec.Struct, tag=True):
    texts: list[str]


class TokenCounts(msgspec.Struct, tag=True):
    counts: list[int]


class Finish(msgspec.Struct, tag=True):
    facts: LoadFacts


_Any = (
    Challenge | TokenProof | Welcome | Decline | Ping | Pong | ShardJob | Piece | Ready | Go | Halt | Alive
    | CountTokens | TokenCounts | Finish
)  # fmt: skip


def _encode(value: Any) -> Any:
    return value.typecode.encode() + value.tobytes() if isinstance(value, array) else str(value)


def _decode(kind: type, value: Any) -> Any:
    return array(value[:1].decode(), value[1:]) if kind is array else kind(value)


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_encode)
_DECODER = msgspec.msgpack.Decoder(_Any, dec_hook=_decode)


class Line:
    """One end of it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: float | None = LOST_S
    ) -> None:
        self.most, self.came, self.patience = FIRST_BYTES, 0.0, patience
        self._reader, self._writer = reader, writer
        if (sock := writer.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            ends = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": int(1000 * LOST_S)}
            for name, value in ends.items():
                with suppress(AttributeError, OSError):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    async def say(self, message: msgspec.Struct) -> None:
        data = _ENCODER.encode(message)
        try:
            self._writer.write(_LENGTH.pack(len(data)) + data)
            async with asyncio.timeout(self.patience or LOST_S):
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            self._writer.transport.abort()  # whoever listens to the line learns of it
            raise LineLoss(self._words(error)) from None

    async def hear(self) -> Any:
        """The next message, if it comes within the line's ``patience``; ``came``: when its first bytes were read."""
        try:
            async with asyncio.timeout(self.patience):
                (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
                self.came = perf_counter()
                if length > self.most:
                    raise LineLoss(f"{length:,} bytes")
                return _DECODER.decode(await self._reader.readexactly(length))
        except (OSError, EOFError, TimeoutError, msgspec.MsgspecError, ValueError) as error:
            raise LineLoss(self._words(error)) from None

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await self._writer.wait_closed()

    def _words(self, error: Exception) -> str:
        if isinstance(error, asyncio.IncompleteReadError):
            return "connection closed"
        if isinstance(error, TimeoutError):
            return f"silent for {self.patience or LOST_S:g} s"
        return str(error) or type(error).__name__


def mac(token: bytes, who: str, *nonces: bytes) -> bytes:
    return hmac.digest(token, b"\0".join((who.encode(), *nonces)), hashlib.sha256)


def same(one: bytes, other: bytes) -> bool:
    return hmac.compare_digest(one, other)


def identity() -> str:
    """Which machine, or container, this is."""
    with suppress(OSError):
        return f"{platform.node()} {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"
    return platform.node()


def versions() -> dict[str, str]:
    """What must be the same on all machines."""
    found = {"python": platform.python_version(), "pytest-vllm-bench": __version__}
    for package in ("msgspec", "uvloop"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
