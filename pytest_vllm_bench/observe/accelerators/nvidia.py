"""``nvidia-smi``'s lines, NVML's energy counter and its XIDs while load runs → tracks, one a device and quantity.

All are read in threads of their own.  What hangs, floods or ends is killed and said; it holds up no run for longer
than ``PATIENCE``.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from pytest_vllm_bench.model import Beside, Message, Observed, Target
from pytest_vllm_bench.observe.accelerators.polled import CommandCalls, killed
from pytest_vllm_bench.observe.accelerators.seen import DeviceLog, DeviceReading, number
from pytest_vllm_bench.observe.host import tree

COMMAND = "nvidia-smi"
#: Seconds from one sample to the next; NVML's counter, which moves every 0.1 s, is read twice as often.
EVERY = 0.5
#: Seconds: for the first sample (a driver that nobody uses is loaded first), and for one after the last answer.
PATIENCE, LAST = 5.0, 3 * EVERY
#: Lines a second, and characters a line, that no machine has devices for.
MOST_LINES, MOST_LETTERS = 500, 4096

#: nvidia-smi's field → our track.
TRACKS = {
    "power.draw": "power_w",
    "temperature.gpu": "temperature_c",
    "clocks.sm": "clock_mhz",
    "utilization.gpu": "utilization_pct",
    "memory.used": "memory_mib",
    "clocks_event_reasons.active": "throttle_reasons",
}
ECC = "ecc.errors.uncorrected.volatile.total"
#: The name is the last: it may hold a comma.
FIELDS = ("index", "uuid", "driver_version", "power.limit", "memory.total", *TRACKS, "name")
#: A driver's words for a field that it does not know; what it is called by older ones.
_UNKNOWN = re.compile(r'Field "([^"]+)" is not a valid field')
OLDER = {"clocks_event_reasons.active": "clocks_throttle_reasons.active"}


def session_of(process: str) -> int | None:
    """The session that a process belongs to, which a server shares with its workers; None where it cannot be seen."""
    try:
        return int(Path(f"/proc/{int(process)}/stat").read_text().rpartition(")")[2].split()[3])
    except (OSError, ValueError, IndexError):
        return None


class Nvidia(Beside):
    """One load's watcher; what it has seen is read when it has ended."""

    def __init__(self) -> None:
        self._path = shutil.which(COMMAND)
        self._process: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()  # the load is, or the command
        self._counting = threading.Event()  # the counters were read once, or there are none
        self._log = DeviceLog(EVERY)
        self._uuids: dict[str, str] = {}
        self._words = ""  # the last line that is no sample
        self._calls = CommandCalls()
        self._threads: list[threading.Thread] = []

    async def begin(self, target: Target) -> None:
        """Start, and wait for the first samples, so that they lie before the load."""
        if self._path is None:
            return
        for work in (self._lines, self._counters, self._census, self._xids):
            self._start(work)
        await self._until(lambda: bool(self._log.devices) and self._counting.is_set(), PATIENCE)

    async def end(self, interrupted: bool) -> Observed:
        """Wait for one sample more of each, so that the load's end lies between two."""
        now = perf_counter()
        if self._log.devices and not interrupted:
            self._start(self._census)
            await self._until(lambda: self._log.last() > now and not self._threads[-1].is_alive(), LAST)
        ended = self._over.is_set() or not self._log.devices
        self._over.set()
        self._kill()
        self._calls.end()
        for thread in self._threads:
            thread.join(EVERY / 2)  # one that hangs in the driver is left behind
        said = Message(key="observe.nvidia.ended", values={"said": self._words[:200] or "–"})
        return self._log.observed([said] if self._path and ended and not interrupted else [])

    def _start(self, work: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=work, daemon=True))
        self._threads[-1].start()

    async def _until(self, held: Callable[[], bool], seconds: float) -> None:
        limit = perf_counter() + seconds
        while not held() and not self._over.is_set() and perf_counter() < limit:  # noqa: ASYNC110  # threads tell
            await asyncio.sleep(0.01)

    def _lines(self) -> None:
        """Read samples until the load is over; a field that the driver does not know is asked by its older name, or not
        at all."""
        fields = list(FIELDS)
        try:
            while not self._over.is_set():
                self._listen(fields)
                unknown = _UNKNOWN.search(self._words)
                if self._log.devices or unknown is None or unknown[1] not in fields:
                    break
                at = fields.index(unknown[1])
                fields[at : at + 1] = [OLDER[unknown[1]]] if unknown[1] in OLDER else []
        except Exception as error:  # of the system's, or a mistake of ours: not the run's concern
            self._words = f"{type(error).__name__}: {error}"
        finally:
            self._over.set()

    def _listen(self, fields: list[str]) -> None:
        options = f"--query-gpu={','.join(fields)} --format=csv,noheader,nounits -lms {EVERY * 1e3:.0f}"
        self._process = process = subprocess.Popen(
            [str(self._path), *options.split()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # the terminal's Ctrl-C is not for it
        )
        assert process.stdout is not None
        if self._over.is_set():
            self._kill()
        started = perf_counter()
        with process.stdout as out:
            for n, line in enumerate(iter(partial(out.readline, MOST_LETTERS), b"")):
                if self._over.is_set():
                    break
                if n > MOST_LINES * (perf_counter() - started + 1):
                    self._words = f"{n} lines in {perf_counter() - started:.1f} s"
                    break
                self._take(fields, line.decode("utf-8", "replace").strip(), perf_counter())
        self._kill()

    def _take(self, fields: list[str], line: str, now: float) -> None:
        """One device's sample, or other words."""
        cells = [cell.strip() for cell in line.split(",", len(fields) - 1)]
        if len(cells) != len(fields) or not cells[0].isdigit():
            self._words = line or self._words
            return
        newer = {old: new for new, old in OLDER.items()}
        told = {newer.get(field, field): cell for field, cell in zip(fields, cells, strict=True)}
        device = told["index"]
        self._uuids.setdefault(told.get("uuid", ""), device)
        known = {track: number(told.get(field, "")) for field, track in TRACKS.items()}
        fixed: dict[str, Any] = {"name": told["name"], "driver": told.get("driver_version", "")}
        fixed |= {
            "power_limit_w": number(told.get("power.limit", "")),
            "memory_mib": number(told.get("memory.total", "")),
        }
        values = {track: value for track, value in known.items() if value is not None}
        self._log.take(now, [DeviceReading(device=device, values=values, told=fixed)])

    def _nvml(self) -> Any:
        """NVML, where nvidia-ml-py is installed, once it is known which devices there are."""
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        while not self._log.devices and not self._over.wait(0.01):
            pass
        return nvml

    def _counters(self) -> None:
        """NVML's counters of mJ, where the devices have them."""
        try:
            nvml = self._nvml()
            while not self._over.is_set():
                for uuid, device in list(self._uuids.items()):
                    before = perf_counter()
                    joules = nvml.nvmlDeviceGetTotalEnergyConsumption(nvml.nvmlDeviceGetHandleByUUID(uuid)) / 1e3
                    at = (before + perf_counter()) / 2
                    self._log.add(at, device, "energy_j", joules)
                self._counting.set()
                self._over.wait(EVERY / 2)
        except Exception:  # not installed, no counter, a driver that is gone: the integral stands for it
            self._counting.set()

    def _xids(self) -> None:
        """What the driver reports of the devices meanwhile; nought before that."""
        asked: set[str] = set()
        try:
            nvml = self._nvml()
            events = nvml.nvmlEventSetCreate()
            while not self._over.is_set():
                for uuid in self._uuids.keys() - asked:
                    handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
                    nvml.nvmlDeviceRegisterEvents(handle, nvml.nvmlEventTypeXidCriticalError, events)
                    self._log.add(perf_counter(), self._uuids[uuid], "xid", 0.0)
                    asked.add(uuid)
                with contextlib.suppress(nvml.NVMLError_Timeout):
                    told = nvml.nvmlEventSetWait_v2(events, int(EVERY / 2 * 1e3))
                    uuid = nvml.nvmlDeviceGetUUID(told.device)
                    self._log.add(perf_counter(), self._uuids[uuid], "xid", float(told.eventData))
            nvml.nvmlEventSetFree(events)
        except Exception:  # as above; what is not told is no nought
            return

    def _census(self) -> None:
        """Errors of memory and who else is there: that costs a process, and is asked before the load and after it."""
        while not self._log.devices and not self._over.wait(0.01):
            pass
        how = "--format=csv,noheader,nounits"
        asked = [f"--query-gpu=index,{ECC}", how], ["--query-compute-apps=gpu_uuid,pid", how]
        try:
            said = self._calls.said([[str(self._path), *one] for one in asked])
        except OSError:
            return
        now, (errors, programs) = perf_counter(), map(str.splitlines, said)
        for index, _, cell in (line.partition(",") for line in errors):
            if index in self._log.devices and (n := number(cell)) is not None:
                self._log.add(now, index, "ecc_uncorrected", n)
        groups: dict[str, set[int | None]] = {}
        ours = set(tree(os.getpid()))  # servers that we have started: none is another one's stranger
        for uuid, _, told in (line.partition(",") for line in programs):
            if uuid in self._uuids and (group := session_of(process := told.strip())) is not None:
                groups.setdefault(self._uuids[uuid], set()).add(None if int(process) in ours else group)
        for device, sessions in groups.items():
            self._log.add(now, device, "strangers", len(sessions) - 1)

    def _kill(self) -> None:
        if self._process is not None:
            killed(self._process)
