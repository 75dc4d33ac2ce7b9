"""The results folder: Result → files, written whole or not at all, and files → Results, also old ones."""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import os
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from pytest_vllm_bench import files
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Message, Problem, Result, Verdict
from pytest_vllm_bench.store import foreign
from pytest_vllm_bench.store import records as records_file
from pytest_vllm_bench.store.pytorch import SUFFIX as PYTORCH_SUFFIX
from pytest_vllm_bench.store.pytorch import pytorch
from pytest_vllm_bench.store.row import to_json, vllm_date

HISTORY = "history"
#: How files that hold results are named, and the one that our own export makes of them.
KINDS, EXPORT = ("*.json", "*.jsonl", "*.json.gz"), "results.jsonl"
#: Where plans and tapes lie while load runs, and where those of a run that broke off.
RUNNING, KEPT = ".running", "kept"
#: Bytes of a file's name without its endings, of which the longest with a part's dots takes fifty.
LONGEST_NAME = 200
#: What the system says where there is no room.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
TAPE_SUFFIX = ".tape"
#: Where results go that carry no session of their own (written by other tools).
UNKNOWN_SESSION = "earlier"


Policy = Literal["keep", "compress", "drop"]


def make(folder: Path) -> Path:
    """Make sure that ``folder`` is there; a BenchError says what to do where it cannot be."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[list[Path]]:
    """Make ``folder``, keep other sessions out of it meanwhile, and put aside what one that was killed had of a load (→
    where to; the rest goes); BenchError where one is in it.  The system ends a claim with its process, and some know
    none."""
    aside: list[Path] = []
    make(folder)
    with contextlib.ExitStack() as held:
        if fcntl is not None:
            with writing(folder):
                handle = os.open(folder, os.O_RDONLY)
            held.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                aside += cleared(folder)
            except BlockingIOError:
                raise BenchError("report.claimed", folder=str(folder)) from None
            except OSError:  # a network file system that knows no locks
                pass
        with writing(folder):
            files.private_folder(folder / RUNNING)
        try:
            yield aside
        finally:
            with contextlib.suppress(OSError):
                (folder / RUNNING).rmdir()


def cleared(folder: Path) -> Iterator[Path]:
    """Remove what those that were killed left in ``folder``, but for what was measured; → where to that went."""
    for part in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            if not alive(part.name.split(".")[1]):  # the command ``report`` asks nobody before it writes
                part.unlink()
    for left in sorted((folder / RUNNING).glob("*")):
        if any(left.glob("begun.measurement.*")) or any(tape.stat().st_size for tape in left.glob("tape/*")):
            yield keep(left)
        else:
            shutil.rmtree(left, ignore_errors=True)


def alive(process: str) -> bool:
    """Whether this is the number of a process."""
    try:
        os.kill(int(process), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:  # of somebody else
        pass
    return True


def keep(work: Path) -> Path:
    """Move the plan and the tape of a run that broke off to where no other run is in their way; → where to."""
    shelf = work.parents[1] / KEPT
    with writing(shelf):
        files.private_folder(shelf)
    names = (shelf / f"{work.name}{end}" for end in ("", *(f"-{number}" for number in range(2, 10_000))))
    return work.replace(next(path for path in names if not path.exists()))


def stem(scenario_id: str) -> str:
    """``io256x256-mc1-np10`` → ``bench_io256x256_mc1_np10``; nothing that could leave the folder survives.

    A name that is too long for a file, or loses what tells it apart (🚀), ends with a checksum of the whole.
    """
    name = "bench_" + re.sub(r"[^\w.]+", "_", scenario_id.replace("-", "_")).strip(".")
    if len(name.encode()) <= LONGEST_NAME and not re.search(r"[^\w.\x00-\x7f]", scenario_id):
        return name
    checksum = zlib.crc32(scenario_id.encode("utf-8", "surrogatepass"))
    return f"{name.encode()[: LONGEST_NAME - 9].decode('utf-8', 'ignore')}_{checksum:08x}"


def write(result: Result, folder: Path) -> tuple[Path, ...]:
    """Write one result (the JSON first, then what is beside it) and return the files' paths.

    What another session left under the same name moves to ``history/{its session}``.  A folder that cannot be
    written, or a full disk, is a BenchError that says what to do; the caller still has the result to show.
    """
    name = stem(result.id)
    with writing(make(folder)):
        retire(folder, name, result.session)
        written = [write_text(folder / f"{name}.json", dump(result))]
        if result.records:
            written.append(folder / f"{name}{records_file.SUFFIX}")
            records_file.write(result.records, written[-1])
        if os.environ.get("SAVE_TO_PYTORCH_BENCHMARK_FORMAT"):
            written.append(write_pytorch(result, folder))
    return tuple(written)


def settle(result: Result, folder: Path, tape: Path | None, asked: Policy) -> None:
    """What is done with the tape of a load when all that was made of it is written: it goes, or lies beside that.

    Not before the disk has the files under their names: the machine's power may go at any moment."""
    with writing(folder):
        synced(folder)
        if tape is not None:
            _settle_tape(tape, folder / f"{stem(result.id)}{TAPE_SUFFIX}", _policy(result, asked))


