"""A job → its requests, sent on time; every read of every answer, on the tape."""

from __future__ import annotations

import asyncio
import gc
import mmap
import os
import socket
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, NoReturn, cast

import msgspec

from pytest_vllm_bench.load import control
from pytest_vllm_bench.load.burst import event_cost
from pytest_vllm_bench.load.clock import Alarm
from pytest_vllm_bench.load.content import Content
from pytest_vllm_bench.load.control import SendJob
from pytest_vllm_bench.load.dispatch import Chain, Dispatch, Outside, PlannedRow, chains, is_closed, share
from pytest_vllm_bench.load.pool import Pool
from pytest_vllm_bench.load.selfwatch import SelfWatch, go_first, keep_to
from pytest_vllm_bench.load.tape import Tape
from pytest_vllm_bench.load.turns import NoAnswer, Turns
from pytest_vllm_bench.load.wire import Connection, Flight, Hooks, address, heads, tls
from pytest_vllm_bench.model import Ending

#: Objects before a collection, which holds every stream at once.  Reading makes no cycles, so that none is made while
#: all goes well; connections that fail leave some behind, and a server that is gone must not fill the memory.
GARBAGE = 50_000
#: Connections that are looked at in one turn of the loop: less than a millisecond of it.
SWEPT = 16
LEAD_S = 0.25  # connections are opened this long before the requests that need them are due


