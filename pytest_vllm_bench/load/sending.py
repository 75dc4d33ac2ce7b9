"""A plan and a target → measuring processes at work, watched, fed with the time, and asked for what they saw."""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import msgspec

from pytest_vllm_bench.files import private, private_folder
from pytest_vllm_bench.load import control
from pytest_vllm_bench.load.content import Content, name_of
from pytest_vllm_bench.load.limits import proxies_ignored
from pytest_vllm_bench.load.selfwatch import steal_ticks
from pytest_vllm_bench.model import Backend, LoadFacts, Message, Plan, Target, Timeouts, WorkerFacts

TICK_S = 0.01
#: From "all are ready" to the common start: time for the word to reach every worker.
HEADSTART_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSettings:
    """How a plan is sent.  ``headers`` may hold secrets; they go to the measuring process over its stdin."""

    backend: Backend | None = None  # whose reader tells tokens and ends from other bytes; None: HTTP alone does
    timeouts: Timeouts = Timeouts()
    workers: int = 1
    worker_cpus: Sequence[int] = ()  # processors that the workers are pinned to, in turn
    keep_alive: bool = True
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    drain_s: float = 2.0  # what is in flight when the run is stopped has this long to end
    request_id_prefix: str = ""
    place: tuple[int, int] = (0, 1)  # which machine this is, and of how many: the plan has no chains of the others
    closed: bool | None = None  # all of the load is due at once; None: as this plan looks
    start: Callable[[], float | None] | None = None  # asked when all are ready, until it says when they are to start


async def send(plan: Plan, target: Target, settings: SendSettings, folder: Path, stop: asyncio.Event) -> LoadFacts:
    """Send ``plan`` to ``target``; what comes lies in ``folder`` as tape segments, readable while it is written.

    Setting ``stop`` ends the sending: what is in flight has ``settings.drain_s`` to end, and is then cancelled.
    A cancelled ``send`` kills the measuring processes.  A process that dies is said in its ``WorkerFacts.died``; the
    others go on.
    """
    workers, (machine, machines) = at_most(settings.workers, plan, settings.place[1]), settings.place
    places = [(machine + machines * i, machines * workers) for i in range(workers)]
    crew = _Crew([_job(plan, target, settings, folder, place) for place in places], folder, settings.start)
    watcher = asyncio.create_task(_pass_on(stop, crew))
    try:
        facts = await asyncio.to_thread(crew.run)
    finally:
        watcher.cancel()
        crew.kill()
    return facts


