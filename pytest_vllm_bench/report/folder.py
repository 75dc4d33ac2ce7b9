"""The results folder: dicts → files, written whole or not at all, and files → dicts, also old ones."""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import math
import os
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from pytest_vllm_bench import files
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.metric_table import as_ours
from pytest_vllm_bench.model import Message, Problem, Record
from pytest_vllm_bench.report import records as records_file
from pytest_vllm_bench.report.artifacts import Row
from pytest_vllm_bench.report.pytorch import SUFFIX as PYTORCH_SUFFIX
from pytest_vllm_bench.report.pytorch import pytorch
from pytest_vllm_bench.report.shape import misfit
from pytest_vllm_bench.text import safe

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

#: Keys of our results that are no figures, and that no other tool writes by itself.
OURS = {
    "baseline", "by_model", "by_turn", "capacity", "client", "complete", "config", "dataset", "environment", "error",
    "error_counts", "first_error", "input_len", "lengths", "notes", "outcome", "outcome_reason", "output_len",
    "per_repeat", "plan", "plan_digest", "pooled", "probe_of", "repeat", "scenario_id", "scenario_key", "seeds",
    "server", "session", "simulated", "taints", "target", "token_source", "validity", "verdict", "verdicts",
}  # fmt: skip

_LENGTHS = re.compile(r"io(\d+)x(\d+)")
_CAP = re.compile(r"(?:^|_)mc(\d+)(?:_|$)|(?:^|-)concurrency(\d+)(?:-|$)")
_RATE = re.compile(r"(?:^|-)(inf|\d+(?:\.\d+)?)qps(?:-|$)")
#: How vLLM ends the names of its files, so that runs of one kind differ in it.
_WHEN = re.compile(r"-(\d{8}-\d{6})(?:-\d+)?$")
_PROMPTS = re.compile(r"(?:^|_)np(\d+)(?:_|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """What is written beside the result; ``tape`` is the folder of the load just done, if there is one."""

    pytorch: bool = False
    tape: Path | None = None
    tape_policy: Literal["keep", "compress", "drop"] = "drop"


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
        if any(left.glob("begun.*")) or any(tape.stat().st_size for tape in left.glob("tape/*")):
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


def write(row: Row, folder: Path, records: Sequence[Record] = (), keep: Keep = Keep()) -> tuple[Path, ...]:
    """Write one result (the JSON first, then what is beside it) and return the files' paths.

    What another session left under the same name moves to ``history/{its session}``.  A folder that cannot be
    written, or a full disk, is a BenchError that says what to do; the caller still has the row to show.
    """
    name = stem(row["scenario_id"])
    path = folder / f"{name}.json"
    with writing(make(folder)):
        _retire(folder, name, row.get("session") or "")
        write_text(path, dump(row))
        written = [path]
        if records:
            written.append(folder / f"{name}{records_file.SUFFIX}")
            records_file.write(records, written[-1])
        if keep.pytorch or os.environ.get("SAVE_TO_PYTORCH_BENCHMARK_FORMAT"):
            written.append(folder / f"{name}{PYTORCH_SUFFIX}")
            write_text(written[-1], json.dumps(pytorch(row), ensure_ascii=False, allow_nan=False, indent=1))
        if keep.tape is not None:
            written += _settle_tape(keep.tape, folder / f"{name}{TAPE_SUFFIX}", _policy(row, keep.tape_policy))
    return tuple(written)


def dump(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


#: Arrays over the requests, which other tools write into a result.
DETAILED = ("input_lens", "output_lens", "ttfts", "itls", "start_times", "generated_texts", "errors")


def write_text(path: Path, text: str, *, encoding: str = "utf-8") -> Path:
    """The whole file or none of it: a reader never sees half, a full disk leaves the old one."""
    return write_bytes(path, text.encode(encoding))


def write_bytes(path: Path, data: bytes) -> Path:
    part = path.with_name(f".{os.getpid()}.part")  # which is shorter than any name that fits
    try:
        with part.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
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


def _retire(folder: Path, name: str, session: str) -> None:
    """Move what another session left under this name out of the way."""
    old = folder / f"{name}.json"
    if not old.exists():
        return
    before = session_of(next(iter(_load(old)), {}))
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


def session_of(row: Row) -> str:
    """The session a result belongs to; for another tool's file its date."""
    return str(row.get("session") or row.get("date") or UNKNOWN_SESSION)


def _policy(row: Row, asked: Literal["keep", "compress", "drop"]) -> Literal["keep", "compress", "drop"]:
    """A tape that could explain a failure or an interruption is not thrown away."""
    troubled = row.get("verdict") in ("FAIL", "INVALID") or not row.get("complete", True)
    return "compress" if asked == "drop" and troubled else asked


def _settle_tape(tape: Path, target: Path, policy: Literal["keep", "compress", "drop"]) -> list[Path]:
    if policy == "drop":
        shutil.rmtree(tape, ignore_errors=True)
        return []
    if target.resolve() != tape.resolve():
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(tape, target)
    if policy == "compress":
        for segment in sorted(target.glob("*.tape")):
            packed = segment.with_name(segment.name + ".gz")
            try:
                with (
                    segment.open("rb") as source,
                    files.private(packed) as raw,
                    gzip.open(raw, "wb", compresslevel=1) as out,
                ):
                    shutil.copyfileobj(source, out, 1 << 20)
            except OSError as error:
                packed.unlink(missing_ok=True)
                if error.errno not in FULL:
                    raise
                break  # it stays as it is
            segment.unlink()
    return [target]


# ------------------------------------------------------------------------------------------- reading


def read(folder: Path, *, history: bool = False, problems: list[Problem] | None = None) -> list[Row]:
    """Every result in ``folder`` (and, if asked, in its history), oldest session first, then by id.

    Files of older versions, of the former scripts and of ``vllm bench serve --save-result`` count: what they lack is
    taken from the file name.  ``problems`` collects files that cannot be read; other JSON files are passed over.
    """
    if not os.path.isdir(folder):
        raise BenchError("report.no_folder", folder=str(folder))
    paths = sorted(p for kind in KINDS for p in folder.glob(kind) if p.name != EXPORT)
    if history:
        paths += sorted((folder / HISTORY).glob("*/*.json"))
    rows: dict[tuple[str, str], Row] = {}
    for path in paths:
        for row in _results(path, problems):
            rows.setdefault((session_of(row), row["scenario_id"]), row)
    return sorted(rows.values(), key=lambda row: (session_of(row), *order(row)))


def _results(path: Path, problems: list[Problem] | None) -> list[Row]:
    """The results in a file that every reader can take, completed; of two with the same load and time the later."""
    found: dict[tuple[str, str], Row] = {}
    there = [row for row in _load(path, problems) if is_result(row)]
    for row in there:
        if not is_ours(row):
            row, odd = _ours(row)
            for why in odd:
                _noted(problems, path, Message(key="report.without", values={"why": why}))
        elif (wrong := misfit(row)) is not None:
            _noted(problems, path, Message(key="report.left_out", values={"why": wrong}))
            continue
        row = complete(row, path, len(there))
        key = session_of(row), row["scenario_id"]
        if key in found:
            _noted(problems, path, Message(key="report.twice", values={"scenario": row["scenario_id"]}))
        found[key] = row
    return list(found.values())


def _ours(row: Row) -> tuple[Row, list[Message]]:
    """Another tool's result under our keys, and what of it cannot be what the key says.  What its user wrote into it
    (vLLM's --metadata verdict=good) is not what the key is here."""
    row = {as_ours(key): value for key, value in row.items()}
    row = {key: value for key, value in row.items() if key not in OURS}
    odd = {key: wrong for key, value in row.items() if (wrong := misfit({key: value})) is not None}
    return {key: value for key, value in row.items() if key not in odd}, [*odd.values()]


def _load(path: Path, problems: list[Problem] | None = None) -> list[Row]:
    try:
        return [row for row in files.documents(path) if isinstance(row, dict)]
    except BenchError as error:
        _noted(problems, path, Message(key="report.left_out", values={"why": error.message}))
        return []


def _noted(problems: list[Problem] | None, path: Path, message: Message) -> None:
    if problems is not None:
        problems.append(Problem(message=message, file=str(path)))


#: What no result of ``vllm bench serve`` or of SGLang is without.
THEIRS = ({"completed", "num_prompts"}, {"completed", "output_throughput"})


def is_result(row: Row) -> bool:
    """A result of ours, or of ``vllm bench serve``: not a baseline, a plan, or another tool's file."""
    return is_ours(row) or "request_throughput" in row or any(kind <= row.keys() for kind in THEIRS)


def is_ours(row: Row) -> bool:
    return {"schema_version", "scenario_id"} <= row.keys()


def complete(row: Row, path: Path, among: int = 1) -> Row:
    """Fill in what a foreign or older result lacks, and where it lies (``_path``, never written).

    ``among``: how many results the file holds; where there are several, its name is not that of one of them.
    """
    name = files.shown(path)
    when, lengths, rate = _WHEN.search(name), _LENGTHS.search(name), _RATE.search(name)
    found: dict[str, Any] = {
        "date": when[1] if when else None,
        "input_len": int(lengths[1]) if lengths else _mean(row, "total_input_tokens"),
        "output_len": int(lengths[2]) if lengths else _mean(row, "total_output_tokens"),
        "max_concurrency": _number(_CAP, name),
        "num_prompts": _number(_PROMPTS, name),
        "request_rate": None if rate is None or rate[1] == "inf" else float(rate[1]) or None,
    }
    for key, value in found.items():
        if row.get(key) is None and value is not None:
            row[key] = value
    load = {"mc": "max_concurrency", "rr": "request_rate", "np": "num_prompts"} if among > 1 else {}
    parts = [f"{short}{row[key]:g}" for short, key in load.items() if isinstance(row.get(key), int | float)]
    id = "-".join([_WHEN.sub("", name).removeprefix("bench_").replace("_", "-"), *parts])
    row.setdefault("scenario_id", id)
    row.setdefault("scenario_key", re.sub(r"-(np|d)\d+(?=-|$)", "", row["scenario_id"]))
    row |= {key: safe(str(row[key])) for key in ("scenario_id", "scenario_key")}  # as all tables name it
    row.setdefault("session", "")
    row.setdefault("verdict", None)
    row.setdefault("complete", True)
    row["_path"] = str(path)
    if "taints" not in row:
        interrupted = any(note.get("key") == "judge.interrupted" for note in row.get("notes") or ())
        there = {"simulated": row.get("simulated"), "interrupted": interrupted}
        row["taints"] = [name for name, holds in there.items() if holds]
    return row


def _number(pattern: re.Pattern[str], name: str) -> int | None:
    found = pattern.search(name)
    return int(next(filter(None, found.groups()))) if found else None


def _mean(row: Row, total: str) -> int | None:
    done = row.get("completed") or 0
    mean = row[total] / done if done and isinstance(row.get(total), int | float) else math.inf
    return round(mean) if abs(mean) < 1 << 53 else None


def order(row: Row) -> tuple[Any, ...]:
    """Input, output, concurrency, rate, then the id: how every table is sorted; what has no number comes last."""
    keys = ("input_len", "output_len", "max_concurrency", "request_rate", "num_prompts")
    numbers = [row.get(key) for key in keys]
    return (*((0, n) if isinstance(n, int | float) else (1, 0) for n in numbers), row["scenario_id"])


def latest(rows: Iterable[Row]) -> list[Row]:
    """Of each scenario the newest result, in table order."""
    newest = {row["scenario_id"]: row for row in sorted(rows, key=session_of)}
    return sorted(newest.values(), key=order)


def records_of(row: Row, folder: Path | None = None) -> Path | None:
    """Where a result's records lie, if they were kept: beside the file it was read from, else in ``folder``."""
    if "_path" in row:
        path = Path(str(row["_path"]).removesuffix(".json") + records_file.SUFFIX)
    elif folder is not None:
        path = folder / (stem(row["scenario_id"]) + records_file.SUFFIX)
    else:
        return None
    return path if os.path.exists(path) else None