class Worker:
    """One measuring process at work on its shard."""

    def __init__(self, job: SendJob, loop: asyncio.AbstractEventLoop) -> None:
        self.job, self.loop = job, loop
        folder = Path(job.plan_folder)
        index = _mapped(folder / "index.bin")
        closed = is_closed(index) if job.closed is None else job.closed
        self.bodies = os.open(folder / "bodies.bin", os.O_RDONLY)
        self.turns = Turns.of(folder)
        self.tape = Tape(Path(job.tape_folder), job.worker, loop.call_later)
        self.watch = SelfWatch(job.worker, _loop_name(loop), self.tape)
        self.hooks = Hooks(
            ended=self._ended,
            died_early=self._again,
            connected=self._connected,
            failed=self._failed,
            lost=self._lost,
            rested=lambda connection: self.pool.release(connection),
            content=Content.of(job.sign, job.framing, job.reader),
        )
        where = address(job.base_url)
        context = tls(job.verify) if where.secure else None
        self.pool = Pool(where, context, job.timeouts.connect, self.tape, self.hooks, job.keep_alive)
        self.heads = [
            heads(where, job.path.replace("{model}", model), job.content_type, job.headers, job.keep_alive)
            for model in job.models or ("",)
        ]
        self.alarm = Alarm(loop, self._pump)
        self.dispatch = Dispatch(
            self._chains(),
            Outside(
                clock=perf_counter,
                wake=self.alarm.set,
                launch=self._launch,
                expect=self.pool.expect,
                skip=self._skip,
            ),
            cap=share(job.cap, job.worker, job.workers),
            steps=[(at, share(cap, job.worker, job.workers) or 0) for at, cap in job.steps],
            closed=closed,
            lead=LEAD_S,
        )
        self.flights: dict[int, Flight] = {}  # those that wait for a connection, by row
        self.done = asyncio.Event()
        self._start = 0.0
        self._begun = False
        self._sweep_s = max(0.01, min(0.25, _smallest(job) / 10))

    async def prepare(self) -> None:
        """Learn what an event costs here, and open the connections that the first moments need."""
        self.watch.event_cost_s = await event_cost()
        if self.job.keep_alive:
            await self.pool.open_ahead(self._first_need())

    def _chains(self) -> Iterator[Chain]:
        """Of a plan that is a part of one, by their numbers there."""
        folder = Path(self.job.plan_folder)
        numbers = folder / "numbers.bin"
        known = memoryview(_mapped(numbers)).cast("B").cast("I") if numbers.exists() else None
        return chains(_mapped(folder / "index.bin"), self.job.worker, self.job.workers, known)

    def _first_need(self) -> int:
        limit = share(self.job.cap, self.job.worker, self.job.workers)
        n = 0
        for chain in self._chains():
            if chain[0].due > LEAD_S or n == limit:
                break
            n += 1
        return n

    def go(self, start: float) -> None:
        """The clock starts at ``start``."""
        self.tape.begin(start)
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE)
        self._start = start
        self.alarm.set(start)

    def _pump(self) -> None:
        if not self._begun:
            self._begun = True
            self.watch.begin(self._start)
            self.dispatch.begin(self._start, self.job.duration)
            self.loop.call_later(self._sweep_s, self._sweep)
        else:
            self.dispatch.pump()
        self._check_finished()

    def _launch(self, row: PlannedRow, ready: float, due: float) -> None:
        body = os.pread(self.bodies, row.length, row.offset)
        own = f"x-request-id: {self.job.request_id_prefix}{row.number}\r\n"
        if self.turns is not None:
            body = self.turns.body(row, body)
            # What sticky routers send a conversation back to its server by.
            own += f"x-session-id: {self.job.request_id_prefix}{row.chain}\r\n"
        own += f"content-length: {len(body)}\r\n\r\n"
        head = self.heads[row.model if row.model < len(self.heads) else 0]
        payload = b"".join((head, own.encode(), body))
        self.watch.bytes_out += len(payload)
        more = self.dispatch.has_more(row)
        self._send(Flight(row=row, payload=payload, ready=ready, due=due, response=[] if more else None))

    def _send(self, flight: Flight) -> None:
        if not self.pool.send(flight):
            self.flights[flight.row.number] = flight

    def _connected(self, flight: Flight) -> bool:
        return self.flights.pop(flight.row.number, None) is not None

    def _failed(self, flight: Flight, ending: int, words: str) -> None:
        """No connection could be made for it."""
        if self.flights.pop(flight.row.number, None) is not None:
            at = perf_counter()
            self.tape.end(flight.row.number, at, ending, words)
            if flight.response is not None:
                self._no_answer(flight, at)
            self._free(flight, at)

    def _ended(self, connection: Connection, flight: Flight, at: float, answered: bool) -> None:
        if connection.open:
            self.pool.release(connection)
        if answered and flight.response is not None and self.turns is not None:
            self.pool.tasks.spawn(self._read_answer(self.turns, flight, at))
        elif flight.response is not None:
            self._no_answer(flight, at)
        elif self.turns is not None:
            self.turns.over(flight.row)
        self._free(flight, at)

    async def _read_answer(self, turns: Turns, flight: Flight, at: float) -> None:
        try:
            await turns.answered(flight.row, flight.response or [])
        except NoAnswer:
            self._no_answer(flight, at)
        else:
            self.dispatch.answered(flight.row, at)
        self._pump()

    def _no_answer(self, flight: Flight, at: float) -> None:
        if self.turns is not None:
            self.turns.over(flight.row)
        self.dispatch.answered(flight.row, at, well=False)

    def _free(self, flight: Flight, at: float) -> None:
        self.dispatch.freed(flight.row, at)
        self._pump()  # at once: put off until all reads of this turn are done, sends come late and together

    def _again(self, flight: Flight) -> None:
        flight.reconnected = True
        self.flights[flight.row.number] = flight
        self.pool.send_on_new(flight)

    def _lost(self, connection: Connection) -> None:
        self.pool.forget(connection)

    def _skip(self, row: PlannedRow) -> None:
        self.tape.end(row.number, perf_counter(), Ending.NOT_SENT)

    def _sweep(self) -> None:
        reads = self.tape.reads + sum(connection.reads for connection in self.hooks.active)
        self.watch.sample(perf_counter(), reads)
        self._sweep_on([*self.hooks.active])

    def _sweep_on(self, connections: list[Connection]) -> None:
        """A few at a time: what arrives meanwhile is read between them."""
        now, limits = perf_counter(), self.job.timeouts
        for connection in connections[-SWEPT:]:
            ending = connection.overdue(now, limits)
            if ending is not None:
                connection.give_up(ending)
        del connections[-SWEPT:]
        if connections:
            self.loop.call_soon(self._sweep_on, connections)
        elif not self.done.is_set():
            self.loop.call_later(self._sweep_s, self._sweep)

    def stop(self) -> None:
        """Send nothing more; what is in flight has ``drain_s`` to end."""
        if not self._begun:
            self._pump()
        self.dispatch.stop()
        self.loop.call_later(self.job.drain_s, self._cancel)
        self._check_finished()

    def _cancel(self) -> None:
        for connection in tuple(self.hooks.active):
            connection.give_up(Ending.CANCELLED)
        for flight in tuple(self.flights.values()):
            self._failed(flight, Ending.CANCELLED, "")

    def _check_finished(self) -> None:
        if self.dispatch.finished:
            self.done.set()