def synced(folder: Path) -> None:
    """The names in ``folder`` are on disk, where the system can say so of a folder."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_pytorch(result: Result, folder: Path) -> Path:
    text = json.dumps(pytorch(result), ensure_ascii=False, allow_nan=False, indent=1)
    return write_text(folder / f"{stem(result.id)}{PYTORCH_SUFFIX}", text)


def dump(result: Result) -> str:
    return json.dumps(to_json(result), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def write_text(path: Path, text: str, *, encoding: str = "utf-8") -> Path:
    """The whole file or none of it: a reader never sees half, a full disk leaves the old one."""
    return write_bytes(path, text.encode(encoding))


def write_bytes(path: Path, data: bytes) -> Path:
    part = path.with_name(f".{os.getpid()}.part")  # which is shorter than any name that fits
    try:
        with part.open("wb") as out:
            out.write(data)
            files.to_disk(out)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        error.filename = str(path)
        raise
    return path


@contextlib.contextmanager
def writing(folder: Path, key: str = "") -> Iterator[None]:
    """OSError → BenchError with the way out; ``key``: that of a file which lies in no results folder."""
    try:
        yield
    except UnicodeError as error:
        raise BenchError(key or "report.cannot_write", folder=str(folder), path=str(folder), why=str(error)) from error
    except OSError as error:
        why, path = error.strerror or str(error), str(error.filename or folder)
        if key:
            raise BenchError(key, path=str(folder), why=why) from error
        if error.errno in FULL:
            key = "report.disk_full"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            key = "report.not_writable"
        else:
            key = "report.cannot_write"
        raise BenchError(key, folder=str(folder), path=path, why=why) from error


def retire(folder: Path, name: str, session: str) -> None:
    """Move what another session left under this name out of the way."""
    old = folder / f"{name}.json"
    if not old.exists():
        return
    before = foreign.session_of(next(iter(_load(old)), {})) or UNKNOWN_SESSION
    if before == session:
        return
    shelf = folder / HISTORY / stem(before).removeprefix("bench_")
    shelf.mkdir(parents=True, exist_ok=True)
    beside = [path for path in folder.glob(f"{glob_escape(name)}.*") if path != old]
    for path in [*beside, old]:  # by which one that is killed meanwhile is known to the next
        target = shelf / path.name
        if target.is_dir():
            shutil.rmtree(target)
        path.replace(target)


def glob_escape(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def session_of(result: Result) -> str:
    """The session a result belongs to; for another tool's file its date."""
    return result.session or vllm_date(result.date) or UNKNOWN_SESSION


def _policy(result: Result, asked: Policy) -> Policy:
    """A tape that could explain a failure or an interruption is not thrown away."""
    troubled = result.verdict in (Verdict.FAIL, Verdict.INVALID) or not result.complete
    return "compress" if asked == "drop" and troubled else asked


