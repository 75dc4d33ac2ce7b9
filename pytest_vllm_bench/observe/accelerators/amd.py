"""AMD's GPUs, by ``amd-smi``, or where there is none by ``rocm-smi`` (which on a Hygon machine is theirs)."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_vllm_bench.observe.accelerators import smi
from pytest_vllm_bench.observe.accelerators.hygon import ARGUMENTS
from pytest_vllm_bench.observe.accelerators.polled import Commands
from pytest_vllm_bench.observe.accelerators.seen import DeviceReading, number

#: Our track → what it is called, the best first: by amd-smi's JSON with the group before it, by its CSV without.
VALUES: Mapping[str, tuple[str, ...]] = {
    "utilization_pct": (r"(usage\.)?gfx_(activity|usage|util)",),
    "memory_mib": (r"(mem_usage\.|vram\.|fb_memory_usage\.)?(used_vram|vram_used|used)",),
    "power_w": (r"(power\.)?((current_|average_)?socket_power|gfx_power|average_power)",),
    "energy_j": (r"(energy\.)?total_energy_consumption",),
    "temperature_c": (
        r"(temperature\.)?(hotspot|hotspot_temperature|junction)",
        r"(temperature\.)?edge(_temperature)?",
    ),
    "clock_mhz": (r"clock\.gfx(_0)?\.(clk|cur_clk)", r"gfx(_0)?_clk"),
    "ecc_uncorrected": (r"(ecc\.)?total_uncorrectable(_count)?",),
}
TOLD: Mapping[str, tuple[str, ...]] = {
    "memory_mib": (r"(mem_usage\.|vram\.)?(total_vram|vram_total)",),
    "power_limit_w": (r"(power\.)?(power_limit|socket_power_limit|max_power_limit)",),
}
_SCALE = {"uj": 1e-6, "mj": 1e-3, "kj": 1e3, "mw": 1e-3, "gb": 1024.0, "gib": 1024.0, "b": 1 / (1 << 20), "ghz": 1e3}


def read(text: str) -> list[DeviceReading]:
    """amd-smi's JSON or CSV; else rocm-smi's forms."""
    found = [reading for cells in (*_json(text), *_csv(text)) if (reading := _reading(cells)) is not None]
    return found or smi.read(text)


def _json(text: str) -> Iterator[dict[str, Any]]:
    begin = re.search(r"[\[{]", text)
    try:
        told = json.JSONDecoder().raw_decode(text[begin.start() :])[0] if begin else []
        cards = told.get("gpu_data", []) if isinstance(told, dict) else told
        yield from (dict(_flat(card)) for card in cards if isinstance(card, dict) and "gpu" in card)
    except (ValueError, RecursionError):
        return


def _flat(told: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by their path; those with a unit in ours."""
    for key, value in told.items():
        if isinstance(value, Mapping) and "value" in value:
            scale = _SCALE.get(str(value.get("unit", "")).lower(), 1.0)
            known = number(value["value"])
            yield f"{before}{key}".lower(), None if known is None else known * scale
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}".lower(), value


def _csv(text: str) -> Iterator[dict[str, Any]]:
    """A preamble, then the header, again and again, and rows."""
    head: list[str] = []
    for row in csv.reader(line for line in text.splitlines() if "," in line):
        if "gpu" in (names := [name.strip().lower() for name in row]):
            head = names
        elif len(row) == len(head):
            yield dict(zip(head, row, strict=True))


def _reading(cells: Mapping[str, Any]) -> DeviceReading | None:
    if number(device := cells.get("gpu")) is None:
        return None
    values = {name: value for name, keys in VALUES.items() if (value := _first(cells, keys)) is not None}
    told = {name: _first(cells, keys) for name, keys in TOLD.items()}
    return DeviceReading(device=str(device).strip(), values=values, told=told)


def _first(cells: Mapping[str, Any], keys: tuple[str, ...]) -> float | None:
    found = (number(cell) for pattern in keys for key, cell in cells.items() if re.fullmatch(pattern, key))
    return next((value for value in found if value is not None), None)


AMD = Commands(
    maker="amd",
    names=("amd-smi", "rocm-smi", "/opt/rocm/bin/amd-smi", "/opt/rocm/bin/rocm-smi"),
    arguments=(("metric", "--json"), *ARGUMENTS),
    read=read,
)
