"""A file of rows (JSON list, JSONL, CSV, Parquet) → its rows in any order, without holding it in memory."""

from __future__ import annotations

import codecs
import contextlib
import csv
import json
import math
import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Message
from pytest_vllm_bench.plan.source import BLOCK, FREE, GROWTH, DataSource, FileReading, plain

#: Bytes of one row: a prompt of 32,000 tokens takes a five-hundredth of that.
ROW = 64 << 20
#: Tokens; beyond every model's window, and within what a plan's index holds.
LONGEST = 10_000_000
#: Problems told at once; more would scroll the first away.
TOLD = 20

#: What an object around a whole file's rows calls them.
_WRAPPERS = ("data", "rows", "items", "records", "examples", "samples", "instances", "train")
#: A list of what has one of these is a conversation.
_SPEAKER = {"role", "from", "speaker", "author"}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """Random access to the rows of one file; ``lines`` holds each row's first line, where the file has lines."""

    path: Path
    count: int
    fetch: Callable[[Sequence[int]], list[Row]] = field(repr=False)  # several at once: the file is opened once
    lines: Sequence[int] | None = field(default=None, repr=False)

    def __iter__(self) -> Iterator[Row]:
        """All rows in the file's order, a few hundred in memory at a time."""
        for start in range(0, self.count, 512):
            yield from self.fetch(range(start, min(self.count, start + 512)))

    def number(self, i: int) -> int:
        """What people call row ``i``: its line, or its place in the list."""
        return self.lines[i] if self.lines is not None else i + 1

    def where(self, i: int) -> Message:
        key = "plan.at_line" if self.lines is not None else "plan.at_row"
        return Message(key=key, values={"at": self.number(i)})

    def __len__(self) -> int:
        return self.count


def read(path: Path, reading: FileReading = FileReading()) -> Rows:
    """The rows of ``path``.

    Raises DataError for what is no file with rows in it, or broken: of JSON lines all that are at once.
    """
    source = plain(path, reading)
    if source.suffix == ".parquet":
        rows = _parquet(source)
    elif source.suffix in (".csv", ".tsv", ".tab"):
        rows = _csv(source, reading)
    else:
        rows = _unwrapped(_json(source, reading))
    if not rows.count:
        raise DataError("plan.file_empty", path=str(path))
    return rows


def require(rows: Rows, columns: tuple[str, ...]) -> str:
    """The first of ``columns`` that the file's first row has; DataError names those it has instead."""
    first = rows.fetch([0])[0]
    if name := column(first, columns):
        return name
    raise DataError(
        "plan.column_missing", path=str(rows.path), wanted=" | ".join(columns), found=", ".join(map(str, first)) or "–"
    )


def column(row: Row, names: Sequence[str]) -> str:
    """What the row calls the first of ``names`` that it has, in capitals, with spaces or as it is; "" for none."""
    return _column(tuple(row), tuple(names))


@lru_cache(maxsize=512)
def _column(has: tuple[str, ...], names: tuple[str, ...]) -> str:
    folded = {re.sub(r"[\W_]+", "", str(name).lower()): name for name in reversed(has)}
    found = (name if name in has else folded.get(re.sub(r"[\W_]+", "", name.lower()), "") for name in names)
    return next(filter(None, found), "")


def fail(path: Path, problems: list[Message]) -> None:
    """Raise all problems of a file at once, if there are any."""
    if problems:
        more = len(problems) - TOLD
        told = tuple(problems[:TOLD]) + ((Message(key="plan.more_problems", values={"n": more}),) if more > 0 else ())
        raise DataError("plan.bad_rows", path=str(path), n=len(problems), problems=told)


def whole(written: Any) -> int | None:
    """A count as tables and people write it (8, 8.0, "8", " 8 "); None where none is written.  ValueError: no count."""
    value = written.strip().lower() if isinstance(written, str) else written
    if value in (None, "", "nan", "null", "none", "n/a") or value != value:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error
    if not (number.is_integer() and 0 <= number <= LONGEST):
        raise ValueError(f"{written!r:.40} is no number of tokens")
    return int(number)


def _start(file: BinaryIO) -> int:
    """Behind the byte order mark, if there is one."""
    file.seek(0)
    return 3 if file.read(3) == codecs.BOM_UTF8 else 0


def _json(source: DataSource, reading: FileReading) -> Rows:
    """A list, or a value a line; where the first line alone is no JSON, values that go over several lines."""
    with source.plain.open("rb") as file:
        file.seek(_start(file))
        first = next((line for line in iter(lambda: file.readline(BLOCK), b"") if line.strip()), b"").lstrip()
        second = file.readline(BLOCK).lstrip() if first.endswith(b"\n") else b""
    if first.startswith(b"["):
        return (
            _json_values(source, reading)
            if _broken(first) or not second.startswith(b"[")
            else _json_lines(source, reading)
        )
    spread = first.startswith(b"{") and second and not second.startswith(b"{") and _broken(first)
    return _json_values(source, reading) if spread else _json_lines(source, reading)


