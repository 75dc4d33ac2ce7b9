"""Hygon's DCUs, by ``hy-smi`` (in DTK it is called ``rocm-smi``)."""

from __future__ import annotations

from pytest_vllm_bench.observe.accelerators import smi
from pytest_vllm_bench.observe.accelerators.polled import Commands

_SHOWN = ("--showuse", "--showmemuse", "--showmeminfo", "vram", "--showpower", "--showtemp", "--json")
ARGUMENTS = (_SHOWN, ("--json",), ())  # older ones know a table alone

HYGON = Commands(
    maker="hygon",
    names=("hy-smi", "/opt/hyhal/bin/hy-smi", "/usr/local/hyhal/bin/hy-smi", "/opt/dtk/bin/rocm-smi"),
    arguments=ARGUMENTS,
    read=smi.read,
)
