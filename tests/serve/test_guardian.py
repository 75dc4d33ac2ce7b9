"""Whatever ends us, and however a server clings to life, nothing of it is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_vllm_bench.serve.start import GUARDIAN

#: Ignores SIGTERM, as does its worker, which leaves the group and is given to others, its parent having ended.
CLINGS = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
worker = "import os, time; os.setsid(); print('worker', os.getpid(), flush=True); time.sleep(600)"
subprocess.run([sys.executable, "-c", f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {worker!r}])"])
print("server", os.getpid(), flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def guarded(log: Path, code: str, grace: str = "0.2") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-I", "-S", str(GUARDIAN), str(log), grace, "[]", "", "--", sys.executable, "-c", code]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as process:
        yield process


def written(log: Path) -> dict[str, int]:
    """Who there is, once all are."""
    while (text := log.read_text() if log.exists() else "").count("\n") < 2:
        time.sleep(0.01)
    return {name: int(pid) for name, pid in map(str.split, text.splitlines())}


def there(pid: int) -> bool:
    """A zombie that nobody has missed yet is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("ending", ["stdin", "SIGTERM", "SIGINT", "SIGHUP"])
def test_all_descendants_end(tmp_path: Path, ending: str) -> None:
    log = tmp_path / "log"
    with guarded(log, CLINGS) as process:
        pids = written(log).values()
        assert all(map(there, pids))
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close() if ending == "stdin" else process.send_signal(signal.Signals[ending])
        said = process.stdout.read().split("\n")
    assert [line.split()[0] for line in said if line] == ["began", "killed", "ended"]
    assert "killed 2" in said
    assert not any(map(there, pids))


def test_workers_end_with_a_server_that_died(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with guarded(log, CLINGS) as process:
        pids = written(log)
        os.kill(pids["server"], signal.SIGKILL)
        assert process.stdout is not None
        said = process.stdout.read().split("\n")
    assert {"ended -9", "left 1"} <= {*said}, "none was asked to end within any time"
    assert not there(pids["worker"])


def test_what_cannot_be_started_is_said(tmp_path: Path) -> None:
    command = [sys.executable, str(GUARDIAN), str(tmp_path / "log"), "1", "[]", "", "--", "/no/such/server"]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("failed No such file or directory\n", "")
