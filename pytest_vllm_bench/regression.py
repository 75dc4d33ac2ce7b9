"""A result and a reference kept from earlier sessions → what changed, and whether that fails the scenario."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from pytest_vllm_bench import files
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judge import baseline
from pytest_vllm_bench.judge.baseline import SessionFigures
from pytest_vllm_bench.judge.comparison import (
    BaselineSettings,
    comparable,
    comparisons_planned,
    lost_gates,
    missing_gates,
)
from pytest_vllm_bench.judge.rounds import compare_rounds
from pytest_vllm_bench.judge.standing import Standing, compare_all, compare_one, foreseen, standing
from pytest_vllm_bench.model import Cell, Comparison, Message, Result, Verdict
from pytest_vllm_bench.store import folder


@dataclass(frozen=True, kw_only=True)
class ReferenceGate:
    """The reference that a session is held against, and what became of the scenarios so far.

    ``measured``: of those that were compared, the first measurement and the fresh ones."""

    name: str
    reference: Mapping[str, Any] = field(repr=False)
    settings: BaselineSettings
    keys: frozenset[str]  # of the scenarios that this session runs
    refuse_other: bool = False  # another environment: refused instead of a warning
    held: dict[str, GateOutcome] = field(default_factory=dict, repr=False)
    measured: dict[str, list[SessionFigures]] = field(default_factory=dict, repr=False)

    @cached_property
    def standing(self) -> Standing:
        sessions = {key: baseline.sessions_of(self.reference, key) for key in self.reference["scenarios"]}
        return standing(sessions, self.settings, len(self.keys))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """A target of this session that the others are held against, in rounds; ``measured``: its result in each cell,
    ``taken``: what each target has taken of each cell, by round."""

    name: str
    settings: BaselineSettings
    planned: int
    measured: dict[Cell, Result] = field(default_factory=dict, repr=False)
    taken: dict[tuple[Cell, str], dict[int, SessionFigures]] = field(default_factory=dict, repr=False)


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


def hold(gate: ReferenceGate | Rounds, result: Result, *, fresh: bool = False) -> GateOutcome | None:
    """Compare a result with the sessions that the reference holds of its scenario; None where it is the reference.

    ``fresh``: the scenario was measured again, because it was suspected."""
    if isinstance(gate, ReferenceGate):
        if not fresh:
            gate.measured.pop(result.scenario.cell.key, None)
        gate.held[result.scenario.cell.key] = found = _hold_sessions(gate, result)
        return found
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
    gate.measured.setdefault(key, []).append(new)
    made = compare_one(gate.standing, gate.measured, key)
    if result.verdict is Verdict.INVALID:  # says nothing of the others, nor needs to be measured again
        del gate.measured[key]
        made = [replace(c, suspected=False) for c in made]
    return GateOutcome(comparisons=made, notes=notes, refused=lost_gates(old, new, gate.settings))


def at_the_end(gate: ReferenceGate | Rounds) -> list[Comparison]:
    """What only the whole session shows, once all of it is measured: the scenarios together, and those that are worse
    beside what was measured after them."""
    if isinstance(gate, Rounds) or gate.keys - gate.held.keys():
        return []
    failed = {(k, c.metric) for k, one in gate.held.items() for c in one.comparisons if c.verdict is Verdict.FAIL}
    late = [
        replace(c, scenario=key)
        for key in gate.measured
        for c in compare_one(gate.standing, gate.measured, key, last=True)
        if c.gated and c.verdict is Verdict.FAIL and (key, c.metric) not in failed
    ]
    return [*compare_all(gate.standing, gate.measured), *late]


def seen_by(gate: ReferenceGate) -> list[Message]:
    """What a reference holds, and the change that it can find, before anything is measured."""
    sessions = [one for key in gate.keys for one in baseline.sessions_of(gate.reference, key)]
    if not sessions:
        return []
    changes = foreseen(gate.standing, sorted(gate.keys))
    count = max(len(baseline.sessions_of(gate.reference, key)) for key in gate.keys)
    key = "plugin.gate_sees" if len(gate.keys) > 1 else "plugin.gate_sees_one"
    said = [Message(key=key, values={"metric": metric, "one": one, "all": together})
            for metric, (one, together) in changes.items()]  # fmt: skip
    values = {"name": gate.name, "count": count, "since": min(s.session for s in sessions),
              "until": max(s.session for s in sessions)}  # fmt: skip
    few = [Message(key="plugin.gate_alone")] if count == 1 else []
    return [Message(key="plugin.gate_holds", values=values), *said, *few]


def note(gate: ReferenceGate | Rounds | None, result: Result) -> None:
    """A round that is not the last one says how much rounds vary."""
    if isinstance(gate, Rounds):
        rounds = gate.taken.setdefault((result.scenario.cell.anywhere, result.scenario.target.name), {})
        rounds[result.scenario.repeat] = baseline.session_of(replace(result, per_repeat=()), gate.settings.gated)


def _hold_rounds(gate: Rounds, result: Result) -> GateOutcome:
    if (first := gate.measured.get(result.scenario.cell.anywhere)) is None:
        return GateOutcome(notes=(Message(key="judge.target_missing", values={"target": gate.name}),), refused=True)
    old, new = (baseline.session_of(one, gate.settings.gated) for one in (first, result))
    cell = result.scenario.cell.anywhere
    pairs = {cell: (old, new), **_others(gate, cell, result.scenario.target.name)}
    made = compare_rounds(pairs, cell, gate.settings, gate.planned)
    if isinstance(made, Message):
        return GateOutcome(notes=(made,), refused=True)
    notes = tuple(missing_gates([old], new, gate.settings))
    return GateOutcome(comparisons=made, notes=notes, refused=lost_gates([old], new, gate.settings))


def _others(gate: Rounds, cell: Cell, target: str) -> dict[Cell, tuple[SessionFigures, SessionFigures]]:
    """The rounds that both targets have taken of the other cells so far."""
    found = {}
    for other in dict.fromkeys(name for name, _ in gate.taken if name != cell):
        a, b = (gate.taken.get((other, name), {}) for name in (gate.name, target))
        if len(both := sorted(a.keys() & b.keys())) > 1:
            found[other] = (_joined([a[i] for i in both]), _joined([b[i] for i in both]))
    return found


def _joined(rounds: Sequence[SessionFigures]) -> SessionFigures:
    """Several measurements as one session of so many repeats."""
    shared = [m for m in rounds[0].values if all(m in one.values for one in rounds)]
    return replace(rounds[0], values={m: tuple(one.values[m][0] for one in rounds) for m in shared})


def locate(named: str, base: Path) -> Path:
    """``NAME`` → base/baselines/NAME.json; what looks like a path is one, relative to where we are."""
    return Path(named) if named.endswith(".json") or "/" in named else base / "baselines" / f"{named}.json"


def others(path: Path) -> list[str]:
    """The references that lie beside one."""
    return sorted(p.stem for p in path.parent.glob("*.json")) if os.path.isdir(path.parent) else []


def load(path: Path) -> dict[str, Any]:
    """Read a reference; BenchError where there is none or it is not one."""
    if not os.path.exists(path):
        raise BenchError("judge.baseline_no_file", path=str(path), known=", ".join(others(path)) or "–")
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
        if result.scenario.target.name and result.scenario.compared:
            cell = result.scenario.cell.anywhere
            tolerances.setdefault(cell, tolerance)
            cells.setdefault(cell, {})[result.scenario.target.name] = result
    pooled = {cell: {t: one for t, one in of.items() if one.per_repeat} for cell, of in cells.items()}
    together = {cell: targets for cell, targets in pooled.items() if len(targets) > 1}
    pairs = sum(len(targets) - 1 for targets in together.values())
    found = []
    for cell, targets in together.items():
        (a, _), *others = targets.items()
        settings = BaselineSettings(tolerance=tolerances[cell])
        for b, _ in others:
            taken = {c: (of[a], of[b]) for c, of in together.items() if a in of and b in of}
            figures = {c: tuple(baseline.session_of(one, settings.gated) for one in pair) for c, pair in taken.items()}
            made = compare_rounds(figures, cell, settings, comparisons_planned(pairs, settings))  # type: ignore[arg-type]
            found.append(Pair(cell=cell.id, a=a, b=b, outcome=made))
    return found
