"""JSON dicts of a session → ``verdict.json``: what a machine wants to know first; and back, what did not run.

It is written when a session begins ("running"), and anew as scenarios end: one that was killed leaves it as it stood.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_vllm_bench import files
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Verdict
from pytest_vllm_bench.report import baseline
from pytest_vllm_bench.report.artifacts import SCHEMA_VERSION, Row
from pytest_vllm_bench.report.folder import complete, order, stem, write_text, writing

NAME = "verdict.json"
#: The verdict of a scenario that was to run and did not.
NOT_RUN = "not_run"
#: Why a scenario did not run that need not: the config leaves it out, or the repeats before it are enough.
LEFT_OUT = ("left_out", "enough")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """What a session was to run: ``rest`` are the rows of what has not (yet); ``matrix``: what its configs hold."""

    session: str = ""
    status: str = "ended"  # running | interrupted | ended
    matrix: int = 0
    rest: tuple[Row, ...] = ()


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
    """Why the config lets this scenario fail (``xfail``)."""
    return (row.get("config") or {}).get("xfail") or ""


def overall(rows: Sequence[Row]) -> Verdict | None:
    """The worst verdict of all: at best INCONCLUSIVE where something did not run, and FAIL where a test failed although
    its rules held; None where no row has one."""
    mine = gates(rows)
    found = [Verdict(row["verdict"]) for row in mine if row.get("verdict") in list(Verdict)]
    found += [Verdict.INCONCLUSIVE] if missing(mine) else []
    found += [Verdict.FAIL for row in mine if row.get("test_failed") and row.get("verdict") == "PASS"]
    return Verdict.worst(found) if found else None


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
        "simulated": any(row.get("simulated") for row in rows),
        "complete": whole,
        "selected": len(selected),
        "matrix": max(roll.matrix, len(selected)),
        "counts": dict(Counter(str(row.get("verdict")) for row in gates(rows))),
        "scenarios": [_scenario(row) for row in sorted(rows, key=order)],
    }


def _scenario(row: Row) -> Row:
    if row.get("verdict") == NOT_RUN:
        return {key: row.get(key) for key in ("scenario_id", "verdict", "why", "said", "test")}
    return {
        "scenario_id": row["scenario_id"],
        **{key: row[key] for key in ("probe_of", "capacity_held", "capacity_broken", "test_failed") if key in row},
        "verdict": row.get("verdict"),
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
            not_run(str(one["scenario_id"]), session, **{key: one.get(key) for key in ("why", "said", "test")})
            for one in found["scenarios"]
            if one.get("verdict") == NOT_RUN
        ]
        status = str(found.get("status") or "ended")
        return Roll(session=session, status=status, matrix=int(found.get("matrix") or 0), rest=tuple(rest))
    return Roll()


def last(folders: Sequence[Path], rows: Sequence[Row]) -> Roll:
    """What the last sessions of these folders did not run, be it that they were killed; ``rows`` lie there."""
    rolls = [read(folder) for folder in folders]
    found = {(row["scenario_id"], row.get("session")) for row in rows}
    rest = [row for roll in rolls for row in roll.rest if (row["scenario_id"], row["session"]) not in found]
    broken = [roll.status for roll in rolls if roll.status != "ended"] if missing(rest) else []
    return Roll(
        session=max((roll.session for roll in rolls), default=""),
        status="interrupted" if broken else "ended",
        matrix=sum(roll.matrix for roll in rolls),
        rest=tuple(rest),
    )
