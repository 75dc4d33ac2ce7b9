"""Results → the forms that other tools open: Excel, Parquet, JSON lines, Markdown."""

from __future__ import annotations

import importlib
import io
import json
import re
import unicodedata
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from typing import Any

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.metric_table import STARTUP
from pytest_vllm_bench.model import Result
from pytest_vllm_bench.report import baseline, csv, frontier, words
from pytest_vllm_bench.report.shown import pooled, without_probes, worst_first
from pytest_vllm_bench.report.terminal import MOST, notes
from pytest_vllm_bench.report.verdict import Roll
from pytest_vllm_bench.store.folder import EXPORT, make, order, write_bytes, write_text, writing
from pytest_vllm_bench.store.row import flat, to_json
from pytest_vllm_bench.text import say


def need(module: str, extra: str) -> Any:
    """Import what comes with an extra; BenchError says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BenchError("report.needs_extra", module=module, extra=extra) from error


def excel(results: Sequence[Result], folder: Path, lang: str, roll: Roll) -> Path:
    """``results.xlsx``: figures as numbers, units in the headers, verdicts by rule on a second sheet."""
    import pandas as pd

    need("openpyxl", "excel")
    table = csv.frame(pooled(results))
    table.columns = [_header(key, lang) for key in table.columns]
    rules = pd.DataFrame(_rule_lines(results, lang))
    data = io.BytesIO()
    with pd.ExcelWriter(data, engine="openpyxl") as book:
        for key, sheet in (("report.sheet.results", table), ("report.sheet.rules", rules)):
            name = say(key, "en" if lang == "both" else lang)
            texts = sheet.select_dtypes(exclude="number").columns
            sheet[texts] = sheet[texts].map(_spelt)
            sheet.to_excel(book, sheet_name=name, index=False, freeze_panes=(1, 1))
            _widen(book.sheets[name])
    return write_bytes(folder / "results.xlsx", data.getvalue())


def _spelt(value: Any) -> Any:
    """Without the control characters that no sheet may hold."""
    if not isinstance(value, str):
        return value
    return "".join(c for c in value if c in "\t\n\r" or unicodedata.category(c) != "Cc")


def _header(key: str, lang: str) -> str:
    if lang == "both":
        return f"{words.with_unit(key, 'en')} {words.with_unit(key, 'zh')}"
    return words.with_unit(key, lang)


def _widen(sheet: Any) -> None:
    """Columns as wide as what stands in them, within reason."""
    from rich.cells import cell_len

    for column in sheet.columns:
        widest = max((cell_len(str(cell.value)) for cell in column if cell.value is not None), default=0)
        sheet.column_dimensions[column[0].column_letter].width = min(60, widest + 2)


def _rule_lines(results: Sequence[Result], lang: str) -> list[dict[str, Any]]:
    one = "zh" if lang == "both" else lang
    heads = {
        name: say(f"report.failure.{name}", one) for name in ("rule", "observed", "limit", "n", "window", "verdict")
    }
    return [
        {
            say("report.col.scenario", one): result.id,
            heads["rule"]: words.ruled(judged, one),
            heads["observed"]: judged.observed,
            heads["limit"]: float(judged.rule.limit),
            heads["n"]: judged.n,
            heads["window"]: say(f"report.window.{judged.window}", one),
            heads["verdict"]: str(judged.verdict),
        }
        for result in sorted(results, key=order)
        for judged in result.verdicts
    ]


def parquet(results: Sequence[Result], folder: Path, lang: str, roll: Roll) -> Path:
    """``results.parquet``: one row a scenario, every figure a column under its JSON key."""
    import pandas as pd

    need("pyarrow", "parquet")
    table = pd.DataFrame([flat(result) for result in sorted(results, key=order)])
    for key in table.columns:
        kinds = {type(value) for value in table[key].dropna()}
        if len(kinds) > 1:  # request_rate: numbers beside "inf"
            table[key] = table[key].map(lambda value: None if value is None else str(value))
    data = io.BytesIO()
    table.to_parquet(data, engine="pyarrow", index=False)
    return write_bytes(folder / "results.parquet", data.getvalue())


def jsonl(results: Sequence[Result], folder: Path, lang: str, roll: Roll) -> Path:
    """``results.jsonl``: one result a line, without the per-request arrays."""
    rows = map(to_json, sorted(results, key=order))
    lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows]
    return write_text(folder / EXPORT, "".join(f"{line}\n" for line in lines))


#: Changes that the Markdown has a line for.
MOST_CHANGES = 100
#: The Markdown table's columns.
_SHOWN = (
    "completed",
    "failed",
    "output_throughput",
    "goodput_ratio",
    "mean_ttft_ms",
    "p99_ttft_ms",
    "mean_tpot_ms",
    "p99_itl_ms",
    "mean_e2el_ms",
    *STARTUP,
)


def markdown_text(results: Sequence[Result], roll: Roll, lang: str) -> str:
    """A table that GitHub and GitLab draw, and the notes below it."""
    done = worst_first(without_probes(pooled(results)))
    keys = [key for key in _SHOWN if any(result.metrics.get(key) is not None for result in done)]
    head = [say("report.col.scenario", lang), say("report.col.verdict", lang)]
    head += [words.with_unit(key, lang) for key in keys]
    body = []
    for result in done:
        shown = say(f"report.verdict.{result.verdict}", lang) if result.verdict else "—"
        figures = (
            ("" if words.trusted(result.metrics, key) else "≈ ") + words.shown(result.metrics, key) for key in keys
        )
        body.append([result.id, f"{SIGNS.get(result.verdict or '', '')} {shown}".strip(), *figures])
    table = markdown_table(head, body, right=range(2, len(head))) if results else []
    for heads, lines in frontier.tables(results, lang):
        table += ["", *markdown_table(heads, lines, right=(1, 2, 3))]
    said = notes(results, roll, lang, MOST, thin="report.thin_marked")
    return "\n".join([*table, "", *(f"{markdown_safe(note)}\n" for note in said)])


def changes(results: Sequence[Result], lang: str) -> list[str]:
    """What the session is beside its reference, the largest change in a sentence of its own."""
    shown, largest = baseline.changes(results)
    if not shown:
        return []
    lines = [f"### {markdown_safe(say('report.baseline.heading', lang, name=baseline.named(results)))}", ""]
    lines += [f"**{markdown_safe(baseline.largest_said(largest, lang))}**", ""] if largest else []
    head = baseline.row_heads(lang)
    body = []
    for id, one in shown[:MOST_CHANGES]:
        *cells, verdict = baseline.row(id, one, lang)
        body.append([*cells, f"{SIGNS.get(one.verdict, '')} {verdict}".strip()])
    return [*lines, *markdown_table(head, body, right={2, 3}), ""]


SIGNS = {"PASS": "✅", "FAIL": "❌", "INVALID": "⛔", "INCONCLUSIVE": "❔", "PREDICTED": "🔮"}


def markdown_table(head: Sequence[str], body: Iterable[Sequence[str]], right: Container[int] = ()) -> list[str]:
    """A table's lines; ``right``: columns of numbers."""
    rule = "".join(" ---: |" if i in right else " --- |" for i in range(len(head)))
    lines = ["| " + " | ".join(map(markdown_safe, cells)) + " |" for cells in (head, *body)]
    return [lines[0], f"|{rule}", *lines[1:]]


def markdown_safe(text: str) -> str:
    """A name from elsewhere as mere text: no table, no markup, no HTML, no link and nobody called."""
    for char in "\\`*[]|~":
        text = text.replace(char, f"\\{char}")
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")
    return re.sub(r"(?<=:)(?=//)|(?<=\bwww)(?=\.)|(?<=@)(?=\w)", "<!-- -->", text)


#: Format → who writes it into a folder: (results, folder, lang, roll) → path.
FORMATS: dict[str, Callable[[Sequence[Result], Path, str, Roll], Path]] = {
    "excel": excel,
    "parquet": parquet,
    "jsonl": jsonl,
}


def export(
    results: Sequence[Result], folder: Path, formats: Sequence[str], lang: str = "en", roll: Roll = Roll()
) -> tuple[Path, ...]:
    """Write each of ``formats`` (keys of ``FORMATS``); ``lang`` "en", "zh" or "both" (headers)."""
    with writing(make(folder)):
        return tuple(FORMATS[name](results, folder, lang, roll) for name in formats)
