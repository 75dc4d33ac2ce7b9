"""One JSON dict → the text of a failed test, and its JUnit properties."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pytest_vllm_bench.report import baseline, words
from pytest_vllm_bench.report.artifacts import Row
from pytest_vllm_bench.text import safe, say


def failure(row: Row, lang: str = "en", *, width: int = 80) -> str:
    """Why a scenario did not pass: its verdict, INVALID reasons with what to change, and a table of its rules."""
    verdict = str(row.get("verdict"))
    title = say(
        "report.failure.title", lang, scenario=row["scenario_id"], verdict=say(f"report.verdict.{verdict}", lang)
    )
    lines = [title]
    lines += [f"  {words.said(row[key], lang)}" for key in ("outcome_reason", "error") if row.get(key)]
    bad = [check for check in row.get("validity") or [] if not check.get("ok")]
    why = ((safe(str(check.get("check"))), words.said(check.get("message"), lang)) for check in bad)
    lines += [f"  {words.because(check, reason, lang)}" for check, reason in why]
    rules = sorted(row.get("verdicts") or [], key=lambda rule: rule.get("verdict") == "PASS")
    if rules:
        lines += ["", *rule_table(rules, lang, width), ""]
        for rule in rules:
            reason, name = words.said(rule.get("reason"), lang), safe(str(rule.get("rule")))
            if rule.get("verdict") != "PASS" and reason:
                lines.append(f"  {reason}" if reason.startswith(name) else f"  {words.because(name, reason, lang)}")
    lines += _baseline(row, lang)
    lines += _errors(row, lang)
    told = {words.said(rule.get("reason"), lang) for rule in rules}
    notes = [words.said(note, lang) for note in row.get("notes") or []]
    lines += [f"  {note}" for note in [*notes, *words.taints([row], lang)] if note not in told]
    return "\n".join(_wrapped(lines, width)).rstrip()


#: Left out one after another until the table fits.
SPARE = ("other", "n_eff", "window", "n")


def rule_table(rules: Sequence[Row], lang: str, width: int = 80) -> list[str]:
    """Rule, observed, limit, by how much, n, n′, window, the other window's figure, verdict; plain text in columns.

    A column that says nothing is left out, and on a narrow terminal those that say least.
    """
    from rich.cells import cell_len

    columns = _rule_columns(rules, lang)
    left = [name for name, cells in columns.items() if any(cells) or name not in SPARE]
    for spare in ("", *SPARE):
        left = [name for name in left if name != spare]
        heads = [say(f"report.failure.{name}", lang) for name in left]
        body = [list(line) for line in zip(*(columns[name] for name in left), strict=True)]
        right = {k for k, name in enumerate(left) if name in ("observed", "by", "n", "n_eff", "other")}
        lines = aligned([heads, *body], right=right)
        if max(map(cell_len, lines)) <= width:
            break
    return lines


def _rule_columns(rules: Sequence[Row], lang: str) -> dict[str, list[str]]:
    """Column → its cells, in the order in which they are shown."""

    def figure(value: Any) -> str:
        return "" if value is None else words.number(value)

    return {
        "rule": [safe(str(rule.get("metric"))) for rule in rules],
        "observed": [observed(rule, lang) for rule in rules],
        "limit": [f"{rule.get('op')} {words.number(rule.get('limit'))}" for rule in rules],
        "by": [by_how_much(rule) for rule in rules],
        "n": [figure(rule.get("n")) for rule in rules],
        "n_eff": [figure(_rounded(rule.get("n_eff"))) for rule in rules],
        "window": [say(f"report.window.{rule.get('window') or 'whole'}", lang) for rule in rules],
        "other": [figure(rule.get("other")) for rule in rules],
        "verdict": [say(f"report.verdict.{rule.get('verdict')}", lang) for rule in rules],
    }


def aligned(body: Sequence[Sequence[str]], *, right: set[int]) -> list[str]:
    """Cells in columns, by the width a terminal gives them (Chinese takes two)."""
    from rich.cells import cell_len

    widths = [max(cell_len(line[i]) for line in body) for i in range(len(body[0]))]
    lines = []
    for line in body:
        cells = [
            " " * (size - cell_len(text)) + text if i in right else text + " " * (size - cell_len(text))
            for i, (text, size) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return lines


def observed(rule: Row, lang: str) -> str:
    """The figure seen; "inf (12 failed)" where the order statistic is a failure; "no data"."""
    value = rule.get("observed")
    if value is None:
        return say("report.no_data", lang)
    if value == "inf" and rule.get("misses"):
        return say("report.inf", lang, n=rule["misses"])
    return words.number(value)


def by_how_much(rule: Row) -> str:
    """How far the figure lies on the wrong side: "+23.4 (+4.7 %)"; empty where it is within, or no number."""
    value, limit = rule.get("observed"), rule.get("limit")
    if not isinstance(value, int | float) or not isinstance(limit, int | float) or rule.get("within"):
        return ""
    gap = value - limit
    share = f" ({100 * gap / abs(limit):+.1f}%)" if limit else ""
    shown = words.number(abs(gap))
    return f"{'-' if gap < 0 else '+'}{shown}{share}"


def _baseline(row: Row, lang: str) -> list[str]:
    """How the gated figures compare with the reference, where one of them failed."""
    found = baseline.comparisons(row, gated=True)
    if not any(c.get("verdict") == "FAIL" for c in found):
        return []
    table = aligned([baseline.heads(lang), *(baseline.cells(c, lang) for c in found)], right={1, 2, 3, 4})
    reasons = [f"  {words.said(c.get('reason'), lang)}" for c in found if c.get("verdict") == "FAIL"]
    return [say("report.baseline.title", lang, name=baseline.reference(row)), *table, "", *reasons]


def _rounded(value: Any) -> Any:
    return math.floor(value) if isinstance(value, float) and math.isfinite(value) else value


def _errors(row: Row, lang: str) -> list[str]:
    counts = row.get("error_counts") or {}
    if not counts:
        return []
    shown = ", ".join(f"{kind} {n}" for kind, n in sorted(counts.items(), key=lambda item: -item[1]))
    lines = [say("report.failure.errors", lang, errors=shown)]
    if row.get("first_error"):
        lines.append(say("report.failure.first_error", lang, words=row["first_error"]))
    return lines


def _wrapped(lines: Sequence[str], width: int) -> list[str]:
    """Sentences wrap; the table's lines keep their shape."""
    from rich.cells import cell_len

    out = []
    for line in lines:
        if cell_len(line) <= width or (line.startswith("  ") and "  " in line.strip()):
            out.append(line)
        else:
            out += words.fold(line, width)
    return out


def properties(row: Row) -> dict[str, str | int | float]:
    """What goes into JUnit's ``<property>``: the verdict, and every figure as a number."""
    names = ("scenario_id", "verdict", "outcome", "complete", "simulated", "session")
    facts = {key: row[key] for key in names if row.get(key) is not None} | {"taints": " ".join(row.get("taints") or ())}
    skip = {"schema_version", "repeat", "burstiness"}
    figures = {
        key: value
        for key, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and key not in skip
    }
    return {**facts, **figures, **baseline.figures(row)}
