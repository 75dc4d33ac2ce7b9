"""An address → open connections, ahead of need where the need is known."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from time import perf_counter

from pytest_vllm_bench.load.tape import Tape
from pytest_vllm_bench.load.wire import Address, Connection, Flight, Hooks
from pytest_vllm_bench.model import Ending

#: Connections in the making at one time: more overflow the accept queue of a small server, which costs a second each.
AT_ONCE = 64
#: Errors of who connects and not of the server: no descriptor, port or memory is left.
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM)
#: From one try to connect to a Unix socket that takes nobody just now to the next.
AGAIN_S = 0.001


class Tasks:
    """What runs beside the callbacks.  A mistake in it ends the process; it does not just stop something."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            task.get_loop().call_exception_handler({"message": "a task failed", "exception": error})

    def cancel(self) -> None:
        for task in tuple(self._running):
            task.cancel()


class Pool:
    """The connections of one measuring process."""

    def __init__(
        self, where: Address, context: ssl.SSLContext | None, timeout: float, tape: Tape, hooks: Hooks, keep: bool
    ) -> None:
        self.where, self.context, self.timeout, self.tape, self.hooks, self.keep = (
            where, context, timeout, tape, hooks, keep,
        )  # fmt: skip
        self.idle: list[Connection] = []
        self.connecting = 0
        self.exhausted = ""  # the last error that was this machine's own
        self._expected = 0  # connections on their way because requests are due soon
        self.made = 0
        self.failed: OSError | None = None  # why the last one opened ahead could not be
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._resolved: list[str] = []
        self.tasks = Tasks()

    async def connect(self) -> Connection:
        """Open one connection.  Raises OSError (refused, DNS, TLS) or TimeoutError."""
        began = perf_counter()
        self.connecting += 1
        try:
            async with asyncio.timeout(self.timeout):
                connection = await self._open()
        finally:
            self.connecting -= 1
        connection.connect_s = perf_counter() - began
        return connection

    async def _open(self) -> Connection:
        loop, where, self.made = asyncio.get_running_loop(), self.where, self.made + 1
        make = partial(Connection, self.tape, self.hooks, self.made)
        while where.unix:
            try:
                return (await loop.create_unix_connection(make, where.unix, ssl=self.context))[1]
            except BlockingIOError:  # its accept queue is full; of TCP the kernel tries again by itself
                await asyncio.sleep(AGAIN_S)
        if not self._resolved:
            found = await loop.getaddrinfo(where.host, where.port, type=1)
            self._resolved = [info[4][0] for info in found if isinstance(info[4][0], str)]
        name = where.host if self.context else None
        for place, host in enumerate(self._resolved):
            try:
                made = await loop.create_connection(make, host, where.port, ssl=self.context, server_hostname=name)
            except OSError:
                if place + 1 == len(self._resolved):
                    raise
            else:
                self._resolved = [host]  # "localhost" may be ::1 first, with nobody there
                return made[1]
        raise OSError(f"{where.host}: no address")

    async def open_ahead(self, n: int) -> None:
        """Open ``n`` connections before the clock starts; those that fail are tried again when they are needed."""

        async def one() -> None:
            async with self._turn:
                if self.failed is None:
                    await self._add_idle()

        await asyncio.gather(*(one() for _ in range(n)))

    async def _add_idle(self) -> None:
        try:
            connection = await self.connect()
        except OSError as error:  # TimeoutError and ssl.SSLError are OSErrors
            self.failed = error
        else:
            self.failed = None
            if connection.open:
                self.idle.append(connection)

    def expect(self, n: int) -> None:
        """So many requests are due soon: open what is missing for them."""
        if self.keep:
            opening = max(self.connecting, self._expected)  # a task that has not begun counts as well
            for _ in range(min(n - len(self.idle) - opening, AT_ONCE - opening)):
                self._expected += 1
                self.tasks.spawn(self._add_expected())

    async def _add_expected(self) -> None:
        try:
            await self._add_idle()
        finally:
            self._expected -= 1

    def send(self, flight: Flight) -> bool:
        """Send on an idle connection, the one used last first; False: it waits for a new one to open."""
        while self.idle:
            connection = self.idle.pop()
            if connection.open:
                connection.start(flight)
                return True
        self.send_on_new(flight)
        return False

    def send_on_new(self, flight: Flight) -> None:
        """Send on a connection of its own, once it is open."""
        flight.waited = True
        self.tasks.spawn(self._send_on_new(flight))

    async def _send_on_new(self, flight: Flight) -> None:
        try:
            connection = await self.connect()
        except TimeoutError:
            self.hooks.failed(flight, Ending.TIMEOUT_CONNECT, "")
            return
        except OSError as error:
            if error.errno in EXHAUSTED:
                self.exhausted = str(error)
            self.hooks.failed(flight, Ending.CONNECT, str(error) or type(error).__name__)
            return
        if not self.hooks.connected(flight):
            connection.close()
            return
        if not flight.reconnected:  # else it has been sent already
            flight.ready = max(flight.ready, perf_counter())  # it could not have been sent without a connection
        connection.start(flight)

    def release(self, connection: Connection) -> None:
        """Its request has ended; keep it for the next, or close it."""
        if not self.keep:
            connection.close()
        elif connection.open:
            self.idle.append(connection)

    def forget(self, connection: Connection) -> None:
        with suppress(ValueError):
            self.idle.remove(connection)

    def close(self) -> None:
        self.tasks.cancel()
        for connection in self.idle:
            connection.close()
