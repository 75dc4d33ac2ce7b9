"""What arrived, and when → segment files, appended to at once; and back again, also while they grow."""

from __future__ import annotations

import contextlib
import gzip
import io
import mmap
import os
import re
import struct
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from pytest_vllm_bench.model import SENT_FIELDS, Entry, EntryKind

MAGIC = b"llmtape\x01"
#: A segment begins with: magic, worker (u32), number of the segment (u32), absolute start of the run (f64, seconds).
SEGMENT_HEAD = struct.Struct("<8sIId")
#: An entry begins with: kind (u8), request (u32), absolute time (f64, seconds), length of the data that follow (u32).
ENTRY_HEAD = struct.Struct("<BIdI")
SEGMENT_BYTES = 64 << 20
#: What has gathered is appended in one system call after this long, or when this much has come.
FLUSH_S = 0.002
BUFFER_BYTES = 64 << 10
STALL_S = 1e-4
#: Of a worker's tape, read before each pause while the load runs; and how much may wait to be read before the pauses
#: are left out.  The latter takes about a second to decode once the load is over.
BLOCK_BYTES, BEHIND_BYTES = 256 << 10, 64 << 20
#: So much of a worker's tape waits only where a server sends faster than answers can be read: that load is stopped.
MOST_UNREAD = 2 << 30
_NAME = re.compile(r"w(\d+)-(\d+)\.tape(\.gz)?$")
_sent = struct.Struct(SENT_FIELDS)


def segment_path(folder: Path, worker: int, number: int) -> Path:
    return folder / f"w{worker}-{number:06}.tape"


