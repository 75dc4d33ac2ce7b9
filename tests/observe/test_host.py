"""The server's machine, and the processes of a server on it."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from pytest_vllm_bench import simulator
from pytest_vllm_bench.model import Cell, Observed, Scenario, Target
from pytest_vllm_bench.observe import BESIDES
from pytest_vllm_bench.observe.host import HostWatch, facts_of, listener, tree
from pytest_vllm_bench.simulator import SimulatorOptions

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="read from /proc")


def test_a_servers_processes_are_found_by_its_port() -> None:
    with simulator.start(SimulatorOptions()) as running:
        port = int(running.base_url.rpartition(":")[2])
        server = listener(port)
        assert server is not None
        assert server in set(tree(os.getpid())) - {os.getpid()}

        async def watch() -> Observed:
            watcher = HostWatch(0.25)  # the kernel counts in hundredths of a second
            await watcher.begin(Target(base_url=running.base_url))
            await asyncio.sleep(1)
            return await watcher.end(False)

        seen = {track.name: track.values for track in asyncio.run(watch()).tracks}
    assert seen.keys() == {"host_cpu_pct", "host_memory_mib", "server_cpu_pct", "server_memory_mib"}
    assert all(0 <= share <= 110 for share in seen["host_cpu_pct"])
    assert all(size > 0 for size in seen["server_memory_mib"])
    assert max(seen["server_memory_mib"]) < max(seen["host_memory_mib"])
    assert listener(port) is None, "nobody is there any more"


def test_what_is_gone_has_no_facts() -> None:
    assert facts_of(2**22 + 1) is None
    assert list(tree(2**22 + 1)) == [2**22 + 1]


def test_another_machine_is_not_this_one() -> None:
    for url, here in {"http://localhost:8000": True, "http://gpu7:8000": False, "unix:///run/vllm.sock": True}.items():
        one = Scenario(cell=Cell(place="i"), target=Target(base_url=url), backend="vllm")
        assert (BESIDES["host"](one) is not None) is here, url
