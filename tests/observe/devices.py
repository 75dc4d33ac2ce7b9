# ruff: noqa: E501  # lines as they are said
"""What commands and exporters say of accelerators, in every form that is known, and commands on a PATH that play it."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

HY_TABLE = """
============================ System Management Interface =============================
======================================================================================
DCU     Temp     AvgPwr     Perf     PwrCap     VRAM%      DCU%      Mode
0       66.0C    111.0W     auto     400.0W     94%        88.5%     Normal
1       N/A      75.0W      auto     400.0W     0%         0.0%      N/A
======================================================================================
=================================== End of SMI Log ===================================
"""
HY_TABLE_NEWER = HY_TABLE.replace("DCU     Temp", "HCU     Temp").replace("DCU%      Mode", "HCU%  Dec%  Enc%  Mode")
HY_TABLE_NEWER = HY_TABLE_NEWER.replace("88.5%     Normal", "88.5% 0% 0% Normal").replace(
    "0.0%      N/A", "0% 0% 0% N/A"
)
_CARD = {
    "Temperature (Sensor edge) (C)": "55.0",
    "Temperature (Sensor junction) (C)": "66.0",
    "Temperature (Sensor mem) (C)": "60.0",
    "Average Graphics Package Power (W)": "111.0",
    "HCU use (%)": "88.5",
    "HCU memory use (%)": "94",
    "vram Total Memory (MiB)": "65520",
    "vram Total Used Memory (MiB)": "61000",
    "Card Series": "BW1000",
}
_IDLE = {"Average Graphics Package Power (W)": 75, "HCU use (%)": 0.0, "vram Total Used Memory (MiB)": "N/A",
         "Temperature (Sensor core) (C)": 41}  # fmt: skip
HY_JSON = json.dumps({"card0": _CARD, "card1": _IDLE, "system": {"Driver version": "6.2.31"}})
HY_JSON_OLDER = "WARNING: low power\n" + json.dumps(
    {"card0": {"DCU use (%)": "88.5", "vram Total Memory (B)": str(65520 << 20), "vram Total Used Memory (B)": str(61000 << 20),
               "Average Graphics Package Power (W)": "111.0", "Temperature (Sensor junction) (C)": "66.0"},
     "card1": {"DCU use (%)": "0", "Average Graphics Package Power (W)": "75.0"}})  # fmt: skip
HY_CSV = """
====== System Management Interface ======
device,Temperature (Sensor junction) (C),Average Graphics Package Power (W),HCU use (%),vram Total Used Memory (MiB)
card0,66.0,111.0,88.5,61000
card1,N/A,75.0,0.0,N/A
"""
HY_LINES = """
HCU[0]  : HCU use (%): 88.5
HCU[0]  : Average Graphics Package Power (W): 111.0
HCU[0]  : Temperature (Sensor junction) (C): 66.0
HCU[1]  : HCU use (%): 0.0
HCU[1]  : Average Graphics Package Power (W): 75.0
"""
HY_LAST_SECOND = HY_LINES.replace("HCU use (%): 88.5", "HCU util in last second : 88.5%")
ROCM_5 = json.dumps(
    {"card0": {"Temperature (Sensor edge) (C)": "40.0", "Temperature (Sensor junction) (C)": "66.0", "GPU use (%)": "88",
               "Average Graphics Package Power (W)": "111.0", "GPU memory use (%)": "94", "Card series": "Instinct MI210",
               "VRAM Total Memory (B)": "68702699520", "VRAM Total Used Memory (B)": "63963136000",
               "Max Graphics Package Power (W)": "300.0", "Accumulated Energy (uJ)": "1500000.5"},
     "card1": {"GPU use (%)": "0", "Average Graphics Package Power (W)": "75.0"}})  # fmt: skip
ROCM_6 = json.dumps(
    {"card0": {"Temperature (Sensor junction) (C)": "66.0", "Current Socket Graphics Package Power (W)": "111.0",
               "GPU use (%)": "88", "GPU Memory Allocated (VRAM%)": "94", "sclk clock speed:": "(2100Mhz)"},
     "card1": {"GPU use (%)": "0", "Current Socket Graphics Package Power (W)": "75.0"}})  # fmt: skip
_MI300 = {
    "gpu": 0,
    "usage": {
        "gfx_activity": {"value": 88, "unit": "%"},
        "umc_activity": {"value": 3, "unit": "%"},
        "mm_activity": "N/A",
    },
    "power": {"socket_power": {"value": 111, "unit": "W"}, "gfx_voltage": "N/A"},
    "clock": {"gfx_0": {"clk": {"value": 2100, "unit": "MHz"}, "max_clk": {"value": 2100, "unit": "MHz"}}},
    "temperature": {"edge": "N/A", "hotspot": {"value": 66, "unit": "C"}, "mem": {"value": 41, "unit": "C"}},
    "ecc": {"total_correctable_count": 0, "total_uncorrectable_count": 0},
    "mem_usage": {"total_vram": {"value": 196300, "unit": "MB"}, "used_vram": {"value": 61000, "unit": "MB"}},
    "energy": {"total_energy_consumption": {"value": 1500.5, "unit": "J"}},
}
_MI300_IDLE = {
    "gpu": 1,
    "usage": {"gfx_activity": {"value": 0, "unit": "%"}},
    "power": {"socket_power": {"value": 75, "unit": "W"}},
}
AMD_LIST, AMD_DATA = json.dumps([_MI300, _MI300_IDLE]), json.dumps({"gpu_data": [_MI300, _MI300_IDLE]})
AMD_FLAT = json.dumps([{"gpu": 0, "gfx_activity": 88, "socket_power": "111 W", "hotspot_temperature": 66, "vram_used": 61000},
                       {"gpu": 1, "gfx_activity": 0, "socket_power": "75 W"}])  # fmt: skip
AMD_CSV = """'CTRL' + 'C' to stop watching output:
timestamp,gpu,gfx_activity,umc_activity,mm_activity,socket_power,hotspot,used_vram
1764212345,0,88,3,N/A,111,66,61000
1764212345,1,0,0,N/A,75,N/A,N/A
timestamp,gpu,gfx_activity,umc_activity,mm_activity,socket_power,hotspot,used_vram
"""
NPU_LIST = """
        NPU ID                         Chip ID                        Chip Logic ID                  Chip Name
        0                              0                              0                              Ascend 910B3
        0                              1                              -                              Mcu
        1                              0                              1                              Ascend 910B3
        1                              1                              -                              Mcu
