"""The baseline part of a JSON dict → lines and cells that show it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pytest_vllm_bench.report import words
from pytest_vllm_bench.report.artifacts import Row
from pytest_vllm_bench.text import say


def comparisons(row: Row, *, gated: bool = False) -> list[Row]:
    """The row's comparisons with its reference, those that did not pass first; ``gated``: only those that may fail."""
    found = (row.get("baseline") or {}).get("comparisons") or []
    return sorted((c for c in found if c.get("gated") or not gated), key=lambda c: c.get("verdict") == "PASS")


def reference(row: Row) -> str:
    return str((row.get("baseline") or {}).get("reference") or "")


def amount(comparison: Row, key: str) -> str:
    """A change or tolerance: in percent where it is relative."""
    value = comparison.get(key)
    if not isinstance(value, int | float):
        return "—"
    sign = "+" if key == "change" else ""
    return f"{100 * value:{sign}.1f}%" if comparison.get("relative", True) else f"{value:{sign}.4g}"


def cells(comparison: Row, lang: str) -> list[str]:
    """Metric, reference, observed, change, tolerance, verdict."""
    return [
        str(comparison.get("metric")),
        words.number(comparison.get("reference")),
        words.number(comparison.get("observed")),
        amount(comparison, "change"),
        amount(comparison, "tolerance"),
        say(f"report.verdict.{comparison.get('verdict')}", lang),
    ]


HEADS = ("metric", "before", "after", "change", "tolerance", "verdict")


def heads(lang: str) -> list[str]:
    return [say(f"report.compare.{name}", lang) for name in HEADS]


def warnings(rows: Sequence[Row], lang: str) -> Iterator[str]:
    """A line for each scenario whose gate could not decide or compare."""
    for row in rows:
        if notes := (row.get("baseline") or {}).get("notes"):
            said = say("report.and_also", lang).join(words.said(note, lang) for note in notes)
            yield say("report.baseline.said", lang, scenario=row["scenario_id"], name=reference(row), said=said)
        undecided = [c for c in comparisons(row, gated=True) if c.get("verdict") == "INCONCLUSIVE"]
        if undecided:
            reasons = say("report.and_also", lang).join(words.said(c.get("reason"), lang) for c in undecided)
            yield say(
                "report.baseline.undecided", lang, scenario=row["scenario_id"], name=reference(row), reasons=reasons
            )


def failed(row: Row) -> list[Any]:
    """Why the gate failed, as saved messages: the figures that are worse, and why what is gated was not compared."""
    part = row.get("baseline") or {}
    worse = [c.get("reason") for c in comparisons(row, gated=True) if c.get("verdict") == "FAIL"]
    refused = part.get("refused", not part.get("comparisons"))
    return [*worse, *(part.get("notes") or [] if refused else [])]


def reasons(row: Row, lang: str) -> list[str]:
    return [words.said(message, lang) for message in failed(row)]


def figures(row: Row) -> dict[str, Any]:
    """The changes as numbers, for JUnit."""
    return {
        f"baseline_{c['metric']}_change": c["change"]
        for c in comparisons(row)
        if isinstance(c.get("change"), int | float)
    }
