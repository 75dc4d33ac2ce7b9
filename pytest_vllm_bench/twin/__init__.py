"""Measured loads → an engine model with its own errors (a twin), and what that says of loads that nobody has measured.

``fit.calibrate`` makes one, ``playing.predict`` plays a load, ``whatif`` asks for many; ``advice`` compares two.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from pytest_vllm_bench import files
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.simulator.engine import LatencyModel

__all__ = ["PARAMETERS", "Lesson", "Twin", "read", "write"]

#: What is learnt of an engine's speed: each explains a part of a step, or of the way to the engine.
PARAMETERS = ("step_s", "decode_s", "context_s", "prefill_s", "front_s")
#: What of an engine may be 0.
FREE = ("decode_s", "context_s", "front_s", "serial", "jitter", "prefix_cache")
KIND, VERSION = "pytest-vllm-bench twin", 1


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """A measured load that a twin has learnt from, and how far off it is where that one is kept from it, by metric.

    ``lengths``: prompt tokens, output tokens, and how many requests were so long.
    """

    scenario: str
    requests: int
    concurrency: int | None = None
    request_rate: float | None = None
    lengths: tuple[tuple[int, int, int], ...] = ()
    off: Mapping[str, float] = {}


class Twin(msgspec.Struct, frozen=True, kw_only=True):
    """An engine's model as it was learnt, what from, and what it is worth.

    ``errors``: of each metric the largest share by which a load that was kept from it was predicted wrongly.
    ``spread``: of each parameter, as a share, how much it depends on which loads were learnt from.
    """

    kind: str = KIND
    version: int = VERSION
    engine: LatencyModel
    lessons: tuple[Lesson, ...]
    errors: Mapping[str, float] = {}
    spread: Mapping[str, float] = {}
    information: tuple[tuple[float, ...], ...] = ()  # what the steps say of the parameters, each in units of itself
    model: str = ""
    server: str = ""  # its version
    date: str = ""
    assumed: tuple[str, ...] = ()  # limits of the engine that nothing told: they are usual values

    @property
    def parameters(self) -> Mapping[str, float]:
        """The learnt ones, in seconds."""
        engine = self.engine
        found = {name: getattr(engine, name) for name in PARAMETERS if hasattr(engine, name)}
        return {**found, "prefill_s": 1 / engine.prefill_tokens_per_s}

    @property
    def known(self) -> tuple[tuple[float, ...], ...]:
        """``information``, or that there is none."""
        n = len(PARAMETERS)
        whole = len(self.information) == n and all(len(row) == n for row in self.information)
        return self.information if whole else ((0.0,) * n,) * n


def read(path: Path) -> Twin:
    """A twin's file; BenchError says what is wrong with it."""
    try:
        found = msgspec.json.decode(files.text(path), type=Twin)
    except BenchError as error:
        raise BenchError("twin.no_twin", path=str(path), why=error.message) from None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BenchError("twin.no_twin", path=str(path), why=str(error)) from None
    if found.kind != KIND or found.version != VERSION:
        raise BenchError("twin.no_twin", path=str(path), why=f"{found.kind} {found.version}")
    if unsound := [name for name in LatencyModel.__slots__ if not sound(name, getattr(found.engine, name))]:
        raise BenchError("twin.no_twin", path=str(path), why=", ".join(unsound))
    if not found.lessons:
        raise BenchError("twin.no_twin", path=str(path), why="lessons")
    return found


def sound(name: str, value: float) -> bool:
    """Whether an engine can have this; what costs nothing is no time, and what it is made of is more than none."""
    most = 1.0 if name == "serial" else sys.float_info.max
    return (value >= 0 if name in FREE else value > 0) and value <= most


def write(twin: Twin, path: Path) -> None:
    """OSError as the system raises it."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(twin), indent=1) + b"\n")
