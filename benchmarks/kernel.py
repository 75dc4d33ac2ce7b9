"""The kernel's receive timestamps (SO_TIMESTAMPNS) → what a reader in user space adds, and what asking costs.

An experiment: the client does not use them.  They need ``recvmsg`` with ancillary data for every read, which no event
loop offers, carry the calendar's clock, and on TCP tell when the *last* of the bytes read arrived.
"""

from __future__ import annotations

import select
import socket
import statistics
import struct
import time
from pathlib import Path

from benchmarks.own import planned
from benchmarks.truth import Case, serving

CASE = Case(concurrency=256, requests=256)
SO_TIMESTAMPNS = 35
_timespec = struct.Struct("qq")


def report(folder: Path) -> str:
    plain, _ = _received(folder, stamped=False)
    stamped, lags = _received(folder, stamped=True)
    lags.sort()
    middle, tail = statistics.median(lags) * 1e6, lags[int(len(lags) * 0.99)] * 1e6
    return (
        f"kernel timestamps, C={CASE.concurrency}: a plain epoll loop reads {middle:.0f} µs (p99 {tail:.0f} µs) after "
        f"the kernel received; an event costs {plain:.2f} µs of CPU with recv, {stamped:.2f} µs with recvmsg"
    )


def _received(folder: Path, *, stamped: bool) -> tuple[float, list[float]]:
    """µs of CPU an event, and for each read how long after the kernel's timestamp it was (seconds)."""
    made = planned(CASE, folder / "plan")
    body = (made.folder / "bodies.bin").read_bytes()
    head = f"POST {made.path} HTTP/1.1\r\nhost: truth\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    lags: list[float] = []
    with serving(CASE, folder) as server, select.epoll() as poll:
        open_ = {}
        for _ in range(CASE.concurrency):
            link = socket.create_connection(("127.0.0.1", server.port))
            if stamped:
                link.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            poll.register(link, select.EPOLLIN)
            open_[link.fileno()] = link
            link.sendall(head + body)
        began, reads = time.process_time(), 0
        waiting = set(open_)
        while waiting:
            for fd, _ in poll.poll():
                reads += 1
                data = _read_stamped(open_[fd], lags) if stamped else open_[fd].recv(65536)
                if data.endswith(b"0\r\n\r\n"):
                    waiting.discard(fd)
        cpu = time.process_time() - began
        for link in open_.values():
            link.close()
    return cpu / reads * 1e6, lags


def _read_stamped(link: socket.socket, lags: list[float]) -> bytes:
    data, ancillary, _, _ = link.recvmsg(65536, 64)
    now = time.clock_gettime(time.CLOCK_REALTIME)
    for _, kind, content in ancillary:
        if kind == SO_TIMESTAMPNS:
            seconds, rest = _timespec.unpack(content)
            lags.append(now - seconds - rest / 1e9)
    return data