class Tape:
    """The writing end, of one measuring process.

    Entries gather in memory for ``FLUSH_S`` and are then written in one system call: a write for each turn of the
    event loop, which brings two or three reads, would cost as much as those reads do.  What is lost in a crash is the
    last ``FLUSH_S``.  A read is added by its connection, with ``write`` twice (head, bytes) and ``touch`` unless
    ``pending``: at a hundred thousand reads a second a call of a method in between would show.

    ``later``: call a function after so many seconds.
    """

    def __init__(self, folder: Path, worker: int, later: Callable[[float, Callable[[], None]], object]) -> None:
        self.folder, self.worker, self.later = folder, worker, later
        self.pending = False
        self.reads = self.written = self.writes = 0
        self.stalls = array("d")  # seconds, writes that held the loop for longer than STALL_S
        self._buffer = io.BytesIO(bytes(BUFFER_BYTES))  # keeps its memory, unlike a bytearray that is cleared
        self.write = self._buffer.write
        self._started = 0.0
        self._number = -1
        self._file = -1
        self._in_segment = 0
        self._other = 0  # bytes of entries other than reads

    @property
    def bytes_in(self) -> int:
        """Bytes received, as far as they are written."""
        return self.written - self._other - self.reads * ENTRY_HEAD.size

    def begin(self, started: float) -> None:
        """Open the first segment; ``started`` is the run's start, absolute monotonic seconds."""
        self._started = started
        self._next_segment()

    def begin_nowhere(self) -> None:
        """What is written is forgotten: for trying out the path that leads here."""
        self._file = os.open(os.devnull, os.O_WRONLY)

    def _next_segment(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._number += 1
        path = segment_path(self.folder, self.worker, self._number)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        os.write(self._file, SEGMENT_HEAD.pack(MAGIC, self.worker, self._number, self._started))
        self._in_segment = 0

    def sent(self, request: int, at: float, fields: tuple[float, float, float, int, int]) -> None:
        """``fields`` as ``model.SENT_FIELDS``: ready, due, connect_s, connection, flags."""
        self._add(EntryKind.SENT, request, at, _sent.pack(*fields))

    def end(self, request: int, at: float, ending: int, words: str = "") -> None:
        self._add(EntryKind.END, request, at, bytes((ending,)) + words.encode()[:2000])

    def _add(self, kind: int, request: int, at: float, data: bytes) -> None:
        entry = ENTRY_HEAD.pack(kind, request, at, len(data)) + data
        self._other += len(entry)
        self.write(entry)
        if not self.pending:
            self.touch()

    def touch(self) -> None:
        """See to it that what has been added is written soon."""
        self.pending = True
        self.later(FLUSH_S, self.flush)

    def relieve(self) -> None:
        """Write at once if much has gathered."""
        if self._buffer.tell() > BUFFER_BYTES:
            self._hand_over()

    def flush(self) -> None:
        """Hand all that has gathered to the kernel.  Raises OSError (disk full)."""
        self.pending = False
        self._hand_over()

    def _hand_over(self) -> None:
        size = self._buffer.tell()
        if not size:
            return
        before = time.perf_counter()
        with self._buffer.getbuffer() as buffer:
            done = os.write(self._file, buffer[:size])
            while done < size:
                done += os.write(self._file, buffer[done:size])
        self._buffer.seek(0)
        self.written += size
        self.writes += 1
        self._in_segment += size
        if self._in_segment >= SEGMENT_BYTES:
            self._next_segment()
        took = time.perf_counter() - before
        if took > STALL_S:
            self.stalls.append(took)

    def close(self) -> None:
        self.flush()
        os.close(self._file)
        self._file = -1


def entries(data: bytes) -> tuple[list[Entry], int]:
    """The whole entries in ``data`` and how many bytes they take; what is left over is the beginning of the next."""
    found: list[Entry] = []
    at, size = 0, len(data)
    unpack, head = ENTRY_HEAD.unpack_from, ENTRY_HEAD.size
    make, add = tuple.__new__, found.append  # a NamedTuple's own constructor costs as much as all the rest
    while at + head <= size:
        kind, request, when, length = unpack(data, at)
        begin = at + head
        if begin + length > size:
            break
        at = begin + length
        add(make(Entry, (kind, request, when, data[begin:at])))
    return found, at


def segments(folder: Path) -> dict[int, list[Path]]:
    """Worker → its segments, oldest first."""
    found: dict[int, list[tuple[int, Path]]] = {}
    for path in folder.iterdir():
        if match := _NAME.match(path.name):
            found.setdefault(int(match[1]), []).append((int(match[2]), path))
    return {worker: [path for _, path in sorted(paths)] for worker, paths in sorted(found.items())}


class _Follower:
    """The reading end of one worker's tape while it grows."""

    def __init__(self, folder: Path, worker: int, number: int) -> None:
        self.folder, self.worker, self.number = folder, worker, number
        self.consumed: list[Path] = []
        self._file = segment_path(folder, worker, number).open("rb", buffering=0)
        self._rest = b""
        self._headed = False

    @property
    def unread(self) -> int:
        """Bytes that are there and have not been read."""
        left, number = os.fstat(self._file.fileno()).st_size - self._file.tell(), self.number + 1
        while (path := segment_path(self.folder, self.worker, number)).exists():
            left, number = left + path.stat().st_size, number + 1
        return left

    def more(self) -> list[Entry]:
        """What has been added since, at most one block; [] if nothing."""
        following = segment_path(self.folder, self.worker, self.number + 1)
        closed = following.exists()  # asked before reading: nothing is added to a segment once the next one exists
        data = self._file.read(BLOCK_BYTES)
        if not data:
            if not closed:
                return []
            self._file.close()
            self.consumed.append(segment_path(self.folder, self.worker, self.number))
            self.number += 1
            self._file, self._rest, self._headed = following.open("rb", buffering=0), b"", False
            data = self._file.read(BLOCK_BYTES)
        if self._rest:
            data = self._rest + data
        if not self._headed:
            if len(data) < SEGMENT_HEAD.size:
                self._rest = data
                return []
            data, self._headed = data[SEGMENT_HEAD.size :], True
        found, used = entries(data)
        self._rest = data[used:]
        return found

    def close(self) -> None:
        self._file.close()


def follow(
    folder: Path,
    finished: Callable[[], bool],
    *,
    keep_bytes: int | None = None,
    pause: float = 0.02,
    behind: Callable[[int], None] = lambda unread: None,
) -> Iterator[Entry]:
    """Every worker's entries as they are written; ends once ``finished()`` and all is read.  Blocks: for a thread.

    After each block it pauses, unless it has fallen far behind or the load is over: what reads with all its might takes
    the processor from the measuring process and, on the same machine, from the server (at 100,000 events a second on
    two cores TTFT then reads 1 ms late instead of 0.2).  With ``keep_bytes`` the oldest segments that are closed and
    consumed are deleted as soon as the tape is longer.  ``behind`` is told, again and again, of bytes that wait when
    they are too many.
    """
    followers: dict[int, _Follower] = {}
    try:
        while True:
            last_round = finished()
            for worker, paths in segments(folder).items() if folder.is_dir() else ():
                if worker not in followers:
                    number = int(_NAME.match(paths[0].name)[2])  # type: ignore[index]
                    followers[worker] = _Follower(folder, worker, number)
            for follower in followers.values():
                yield from follower.more()
                while (unread := follower.unread) > (0 if last_round else BEHIND_BYTES):
                    if unread > MOST_UNREAD and not last_round:
                        behind(unread)
                    yield from follower.more()
            if keep_bytes is not None:
                _delete_consumed(list(followers.values()), keep_bytes)
            if last_round:
                return
            time.sleep(pause)
    finally:
        for follower in followers.values():
            follower.close()


def _delete_consumed(followers: list[_Follower], keep_bytes: int) -> None:
    for follower in followers:
        while follower.consumed and (len(follower.consumed) + 1) * SEGMENT_BYTES * len(followers) > keep_bytes:
            follower.consumed.pop(0).unlink(missing_ok=True)


def read(folder: Path) -> Iterator[Entry]:
    """A saved tape, compressed or not: one worker after another, each in the order of writing."""
    for paths in segments(folder).values():
        yield from takewhile(lambda entry: entry.kind, _written(paths))  # zeros are what power cut off left of a file


def _written(paths: Sequence[Path]) -> Iterator[Entry]:
    """The entries of one worker; after a segment that was cut off there is nothing that follows on it."""
    for path in paths:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            file.read(SEGMENT_HEAD.size)
            rest = b""
            while block := file.read(1 << 20):
                found, used = entries(rest + block)
                rest = (rest + block)[used:]
                yield from found
        if rest:
            return


def started(folder: Path) -> float | None:
    """The run's start, absolute monotonic seconds, as the segments say; None without a tape."""
    for paths in segments(folder).values():
        with gzip.open(paths[0], "rb") if paths[0].suffix == ".gz" else paths[0].open("rb") as file:
            head = file.read(SEGMENT_HEAD.size)
        if len(head) == SEGMENT_HEAD.size:
            return float(SEGMENT_HEAD.unpack(head)[3])
    return None


def writers(folder: Path) -> list[int]:
    """The numbers of the measuring processes whose segments lie there."""
    return list(segments(folder))


def blot_out(folder: Path, words: Sequence[str]) -> None:
    """Overwrite ``words`` in the answers on a tape that is complete, also where several reads share one."""
    if not words:
        return
    pattern = re.compile(b"|".join(re.escape(word.encode()) for word in words))
    keep = max(len(word.encode()) for word in words) - 1
    for paths in segments(folder).values():
        with contextlib.ExitStack() as opened:
            tails: dict[int, list[tuple[mmap.mmap, int, int]]] = {}  # request → where its last bytes lie, in pieces
            for path in (path for path in paths if path.stat().st_size):
                file = opened.enter_context(path.open("r+b"))
                data = opened.enter_context(mmap.mmap(file.fileno(), 0))
                for request, begin, end in _answers(data):
                    pieces = [*tails.get(request, ()), (data, begin, end)]
                    for found in pattern.finditer(b"".join(d[a:b] for d, a, b in pieces)):
                        _blot(pieces, found.start(), found.end())
                    tails[request] = _last(pieces, keep)


def _answers(data: mmap.mmap) -> Iterator[tuple[int, int, int]]:
    """A segment's answers and last words: request, and from where to where they lie."""
    at = SEGMENT_HEAD.size
    while at + ENTRY_HEAD.size <= len(data):
        kind, request, _, length = ENTRY_HEAD.unpack_from(data, at)
        at += ENTRY_HEAD.size + length
        if kind == EntryKind.READ or kind == EntryKind.END:
            yield request, at - length, min(at, len(data))
        else:
            yield request, at - length, at - length  # sent: where another answer begins


def _blot(pieces: list[tuple[mmap.mmap, int, int]], begin: int, end: int) -> None:
    for data, a, b in pieces:
        first, last = max(a, a + begin), min(b, a + end)
        if first < last:
            data[first:last] = b"*" * (last - first)
        begin, end = begin - (b - a), end - (b - a)


def _last(pieces: list[tuple[mmap.mmap, int, int]], size: int) -> list[tuple[mmap.mmap, int, int]]:
    """The pieces' last ``size`` bytes."""
    kept: list[tuple[mmap.mmap, int, int]] = []
    for data, a, b in reversed(pieces):
        if size > 0 and a < b:
            kept.insert(0, (data, max(a, b - size), b))
            size -= b - a
    return kept
