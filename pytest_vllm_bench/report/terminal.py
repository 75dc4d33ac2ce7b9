"""JSON dicts → the summary table on a terminal, as wide as it is."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pytest_vllm_bench.report import baseline, words
from pytest_vllm_bench.report.artifacts import Row
from pytest_vllm_bench.report.folder import order
from pytest_vllm_bench.report.load import by_shape, concurrency, rate
from pytest_vllm_bench.report.verdict import gates, measured, missing, of_test, red
from pytest_vllm_bench.text import say

if TYPE_CHECKING:
    from rich.table import Table

STYLES = {"PASS": "green", "FAIL": "bold red", "INVALID": "bold magenta", "INCONCLUSIVE": "yellow"}

#: In the order they are shown.  The number is the priority by which they are let in: what a narrow terminal drops
#: first has the highest.
COLUMNS = (
    ("completed", 1),
    ("request_throughput", 7),
    ("output_throughput", 2),
    ("total_token_throughput", 12),
    ("goodput_ratio", 6),
    ("mean_ttft_ms", 8),
    ("median_ttft_ms", 10),
    ("p99_ttft_ms", 3),
    ("mean_tpot_ms", 4),
    ("p99_tpot_ms", 11),
    ("p99_itl_ms", 9),
    ("mean_e2el_ms", 5),
    ("p99_e2el_ms", 13),
    ("duration", 14),
)


def summary(rows: Sequence[Row], *, width: int = 80, lang: str = "en", colour: bool = False) -> str:
    """The table as text; with ``colour`` it carries ANSI sequences.  Empty for no rows."""
    from rich.console import Console

    if not rows:
        return ""
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        legacy_windows=False,
        _environ={},
    )
    if done := sorted(measured(rows), key=order):
        console.print(_table(done, width, lang))
    for line in sparklines(done, width, lang):
        console.print(line, markup=False, soft_wrap=True)
    for note in [*notes(rows, lang, MOST), *undecided(rows, lang)]:
        for line in note.split("\n"):
            console.print("\n".join(words.fold(line, width, indent="")), markup=False, soft_wrap=True)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def colours(stream: TextIO, environment: dict[str, str]) -> bool:
    """Colours on a terminal, off in a pipe; NO_COLOR and FORCE_COLOR have their way."""
    if environment.get("NO_COLOR"):
        return False
    return bool(environment.get("FORCE_COLOR")) or (stream.isatty() and environment.get("TERM") != "dumb")


GAP = 2  # cells between columns


def _table(rows: Sequence[Row], width: int, lang: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    keys = fitting(rows, width, lang)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column(say("report.col.scenario", lang), overflow="fold")
    table.add_column(say("report.col.verdict", lang), no_wrap=True)
    for key in keys:
        table.add_column(say(f"report.head.{key}", lang), justify="right", no_wrap=True)
    for row in rows:
        verdict = row.get("verdict")
        cells = [Text(_cell(row, key), style="" if words.trusted(row, key) else "dim") for key in keys]
        shown = Text(
            _verdict(row, lang), style=STYLES.get("FAIL" if red(row) and verdict != "INVALID" else str(verdict), "")
        )
        table.add_row(Text(_name(row)), shown, *cells)
    return table


def fitting(rows: Sequence[Row], width: int, lang: str) -> list[str]:
    """The columns that have values and fit beside scenario and verdict, in their order."""
    from rich.cells import cell_len

    def size(head: str, cells: Iterable[str]) -> int:
        return max(cell_len(part) for text in (head, *cells) for part in text.split("\n"))

    name = min(size(say("report.col.scenario", lang), map(_name, rows)), width // 2)
    left = width - name - GAP - size(say("report.col.verdict", lang), [_verdict(row, lang) for row in rows])
    chosen = set()
    for key, _ in sorted(COLUMNS, key=lambda column: column[1]):
        if all(row.get(key) is None for row in rows):
            continue
        need = GAP + size(say(f"report.head.{key}", lang), [_cell(row, key) for row in rows])
        if need <= left:
            chosen.add(key)
            left -= need
    return [key for key, _ in COLUMNS if key in chosen]


def _name(row: Row) -> str:
    return str(row["scenario_id"]) + ("" if row.get("complete", True) else " *")


def _cell(row: Row, key: str) -> str:
    value = row.get(key)
    if key == "completed" and row.get("failed"):
        return f"{words.number(value)}/{words.number((value or 0) + row['failed'])}"
    return words.shown(row, key)


def _verdict(row: Row, lang: str) -> str:
    return say(f"report.verdict.{row['verdict']}", lang) if row.get("verdict") in STYLES else "—"


#: How figures grow with the load: drawn from at least this many loads.
LOADS = 3
SPARKED = ("output_throughput", "p99_ttft_ms", "mean_tpot_ms", "mean_e2el_ms")
_BARS = "▁▂▃▄▅▆▇█"


def spark(values: Sequence[float]) -> str:
    """One bar a value, from the smallest to the largest."""
    low, high = min(values), max(values)
    return "".join(_BARS[int((v - low) / (high - low) * 7.999) if high > low else 0] for v in values)


def sparklines(rows: Sequence[Row], width: int, lang: str) -> list[str]:
    """One line for each row of rising loads: how every figure goes, as far as it fits; of repeats the last counts."""
    from rich.cells import cell_len

    def load(row: Row) -> float | None:
        return concurrency(row) or rate(row)

    lines = []
    for name, line in by_shape(rows, load).items():
        parts = [name]
        once = {load(row): row for row in line}.values()
        for key in SPARKED:
            values = [row[key] for row in once if isinstance(row.get(key), int | float)]
            if len(values) < LOADS:
                continue
            head = say(f"report.spark.{key}", lang)
            part = f"{head} {spark(values)} {words.number(values[0])}…{words.number(values[-1])}"
            if cell_len("   ".join([*parts, part])) <= width:
                parts.append(part)
        if len(parts) > 1:
            lines.append("   ".join(parts))
    return lines


#: Notes that are shown although the scenario passed: a search's answer, how far repeats differed, and what is odd about
#: the answers.
ANSWER, SPREAD, DOUBT = "judge.capacity", "judge.between_runs", "judge.doubt."
#: Lines of one kind that a terminal shows, and characters of a reason.
MOST, WORDS = 3, 120


def notes(rows: Sequence[Row], lang: str, most: int | None = None) -> list[str]:
    """Lines below the table: what a reader must know before quoting a figure.  ``most``: of what is said of each."""
    lines = unrun(rows, lang)
    rows = measured(rows)
    lines += words.taints(rows, lang)
    if not all(row.get("complete", True) for row in rows):
        lines.append(say("report.partial", lang))
    thin = [row for row in rows if any(not words.trusted(row, key) for key in ("p99_ttft_ms", "p99_e2el_ms"))]
    if thin:
        lines.append(say("report.thin", lang))
    lines += _told(rows, ANSWER, lang)
    for kind in (
        decided(rows, lang),
        _told(rows, DOUBT, lang),
        _told(rows, SPREAD, lang),
        list(baseline.warnings(rows, lang)),
    ):
        lines += few(kind, lang, most)
    return lines


def unrun(rows: Sequence[Row], lang: str) -> list[str]:
    """What did not run: a line for each reason."""
    reasons: dict[str, list[str]] = {}
    for row in missing(rows):
        reasons.setdefault(words.why(row, lang), []).append(row["scenario_id"])
    total = sum(not row.get("probe_of") for row in rows)
    lines = []
    for why, names in reasons.items():
        why = why if len(why) <= WORDS else why[: WORDS - 1] + "…"  # what ended a test is shown whole where it ended
        named = ", ".join(names[:MOST]) + (" …" if len(names) > MOST else "")
        lines.append(say("report.not_run", lang, count=len(names), total=total, names=named, why=why))
    return lines


def decided(rows: Sequence[Row], lang: str) -> list[str]:
    """A line for each scenario whose test ended otherwise than its verdict lets one think."""
    lines = []
    for row in gates(rows):
        end, why = of_test(row)
        as_told = {"PASS": "pass", "FAIL": "fail", "INVALID": "fail", "INCONCLUSIVE": "pass"}.get(
            str(row.get("verdict"))
        )
        if end != as_told and why:
            lines.append(words.because(row["scenario_id"], words.said(why, lang), lang))
    return lines


def few(lines: list[str], lang: str, most: int | None) -> list[str]:
    """The first of them, and how many more there are."""
    more = len(lines) - most if most is not None else 0
    return [*lines[:most], say("report.more_notes", lang, count=more)] if more > 0 else lines


def _told(rows: Sequence[Row], kind: str, lang: str) -> list[str]:
    """A line for each scenario that has notes of this kind."""
    lines = []
    for row in rows:
        if told := [note for note in row.get("notes") or [] if str(note.get("key")).startswith(kind)]:
            said = say("report.and_also", lang).join(words.said(note, lang) for note in told)
            if doubted := [str(rule["metric"]) for rule in row.get("verdicts") or () if _doubted(rule)]:
                said += say("report.not_pass", lang, rules=", ".join(doubted)) if kind == DOUBT else ""
            lines.append(words.because(row["scenario_id"], said, lang))
    return lines


def questionable(row: Row) -> bool:
    """Whether something is said of it that is explained in the docs: it is not PASS, or its answers are odd."""
    return row.get("verdict") != "PASS" or any(str(n.get("key")).startswith(DOUBT) for n in row.get("notes") or ())


def _doubted(rule: Row) -> bool:
    """Whether a rule is not PASS because of what is odd about the answers, which is said beside them."""
    why = ((rule.get("reason") or {}).get("values") or {}).get("why")
    return isinstance(why, dict) and str(why.get("key")).startswith(DOUBT)


def undecided(rows: Sequence[Row], lang: str, most: int = MOST) -> list[str]:
    """Why scenarios are INCONCLUSIVE, which may well have passed: the first such rule of the first few."""
    said = []
    for row in rows:
        open_ones = (v for v in row.get("verdicts") or () if v["verdict"] == "INCONCLUSIVE" and not _doubted(v))
        rules = (v for v in open_ones if v.get("reason"))
        rule = None if row.get("capacity") else next(rules, None)  # a search says all there is to say beside it
        if row.get("verdict") == "INCONCLUSIVE" and rule:
            reason = words.because(rule["metric"], words.said(rule["reason"], lang), lang)
            said.append(words.because(row["scenario_id"], reason, lang))
    more = [say("report.undecided_more", lang, count=len(said) - most)] if len(said) > most else []
    return said[:most] + more


def written(paths: Iterable[Path], lang: str = "en", *, base: Path | None = None) -> list[str]:
    """One line a kind of file: what was written where, relative to ``base`` if it lies there."""
    by_folder: dict[Path, list[str]] = {}
    for path in paths:
        by_folder.setdefault(path.parent, []).append(path.name)
    lines = []
    for folder, names in by_folder.items():
        shown = folder.relative_to(base) if base and folder.is_relative_to(base) else folder
        results = [n for n in names if n.startswith("bench_")]
        rest = sorted(n for n in names if n not in results)
        if results:
            key = "report.written_one" if len(results) == 1 else "report.written_results"
            lines.append(say(key, lang, folder=f"{shown}/", n=len(results), name=sorted(results)[0]))
        lines += [say("report.written", lang, path=str(shown / name)) for name in rest]
    return lines
