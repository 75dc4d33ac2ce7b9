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
from pytest_vllm_bench.judge import baseline, culprit
from pytest_vllm_bench.judge.baseline import SessionFigures
from pytest_vllm_bench.judge.comparison import (
    BaselineSettings,
    comparable,
    comparisons_planned,
    lost_gates,
    missing_gates,
)
from pytest_vllm_bench.judge.looks import level
from pytest_vllm_bench.judge.rounds import compare_rounds
from pytest_vllm_bench.judge.standing import Standing, compare_all, compare_one, foreseen, standing
from pytest_vllm_bench.model import (
    FEWEST_ROUNDS,
    BaselineOutcome,
    Cell,
    Comparison,
    Message,
    Metrics,
    Result,
    Sample,
    Scenario,
    Verdict,
)
from pytest_vllm_bench.store import folder

#: One round that a target did not take is an accident, this many in a row are none.
MISSED = 2


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
    """A target of this session that the others are held against, in rounds; ``pairs``: the others in each cell.

    ``fails``: what is worse fails its test; else the rounds only end with what they decide.  ``taken``: what each
    target has taken of each cell, by round; ``decided``: pairs, and the round that did."""

    name: str
    settings: BaselineSettings
    pairs: frozenset[tuple[Cell, str]]
    fails: bool = True
    taken: dict[tuple[Cell, str], dict[int, Result]] = field(default_factory=dict, repr=False)
    decided: dict[tuple[Cell, str], tuple[int, GateOutcome]] = field(default_factory=dict, repr=False)

    @property
    def planned(self) -> int:
        return comparisons_planned(len(self.pairs), self.settings)

    def wants(self, scenario: Scenario) -> bool:
        """Whether others still need more rounds of a target that is enough by itself; not one that came to none of the
        last rounds, whose server is gone, say."""
        cell, since = scenario.cell.anywhere, scenario.repeat - MISSED
        open_pairs = [pair for pair in self.pairs if pair[0] == cell and pair not in self.decided]
        mine = scenario.target.name == self.name
        return mine and any(max(self.taken.get(pair, ()), default=0) >= since for pair in open_pairs)


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
    if result.scenario.target.name == gate.name or not gate.fails:
        return None
    number, found = gate.decided.get((result.scenario.cell.anywhere, result.scenario.target.name), (0, GateOutcome()))
    return found if 0 < number < result.scenario.repeat else _hold_rounds(gate, result)


def undecided(gate: ReferenceGate | Rounds | None, result: Result) -> bool:
    """Whether more repeats of a scenario may still tell whether it is worse: neither that nor the contrary is shown.

    What is suspected beside a reference is measured afresh instead; nothing is noted of it yet."""
    if gate is None:
        return False
    if isinstance(gate, Rounds):
        return result.scenario.target.name != gate.name and _open_pair(gate, result)
    key = result.scenario.cell.key
    old, new = baseline.sessions_of(gate.reference, key), baseline.session_of(result, gate.settings.gated)
    if comparable(old, new, key) is not None or lost_gates(old, new, gate.settings):
        return False
    made = compare_one(_as_sure(gate, result), {**gate.measured, key: [new]}, key)
    return any(c.gated and c.verdict is Verdict.INCONCLUSIVE and not c.suspected for c in made)


def _as_sure(gate: ReferenceGate, result: Result) -> Standing:
    """As a look after so many repeats must be."""
    repeats, of = result.scenario.repeats, gate.standing
    sure = 1 - level(repeats.looks, len(result.per_repeat), 1 - of.settings.confidence)
    return replace(of, settings=replace(of.settings, confidence=sure))


def _open_pair(gate: Rounds, result: Result) -> bool:
    """Whether rounds leave open which it is; where they do not, that stands, whatever rounds still come."""
    pair = result.scenario.cell.anywhere, result.scenario.target.name
    if 0 < gate.decided.get(pair, (0, None))[0] < result.scenario.repeat:
        return False
    rounds = len(gate.taken[pair].keys() & gate.taken.get((pair[0], gate.name), {}).keys())
    made = _hold_rounds(gate, result)
    verdicts = {c.verdict for c in made.comparisons if c.gated}
    if rounds not in result.scenario.repeats.looks or not (verdicts == {Verdict.PASS} or Verdict.FAIL in verdicts):
        gate.decided.pop(pair, None)
        return True
    gate.decided[pair] = result.scenario.repeat, made
    return False


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
    made = compare_one(_as_sure(gate, result), gate.measured, key)
    if result.verdict is Verdict.INVALID:  # says nothing of the others, nor needs to be measured again
        del gate.measured[key]
        made = [replace(c, suspected=False) for c in made]
    return GateOutcome(comparisons=made, notes=notes, refused=lost_gates(old, new, gate.settings))


