"""Machine, commit and moment → facts that belong beside a figure; the only place that reads the calendar."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

#: What takes part in the measuring: a figure may change with any of them.
PACKAGES = (
    "pytest-vllm-bench",
    "pytest",
    "pytest-asyncio",
    "uvloop",
    "httptools",
    "msgspec",
    "aiohttp",
    "numpy",
    "tokenizers",
    "transformers",
)
#: Seconds that a command such as git may take before it is done without.
PATIENCE = 5.0


def stamp() -> str:
    """Now in UTC, ISO 8601 to the second: ``2026-11-23T05:25:04Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def since_1970() -> float:
    """Now in UTC, in seconds."""
    return time.time()


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where what is dear to compute is kept from one session to the next."""
    if base := environ.get("XDG_CACHE_HOME"):
        return Path(base) / "pytest-vllm-bench"
    home = Path(os.path.expanduser("~"))
    if not home.is_absolute():  # a container's user without a home
        home = Path(tempfile.gettempdir())
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "pytest-vllm-bench"
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or home) / "pytest-vllm-bench" / "cache"
    return home / ".cache" / "pytest-vllm-bench"


def yield_priority() -> None:
    """Let others go before the calling thread (Linux; elsewhere a thread has no priority of its own)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, 10)


def facts(rootdir: Path) -> dict[str, Any]:
    """JSON-able: ``client`` (the machine that measures), ``commit`` (what ``rootdir`` has checked out), ``ci``, and the
    ``command`` that this process was called by."""
    called = Path(sys.argv[0])
    words = ["python", "-m", called.parent.name] if called.name == "__main__.py" else [called.name]
    command = shlex.join([*words, *sys.argv[1:]]) if called.name != "-c" else None  # a worker of xdist
    return {"client": client(), "commit": commit(rootdir), "ci": ci(os.environ), "command": command}


def client(root: Path = Path("/")) -> dict[str, Any]:
    """The machine that sends the load; ``root``: where its /proc and /sys are."""
    clock = time.get_clock_info("perf_counter")
    return {
        "host": platform.node(),
        "os": platform.platform(),
        "cpu": cpu(root),
        "cpus": os.cpu_count(),
        "cpus_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpu_limit": cpu_limit(root),
        "governor": _line(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory_bytes": _memory(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": dict(_packages()),
        "loop": "asyncio" if _version("uvloop") is None else "uvloop",
        "clock": {
            "source": _line(root / "sys/devices/system/clocksource/clocksource0/current_clocksource"),
            "call": clock.implementation,
            "resolution_s": clock.resolution,
        },
    }


def cpu(root: Path = Path("/")) -> str:
    """The processor's own name."""
    with contextlib.suppress(OSError):
        for line in (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin" and (name := _command("sysctl", "-n", "machdep.cpu.brand_string")):
        return name
    return platform.processor() or platform.machine()


def cpu_limit(root: Path = Path("/")) -> float | None:
    """Cores that the container may use, the smallest limit on the way up; None = no limit known."""
    limits = [limit for folder in _cgroups(root) if (limit := _quota(folder)) is not None]
    return min(limits, default=None)


def cores(root: Path = Path("/")) -> int:
    """That this process may use, whoever limits it."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, math.ceil(cpu_limit(root) or usable)))


def memory_available(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take, whoever limits it (Linux); None: nobody tells."""
    lines = (_text(root / "proc/meminfo") or "").splitlines()
    free = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    for folder in _cgroups(root):
        most, used = (_line(folder / f"memory.{name}") or "" for name in ("max", "current"))
        free += [max(0, int(most) - int(used))] if most.isdigit() and used.isdigit() else []
    return min(free, default=None)


def _cgroups(root: Path) -> Iterator[Path]:
    """The folders of this process's control groups (both versions) and of those above them."""
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" or "cpu" in controllers.split(","):
            base = root / "sys/fs/cgroup" / ("cpu" if number != "0" else "")
            folder = base / path.lstrip("/")
            while folder != base and base in folder.parents:
                yield folder
                folder = folder.parent
            yield base


def _quota(folder: Path) -> float | None:
    quota, period = [*(_line(folder / "cpu.max") or "").split(), "", ""][:2]
    if not quota:
        quota, period = _line(folder / "cpu.cfs_quota_us") or "", _line(folder / "cpu.cfs_period_us") or ""
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None  # "max", −1 or not there
    return int(quota) / int(period)


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None  # Windows has no sysconf


def _packages() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        if (found := _version(name)) is not None:
            yield name, found


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def commit(folder: Path) -> dict[str, Any] | None:
    """What git has checked out in ``folder``: id, branch, and whether tracked files differ; None without git.

    Untracked files do not count: the results themselves are often such.
    """
    revision = _command("git", "-C", str(folder), "rev-parse", "HEAD")
    if not revision:
        return None
    changes = _command("git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no")
    branch = _command("git", "-C", str(folder), "rev-parse", "--abbrev-ref", "HEAD")
    return {"id": revision, "branch": branch, "dirty": None if changes is None else bool(changes)}


def ci(environ: Mapping[str, str]) -> dict[str, str] | None:
    """Which CI job this is, so that a figure leads back to its log; None outside CI."""
    if environ.get("GITHUB_ACTIONS") == "true":
        server, repository = environ.get("GITHUB_SERVER_URL", ""), environ.get("GITHUB_REPOSITORY", "")
        url = f"{server}/{repository}/actions/runs/{environ.get('GITHUB_RUN_ID', '')}"
        return {"name": "GitHub Actions", "job": environ.get("GITHUB_JOB", ""), "url": url}
    if environ.get("GITLAB_CI"):
        return {"name": "GitLab", "job": environ.get("CI_JOB_NAME", ""), "url": environ.get("CI_JOB_URL", "")}
    return {"name": "CI", "job": "", "url": ""} if environ.get("CI") else None


def _command(*words: str) -> str | None:
    """What a command prints; None if it is not there, fails or takes too long."""
    if shutil.which(words[0]) is None:
        return None
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _line(path: Path) -> str | None:
    return (_text(path) or "").strip() or None
