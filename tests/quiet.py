"""``validity`` for all tests that do not ask whether this machine is quiet: others run on it."""

from __future__ import annotations

from typing import Any

NOT_ASKED: dict[str, Any] = {
    "lag_ms": 60_000,
    "rate": 0.01,
    "concurrency": 0.01,
    "cpu": 1,
    "steal": 1,
    "reconnected": 1,
}
