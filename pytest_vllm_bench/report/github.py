"""Results → what GitHub shows beside a job: step summary and annotations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_vllm_bench.model import Result, Verdict
from pytest_vllm_bench.report import culprit, trend, words
from pytest_vllm_bench.report.chart import spoken
from pytest_vllm_bench.report.exports import SIGNS, changes, markdown_safe, markdown_table, markdown_text
from pytest_vllm_bench.report.failure import observed
from pytest_vllm_bench.report.findings import findings
from pytest_vllm_bench.report.page import finding_text
from pytest_vllm_bench.report.shown import pooled, worst_first
from pytest_vllm_bench.report.verdict import (
    NOT_RUN,
    Roll,
    coloured,
    gates,
    outcome,
    overall,
    reasons,
    red,
    tally,
)
from pytest_vllm_bench.store.folder import make, order, write_text, writing
from pytest_vllm_bench.text import say

#: GitHub throws a longer summary away whole.
MOST_BYTES = 1 << 20
#: A comment of more than 65,536 characters is refused, by GitHub as by others.
MOST_COMMENT = 65_000
#: Scenarios of which it is told where their figures come from.
MOST_EXPLAINED = 10
#: Changes since earlier sessions that are listed, those that fail first.
MOST_DRIFTS = 100
#: GitHub shows ten annotations of a kind a step.
MOST_ANNOTATIONS = 10


def step_summary(results: Sequence[Result], lang: str = "en", roll: Roll = Roll(), *, most: int = MOST_BYTES) -> str:
    """Markdown of at most so many bytes: verdict, findings, what has changed, table, broken rules; with too many
    scenarios the table is cut."""
    results = worst_first(results)
    kept = len(results)
    while True:
        text = _summary(results, kept, lang, roll)
        size = len(text.encode())
        if size <= most:
            return text
        if not kept:  # what is said of all together is too long by itself
            return text.encode()[: most - 10].decode(errors="ignore").rpartition("\n")[0] + "\n\n…\n"
        kept = min(kept - 1, int(kept * 0.9 * most / size))


def _summary(results: Sequence[Result], kept: int, lang: str, roll: Roll) -> str:
    verdict, ended = overall(results, roll), outcome(results, roll)
    title = say("report.step.title", lang, verdict=say(f"report.verdict.{verdict}", lang))
    lines = [f"## {SIGNS.get(coloured(verdict, ended) or '', '')} {title}", ""]
    lines += [f"{tally(pooled(results), roll, lang)} · {say(f'report.outcome.{ended}', lang)}", ""]
    lines += [f"- {markdown_safe(finding_text(found, lang))[:2000]}" for found in findings(results, roll)[:5]]
    lines += ["", *changes(results, lang), markdown_text(results[:kept], roll, lang)]
    if kept < len(results):
        lines += [say("report.step.cut", lang, n=len(results) - kept), ""]
    parts = (_broken(results[:kept], lang), _trend(roll, lang), _culprits(results[:kept], lang))
    return "\n".join([*lines, *(line for part in parts for line in part)]) + "\n"


def _culprits(results: Sequence[Result], lang: str) -> list[str]:
    """Where the figures come from that are too bad, of the worst scenarios."""
    told = [(one.id, lines) for one in gates(results) if (lines := culprit.lines(one, lang))][:MOST_EXPLAINED]
    body = [
        part for id, lines in told for part in (f"- {markdown_safe(id)}", *(f"  - {markdown_safe(x)}" for x in lines))
    ]
    return ["", f"### {say('report.step.culprit', lang)}", "", *body] if told else []


def _broken(results: Sequence[Result], lang: str) -> list[str]:
    hits = [(one, judged) for one in gates(results) for judged in one.verdicts if judged.verdict is not Verdict.PASS]
    if not hits:
        return []
    names = ("rule", "observed", "limit", "n", "verdict")
    head = [say("report.col.scenario", lang), *(say(f"report.failure.{name}", lang) for name in names)]
    body = [
        [
            one.id,
            words.ruled(judged, lang),
            observed(judged, lang),
            words.number(float(judged.rule.limit)),
            words.number(judged.n),
            say(f"report.verdict.{judged.verdict}", lang),
        ]
        for one, judged in hits[:200]
    ]
    return [f"### {say('report.step.broken', lang)}", "", *markdown_table(head, body)]


def _trend(roll: Roll, lang: str) -> list[str]:
    """What has changed since earlier sessions, a line each."""
    body = [trend.cells(drift, lang) for one in roll.trend for drift in one.drifts][:MOST_DRIFTS]
    if not body:
        return []
    table = markdown_table(trend.heads(lang), body, right={4, 5, 6, 7})
    return ["", f"### {say('page.section.trend', lang)}", "", *table]


def workflow_commands(results: Sequence[Result], lang: str = "en", roll: Roll = Roll()) -> list[str]:
    """Workflow commands, one line each: an error for what failed or did not run, a warning for what passed and is not
    PASS.

    They point at the line of the rule that did not hold, in the result's ``test.config_file``.
    """
    errors, warnings = list[str](), list[str]()
    for result in sorted(gates(results), key=order):
        failed = red(result)
        if result.verdict and (failed or result.verdict is not Verdict.PASS):
            said = "\n".join(reasons(result, lang)) or result.verdict
            name = "error" if failed else "warning"
            (errors if failed else warnings).append(
                _command(name, _place(result), result.id, result.verdict, said, lang)
            )
    errors += [
        _command("error", "", say("report.whole", lang), Verdict.FAIL, spoken(one, lang), lang) for one in roll.failed
    ]
    for absent in roll.lacking:
        errors.append(_command("error", "", absent.id, NOT_RUN, words.why(absent, lang), lang))
    return [*errors[:MOST_ANNOTATIONS], *warnings[:MOST_ANNOTATIONS]]


def _command(name: str, place: str, scenario: str, verdict: str, said: str, lang: str) -> str:
    title = f"{scenario}: " + say(f"report.verdict.{verdict}", lang)
    return f"::{name} {place}title={_property(title)}::{_data(said)}"


def _place(result: Result) -> str:
    """ "file=…,line=…," of the first rule that broke, else that was undecided; "" where nobody knows."""
    if not result.test.config_file:
        return ""
    broken = [one for one in result.verdicts if one.verdict is not Verdict.PASS and one.rule.line]
    worst = sorted(broken, key=lambda one: one.verdict is not Verdict.FAIL)
    return f"file={_property(result.test.config_file)}," + (f"line={worst[0].rule.line}," if worst else "")


def _data(text: str) -> str:
    """GitHub's own escapes: nothing in the text can end the command or begin another."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def comment(results: Sequence[Result], folder: Path, lang: str = "en", roll: Roll = Roll()) -> Path:
    """``results.md``: the same, as long as a comment may be."""
    with writing(make(folder)):
        return write_text(folder / "results.md", step_summary(results, lang, roll, most=MOST_COMMENT))


def append_summary(results: Sequence[Result], path: Path, lang: str = "en", roll: Roll = Roll()) -> tuple[str, ...]:
    """Add the summary to the file that ``GITHUB_STEP_SUMMARY`` names, whatever other steps wrote there; that needs no
    words."""
    with writing(path, "report.step.not_written"), path.open("a", encoding="utf-8") as out:
        out.write(step_summary(results, lang, roll))
    return ()
