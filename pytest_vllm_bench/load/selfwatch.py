"""This process → what it saw of itself: CPU, memory, switches, the lag of its event loop."""

from __future__ import annotations

import gc
import os
import resource
import sys
from array import array
from contextlib import suppress
from pathlib import Path
from time import perf_counter, process_time
from typing import BinaryIO

from pytest_vllm_bench.load.tape import Tape
from pytest_vllm_bench.model import WorkerFacts

#: The busiest stretch of this length counts: the longer, the smoother; shorter than the shortest warm-up that matters.
SLICE_S = 0.5
NICE = -5


def peak_memory_bytes(status: BinaryIO | None) -> int:
    """The most memory this program has held, by its page in /proc.  ``ru_maxrss`` would count the parent's, from before
    the exec."""
    if status is not None:
        status.seek(0)
        for line in status.read().splitlines():
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def go_first() -> None:
    """Ask for the processor before others; granted to root and to those whose limits say so."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)


def keep_to(cpu: int | None) -> None:
    """Stay on one processor; None, or one that is not ours any more: the system decides."""
    if cpu is not None and hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            os.sched_setaffinity(0, {cpu})


def _pinned() -> int | None:
    """The processor that this process must stay on, if it is one."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    return next(iter(usable)) if len(usable) == 1 else None


def steal_ticks() -> tuple[int, int] | None:
    """(stolen, all) CPU time of this machine so far, in ticks; None where the kernel does not tell."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    fields = [int(x) for x in stat.read_text().split("\n", 1)[0].split()[1:9]]
    return fields[7], sum(fields)


def _collections() -> int:
    return sum(generation["collections"] for generation in gc.get_stats())


class SelfWatch:
    """Begins at the run's start; ``facts`` tells what happened since."""

    def __init__(self, worker: int, loop_name: str, tape: Tape) -> None:
        self.worker, self.loop_name, self.tape = worker, loop_name, tape
        self.lags = array("d")
        self.bytes_out = 0
        self.started = 0.0
        self.event_cost_s = 0.0
        self._peak_reads_per_s = self._peak_cpu = 0.0
        self._slice = (0.0, 0.0, 0)  # began, CPU and reads so far
        self._before = resource.getrusage(resource.RUSAGE_SELF)
        self._collections = _collections()
        page = Path("/proc/self/status")  # opened while a descriptor is left
        self._status = page.open("rb", buffering=0) if page.exists() else None

    def begin(self, started: float) -> None:
        self.started = started
        self._before = resource.getrusage(resource.RUSAGE_SELF)
        self._collections = _collections()
        self._slice = (started, process_time(), 0)

    def sample(self, now: float, reads: int) -> None:
        """Called every now and then; ``reads`` so far.  Keeps the busiest half second."""
        began, cpu, before = self._slice
        took = now - began
        if took < SLICE_S:
            return
        used = process_time()
        self._peak_cpu = max(self._peak_cpu, (used - cpu) / took)
        self._peak_reads_per_s = max(self._peak_reads_per_s, (reads - before) / took)
        self._slice = (now, used, reads)

    def tick(self, written: float) -> None:
        """The parent's clock, as it was when it wrote; read here, late by what every other read is late by."""
        if self.started:
            self.lags.append(perf_counter() - written)

    def facts(self) -> WorkerFacts:
        before, after = self._before, resource.getrusage(resource.RUSAGE_SELF)
        return WorkerFacts(
            worker=self.worker,
            started=self.started,
            ended=perf_counter(),
            cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            reads=self.tape.reads,
            bytes_in=self.tape.bytes_in,
            bytes_out=self.bytes_out,
            sentinel_lags=tuple(self.lags),
            tape_stalls=tuple(self.tape.stalls),
            tape_writes=self.tape.writes,
            gc_collections=_collections() - self._collections,
            voluntary_switches=after.ru_nvcsw - before.ru_nvcsw,
            involuntary_switches=after.ru_nivcsw - before.ru_nivcsw,
            peak_memory_bytes=peak_memory_bytes(self._status),
            event_cost_s=self.event_cost_s,
            peak_reads_per_s=self._peak_reads_per_s,
            peak_cpu=self._peak_cpu,
            nice=os.getpriority(os.PRIO_PROCESS, 0),
            cpu=_pinned(),
            loop=self.loop_name,
        )
