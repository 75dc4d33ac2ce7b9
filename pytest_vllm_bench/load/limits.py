"""What a load needs of this machine → what stands in its way."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping

from pytest_vllm_bench.model import Message

#: Open files beside the connections: the interpreter's own, the plan, the tape, pipes.
SPARE_FILES = 64
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
