"""What ``hy-smi`` and ``rocm-smi`` print, in any of their forms → readings, by header and key."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_vllm_bench.observe.accelerators.seen import DeviceReading, number

_MIB = {"b": 1 / (1 << 20), "kb": 1 / 1024, "kib": 1 / 1024, "mb": 1.0, "mib": 1.0, "gb": 1024.0, "gib": 1024.0}
_CARD = "(?:hcu|dcu|gpu)"
#: Our track → the keys under which it may stand, the best first; a group is the unit of memory.
VALUES: Mapping[str, tuple[str, ...]] = {
    "utilization_pct": (f"{_CARD} util in last second", rf"{_CARD} use \(%\)", f"{_CARD}%", f"{_CARD} use"),
    "memory_pct": (rf"{_CARD} memory use \(%\)", r"gpu memory allocated \(vram%\)", "vram%"),
    "memory_mib": (r"vram total used memory \((\w+)\)",),
    "power_w": (r"(?:average|current)\b.*\bpower \(w\)", "avgpwr", "power"),
    "energy_j": (r"accumulated energy \(uj\)",),
    "temperature_c": (
        *(rf"temperature \(sensor {sensor}\) \(c\)" for sensor in ("junction", "hotspot", "core", "edge", "mem")),
        "temp",
    ),
    "clock_mhz": ("sclk clock speed:?", "sclk"),
}
TOLD: Mapping[str, tuple[str, ...]] = {
    "name": ("card series", "device name", "card model", "product name"),
    "power_limit_w": (r"max(?:imum)? graphics package power \(w\)", "pwrcap"),
    "memory_mib": (r"vram total memory \((\w+)\)",),
    "driver": ("driver version",),
}
_LINE = re.compile(r"(?:HCU|DCU|GPU)\[(\d+)\]\s*:\s*(.+?)\s*:\s*([^:]*)", re.IGNORECASE)

Cells = Mapping[str, Any]


def read(text: str) -> list[DeviceReading]:
    """Every card in the output of one call; empty where it tells of none."""
    for form in (_json, _csv, _lines, _table):
        if found := list(form(text)):
            return [_reading(device, cells) for device, cells in found]
    return []


def _json(text: str) -> Iterator[tuple[str, Cells]]:
    begin = text.find("{")  # warnings may stand before it
    try:
        told = json.JSONDecoder().raw_decode(text[begin:])[0] if begin >= 0 else {}
    except (ValueError, RecursionError):
        return
    system = told.get("system")
    for name, cells in told.items():
        if isinstance(cells, dict) and (card := re.fullmatch(r"\D*(\d+)", name)):
            yield card[1], {**(system if isinstance(system, dict) else {}), **cells}


def _csv(text: str) -> Iterator[tuple[str, Cells]]:
    lines = text.splitlines()
    head = next((i for i, line in enumerate(lines) if line.lower().startswith("device,")), len(lines))
    for row in csv.DictReader(lines[head:]):
        if card := re.fullmatch(r"\D*(\d+)", next(iter(row.values())) or ""):
            yield card[1], row


def _lines(text: str) -> Iterator[tuple[str, Cells]]:
    cards: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        if found := _LINE.fullmatch(line.strip()):
            cards.setdefault(found[1], {})[found[2]] = found[3]
    yield from cards.items()


def _table(text: str) -> Iterator[tuple[str, Cells]]:
    head: list[str] = []
    for line in text.splitlines():
        cells = re.sub(r"\([^)]*\)", "", line).split()
        if cells and re.fullmatch("hcu|dcu|gpu", cells[0], re.IGNORECASE) and len(cells) > 2:
            head = cells
        elif head and len(cells) == len(head) and cells[0].isdigit():
            yield cells[0], dict(zip(head[1:], cells[1:], strict=True))


def _reading(device: str, cells: Cells) -> DeviceReading:
    known = {key.strip().lower(): value for key, value in cells.items() if isinstance(key, str)}
    values = {name: value for name, keys in VALUES.items() if (value := _first(known, keys)) is not None}
    if "energy_j" in values:
        values["energy_j"] *= 1e-6
    told: dict[str, Any] = {name: _first(known, TOLD[name]) for name in ("power_limit_w", "memory_mib")}
    told |= {name: _word(known, TOLD[name]) for name in ("name", "driver")}
    return DeviceReading(device=device, values=values, told=told)


def _word(cells: Cells, keys: tuple[str, ...]) -> str:
    words = (str(cells[key]) for key in keys if key in cells)
    return next((word for word in words if word.strip() and word != "N/A"), "")


def _first(cells: Cells, keys: tuple[str, ...]) -> float | None:
    """The first of the keys that has a number; of memory in MiB."""
    for pattern in keys:
        for key, cell in cells.items():
            if (found := re.fullmatch(pattern, key)) and (value := number(cell)) is not None:
                return value * (_MIB.get(found[1], 1.0) if found.groups() else 1.0)
    return None
