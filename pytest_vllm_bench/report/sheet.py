"""A table of results in a CSV file (ours, in any language, or that of ``vllm bench sweep``) → Results."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from pytest_vllm_bench import files
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.metric_table import as_ours, parse_name
from pytest_vllm_bench.model import Message, Problem, Result
from pytest_vllm_bench.report import words
from pytest_vllm_bench.report.csv import COLUMNS, LATENCIES, OPTIONAL
from pytest_vllm_bench.store import foreign
from pytest_vllm_bench.store.folder import session_of
from pytest_vllm_bench.store.row import KEYS, SCHEMA_VERSION, Row

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
#: What a sweep's table says before the settings that it varied.
RUN = "run_number"
_TEXTS = {name for name, kind in Row.__annotations__.items() if "str" in kind and "Figure" not in kind}
_PERCENTILES = (*map(str, range(1, 100)), "99.5", "99.9", "99.99")
NOTHING = ("", "nan", "none", "null", "—")


def is_table(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def read(path: Path, problems: list[Problem] | None = None) -> list[Result]:
    """Each line's result; of what cannot be read ``problems`` are told file, line and column."""
    noted = [] if problems is None else problems
    (_, head), *lines = list(_lines(path, noted)) or [(1, [])]
    names = [_key(name) for name in head]
    if "scenario_id" not in names and not foreign.is_result(dict.fromkeys(map(as_ours, names))):
        raise BenchError("report.no_table", path=str(path), found=", ".join(filter(None, names[:8])) or "–")
    found, wrong = list[Result](), dict[str, list[tuple[int, str]]]()
    for line, cells in lines:
        row = {name: cell.strip() for name, cell in zip(names, cells, strict=True) if name}
        try:
            result, odd = _understood(_values(row, line, wrong), path, names)
        except BenchError as error:
            noted.append(_problem("report.left_out", error.message, path, line))
            continue
        found.append(result)
        noted += [_problem("report.without", why, path, line) for why in odd]
    for name, hits in wrong.items():
        why = Message(key="report.no_number", values={"found": hits[0][1], "n": len(hits)})
        noted.append(replace(_problem("report.without", why, path, hits[0][0]), path=name))
    return _with_repeats(found)


def _problem(key: str, why: Message | str, path: Path, line: int) -> Problem:
    return Problem(message=Message(key=key, values={"why": why}), file=str(path), line=line)


def _lines(path: Path, noted: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """The head and what is as wide as it is, each with the number of its line."""
    try:
        text = files.text(path)
    except BenchError:
        try:
            text = files.text(path, "gb18030")  # as a Chinese Excel saves it
        except BenchError as error:
            raise BenchError("report.unreadable", path=str(path), why=error.message) from None
        noted.append(Problem(message=Message(key="report.encoding"), file=str(path)))
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count), strict=True)
    wide = None
    try:
        for cells in reader:
            wide = wide or len(cells)
            if len(cells) == wide:
                yield reader.line_num, cells
            elif cells:
                why = Message(key="report.fields", values={"found": len(cells), "expected": wide})
                noted.append(_problem("report.left_out", why, path, reader.line_num))
    except csv.Error as error:
        noted.append(_problem("report.left_out", str(error), path, reader.line_num))


def _key(head: str) -> str:
    """What a column is called in a result's file: ours in English, in Chinese and in both; pandas' index is none."""
    head = head.strip().lstrip("\ufeff")
    if head.startswith("Unnamed:"):
        return ""
    return _chinese().get(head) or (head.split(" ")[0] if not head.isascii() else head)


@cache
def _chinese() -> dict[str, str]:
    percentiles = (f"p{p}_{quantity}_ms" for p in _PERCENTILES for quantity in LATENCIES)
    return {words.with_unit(key, "zh"): key for key in (*COLUMNS, *OPTIONAL, *percentiles)}


def _values(row: Mapping[str, str], line: int, wrong: dict[str, list[tuple[int, str]]]) -> dict[str, Any]:
    """Cells as what their columns hold; a figure that is no number is noted and left out."""
    found: dict[str, Any] = {}
    for name, cell in row.items():
        low = cell.lower()
        if low in NOTHING:
            continue
        if low in ("true", "false"):
            found[name] = low == "true"
        elif name in _TEXTS or low in ("inf", "-inf"):
            found[name] = cell
        elif (number := _number(cell)) is not None:
            found[name] = number
        elif name in KEYS or parse_name(as_ours(name)) is None:
            found[name] = cell
        else:
            wrong.setdefault(name, []).append((line, cell))
    return found


def _number(cell: str) -> float | int | None:
    """12, 1.5e3, and 1,5 of where that is a number."""
    plain = cell.replace(",", ".") if re.fullmatch(r"[-+]?\d+,\d+", cell) else cell
    try:
        number = float(plain)
    except ValueError:
        return None
    return int(number) if number.is_integer() and abs(number) < 1 << 53 else number


def _understood(row: dict[str, Any], path: Path, names: Sequence[str]) -> tuple[Result, list[Message]]:
    """A line of a sweep is called after the settings that were varied, as well as after its load."""
    named = path.with_name(re.sub(r"\.[ct]sv(\.gz)?$", "", path.name, flags=re.I))
    if "scenario_id" in names:
        row["schema_version"] = SCHEMA_VERSION
        row |= {"taints": row["taints"].split()} if "taints" in row else {}
        answer = {name: row.get(f"capacity_{name}") for name in ("held", "broken")}
        row["capacity"] = answer if any(answer.values()) else None
    elif RUN in names:
        varied = [f"{name}={row[name]}" for name in names[names.index(RUN) + 1 :] if name in row]
        named = named.with_name("-".join([named.name, *(re.sub(r"[^\w.=]+", "_", one) for one in varied)]))
    result, odd = foreign.understood(row, named, among=2)
    return replace(result, path=None), odd


def _with_repeats(found: Sequence[Result]) -> list[Result]:
    """The last of several repeats in one session holds the figures of all, as that of a result's file does."""
    together: dict[tuple[str, str], list[Result]] = {}
    for one in found:
        together.setdefault((one.scenario.cell.key, session_of(one)), []).append(one)
    last = {id(of[-1]): of for of in together.values() if len({one.scenario.repeat for one in of}) == len(of) > 1}
    return [replace(one, per_repeat=tuple(each.metrics for each in last.get(id(one), ()))) for one in found]
