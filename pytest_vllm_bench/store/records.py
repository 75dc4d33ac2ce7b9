"""Records → ``{name}.records.jsonl.gz``, one request a line, and back."""

from __future__ import annotations

import gzip
import zlib
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import msgspec

from pytest_vllm_bench.files import private, to_disk
from pytest_vllm_bench.model import MOST_TOKENS, Record

SUFFIX = ".records.jsonl.gz"


def _encode(value: object) -> object:
    if isinstance(value, array):
        return value.tolist()
    raise TypeError(f"a record cannot hold {type(value).__name__}")


def _decode(kind: type, value: Any) -> Any:
    """The arrays, which JSON does not have: of whole numbers, which are counts, or of seconds."""
    try:
        whole = set(map(type, value)) <= {int}
        found = array("i" if whole else "d", value)
    except (OverflowError, TypeError) as error:
        raise ValueError(str(error)) from None
    if found and not (0 if whole else -LONGEST) <= min(found) <= max(found) <= (MOST_TOKENS if whole else LONGEST):
        raise ValueError("a number is beyond all bounds")
    return found


_DECODER = msgspec.json.Decoder(Record, dec_hook=_decode)
#: Seconds, as of a Record's other times.
LONGEST = 1e9


def decode(line: bytes) -> Record:
    """A line of this version or another: unknown fields are left out, missing ones have their defaults.

    ValueError where something in it is not what a record holds.
    """
    record = _DECODER.decode(line)
    record.arrival_times = array("d", record.arrival_times)
    counts = (record.arrival_tokens, record.arrival_events)
    if any(column.typecode != "i" or len(column) != len(record.arrival_times) for column in counts):
        raise ValueError("it takes a whole number for each of its times - at `$.arrival_tokens`")
    if sum(record.arrival_tokens) > MOST_TOKENS:
        raise ValueError(f"more than {MOST_TOKENS:,} tokens - at `$.arrival_tokens`")
    return record


class RecordWriter:
    """Writes records as they come; the file appears under its name only when the block ends well."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(f".{path.name}.part")
        self._encoder = msgspec.json.Encoder(enc_hook=_encode)
        self._file: IO[bytes] | None = None

    def __enter__(self) -> RecordWriter:
        self._raw = private(self._part)
        self._file = cast(IO[bytes], gzip.open(self._raw, "wb", compresslevel=1))
        return self

    def write(self, record: Record) -> None:
        assert self._file is not None
        self._file.write(self._encoder.encode(record) + b"\n")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._file is not None
        try:
            self._file.close()
            if kind is None:
                to_disk(self._raw)
                self._part.replace(self.path)
        finally:
            self._raw.close()
            self._part.unlink(missing_ok=True)


def write(records: Iterable[Record], path: Path) -> None:
    """All of them at once; OSError as the system raises it."""
    with RecordWriter(path) as out:
        for record in records:
            out.write(record)


#: Bytes of one record: an answer of a million tokens takes a third of that.
LINE = 64 << 20


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a saved file; ValueError for one without end."""
    with gzip.open(path, "rb") as source:
        for line in iter(lambda: source.readline(LINE + 1), b""):
            if len(line) > LINE:
                raise ValueError(f"a line is longer than {LINE >> 20} MB")
            yield line


def read(path: Path) -> Iterator[Record]:
    """The records of a saved file, one at a time; what it raises where that is damaged is in ``DAMAGED``."""
    seen: set[int] = set()
    for line in lines(path):
        record = decode(line)
        if record.index in seen:  # so that no file holds more requests than anybody can have sent
            raise ValueError(f"request {record.index} is there twice")
        seen.add(record.index)
        yield record


DAMAGED = (OSError, EOFError, ValueError, zlib.error, msgspec.MsgspecError, RecursionError)
