"""nvidia-smi's lines → tracks: as a real card's driver says them, in other legal forms, and when it goes wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nvidia_smi
import pytest

from pytest_vllm_bench.measure import energy
from pytest_vllm_bench.model import Cell, Observed, Scenario, Target, Watching
from pytest_vllm_bench.observe import BESIDES
from pytest_vllm_bench.observe.accelerators.nvidia import LAST, PATIENCE, TRACKS, Nvidia
from pytest_vllm_bench.observe.accelerators.seen import SELDOM
from pytest_vllm_bench.text import say

SERIES = set(TRACKS.values())


def watched(
    behaviour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.0
) -> tuple[Observed, float]:
    """What was seen around ``seconds`` of load, and how long it took besides."""
    monkeypatch.setenv("PATH", nvidia_smi.install(tmp_path / "bin", behaviour))

    async def watch() -> Observed:
        watcher = Nvidia()
        await watcher.begin(Target())
        await asyncio.sleep(seconds)
        return await watcher.end(False)

    began = time.monotonic()
    return asyncio.run(watch()), time.monotonic() - began - seconds


def test_a_real_cards_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, _ = watched("plays", tmp_path, monkeypatch)
    assert seen.environment["accelerators"] == [
        {"name": "NVIDIA H200", "driver": "580.159.04", "power_limit_w": 700.0, "memory_mib": 143771.0}
    ]
    tracks = {track.name: track for track in seen.tracks}
    assert set(tracks) - {"energy_j", *SELDOM} == SERIES
    rows = nvidia_smi.recorded()[10:]
    for field, name in TRACKS.items():
        known = [float(int(row[field], 16)) if "reasons" in field else float(row[field]) for row in rows]
        assert list(tracks[name].values) == known[: len(tracks[name].values)]
        assert len(tracks[name].values) >= 2, "one before the load, one after"
    assert seen.notes == ()


@pytest.mark.slow
def test_who_else_is_on_the_card_and_what_went_wrong_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server and its workers are of one session; errors of memory are a counter."""
    seen = {
        (track.name, track.device): track.values for track in watched("plays", tmp_path, monkeypatch, 2.0)[0].tracks
    }
    assert set(seen["ecc_uncorrected", "0"]) == {0}
    assert set(seen["strangers", "0"]) == {0}
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as own:  # a server of ours, in a session of its own
        try:
            monkeypatch.setenv("STRANGER", str(own.pid))
            ours = {track.name: track.values for track in watched("is shared", tmp_path, monkeypatch, 2.0)[0].tracks}
        finally:
            own.kill()
    assert set(ours["strangers"]) == {0}
    leaves = (
        "import subprocess as s; print(s.Popen(['sleep', '600'], start_new_session=True, stdout=-3, stderr=-3).pid)"
    )
    stranger = int(subprocess.run([sys.executable, "-c", leaves], capture_output=True, check=True).stdout)
    try:
        monkeypatch.setenv("STRANGER", str(stranger))
        shared = {track.name: track.values for track in watched("is shared", tmp_path, monkeypatch, 2.0)[0].tracks}
    finally:
        os.kill(stranger, signal.SIGKILL)
    assert set(shared["strangers"]) == {1}
    assert "ecc_uncorrected" not in shared, "not told, which is not nought"


@pytest.mark.slow
def test_what_nvml_tells_besides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its counter of joules, and an XID when it happens; where it is silent, there was none."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "nvml"))
    for after, codes in (("0.5", [0, 79]), ("600", [0])):
        monkeypatch.setenv("XID_AFTER", after)
        tracks = {track.name: track for track in watched("plays", tmp_path, monkeypatch, 1.5)[0].tracks}
        del sys.modules["pynvml"]
        assert list(tracks["xid"].values) == codes
        times, joules = tracks["energy_j"].times, tracks["energy_j"].values
        assert joules[-1] - joules[0] == pytest.approx(100 * (times[-1] - times[0]), rel=0.2)


