"""Plan → tape: requests sent on the measuring clock, every read of every answer written down as it comes.

Who does what
    ``send`` (pytest's process) starts the measuring processes, each ``python -m pytest_vllm_bench.load`` in a session
    of its own, and serves them from one thread.  Each takes a shard of the plan: every n-th chain and its part of the
    cap.  Nothing passes between them but a common start.

What passes between ``send`` and a measuring process (``control``: kind, length, data, over one socket, its stdin)
    → JOB    what to send where, with the secret headers; the plan itself is read from its files
    ← READY  connections are open
    → GO     the common start, absolute
    → TICK   the parent's clock, every 10 ms: read − written is what every timestamp is late by (the sentinel)
    → STOP   send nothing more, drain, cancel the rest
    ← FACTS  what the process saw of itself

What lies on the disk (``tape``)
    ``w{worker}-{number:06}.tape``: a head (SEGMENT_HEAD), then entries (ENTRY_HEAD and data): SENT, READ…, END.
    Entries of one request are in order, those of different requests interleave.  A second SENT of a request has the
    time of the first (its connection was dead, and it was sent again on a new one).  END comes once; a request that
    never got a connection has only an END.  ``follow`` reads the tape while it grows.
"""

from pytest_vllm_bench.load.limits import (
    SendingLimits,
    crowded,
    limits,
    open_files_problem,
    proxies_ignored,
    too_much,
    workers_needed,
)
from pytest_vllm_bench.load.sending import SendSettings, at_most, send
from pytest_vllm_bench.load.tape import blot_out, follow, read, started, writers

__all__ = [
    "SendSettings",
    "SendingLimits",
    "at_most",
    "blot_out",
    "crowded",
    "follow",
    "limits",
    "open_files_problem",
    "proxies_ignored",
    "read",
    "send",
    "started",
    "too_much",
    "workers_needed",
    "writers",
]
