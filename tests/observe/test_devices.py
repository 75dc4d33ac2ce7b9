"""Accelerators by command and by exporter: every form that is known says the same, and what goes wrong is bounded."""

from __future__ import annotations

import asyncio
from pathlib import Path

import devices as said
import pytest
from every import every
from hypothesis import given
from hypothesis import strategies as st

from pytest_vllm_bench.model import Beside, Observed, Target
from pytest_vllm_bench.observe.accelerators import amd, ascend, exporter, smi, watcher
from pytest_vllm_bench.observe.accelerators.seen import DeviceLog, DeviceReading

FORMS = {
    "hy-smi's table": (smi.read, said.HY_TABLE),
    "its newer table": (smi.read, said.HY_TABLE_NEWER),
    "its JSON": (smi.read, said.HY_JSON),
    "its older JSON": (smi.read, said.HY_JSON_OLDER),
    "its CSV": (smi.read, said.HY_CSV),
    "its lines": (smi.read, said.HY_LINES),
    "its lines of DCUs": (smi.read, said.HY_LINES.replace("HCU", "DCU")),
    "its lines of GPUs": (smi.read, said.HY_LINES.replace("HCU", "GPU")),
    "its last second": (smi.read, said.HY_LAST_SECOND),
    "rocm-smi 5": (amd.read, said.ROCM_5),
    "rocm-smi 6": (amd.read, said.ROCM_6),
    "amd-smi's list": (amd.read, said.AMD_LIST),
    "amd-smi's data": (amd.read, said.AMD_DATA),
    "amd-smi, flat": (amd.read, said.AMD_FLAT),
    "amd-smi's CSV": (amd.read, said.AMD_CSV),
    "npu-smi": (ascend.read, "".join(said.NPU.values())),
    "DCGM": (exporter.read, said.DCGM),
    "DCGM, profiled": (exporter.read, said.DCGM_PROFILED),
    "AMD's exporter": (exporter.read, said.AMD_EXPORTER),
    "with a prefix": (exporter.read, said.AMD_UPPER),
    "dcu-exporter": (exporter.read, said.DCU_EXPORTER),
    "hygon-dcgm-exporter": (exporter.read, said.HYGON_DCGM),
    "by sysfs": (exporter.read, said.HYGON_SYSFS),
    "npu-exporter": (exporter.read, said.NPU_EXPORTER),
}


@every("form", FORMS)
def test_every_form_says_the_same(form: str) -> None:
    """One busy device and an idle one; what is not told is not there."""
    read, text = FORMS[form]
    busy, idle = read(text)
    assert (busy.device, idle.device) == ("0", "1")
    assert busy.values["power_w"] == 111
    assert busy.values["utilization_pct"] == pytest.approx(88.5, abs=0.5)
    assert busy.values.get("temperature_c", 66) == 66
    assert busy.values.get("memory_mib", 61000) == pytest.approx(61000, abs=1)
    assert busy.values.get("memory_pct", 94) == 94
    assert busy.values.get("energy_j", 1500.5) in (1500.5, pytest.approx(1.5000005))
    assert idle.values["power_w"] == 75
    assert idle.values["utilization_pct"] == 0
    assert "temperature_c" not in idle.values or idle.values["temperature_c"] == 41


def test_what_devices_are() -> None:
    (card, _) = smi.read(said.HY_JSON)
    assert {k: v for k, v in card.told.items() if v} == {"name": "BW1000", "driver": "6.2.31", "memory_mib": 65520}
    assert smi.read(said.HY_TABLE)[0].told["power_limit_w"] == 400
    assert amd.read(said.AMD_LIST)[0].told["memory_mib"] == 196300
    assert ascend.read("".join(said.NPU.values()))[0].told == {"name": "Ascend 910B3", "memory_mib": 65536}
    (dcgm, _) = exporter.read(said.DCGM)
    assert dcgm.told == {"name": "NVIDIA H100", "driver": "550.1", "memory_mib": 81559}
    (dcu, _) = exporter.read(said.DCU_EXPORTER)
    assert dcu.told == {"name": "BW1000", "driver": "", "power_limit_w": 400, "memory_mib": 65520}


def test_the_same_number_on_two_hosts_is_two_devices() -> None:
    both = said.DCGM + said.DCGM.replace('"n1"', '"n2"')
    assert [reading.device for reading in exporter.read(both)] == ["n1:0", "n1:1", "n2:0", "n2:1"]


