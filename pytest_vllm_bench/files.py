"""A path as a user writes it → a Path, and what lies there: text in any encoding, packed or not and never without end,
and the JSON documents in it."""

from __future__ import annotations

import gzip
import json
import math
import os
import re
import stat
import zlib
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal

from pytest_vllm_bench.errors import BenchError

#: Bytes of a text that are read at most, unpacked ones (a megabyte of gzip can hold a thousand).
MOST = 1 << 30
_SPACE = re.compile(r"\s*")
GZIP = b"\x1f\x8b"


def path(written: str | os.PathLike[str]) -> Path:
    """``~`` and ``~name`` are a home folder wherever a path is given; a ``~`` that is nobody's stays as it is."""
    return Path(os.path.expanduser(written))


def private(path: Path, mode: Literal["wb", "ab"] = "wb", buffering: int = -1) -> BinaryIO:
    """Opened for writing what its owner alone may read (prompts, answers), whatever the umask or the file before."""
    return open(path, mode, buffering, opener=_private)


def _private(name: str, flags: int) -> int:
    handle = os.open(name, flags, 0o600)
    if hasattr(os, "fchmod"):
        os.fchmod(handle, 0o600)
    return handle


def to_disk(file: IO[bytes]) -> None:
    """What was written to it is there when the machine's power goes."""
    file.flush()
    os.fsync(file.fileno())


def private_folder(path: Path) -> Path:
    """A folder that its owner alone may enter."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def shown(path: Path) -> str:
    """A file's name without its folders and ``.json``, in characters that every file and screen can hold."""
    name = path.name.removesuffix(".gz").removesuffix(".jsonl").removesuffix(".json")
    return os.fsencode(name).decode("utf-8", "replace")


def text(path: Path, encoding: str = "") -> str:
    """What a file says; BenchError where it is none, cannot be read or has no end."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise BenchError("files.folder")
        if not stat.S_ISREG(mode) and not (stat.S_ISFIFO(mode) and path.parent == Path("/dev/fd")):  # <(zcat …)
            raise BenchError("files.no_file")
        with open(path, "rb") as source:
            packed = source.peek(2).startswith(GZIP)
            data = (gzip.GzipFile(fileobj=source) if packed else source).read(MOST + 1)
        if len(data) > MOST:
            raise BenchError("files.endless", most=MOST >> 20)
        return data.decode(encoding or json.detect_encoding(data))
    except OSError as error:
        raise BenchError("files.not_read", why=error.strerror or str(error)) from None
    except (EOFError, ValueError, zlib.error) as error:
        raise BenchError("files.not_read", why=str(error)) from None


def documents(path: Path) -> list[Any]:
    """Every JSON document in a file, which has one, one a line, or several with anything or nothing between (``vllm
    bench serve --append-result``), all of which can be written again; BenchError where it cannot be read."""
    words, at = text(path).strip(), 0
    found: list[Any] = []
    halves = "\\ud" in words.lower()  # half a character, which JSON can spell and no encoding has
    try:
        while at < len(words) or not found:
            one, at = _READER.raw_decode(words, at)
            found.append(
                _READER.decode(json.dumps(one, ensure_ascii=False).encode("utf-8", "replace").decode())
                if halves
                else one
            )
            at = _SPACE.match(words, at).end()  # type: ignore[union-attr]
    except RecursionError:
        raise BenchError("files.deep") from None
    except ValueError as error:
        raise BenchError("files.not_json", why=str(error)) from None
    return found


def _constant(literal: str) -> str | None:
    """Other tools write NaN and Infinity, which JSON does not have."""
    return None if literal == "NaN" else literal.lower().replace("infinity", "inf")


def _finite(text: str) -> float | str:
    """1e999 is as endless as Infinity."""
    found = float(text)
    return found if math.isfinite(found) else str(found)


def _whole(text: str) -> int | float | str:
    """Beyond 64 bits not every reader can take it."""
    return int(text) if len(text) < 19 else _finite(text)


_READER = json.JSONDecoder(parse_constant=_constant, parse_float=_finite, parse_int=_whole)
