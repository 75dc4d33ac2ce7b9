"""Watching accelerators while load runs: one file a maker."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from pytest_vllm_bench.model import Beside
from pytest_vllm_bench.observe.accelerators.amd import AMD
from pytest_vllm_bench.observe.accelerators.ascend import ASCEND
from pytest_vllm_bench.observe.accelerators.hygon import HYGON
from pytest_vllm_bench.observe.accelerators.nvidia import COMMAND, Nvidia
from pytest_vllm_bench.observe.accelerators.polled import by_command, by_url

#: Maker → what watches its devices on this machine; None where its command is not there.
MAKERS: dict[str, Callable[[], Beside | None]] = {
    "nvidia": lambda: Nvidia() if shutil.which(COMMAND) else None,
    "hygon": lambda: by_command(HYGON) or by_command(AMD),
    "amd": lambda: by_command(AMD),
    "ascend": lambda: by_command(ASCEND),
}


def watcher(named: str) -> Beside | None:
    """What ``observe: {accelerators: …}`` names: a maker's command, an exporter, or the first that is there."""
    if named.startswith(("http://", "https://")):
        return by_url(named)
    makers = MAKERS.values() if named == "auto" else [MAKERS[named]]
    return next((found for make in makers if (found := make()) is not None), None)
