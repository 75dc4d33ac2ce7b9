"""A command → a server that is up, for the length of a block."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def serving(
    command: Sequence[str], ready: str, *, seconds: float = 300, environ: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run ``command`` until the block ends; the block begins once ``ready`` (a URL) answers.

    Raises RuntimeError with the end of the server's output if it does not come up.
    """
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_half,
            env={**os.environ, **(environ or {})},
        )
        try:
            started = time.monotonic()
            while not answers(ready):
                if process.poll() is not None or time.monotonic() - started > seconds:
                    log.seek(0)
                    raise RuntimeError(f"{command[0]} did not come up:\n{log.read()[-8000:]}")
                time.sleep(0.5)
            print(f"up after {time.monotonic() - started:.0f} s: {ready}", flush=True)
            yield
        finally:
            _end(process)


def _half() -> None:
    """Leave the other half of the cores to the client: both run on one machine here."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[: max(1, len(cores) // 2)])


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server with all its helpers."""
    for number, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 20)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
