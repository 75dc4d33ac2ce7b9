"""An exporter's page (DCGM, AMD's, Hygon's, Ascend's) → readings, by the names of its families and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_vllm_bench.observe.accelerators.seen import DeviceReading
from pytest_vllm_bench.observe.prometheus import labels, samples

_BYTES = 1 / (1 << 20)
#: Family, in lower case and without a site's prefix → our track and what its unit is of ours.
VALUES: Mapping[str, tuple[str, float]] = {
    "dcgm_fi_dev_gpu_util": ("utilization_pct", 1),
    "dcgm_fi_prof_gr_engine_active": ("active_pct", 100),
    "dcgm_fi_dev_fb_used": ("memory_mib", 1),
    "dcgm_fi_dev_power_usage": ("power_w", 1),
    "dcgm_fi_dev_total_energy_consumption": ("energy_j", 1e-3),
    "dcgm_fi_dev_sm_clock": ("clock_mhz", 1),
    "dcgm_fi_dev_gpu_temp": ("temperature_c", 1),
    "dcgm_fi_dev_xid_errors": ("xid", 1),
    "dcgm_fi_dev_ecc_dbe_vol_total": ("ecc_uncorrected", 1),
    "dcgm_fi_dev_clock_throttle_reasons": ("throttle_reasons", 1),
    "dcgm_fi_dev_clocks_event_reasons": ("throttle_reasons", 1),
    "dcgm_fi_dev_thermal_violation": ("thermal_violation", 1),
    "gpu_gfx_activity": ("utilization_pct", 1),
    "gpu_used_vram": ("memory_mib", 1),
    "gpu_package_power": ("power_w", 1),
    "gpu_average_package_power": ("power_w", 1),
    "gpu_power_usage": ("power_w", 1),
    "gpu_energy_consumed": ("energy_j", 1e-6),
    "gpu_clock": ("clock_mhz", 1),
    "gpu_junction_temperature": ("temperature_c", 1),
    "gpu_edge_temperature": ("temperature_c", 1),
    "gpu_ecc_uncorrect_total": ("ecc_uncorrected", 1),
    "gpu_violation_thermal": ("thermal_violation", 1),
    "dcu_utilizationrate": ("utilization_pct", 1),
    "vdcu_utilizationrate": ("utilization_pct", 1),
    "dcu_usedmemory_bytes": ("memory_mib", _BYTES),
    "vdcu_usedmemory_bytes": ("memory_mib", _BYTES),
    "dcu_power_usage": ("power_w", 1),
    "dcu_sclk": ("clock_mhz", 1),
    "dcu_temp": ("temperature_c", 1),
    "dcu_ue_count": ("ecc_uncorrected", 1),
    "hygon_dcu_usage": ("utilization_pct", 1),
    "hygon_dcu_utilization_percent": ("utilization_pct", 1),
    "hygon_vram_usage_bytes": ("memory_mib", _BYTES),
    "hygon_vram_usage": ("memory_pct", 1),
    "hygon_avg_power": ("power_w", 1),
    "hygon_temperature": ("temperature_c", 1),
    "npu_chip_info_utilization": ("utilization_pct", 1),
    "npu_chip_info_hbm_used_memory": ("memory_mib", 1),
    "npu_chip_info_power": ("power_w", 1),
    "npu_chip_info_temperature": ("temperature_c", 1),
    "npu_chip_info_aicore_current_freq": ("clock_mhz", 1),
}
#: The same of what does not change; parts of one thing are added up.
TOLD: Mapping[str, tuple[str, float]] = {
    **{f"dcgm_fi_dev_fb_{part}": ("memory_mib", 1) for part in ("used", "free", "reserved")},
    "dcgm_fi_dev_power_mgmt_limit": ("power_limit_w", 1),
    "gpu_total_vram": ("memory_mib", 1),
    "dcu_memorycap_bytes": ("memory_mib", _BYTES),
    "dcu_powercap": ("power_limit_w", 1),
    "npu_chip_info_hbm_total_memory": ("memory_mib", 1),
}
_DEVICE = ("gpu", "gpu_id", "minor_number", "device_id", "npu_id", "id", "index", "device", "uuid", "serial_number")
_HOST = ("hostname", "node", "instance")
_NAME = ("modelname", "card_series", "card_model", "model_name", "name")
_DRIVER = ("dcgm_fi_driver_version", "driver_version")
_KNOWN = {*VALUES, *TOLD}


def read(page: str) -> list[DeviceReading]:
    """Every device of the page; what is told of it several times (of its slices, of pods) is told once."""
    devices: dict[tuple[str, str], _Device] = {}
    for family, written, value in samples(page, lambda name: bool(_ours(name))):
        name, marks = _ours(family), {key.lower(): mark for key, mark in labels(written).items()}
        key = _first(marks, _HOST), _first(marks, _DEVICE) or "0"
        device = devices.setdefault(key, _Device(_first(marks, _NAME), _first(marks, _DRIVER)))
        if name in VALUES and value >= 0:
            track, scale = VALUES[name]
            device.values[track] = max(value * scale, device.values.get(track, 0.0))
        if name in TOLD:
            device.parts[name] = value * TOLD[name][1]
    several = len({host for host, _ in devices}) > 1
    return [
        DeviceReading(device=f"{host}:{index}" if several else index, values=_better(one.values), told=one.told)
        for (host, index), one in sorted(devices.items())
    ]


@dataclass(slots=True)
class _Device:
    name: str
    driver: str
    values: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = {"name": self.name, "driver": self.driver}
        for family, value in self.parts.items():
            found[TOLD[family][0]] = found.get(TOLD[family][0], 0.0) + value
        return found


def _first(marks: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((marks[name] for name in names if marks.get(name)), "")


def _ours(family: str) -> str:
    """A family's name as it stands in the tables, without what a site puts before it; "" if it does not."""
    name = family.lower()
    while name and name not in _KNOWN:
        name = name.partition("_")[2]
    return name


def _better(values: dict[str, float]) -> dict[str, float]:
    if "active_pct" in values:  # of the engine, where the profiling module is there
        values["utilization_pct"] = values.pop("active_pct")
    return values
