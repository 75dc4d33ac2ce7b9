"""``simulate``: run the built-in server alone, until Ctrl-C; prints one line, its URL, once it listens."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.simulator import LatencyModel, SimulatorOptions
from pytest_vllm_bench.text import language, say

PASSES_ON = True  # also --help: the simulator has its own


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    """Everything is passed on to the simulator, whose own --help lists it."""


def run(args: argparse.Namespace, lang: str) -> int:
    return main(args.rest, lang)


def main(args: Sequence[str] | None = None, lang: str = "") -> int:
    """Serve until SIGTERM, Ctrl-C, or (with ``--with-parent``) the end of standard input."""
    lang = lang or language()
    options, with_parent = parse(args, lang)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 65_536)), hard))
    try:
        _run(options, with_parent)
    except BenchError as error:
        print(say(error.message, lang), file=sys.stderr)
        return 2
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run(options: SimulatorOptions, with_parent: bool) -> None:
    with asyncio.Runner(loop_factory=_new_loop()) as runner:
        runner.run(_serve(options, with_parent))


def _new_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        from uvloop import new_event_loop
    except ImportError:  # Windows
        return asyncio.new_event_loop
    return new_event_loop


async def _serve(options: SimulatorOptions, with_parent: bool) -> None:
    from pytest_vllm_bench.simulator.server import serve

    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    if with_parent:
        loop.add_reader(0, lambda: None if os.read(0, 4096) else over.set())
    gc.collect()
    gc.freeze()
    await serve(options, lambda url: print(url, flush=True), over, say)


def parse(args: Sequence[str] | None = None, lang: str = "en") -> tuple[SimulatorOptions, bool]:
    """A command line → the options, and whether to end when stdin is closed."""
    from pytest_vllm_bench.simulator import formats

    parser = argparse.ArgumentParser(prog="pytest-vllm-bench simulate", description=say("simulator.help", lang))
    parser.add_argument("--with-parent", action="store_true", help=say("simulator.help.with_parent", lang))
    for kind in (SimulatorOptions, LatencyModel):
        group = parser.add_argument_group(say(f"simulator.help.{kind.__name__}", lang))
        for f in fields(kind):
            if f.name != "latency":
                words = say(f"simulator.help.{f.name}", lang, dialects=", ".join(formats.NAMES))
                usual = f.default[0] if isinstance(f.default, tuple) else f.default
                usual = say("simulator.help.usual", lang, usual=usual) if usual != "" else ""
                _option(group, f.name, f.default, words + usual)
    given = vars(parser.parse_args(args))
    if not 0 <= given["port"] < 2**16:  # the system would take the rest of a division
        parser.error(say("simulator.port", lang, port=given["port"]))
    with_parent = given.pop("with_parent")
    latency = LatencyModel(**{f.name: given.pop(f.name) for f in fields(LatencyModel)})
    return SimulatorOptions(**{**given, "models": tuple(given["models"]), "latency": latency}), with_parent


def _option(group: argparse._ArgumentGroup, name: str, default: Any, words: str) -> None:
    flag = f"--{name.replace('_', '-')}"
    if isinstance(default, tuple):
        group.add_argument(flag, nargs="+", default=default, metavar="NAME", help=words)
    elif isinstance(default, bool):
        group.add_argument(flag, type=lambda text: text.lower() == "true", default=default, metavar="BOOL", help=words)
    else:
        group.add_argument(flag, type=type(default), default=default, metavar=type(default).__name__, help=words)


if __name__ == "__main__":
    sys.exit(main())
