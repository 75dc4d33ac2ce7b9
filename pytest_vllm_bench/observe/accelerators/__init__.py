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

#: Maker → what watches its devices on this machine, having been asked for or not; None where its command is not there.
MAKERS: dict[str, Callable[[bool], Beside | None]] = {
    "nvidia": lambda _: Nvidia() if shutil.which(COMMAND) else None,
    "hygon": lambda wanted: by_command(HYGON, wanted=wanted) or by_command(AMD, wanted=wanted),
    "amd": lambda wanted: by_command(AMD, wanted=wanted),
    "ascend": lambda wanted: by_command(ASCEND, wanted=wanted),
}


def watcher(named: str) -> Beside | None:
    """What ``observe: {accelerators: …}`` names: a maker's command, an exporter, or the first that is there."""
    if named.startswith(("http://", "https://")):
        return by_url(named)
    makers = MAKERS.values() if named == "auto" else [MAKERS[named]]
    return next((found for make in makers if (found := make(named != "auto")) is not None), None)
