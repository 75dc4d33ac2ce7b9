"""A server that is started for its scenarios: by which command, and how it is treated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCommand:
    """``command``: its words, flags included; ``{port}`` and ``{model}`` in them are filled in when it starts."""

    command: tuple[str, ...] = field(repr=False)
    args: Mapping[str, Any] = field(default_factory=dict, repr=False)  # its flags: held against what it says
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    ready_path: str | None = None  # answers with 200 once it is there; None: /health, where it has that
    ready_s: float = 1800.0
    grace_s: float = 30.0  # from SIGTERM to SIGKILL
    reset: str = "auto"  # between scenarios: auto | none | a path
    free_memory: float = 0.1  # share of the accelerators' that may be in use before it starts
    restarts: int = 1  # servers started afresh, among which the repeats are divided
    beside: Literal["no", "fits", "yes"] = "no"  # it stays up beside those that it is compared with
    startup: Mapping[str, int] = field(default_factory=dict)  # starts that are tests themselves: cold, warm
    caches: Literal["", "cold", "warm"] = ""  # of what it compiles, where its start is such a test
