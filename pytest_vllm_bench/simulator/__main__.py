"""Command line → the built-in server in this process; prints one line, its URL, once it listens."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.simulator.options import SimulatorOptions, parse
from pytest_vllm_bench.text import language, say


def main(args: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, Ctrl-C, or (with ``--with-parent``) the end of standard input."""
    options, with_parent = parse(args, language())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 65_536)), hard))
    try:
        _run(options, with_parent)
    except BenchError as error:
        print(say(error.message, language()), file=sys.stderr)
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
    await serve(options, lambda url: print(url, flush=True), over)


if __name__ == "__main__":
    sys.exit(main())
