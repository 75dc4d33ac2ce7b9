"""What changed between two sets of results, as a table: plain, Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_vllm_bench.model import Message
from pytest_vllm_bench.report import words
from pytest_vllm_bench.store.row import plain
from pytest_vllm_bench.text import say

#: What is known of a change: its direction, whether it is what a condition says, or nothing.
Finding = Literal["better", "worse", "unproven", "beyond", "within", "undecided", "untested"]
#: What stands for a scenario where a change is that of all together.
ALL = "*"
SIGNS = {"better": "✅ ", "worse": "❌ ", "beyond": "❌ ", "within": "✅ "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A change that is not to be: the figure's change ``op`` limit; without ``text`` any change is looked for."""

    metric: str
    text: str = ""
    op: str = ">"
    limit: float = 0.0
    relative: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One figure on both sides, over all repeats; ``interval``: the changes that are not ruled out, which the finding
    follows from; None where nothing was tested."""

    scenario: str
    metric: str
    before: float | None
    after: float | None
    finding: Finding
    relative: bool = True
    interval: tuple[float, float] | None = None
    repeats: tuple[int, int] = (1, 1)
    condition: str = ""

    @property
    def share(self) -> float | None:
        """The change as a share of what was; None of 0."""
        return None if self.after is None or not self.before else self.after / self.before - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """``untested``: scenarios of which no figure can be tested, and why; ``others``: what else is another one."""

    before: str
    after: str
    changes: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    untested: tuple[tuple[str, Message], ...]
    others: tuple[tuple[str, Message], ...]
    conditions: tuple[Condition, ...]


def change_text(change: Change) -> str:
    """``+4.2%``; of a figure that was 0, or is asked for in its unit, the difference."""
    if change.before is None or change.after is None:
        return "—"
    if change.share is None or not change.relative:
        return f"{change.after - change.before:+.4g}"
    return _amount(change.share, relative=True)


def interval_text(change: Change) -> str:
    return " … ".join(_amount(end, relative=change.relative) for end in change.interval or ()) or "—"


def _amount(value: float, *, relative: bool) -> str:
    return f"{100 * value:+.1f}%" if relative else f"{value:+.4g}"


#: The table's columns, and those of numbers.
HEADS = ("scenario", "metric", "before", "after", "change", "interval", "repeats", "finding")
FIGURES = {2, 3, 4, 5}


def cells(change: Change, lang: str, sign: str = "") -> list[str]:
    if change.scenario == ALL:
        said = [say("report.compare.all", lang), words.with_unit(change.metric, lang), "", ""]
        return [*said, change_text(change), interval_text(change), "", sign + found(change, lang)]
    repeats = " / ".join(map(str, change.repeats))
    figures = [words.number(change.before), words.number(change.after), change_text(change), interval_text(change)]
    return [change.scenario, words.with_unit(change.metric, lang), *figures, repeats, sign + found(change, lang)]


def found(change: Change, lang: str) -> str:
    return say(f"report.compare.{change.finding}", lang, condition=change.condition)


def heads(lang: str) -> list[str]:
    return [say(f"report.compare.{name}", lang) for name in HEADS]


def text(made: SideBySide, lang: str = "en") -> str:
    """The comparison as a plain table."""
    from pytest_vllm_bench.report.words import aligned

    body = [heads(lang), *(cells(c, lang) for c in made.changes)]
    lines = [say("report.compare.title", lang, before=made.before, after=made.after), ""]
    return "\n".join([*lines, *aligned(body, right=FIGURES), *(f"  {note}" for note in notes(made, lang))])


def markdown(made: SideBySide, lang: str = "en") -> str:
    """The comparison as a Markdown table."""
    from pytest_vllm_bench.report.exports import markdown_safe, markdown_table

    title = say("report.compare.title", lang, before=markdown_safe(made.before), after=markdown_safe(made.after))
    body = (cells(c, lang, SIGNS.get(c.finding, "")) for c in made.changes)
    table = markdown_table(heads(lang), body, right=FIGURES)
    return "\n".join([f"**{title}**", "", *table, "", *(f"{markdown_safe(note)}\n" for note in notes(made, lang))])


def to_csv(found: Sequence[SideBySide]) -> str:
    """Every change a line, headers in English; an interval is two columns."""
    names = ("old", "new", "scenario", "metric", "before", "after", "share", "low", "high", "finding", "condition")
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(names)
    for made in found:
        for c in made.changes:
            figures = (c.before, c.after, c.share, *(c.interval or (None, None)))
            short = ["" if figure is None else f"{figure:.6g}" for figure in figures]
            table.writerow([made.before, made.after, c.scenario, c.metric, *short, c.finding, c.condition])
    return out.getvalue().rstrip("\n")


def to_json(made: SideBySide) -> dict[str, Any]:
    """The comparison for a machine: shares are relative changes."""
    row: dict[str, Any] = plain(made)
    row["changes"] = [plain(c) | {"share": c.share} for c in made.changes]
    for name, pairs in (("untested", made.untested), ("others", made.others)):
        row[name] = [{"scenario": scenario, "why": plain(why)} for scenario, why in pairs]
    return row


def notes(made: SideBySide, lang: str) -> list[str]:
    """What the table does not show."""
    only = {"report.compare.only_before": made.only_before, "report.compare.only_after": made.only_after}
    said = [say(key, lang, names=", ".join(names)) for key, names in only.items() if names]
    for key, pairs in (("report.compare.not_tested", made.untested), ("report.compare.others", made.others)):
        grouped: dict[str, list[str]] = {}
        for scenario, why in pairs:
            grouped.setdefault(say(why, lang), []).append(scenario)
        said += [say(key, lang, why=why, names=", ".join(names)) for why, names in grouped.items()]
    for one in made.conditions:
        counts = Counter(c.finding for c in made.changes if c.condition == one.text)
        parts = {name: counts[name] for name in ("beyond", "within", "undecided", "untested")}
        said.append(say("report.compare.counts", lang, condition=one.text, **parts))
    if any(c.interval for c in made.changes):
        said.append(say("report.compare.how", lang))
    return said
