"""``pynvml`` as it goes on about one card: its counter runs at 100 W, and an XID comes after ``XID_AFTER`` seconds."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

nvmlEventTypeXidCriticalError = 8  # its names
_began = time.monotonic()
_told: list[float] = []


class NVMLError_Timeout(Exception):
    pass


def nvmlInit() -> None: ...


def nvmlDeviceGetHandleByUUID(uuid: str) -> str:
    return uuid


def nvmlDeviceGetUUID(handle: str) -> str:
    return handle


def nvmlDeviceGetTotalEnergyConsumption(handle: str) -> int:
    return int((time.monotonic() - _began) * 100_000)


def nvmlEventSetCreate() -> list[str]:
    return []


def nvmlEventSetFree(events: list[str]) -> None: ...


def nvmlDeviceRegisterEvents(handle: str, kinds: int, events: list[str]) -> None:
    assert kinds == nvmlEventTypeXidCriticalError
    events.append(handle)


def nvmlEventSetWait_v2(events: list[str], milliseconds: int) -> SimpleNamespace:
    time.sleep(milliseconds / 1e3)
    if _told or time.monotonic() < _began + float(os.environ["XID_AFTER"]):
        raise NVMLError_Timeout
    _told.append(time.monotonic())
    return SimpleNamespace(device=events[0], eventType=nvmlEventTypeXidCriticalError, eventData=79)
