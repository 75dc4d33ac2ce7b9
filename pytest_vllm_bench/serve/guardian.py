"""A command in a process group of its own, that ends with whoever holds our standard input: nothing of it is left.

    python guardian.py LOG GRACE FAREWELL FRESH -- COMMAND …

FAREWELL is a command, in JSON, for what is not a descendant of ours; FRESH a folder that goes with the server, if any.
Says ``began PID``, ``ended CODE`` when the command did, ``killed N`` where a signal was not enough, and ``left N`` of
what a command that ended by itself has left.  It runs as a script, with nothing but the standard library, and outlives
a ``kill -9`` of those who started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence

#: ``prctl``: what loses its parent is given to us, and not to the first process of all (Linux).
SUBREAPER = 36
#: Seconds between two looks at who is still there.
LOOK = 0.05
#: Seconds that a farewell (``docker rm``) may take; that the dead are waited for.
PATIENCE = 20.0


def table() -> dict[int, tuple[int, int]]:
    """Who runs: process → its parent and its group; the dead that nobody has missed are not among them."""
    found = {}
    if sys.platform == "linux":
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    state, parent, group = file.read().rpartition(")")[2].split()[:3]
                if state not in "ZX":
                    found[int(name)] = int(parent), int(group)
        return found
    with subprocess.Popen(["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="], stdout=subprocess.PIPE, text=True) as ps:
        for line in ps.stdout or ():
            pid, parent, group, state = line.split()[:4]
            if not state.startswith("Z") and int(pid) != ps.pid:
                found[int(pid)] = int(parent), int(group)
    return found


def family(group: int, known: Iterable[int] = ()) -> set[int]:
    """Our descendants, the members of ``group``, and those of the ``known`` that are there still."""
    running, mine = table(), {os.getpid()}
    while more := {pid for pid, (parent, _) in running.items() if parent in mine} - mine:
        mine |= more
    mine |= {pid for pid, (_, theirs) in running.items() if theirs == group}
    return (mine | set(known)) & running.keys() - {os.getpid()}


def reap(child: subprocess.Popen[bytes]) -> None:
    """Miss the dead; say so once it is the command."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid == child.pid:
                child.returncode = os.waitstatus_to_exitcode(status)
                tell(f"ended {child.returncode}")


def tell(words: str) -> None:
    with contextlib.suppress(OSError):
        print(words, flush=True)


def end(child: subprocess.Popen[bytes], grace: float) -> None:
    """SIGTERM to the group and ``grace`` seconds, then SIGKILL to every descendant, however often they fork; at once to
    what is left of a command that has ended by itself.

    Where those who lose their parent are not given to us, they are listed before.
    """
    left, gone = family(child.pid), child.returncode is not None
    known = set() if sys.platform == "linux" else left
    with contextlib.suppress(OSError):
        os.killpg(child.pid, signal.SIGTERM)
    for by_force, seconds in ((False, 0.0 if gone else grace), (True, PATIENCE)):
        if by_force and left:
            tell(f"{'left' if gone else 'killed'} {len(left)}")
        until = time.monotonic() + seconds
        while left and time.monotonic() < until:
            for pid in left if by_force else ():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(LOOK)
            reap(child)
            left = family(child.pid, known)
    reap(child)


def main(log: str, grace: str, farewell: str, fresh: str, dashes: str, *command: str) -> None:
    try:
        guard(log, grace, command)
    finally:
        if words := json.loads(farewell):
            quiet = subprocess.DEVNULL
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(words, stdin=quiet, stdout=quiet, stderr=quiet, timeout=PATIENCE, check=False)
        if fresh:
            shutil.rmtree(fresh, ignore_errors=True)


def guard(log: str, grace: str, command: Sequence[str]) -> None:
    """Run the command until it ends, or we are told to end it."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(awake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    over = []
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: over.append(True))
    with open(log, "wb", buffering=0) as words:
        try:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=words, stderr=words, start_new_session=True
            )
        except OSError as error:
            tell(f"failed {error.strerror}")
            return
    tell(f"began {child.pid}")
    while child.returncode is None and not over:
        ready, _, _ = select.select([0, awake], [], [])
        if awake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(awake, 4096)
            reap(child)
        if 0 in ready and not os.read(0, 4096):
            break
    end(child, float(grace))


if __name__ == "__main__":
    main(*sys.argv[1:])
