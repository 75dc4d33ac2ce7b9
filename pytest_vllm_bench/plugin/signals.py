"""SIGTERM, by which CI ends a job, and SIGHUP → what Ctrl-C does: what was measured is kept; once more ends at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any

ENDING = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
#: Seconds that xdist's workers are given to end by themselves: to drain, and to write what they have.
PATIENCE = 60


class Signals:
    """What this process hears from ``listen`` until ``rest``; a worker of xdist hears the same again as once."""

    def __init__(self, *, worker: bool) -> None:
        self.worker = worker
        self.measuring: asyncio.Task[Any] | None = None  # whom a first Ctrl-C asks to come to an end
        self.before: dict[int, Any] = {}
        self.writing = self.hurried = self.interrupted = False

    def listen(self) -> None:
        """Not where Ctrl-C is ignored (in the background of a shell), nor what is another's."""
        main = threading.current_thread() is threading.main_thread()
        if self.before or not main or signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):
            return
        for number in ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:
                self.before[number] = signal.signal(number, self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:
        if not (self.worker and self.measuring is not None and self.measuring.cancelling()):
            signal.raise_signal(signal.SIGINT)

    def end(self) -> None:
        """The session is ending: a further Ctrl-C interrupts nothing but the writing of reports."""
        if self.before and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self.before[signal.SIGINT] = signal.signal(signal.SIGINT, self._once_more)

    def _once_more(self, number: int, frame: FrameType | None) -> None:
        self.hurried = True
        if self.writing:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """What a Ctrl-C, also one that came since the session is ending, breaks off."""
        self.writing = True
        try:
            if self.hurried:
                raise KeyboardInterrupt
            yield
        finally:
            self.writing = False
            self.end()

    def rest(self) -> None:
        """Leave everything as it was; after an interruption one more ends what pytest still has to clear away."""
        for number, handler in self.before.items():
            signal.signal(number, _at_once if self.interrupted and number == signal.SIGINT else handler)
        self.before.clear()


def _at_once(number: int, frame: FrameType | None) -> None:
    """All is written and shown: no traceback of pytest's own clearing away."""
    sys.stdout.flush()
    os._exit(2)


def end(pids: Iterable[int], over: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Have xdist's workers come to an end, and wait for it: xdist itself would kill them while they write."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGTERM)
    pause = 0.05
    while not over() and patience > 0:
        time.sleep(pause)
        patience -= pause
