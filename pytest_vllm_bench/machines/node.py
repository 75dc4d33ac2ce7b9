"""A listening machine: one who proves that he knows the token → his part of a plan, sent and understood here."""

from __future__ import annotations

import asyncio
import hashlib
import queue
import secrets
import ssl
import struct
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, cast

from msgspec import structs

from pytest_vllm_bench import environment, load
from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.files import private, private_folder
from pytest_vllm_bench.machines import line as between
from pytest_vllm_bench.machines.line import Line, LineLoss
from pytest_vllm_bench.measure.decode import Decoder
from pytest_vllm_bench.model import INDEX_ROW, LoadFacts, Message, Record, Target
from pytest_vllm_bench.plan.shard import ShardRows

#: Records of one message.
BATCH = 1000
#: Seconds that a caller may leave an idle machine waiting: another may want it; and one at work: he may be stopped, or
#: gone without a word.
IDLE_S, SILENT_S = 60.0, 30.0
#: A closed part of the tape that is understood is deleted beyond this size.
TAPE_BYTES = 1 << 30
#: What a job says of how to send.
TOLD = ("timeouts", "workers", "worker_cpus", "keep_alive", "drain_s", "request_id_prefix", "place", "closed")
#: What a part of a plan consists of.
FILES = ("index.bin", "numbers.bin", "turns.json", "bodies.bin")


async def about(cores: int | None = None) -> between.Welcome:
    """What this machine says of itself; ``cores``: that it may use, if not all."""
    limits = await load.limits(cores or environment.cores())
    return between.Welcome(versions=between.versions(), identity=between.identity(), limits=limits)


async def serve(
    where: tuple[str, int],
    token: bytes,
    told: Callable[[int], object],
    tls: ssl.SSLContext | None = None,
    welcome: between.Welcome | None = None,
    silence: float = SILENT_S,
) -> None:
    """Listen until cancelled; ``told`` the port.  One who calls while another is served is refused; one who is silent
    for so many seconds while his load is sent has had it."""
    busy = asyncio.Lock()
    meet = partial(_met, token=token, welcome=welcome or await about(), busy=busy, silence=silence)
    server = await asyncio.start_server(meet, *where, ssl=tls)
    async with server:
        told(server.sockets[0].getsockname()[1])
        await server.serve_forever()


async def _met(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    token: bytes,
    welcome: between.Welcome,
    busy: asyncio.Lock,
    silence: float,
) -> None:
    """Whoever called; without the token he hears a refusal and no more."""
    line = Line(reader, writer)
    try:
        ours = secrets.token_bytes(32)
        await line.say(between.Challenge(ours))
        proof = await line.hear()
        if not isinstance(proof, between.TokenProof) or not between.same(
            proof.mac, between.mac(token, "calls", ours, proof.nonce)
        ):
            await line.say(between.Decline(Message(key="machines.wrong_token")))
        elif busy.locked():
            await line.say(between.Decline(Message(key="machines.busy")))
        else:
            async with busy:
                line.most = between.MOST_BYTES
                await line.say(structs.replace(welcome, mac=between.mac(token, "listens", ours, proof.nonce)))
                await _attend(line, silence)
    except LineLoss:
        pass
    finally:
        await line.close()


async def _attend(line: Line, silence: float) -> None:
    """Do what a caller says until he hangs up; what is under way then ends."""
    errand, stop = cast("Errand | None", None), asyncio.Event()
    try:
        while True:
            line.patience = IDLE_S if errand is None or errand.idle else silence
            match message := await line.hear():
                case between.Ping():
                    await line.say(between.Pong(line.came, perf_counter()))
                case between.Alive():
                    pass
                case between.ShardJob() if errand is None:
                    errand = Errand(line, message, stop)
                case between.Halt():  # perhaps before there is anything to halt
                    stop.set()
                case _ if errand is not None:
                    errand.hear(message)
                case _:
                    raise LineLoss
    finally:
        if errand is not None:
            await errand.end()


