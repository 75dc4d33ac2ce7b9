"""JSON dicts of a session → ``verdict.json``: what a machine wants to know first; and back, what did not run.

It is written when a session begins ("running"), and anew as scenarios end: one that was killed leaves it as it stood.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_vllm_bench import files
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import JudgeSettings, Message, Verdict, outcome_of
from pytest_vllm_bench.report import baseline, words
from pytest_vllm_bench.report.artifacts import SCHEMA_VERSION, Row, plain
from pytest_vllm_bench.report.failure import observed
from pytest_vllm_bench.report.folder import complete, order, stem, write_text, writing
from pytest_vllm_bench.text import say

NAME = "verdict.json"
#: The verdict of a scenario that was to run and did not.
NOT_RUN = "not_run"
#: Why a scenario did not run that need not: the config leaves it out, or the repeats before it are enough.
LEFT_OUT = ("left_out", "enough")
#: Why one has no result, and its test did not fail all the same.
GREEN = (*LEFT_OUT, "skipped", "not_measured", "xfailed")
#: What is known of a scenario's test beyond its verdict.
OF_TEST = ("test_failed", "test_passed", "said", "xfail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """What a session was to run: ``rest`` are the rows of what has not (yet); ``matrix``: what its configs hold.

    ``lost``: what else failed the session, as it was said."""

    session: str = ""
    status: str = "ended"  # running | interrupted | stopped | ended
    matrix: int = 0
    rest: tuple[Row, ...] = ()
    lost: tuple[str, ...] = ()
    tests: Mapping[str, Row] = field(default_factory=dict)  # scenario → what is known of its test


def not_run(scenario_id: str, session: str, **known: Any) -> Row:
    """The row of a scenario without a result; ``known``: its test, and ``why`` in a word and as it was ``said``."""
    row = {"scenario_id": scenario_id, "session": session, "verdict": NOT_RUN, "complete": False, **known}
    row = complete(row, Path(f"{stem(scenario_id)}.json"))
    del row["_path"]
    return row


def measured(rows: Sequence[Row]) -> list[Row]:
    """Those that have figures."""
    return [row for row in rows if row.get("verdict") != NOT_RUN]


def missing(rows: Sequence[Row]) -> list[Row]:
    """Those that should have run and did not."""
    return [row for row in rows if row.get("verdict") == NOT_RUN and row.get("why") not in LEFT_OUT]


def gates(rows: Sequence[Row]) -> list[Row]:
    """Those whose verdict is a test's: a probe's belongs to the search, of which some must break, and what is expected
    to fail fails nothing."""
    return [row for row in rows if not row.get("probe_of") and not expected(row)]


def expected(row: Row) -> str:
    """Why the config lets this scenario fail (``xfail``); one that must fail and did not has failed."""
    said = row.get("xfail") or (row.get("config") or {}).get("xfail") or ""
    return "" if row.get("test_failed") else said


def overall(rows: Sequence[Row]) -> Verdict | None:
    """The worst verdict of all: at best INCONCLUSIVE where something did not run, and FAIL where a test failed although
    its rules held; None where no row has one."""
    mine = gates(rows)
    found = [Verdict(row["verdict"]) for row in mine if row.get("verdict") in list(Verdict)]
    found += [Verdict.INCONCLUSIVE] if missing(mine) else []
    found += [Verdict.FAIL for row in mine if row.get("test_failed") and row.get("verdict") == "PASS"]
    return Verdict.worst(found) if found else None


def of_fate(row: Row, fate: str, said: str) -> Row:
    """What a row learns of what became of its test."""
    if fate == "xfailed":
        return {"xfail": said} | ({"why": fate, "said": said} if row["verdict"] == NOT_RUN else {})
    if row["verdict"] == NOT_RUN:
        why = "not_measured" if fate == "passed" else fate  # it measured something else
        return {} if row.get("why") in LEFT_OUT or not why else {"why": why, "said": said}
    if fate == "error":
        return {"test_failed": True} | ({"said": said} if row["outcome"] != "fail" else {})
    return {"test_passed": True} if fate in ("passed", "skipped") and row["outcome"] == "fail" else {}


def of_verdict(row: Row) -> tuple[str | None, Any]:
    """What pytest makes of a result's verdict, as it was kept; earlier versions did not."""
    if "outcome" in row or row.get("verdict") not in list(Verdict):
        return row.get("outcome"), row.get("outcome_reason")
    sides = [rule.get("within") for rule in row.get("verdicts") or () if rule.get("verdict") == Verdict.INCONCLUSIVE]
    asked = (row.get("config") or {}).get("judge")
    how = asked.get("inconclusive") if isinstance(asked, dict) else None
    settings = JudgeSettings(inconclusive=how if how in ("fail", "pass", "skip") else "lean")
    outcome, reason = outcome_of(Verdict(row["verdict"]), sides, settings, row.get("taints") or ())
    return outcome, plain(reason)


