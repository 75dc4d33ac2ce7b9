"""The tape: what is written is read, whole or while it grows."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_vllm_bench import load
from pytest_vllm_bench.load import tape as module
from pytest_vllm_bench.load.tape import ENTRY_HEAD, Tape, entries, segment_path
from pytest_vllm_bench.model import Entry, EntryKind

made = st.lists(
    st.builds(Entry, st.integers(1, 3), st.integers(0, 2**32 - 1), st.floats(0, 1e6), st.binary(max_size=300)),
    max_size=20,
)


def at_once(after: float, call: Callable[[], None]) -> None:
    assert after < 0.05
    call()


def add(tape: Tape, request: int, at: float, data: bytes) -> None:
    """As a connection does."""
    tape.write(ENTRY_HEAD.pack(EntryKind.READ, request, at, len(data)))
    tape.write(data)
    tape.reads += 1
    if not tape.pending:
        tape.touch()


def written(folder: Path, worker: int = 0, n: int = 5, size: int = 100) -> list[Entry]:
    folder.mkdir(exist_ok=True)
    tape = Tape(folder, worker, at_once)
    tape.begin(7.5)
    for i in range(n):
        tape.sent(i, i + 0.25, (float(i), float(i), 0.5, 3, 1))
        add(tape, i, i + 0.5, bytes([i % 256]) * size)
        tape.end(i, i + 0.75, 0, "wörds")
    tape.close()
    return list(load.read(folder))


@given(made, st.integers(0, 100))
def test_any_cut_is_read_alike(wanted: list[Entry], cut: int) -> None:
    data = b"".join(ENTRY_HEAD.pack(e.kind, e.request, e.time, len(e.data)) + e.data for e in wanted)
    place = len(data) * cut // 100
    first, used = entries(data[:place])
    second, rest = entries(data[used:])
    assert first + second == wanted
    assert used + rest == len(data)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    found = written(tmp_path)
    assert [(e.kind, e.request, e.time) for e in found[:3]] == [(1, 0, 0.25), (2, 0, 0.5), (3, 0, 0.75)]
    assert found[2].data == b"\x00" + "wörds".encode()
    assert load.started(tmp_path) == 7.5
    assert load.started(tmp_path / "..") is None


def test_compressed_it_is_the_same(tmp_path: Path) -> None:
    found = written(tmp_path, n=200)
    for path in list(tmp_path.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert list(load.read(tmp_path)) == found
    assert load.started(tmp_path) == 7.5


def test_a_tape_that_was_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    found = written(tmp_path)
    path = segment_path(tmp_path, 0, 0)
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    assert list(load.read(tmp_path)) == found[:-1]
    for zeros in (1, 100, 1 << 21):  # what a file system may leave of bytes that it was yet to write
        path.write_bytes(whole + bytes(zeros))
        assert list(load.read(tmp_path)) == found


def test_nothing_follows_on_a_segment_that_was_cut_off(tmp_path: Path) -> None:
    """What is missing is of requests that the next one goes on with; another worker's are whole."""
    found, both = written(tmp_path), written(tmp_path, worker=1)
    path = segment_path(tmp_path, 0, 0)
    segment_path(tmp_path, 0, 1).write_bytes(path.read_bytes())
    path.write_bytes(path.read_bytes()[:-3])
    assert list(load.read(tmp_path)) == [*found[:-1], *both[len(found) :]]


def test_entries_gather_for_a_while(tmp_path: Path) -> None:
    """One flush is asked for whatever number of entries comes meanwhile, and one write takes them all."""
    asked: list[Callable[[], None]] = []
    tape = Tape(tmp_path, 0, lambda after, call: asked.append(call))
    tape.begin(0.0)
    for i in range(3):
        add(tape, i, 1.0, b"x" * 50)
    assert len(asked) == 1
    assert list(load.read(tmp_path)) == []
    asked.pop()()
    assert len(list(load.read(tmp_path))) == 3
    assert tape.writes == 1
    add(tape, 3, 1.0, b"x")
    assert len(asked) == 1
    tape.close()
    assert len(list(load.read(tmp_path))) == 4


def test_much_is_written_at_once(tmp_path: Path) -> None:
    tape = Tape(tmp_path, 0, lambda after, call: None)
    tape.begin(0.0)
    add(tape, 0, 1.0, b"x" * module.BUFFER_BYTES)
    tape.relieve()
    assert len(list(load.read(tmp_path))) == 1
    tape.close()


