"""The engine's steps, against the wall clock → tokens that streams wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

from pytest_vllm_bench.simulator.engine import Engine, Job

FORGIVEN = 0.05  # seconds late beyond which time is not made up for: the engine was slow then, like a real one


@dataclass(slots=True, eq=False)
class Stream:
    """One job's tokens as they are made.  ``on_token`` is called after each; ``wait`` for the next ones.

    ``times``: when it came, began, and made its first and its last token."""

    job: Job
    on_token: Callable[[Stream], None]
    made: int = 0
    times: list[float] = field(default_factory=list)
    _waiter: asyncio.Future[None] | None = field(default=None)

    async def wait(self, more_than: int) -> int:
        """How many tokens there are, once they are more than so many, or all."""
        while self.made <= more_than and self.made < self.job.output_len:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self.made

    def token(self, now: float) -> None:
        self.made += 1
        self.times[2:] = [self.times[2] if self.made > 1 else now, now]
        self.on_token(self)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Live:
    """An engine that runs while there is something to do.  Deadlines are absolute, so that no lateness adds up."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.steps = 0
        self._taken = 0.0  # when its front end will have taken in the last request
        self._streams: dict[Job, Stream] = {}
        self._wake = asyncio.Event()

    def submit(self, stream: Stream) -> None:
        self._streams[stream.job] = stream
        stream.times = [perf_counter()]
        if wait := self.engine.model.front_s:
            now, serial = stream.times[0], self.engine.model.serial
            self._taken = max(now, self._taken) + serial * wait
            asyncio.get_running_loop().call_later(self._taken - now + (1 - serial) * wait, self._reach, stream)
        else:
            self._reach(stream)

    def _reach(self, stream: Stream) -> None:
        if stream.job in self._streams:
            self.engine.submit(stream.job)
            self._wake.set()

    def cancel(self, stream: Stream) -> None:
        """Forget a stream whose client has gone; one that is done stays as it is."""
        self.engine.cancel(stream.job)
        self._streams.pop(stream.job, None)

    async def run(self) -> None:
        """Step for ever."""
        at = perf_counter()
        while True:
            if not self.engine.busy:
                self._wake.clear()
                await self._wake.wait()
                at = perf_counter()
            step = self.engine.step()
            self.steps += 1
            for job in step.admitted:
                if (stream := self._streams.get(job)) is not None and len(stream.times) == 1:
                    stream.times.append(max(perf_counter(), stream.times[0]))
            at = max(at + step.seconds, perf_counter() - FORGIVEN)
            await asyncio.sleep(max(0.0, at - perf_counter()))
            now = perf_counter()
            for job in step.made:
                stream = self._streams.get(job)
                if stream is not None:  # it may have been cancelled while the step ran
                    stream.token(now)
                    if job.done:
                        del self._streams[job]
