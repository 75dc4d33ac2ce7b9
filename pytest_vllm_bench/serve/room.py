"""Accelerators → room for a server that is to be started: what the one before held is given back first."""

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
#: By which a command is kept to some of the devices.
CHOSEN = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES")


async def room(scenario: Scenario, aloud: Callable[[Message], None]) -> None:
    """Wait until no more of any device's memory is in use than may be; ServerError says by whom it is."""
    launch = scenario.target.launch
    if launch is None or launch.free_memory >= 1 or not scenario.watches_accelerators:
        return

    async def look(seconds: float) -> None:
        for device, (used, total) in (await in_use(scenario, {**os.environ, **launch.env})).items():
            if used > launch.free_memory * total:
                by = " · ".join(called(WHO).split("\n")).strip(" ·") if shutil.which(COMMAND) else ""
                values = {"device": device, "used": round(used), "total": round(total), "by": by or "–"}
                raise NotReady("serve.memory_used", **values)

    try:
        await ready.wait(look, PATIENCE, aloud)
    except ServerError as error:
        why = error.message.values.get("why", error.message)
        raise ServerError("serve.no_room", why=why, share=f"{launch.free_memory:.0%}") from None


WHO = (COMMAND, "--query-compute-apps=pid,process_name,used_memory", "--format=csv,noheader")


async def in_use(scenario: Scenario, env: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """MiB in use and in all, of each device that the server may take; none where nobody tells."""
    if (watch := watcher(scenario.watching.accelerators)) is None:
        return {}
    await watch.begin(scenario.target)
    seen = await watch.end(True)
    used = {track.device: track.values[-1] for track in seen.tracks if track.name == "memory_mib" and track.values}
    totals = [device.get("memory_mib") for device in seen.environment.get("accelerators", ())]
    if len(totals) != len(used):
        return {}
    chosen = next((env[name].split(",") for name in CHOSEN if env.get(name)), [*used])
    mine = chosen if set(chosen) <= used.keys() else [*used]  # also named by their UUIDs
    return {name: (used[name], total) for name, total in zip(used, totals, strict=True) if total and name in mine}
