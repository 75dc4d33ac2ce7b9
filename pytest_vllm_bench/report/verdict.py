"""The results of a session → ``verdict.json``: what a machine wants to know first; and back, what did not run.

It is written when a session begins ("running"), and anew as scenarios end: one that was killed leaves it as it stood.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_vllm_bench import files
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.metric_table import frontier_gate
from pytest_vllm_bench.model import AbsentResult, FrontierGate, Message, Result, TestEnd, TestOutcome, Verdict
from pytest_vllm_bench.report import baseline, words
from pytest_vllm_bench.report.chart import spoken
from pytest_vllm_bench.report.failure import observed
from pytest_vllm_bench.report.trend import Drift, TrendOutcome
from pytest_vllm_bench.store.folder import order, stem, write_text, writing
from pytest_vllm_bench.store.row import SCHEMA_VERSION, plain
from pytest_vllm_bench.text import say

NAME = "verdict.json"
#: What stands for the verdict of a scenario that was to run and did not.
NOT_RUN = "not_run"
#: Why a scenario did not run that need not: the config leaves it out, or the repeats before it are enough.
LEFT_OUT = ("left_out", "enough")
#: Why one has no result, and its test did not fail all the same.
GREEN = (*LEFT_OUT, "skipped", "not_measured", "xfailed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """What a session was to run: ``rest`` is what has not (yet); ``matrix``: how many its configs hold.

    ``failed``: what failed of the session as a whole; ``lost``: what else did, as it was said; ``trend``: what has
    changed since earlier sessions."""

    session: str = ""
    status: str = "ended"  # running | interrupted | stopped | ended
    matrix: int = 0
    rest: tuple[AbsentResult, ...] = ()
    failed: tuple[Message | str, ...] = ()
    lost: tuple[str, ...] = ()
    frontiers: tuple[FrontierGate, ...] = ()  # gates on the best of all settings
    trend: tuple[TrendOutcome, ...] = ()
    tests: Mapping[str, TestEnd] = field(default_factory=dict)  # scenario → what became of its test

    @property
    def missing(self) -> list[AbsentResult]:
        """What should have run and did not."""
        return [absent for absent in self.rest if absent.why not in LEFT_OUT]

    @property
    def lacking(self) -> list[AbsentResult]:
        """What of that was not expected."""
        return [absent for absent in self.missing if not absent.xfail]


def part_of(results: Sequence[Result], roll: Roll) -> Message | None:
    """That the session's files hold a part of its matrix alone (``-k``, ``-m``, ``--lf``)."""
    selected = sum(not result.scenario.probe_of for result in results) + len(roll.rest)
    if selected >= roll.matrix:
        return None
    return Message(key="report.part", values={"selected": selected, "matrix": roll.matrix})


def gates(results: Sequence[Result]) -> list[Result]:
    """Those whose verdict is a test's: a probe's belongs to the search, of which some must break, and what is expected
    to fail fails nothing."""
    return [result for result in results if not result.scenario.probe_of and not expected(result)]


def expected(result: Result) -> str:
    """Why this scenario may fail (``xfail``); one that must fail and did not has failed."""
    return "" if result.test.failed else result.test.xfail or result.scenario.xfail


def overall(results: Sequence[Result], roll: Roll = Roll()) -> Verdict | None:
    """The worst verdict of all: at best INCONCLUSIVE where something did not run, and FAIL where a test failed although
    its rules held; None where no result has one."""
    mine = gates(results)
    found = [result.verdict for result in mine if result.verdict]
    found += [Verdict.INCONCLUSIVE] if roll.lacking else []
    found += [Verdict.FAIL] if roll.failed else []
    found += [Verdict.FAIL for result in mine if result.test.failed and result.verdict is Verdict.PASS]
    return Verdict.worst(found) if found else None


def end_of(result: Result, fate: str, said: str) -> TestEnd:
    """What became of a result's test: ``fate`` in a word, and as it was ``said``."""
    if fate == "xfailed":
        return replace(result.test, xfail=said)
    if fate == "error":
        return replace(result.test, failed=True, said=said if result.outcome != "fail" else "")
    return replace(result.test, passed=fate in ("passed", "skipped") and result.outcome == "fail")


def absence(absent: AbsentResult, fate: str, said: str) -> AbsentResult:
    """Likewise where it has no result."""
    if fate == "xfailed":
        return replace(absent, xfail=said, why=fate, said=said)
    why = "not_measured" if fate == "passed" else fate  # it measured something else
    return absent if absent.why in LEFT_OUT or not why else replace(absent, why=why, said=said)


def absent_end(absent: AbsentResult) -> TestOutcome:
    """What became of the test of a scenario without a result."""
    return "skip" if absent.why in GREEN else "fail"


def of_test(result: Result) -> tuple[TestOutcome | None, Message | None]:
    """What became of a scenario's test (None: unknown), and why where the verdict does not say."""
    if result.test.failed and result.outcome != "fail":
        return "fail", Message(key="report.test_failed", values={"said": result.test.said or "–"})
    if result.test.passed:
        return "pass", Message(key="report.test_passed")
    return result.outcome, result.outcome_reason


