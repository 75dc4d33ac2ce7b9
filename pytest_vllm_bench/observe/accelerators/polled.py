"""A command or an exporter, asked every so often in a thread of its own → tracks, one a device and quantity.

What hangs is killed, what floods is cut, what fails is said; none holds up the run for longer than ``PATIENCE``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from pytest_vllm_bench.errors import ServerError
from pytest_vllm_bench.model import Beside, Message, Observed, Target
from pytest_vllm_bench.observe.accelerators import exporter
from pytest_vllm_bench.observe.accelerators.seen import DeviceLog, DeviceReading
from pytest_vllm_bench.observe.pages import fetch

#: Seconds: from one look to the next, for the first one, and for one after the last answer.
EVERY, PATIENCE, LAST = 1.0, 5.0, 3.0
#: Looks that bring nothing from the start, after which nobody asks any more.
IN_VAIN = 2
#: Seconds that one call may take, and characters that are read of what it says.
TIMEOUT, MOST = 5.0, 4 << 20

#: What one look brought; empty where nothing was told.  ``OSError`` and ``ServerError`` say why.
Look = Callable[[], Sequence[DeviceReading]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """How one maker's devices are asked: the first command that is there, with the first arguments that it answers.

    ``then``: from what it said, the calls that say the rest.
    """

    maker: str
    names: tuple[str, ...]
    arguments: tuple[tuple[str, ...], ...]
    read: Callable[[str], list[DeviceReading]]
    then: Callable[[str], Sequence[Sequence[str]]] = lambda _: ()

    def found(self) -> list[str]:
        return [path for name in self.names if (path := shutil.which(name))]


class CommandCalls:
    """Commands that are asked, and can be ended at any moment."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []
        self._over = False

    def said(self, commands: Sequence[Sequence[str]]) -> list[str]:
        """What each prints, all of them at once; one that takes too long is killed with its children."""
        running = [self._start(command) for command in commands]
        ends = [threading.Timer(TIMEOUT, killed, [process]) for process in running]
        for end in ends:
            end.daemon = True
            end.start()
        said = []
        for process, end in zip(running, ends, strict=True):
            assert process.stdout is not None
            with process.stdout as out:
                said.append(out.read(MOST).decode("utf-8", "replace"))
            end.cancel()
            killed(process)
            self._running.remove(process)
        return said

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            list(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # the terminal's Ctrl-C is not for it
        )
        self._running.append(process)
        if self._over:
            killed(process)
        return process

    def end(self) -> None:
        self._over = True
        for process in list(self._running):
            killed(process)


class DevicePoll(Beside):
    """One load's watcher; what it has seen is read when it has ended."""

    def __init__(self, named: str, look: Look, calls: CommandCalls | None = None, *, wanted: bool = True) -> None:
        self._named, self._look, self._wanted = named, look, wanted
        self._calls = calls or CommandCalls()
        self._log = DeviceLog(EVERY)
        self._over = threading.Event()
        self._asked = threading.Event()  # once, whatever it brought
        self._missed = self._looks = 0
        self._words = ""
        self._thread = threading.Thread(target=self._watch, daemon=True)  # one that hangs is left behind

    async def begin(self, target: Target) -> None:
        self._thread.start()
        await self._until(self._asked.is_set, PATIENCE)

    async def end(self, interrupted: bool) -> Observed:
        now = perf_counter()
        if self._log.devices and not interrupted:
            await self._until(lambda: self._log.last() > now, LAST)
        self._over.set()
        self._calls.end()
        self._thread.join(0.05)
        values = {"what": self._named, "missed": self._missed, "looks": self._looks, "said": self._words[:200] or "–"}
        notes = []
        if not interrupted and ((self._wanted and not self._log.devices) or (self._missed and self._log.devices)):
            notes.append(Message(key="observe.devices_missed", values=values))
        if self._named.startswith("http"):
            self._log.refreshed()
        return self._log.observed(notes)

    async def _until(self, held: Callable[[], bool], seconds: float) -> None:
        limit = perf_counter() + seconds
        while not held() and self._thread.is_alive() and perf_counter() < limit:  # noqa: ASYNC110  # threads tell
            await asyncio.sleep(0.01)

    def _watch(self) -> None:
        while not self._over.is_set():
            began = perf_counter()
            readings: Sequence[DeviceReading] = ()
            try:
                readings = self._look()
            except Exception as error:  # of the system's, of what it printed, or a mistake of ours
                self._words = str(error) or type(error).__name__
            if self._over.is_set():
                return
            self._looks += 1
            self._missed += not readings
            if readings:
                self._log.take((began + perf_counter()) / 2, readings)
            if self._missed >= IN_VAIN and not self._log.devices:
                return
            self._asked.set()
            self._over.wait(max(0.0, EVERY - (perf_counter() - began)))


def by_command(commands: Commands, *, wanted: bool = True) -> DevicePoll | None:
    """None where no such command is there; one that nobody ``wanted`` may be there without a device."""
    paths = commands.found()
    if not paths:
        return None
    calls = CommandCalls()
    working: list[tuple[str, tuple[str, ...]]] = []

    def look() -> Sequence[DeviceReading]:
        said = ""
        for path, arguments in working or [(p, a) for p in paths for a in commands.arguments]:
            (said,) = calls.said([[path, *arguments]])
            readings = commands.read(said + "".join(calls.said([[path, *more] for more in commands.then(said)])))
            if readings:
                working[:] = [(path, arguments)]
                return readings
        raise OSError(" ".join(said.split())[:200] or "–")

    return DevicePoll(os.path.basename(paths[0]), look, calls, wanted=wanted)


def by_url(url: str) -> DevicePoll:
    """An exporter's page; a path is added where the address has none."""
    base, path = url, ""
    if url.count("/") < 3:
        path = "/metrics"

    def look() -> Sequence[DeviceReading]:
        try:
            page = asyncio.run(fetch(Target(base_url=base), path, TIMEOUT, most=MOST))
        except ServerError as error:
            raise OSError(error.message.key) from None
        if page.status != 200:
            raise OSError(f"HTTP {page.status}")
        return exporter.read(page.body.decode("utf-8", "replace"))

    return DevicePoll(url, look)


def called(command: Sequence[str]) -> str:
    """What one command prints."""
    return CommandCalls().said([command])[0]


def killed(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children, if it has not ended itself."""
    if process.poll() is not None:
        return
    with contextlib.suppress(OSError, AttributeError):  # Windows has no groups
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        process.kill()
        process.wait(1)
