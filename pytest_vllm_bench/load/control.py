"""Frames on the socket between the sending side and a measuring process: both directions of one stdin.

The parent sends JOB (JSON), GO (the common start), TICK (its clock, every 10 ms), STOP; the process answers
READY and FACTS (JSON).  An end of the stream means that the other side is gone.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

import msgspec

from pytest_vllm_bench.framing import Framing
from pytest_vllm_bench.model import Timeouts

JOB, GO, TICK, STOP, READY, FACTS = range(1, 7)
FRAME = struct.Struct("<BI")  # kind, length
#: What the system says where there is no room, and how a measuring process ends then.
FULL, DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG), 73
TIME = struct.Struct("<d")


class SendJob(msgspec.Struct, kw_only=True, frozen=True):
    """All that a measuring process is told.  Travels over its stdin and touches no disk: headers may hold secrets."""

    worker: int
    workers: int
    plan_folder: str
    tape_folder: str
    base_url: str
    verify: bool | str
    path: str
    content_type: str
    sign: bytes
    framing: Framing
    reader: str
    models: tuple[str, ...]
    headers: dict[str, str]
    request_id_prefix: str
    cap: int | None
    steps: tuple[tuple[float, int], ...]
    duration: float | None
    timeouts: Timeouts
    keep_alive: bool
    cpu: int | None
    drain_s: float
    closed: bool | None = None  # None: as the plan looks

    def __repr__(self) -> str:
        return f"Job(worker={self.worker}, base_url={self.base_url!r}, ...)"  # no headers, nor a path with a key in it


def frame(kind: int, data: bytes = b"") -> bytes:
    return FRAME.pack(kind, len(data)) + data


class Frames:
    """Bytes as they come → whole frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        data = self._rest + data
        at = 0
        while at + FRAME.size <= len(data):
            kind, length = FRAME.unpack_from(data, at)
            if at + FRAME.size + length > len(data):
                break
            yield kind, data[at + FRAME.size : at + FRAME.size + length]
            at += FRAME.size + length
        self._rest = data[at:]
