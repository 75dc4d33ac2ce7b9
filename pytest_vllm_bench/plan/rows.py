"""A file of rows (JSON list, JSONL, CSV, Parquet) → its rows in any order, without holding it in memory."""

from __future__ import annotations

import codecs
import csv
import json
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

#: Bytes read at a time while a JSON list is indexed.
BLOCK = 1 << 20
#: Problems told at once; more would scroll the first away.
TOLD = 20

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


def read(path: Path) -> Rows:
    """The rows of ``path``.

    Raises DataError for an absent or empty file, one that is not UTF-8, or broken JSON: all lines at once.
    """
    if not path.is_file():
        raise DataError("plan.file_absent", path=str(path))
    if path.stat().st_size == 0:
        raise DataError("plan.file_empty", path=str(path))
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet(path)
    _check_encoding(path)
    rows = _csv(path) if suffix in (".csv", ".tsv") else _json(path)
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


def _check_encoding(path: Path) -> None:
    """UTF-16 and UTF-32 announce themselves; anything else that is not UTF-8 shows itself in a row."""
    with path.open("rb") as file:
        head = file.read(4)
    for mark, name in (
        (codecs.BOM_UTF32_LE, "UTF-32"),
        (codecs.BOM_UTF16_LE, "UTF-16"),
        (codecs.BOM_UTF16_BE, "UTF-16"),
    ):
        if head.startswith(mark):
            raise DataError("plan.encoding", path=str(path), encoding=name)


def _start(file: BinaryIO) -> int:
    """Behind the byte order mark, if there is one."""
    file.seek(0)
    return 3 if file.read(3) == codecs.BOM_UTF8 else 0


def _json(path: Path) -> Rows:
    with path.open("rb") as file:
        file.seek(_start(file))
        head = file.read(64).lstrip()
    return _json_list(path) if head.startswith(b"[") else _json_lines(path)


def _json_lines(path: Path) -> Rows:
    """One pass checks every line, so that all broken ones are told at once."""
    offsets, lines, problems = array("Q"), array("Q"), []
    with path.open("rb") as file:
        offset = _start(file)
        file.seek(offset)
        for number, line in enumerate(file, 1):
            if line.strip():
                offsets.append(offset)
                lines.append(number)
                problem = _broken(line)
                if problem:
                    values = {"line": number, "error": problem}
                    problems.append(Message(key="plan.line_broken", values=values))
            offset += len(line)
    fail(path, problems)

    def fetch(numbers: Sequence[int]) -> list[Row]:
        found = []
        with path.open("rb") as file:
            for i in numbers:
                file.seek(offsets[i])
                found.append(_decoded(file.readline()))
        return found

    return Rows(path, len(offsets), fetch, lines)


def _broken(line: bytes) -> str:
    """What is wrong with a line of JSON, or nothing."""
    try:
        return "" if isinstance(msgspec.json.decode(line), dict) else "not an object { … }"
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return str(error)


def _decoded(raw: bytes) -> Row:
    row = msgspec.json.decode(raw)
    return row if isinstance(row, dict) else {}


def _json_list(path: Path) -> Rows:
    offsets, ends = array("Q"), array("Q")
    for start, end in elements(path):
        offsets.append(start)
        ends.append(end)

    def fetch(numbers: Sequence[int]) -> list[Row]:
        found = []
        with path.open("rb") as file:
            for i in numbers:
                file.seek(offsets[i])
                try:
                    found.append(_decoded(file.read(ends[i] - offsets[i])))
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise DataError("plan.row_broken", path=str(path), row=i + 1, error=str(error)) from error
        return found

    return Rows(path, len(offsets), fetch)


def elements(path: Path, block: int = BLOCK) -> Iterator[tuple[int, int]]:
    """The byte ranges of a JSON list's elements.

    Latin-1 has one character a byte and leaves JSON's own signs alone, so the C decoder finds the ends in bytes.
    """
    scan = json.JSONDecoder(strict=False).raw_decode
    with path.open("rb") as file:
        base = _start(file)
        file.seek(base)
        text = file.read(block).decode("latin-1")
        at, ended = text.index("[") + 1, False
        problem: ValueError | None = None
        while True:
            at = _skip(text, at)
            if at < len(text) and text[at] == "]":
                return
            try:
                _, end = scan(text, at)
            except ValueError as error:
                end, problem = 0, error
            # What ends with the block may go on in the next.
            if end and (end < len(text) or ended):
                yield base + at, base + end
                at = end
                continue
            if ended:
                line = _line_of(path, base + at)
                raise DataError("plan.list_broken", path=str(path), line=line, error=str(problem))
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


def _csv(path: Path) -> Rows:
    """Only where each row begins is kept; a quoted field may hold line breaks."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    offsets, lines = array("Q"), array("Q")
    with path.open("rb") as file:
        position = [_start(file), 0]
        file.seek(position[0])
        reader = csv.reader(_decoded_lines(path, file, position), delimiter=delimiter)
        header = next(reader, [])
        while True:
            offset, line = position[0], position[1] + 1
            row = next(reader, None)
            if row is None:
                break
            if row:
                offsets.append(offset)
                lines.append(line)

    def fetch(numbers: Sequence[int]) -> list[Row]:
        found: list[Row] = []
        with path.open("rb") as file:
            for i in numbers:
                file.seek(offsets[i])
                row = next(csv.reader(_decoded_lines(path, file, [0, lines[i] - 1]), delimiter=delimiter))
                found.append(dict(zip(header, row, strict=False)))
        return found

    return Rows(path, len(offsets), fetch, lines)


def _decoded_lines(path: Path, file: BinaryIO, position: list[int]) -> Iterator[str]:
    for line in file:
        position[0] += len(line)
        position[1] += 1
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError("plan.encoding_line", path=str(path), line=position[1], error=str(error)) from error


def _parquet(path: Path) -> Rows:
    """A row group at a time; neighbouring rows are read together."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise DataError("plan.extra_missing", extra="parquet", path=str(path)) from error
    try:
        file = parquet.ParquetFile(path, memory_map=True)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError("plan.parquet_broken", path=str(path), error=str(error)) from error
    firsts = [0]
    for group in range(file.num_row_groups):
        firsts.append(firsts[-1] + file.metadata.row_group(group).num_rows)
    table: list[Any] = [None, None]

    def fetch(numbers: Sequence[int]) -> list[Row]:
        found: list[Row] = []
        for i in numbers:
            group = bisect_right(firsts, i) - 1
            if table[0] != group:
                table[:] = [group, file.read_row_group(group)]
            found += table[1].slice(i - firsts[group], 1).to_pylist()
        return found

    return Rows(path, firsts[-1], fetch)
