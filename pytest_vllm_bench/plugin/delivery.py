"""A result on its way from the test to the one who controls the session: the same with and without xdist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from pytest_vllm_bench.model import Result, TestEnd
from pytest_vllm_bench.store.row import from_json, to_json
from pytest_vllm_bench.trend import DriftGate


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """``result``, without its records, and what the controller is to do with it."""

    result: Result
    folder: Path  # where its files lie
    tolerance: Mapping[str, str | float] = field(default_factory=dict)  # between targets
    rounds: bool = False  # whether it was held against another target already
    reference: Path | None = None  # that it is to be added to, which keeps so many sessions
    keep: int = 0
    trend: DriftGate | None = None  # what is asked of it beside the sessions before

    @property
    def key(self) -> tuple[str, str]:
        """Two configs may use one id."""
        return str(self.folder), self.result.id

    def packed(self) -> dict[str, Any]:
        """As JSON builtins, which is what xdist carries."""
        test = self.result.test
        return {
            "result": to_json(self.result),
            "test": [test.id, test.config_file],
            "folder": str(self.folder),
            "tolerance": dict(self.tolerance),
            "rounds": self.rounds,
            "reference": self.reference and str(self.reference),
            "keep": self.keep,
            "trend": msgspec.to_builtins(self.trend),
        }


def unpacked(packed: Mapping[str, Any]) -> Delivery:
    id, config_file = packed["test"]
    test = TestEnd(id=id, config_file=config_file)
    return Delivery(
        result=replace(from_json(packed["result"]), test=test),
        folder=Path(packed["folder"]),
        tolerance=packed["tolerance"],
        rounds=packed["rounds"],
        reference=packed["reference"] and Path(packed["reference"]),
        keep=packed["keep"],
        trend=msgspec.convert(packed["trend"], DriftGate | None),
    )
