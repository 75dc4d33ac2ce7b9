"""The server's machine, where that is this one → tracks of its processors and memory, and of the server's processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

from pytest_vllm_bench.model import Beside, Observed, Target, Track

PROC = Path("/proc")
_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_LISTENING = "0A"
#: Looks after which it is seen afresh who belongs to the server: that is reading of every process there is.
FAMILY = 10


class HostWatch(Beside):
    """One load's watcher; it reads ``/proc`` in a thread of its own, and where there is none it sees nothing."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._over = threading.Event()
        self._seen: dict[str, tuple[list[float], list[float]]] = {}
        self._root: int | None = None  # the process that listens at the server's port
        self._before: dict[str, tuple[float, float]] = {}  # seconds of a processor's work, when
        self._members: list[int] = []
        self._looks = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    async def begin(self, target: Target) -> None:
        with contextlib.suppress(OSError, ValueError):  # no /proc, or an address without a port
            self._root = await asyncio.to_thread(listener, urlsplit(target.base_url).port or 80)
        self._thread.start()

    async def end(self, interrupted: bool) -> Observed:
        self._over.set()
        tracks = (
            Track(name=name, device="host", every=self._every, times=tuple(times), values=tuple(values))
            for name, (times, values) in self._seen.items()
        )
        return Observed(tracks=tuple(tracks))

    def _watch(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError, ValueError, IndexError):
                self._look(perf_counter())
            self._over.wait(self._every)

    def _look(self, now: float) -> None:
        busy = [int(part) for part in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        self._rate("host_cpu_pct", now, (sum(busy) - busy[3] - busy[4]) / _TICK, os.cpu_count() or 1)
        memory = dict(line.split(":", 1) for line in (PROC / "meminfo").read_text().splitlines() if ":" in line)
        total, free = (float(memory[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
        self._add("host_memory_mib", now, (total - free) / 1024)
        if self._root is not None:
            if self._looks % FAMILY == 0:
                self._members = list(tree(self._root))
            self._looks += 1
            processes = [facts for one in self._members if (facts := facts_of(one)) is not None]
            self._rate("server_cpu_pct", now, sum(seconds for seconds, _ in processes), 1)
            self._add("server_memory_mib", now, sum(pages for _, pages in processes) * _PAGE / (1 << 20))

    def _rate(self, name: str, now: float, seconds: float, of: int) -> None:
        """Work since the look before, in percent (of one processor where ``of`` is 1)."""
        before, at = self._before.get(name, (seconds, now))
        self._before[name] = seconds, now
        if now > at:
            self._add(name, now, max(0.0, seconds - before) / (now - at) / of * 100)

    def _add(self, name: str, now: float, value: float) -> None:
        times, values = self._seen.setdefault(name, ([], []))
        times.append(now)
        values.append(value)


def listener(port: int) -> int | None:
    """The process that listens at a port of this machine, where it may be seen."""
    sockets = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (PROC / "net" / name).read_text().splitlines()[1:]:
                part = line.split()
                if part[3] == _LISTENING and int(part[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{part[9]}]")
    for process in sorted(int(path.name) for path in PROC.iterdir() if path.name.isdigit()) if sockets else ():
        with contextlib.suppress(OSError):  # somebody else's, or gone
            for opened in (PROC / str(process) / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(opened) in sockets:
                        return process
    return None


def tree(root: int) -> Iterator[int]:
    """A process and all that it started."""
    children: dict[int, list[int]] = {}
    for path in PROC.iterdir():
        if path.name.isdigit() and (part := _stat(int(path.name))):
            children.setdefault(int(part[1]), []).append(int(path.name))
    waiting = [root]
    while waiting:
        process = waiting.pop()
        waiting += children.get(process, [])
        yield process


def facts_of(process: int) -> tuple[float, int] | None:
    """Its seconds of work and pages of memory; None: it is gone."""
    part = _stat(process)
    return ((int(part[11]) + int(part[12])) / _TICK, int(part[21])) if part else None


def _stat(process: int) -> list[str]:
    """What stands behind the name, which may hold anything; empty where there is no such process."""
    try:
        return (PROC / str(process) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
