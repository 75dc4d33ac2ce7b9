"""JSON dicts of a session → ``verdict.json``: what a machine wants to know first."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pytest_vllm_bench.model import Verdict
from pytest_vllm_bench.report import baseline
from pytest_vllm_bench.report.artifacts import SCHEMA_VERSION, Row
from pytest_vllm_bench.report.folder import order, stem, write_text, writing


def gates(rows: Sequence[Row]) -> list[Row]:
    """Those whose verdict is a test's: a probe's belongs to the search, of which some must break, and what is expected
    to fail fails nothing."""
    return [row for row in rows if not row.get("probe_of") and not expected(row)]


def expected(row: Row) -> str:
    """Why the config lets this scenario fail (``xfail``)."""
    return (row.get("config") or {}).get("xfail") or ""


def overall(rows: Sequence[Row]) -> Verdict | None:
    """The worst verdict of all; None where no row has one."""
    found = [Verdict(row["verdict"]) for row in gates(rows) if row.get("verdict") in list(Verdict)]
    return Verdict.worst(found) if found else None


def summary(rows: Sequence[Row]) -> Row:
    """The session in one dict: worst verdict, counts, and each scenario's rules that did not pass."""
    return {
        "schema_version": SCHEMA_VERSION,
        "session": max((str(row.get("session") or "") for row in rows), default=""),
        "verdict": overall(rows),
        "simulated": any(row.get("simulated") for row in rows),
        "complete": all(row.get("complete", True) for row in rows),
        "counts": dict(Counter(str(row.get("verdict")) for row in gates(rows))),
        "scenarios": [_scenario(row) for row in sorted(rows, key=order)],
    }


def _scenario(row: Row) -> Row:
    return {
        "scenario_id": row["scenario_id"],
        **{key: row[key] for key in ("probe_of", "capacity_held", "capacity_broken") if key in row},
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


def write(rows: Sequence[Row], folder: Path) -> Path:
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(summary(rows), ensure_ascii=False, allow_nan=False, indent=1)
        return write_text(folder / "verdict.json", text + "\n")
