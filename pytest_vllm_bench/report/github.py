"""JSON dicts → what GitHub and GitLab show beside a job: step summary, annotations, metrics report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_vllm_bench.report import baseline, words
from pytest_vllm_bench.report.artifacts import Row
from pytest_vllm_bench.report.exports import SIGNS, markdown_safe, markdown_table, markdown_text
from pytest_vllm_bench.report.failure import observed
from pytest_vllm_bench.report.findings import findings
from pytest_vllm_bench.report.folder import make, order, write_text, writing
from pytest_vllm_bench.report.page import finding_text
from pytest_vllm_bench.report.verdict import Roll, gates, missing, outcome, overall, reasons, red, tally
from pytest_vllm_bench.text import say

#: GitHub throws a longer summary away whole.
MOST_BYTES = 1 << 20
#: GitHub shows ten annotations of a kind a step.
MOST_ANNOTATIONS = 10


def step_summary(rows: Sequence[Row], lang: str = "en", roll: Roll = Roll()) -> str:
    """Markdown of at most 1 MiB: verdict, findings, table, broken rules; with too many scenarios the table is cut."""
    rows = sorted(rows, key=order)
    kept = len(rows)
    while True:
        text = _summary(rows, kept, lang, roll)
        size = len(text.encode())
        if size <= MOST_BYTES or not kept:
            return text
        kept = min(kept - 1, int(kept * 0.9 * MOST_BYTES / size))


def _summary(rows: Sequence[Row], kept: int, lang: str, roll: Roll) -> str:
    verdict, ended = overall(rows), outcome(rows, roll)
    title = say("report.step.title", lang, verdict=say(f"report.verdict.{verdict}", lang))
    lines = [
        f"## {SIGNS['FAIL'] if ended == 'fail' and verdict != 'INVALID' else SIGNS.get(str(verdict), '')} {title}",
        "",
    ]
    lines += [f"{tally(rows, lang)} · {say(f'report.outcome.{ended}', lang)}", ""]
    lines += [f"- {markdown_safe(finding_text(found, lang))[:2000]}" for found in findings(rows)[:5]]
    lines += ["", markdown_text(rows[:kept], lang)]
    if kept < len(rows):
        lines += [say("report.step.cut", lang, n=len(rows) - kept), ""]
    return "\n".join([*lines, *_broken(rows[:kept], lang), *_worse(rows[:kept], lang)]) + "\n"


def _broken(rows: Sequence[Row], lang: str) -> list[str]:
    hits = [(row, rule) for row in gates(rows) for rule in row.get("verdicts") or [] if rule.get("verdict") != "PASS"]
    if not hits:
        return []
    names = ("rule", "observed", "limit", "n", "verdict")
    head = [say("report.col.scenario", lang), *(say(f"report.failure.{name}", lang) for name in names)]
    body = [
        [
            row["scenario_id"],
            str(rule.get("rule")),
            observed(rule, lang),
            words.number(rule.get("limit")),
            words.number(rule.get("n")),
            say(f"report.verdict.{rule.get('verdict')}", lang),
        ]
        for row, rule in hits[:200]
    ]
    return [f"### {say('report.step.broken', lang)}", "", *markdown_table(head, body)]


def _worse(rows: Sequence[Row], lang: str) -> list[str]:
    """What is worse than its reference, a line each."""
    hits = [
        (row, c) for row in gates(rows) for c in baseline.comparisons(row, gated=True) if c.get("verdict") == "FAIL"
    ]
    if not hits:
        return []
    head = [say("report.col.scenario", lang), *baseline.heads(lang)]
    body = ([row["scenario_id"], *baseline.cells(c, lang)] for row, c in hits[:200])
    return ["", f"### {say('page.section.comparison', lang)}", "", *markdown_table(head, body)]


def workflow_commands(rows: Sequence[Row], lang: str = "en") -> list[str]:
    """Workflow commands, one line each: an error for what failed or did not run, a warning for what passed and is not
    PASS.

    They point at the line of the rule that did not hold, in the row's ``config_file``.
    """
    lines: dict[str, list[str]] = {"error": [], "warning": []}
    for row in sorted(gates(rows), key=order):
        kind = "error" if red(row) or missing([row]) else "warning"
        if kind == "error" or (row.get("verdict") in SIGNS and row["verdict"] != "PASS"):
            title = f"{row['scenario_id']}: " + say(f"report.verdict.{row['verdict']}", lang)
            said = "\n".join(reasons(row, lang)) or str(row["verdict"])
            lines[kind].append(f"::{kind} {_place(row)}title={_property(title)}::{_data(said)}")
    return [*lines["error"][:MOST_ANNOTATIONS], *lines["warning"][:MOST_ANNOTATIONS]]


def _place(row: Row) -> str:
    """ "file=…,line=…," of the first rule that broke, else that was undecided; "" where the row does not say."""
    if not row.get("config_file"):
        return ""
    broken = [rule for rule in row.get("verdicts") or [] if rule.get("verdict") != "PASS" and rule.get("line")]
    worst = sorted(broken, key=lambda rule: rule.get("verdict") != "FAIL")
    line = worst[0]["line"] if worst else None
    return f"file={_property(str(row['config_file']))}," + (f"line={line}," if line else "")


def _data(text: str) -> str:
    """GitHub's own escapes: nothing in the text can end the command or begin another."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def append_summary(rows: Sequence[Row], path: Path, lang: str = "en", roll: Roll = Roll()) -> tuple[str, ...]:
    """Add the summary to the file that ``GITHUB_STEP_SUMMARY`` names, whatever other steps wrote there; that needs no
    words."""
    with writing(path, "report.step.not_written"), path.open("a", encoding="utf-8") as out:
        out.write(step_summary(rows, lang, roll))
    return ()


#: What GitLab compares between branches.
_METRICS = (
    "request_throughput",
    "output_throughput",
    "goodput_ratio",
    "failed",
    "mean_ttft_ms",
    "p99_ttft_ms",
    "mean_tpot_ms",
    "mean_e2el_ms",
    "p99_e2el_ms",
    "capacity_held",
)


def gitlab_metrics(rows: Sequence[Row], folder: Path, name: str = "metrics.txt") -> Path:
    """OpenMetrics text for GitLab's ``artifacts:reports:metrics``: a line a scenario and figure."""
    lines = [f"not_run {len(missing(rows))}"] if missing(rows) else []
    lines += [
        f'test_failed{{scenario="{_label(row["scenario_id"])}"}} {red(row):d}' for row in sorted(gates(rows), key=order)
    ]
    for key in _METRICS:
        for row in sorted(rows, key=order):
            value = row.get(key)
            if isinstance(value, int | float):
                lines.append(f'{key}{{scenario="{_label(row["scenario_id"])}"}} {value:.6g}')
    with writing(make(folder)):
        return write_text(folder / name, "\n".join([*lines, "# EOF", ""]))


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
