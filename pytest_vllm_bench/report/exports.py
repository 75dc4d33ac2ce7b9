"""JSON dicts → the forms that other tools open: Excel, Parquet, JSON lines, Markdown."""

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
from pytest_vllm_bench.report import csv, words
from pytest_vllm_bench.report.artifacts import Row
from pytest_vllm_bench.report.folder import DETAILED, EXPORT, make, order, write_bytes, write_text, writing
from pytest_vllm_bench.report.terminal import notes
from pytest_vllm_bench.report.verdict import measured
from pytest_vllm_bench.text import say


def need(module: str, extra: str) -> Any:
    """Import what comes with an extra; BenchError says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BenchError("report.needs_extra", module=module, extra=extra) from error


def excel(rows: Sequence[Row], folder: Path, lang: str) -> Path:
    """``results.xlsx``: figures as numbers, units in the headers, verdicts by rule on a second sheet."""
    import pandas as pd

    need("openpyxl", "excel")
    table = csv.frame(rows)
    table.columns = [_header(key, lang) for key in table.columns]
    rules = pd.DataFrame(_rule_lines(rows, lang))
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


def _rule_lines(rows: Sequence[Row], lang: str) -> list[dict[str, Any]]:
    one = "zh" if lang == "both" else lang
    heads = {
        name: say(f"report.failure.{name}", one) for name in ("rule", "observed", "limit", "n", "window", "verdict")
    }
    return [
        {
            say("report.col.scenario", one): row["scenario_id"],
            heads["rule"]: rule.get("rule"),
            heads["observed"]: rule.get("observed"),
            heads["limit"]: rule.get("limit"),
            heads["n"]: rule.get("n"),
            heads["window"]: say(f"report.window.{rule.get('window') or 'whole'}", one),
            heads["verdict"]: rule.get("verdict"),
        }
        for row in sorted(rows, key=order)
        for rule in row.get("verdicts") or []
    ]


def flat(row: Row) -> Row:
    """A row's plain figures and facts: nested parts and per-request arrays are left to the JSON file."""
    return {
        key: value
        for key, value in row.items()
        if not key.startswith("_") and key not in DETAILED and not isinstance(value, dict | list)
    }


def parquet(rows: Sequence[Row], folder: Path, lang: str) -> Path:
    """``results.parquet``: one row a scenario, every figure a column under its JSON key."""
    import pandas as pd

    need("pyarrow", "parquet")
    table = pd.DataFrame([flat(row) for row in sorted(rows, key=order)])
    for key in table.columns:
        kinds = {type(value) for value in table[key].dropna()}
        if len(kinds) > 1:  # request_rate: numbers beside "inf"
            table[key] = table[key].map(lambda value: None if value is None else str(value))
    data = io.BytesIO()
    table.to_parquet(data, engine="pyarrow", index=False)
    return write_bytes(folder / "results.parquet", data.getvalue())


def jsonl(rows: Sequence[Row], folder: Path, lang: str) -> Path:
    """``results.jsonl``: one result a line, without the per-request arrays."""
    lines = []
    for row in sorted(rows, key=order):
        kept = {key: value for key, value in row.items() if not key.startswith("_") and key not in DETAILED}
        lines.append(json.dumps(kept, ensure_ascii=False, allow_nan=False))
    return write_text(folder / EXPORT, "".join(f"{line}\n" for line in lines))


def markdown(rows: Sequence[Row], folder: Path, lang: str) -> Path:
    """``results.md``: the summary as a table."""
    return write_text(folder / "results.md", markdown_text(rows, "zh" if lang == "both" else lang))


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
)


def markdown_text(rows: Sequence[Row], lang: str) -> str:
    """A table that GitHub and GitLab draw, and the notes below it."""
    told, rows = notes(rows, lang), measured(rows)
    keys = [key for key in _SHOWN if any(row.get(key) is not None for row in rows)]
    head = [say("report.col.scenario", lang), say("report.col.verdict", lang)]
    head += [words.with_unit(key, lang) for key in keys]
    body = []
    for row in sorted(rows, key=order):
        verdict = row.get("verdict")
        shown = say(f"report.verdict.{verdict}", lang) if verdict else "—"
        cells = [f"{SIGNS.get(str(verdict), '')} {shown}".strip(), *(words.shown(row, key) for key in keys)]
        body.append([row["scenario_id"], *cells])
    table = markdown_table(head, body, right=range(2, len(head))) if rows else []
    return "\n".join([*table, "", *(f"{markdown_safe(note)}\n" for note in told)])


SIGNS = {"PASS": "✅", "FAIL": "❌", "INVALID": "⛔", "INCONCLUSIVE": "❔"}


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


#: Format → who writes it into a folder: (rows, folder, lang) → path.
FORMATS: dict[str, Callable[[Sequence[Row], Path, str], Path]] = {
    "excel": excel,
    "parquet": parquet,
    "jsonl": jsonl,
    "markdown": markdown,
}


def export(rows: Sequence[Row], folder: Path, formats: Sequence[str], lang: str = "en") -> tuple[Path, ...]:
    """Write each of ``formats`` (keys of ``FORMATS``); ``lang`` "en", "zh" or "both" (headers)."""
    with writing(make(folder)):
        return tuple(FORMATS[name](rows, folder, lang) for name in formats)
