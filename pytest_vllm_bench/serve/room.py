"""Accelerators → room for a server that is to be started, and what it held given back once it has ended."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping

from pytest_vllm_bench.errors import NotReady, ServerError
from pytest_vllm_bench.model import Message, Scenario
from pytest_vllm_bench.observe import ready
from pytest_vllm_bench.observe.accelerators import watcher
from pytest_vllm_bench.observe.accelerators.nvidia import COMMAND
from pytest_vllm_bench.observe.accelerators.polled import called

#: Seconds in which a driver gives back the memory of a process that has ended.
PATIENCE = 120.0
#: Share of a device's memory by which what is in use may differ from what was.
BACK = 0.05
#: By which a command is kept to some of the devices.
CHOSEN = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES")
WHO = (COMMAND, "--query-compute-apps=pid,process_name,used_memory", "--format=csv,noheader")

#: Device → MiB in use, and in all.
Memory = Mapping[str, tuple[float, float]]


async def room(scenario: Scenario, aloud: Callable[[Message], None]) -> Memory:
    """Wait until no more of any device's memory is in use than may be → what is; ServerError says by whom it is."""
    launch = scenario.target.launch
    if launch is None or launch.free_memory >= 1:
        return {}
    try:
        return await _until(scenario, lambda _, total: launch.free_memory * total, aloud)
    except ServerError as error:
        raise ServerError("serve.no_room", why=_why(error), share=f"{launch.free_memory:.0%}") from None


async def given_back(scenario: Scenario, before: Memory, aloud: Callable[[Message], None]) -> None:
    """Wait until no more is in use than was ``before`` the server was started; ServerError says by whom it is."""
    if not before:
        return
    try:
        await _until(scenario, lambda device, total: before.get(device, (0.0, 0.0))[0] + BACK * total, aloud)
    except ServerError as error:
        values = {"name": scenario.target.name or "server", "seconds": f"{PATIENCE:g}", "why": _why(error)}
        raise ServerError("serve.not_given_back", **values) from None


def _why(error: ServerError) -> object:
    return error.message.values.get("why", error.message)


async def _until(scenario: Scenario, most: Callable[[str, float], float], aloud: Callable[[Message], None]) -> Memory:
    """What is in use, once it is no more than that, of a device with so much in all."""

    async def look(seconds: float) -> Memory:
        found = await in_use(scenario)
        for device, (used, total) in found.items():
            if used > most(device, total):
                by = " · ".join(called(WHO).split("\n")).strip(" ·") if shutil.which(COMMAND) else ""
                values = {"device": device, "used": round(used), "total": round(total), "by": by or "–"}
                raise NotReady("serve.memory_used", **values)
        return found

    return await ready.wait(look, PATIENCE, aloud)


async def in_use(scenario: Scenario) -> Memory:
    """Of each device that the server may take; nothing where nobody tells, or nobody is to be asked."""
    launch = scenario.target.launch
    if launch is None or not scenario.watches_accelerators:
        return {}
    if (watch := watcher(scenario.watching.accelerators)) is None:
        return {}
    await watch.begin(scenario.target)
    seen = await watch.end(True)
    used = {track.device: track.values[-1] for track in seen.tracks if track.name == "memory_mib" and track.values}
    totals = [device.get("memory_mib") for device in seen.environment.get("accelerators", ())]
    if len(totals) != len(used):
        return {}
    env = {**os.environ, **launch.env}
    chosen = next((env[name].split(",") for name in CHOSEN if env.get(name)), [*used])
    mine = chosen if set(chosen) <= used.keys() else [*used]  # also named by their UUIDs
    return {name: (used[name], total) for name, total in zip(used, totals, strict=True) if total and name in mine}
