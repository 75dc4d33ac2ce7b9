"""The built-in server: SimulatorOptions → a process that answers like an LLM server, at a known speed.

``engine`` is the latency model, pure; ``formats`` are the servers' languages; ``server`` joins them on a socket.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from pytest_vllm_bench.errors import ServerError
from pytest_vllm_bench.simulator.engine import LatencyModel
from pytest_vllm_bench.simulator.options import SimulatorOptions, arguments

__all__ = ["LatencyModel", "Simulator", "SimulatorOptions", "start"]

#: The module that is run: a face of ours, which has the words.
COMMAND = "pytest_vllm_bench.cli.simulate"
END_S = 5.0  # a process that does not end by itself in this time is killed


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulator:
    """A running one."""

    base_url: str
    process: subprocess.Popen[str]


@contextmanager
def start(options: SimulatorOptions = SimulatorOptions()) -> Iterator[Simulator]:
    """Run the server in a process of its own, in its own session; it ends with the block, or with this process.

    Raises ServerError with the process's last words if it does not start.
    """
    command = [sys.executable, "-m", COMMAND, "--with-parent", *arguments(options)]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # its end, also by our death, ends the server
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # a Ctrl-C at the terminal is not meant for the server
        )
        try:
            yield Simulator(base_url=_url(process, errors), process=process)
        finally:
            _stop(process)


def _url(process: subprocess.Popen[str], errors: IO[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        process.wait(END_S)
        raise ServerError("simulator.not_started", detail=_last_words(errors))
    return line


def _last_words(errors: IO[str]) -> str:
    errors.seek(0)
    return errors.read()[-2000:].strip()


def _stop(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