def of_test(row: Row) -> tuple[str | None, Any]:
    """What became of a scenario's test ("pass", "fail", "skip"; None: unknown), and why as a saved message where the
    verdict does not say."""
    if row.get("verdict") == NOT_RUN:
        return "skip" if row.get("why") in GREEN else "fail", plain(words.reason(row))
    outcome, why = of_verdict(row)
    if row.get("test_failed") and outcome != "fail":
        return "fail", plain(Message(key="report.test_failed", values={"said": row.get("said") or "–"}))
    cut = [taint for taint in ("interrupted", "salvaged") if taint in (row.get("taints") or ())]
    if cut and "resumed" not in row["taints"]:
        return "fail", plain(Message(key=f"report.test_{cut[0]}"))
    if row.get("test_passed"):
        return "pass", plain(Message(key="report.test_passed"))
    return outcome, why


def red(row: Row) -> bool:
    return of_test(row)[0] == "fail"


def outcome(rows: Sequence[Row], roll: Roll = Roll()) -> str | None:
    """What pytest made of the session as a whole, as far as it is about scenarios; None where nobody knows."""
    if roll.status == "running":
        return None
    ends = [of_test(row)[0] for row in gates(rows)]
    if "fail" in ends or roll.lost or roll.status != "ended":
        return "fail"
    return next((end for end in ("pass", "skip") if end in ends), None)


def tally(rows: Sequence[Row], lang: str) -> str:
    """ "41 passed · 6 failed · 1 invalid": how many of each verdict."""
    counted = [row for row in rows if not row.get("probe_of") and (row.get("verdict") != NOT_RUN or missing([row]))]
    found = Counter("xfail" if expected(row) else str(row.get("verdict")) for row in counted)
    known = ("PASS", "FAIL", "INVALID", "INCONCLUSIVE", NOT_RUN, "xfail", "None")
    return " · ".join(say(f"report.tally.{key}", lang, n=found[key]) for key in known if found[key])


def reasons(row: Row, lang: str) -> list[str]:
    """Why a scenario did not pass: its error, checks, rules, what is worse than its reference, and what was made of
    that."""
    if row.get("verdict") == NOT_RUN:
        return [words.why(row, lang)]
    parts = [words.said(row["error"], lang)] if row.get("error") else []
    parts += [words.said(check.get("message"), lang) for check in row.get("validity") or [] if not check.get("ok")]
    for rule in row.get("verdicts") or []:
        if rule.get("verdict") != "PASS":
            reason = words.said(rule.get("reason"), lang)
            parts.append(f"{rule.get('rule')}: {observed(rule, lang)}" + (f" ({reason})" if reason else ""))
    parts += baseline.reasons(row, lang)
    if not parts and row.get("verdict") != "PASS":  # of what no rule stands for: a restart
        parts = [words.said(note, lang) for note in row.get("notes") or []]
    end, why = of_test(row)
    return [*parts, *([words.said(why, lang)] if why and end != "pass" else [])]


def summary(rows: Sequence[Row], roll: Roll = Roll()) -> Row:
    """The session in one dict: worst verdict, counts, and each scenario's rules that did not pass."""
    going = roll.status == "running"
    whole = not going and not missing(rows) and all(row.get("complete", True) for row in measured(rows))
    selected = [row for row in rows if not row.get("probe_of")]
    return {
        "schema_version": SCHEMA_VERSION,
        "session": max((str(row.get("session") or "") for row in rows), default=roll.session),
        "status": roll.status,
        "verdict": None if going else overall(rows),
        "outcome": outcome(rows, roll),
        **({"lost": list(roll.lost)} if roll.lost else {}),
        "taints": list(dict.fromkeys(taint for row in rows for taint in row.get("taints") or ())),
        "simulated": any(row.get("simulated") for row in rows),
        "complete": whole,
        "selected": len(selected),
        "matrix": max(roll.matrix, len(selected)),
        "counts": dict(Counter(str(row.get("verdict")) for row in gates(rows))),
        "scenarios": [_scenario(row, going) for row in sorted(rows, key=order)],
    }


