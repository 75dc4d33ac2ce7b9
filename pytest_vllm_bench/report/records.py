"""Records → ``{name}.records.jsonl.gz``, one request a line, and back."""

from __future__ import annotations

import gzip
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import msgspec

from pytest_vllm_bench.model import Record

SUFFIX = ".records.jsonl.gz"

#: A microsecond is finer than any clock read here, and costs a third of the space of all seventeen digits.
DIGITS = 6


def _encode(value: object) -> object:
    if isinstance(value, array):
        if value.typecode == "d" and value:
            import numpy as np

            return np.round(np.frombuffer(value), DIGITS).tolist()  # five times as quick as round() on each
        return value.tolist()
    raise TypeError(f"a record cannot hold {type(value).__name__}")


_ARRAYS = {"arrival_times": "d", "arrival_events": "i", "arrival_tokens": "i"}


def _record(fields: dict[str, Any]) -> Record:
    """A line of this version or another: unknown fields are left out, missing ones have their defaults."""
    known = {name: fields[name] for name in Record.__struct_fields__ if name in fields}
    for name, code in _ARRAYS.items():
        known[name] = array(code, known.get(name) or [])
    return Record(**known)


class Writer:
    """Writes records as they come; the file appears under its name only when the block ends well."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(f".{path.name}.part")
        self._encoder = msgspec.json.Encoder(enc_hook=_encode)
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Writer:
        self._file = cast(IO[bytes], gzip.open(self._part, "wb", compresslevel=1))
        return self

    def write(self, record: Record) -> None:
        assert self._file is not None
        self._file.write(self._encoder.encode(record) + b"\n")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._file is not None
        try:
            self._file.close()
            if kind is None:
                self._part.replace(self.path)
        finally:
            self._part.unlink(missing_ok=True)


def write(records: Iterable[Record], path: Path) -> None:
    """All of them at once; OSError as the system raises it."""
    with Writer(path) as out:
        for record in records:
            out.write(record)


def read(path: Path) -> Iterator[Record]:
    """The records of a saved file, one at a time; a damaged file raises OSError, EOFError or msgspec.MsgspecError."""
    decoder = msgspec.json.Decoder(dict[str, Any])
    with gzip.open(path, "rb") as lines:
        for line in lines:
            yield _record(decoder.decode(line))
