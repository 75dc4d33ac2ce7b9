"""A command → run as a reader would run it, and what it said if it did not end as expected."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

PATIENCE = 240.0
#: How a run with limits of its own (``single`` has no config that could allow more) ends on a machine that is too busy.
BUSY = re.compile(r"^io\S+: INVALID\n +(?:sentinel_lag|send_lag|cpu|steal):", re.MULTILINE)


def environ() -> dict[str, str]:
    """Our commands first on the path, and nothing of the session that runs this test."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_", "VLLM_"))}
    return {**ours, "PATH": path, "LANG": "C.UTF-8", "OPENAI_API_KEY": "secret", "API_KEY": "secret", "COLUMNS": "80"}


def run(command: Sequence[str], folder: Path, expected: int = 0, more: Mapping[str, str] | None = None) -> str:
    """What it printed, with ``more`` variables set; AssertionError with its last words where it ended otherwise."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environ(), **(more or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    if done.returncode != expected and BUSY.search(done.stdout):
        pytest.skip("this machine is too busy for a run of the usual strictness")
    assert done.returncode == expected, f"{command} ended with {done.returncode}:\n{done.stdout[-4000:]}"
    return done.stdout
