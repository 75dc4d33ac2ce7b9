"""Huawei's Ascend NPUs, by ``npu-smi``: a list of them, and then each asked for what it uses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_vllm_bench.observe.accelerators.polled import Commands
from pytest_vllm_bench.observe.accelerators.seen import DeviceReading, number

#: Our track → its key, without blanks and in lower case; they vary from version to version.
VALUES: Mapping[str, str] = {
    "utilization_pct": r"ai-?coreusage(rate)?\(%\)",
    "memory_pct": r"hbmusage(rate)?\(%\)",
    "power_w": r"(npureal-timepower|powerdissipation|real-timepower|power)\(w\)",
    "temperature_c": r"(nputemperature|temperature|chiptemperature)\(c\)",
    "clock_mhz": r"aicorecurfreq\(mhz\)",
}
_MAPPED = re.compile(r"\s*(\d+)\s+(\d+)\s+\S+\s+(\S.*?)\s*")


def read(text: str) -> list[DeviceReading]:
    """Lines ``Key : value``, each NPU's after its own ``NPU ID``; and the list that names them."""
    cells: dict[str, dict[str, float]] = {}
    told: dict[str, dict[str, Any]] = {}
    npu = ""
    for line in text.splitlines():
        if (mapped := _MAPPED.fullmatch(line)) and "mcu" not in mapped[3].lower():
            told.setdefault(mapped[1], {"name": mapped[3]})
        key, colon, cell = line.partition(":")
        key = re.sub(r"\s", "", key).lower()
        if colon and key == "npuid":
            npu = cell.strip()
        if not colon or (value := number(cell)) is None or not npu:
            continue
        if key == "hbmcapacity(mb)":
            told.setdefault(npu, {})["memory_mib"] = value
        for name, pattern in VALUES.items():
            if re.fullmatch(pattern, key):  # of several chips the busiest
                of_npu = cells.setdefault(npu, {})
                of_npu[name] = max(value, of_npu.get(name, 0.0))
    return [
        DeviceReading(device=npu, values=cells.get(npu, {}), told=told.get(npu, {})) for npu in sorted({*cells, *told})
    ]


def asked(listed: str) -> Sequence[Sequence[str]]:
    """The calls for each NPU of the list."""
    devices = [reading.device for reading in read(listed)]
    return [("info", "-t", kind, "-i", device) for device in devices for kind in ("usages", "power")]


ASCEND = Commands(
    maker="ascend",
    names=("npu-smi", "/usr/local/bin/npu-smi", "/usr/local/sbin/npu-smi"),
    arguments=(("info", "-m"),),
    read=read,
    then=asked,
)