def test_an_exporter_that_is_slower_than_we_look_says_nothing_new() -> None:
    """Its state every third second; a page that never changes is a device that does not."""
    log = DeviceLog(1.0)
    for second in range(10):
        log.take(float(second), [DeviceReading(device="0", values={"power_w": 100.0 + second // 3})])
    log.refreshed()
    assert [t for t, _ in log.series["0", "power_w"]] == [0, 3, 6, 9]
    assert log.every == 3
    still = DeviceLog(1.0)
    for second in range(10):
        still.take(float(second), [DeviceReading(device="0", values={"power_w": 100.0})])
    still.refreshed()
    assert len(still.series["0", "power_w"]) == 10


async def watch(one: Beside | None) -> Observed | None:
    if one is None:
        return None
    await one.begin(Target())
    return await one.end(False)


COMMANDS = {
    "hygon": {"hy_smi": {"--showuse": said.HY_JSON}},
    "hygon, of the JSON alone": {"hy_smi": {"--json": said.HY_JSON_OLDER}},
    "hygon, of the table alone": {"hy_smi": {"": said.HY_TABLE}},
    "hygon, called rocm-smi": {"rocm_smi": {"--showuse": said.HY_JSON}},
    "amd": {"amd_smi": {"metric --json": said.AMD_LIST}, "rocm_smi": {"": "no"}},
    "amd, older": {"rocm_smi": {"--showuse": said.ROCM_5}},
    "amd, whose newer command fails": {"amd_smi": {"": "no"}, "rocm_smi": {"--showuse": said.ROCM_6}},
    "ascend": {"npu_smi": said.NPU},
}


def test_every_makers_command_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for number, (named, commands) in enumerate(COMMANDS.items()):
        monkeypatch.setenv("PATH", said.install(tmp_path / str(number), **commands))
        for choice in (named.partition(",")[0], "auto"):
            found[named, choice] = watcher(choice)  # it finds its command now

    async def all_of_them() -> list[Observed | None]:
        return await asyncio.gather(*map(watch, found.values()))

    for (named, _), seen in zip(found, asyncio.run(all_of_them()), strict=True):
        assert seen is not None, named
        assert len(seen.environment["accelerators"]) == 2, named
        power = {t.device: t.values[0] for t in seen.tracks if t.name == "power_w"}
        assert power == {"0": 111, "1": 75}, named
        assert seen.notes == (), named
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [watcher(maker) for maker in ("auto", "nvidia", "hygon", "amd", "ascend")] == [None] * 5


@pytest.mark.slow
def test_a_command_that_goes_wrong_is_said_and_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs with a child, floods, dies, says nothing, or is no program."""
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", said.install(folder, hy_smi=""))
    for script in (
        "kill -9 $$",
        "yes | head -c 20000000",
        "exit 3",
        "printf '\\377\\376{\"card0\": []}'",
        "exec nothing",
    ):
        (folder / "hy-smi").write_text(f"#!/bin/sh\n{script}\n")
        seen = asyncio.run(watch(watcher("hygon")))
        assert seen is not None
        assert seen.tracks == ()
        assert [note.key for note in seen.notes] == ["observe.devices_missed"], script
    (folder / "hy-smi").write_text("#!/bin/sh\nsleep 600 & sleep 600\n")

    async def interrupted() -> Observed:
        one = watcher("hygon")
        assert one is not None
        begun = asyncio.create_task(one.begin(Target()))
        await asyncio.sleep(0.2)
        begun.cancel()
        return await one.end(True)

    assert asyncio.run(interrupted()).notes == ()


def test_a_command_without_a_device_that_nobody_asked_for_is_no_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ROCm's tools may be on a machine without a card: said where they were named, and not asked for ever."""
    monkeypatch.setenv("PATH", said.install(tmp_path / "bin", rocm_smi={"nobody": ""}))
    for choice, notes in {"auto": [], "amd": ["observe.devices_missed"]}.items():
        seen = asyncio.run(watch(watcher(choice)))
        assert seen is not None
        assert ([note.key for note in seen.notes], seen.tracks, seen.environment) == (notes, (), {})


@given(st.text() | st.sampled_from([text for _, text in FORMS.values()]).flatmap(
    lambda text: st.integers(0, len(text)).map(lambda at: text[at:] + text[:at])))  # fmt: skip
def test_any_text_can_be_read(text: str) -> None:
    for read in (smi.read, amd.read, ascend.read, exporter.read):
        for reading in read(text):
            assert all(value >= 0 for value in reading.values.values())