def _settle_tape(tape: Path, target: Path, policy: Policy) -> None:
    if policy == "drop":
        for path in (tape, target):  # also that of an earlier try
            shutil.rmtree(path, ignore_errors=True)
        return
    if target.resolve() != tape.resolve():
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(tape, target)
    if policy == "compress":
        for segment in sorted(target.glob("*.tape")):
            packed = segment.with_name(segment.name + ".gz")
            try:
                with segment.open("rb") as source, files.private(packed) as raw:
                    with gzip.open(raw, "wb", compresslevel=1) as out:
                        shutil.copyfileobj(source, out, 1 << 20)
                    files.to_disk(raw)
            except OSError as error:
                packed.unlink(missing_ok=True)
                if error.errno not in FULL:
                    raise
                break  # it stays as it is
            segment.unlink()


# ------------------------------------------------------------------------------------------- reading


def read(folder: Path, *, history: bool = False, problems: list[Problem] | None = None) -> list[Result]:
    """Every result in ``folder`` (and, if asked, in its history), oldest session first, then by id.

    Files of older versions, of the former scripts and of ``vllm bench serve --save-result`` count: what they lack is
    taken from the file name.  ``problems`` collects files that cannot be read; other JSON files are passed over.
    """
    if not os.path.isdir(folder) and not (os.path.isfile(folder) and any(map(folder.match, KINDS))):
        raise BenchError("report.no_folder", folder=str(folder))
    found: dict[tuple[str, str], Result] = {}
    for path in _paths(folder, history=history):
        for result in _results(path, problems):
            found.setdefault((session_of(result), result.id), result)
    return sorted(found.values(), key=lambda result: (session_of(result), *order(result)))


def _paths(folder: Path, *, history: bool) -> list[Path]:
    """Where results may lie; without any, those below are taken for a history: a ``history/`` itself, or a sweep.

    A file is itself."""
    if not os.path.isdir(folder):
        return [folder]
    paths = sorted(p for kind in KINDS for p in folder.glob(kind) if p.name != EXPORT)
    if history:
        paths += sorted(p for kind in KINDS for p in (folder / HISTORY).glob(f"*/{kind}"))
        below = (p for kind in KINDS for p in folder.glob(f"**/{kind}") if p.name != EXPORT)
        paths = paths or sorted(p for p in below if ".trace.json" not in p.name)  # a profiler's: gigabytes, maybe
    return paths


def _results(path: Path, problems: list[Problem] | None) -> list[Result]:
    """The results in a file that can be understood; of two with the same load and time the later."""
    found: dict[tuple[str, str], Result] = {}
    there = [row for row in _load(path, problems) if foreign.is_result(row)]
    for row in there:
        try:
            result, odd = foreign.understood(row, path, len(there))
        except BenchError as error:
            _noted(problems, path, Message(key="report.left_out", values={"why": error.message}))
            continue
        for why in odd:
            _noted(problems, path, Message(key="report.without", values={"why": why}))
        key = session_of(result), result.id
        if key in found:
            _noted(problems, path, Message(key="report.twice", values={"scenario": result.id}))
        found[key] = result
    return list(found.values())


def _load(path: Path, problems: list[Problem] | None = None) -> list[dict[str, Any]]:
    try:
        return [row for row in files.documents(path) if isinstance(row, dict)]
    except BenchError as error:
        _noted(problems, path, Message(key="report.left_out", values={"why": error.message}))
        return []


def _noted(problems: list[Problem] | None, path: Path, message: Message) -> None:
    if problems is not None:
        problems.append(Problem(message=message, file=str(path)))


def order(result: Result) -> tuple[Any, ...]:
    """Input, output, concurrency, rate, then the id: how every table is sorted; what has no number comes last."""
    asked = result.scenario
    numbers = asked.input_len, asked.output_len, asked.concurrency, result.request_rate, result.num_prompts
    return (*((1, 0) if n is None else (0, n) for n in numbers), result.id)


def latest(results: Iterable[Result]) -> list[Result]:
    """Of each scenario the newest result, in table order."""
    newest = {result.id: result for result in sorted(results, key=session_of)}
    return sorted(newest.values(), key=order)


def records_of(result: Result, folder: Path | None = None) -> Path | None:
    """Where a result's records lie, if they were kept: beside the file it was read from, else in ``folder``."""
    if result.path is not None:
        path = Path(str(result.path).removesuffix(".json") + records_file.SUFFIX)
    elif folder is not None:
        path = folder / (stem(result.id) + records_file.SUFFIX)
    else:
        return None
    return path if os.path.exists(path) else None
