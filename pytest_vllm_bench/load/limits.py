"""What a load needs of a machine → what stands in its way, or how many measuring processes it takes."""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_vllm_bench.load.burst import event_cost
from pytest_vllm_bench.model import LoadFacts, Message

#: Open files beside the connections: the interpreter's own, the plan, the tape, pipes.
SPARE_FILES = 64
#: Of a core, for each measuring process: what ``workers: auto`` plans with, and what is worth a warning.
COMFORTABLE, ALARMING = 0.6, 0.8
SLOTS_EACH = 8
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingLimits:
    """What a machine can send with."""

    cores: int = 1
    files: int = 0  # that a process may have open; 0: nobody limits it
    event_cost_s: float = 0.0  # CPU for one event

    def events_per_s(self, workers: int | None = None) -> float:
        """That so many processes take in comfort; None: one on each core."""
        if not self.event_cost_s:
            return math.inf
        return COMFORTABLE * min(workers or self.cores, self.cores) / self.event_cost_s


async def limits(cores: int) -> SendingLimits:
    """This machine's, of which so many cores may be used."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = 0 if files == resource.RLIM_INFINITY else files
    return SendingLimits(cores=cores, files=files, event_cost_s=await event_cost())


def crowded(connections: int, files: int) -> Message | None:
    """That a process which may have so many files open cannot have so many connections, and what to do."""
    if not files or connections + SPARE_FILES <= files:
        return None
    values = {"needed": connections + SPARE_FILES, "files": files, "connections": connections}
    return Message(
        key="load.open_files", values={**values, "workers": math.ceil(connections / max(1, files - SPARE_FILES))}
    )


def open_files_problem(n: int) -> Message | None:
    """Make room for ``n`` connections by raising the soft limit; None if there is room, else what to do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < (needed := n + SPARE_FILES):
        try:
            soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        except (ValueError, OSError):  # macOS has a lower limit than the one it names
            soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return crowded(n, 0 if soft == resource.RLIM_INFINITY else soft)


def proxies_ignored(environment: Mapping[str, str] = os.environ) -> Message | None:
    """A word about proxy variables: a proxy on the measured path would be measured too."""
    names = sorted(name for name in environment if name.lower() in PROXY_VARIABLES and environment[name])
    return Message(key="load.proxy_ignored", values={"names": ", ".join(names)}) if names else None


def busy(facts: LoadFacts) -> float:
    """Cores that the measuring processes needed in their busiest half second, by their own CPU time and by what the
    reads of the busiest half second would cost at the price of an event here.  Their sum, over all of them."""
    return sum(max(w.peak_cpu, w.peak_reads_per_s * w.event_cost_s) for w in facts.workers)


def workers_needed(warmup: LoadFacts, cap: int | None, *, closed: bool, cores: int) -> int:
    """How many measuring processes the load takes that the warm-up was a sample of; at least 1.

    Each is to use at most ``COMFORTABLE`` of a core.  In a closed loop one for each eight slots at most: a shard that
    runs dry alone ends the steady window.  ``cores``: of all machines.
    """
    needed = math.ceil(busy(warmup) / COMFORTABLE)
    most = cores
    if closed and cap is not None:
        most = min(most, cap // SLOTS_EACH)
    return max(1, min(needed, most))


def too_much(warmup: LoadFacts, workers: int, machines: Sequence[str] = ()) -> Message | None:
    """A word before the measured part if the load, as the warm-up showed it, is beyond ``workers`` processes on this
    machine, or on one of those that are named."""
    senders = max(1, len(warmup.machines))
    parts = [replace(warmup, workers=warmup.workers[i::senders]) for i in range(senders)]
    busiest = max(range(senders), key=lambda i: busy(parts[i]))
    share = senders / max(1, len(machines))  # more may send the load than sent the warm-up
    if (used := share * busy(parts[busiest])) <= ALARMING * workers:
        return None
    own = parts[busiest].workers
    rate = share * sum(w.peak_reads_per_s for w in own)
    cost_us = max((w.event_cost_s for w in own), default=0.0) * 1e6
    values = {
        "needed": math.ceil(used / COMFORTABLE),
        "workers": workers,
        "rate": f"{rate:,.0f}",
        "used": f"{used:.0%}",
    }
    who = warmup.machines[busiest].name if warmup.machines else Message(key="load.here")
    return Message(key="load.too_much", values={**values, "cost_us": f"{cost_us:.1f}", "who": who})
