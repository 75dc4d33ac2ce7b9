"""A result and a reference kept from earlier sessions → what changed, and whether that fails the scenario."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from pytest_vllm_bench import files
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judge import baseline
from pytest_vllm_bench.judge.comparison import (
    BaselineSettings,
    comparable,
    compare,
    compare_targets,
    comparisons_planned,
    lost_gates,
    missing_gates,
)
from pytest_vllm_bench.model import Cell, Comparison, Message, Result, Verdict
from pytest_vllm_bench.store import folder


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceGate:
    """The reference that a session is held against; ``planned``: gated comparisons in the whole session."""

    name: str
    reference: Mapping[str, Any] = field(repr=False)
    settings: BaselineSettings
    planned: int
    refuse_other: bool = False  # another environment: refused instead of a warning


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """A target of this session that the others are held against, in rounds; ``measured``: its result in each cell."""

    name: str
    settings: BaselineSettings
    planned: int
    measured: dict[Cell, Result] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOutcome:
    """What came of holding one result against the gate; no comparisons: ``notes`` say why.

    ``refused``: the reference has this scenario, and must not be compared with, or the new session lacks what is gated;
    a gate without data never passes.
    """

    comparisons: Sequence[Comparison] = ()
    notes: tuple[Message, ...] = ()
    refused: bool = False

    @property
    def suspected(self) -> bool:
        """Something gated looks worse than is accepted, and a fresh measurement would tell."""
        return any(c.gated and c.suspected and c.verdict is not Verdict.FAIL for c in self.comparisons)


def hold(gate: ReferenceGate | Rounds, result: Result) -> GateOutcome | None:
    """Compare a result with the sessions that the reference holds of its scenario; None where it is the reference."""
    if isinstance(gate, ReferenceGate):
        return _hold_sessions(gate, result)
    if result.scenario.target.name == gate.name:
        gate.measured[result.scenario.cell.anywhere] = result
        return None
    return _hold_rounds(gate, result)


def _hold_sessions(gate: ReferenceGate, result: Result) -> GateOutcome:
    key = result.scenario.cell.key
    old, new = baseline.sessions_of(gate.reference, key), baseline.session_of(result, gate.settings.gated)
    if old and baseline.is_part(result):
        return GateOutcome(notes=(Message(key="judge.baseline_part", values={"scenario": key}),), refused=True)
    if (why := comparable(old, new, key)) is not None:
        return GateOutcome(notes=(why,), refused=bool(old))
    other = tuple(baseline.differences(old[-1].environment, new.environment))
    if other and gate.refuse_other:
        return GateOutcome(notes=(*other, Message(key="judge.environment_refused")), refused=True)
    notes = (*other, *missing_gates(old, new, gate.settings))
    shown = baseline.noise_shown(baseline.scenarios_of(gate.reference), new.repeats)
    made = compare(old, new, gate.settings, gate.planned, shown)
    return GateOutcome(comparisons=made, notes=notes, refused=lost_gates(old, new, gate.settings))


def _hold_rounds(gate: Rounds, result: Result) -> GateOutcome:
    if (first := gate.measured.get(result.scenario.cell.anywhere)) is None:
        return GateOutcome(notes=(Message(key="judge.target_missing", values={"target": gate.name}),), refused=True)
    old, new = (baseline.session_of(one, gate.settings.gated) for one in (first, result))
    made = compare_targets(old, new, gate.settings, gate.planned)
    if isinstance(made, Message):
        return GateOutcome(notes=(made,), refused=True)
    notes = tuple(missing_gates([old], new, gate.settings))
    return GateOutcome(comparisons=made, notes=notes, refused=lost_gates([old], new, gate.settings))


def locate(named: str, base: Path) -> Path:
    """``NAME`` → base/baselines/NAME.json; what looks like a path is one, relative to where we are."""
    return Path(named) if named.endswith(".json") or "/" in named else base / "baselines" / f"{named}.json"


def load(path: Path) -> dict[str, Any]:
    """Read a reference; BenchError where there is none or it is not one."""
    if not os.path.exists(path):
        near = sorted(p.stem for p in path.parent.glob("*.json")) if os.path.isdir(path.parent) else []
        raise BenchError("judge.baseline_no_file", path=str(path), known=", ".join(near) or "–")
    try:
        found = files.documents(path)[0]
        msgspec.convert(found, baseline.Reference)
    except BenchError as error:
        raise BenchError("judge.baseline_unreadable", path=str(path), said=error.message) from None
    except msgspec.ValidationError as error:
        said = Message(key="files.damaged", values={"why": str(error)})
        raise BenchError("judge.baseline_unreadable", path=str(path), said=said) from None
    reference: dict[str, Any] = found
    return reference


def save(path: Path, results: Iterable[Result], keep: int, gated: Collection[str] = ()) -> list[Message]:
    """Add a session's results to a reference: sorted and small, meant to be committed; → what may not be saved.

    ``gated``: metrics that a tolerance names, kept beside the usual ones.
    """
    old = load(path) if os.path.exists(path) else None
    made, refused = baseline.fold(old, results, keep, gated)
    if made["scenarios"]:
        with folder.writing(path, "judge.baseline_not_saved"):
            path.parent.mkdir(parents=True, exist_ok=True)
            folder.write_text(path, json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return refused


def savable(path: Path) -> None:
    """BenchError where it shows before the load that no reference can be saved there."""
    with folder.writing(path, "judge.baseline_not_saved"):
        with contextlib.suppress(FileNotFoundError):
            os.stat(path)
            load(path)
        near = next(above for above in path.absolute().parents if above.exists())
        if not os.access(near, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One cell measured in turn against two targets: ``b`` held against ``a``, or why it cannot be."""

    cell: str
    a: str
    b: str
    outcome: Sequence[Comparison] | Message


def between_targets(results: Iterable[tuple[Result, Mapping[str, str | float]]]) -> list[Pair]:
    """Compare the first target of each cell with every other one, by rounds, in the result that pools its repeats.

    The first is the one that ran first: rounds go AB, BA, so the last of them may end with it.
    """
    tolerances, cells = dict[Cell, Mapping[str, str | float]](), dict[Cell, dict[str, Result]]()
    for result, tolerance in results:
        if result.scenario.target.name:
            cell = result.scenario.cell.anywhere
            tolerances.setdefault(cell, tolerance)
            cells.setdefault(cell, {})[result.scenario.target.name] = result
    pooled = {cell: {t: one for t, one in of.items() if one.per_repeat} for cell, of in cells.items()}
    together = {cell: targets for cell, targets in pooled.items() if len(targets) > 1}
    pairs = sum(len(targets) - 1 for targets in together.values())
    found = []
    for cell, targets in together.items():
        (a, first), *others = targets.items()
        settings = BaselineSettings(tolerance=tolerances[cell])
        planned = comparisons_planned(pairs, settings)
        for b, other in others:
            one, two = (baseline.session_of(result, settings.gated) for result in (first, other))
            found.append(Pair(cell=cell.id, a=a, b=b, outcome=compare_targets(one, two, settings, planned)))
    return found
