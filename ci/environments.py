"""Packages → a virtual environment in the cache, made once."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from leg import Unavailable, cache


def environment(name: str, installs: Sequence[Sequence[str]], *, remove: Sequence[str] = ()) -> Path:
    """The interpreter of an environment with ``installs`` (one call of pip each), then without ``remove``.

    Raises Unavailable with pip's last words where a package cannot be had.
    """
    digest = hashlib.sha256(repr((installs, remove, sys.version_info[:2])).encode()).hexdigest()[:10]
    folder = cache() / f"{name}-{digest}"
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    for old in cache().glob(f"{name}-*"):  # gigabytes, each made for other packages
        shutil.rmtree(old, ignore_errors=True)
    print(f"installing {name} into {folder}", flush=True)
    _call([sys.executable, "-m", "venv", str(folder)])
    for packages in installs:
        _call([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
    if remove:
        _call([str(python), "-m", "pip", "uninstall", "--quiet", "--yes", *remove])
    (folder / "complete").touch()
    return python


def _call(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(" ".join([*command[-2:], "→", *(done.stderr or done.stdout).strip().splitlines()[-1:]]))