class Errand:
    """One load under way."""

    def __init__(self, line: Line, job: between.ShardJob, stop: asyncio.Event) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="vllm-bench-", ignore_cleanup_errors=True)
        self.folder = Path(self._place.name)
        self.line, self.job, self.plan = line, job, replace(job.plan, folder=self.folder)
        self.task: asyncio.Task[None] | None = None
        self._loop, self._stop, self._over = asyncio.get_running_loop(), stop, threading.Event()
        self._start: float | None = None
        self._ready = False
        self._digest = hashlib.blake2b(digest_size=16)
        self._records: deque[Record] = deque()  # not told yet
        self._in_flight = 0
        self._counts: queue.SimpleQueue[list[int] | None] = queue.SimpleQueue()
        self._warnings: list[Message] = []

    def hear(self, message: Any) -> None:
        match message:
            case between.Piece(file="") if self.task is None:
                self.task = asyncio.create_task(self._run())
            case between.Piece() if self.task is None and message.file in FILES:
                self._digest.update(message.file.encode() + message.data)
                with private(self.folder / message.file, "ab") as out:
                    out.write(message.data)
            case between.Go():
                self._start = message.at
            case between.TokenCounts():
                self._counts.put(message.counts)
            case _:
                raise LineLoss(type(message).__name__)

    @property
    def idle(self) -> bool:
        """Not yet sending, or done."""
        return self.task is None or self.task.done()

    async def end(self) -> None:
        """At once, whatever is under way."""
        try:
            if self.task is not None:
                self.task.cancel()
                await asyncio.gather(self.task, return_exceptions=True)
        finally:  # the listener itself may be ended meanwhile
            self._place.cleanup()

    async def _run(self) -> None:
        """Send, and say what came; what goes wrong here is said, too."""
        try:
            facts = await self._sent()
            await self._tell()
            await self.line.say(between.Finish(facts))
        except LineLoss:
            pass
        except BenchError as error:
            await self.line.say(between.Decline(error.message))
        except Exception as error:  # a full disk, a mistake of ours: no other machine sees our traceback
            what = f"{type(error).__name__}: {error}"
            await self.line.say(between.Decline(Message(key="machines.broke", values={"what": what})))

    async def _sent(self) -> LoadFacts:
        job, tape = self.job, private_folder(self.folder / "tape")
        most = job.plan.max_in_flight or (self.folder / "index.bin").stat().st_size // struct.calcsize(INDEX_ROW)
        senders = job.workers * (job.place[1] if job.plan.max_in_flight else 1)  # of a part, or of the whole
        if (problem := load.open_files_problem(-(-most // senders))) and job.plan.max_in_flight:
            raise BenchError(problem.key, **problem.values)
        beside = [asyncio.create_task(self._alive()), asyncio.create_task(asyncio.to_thread(self._read, tape))]
        for task in beside:  # they end before the load only where it cannot go on
            task.add_done_callback(lambda _: self._stop.set())
        try:
            facts = await load.send(self.plan, self._target(), self._settings(), tape, self._stop)
            self._over.set()
            await beside[1]
        finally:
            self._over.set()
            self._counts.put(None)
            beside[0].cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        return replace(facts, warnings=(*facts.warnings, *self._warnings))

    def _settings(self) -> load.SendSettings:
        told = {name: getattr(self.job, name) for name in TOLD}
        return load.SendSettings(backend=BACKENDS[self.job.backend], start=self._started, **told)

    def _target(self) -> Target:
        target = self.job.target
        if not self.job.authorities:
            return target
        with private(self.folder / "authorities.pem") as out:
            out.write(self.job.authorities.encode())
        return replace(target, verify=str(self.folder / "authorities.pem"))

    def _started(self) -> float | None:
        """The start, once it is told; asked by the thread that serves the processes, when all are ready."""
        if not self._ready:
            self._ready = True
            asyncio.run_coroutine_threadsafe(self.line.say(between.Ready(self._digest.digest())), self._loop)
        return self._start

    def _read(self, tape: Path) -> None:
        """Understand the tape as it grows; for a thread, as ``reading.read_along`` is."""
        environment.yield_priority()
        decoder: Decoder | None = None
        count = self._count if self.job.counts else None
        for entry in load.follow(tape, self._over.is_set, keep_bytes=TAPE_BYTES, behind=self._behind):
            if decoder is None:
                decoder = Decoder(
                    self.plan,
                    BACKENDS[self.job.backend],
                    ShardRows(self.plan),  # type: ignore[arg-type]
                    count_tokens=count,
                    started=load.started(tape),
                    keep_text=self.job.keep_text,
                )
            if (record := decoder.feed(entry)) is not None:
                self._records.append(record)
            self._in_flight = decoder.in_flight
        self._records.extend(decoder.rest() if decoder else ())

    def _behind(self, unread: int) -> None:
        if not self._warnings:
            self._warnings.append(Message(key="load.behind", values={"size": f"{unread / 1e9:.1f} GB"}))
            self._loop.call_soon_threadsafe(self._stop.set)

    def _count(self, texts: list[str]) -> list[int]:
        """The controller has the tokenizer."""
        asyncio.run_coroutine_threadsafe(self.line.say(between.CountTokens(texts)), self._loop)
        if (counts := self._counts.get()) is None:
            raise LineLoss("over")
        return counts

    async def _alive(self) -> None:
        while True:
            await self._tell()
            await asyncio.sleep(between.SAYS_S)

    async def _tell(self) -> None:
        """A sign of life, and what has come since the last."""
        while True:
            batch = [self._records.popleft() for _ in range(min(BATCH, len(self._records)))]
            await self.line.say(between.Alive(batch, self._in_flight))
            if not self._records:
                return