@pytest.fixture
def small_segments() -> object:
    """Segments of 10 kB, so that a test has many."""
    size = module.SEGMENT_BYTES
    module.SEGMENT_BYTES = 10_000
    yield None
    module.SEGMENT_BYTES = size


@pytest.mark.usefixtures("small_segments")
def test_followed_while_it_grows(tmp_path: Path) -> None:
    """Two workers write, one thread reads; nothing is lost, doubled, or out of a worker's order."""
    over = threading.Event()
    found: list[Entry] = []
    reader = threading.Thread(target=lambda: found.extend(load.follow(tmp_path, over.is_set, pause=0.001)))
    reader.start()
    for worker in range(2):
        written(tmp_path, worker, n=300)
    over.set()
    reader.join(30)
    assert len(module.segments(tmp_path)[0]) > 3
    assert sorted(found) == sorted(load.read(tmp_path))
    assert [e.request for e in found if e.kind == EntryKind.END and e.request < 3] == [0, 1, 2] * 2


@pytest.mark.usefixtures("small_segments")
def test_a_long_run_needs_bounded_disk(tmp_path: Path) -> None:
    written(tmp_path, n=1000)
    assert len(module.segments(tmp_path)[0]) > 10
    found = list(load.follow(tmp_path, lambda: True, keep_bytes=30_000))
    assert len(found) == 3000
    left = [path.name for path in module.segments(tmp_path)[0]]
    assert len(left) <= 4
    assert f"w0-{len(left):06}.tape" not in left  # the oldest went first


def test_what_has_fallen_behind_is_read_without_a_pause(tmp_path: Path) -> None:
    """Many blocks come one after another where none may wait; a single pause would last a minute."""
    before, module.BEHIND_BYTES = module.BEHIND_BYTES, 0
    try:
        wanted = written(tmp_path, n=10_000, size=200)
        reading = load.follow(tmp_path, lambda: False, pause=60)
        assert [next(reading) for _ in wanted] == wanted
        assert isinstance(reading, Generator)
        reading.close()
    finally:
        module.BEHIND_BYTES = before


def test_of_what_is_far_behind_is_said_how_much_it_is(tmp_path: Path) -> None:
    """While it grows; once the load is over it is only read."""
    before = module.BEHIND_BYTES, module.MOST_UNREAD
    module.BEHIND_BYTES, module.MOST_UNREAD = 0, 10_000
    try:
        wanted = written(tmp_path, n=1000, size=2000)
        told: list[int] = []
        reading = load.follow(tmp_path, lambda: False, pause=60, behind=told.append)
        assert [next(reading) for _ in wanted] == wanted
        assert isinstance(reading, Generator)
        reading.close()
        assert told[0] > told[-1] > 10_000
        assert list(load.follow(tmp_path, lambda: True, behind=told.clear)) == wanted  # type: ignore[arg-type]
    finally:
        module.BEHIND_BYTES, module.MOST_UNREAD = before


def test_followed_before_there_is_a_folder(tmp_path: Path) -> None:
    assert list(load.follow(tmp_path / "later", lambda: True)) == []


def test_words_are_blotted_out_wherever_they_stand(tmp_path: Path) -> None:
    tape = Tape(tmp_path, 0, lambda after, call: None)
    tape.begin(0.0)
    add(tape, 0, 1.0, b"sesame-1 and sesame-1sesame-1, open ********")
    tape.close()
    module.blot_out(tmp_path, ["sesame-1", "********"])  # the latter stands for itself, and ends as well
    assert [e.data for e in load.read(tmp_path)] == [b"******** and ****************, open ********"]


def test_words_are_blotted_out_that_several_reads_and_segments_share(tmp_path: Path) -> None:
    """The reads of another request lie between, and what is blotted out leaves every length as it was."""
    before, module.SEGMENT_BYTES = module.SEGMENT_BYTES, 60
    try:
        tape = Tape(tmp_path, 0, lambda after, call: None)
        tape.begin(0.0)
        reads = [(0, b"open ses"), (1, b"sesame-"), (0, b"am"), (0, b"e-1 and s"), (1, b"2 open"), (0, b"esame-1")]
        for request, data in reads:
            add(tape, request, 1.0, data)
            tape.flush()
        tape.close()
    finally:
        module.SEGMENT_BYTES = before
    assert len([*tmp_path.iterdir()]) > 2
    module.blot_out(tmp_path, ["sesame-1"])
    answers = [b"".join(e.data for e in load.read(tmp_path) if e.request == request) for request in (0, 1)]
    assert answers == [b"open ******** and ********", b"sesame-2 open"]