def at_most(workers: int, plan: Plan, machines: int = 1) -> int:
    """So many processes that each, on each machine, has a chain, and a slot at all times."""
    caps = [cap for cap in (plan.max_in_flight, *(cap for _, cap in plan.steps)) if cap is not None]
    return max(1, min(workers, *(most // machines for most in (plan.chains, *caps))))


async def _pass_on(stop: asyncio.Event, crew: _Crew) -> None:
    await stop.wait()
    crew.stop()


def _job(plan: Plan, target: Target, settings: SendSettings, folder: Path, place: tuple[int, int]) -> control.SendJob:
    backend = settings.backend
    return control.SendJob(
        worker=place[0],
        workers=place[1],
        plan_folder=str(plan.folder.absolute()),
        tape_folder=str(folder.absolute()),
        base_url=target.base_url,
        verify=target.verify,
        path=plan.path,
        content_type=plan.content_type,
        sign=backend.sign if backend else Content().sign,
        framing=backend.framing if backend else "json",
        reader=name_of(backend),
        models=plan.models,
        headers={**(backend.headers if backend else {}), **target.headers, **settings.headers},
        request_id_prefix=settings.request_id_prefix,
        cap=plan.max_in_flight,
        steps=plan.steps,
        duration=plan.duration,
        timeouts=settings.timeouts,
        keep_alive=settings.keep_alive,
        cpu=settings.worker_cpus[place[0] // settings.place[1] % len(settings.worker_cpus)]
        if settings.worker_cpus
        else None,
        drain_s=settings.drain_s,
        closed=settings.closed,
    )


def _path() -> dict[str, str]:
    """Where a bare checkout is; what is installed is found anyway, and must not come before the standard library."""
    home = Path(__file__).parents[2]
    if home.name in ("site-packages", "dist-packages"):
        return {}
    return {"PYTHONPATH": os.pathsep.join([str(home), *filter(None, [os.environ.get("PYTHONPATH")])])}


class _Member:
    """One measuring process, seen from here."""

    def __init__(self, job: control.SendJob, folder: Path) -> None:
        self.job = job
        self.channel, theirs = socket.socketpair()
        self.frames = control.Frames()
        self.ready = False
        self.facts: WorkerFacts | None = None
        self.died = ""
        self.full = False  # the disk, which is what it died of
        self._unsaid = bytearray()
        self._words = folder / f"w{job.worker}.err"
        with theirs, private(self._words) as words:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "pytest_vllm_bench.load"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=words,
                env={**os.environ, **_path()},
                start_new_session=True,  # the terminal's Ctrl-C is for the parent to pass on
            )
        self.say(control.JOB, msgspec.json.encode(job))
        self.channel.setblocking(False)

    @property
    def over(self) -> bool:
        return self.facts is not None or bool(self.died)

    def say(self, kind: int, data: bytes = b"") -> None:
        self._unsaid += control.frame(kind, data)
        del data  # a job holds keys, and pytest shows the locals of what fails
        self._push()

    def _push(self) -> None:
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):  # far behind: again with the next tick
            while self._unsaid:
                del self._unsaid[: self.channel.send(self._unsaid)]

    def tick(self) -> None:
        self._push()
        with suppress(OSError):  # gone, or so far behind that the ticks already on the way tell enough
            if not self._unsaid:
                self.channel.send(control.frame(control.TICK, control.TIME.pack(perf_counter())))

    def hear(self) -> None:
        """Take what the process says; the end of the stream before its facts is its death."""
        try:
            data = self.channel.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.process.wait()
            self.full = self.process.returncode == control.DISK_FULL
            self.died = str(self._words.parent) if self.full else self._last_words()
        for kind, content in self.frames.feed(data):
            if kind == control.READY:
                self.ready = True
            elif kind == control.FACTS:
                self.facts = msgspec.json.decode(content, type=WorkerFacts)

    def _last_words(self) -> str:
        lines = self._words.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self.process.returncode}"

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.channel.close()
        if not self.died:
            self._words.unlink(missing_ok=True)


class _Crew:
    """All measuring processes of one load, served by one thread."""

    def __init__(
        self, jobs: Sequence[control.SendJob], folder: Path, start: Callable[[], float | None] | None = None
    ) -> None:
        private_folder(folder)
        self._start = start or (lambda: perf_counter() + HEADSTART_S)
        self.members: list[_Member] = []
        try:
            for job in jobs:
                self.members.append(_Member(job, folder))
        except OSError:  # no more processes, or files: none rather than some
            for member in self.members:
                member.end()
            raise
        self._stop = threading.Event()
        self._killed = threading.Event()

    def stop(self) -> None:
        self._stop.set()

    def kill(self) -> None:
        self._killed.set()

    def run(self) -> LoadFacts:
        """Blocks until every process has ended; for a thread."""
        with selectors.DefaultSelector() as selector:
            for member in self.members:
                selector.register(member.channel, selectors.EVENT_READ, member)
            try:
                return self._serve(selector)
            finally:
                for member in self.members:
                    member.end()

    def _serve(self, selector: selectors.BaseSelector) -> LoadFacts:
        started, stopped = 0.0, False
        before = steal_ticks()
        next_tick = perf_counter()
        while not all(member.over for member in self.members) and not self._killed.is_set():
            for key, _ in selector.select(max(0.0, next_tick - perf_counter())):
                key.data.hear()
                if key.data.over:
                    selector.unregister(key.fileobj)
            alive = [member for member in self.members if not member.over]
            if not started and all(member.ready for member in alive):
                started, before = self._start() or 0.0, steal_ticks()
                for member in alive if started else ():
                    member.say(control.GO, control.TIME.pack(started))
            if self._stop.is_set() and not stopped:
                stopped = True
                if not started:
                    break  # nothing has been sent yet, and a server that accepts nobody may keep them from being ready
                for member in alive:
                    member.say(control.STOP)
            if perf_counter() >= next_tick:
                next_tick += TICK_S * max(1, int((perf_counter() - next_tick) / TICK_S))
                for member in alive:
                    member.tick()
        return self._facts(started or perf_counter(), stopped, _steal(before, steal_ticks()))

    def _facts(self, started: float, stopped: bool, steal: float | None) -> LoadFacts:
        ended = perf_counter()
        facts = tuple(member.facts or _dead(member, started, ended) for member in self.members)
        deaths = [member for member in self.members if member.died]
        warnings = [
            Message(
                key="load.disk_full" if m.full else "load.worker_died",
                values={"worker": m.job.worker, "words": m.died},
            )
            for m in deaths
        ]
        return LoadFacts(
            started=started,
            ended=max((worker.ended for worker in facts), default=ended),
            workers=facts,
            complete=not (stopped or deaths or self._killed.is_set()),
            stop_reason="stopped" if stopped else "worker_died" if deaths else "",
            steal=steal,
            warnings=(*warnings, *filter(None, [proxies_ignored()])),
        )


def _dead(member: _Member, started: float, ended: float) -> WorkerFacts:
    nothing = WorkerFacts(
        worker=member.job.worker, started=started, ended=ended, cpu_s=0.0, reads=0, bytes_in=0, bytes_out=0
    )
    return replace(nothing, died=member.died, disk_full=member.full)


def _steal(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    if before is None or after is None or after[1] <= before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1])
