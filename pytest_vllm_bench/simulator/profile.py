"""``/start_profile``, ``/stop_profile`` as vLLM and SGLang have them → files as torch's profiler leaves them."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from pathlib import Path
from time import perf_counter
from typing import Any

from aiohttp import web

from pytest_vllm_bench.simulator.service import Service

#: Seconds between two looks at how far the engine is.
LOOKS = 0.005


async def start(service: Service, request: web.Request) -> web.Response:
    if service.options.dialect != "sglang" and not service.options.profiler_config:
        raise web.HTTPNotFound
    if service.recording is not None:
        return web.Response(status=500, text="Profiling is already in progress. Call /stop_profile first.")
    asked = json.loads(await request.read() or b"{}")
    told = json.loads(service.options.profiler_config or "{}").get("torch_profiler_dir", "")
    service.recording = {"began": perf_counter(), "folder": asked.get("output_dir") or told}
    if service.options.dialect == "sglang" and asked.get("num_steps"):
        until = service.live.steps + int(asked.get("start_step") or 0) + int(asked["num_steps"])
        service.recording["task"] = asyncio.create_task(_by_itself(service, until))
    return web.Response(text="Start profiling.\n")


async def stop(service: Service, request: web.Request) -> web.Response:
    if service.options.dialect != "sglang" and not service.options.profiler_config:
        raise web.HTTPNotFound
    if service.recording is None:
        if service.options.dialect == "sglang":
            return web.Response(status=500, text="Profiling is not in progress. Call /start_profile first.")
        return web.Response()
    _write(service)
    return web.Response(text="Stop profiling. This will take some time.\n")


async def _by_itself(service: Service, until: int) -> None:
    while service.live.steps < until:  # noqa: ASYNC110  # the engine tells nobody
        await asyncio.sleep(LOOKS)
    _write(service)


def _write(service: Service) -> None:
    told: dict[str, Any] = service.recording or {}
    service.recording = None
    if (task := told.get("task")) is not None and task is not asyncio.current_task():
        task.cancel()
    if not told.get("folder"):
        return
    began, now = told["began"], perf_counter()
    step = {"ph": "X", "pid": os.getpid(), "tid": 0, "name": "steps", "ts": began * 1e6, "dur": (now - began) * 1e6}
    folder = Path(told["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    name = "TP-0" if service.options.dialect == "sglang" else "rank0"
    text = json.dumps({"schemaVersion": 1, "baseTimeNanoseconds": 0, "traceEvents": [step]})
    (folder / f"{name}.{int(now * 1e9)}.pt.trace.json.gz").write_bytes(gzip.compress(text.encode()))
