"""One result → the text of a failed test, and its JUnit properties."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pytest_vllm_bench.model import Result, RuleVerdict, Verdict
from pytest_vllm_bench.report import baseline, culprit, words
from pytest_vllm_bench.store.row import flat
from pytest_vllm_bench.text import safe, say


def failure(result: Result, lang: str = "en", *, width: int = 80) -> str:
    """Why a scenario did not pass: its verdict, INVALID reasons with what to change, and a table of its rules."""
    verdict = say(f"report.verdict.{result.verdict}", lang)
    lines = [say("report.failure.title", lang, scenario=result.id, verdict=verdict)]
    lines += [f"  {words.said(said, lang)}" for said in (result.outcome_reason, result.error) if said]
    bad = [check for check in result.checks if not check.ok]
    lines += [f"  {words.because(safe(check.id), words.said(check.message, lang), lang)}" for check in bad]
    rules = sorted(result.verdicts, key=lambda judged: judged.verdict is Verdict.PASS)
    if rules:
        lines += ["", *rule_table(rules, lang, width), ""]
        for judged in rules:
            reason, name = words.said(judged.reason, lang), words.ruled(judged, lang)
            if judged.verdict is not Verdict.PASS and reason:
                told_so = reason.startswith(safe(judged.rule.text))
                lines.append(f"  {reason}" if told_so else f"  {words.because(name, reason, lang)}")
    lines += _baseline(result, lang)
    lines += [f"  {line}" for line in culprit.lines(result, lang)]
    lines += _errors(result, lang)
    told = {words.said(judged.reason, lang) for judged in rules}
    notes = [words.said(note, lang) for note in result.notes]
    lines += [f"  {note}" for note in [*notes, *words.taints([result], lang)] if note not in told]
    return "\n".join(_wrapped(lines, width)).rstrip()


#: Left out one after another until the table fits.
SPARE = ("other", "n_eff", "window", "n")


def rule_table(rules: Sequence[RuleVerdict], lang: str, width: int = 80) -> list[str]:
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
        lines = words.aligned([heads, *body], right=right)
        if max(map(cell_len, lines)) <= width:
            break
    return lines


def _rule_columns(rules: Sequence[RuleVerdict], lang: str) -> dict[str, list[str]]:
    """Column → its cells, in the order in which they are shown."""

    def figure(value: Any) -> str:
        return "" if value is None else words.number(value)

    return {
        "rule": [words.ruled(one, lang, metric=True) for one in rules],
        "observed": [observed(one, lang) for one in rules],
        "limit": [f"{one.rule.op} {words.number(float(one.rule.limit))}" for one in rules],
        "by": [by_how_much(one) for one in rules],
        "n": [figure(one.n) for one in rules],
        "n_eff": [figure(_rounded(one.n_eff)) for one in rules],
        "window": [say(f"report.window.{one.window}", lang) for one in rules],
        "other": [figure(one.other) for one in rules],
        "verdict": [say(f"report.verdict.{one.verdict}", lang) for one in rules],
    }


def observed(judged: RuleVerdict, lang: str, *, unit: bool = False) -> str:
    """The figure seen; "inf (12 failed)" where the order statistic is a failure; "no data".

    ``unit``: with its own, where it stands alone."""
    if judged.observed is None:
        return say("report.no_data", lang)
    if judged.observed == "inf" and judged.misses:
        return say("report.inf", lang, n=judged.misses)
    return words.figure(judged.rule.metric, judged.observed) if unit else words.number(judged.observed)


def by_how_much(judged: RuleVerdict) -> str:
    """How far the figure lies on the wrong side: "+23.4 (+4.7 %)"; empty where it is within, or no number."""
    value, limit = judged.observed, float(judged.rule.limit)
    if not isinstance(value, int | float) or judged.within:
        return ""
    gap = value - limit
    share = f" ({100 * gap / abs(limit):+.1f}%)" if limit else ""
    shown = words.number(abs(gap))
    return f"{'-' if gap < 0 else '+'}{shown}{share}"


def _baseline(result: Result, lang: str) -> list[str]:
    """How the gated figures compare with the reference, where one of them failed."""
    worse = baseline.worse(result)
    if not worse:
        return []
    body = (baseline.cells(c, lang) for c in baseline.comparisons(result, gated=True))
    table = words.aligned([baseline.heads(lang), *body], right={1, 2, 3, 4})
    reasons = [f"  {words.said(c.reason, lang)}" for c in worse]
    return [say("report.baseline.title", lang, name=baseline.reference(result)), *table, "", *reasons]


def _rounded(value: Any) -> Any:
    return math.floor(value) if isinstance(value, float) and math.isfinite(value) else value


def _errors(result: Result, lang: str) -> list[str]:
    counts = result.requests.error_counts
    if not counts:
        return []
    lines = [say("report.failure.errors", lang, errors=words.kinds(counts))]
    if result.requests.first_error:
        lines.append(say("report.failure.first_error", lang, words=words.detail(result.requests.first_error, lang)))
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


def properties(result: Result) -> dict[str, str | int | float]:
    """What goes into JUnit's ``<property>``: the verdict, and every figure as a number."""
    row = flat(result)
    names = ("scenario_id", "verdict", "outcome", "taints", "complete", "simulated", "session")
    facts = {key: row[key] for key in names if row[key] is not None}
    skip = {"schema_version", "repeat", "burstiness"}
    figures = {
        key: value
        for key, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and key not in skip
    }
    return {**facts, **figures, **baseline.figures(result)}