def _lines(source: DataSource, file: BinaryIO, reading: FileReading) -> Iterator[tuple[int, bytes]]:
    """(number, line); DataError for one that does not end."""
    for number, line in enumerate(iter(lambda: file.readline(ROW + 1), b""), 1):
        if len(line) > ROW:
            raise DataError("plan.row_endless", path=str(source.path), line=number, most=ROW >> 20)
        if number % 4096 == 0:
            reading.alive()
        yield number, line


def _json_lines(source: DataSource, reading: FileReading) -> Rows:
    """One pass checks every line, so that all broken ones are told at once."""
    offsets, lines, problems = array("Q"), array("Q"), []
    with source.plain.open("rb") as file:
        offset = _start(file)
        file.seek(offset)
        for number, line in _lines(source, file, reading):
            if line.strip(b" \t\r\n,"):
                offsets.append(offset)
                lines.append(number)
                problem = _broken(line)
                if problem:
                    values = {"line": number, "error": problem}
                    problems.append(Message(key="plan.line_broken", values=values))
            offset += len(line)
    fail(source.path, problems)

    def fetch(numbers: Sequence[int]) -> list[Row]:
        found = []
        with source.plain.open("rb") as file:
            for i in numbers:
                file.seek(offsets[i])
                found.append(_decoded(file.readline()))
        return found

    return Rows(source.path, len(offsets), fetch, lines)


def _broken(line: bytes) -> str:
    """What is wrong with a line of JSON, or nothing."""
    try:
        _decoded(line)
    except ValueError as error:
        return str(error)
    return ""


def _decoded(raw: bytes) -> Row:
    """A row; of a list alone its messages, of a text alone its prompt.  ValueError says what is wrong with it."""
    raw = raw.strip().removesuffix(b",")
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        value = _as_python(raw, str(error))
    if isinstance(value, str):
        return {"prompt": value}
    if isinstance(value, list) and value and all(isinstance(t, dict) and not _SPEAKER.isdisjoint(t) for t in value):
        return {"messages": value}
    if not isinstance(value, dict):
        raise ValueError("not an object { … }")
    return value


def _as_python(raw: bytes, error: str) -> Any:
    """What Python's reader takes besides, as Python's writer makes it: NaN, half a character, line breaks in texts."""
    try:
        value = json.loads(raw, strict=False)
        if b"\\ud" in raw.lower():
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise ValueError(error) from None
    return value


def _json_values(source: DataSource, reading: FileReading) -> Rows:
    offsets, ends = array("Q"), array("Q")
    for start, end in elements(source.plain, named=source.path):
        offsets.append(start)
        ends.append(end)
        if len(offsets) % 4096 == 0:
            reading.alive()

    def fetch(numbers: Sequence[int]) -> list[Row]:
        found = []
        with source.plain.open("rb") as file:
            for i in numbers:
                file.seek(offsets[i])
                try:
                    found.append(_decoded(file.read(ends[i] - offsets[i])))
                except ValueError as error:
                    raise DataError("plan.row_broken", path=str(source.path), row=i + 1, error=str(error)) from error
        return found

    return Rows(source.path, len(offsets), fetch)


def _unwrapped(rows: Rows) -> Rows:
    """Of one object around a list of rows ({"data": [{…}, …]}) the list."""
    only = rows.fetch([0])[0] if rows.count == 1 else {}
    inside = next((v for k, v in only.items() if k in _WRAPPERS and isinstance(v, list)), [])
    if not inside or not all(isinstance(row, dict) for row in inside):
        return rows
    return Rows(rows.path, len(inside), lambda numbers: [inside[i] for i in numbers])


def elements(path: Path, block: int = BLOCK, named: Path | None = None) -> Iterator[tuple[int, int]]:
    """The byte ranges of the values in a file: a JSON list's elements, or values one after another.

    Latin-1 has one character a byte and leaves JSON's own signs alone, so the C decoder finds the ends in bytes.
    """
    scan = json.JSONDecoder(strict=False, parse_int=len, parse_float=len).raw_decode
    inside = False
    with path.open("rb") as file:
        base = _start(file)
        file.seek(base)
        text, at, ended = file.read(block).decode("latin-1"), 0, False
        problem: Exception | None = None
        while True:
            at = _skip(text, at)
            if at < len(text) and text[at] in "[]" and inside == (text[at] == "]"):
                inside, at = not inside, at + 1
                continue
            if ended and at == len(text) and not inside:
                return
            try:
                _, end = scan(text, at)
            except (ValueError, RecursionError) as error:
                end, problem = 0, error
            # What ends with the block may go on in the next.
            if end and (end < len(text) or ended):
                yield base + at, base + end
                at = end
                continue
            if ended or len(text) - at > ROW:
                line = _line_of(path, base + at)
                why = str(problem) if ended else f"> {ROW >> 20} MiB"
                raise DataError("plan.list_broken", path=str(named or path), line=line, error=why)
            more = file.read(max(block, len(text) - at))
            ended = not more
            base, text, at = base + at, text[at:] + more.decode("latin-1"), 0


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n,":
        at += 1
    return at


