"""Two sets of JSON dicts → what changed between them, scenario by scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pytest_vllm_bench.metric_table import parse_name
from pytest_vllm_bench.report import words
from pytest_vllm_bench.report.artifacts import Row
from pytest_vllm_bench.report.folder import latest
from pytest_vllm_bench.text import say

METRICS = (
    "output_throughput",
    "request_throughput",
    "goodput_ratio",
    "mean_ttft_ms",
    "p99_ttft_ms",
    "mean_tpot_ms",
    "mean_e2el_ms",
    "p99_e2el_ms",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One figure on both sides; ``better`` None: the direction says nothing, or there is no change."""

    scenario: str
    metric: str
    before: float
    after: float
    better: bool | None

    @property
    def share(self) -> float | None:
        return self.after / self.before - 1 if self.before else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """``same_plan`` lists scenarios whose load differed: their figures cannot be told apart from the change."""

    before: str
    after: str
    changes: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    other_plan: tuple[str, ...]


def compare(before: Sequence[Row], after: Sequence[Row], names: tuple[str, str] = ("", "")) -> Comparison:
    """Match the newest results of each side on the scenario without its number of requests."""
    old = {_key(row): row for row in latest(before)}
    new = {_key(row): row for row in latest(after)}
    shared = [key for key in new if key in old]
    return Comparison(
        before=names[0] or _session(before),
        after=names[1] or _session(after),
        changes=tuple(c for key in shared for c in _changes(key, old[key], new[key])),
        only_before=tuple(key for key in old if key not in new),
        only_after=tuple(key for key in new if key not in old),
        other_plan=tuple(key for key in shared if _differs(old[key], new[key])),
    )


def _key(row: Row) -> str:
    return str(row.get("scenario_key") or row["scenario_id"])


def _session(rows: Sequence[Row]) -> str:
    return max((str(row.get("session") or row.get("date") or "") for row in rows), default="")


def _differs(old: Row, new: Row) -> bool:
    digests = old.get("plan_digest"), new.get("plan_digest")
    return all(digests) and digests[0] != digests[1]


def _changes(key: str, old: Row, new: Row) -> list[Change]:
    found = []
    for metric in METRICS:
        a, b = old.get(metric), new.get(metric)
        if isinstance(a, int | float) and isinstance(b, int | float):
            found.append(Change(scenario=key, metric=metric, before=a, after=b, better=_better(metric, a, b)))
    return found


def _better(metric: str, before: float, after: float) -> bool | None:
    name = parse_name(metric)
    if name is None or name.row.better == "neither" or before == after:
        return None
    return (after > before) is (name.row.better == "higher")


def change_text(change: Change) -> str:
    """``+4.2%``; for a figure that was 0 the difference."""
    if change.share is None:
        return f"{change.after - change.before:+g}"
    return f"{100 * change.share:+.1f}%"


def text(comparison: Comparison, lang: str = "en") -> str:
    """The comparison as a plain table."""
    from pytest_vllm_bench.report.failure import aligned

    head = [say(f"report.compare.{name}", lang) for name in ("scenario", "metric", "before", "after", "change")]
    body = [
        [c.scenario, words.with_unit(c.metric, lang), words.number(c.before), words.number(c.after), change_text(c)]
        for c in comparison.changes
    ]
    lines = [say("report.compare.title", lang, before=comparison.before, after=comparison.after), ""]
    lines += aligned([head, *body], right={2, 3, 4})
    lines += [f"  {note}" for note in notes(comparison, lang)]
    return "\n".join(lines)


def markdown(comparison: Comparison, lang: str = "en") -> str:
    """The comparison as a Markdown table."""
    from pytest_vllm_bench.report.exports import markdown_line, markdown_safe

    head = [say(f"report.compare.{name}", lang) for name in ("scenario", "metric", "before", "after", "change")]
    title = say(
        "report.compare.title", lang, before=markdown_safe(comparison.before), after=markdown_safe(comparison.after)
    )
    lines = [f"**{title}**", "", markdown_line(head), "| --- | --- | ---: | ---: | ---: |"]
    for c in comparison.changes:
        sign = {True: " ✅", False: " ❌", None: ""}[c.better]
        figures = [words.number(c.before), words.number(c.after), change_text(c) + sign]
        lines.append(markdown_line([c.scenario, words.with_unit(c.metric, lang), *figures]))
    return "\n".join([*lines, "", *(f"{line}\n" for line in notes(comparison, lang))])


def to_json(comparison: Comparison) -> Row:
    """The comparison for a machine: shares are relative changes."""
    made: Row = asdict(comparison)
    made["changes"] = [asdict(c) | {"share": c.share} for c in comparison.changes]
    return made


def notes(comparison: Comparison, lang: str) -> list[str]:
    """What the table does not show."""
    pairs = {
        "report.compare.only_before": comparison.only_before,
        "report.compare.only_after": comparison.only_after,
        "report.compare.other_plan": comparison.other_plan,
    }
    return [say(key, lang, names=", ".join(names)) for key, names in pairs.items() if names]