class _Stdin(asyncio.Protocol):
    """The worker's end of the control socket."""

    def __init__(self) -> None:
        self.frames = control.Frames()
        self.job: asyncio.Future[SendJob] = asyncio.get_running_loop().create_future()
        self.worker: Worker | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for kind, content in self.frames.feed(data):
            if kind == control.JOB:
                self.job.set_result(msgspec.json.decode(content, type=SendJob))
            elif self.worker is None:
                continue
            elif kind == control.TICK:
                self.worker.watch.tick(control.TIME.unpack(content)[0])
            elif kind == control.GO:
                self.worker.go(control.TIME.unpack(content)[0])
            elif kind == control.STOP:
                self.worker.stop()

    def connection_lost(self, error: Exception | None) -> None:
        os._exit(1)  # the parent is gone, and with it whoever wanted to know


async def work() -> None:
    """What a measuring process does with its life."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_die)
    go_first()
    channel = socket.socket(fileno=os.dup(0))
    channel.setblocking(False)
    _, stdin = await loop.create_unix_connection(_Stdin, sock=channel)
    job = await stdin.job
    keep_to(job.cpu)
    worker = stdin.worker = Worker(job, loop)
    await worker.prepare()
    stdin.transport.write(control.frame(control.READY))
    await worker.done.wait()
    worker.tape.flush()
    facts = replace(worker.watch.facts(), exhausted=worker.pool.exhausted)
    worker.tape.close()
    worker.pool.close()
    stdin.transport.write(control.frame(control.FACTS, msgspec.json.encode(facts)))
    await asyncio.sleep(3600)  # the parent closes the socket once it has read them


def _die(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A mistake of ours, or a full disk: say it and end, rather than go on with a tape that lacks something."""
    _end(context.get("exception"), context["message"])


def _end(error: BaseException | None, words: str = "") -> NoReturn:
    full = isinstance(error, OSError) and error.errno in control.FULL
    with suppress(OSError):  # a full disk takes no words either
        if error is not None:
            traceback.print_exception(error)
        print(f"{type(error).__name__}: {error}" if error else words, file=sys.stderr, flush=True)
    os._exit(control.DISK_FULL if full else 70)


def main() -> None:
    """One measuring process, from its first word to its last."""
    try:
        run_on_uvloop(work)
    except OSError as error:
        _end(error)


def run_on_uvloop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())


def _mapped(path: Path) -> memoryview | bytes:
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return b""
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _smallest(job: SendJob) -> float:
    limits = job.timeouts
    return min(limits.first_token, limits.between_tokens, limits.total)


def _loop_name(loop: asyncio.AbstractEventLoop) -> str:
    module = type(loop).__module__.split(".")[0]
    version = getattr(sys.modules.get(module), "__version__", "")
    return f"{module} {version}".strip() if module == "uvloop" else "asyncio"
