"""An absolute time → a callback, to within some ten microseconds.

Event loops round their timers to milliseconds.  Linux has timers in nanoseconds as file descriptors (timerfd);
elsewhere the last two milliseconds are spent in turns of the loop.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable
from time import perf_counter

_MONOTONIC, _NONBLOCK, _CLOEXEC, _ABSOLUTE = 1, 0o4000, 0o2000000, 1


class _Itimerspec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("interval_s", "interval_ns", "value_s", "value_ns")]


class Alarm:
    """Calls back once at the time last set.  Times are absolute, of ``time.perf_counter``."""

    SPIN_S = 0.002

    def __init__(
        self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None], *, timerfd: bool = sys.platform == "linux"
    ) -> None:
        self._loop, self._callback = loop, callback
        self._at = 0.0
        self._handle: asyncio.Handle | None = None
        self._fd = -1
        if timerfd:  # on Linux perf_counter is CLOCK_MONOTONIC
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._fd = self._libc.timerfd_create(_MONOTONIC, _NONBLOCK | _CLOEXEC)
        if self._fd >= 0:
            loop.add_reader(self._fd, self._expired)

    def set(self, at: float) -> None:
        self._at = at
        if self._fd >= 0:
            seconds, rest = divmod(max(1, round(at * 1e9)), 1_000_000_000)
            spec = _Itimerspec(0, 0, seconds, rest)
            self._libc.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(spec), None)
            return
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_later(max(0.0, at - perf_counter() - self.SPIN_S), self._spin)

    def _spin(self) -> None:
        if perf_counter() < self._at:
            self._handle = self._loop.call_soon(self._spin)
        else:
            self._handle = None
            self._callback()

    def _expired(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # set anew in the meantime
        self._callback()

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        if self._handle is not None:
            self._handle.cancel()
