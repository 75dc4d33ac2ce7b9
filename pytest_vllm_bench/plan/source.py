"""A file as its owner has it (packed, in another encoding) → a plain UTF-8 one, within bounds."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import lzma
import re
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Message

#: Bytes read at a time.
BLOCK = 1 << 20
#: A packed file that has grown beyond ``FREE`` bytes may become this many times as large: text packs 3 to 20 times.
GROWTH, FREE = 200, 1 << 26
PACKED_NAMES = (".gz", ".bz2", ".xz", ".zst")
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip"}
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_HIGH = re.compile(rb"[\x80-\xff]+")
#: Where Linux names what we have open.
OPEN = Path("/proc/self/fd")
_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReading:
    """Who is told that a file was not read as it stands, and who may end the reading of a long one."""

    note: Callable[[Message], None] = lambda _: None
    alive: Callable[[], None] = lambda: None


class Copy:
    """A file of our own with these bytes, gone when nobody holds it any more; where the system names what is open, it
    has no other name, and even a process that is killed leaves none."""

    def __init__(self, pieces: Iterator[bytes], reading: FileReading) -> None:
        self._named = not OPEN.is_dir()
        self._file = tempfile.NamedTemporaryFile(delete=False) if self._named else tempfile.TemporaryFile()  # noqa: SIM115
        self.path = Path(str(self._file.name)) if self._named else OPEN.resolve() / str(self._file.fileno())
        for piece in pieces:
            reading.alive()
            self._file.write(piece)
        self._file.flush()

    def __del__(self) -> None:
        self._file.close()
        if self._named:
            with contextlib.suppress(OSError):
                self.path.unlink()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """``path`` is what people call it, ``plain`` what is read; ``kept`` keeps a copy until nobody reads it any more."""

    path: Path
    plain: Path
    suffix: str
    kept: Copy | None = field(default=None, repr=False)


def plain(path: Path, reading: FileReading) -> DataSource:
    """DataError: absent, no file, not readable, not unpackable, or larger than its packed size can mean."""
    regular(path)
    named = Path(path.stem) if path.suffix.lower() in PACKED_NAMES else path
    suffix, source = named.suffix.lower(), path
    kept: Copy | None = None
    head = _head(path)
    packing = next((name for mark, name in _PACKED.items() if head.startswith(mark)), "")
    if packing:
        kept = _unpacked(path, packing, reading)
        source = kept.path
        head = _head(source)
    if suffix == ".parquet" or head.startswith(b"PAR1"):
        return DataSource(path=path, plain=source, suffix=".parquet", kept=kept)
    encoding, line = _encoding(path, source, head, reading)
    if encoding != "UTF-8" or (b"\r" in head and b"\n" not in head):
        kept = _transcoded(source, encoding, reading)
        source = kept.path
    if encoding != "UTF-8":
        reading.note(Message(key="plan.read_as", values={"path": str(path), "encoding": encoding, "line": line}))
    return DataSource(path=path, plain=source, suffix=suffix, kept=kept)


def regular(path: Path) -> int:
    """The size of a file that can be read from one end to the other and back; DataError says what it is instead."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError("plan.file_absent", path=str(path)) from error
    except (OSError, ValueError) as error:  # no right to look, a name too long, a name with a zero byte
        raise DataError("plan.file_unreadable", path=str(path), error=_why(error)) from error
    if stat.S_ISDIR(status.st_mode):
        raise DataError("plan.file_folder", path=str(path))
    if not stat.S_ISREG(status.st_mode):
        raise DataError("plan.file_special", path=str(path))
    if not status.st_size:
        raise DataError("plan.file_empty", path=str(path))
    return status.st_size


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(BLOCK)
    except OSError as error:
        raise DataError("plan.file_unreadable", path=str(path), error=_why(error)) from error


def _unpacked(path: Path, packing: str, reading: FileReading) -> Copy:
    most = max(FREE, GROWTH * path.stat().st_size)

    def pieces() -> Iterator[bytes]:
        size = 0
        with _opened(path, packing) as file:
            while piece := file.read(BLOCK):
                size += len(piece)
                if size > most:
                    values = {"path": str(path), "packed": path.stat().st_size >> 10, "most": most >> 20}
                    raise DataError("plan.grows", **values)
                yield piece

    try:
        return Copy(pieces(), reading)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise DataError("plan.packed_broken", path=str(path), packing=packing, error=_why(error)) from error


def _opened(path: Path, packing: str) -> BinaryIO:
    """The unpacked bytes, as a stream."""
    if packing == "gzip":
        return cast(BinaryIO, gzip.open(path))
    if packing == "bz2":
        return cast(BinaryIO, bz2.open(path))
    if packing == "xz":
        return cast(BinaryIO, lzma.open(path))
    if packing == "zip":
        raise DataError("plan.file_zip", path=str(path))
    try:
        import pyarrow
    except ImportError as error:
        raise DataError("plan.extra_missing", extra="parquet", path=str(path)) from error
    return cast(BinaryIO, pyarrow.input_stream(str(path), compression=packing))


def _encoding(path: Path, source: Path, head: bytes, reading: FileReading) -> tuple[str, int]:
    """The encoding, and the first line that is not UTF-8; DataError names the line where UTF-8 is damaged."""
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name, 1
    for at, name in ((1, "UTF-16-LE"), (0, "UTF-16-BE")):  # without a mark: every other byte of ASCII is zero
        if len(head) > 3 and not any(head[at:32:2]) and any(head[1 - at : 32 : 2]):
            return name, 1
    decoder, line, seen = codecs.getincrementaldecoder("utf-8")(), 1, b""
    with source.open("rb") as file:
        block = file.read(BLOCK)
        while block or seen:
            reading.alive()
            before = len(decoder.getstate()[0])
            try:
                decoder.decode(block, not block)  # at its end nothing may be open
            except UnicodeDecodeError as error:
                line += block[: max(0, error.start - before)].count(b"\n")
                return _older(path, seen + block + file.read(BLOCK), line, error), line
            line += block.count(b"\n")
            seen, block = block, file.read(BLOCK) if block else b""
    return "UTF-8", 0


def _older(path: Path, sample: bytes, line: int, error: UnicodeDecodeError) -> str:
    """The likelier of two older encodings: of Chinese, each character is two bytes, of Latin letters one."""
    if len(_UTF8.findall(sample)) >= sum(map(len, _HIGH.findall(_UTF8.sub(b" ", sample)))):
        raise DataError("plan.encoding_line", path=str(path), line=line, error=str(error)) from error
    pairs = [len(run) % 2 == 0 for run in _HIGH.findall(sample)]
    return "GB18030" if 2 * sum(pairs) > len(pairs) else "Windows-1252"


def _transcoded(source: Path, encoding: str, reading: FileReading) -> Copy:
    def pieces() -> Iterator[bytes]:
        with source.open(encoding=encoding, errors="replace") as file:
            while piece := file.read(BLOCK):
                yield piece.encode("utf-8", "replace")

    return Copy(pieces(), reading)