def red(result: Result) -> bool:
    return of_test(result)[0] == "fail"


def coloured(verdict: Verdict | None, end: TestOutcome | None) -> Verdict | None:
    """What a sign or a colour stands for: the verdict, or FAIL where pytest failed over one that is none."""
    return Verdict.FAIL if end == "fail" and verdict is not Verdict.INVALID else verdict


def outcome(results: Sequence[Result], roll: Roll = Roll()) -> TestOutcome | None:
    """What pytest made of the session as a whole, as far as it is about scenarios; None where nobody knows."""
    if roll.status == "running":
        return None
    ends = [of_test(result)[0] for result in gates(results)]
    ends += [absent_end(absent) for absent in roll.rest if not absent.xfail]
    if "fail" in ends or roll.failed or roll.lost or roll.status != "ended":
        return "fail"
    return "pass" if "pass" in ends else "skip" if "skip" in ends else None


def tally(results: Sequence[Result], roll: Roll, lang: str) -> str:
    """ "41 passed · 6 failed · 1 invalid": how many of each verdict."""
    counted = [result for result in results if not result.scenario.probe_of]
    found = Counter("xfail" if expected(result) else str(result.verdict) for result in counted)
    found += Counter("xfail" if absent.xfail else NOT_RUN for absent in roll.missing)
    known = ("PASS", "FAIL", "INVALID", "INCONCLUSIVE", "PREDICTED", NOT_RUN, "xfail", "None")
    return " · ".join(say(f"report.tally.{key}", lang, n=found[key]) for key in known if found[key])


def reasons(result: Result, lang: str) -> list[str]:
    """Why a scenario did not pass: its error, checks, rules, what is worse than its reference, and what was made of
    that."""
    parts = [words.said(result.error, lang)] if result.error else []
    parts += [words.said(check.message, lang) for check in result.checks if not check.ok]
    for judged in result.verdicts:
        if judged.verdict is not Verdict.PASS:
            reason = words.said(judged.reason, lang)
            parts.append(f"{words.ruled(judged, lang)}: {observed(judged, lang)}" + (f" ({reason})" if reason else ""))
    parts += baseline.reasons(result, lang)
    if not parts and result.verdict is not Verdict.PASS:  # of what no rule stands for: a restart
        parts = [words.said(note, lang) for note in result.notes]
    end, why = of_test(result)
    return [*parts, *([words.said(why, lang)] if why and end != "pass" else [])]


def summary(results: Sequence[Result], roll: Roll = Roll()) -> dict[str, Any]:
    """The session in one dict: worst verdict, counts, and each scenario's rules that did not pass."""
    going = roll.status == "running"
    selected = sum(not result.scenario.probe_of for result in results) + len(roll.rest)
    counts = Counter(str(result.verdict) for result in gates(results))
    counts += Counter(NOT_RUN for absent in roll.rest if not absent.xfail)
    return {
        "schema_version": SCHEMA_VERSION,
        "session": max((*(one.session for one in results), *(one.session for one in roll.rest)), default=roll.session),
        "status": roll.status,
        "verdict": None if going else overall(results, roll),
        "outcome": outcome(results, roll),
        **({"failed": [spoken(said, "en") for said in roll.failed]} if roll.failed else {}),
        **({"lost": list(roll.lost)} if roll.lost else {}),
        **({"frontier": _frontiers(results, roll)} if roll.frontiers else {}),
        **({"trend": [_drift(drift) for one in roll.trend for drift in one.drifts]} if roll.trend else {}),
        "taints": list(dict.fromkeys(taint for result in results for taint in result.taints)),
        "simulated": any(result.scenario.target.simulated for result in results),
        "complete": not going and not roll.missing and all(result.complete for result in results),
        "selected": selected,
        "matrix": max(roll.matrix, selected),
        "counts": dict(counts),
        "scenarios": [
            *map(_scenario, sorted(results, key=order)),
            *(_absent(absent, going) for absent in roll.rest),
        ],
    }


def _frontiers(results: Sequence[Result], roll: Roll) -> list[dict[str, Any]]:
    """The gates as they were asked for, and what came of them."""
    from pytest_vllm_bench.report import frontier  # which knows who is to be asked here

    return [
        {
            "at": gate.at.text if gate.at else None,
            "metric": gate.metric,
            "at_least": gate.at_least,
            **({"config_file": gate.config_file} if gate.config_file else {}),
            "outcomes": [{"verdict": one.verdict, "best": one.best, "said": spoken(one.said, "en")}
                         for one in frontier.judge(results, gate, roll)],
        }
        for gate in roll.frontiers
    ]  # fmt: skip


def _drift(one: Drift) -> dict[str, Any]:
    """A change, and since which session."""
    kept = ("scenario", "metric", "before", "after", "change", "interval", "p", "worse", "recent", "accepted", "fails")
    since = {name: getattr(one.first, name) for name in ("session", "date", "commit")}
    return {
        **{name: plain(getattr(one, name)) for name in kept},
        "since": since,
        "others": [say(m) for m in one.others],
    }