@pytest.mark.slow
def test_other_legal_forms_cost_what_is_not_told_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = {
        "is older": set(),
        "is very old": {"throttle_reasons"},
        "is small": set(),
        "is odd": {"utilization_pct", "temperature_c", "clock_mhz", "memory_mib"},
        "tells no power": {"power_w"},
        "has two": set(),
        "has a mute one": set(),
    }
    wrong = {}
    for behaviour, absent in lost.items():
        seen, _ = watched(behaviour, tmp_path, monkeypatch)
        names = {track.name for track in seen.tracks if track.values} - {"energy_j", *SELDOM}
        devices = seen.environment["accelerators"]
        if names != SERIES - absent or seen.notes or len(devices) != 1 + behaviour.startswith("has "):
            wrong[behaviour] = names, seen.notes, devices
    assert not wrong
    seen, _ = watched("has a mute one", tmp_path, monkeypatch, seconds=2.0)
    middle = seen.tracks[0].times[0] + 0.1, seen.tracks[0].times[-1] - 0.1
    assert energy.joules([track for track in seen.tracks if track.device == "0"], middle)
    assert energy.joules(seen.tracks, middle) is None, "one card is not the deployment"
    seen, _ = watched("is odd", tmp_path, monkeypatch)
    device = seen.environment["accelerators"][0]
    assert (device["name"], device["power_limit_w"]) == ("NVIDIA H200, of a kind", None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("hangs", "–"),
        ("floods", "lines in"),
        ("floods without lines", "lines in"),
        ("dies", "GPU is lost"),
        ("finds none", "No devices were found"),
    ],
)
def test_what_goes_wrong_is_ended_and_said(
    behaviour: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, took = watched(behaviour, tmp_path, monkeypatch, seconds=1.5)
    assert [note.key for note in seen.notes] == ["observe.nvidia.ended"]
    assert said in say(seen.notes[0], "en")
    assert took < 60, f"ten minutes were hung, and patience is {PATIENCE + LAST:g} s"
    assert not [c for p in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path) in (c := _read(p))]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


@pytest.mark.slow
def test_one_that_falls_silent_ends_the_run_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, took = watched("falls silent", tmp_path, monkeypatch, seconds=1.0)
    assert {len(track.values) for track in seen.tracks} == {2}
    assert took < 60


def test_where_there_is_no_command_nothing_is_seen_or_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert asyncio.run(Nvidia().end(False)) == Observed()
    broken = tmp_path / "nvidia-smi"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")

    async def watch() -> Observed:
        watcher = Nvidia()
        await watcher.begin(Target())
        return await watcher.end(False)

    assert [note.key for note in asyncio.run(watch()).notes] == ["observe.nvidia.ended"]


def test_whose_accelerators_are_watched() -> None:
    here = ["http://localhost:1", "http://127.3.0.1", "http://[::1]:8000", "unix:///run/vllm.sock", "http://0.0.0.0:1",
            "http://[::ffff:127.0.0.1]:1", "http://a.localhost"]  # fmt: skip
    elsewhere = [
        "http://10.0.0.1:8000",
        "http://gpu7:8000",
        "https://localhost.example.com",
        "",
        "http://[::1",
        "http://1",
    ]

    def watches(url: str, accelerators: str, simulated: bool = False) -> bool:
        target = Target(base_url=url, simulated=simulated)
        watching = Watching(accelerators=accelerators)
        one = Scenario(cell=Cell(place="i"), target=target, backend="vllm", watching=watching)
        assert BESIDES["timeline"](one) is not None
        return one.watches_accelerators

    assert [url for url in here if not watches(url, "auto")] == []
    assert [url for url in elsewhere if watches(url, "auto")] == []
    assert not watches(here[0], "auto", simulated=True)
    assert watches(elsewhere[0], "nvidia")
    assert not watches(here[0], "off")
