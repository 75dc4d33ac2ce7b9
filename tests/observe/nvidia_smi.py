"""A ``nvidia-smi`` that plays what a real one said (one NVIDIA H200, driver 580.159.04), or goes wrong in one way."""

from __future__ import annotations

import csv
import os
import sys
import time
from pathlib import Path

RECORDED = Path(__file__).parent / "nvidia_smi_h200.csv"


def install(folder: Path, behaviour: str = "plays") -> str:
    """Put it into ``folder``; → the PATH on which it is found first."""
    folder.mkdir(exist_ok=True)
    command = folder / "nvidia-smi"
    words = f"'{sys.executable}' -S '{__file__}' '{behaviour}' '{folder}'"
    command.write_text(f'#!/bin/sh\nexport WATCHED={os.getpid()}\n{words} "$@"\n')  # a child of the shell's
    command.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def recorded() -> list[dict[str, str]]:
    with RECORDED.open(encoding="utf-8") as file:
        return list(csv.DictReader(file, skipinitialspace=True))


def told(row: dict[str, str], field: str, behaviour: str) -> str:
    odd = {"utilization.gpu": "[Not Supported]", "temperature.gpu": "nan", "clocks.sm": "[Unknown Error]",
           "memory.used": "-1", "name": "NVIDIA H200, of a kind", "power.limit": "[N/A]"}  # fmt: skip
    if behaviour == "tells no power" and field == "power.draw":
        return "[N/A]"
    if behaviour == "is odd" and field in odd:
        return odd[field]
    return row[field.replace("throttle", "event")]


def census(behaviour: str, programs: bool) -> int:
    """Errors of memory, or who runs there: this session's program, and one of another session where it is shared."""
    uuid = recorded()[0]["uuid"] + "0"
    if programs:
        here = [os.environ["WATCHED"], *([os.environ["STRANGER"]] if behaviour == "is shared" else [])]
        print("\n".join(f"{uuid}, {process}" for process in here))
    else:
        print("0, 0" if behaviour == "plays" else "0, [N/A]")
    return 0


def main(behaviour: str, *arguments: str) -> int:
    if any("ecc." in argument or "compute-apps" in argument for argument in arguments):
        return census(behaviour, any("compute-apps" in argument for argument in arguments))
    asked = next(a for a in arguments if a.startswith("--query-gpu=")).partition("=")[2].split(",")
    refused = {"is older": "clocks_event", "is very old": "clocks_", "is small": "memory.total"}.get(behaviour)
    if unknown := [field for field in asked if refused and field.startswith(refused)]:
        print(f'Field "{unknown[0]}" is not a valid field to query.\n')
        return 2
    if behaviour == "finds none":
        print("No devices were found")
        return 6
    if behaviour == "hangs":
        time.sleep(600)
    rows = recorded()
    for i in range(1_000_000):
        row = rows[(i + 10) % len(rows)]  # the load begins when the card is busy
        for device in range(2 if behaviour in ("has two", "has a mute one") else 1):
            if behaviour == "has a mute one" and device:
                row = {**dict.fromkeys(row, "[N/A]"), "uuid": row["uuid"], "name": row["name"]}
            cells = [row["uuid"] + str(device) if field == "uuid" else told(row, field, behaviour) for field in asked]
            print(", ".join([str(device), *cells[1:]]))
        sys.stdout.flush()
        if behaviour == "dies" and i == 1:
            print("Unable to determine the device handle for GPU0000:00:06.0: GPU is lost.")
            return 15
        if behaviour == "falls silent" and i == 1:
            time.sleep(600)
        if behaviour == "floods without lines":
            sys.stdout.write("x" * 1_000_000)
        elif behaviour != "floods":
            time.sleep(0.5)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
