"""SimulatorOptions → an HTTP server: every path of the dialect, and what stands beside the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from time import perf_counter
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from pytest_vllm_bench import __version__
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Message
from pytest_vllm_bench.simulator import exchange, formats, profile, prometheus
from pytest_vllm_bench.simulator.faults import strike
from pytest_vllm_bench.simulator.formats import triton
from pytest_vllm_bench.simulator.formats.shape import CREATED, text_of
from pytest_vllm_bench.simulator.options import SimulatorOptions
from pytest_vllm_bench.simulator.service import Service
from pytest_vllm_bench.simulator.wire import answer_at_once

MOST_BYTES = 1 << 30  # of a request's body: images and audio are large


async def _models(service: Service, request: web.Request) -> web.Response:
    first = service.options.models[0]
    data = [
        {
            "id": name,
            "object": "model",
            "created": CREATED,
            "owned_by": "pytest-vllm-bench",
            "root": first,
            "parent": None if name == first else first,
            "max_model_len": service.options.max_model_len,
        }
        for name in service.options.models
    ]
    return web.json_response({"object": "list", "data": data})


async def _tokenize(service: Service, request: web.Request) -> web.Response:
    body = (await exchange.call(request)).body
    text = text_of(body["messages"]) if "messages" in body else str(body.get("prompt", ""))
    ids = await asyncio.to_thread(service.words.encode, text)
    return web.json_response({"count": len(ids), "max_model_len": service.options.max_model_len, "tokens": ids})


async def _detokenize(service: Service, request: web.Request) -> web.Response:
    body = (await exchange.call(request)).body
    return web.json_response({"prompt": service.words.decode(body.get("tokens", []))})


async def _health(service: Service, request: web.Request) -> web.Response:
    return web.Response()


async def _version(service: Service, request: web.Request) -> web.Response:
    return web.json_response({"version": f"pytest-vllm-bench simulator {__version__}"})


async def _server_info(service: Service, request: web.Request) -> web.Response:
    """Every option by its name, as vLLM's development mode has it."""
    options = {**asdict(service.options), **asdict(service.options.latency), "latency": None, "api_key": None}
    return web.json_response({"vllm_config": {"simulator": options}})


async def _forget(service: Service, request: web.Request) -> web.Response:
    return web.json_response({"success": service.engine.forget()})


async def _sleeping(service: Service, request: web.Request) -> web.Response:
    if not service.options.wake_s:
        raise web.HTTPNotFound
    if request.path == "/wake_up":
        await asyncio.sleep(service.options.wake_s)
    if request.path != "/is_sleeping":
        service.asleep = request.path == "/sleep"
    return web.json_response({"is_sleeping": service.asleep})


async def _metrics(service: Service, request: web.Request) -> web.Response:
    return web.Response(text=service.page(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def _iterations(service: Service, request: web.Request) -> web.Response:
    """TensorRT-LLM has its iterations there, and its metrics elsewhere, under names of its own."""
    return web.json_response([])


async def _metrics_of_trtllm(service: Service, request: web.Request) -> web.Response:
    renamed = service.page().replace("vllm:kv_cache_usage_perc", "trtllm_kv_cache_utilization")
    return web.Response(text=renamed.replace("vllm:", "trtllm_"))


async def _triton(service: Service, request: web.Request) -> web.Response:
    found = triton.metadata(request.match_info["model"])
    return web.json_response(found or {"error": "Request for unknown model"}, status=200 if found else 404)


GETS = {
    **dict.fromkeys(("/health", "/healthz", "/v2/health/ready"), _health),
    "/v1/models": _models,
    "/version": _version,
    "/server_info": _server_info,
    "/is_sleeping": _sleeping,
    "/metrics": _metrics,
    "/prometheus/metrics": _metrics_of_trtllm,
    "/v2/models/{model}": _triton,
}
POSTS = {
    "/tokenize": _tokenize,
    "/detokenize": _detokenize,
    "/reset_prefix_cache": _forget,
    **dict.fromkeys(("/sleep", "/wake_up"), _sleeping),
    "/start_profile": profile.start,
    "/stop_profile": profile.stop,
}

OPEN_AI = "/v1", "/v2"
#: What needs the key by dialect: SGLang writes a profile to wherever it is told.
GUARDED = {"sglang": (*OPEN_AI, "/start_profile", "/stop_profile")}


async def beside(service: Service, request: web.Request) -> web.StreamResponse | None:
    """The faults of a page that is read beside the load: those of rules that name its path."""
    path = request.path
    if path not in GETS and path not in POSTS:
        return None
    number, service.pages[path] = service.pages[path], service.pages[path] + 1
    faults = strike([rule for rule in service.rules if rule.path == path], number, path, None)
    if "restart" in faults:
        service.counts = prometheus.Counts(perf_counter())
    return await answer_at_once(request, None, faults)


def _guard(service: Service, started: float, say: Callable[[Message], str]) -> Middleware:
    """Everybody waits until the model is there; what costs something needs the key, if there is one."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if perf_counter() - started < service.options.ready_after:
            return web.json_response({"error": {"message": "Loading model", "code": 503}}, status=503)
        key = service.options.api_key
        guarded = request.path.startswith(GUARDED.get(service.options.dialect, OPEN_AI))
        if key and guarded and request.headers.get("Authorization") != f"Bearer {key}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        try:
            return await beside(service, request) or await handler(request)
        except BenchError as error:  # a fault that nobody knows, in the request's header
            return web.json_response({"error": {"message": say(error.message), "code": 400}}, status=400)
        except web.HTTPNotFound:
            return web.json_response({"detail": "Not Found"}, status=404)
        except web.HTTPMethodNotAllowed:
            return web.json_response({"detail": "Method Not Allowed"}, status=405)

    return guard


def application(options: SimulatorOptions, say: Callable[[Message], str]) -> web.Application:
    """The whole server as an aiohttp application; ``say`` has the words for what is wrong with a fault."""
    service = Service(options)
    app = web.Application(client_max_size=MOST_BYTES, middlewares=[_guard(service, perf_counter(), say)])
    for path, forms in formats.routes(options.dialect).items():
        app.router.add_post(path, partial(exchange.answered, service, forms))
    own = {"trtllm": {"/metrics": _iterations}, "sglang": {"/get_model_info": _version}}
    gets = {**GETS, **own.get(options.dialect, {})}
    for path, get in gets.items():
        app.router.add_get(path, partial(get, service))
    for path, post in POSTS.items():
        app.router.add_post(path, partial(post, service))

    async def engine(_: web.Application) -> Any:
        running = asyncio.create_task(service.live.run())
        yield
        running.cancel()

    app.cleanup_ctx.append(engine)
    return app


async def serve(
    options: SimulatorOptions, started: Callable[[str], None], until: asyncio.Event, say: Callable[[Message], str]
) -> None:
    """Serve ``until`` that is set; ``started`` is called with the URL."""
    runner = web.AppRunner(application(options, say), access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, options.host, options.port, backlog=4096)
        await site.start()
        host, port = runner.addresses[0][:2]
        started(f"http://{host}:{port}")
        await until.wait()
    finally:
        await runner.cleanup()