def _line_of(path: Path, offset: int) -> int:
    """1-based line of a byte."""
    line, left = 1, offset
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(BLOCK, left))):
            line += block.count(b"\n")
            left -= len(block)
    return line


def _csv(source: DataSource, reading: FileReading) -> Rows:
    """Only where each row begins is kept; a quoted field may hold line breaks."""
    csv.field_size_limit(max(ROW, csv.field_size_limit()))
    offsets, lines, problems = array("Q"), array("Q"), list[Message]()
    with source.plain.open("rb") as file:
        position = [_start(file), 0]
        file.seek(position[0])
        feed = _fed(source, file, reading, position)
        header, delimiter = _header(next(feed, ""))
        reader = csv.reader(feed, delimiter=delimiter, strict=True)
        while not problems:
            offset, line = position[0], position[1] + 1
            try:
                row = next(reader, None)
            except csv.Error as error:
                problems.append(Message(key="plan.csv_quote", values={"line": line, "error": str(error)}))
                break
            if row is None:
                break
            if any(row[len(header) :]) and len(header) > 1:
                values = {"line": line, "fields": len(row), "columns": len(header)}
                problems.append(Message(key="plan.csv_fields", values=values))
            if row:
                offsets.append(offset)
                lines.append(line)
    fail(source.path, problems)

    def fetch(numbers: Sequence[int]) -> list[Row]:
        found: list[Row] = []
        with source.plain.open("rb") as file:
            for i in numbers:
                file.seek(offsets[i])
                row = next(csv.reader(_fed(source, file, FileReading(), [0, lines[i] - 1]), delimiter=delimiter))
                # Under a single heading a comma is the text's own.
                row = [delimiter.join(row)] if len(header) == 1 else row
                found.append(dict(zip(header, row, strict=False)))
        return found

    return Rows(source.path, len(offsets), fetch, lines)


def _header(first: str) -> tuple[list[str], str]:
    """The columns' names, and what stands between them: whatever makes the most of them."""
    found = []
    for delimiter in ",;\t|":
        with contextlib.suppress(csv.Error, StopIteration):
            found.append((next(csv.reader([first], delimiter=delimiter)), delimiter))
    names, delimiter = max(found, key=lambda pair: len(pair[0]), default=([], ","))
    return [name.strip() for name in names], delimiter


def _fed(source: DataSource, file: BinaryIO, reading: FileReading, position: list[int]) -> Iterator[str]:
    for _, line in _lines(source, file, reading):
        position[0] += len(line)
        position[1] += 1
        yield line.decode("utf-8")


def _parquet(source: DataSource) -> Rows:
    """A row group at a time; neighbouring rows are read together."""
    path = source.path
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise DataError("plan.extra_missing", extra="parquet", path=str(path)) from error
    broken = (pyarrow.ArrowException, OSError, UnicodeDecodeError, OverflowError)
    try:
        # A text that stands in many rows is held once: a small file can have it a million times.
        texts = [f.name for f in parquet.read_schema(source.plain) if f.type in (pyarrow.string(), pyarrow.binary())]
        file = parquet.ParquetFile(source.plain, memory_map=True, read_dictionary=texts)
        firsts = [0]
        for group in map(file.metadata.row_group, range(file.num_row_groups)):
            firsts.append(firsts[-1] + group.num_rows)
            packed = sum(group.column(i).total_compressed_size for i in range(group.num_columns))
            if group.total_byte_size > max(FREE, GROWTH * packed):
                raise DataError(
                    "plan.grows", path=str(path), packed=packed >> 10, most=max(FREE, GROWTH * packed) >> 20
                )
    except broken as error:
        raise DataError("plan.parquet_broken", path=str(path), error=str(error)) from error
    table: list[Any] = [None, None]

    def fetch(numbers: Sequence[int]) -> list[Row]:
        found: list[Row] = []
        for i in numbers:
            group = bisect_right(firsts, i) - 1
            try:
                if table[0] != group:
                    table[:] = [group, file.read_row_group(group)]
                found += table[1].slice(i - firsts[group], 1).to_pylist()
            except broken as error:
                raise DataError("plan.parquet_broken", path=str(path), error=f"#{i + 1}: {error}") from error
        return found

    return Rows(path, firsts[-1], fetch)