def _scenario(row: Row, going: bool) -> Row:
    known = {key: row[key] for key in OF_TEST if row.get(key)}
    if row.get("verdict") == NOT_RUN:
        known |= {key: row.get(key) for key in ("scenario_id", "verdict", "why", "said", "test")}
        return known | {"outcome": of_test(row)[0] if row.get("why") or not going else None}
    return {
        "scenario_id": row["scenario_id"],
        **{key: row[key] for key in ("probe_of", "capacity_held", "capacity_broken") if key in row},
        "verdict": row.get("verdict"),
        "outcome": of_test(row)[0],
        **({"reasons": reasons(row, "en")} if of_test(row)[0] != "pass" else {}),
        "taints": list(row.get("taints") or ()),
        **known,
        **({"xfail": expected(row)} if expected(row) else {}),
        "file": f"{stem(row['scenario_id'])}.json",
        "rules": [
            {key: rule.get(key) for key in ("rule", "verdict", "observed", "limit", "n", "window")}
            for rule in row.get("verdicts") or []
        ],
        "invalid": [check.get("check") for check in row.get("validity") or [] if not check.get("ok")],
        **({"baseline": _baseline(row)} if row.get("baseline") else {}),
    }


def _baseline(row: Row) -> Row:
    """The reference, what was gated against it, and why that failed."""
    kept = ("metric", "verdict", "observed", "reference", "change", "tolerance")
    gated = [{key: c.get(key) for key in kept} for c in baseline.comparisons(row, gated=True)]
    return {"reference": baseline.reference(row), "comparisons": gated, "failed": baseline.reasons(row, "en")}


def write(rows: Sequence[Row], folder: Path, roll: Roll = Roll()) -> Path:
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(summary(rows, roll), ensure_ascii=False, allow_nan=False, indent=1)
        return write_text(folder / NAME, text + "\n")


def read(folder: Path) -> Roll:
    """What the last session of this folder was to run and did not; nothing where no file says."""
    with contextlib.suppress(BenchError, ValueError, TypeError, KeyError, AttributeError):
        found = files.documents(folder / NAME)[0]
        session = str(found.get("session") or "")
        rest = [
            not_run(str(one["scenario_id"]), session, **{key: one.get(key) for key in ("why", "said", "test", "xfail")})
            for one in found["scenarios"]
            if one.get("verdict") == NOT_RUN
        ]
        status, lost = str(found.get("status") or "ended"), tuple(map(str, found.get("lost") or ()))
        tests = {
            str(one["scenario_id"]): {key: one[key] for key in OF_TEST if one.get(key)} for one in found["scenarios"]
        }
        matrix = int(found.get("matrix") or 0)
        return Roll(session=session, status=status, matrix=matrix, rest=tuple(rest), lost=lost, tests=tests)
    return Roll()


def last(folders: Sequence[Path], rows: Sequence[Row]) -> Roll:
    """What the last sessions of these folders did not run, be it that they were killed; ``rows`` lie there, and learn
    what became of their tests."""
    rolls = [read(folder) for folder in folders]
    for roll in rolls:
        for row in rows:
            row.update(roll.tests.get(row["scenario_id"], {}) if row.get("session") == roll.session else {})
    found = {(row["scenario_id"], row.get("session")) for row in rows}
    rest = [row for roll in rolls for row in roll.rest if (row["scenario_id"], row["session"]) not in found]
    broken = [roll.status for roll in rolls if roll.status != "ended"] if missing(rest) else []
    return Roll(
        session=max((roll.session for roll in rolls), default=""),
        status="interrupted" if broken else "ended",
        matrix=sum(roll.matrix for roll in rolls),
        rest=tuple(rest),
        lost=tuple(said for roll in rolls for said in roll.lost),
    )