def explained(gate: ReferenceGate | Rounds, result: Result, samples: Sequence[Sample]) -> Result:
    """What is worse than the reference, with which stage of the requests has changed."""
    if (held := result.baseline) is None:
        return result
    if isinstance(gate, ReferenceGate):
        before: list[Mapping[str, Metrics]] = [
            session.stages for session in baseline.sessions_of(gate.reference, result.scenario.cell.key)
        ]
    else:
        before = [one.stages for one in gate.taken.get((result.scenario.cell.anywhere, gate.name), {}).values()]
    told = [culprit.changed(one, samples, result.scenario.goodput, before) for one in held.comparisons]
    return replace(result, baseline=replace(held, comparisons=tuple(told)))


def at_the_end(gate: ReferenceGate | Rounds, last: str) -> list[Comparison]:
    """What only the whole session shows, once all of it is measured: the scenarios together, and those that are worse
    beside what was measured after them; of the ``last`` one it is its own."""
    if isinstance(gate, Rounds) or gate.keys - gate.held.keys():
        return []
    failed = {(k, c.metric) for k, one in gate.held.items() for c in one.comparisons if c.verdict is Verdict.FAIL}
    late = [
        replace(c, scenario="" if key == last else key)
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
        rounds[result.scenario.repeat] = replace(result, per_repeat=(), records=())


def _hold_rounds(gate: Rounds, result: Result) -> GateOutcome:
    cell, target = result.scenario.cell.anywhere, result.scenario.target.name
    if (cell, gate.name) not in gate.taken:
        return GateOutcome(notes=(Message(key="judge.target_missing", values={"target": gate.name}),), refused=True)
    cells = dict.fromkeys([cell, *(name for name, _ in gate.taken)])
    pairs = {name: pair for name in cells if (pair := _pair(gate, name, target))}
    if cell not in pairs:
        why = Message(key="judge.targets_rounds", values={"rounds": 0, "needed": FEWEST_ROUNDS})
        return GateOutcome(notes=(why,), refused=True)
    old, new = pairs[cell]
    made = compare_rounds(pairs, cell, gate.settings, gate.planned, result.scenario.repeats.looks)
    if isinstance(made, Message):
        return GateOutcome(notes=(made,), refused=True)
    notes = tuple(missing_gates([old], new, gate.settings))
    return GateOutcome(comparisons=made, notes=notes, refused=lost_gates([old], new, gate.settings))


def _pair(gate: Rounds, cell: Cell, target: str) -> tuple[SessionFigures, SessionFigures] | None:
    """The rounds that both targets have taken of a cell so far, as those of two sessions; None: of none."""
    a, b = (gate.taken.get((cell, name), {}) for name in (gate.name, target))
    both = sorted(a.keys() & b.keys())
    sides = ([side[i] for i in both] for side in (a, b))
    made = [replace(of[0], per_repeat=[one.metrics for one in of]) for of in sides if of]
    return tuple(baseline.session_of(one, gate.settings.gated) for one in made) if both else None  # type: ignore[return-value]


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
    of: str  # the result of b that pools its rounds
    outcome: Sequence[Comparison] | Message


def between_targets(results: Iterable[tuple[Result, Mapping[str, str | float]]]) -> list[Pair]:
    """Compare the first target of each cell with every other one, by rounds, in the result that pools its repeats.

    The first is the one whose result comes first: rounds go AB, BA, so the last of them may end with it.
    """
    tolerances, cells = dict[Cell, Mapping[str, str | float]](), dict[Cell, dict[str, Result]]()
    for result, tolerance in results:
        if result.scenario.target.name and result.scenario.compared:
            cell = result.scenario.cell.anywhere
            tolerances.setdefault(cell, tolerance)
            mine = cells.setdefault(cell, {})
            before = mine.get(result.scenario.target.name, result)
            mine[result.scenario.target.name] = max(before, result, key=lambda one: len(one.per_repeat))
    pooled = {cell: {t: one for t, one in of.items() if one.per_repeat} for cell, of in cells.items()}
    together = {cell: targets for cell, targets in pooled.items() if len(targets) > 1}
    pairs = sum(len(targets) - 1 for targets in together.values())
    found = []
    for cell, targets in together.items():
        (a, _), *others = targets.items()
        settings = BaselineSettings(tolerance=tolerances[cell])
        for b, of_b in others:
            taken = {c: (of[a], of[b]) for c, of in together.items() if a in of and b in of}
            figures = {c: tuple(baseline.session_of(one, settings.gated) for one in pair) for c, pair in taken.items()}
            planned = comparisons_planned(pairs, settings)
            made = compare_rounds(figures, cell, settings, planned, of_b.scenario.repeats.looks)  # type: ignore[arg-type]
            found.append(Pair(cell=cell.id, a=a, b=b, of=of_b.id, outcome=made))
    return found


def beside(results: Iterable[Result], pairs: Iterable[Pair]) -> list[Result]:
    """Results with what their rounds show beside the first target, where nothing else is their reference: to be seen,
    as no gate asked for it."""
    held = dict[str, BaselineOutcome]()
    for pair in pairs:
        if not isinstance(pair.outcome, Message):
            shown = tuple(replace(c, gated=False) for c in pair.outcome)
            held.setdefault(pair.of, BaselineOutcome(reference=pair.a, comparisons=shown))
    return [replace(one, baseline=one.baseline or held.get(one.id)) for one in results]
