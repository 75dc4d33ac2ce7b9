"""What a load needs of this machine → what stands in its way, or how many measuring processes it takes."""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Mapping

from pytest_vllm_bench.model import LoadFacts, Message

#: Open files beside the connections: the interpreter's own, the plan, the tape, pipes.
SPARE_FILES = 64
#: Of a core, for each measuring process: what ``workers: auto`` plans with, and what is worth a warning.
COMFORTABLE, ALARMING = 0.6, 0.8
SLOTS_EACH = 8
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


def open_files_problem(n: int) -> Message | None:
    """Make room for ``n`` connections by raising the soft limit; None if there is room, else what to do."""
    needed = n + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return None
    if hard == resource.RLIM_INFINITY or hard >= needed:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        except (ValueError, OSError):  # macOS has a lower limit than the one it names
            pass
        else:
            return None
    return Message(key="load.open_files", values={"needed": needed, "soft": soft, "hard": hard, "connections": n})


def proxies_ignored(environment: Mapping[str, str] = os.environ) -> Message | None:
    """A word about proxy variables: a proxy on the measured path would be measured too."""
    names = sorted(name for name in environment if name.lower() in PROXY_VARIABLES and environment[name])
    return Message(key="load.proxy_ignored", values={"names": ", ".join(names)}) if names else None


def busy(facts: LoadFacts) -> float:
    """Cores that the measuring processes needed in their busiest half second, by their own CPU time and by what the
    reads of the busiest half second would cost at the price of an event here.  Their sum, over all of them."""
    return sum(max(w.peak_cpu, w.peak_reads_per_s * w.event_cost_s) for w in facts.workers)


def workers_needed(warmup: LoadFacts, cap: int | None, *, closed: bool, cores: int | None = None) -> int:
    """How many measuring processes the load takes that the warm-up was a sample of; at least 1.

    Each is to use at most ``COMFORTABLE`` of a core.  In a closed loop one for each eight slots at most: a shard that
    runs dry alone ends the steady window.  ``cores``: of all machines; None: of this one.
    """
    needed = math.ceil(busy(warmup) / COMFORTABLE)
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = cores or here
    if closed and cap is not None:
        most = min(most, cap // SLOTS_EACH)
    return max(1, min(needed, most))


def too_much(warmup: LoadFacts, workers: int) -> Message | None:
    """A word before the measured part if the load, as the warm-up showed it, is beyond ``workers`` processes."""
    used = busy(warmup)
    if used <= ALARMING * workers:
        return None
    rate = sum(w.peak_reads_per_s for w in warmup.workers)
    cost_us = max((w.event_cost_s for w in warmup.workers), default=0.0) * 1e6
    values = {"needed": math.ceil(used / COMFORTABLE), "workers": workers, "rate": f"{rate:,.0f}"}
    return Message(key="load.too_much", values={**values, "cost_us": f"{cost_us:.1f}", "used": f"{used:.0%}"})
