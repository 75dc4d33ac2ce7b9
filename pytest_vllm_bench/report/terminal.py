"""Results → the summary table on a terminal, as wide as it is."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pytest_vllm_bench.metric_table import STARTUP
from pytest_vllm_bench.model import Message, Result, RuleVerdict, Verdict
from pytest_vllm_bench.report import baseline, frontier, shown, words
from pytest_vllm_bench.report.load import by_shape, either
from pytest_vllm_bench.report.verdict import Roll, coloured, gates, of_test
from pytest_vllm_bench.text import say

if TYPE_CHECKING:
    from rich.table import Table

STYLES = {"PASS": "green", "FAIL": "bold red", "INVALID": "bold magenta", "INCONCLUSIVE": "yellow", "PREDICTED": "cyan"}

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
    *((key, 15 + i) for i, key in enumerate(STARTUP)),
)


def summary(
    results: Sequence[Result], roll: Roll = Roll(), *, width: int = 80, lang: str = "en", colour: bool = False
) -> str:
    """The table as text; with ``colour`` it carries ANSI sequences.  Empty for no scenarios."""
    from rich.console import Console

    if not results and not roll.rest:
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
    done = shown.worst_first(shown.without_probes(shown.pooled(results)))
    for of_start in (False, True):
        if mine := [result for result in done if bool(result.scenario.of_start) is of_start]:
            console.print(_table(mine, width, lang))
    carried = [words.aligned([head, *body], right={1, 2, 3}) for head, body in frontier.tables(results, lang)]
    drawn = [*sparklines(done, width, lang), *watched(done, width, lang)]
    for line in [*drawn, *(line for table in carried for line in table)]:
        console.print(line, markup=False, soft_wrap=True)
    for note in [*notes(results, roll, lang, MOST), *baseline.gate(results, lang), *undecided(results, lang)]:
        for line in note.split("\n"):
            console.print("\n".join(words.fold(line, width, indent="")), markup=False, soft_wrap=True)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def colours(stream: TextIO, environment: dict[str, str]) -> bool:
    """Colours on a terminal, off in a pipe; NO_COLOR and FORCE_COLOR have their way."""
    if environment.get("NO_COLOR"):
        return False
    return bool(environment.get("FORCE_COLOR")) or (stream.isatty() and environment.get("TERM") != "dumb")


GAP = 2  # cells between columns


def _table(results: Sequence[Result], width: int, lang: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    keys = fitting(results, width, lang)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column(say("report.col.scenario", lang), overflow="fold")
    table.add_column(say("report.col.verdict", lang), no_wrap=True)
    for key in keys:
        table.add_column(_head(key, lang), justify="right", no_wrap=True)
    for result in results:
        style = STYLES.get(coloured(result.verdict, of_test(result)[0]) or "", "")
        cells = [Text(_cell(result, key), style="" if words.trusted(result.metrics, key) else "dim") for key in keys]
        table.add_row(Text(_name(result)), Text(_verdict(result, lang), style=style), *cells)
    return table


def fitting(results: Sequence[Result], width: int, lang: str) -> list[str]:
    """The columns that have values and fit beside scenario and verdict, in their order."""
    from rich.cells import cell_len

    def size(head: str, cells: Iterable[str]) -> int:
        return max(cell_len(part) for text in (head, *cells) for part in text.split("\n"))

    name = min(size(say("report.col.scenario", lang), map(_name, results)), width // 2)
    left = width - name - GAP - size(say("report.col.verdict", lang), [_verdict(result, lang) for result in results])
    chosen = set()
    for key, _ in sorted(COLUMNS, key=lambda column: column[1]):
        if all(result.metrics.get(key) is None for result in results):
            continue
        need = GAP + size(_head(key, lang), [_cell(result, key) for result in results])
        if need <= left:
            chosen.add(key)
            left -= need
    return [key for key, _ in COLUMNS if key in chosen]


def _head(key: str, lang: str) -> str:
    return f"{words.label(key, lang)}\n{words.unit(key)}" if key in STARTUP else say(f"report.head.{key}", lang)


def _name(result: Result) -> str:
    several = (
        f" ×{len(result.per_repeat)}" if result.scenario.cell.repeat is None and len(result.per_repeat) > 1 else ""
    )
    return result.id + several + ("" if result.complete else " *")


def _cell(result: Result, key: str) -> str:
    value = result.metrics.get(key)
    if key == "completed" and (failed := result.metrics.get("failed")):
        return f"{words.number(value)}/{words.number((value or 0) + failed)}"
    return words.shown(result.metrics, key)


def _verdict(result: Result, lang: str) -> str:
    return say(f"report.verdict.{result.verdict}", lang) if result.verdict else "—"


#: How figures grow with the load: drawn from at least this many loads.
LOADS = 3
SPARKED = ("output_throughput", "p99_ttft_ms", "mean_tpot_ms", "mean_e2el_ms")
_BARS = "▁▂▃▄▅▆▇█"


def spark(values: Sequence[float], least: float | None = None) -> str:
    """One bar a value, from the smallest (or ``least``) to the largest."""
    low, high = min(values) if least is None else least, max(values)
    return "".join(_BARS[int((v - low) / (high - low) * 7.999) if high > low else 0] for v in values)


def sparklines(results: Sequence[Result], width: int, lang: str) -> list[str]:
    """One line for each row of rising loads: how every figure goes, as far as it fits; of repeats the last counts."""
    from rich.cells import cell_len

    lines = []
    for name, line in by_shape(results, either).items():
        parts = [name]
        once = {either(result): result for result in line}.values()
        for key in SPARKED:
            values = [value for result in once if (value := result.metrics.get(key)) is not None]
            if len(values) < LOADS:
                continue
            head = say(f"report.spark.{key}", lang)
            part = f"{head} {spark(values)} {words.number(values[0])}…{words.number(values[-1])}"
            if cell_len("   ".join([*parts, part])) <= width:
                parts.append(part)
        if len(parts) > 1:
            lines.append("   ".join(parts))
    return lines


#: Bars of a series that was watched, and lines of a scenario.
WATCHED, LINES = 16, 2


def watched(results: Sequence[Result], width: int, lang: str) -> list[str]:
    """What was watched of the first few scenarios, where their files lie: a line each, as far as it fits."""
    from rich.cells import cell_len

    from pytest_vllm_bench.report.chart import spoken
    from pytest_vllm_bench.report.charts.tracks import at_a_glance
    from pytest_vllm_bench.store.folder import records_of

    lines = list[str]()
    for result in results[:MOST]:
        told = at_a_glance(records_of(result), WATCHED)
        mine = [result.id] if told else []
        for name, values in told:
            shown = f"{words.number(float(f'{v:.3g}'))}" if (v := min(values)) < max(values) else ""
            part = f"{spoken(name, lang)} {spark(values, 0)} {shown}…{words.number(float(f'{max(values):.3g}'))}"
            if cell_len(f"{mine[-1]}   {part}") <= width:
                mine[-1] += f"   {part}"
            elif len(mine) < LINES:
                mine.append(f"  {part}")
        lines += mine
    return lines


#: Notes that are shown although the scenario passed: a search's answer, how far repeats differed, and what is odd about
#: the answers.
ANSWER, SPREAD, DOUBT = "judge.capacity", "judge.between_runs", "judge.doubt."
#: Lines of one kind that a terminal shows, and characters of a reason.
MOST, WORDS = 3, 120


def notes(results: Sequence[Result], roll: Roll, lang: str, most: int | None = None, thin: str = "") -> list[str]:
    """Lines below the table: what a reader must know before quoting a figure.  ``most``: of what is said of each;
    ``thin``: what is said where a percentile stands on few requests."""
    lines = [*unrun(results, roll, lang), *words.taints(results, lang)]
    if not all(result.complete for result in results):
        lines.append(say("report.partial", lang))
    if any(not words.trusted(one.metrics, key) for one in results for key in ("p99_ttft_ms", "p99_e2el_ms")):
        lines.append(say(thin or "report.thin", lang))
    lines += _told(results, ANSWER, lang)
    lines += frontier.lines(results, roll, lang)
    for kind in (
        decided(results, lang),
        _told(results, DOUBT, lang),
        _told(results, SPREAD, lang),
        list(baseline.warnings(results, lang)),
    ):
        lines += few(kind, lang, most)
    return lines


def unrun(results: Sequence[Result], roll: Roll, lang: str) -> list[str]:
    """What did not run: a line for each reason."""
    reasons: dict[str, list[str]] = {}
    for absent in roll.missing:
        reasons.setdefault(words.why(absent, lang), []).append(absent.id)
    total = sum(not result.scenario.probe_of for result in results) + len(roll.rest)
    lines = []
    for why, names in reasons.items():
        why = why if len(why) <= WORDS else why[: WORDS - 1] + "…"  # what ended a test is shown whole where it ended
        named = ", ".join(names[:MOST]) + (" …" if len(names) > MOST else "")
        lines.append(say("report.not_run", lang, count=len(names), total=total, names=named, why=why))
    return lines


def decided(results: Sequence[Result], lang: str) -> list[str]:
    """A line for each scenario whose test ended otherwise than its verdict lets one think."""
    told = {Verdict.FAIL: "fail", Verdict.INVALID: "fail", None: None}
    lines = []
    for result in gates(results):
        end, why = of_test(result)
        if end != told.get(result.verdict, "pass") and why:
            lines.append(words.because(result.id, words.said(why, lang), lang))
    return lines


def few(lines: list[str], lang: str, most: int | None) -> list[str]:
    """The first of them, and how many more there are."""
    more = len(lines) - most if most is not None else 0
    return [*lines[:most], say("report.more_notes", lang, count=more)] if more > 0 else lines


def _told(results: Sequence[Result], kind: str, lang: str) -> list[str]:
    """A line for each scenario that has notes of this kind."""
    lines = []
    for result in results:
        if told := [note for note in result.notes if note.key.startswith(kind)]:
            said = say("report.and_also", lang).join(words.said(note, lang) for note in told)
            if doubted := [one.rule.metric for one in result.verdicts if _doubted(one)]:
                said += say("report.not_pass", lang, rules=", ".join(doubted)) if kind == DOUBT else ""
            lines.append(words.because(result.id, said, lang))
    return lines


def questionable(result: Result) -> bool:
    """Whether something is said of it that is explained in the docs: it is not PASS, or its answers are odd."""
    return result.verdict is not Verdict.PASS or any(note.key.startswith(DOUBT) for note in result.notes)


def _doubted(judged: RuleVerdict) -> bool:
    """Whether a rule is not PASS because of what is odd about the answers, which is said beside them."""
    why = judged.reason.values.get("why")
    return isinstance(why, Message) and why.key.startswith(DOUBT)


def undecided(results: Sequence[Result], lang: str) -> list[str]:
    """Why scenarios are INCONCLUSIVE, which may well have passed: the first such rule of the first few."""
    said = []
    for result in results:
        if result.verdict is not Verdict.INCONCLUSIVE or result.capacity:
            continue  # a search says all there is to say beside it
        open_ones = [one for one in result.verdicts if one.verdict is Verdict.INCONCLUSIVE and not _doubted(one)]
        for one in open_ones[:1]:
            reason = words.because(one.rule.metric, words.said(one.reason, lang), lang)
            said.append(words.because(result.id, reason, lang))
    more = [say("report.undecided_more", lang, count=len(said) - MOST)] if len(said) > MOST else []
    return said[:MOST] + more


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