def _absent(absent: AbsentResult, going: bool) -> dict[str, Any]:
    return {
        **({"xfail": absent.xfail} if absent.xfail else {}),
        "scenario_id": absent.id,
        "verdict": NOT_RUN,
        **{name: getattr(absent, name) or None for name in ("why", "said", "test")},
        "outcome": absent_end(absent) if absent.why or not going else None,
    }


def _scenario(result: Result) -> dict[str, Any]:
    end, answer = of_test(result)[0], result.capacity
    known = {"test_failed": result.test.failed, "test_passed": result.test.passed, "said": result.test.said}
    return {
        "scenario_id": result.id,
        **({"probe_of": result.scenario.probe_of} if result.scenario.probe_of else {}),
        **({"capacity_held": plain(answer.held), "capacity_broken": plain(answer.broken)} if answer else {}),
        "verdict": result.verdict,
        "outcome": end,
        **({"reasons": reasons(result, "en")} if end != "pass" else {}),
        "taints": list(result.taints),
        **{name: value for name, value in known.items() if value},
        **({"xfail": expected(result)} if expected(result) else {}),
        "file": f"{stem(result.id)}.json",
        "rules": [
            {
                "rule": one.rule.text,
                **({"implied": True} if one.rule.implied else {}),
                "verdict": one.verdict,
                "observed": plain(one.observed),
                "limit": plain(one.rule.limit),
                "n": one.n,
                "window": one.window,
                **({"culprit": plain(one.culprit)} if one.culprit else {}),
            }
            for one in result.verdicts
        ],
        "invalid": [check.id for check in result.checks if not check.ok],
        **({"baseline": _baseline(result)} if result.baseline else {}),
    }


def _baseline(result: Result) -> dict[str, Any]:
    """The reference, what was gated against it, and why that failed."""
    kept = ("scenario", "metric", "verdict", "observed", "reference", "change", "tolerance")
    told = [{key: plain(getattr(c, key)) for key in kept} for c in baseline.comparisons(result, gated=True)]
    gated = [
        {key: value for key, value in one.items() if key != "scenario" or value} for one in told
    ]  # the result's own
    return {"reference": baseline.reference(result), "comparisons": gated, "failed": baseline.reasons(result, "en")}


def write(results: Sequence[Result], folder: Path, roll: Roll = Roll()) -> Path:
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(summary(results, roll), ensure_ascii=False, allow_nan=False, indent=1)
        return write_text(folder / NAME, text + "\n")


def read(folder: Path) -> Roll:
    """What the last session of this folder was to run and did not; nothing where no file says."""
    with contextlib.suppress(BenchError, ValueError, TypeError, KeyError, AttributeError):
        found = files.documents(folder / NAME)[0]
        session = str(found.get("session") or "")
        said = [{key: str(value) for key, value in one.items() if value} for one in found["scenarios"]]
        rest = [
            AbsentResult(id=one["scenario_id"], session=session, **{k: one.get(k, "") for k in ABSENT})
            for one in said
            if one.get("verdict") == NOT_RUN
        ]
        tests = {
            one["scenario_id"]: TestEnd(
                failed="test_failed" in one,
                passed="test_passed" in one,
                said=one.get("said", ""),
                xfail=one.get("xfail", ""),
            )
            for one in said
        }
        status = str(found.get("status") or "ended")
        failed, lost = (tuple(map(str, found.get(name) or ())) for name in ("failed", "lost"))
        gates = tuple(
            frontier_gate(one["at"], one["metric"], float(one["at_least"]), str(one.get("config_file") or ""))
            for one in found.get("frontier") or ()
        )
        return Roll(
            session=session,
            status=status,
            matrix=int(found.get("matrix") or 0),
            rest=tuple(rest),
            failed=failed,
            lost=lost,
            tests=tests,
            frontiers=gates,
        )
    return Roll()


#: What ``verdict.json`` says of a scenario without a result.
ABSENT = ("why", "said", "test", "xfail")


def last(folders: Sequence[Path], results: Sequence[Result]) -> tuple[Roll, list[Result]]:
    """What the last sessions of these folders did not run, be it that they were killed; → also the results that lie
    there, with what became of their tests."""
    rolls = [read(folder) for folder in folders]
    ends = {(roll.session, id): end for roll in rolls for id, end in roll.tests.items()}
    learnt = [replace(one, test=ends.get((one.session, one.id), one.test)) for one in results]
    found = {(one.id, one.session) for one in results}
    rest = [absent for roll in rolls for absent in roll.rest if (absent.id, absent.session) not in found]
    whole = Roll(
        session=max((roll.session for roll in rolls), default=""),
        matrix=sum(roll.matrix for roll in rolls),
        rest=tuple(rest),
        failed=tuple(said for roll in rolls for said in roll.failed),
        lost=tuple(said for roll in rolls for said in roll.lost),
        frontiers=tuple(dict.fromkeys(gate for roll in rolls for gate in roll.frontiers)),
    )
    broken = any(roll.status != "ended" for roll in rolls) and whole.missing
    return replace(whole, status="interrupted" if broken else "ended"), learnt
