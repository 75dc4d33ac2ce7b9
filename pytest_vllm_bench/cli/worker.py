"""``worker``: send load for a run on another machine, until Ctrl-C; one line says where it listens."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import ssl

from pydantic_core import PydanticCustomError

from pytest_vllm_bench.config import values
from pytest_vllm_bench.config.targets import SHORTEST_TOKEN, local
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.text import say


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    parser.add_argument("--listen", required=True, metavar="HOST:PORT", help=say("cli.worker.listen", lang))
    parser.add_argument("--token-env", required=True, metavar="NAME", help=say("cli.worker.token_env", lang))
    parser.add_argument("--cert", metavar="FILE", help=say("cli.worker.cert", lang))
    parser.add_argument("--key", metavar="FILE", help=say("cli.worker.key", lang))
    parser.add_argument("--plain-text", action="store_true", help=say("cli.worker.plain_text", lang))


def run(args: argparse.Namespace, lang: str) -> int:
    """Exit 0 after Ctrl-C or SIGTERM, 2 where it cannot listen."""
    from pytest_vllm_bench.load.worker import run_on_uvloop
    from pytest_vllm_bench.machines import node

    try:
        host, port = values.host_port(args.listen, least=0)
    except PydanticCustomError as error:
        raise BenchError(error.type, **(error.context or {})) from None
    token = os.environ.get(args.token_env, "").strip()
    if len(token) < SHORTEST_TOKEN:
        raise BenchError("cli.worker.token", variable=args.token_env, least=SHORTEST_TOKEN)
    if not (args.cert or args.plain_text or local(host)):
        raise BenchError("cli.worker.plain", host=host)

    def told(port: int) -> None:
        print(
            say("cli.worker.listens", lang, where=f"[{host}]:{port}" if ":" in host else f"{host}:{port}"), flush=True
        )

    async def serve() -> None:
        serving = asyncio.create_task(node.serve((host, port), token.encode(), told, secured(args)))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    try:
        run_on_uvloop(serve)
    except OSError as error:  # ssl.SSLError is one
        raise BenchError("cli.worker.cannot", where=args.listen, why=str(error)) from None
    return 0


def secured(args: argparse.Namespace) -> ssl.SSLContext | None:
    """Without a certificate nothing is; its key may stand in the same file."""
    if args.cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(args.cert, args.key)
    return context