"""
NPU_USAGES = """
        NPU ID                         : {npu}
        Chip Count                     : 1

        HBM Capacity(MB)               : 65536
        HBM Usage Rate(%)              : 94
        Aicore Usage Rate(%)           : {used}
        DDR Capacity(MB)               : 0
        Chip ID                        : 0
"""
NPU_POWER = """
        NPU ID                         : {npu}
        Chip Count                     : 1

        NPU Real-time Power(W)         : {power}
        Chip ID                        : 0
"""
NPU = {
    "info -m": NPU_LIST,
    "info -t usages -i 0": NPU_USAGES.format(npu=0, used=88),
    "info -t power -i 0": NPU_POWER.format(npu=0, power=111.0),
    "info -t usages -i 1": NPU_USAGES.format(npu=1, used=0).replace("Aicore Usage", "AI Core Usage"),
    "info -t power -i 1": NPU_POWER.format(npu=1, power=75.0).replace("NPU Real-time Power", "Power Dissipation"),
}

DCGM = """
# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-a",pci_bus_id="00000000:0F:00.0",device="nvidia0",modelName="NVIDIA H100",Hostname="n1",DCGM_FI_DRIVER_VERSION="550.1"} 88
DCGM_FI_DEV_GPU_UTIL{gpu="1",UUID="GPU-b",device="nvidia1",modelName="NVIDIA H100",Hostname="n1"} 0
DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-a",device="nvidia0",modelName="NVIDIA H100",Hostname="n1",pod="a"} 111.0
DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-a",device="nvidia0",modelName="NVIDIA H100",Hostname="n1",pod="b"} 111.0
DCGM_FI_DEV_POWER_USAGE{gpu="1",UUID="GPU-b",device="nvidia1",modelName="NVIDIA H100",Hostname="n1"} 75.0
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu="0",UUID="GPU-a",Hostname="n1"} 1500500
DCGM_FI_DEV_FB_USED{gpu="0",Hostname="n1"} 61000
DCGM_FI_DEV_FB_FREE{gpu="0",Hostname="n1"} 20000
DCGM_FI_DEV_FB_RESERVED{gpu="0",Hostname="n1"} 559
DCGM_FI_DEV_GPU_TEMP{gpu="0",Hostname="n1"} 66
DCGM_FI_DEV_XID_ERRORS{gpu="0",Hostname="n1"} 0
"""
DCGM_PROFILED = DCGM.replace("DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_PROF_GR_ENGINE_ACTIVE").replace("} 88", "} 0.88")
AMD_EXPORTER = """
gpu_gfx_activity{card_model="102-G30211-00",card_series="Instinct MI300X",gpu_id="0",hostname="n1",serial_number="6"} 88
gpu_package_power{gpu_id="0",hostname="n1"} 111
gpu_energy_consumed{gpu_id="0",hostname="n1"} 1.5005e+09
gpu_junction_temperature{gpu_id="0",hostname="n1"} 66
gpu_used_vram{gpu_id="0",hostname="n1"} 61000
gpu_total_vram{gpu_id="0",hostname="n1"} 196300
gpu_gfx_activity{gpu_id="1",hostname="n1"} 0
gpu_average_package_power{gpu_id="1",hostname="n1"} 75
"""
AMD_UPPER = AMD_EXPORTER.replace("gpu_gfx_activity", "amd_GPU_GFX_ACTIVITY").replace(
    "gpu_package_power", "amd_gpu_power_usage"
)
DCU_EXPORTER = f"""
dcu_utilizationrate{{device_id="T1",minor_number="0",name="BW1000",node="n1",pcieBus_number="0000:0f:00.0"}} 88.5
dcu_power_usage{{device_id="T1",minor_number="0",node="n1"}} 111
dcu_powercap{{device_id="T1",minor_number="0",node="n1"}} 400
dcu_temp{{device_id="T1",minor_number="0",node="n1"}} 66
dcu_usedmemory_bytes{{device_id="T1",minor_number="0",node="n1"}} {61000 << 20}
dcu_memorycap_bytes{{device_id="T1",minor_number="0",node="n1"}} {65520 << 20}
dcu_utilizationrate{{device_id="T2",minor_number="1",node="n1"}} 0
dcu_power_usage{{device_id="T2",minor_number="1",node="n1"}} 75
"""
HYGON_DCGM = """
hygon_dcu_usage{device="0"} 88.5
hygon_avg_power{device="0"} 111
hygon_temperature{device="0"} 66
hygon_dcu_usage{device="1"} 0
hygon_avg_power{device="1"} 75
"""
HYGON_SYSFS = HYGON_DCGM.replace("hygon_dcu_usage", "hygon_dcu_utilization_percent")
NPU_EXPORTER = """
npu_chip_info_utilization{id="0",model_name="910B3"} 88
npu_chip_info_power{id="0",model_name="910B3"} 111
npu_chip_info_temperature{id="0"} 66
npu_chip_info_hbm_used_memory{id="0"} 61000
npu_chip_info_utilization{id="1"} 0
npu_chip_info_power{id="1"} 75
"""


def install(folder: Path, **commands: Mapping[str, str] | str) -> str:
    """Put commands into ``folder`` that say the same each time, or by what they are asked; → the PATH with them alone."""
    folder.mkdir(exist_ok=True)
    for name, said in commands.items():
        command = folder / name.replace("_", "-")
        answers = said if isinstance(said, Mapping) else {"": said}
        cases = "".join(f"{shlex.quote(asked)}*) printf %s {shlex.quote(text)};;\n" for asked, text in answers.items())
        command.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}*) echo "invalid option"; exit 2;;\nesac\n')
        command.chmod(0o755)
    return f"{folder}{os.pathsep}{os.defpath}"
