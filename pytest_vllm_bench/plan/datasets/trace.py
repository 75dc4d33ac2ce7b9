"""A recorded trace → its lengths, its arrival times, and prompts that share what the recorded ones shared."""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Message
from pytest_vllm_bench.plan import given, tables, talk
from pytest_vllm_bench.plan.dataset import Dataset, Wanted
from pytest_vllm_bench.plan.options import option
from pytest_vllm_bench.plan.seeds import stream
from pytest_vllm_bench.plan.spelling import Draft, drawn, spell


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """``speed`` 2 replays twice as fast; the window counts in the trace's own seconds; ``block``: tokens a hash id.

    ``unit``: of times that are numbers, where neither their column nor their size says it; ``times``: whether requests
    are sent at theirs.
    """

    path: str = option()
    speed: float = option(1.0, low=1e-9)
    start: float = option(0.0, low=0.0)
    end: float | None = option(None, low=0.0)
    block: int = option(512, low=1)
    unit: str | None = option(None, one_of=("s", "ms", "us", "ns"))
    times: bool = option(True)


UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
#: A replay that lasts longer is meant by nobody; a mean rate beyond these may come of times in another unit.
LONGEST, SLOW, FAST = 30 * 86400.0, 0.01, 1000.0
_TIMES = ("timestamp", "time", "due", "arrival_time", "arrived_at", "arrival", "arrival_timestamp", "start_time", "ts")
TIMES = (*_TIMES, *(f"{name}_{unit}" for name in _TIMES for unit in UNITS))
INPUTS = (
    *("input_length", "input_tokens", "prompt_tokens", "input_len", "prompt_len", "prompt_length", "request_tokens"),
    *("context_tokens", "num_prefill_tokens", "num_prompt_tokens", "isl"),
)
OUTPUTS = (
    *("output_length", "output_tokens", "completion_tokens", "output_len", "response_len", "response_length"),
    *("response_tokens", "generated_tokens", "num_decode_tokens", "num_output_tokens", "osl"),
)


def clock(column: str, first: Any, asked: str | None, usual: str) -> Callable[[Any], float]:
    """How the times of a column read: as asked, as its name says, as dates of that size are, as usual in the format.

    What it returns raises ValueError for what is no time.
    """
    ending = re.search(r"[_ (](s|ms|us|ns)\)?$", column.lower())
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        # Today's date has ten digits in seconds, thirteen in milliseconds, and so on.
        usual = {10: "s", 13: "ms", 16: "us", 19: "ns"}.get(len(str(int(float(first)))), usual)
    unit = UNITS[asked or (ending[1] if ending else usual)]

    def seconds(value: Any) -> float:
        try:
            time = float(value) * unit
        except (TypeError, ValueError, OverflowError):
            time = _calendar(value)
        if not 0 <= time < 1e11:
            raise ValueError(f"{value!r:.40} is no time")
        return time

    return seconds


def _calendar(value: Any) -> float:
    """Seconds of a written date; digits beyond the microsecond are cut, a missing zone is the same for all rows."""
    text = str(value).strip()
    head, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    moment = datetime.fromisoformat(head + (dot + digits[:6].ljust(6, "0") if dot else "") + rest[len(digits) :])
    zone = moment.utcoffset()
    return (moment.replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds() - (zone.total_seconds() if zone else 0)


@dataclass(slots=True)
class TraceColumns:
    """The part of a trace that is replayed, in the order of its times; twenty-four bytes a request."""

    number: array[int] = field(default_factory=lambda: array("Q"))
    time: array[float] = field(default_factory=lambda: array("d"))
    input_len: array[int] = field(default_factory=lambda: array("i"))
    output_len: array[int] = field(default_factory=lambda: array("i"))
    hashed: bool = False

    def add(self, number: int, time: float, asked: int, answered: int) -> None:
        self.number.append(number)
        self.time.append(time)
        self.input_len.append(asked)
        self.output_len.append(answered)


def _loaded(wanted: Wanted, unit: str) -> tuple[tables.Rows, TraceColumns]:
    source = tables.read(wanted.path(wanted.options.path), wanted.reading)
    columns = _read(source, unit, wanted)
    n = min(wanted.n, len(columns.time), bisect_left(columns.time, wanted.until))
    if n:
        wanted.note(_worth(columns, n, wanted))
    return source, columns


def _worth(columns: TraceColumns, n: int, wanted: Wanted) -> Message:
    """What the first ``n`` requests come to; DataError for more days than anybody can mean."""
    lasting = columns.time[n - 1]
    rate = n / lasting if lasting else math.inf
    told = {"n": f"{n:,}", "asked": f"{sum(columns.input_len[:n]):,}", "answered": f"{sum(columns.output_len[:n]):,}"}
    if wanted.paced or not wanted.options.times:
        return Message(key="plan.trace_lengths", values=told)
    minutes, seconds = divmod(lasting, 60)
    days, hours = divmod(minutes // 60, 24)
    parts = zip((days, hours, minutes % 60, round(seconds, 1)), ("d", "h", "min", "s"), strict=True)
    shown = " ".join(f"{part:g} {unit}" for part, unit in parts if part)
    told |= {"lasting": shown or "0 s", "rate": f"{rate:,.4g}"}
    if lasting > LONGEST:
        raise DataError("plan.trace_endless", **told)
    odd = n > 9 and not SLOW < rate < FAST
    return Message(key="plan.trace_odd" if odd else "plan.trace_worth", values=told)


def _read(source: tables.Rows, unit: str, wanted: Wanted) -> TraceColumns:
    """Times and lengths of the rows within the window; every row that cannot be meant is told at once."""
    options: TraceOptions = wanted.options
    names = [tables.require(source, choices) for choices in (TIMES, INPUTS, OUTPUTS)]
    seconds = clock(names[0], source.fetch([0])[0][names[0]], options.unit, unit)
    found, problems = TraceColumns(), list[Message]()
    before: tuple[float, int, int, tuple[int, ...] | None] = (-math.inf, 0, 0, None)
    blocks = Fitting(options.block)
    for number, row in enumerate(source):
        wanted.count("")
        try:
            time = seconds(row.get(names[0]))
            asked, answered = tables.whole(row.get(names[1])), tables.whole(row.get(names[2]))
            if asked is None or answered is None:
                raise ValueError("–")
            ids = hash_ids(row)
        except (TypeError, ValueError) as error:
            what = Message(key="plan.trace_row", values={"columns": ", ".join(names), "error": str(error)})
            problems.append(Message(key="plan.row_problem", values={"where": source.where(number), "what": what}))
            continue
        if asked == 0 or answered == 0:
            wanted.count("plan.trace_left_out")
            continue
        if (misfit := blocks.misfit(ids, asked)) is not None:
            problems.append(Message(key="plan.row_problem", values={"where": source.where(number), "what": misfit}))
        wanted.count("plan.trace_falls", time < before[0])
        wanted.count("plan.trace_again", (time, asked, answered, ids) == before)
        before = (time, asked, answered, ids)
        found.add(number, time, asked, answered)
        found.hashed = found.hashed or ids is not None
    if blocks.off:
        problems.append(blocks.cure())
    tables.fail(source.path, problems)
    return _window(found, options)


def hash_ids(row: tables.Row) -> tuple[int, ...] | None:
    """A row's blocks; ids may be numbers or texts, in a list or in a cell that holds one."""
    value = row.get(tables.column(row, ("hash_ids", "block_hashes", "block_ids")))
    if isinstance(value, str):
        value = talk.parsed(value) if value.strip().startswith("[") else value.replace(",", " ").split()
    if value in (None, []):
        return None
    if not isinstance(value, list) or not all(isinstance(one, int | str) for one in value):
        raise ValueError("hash_ids is no list of ids")
    return tuple(one if isinstance(one, int) else _number(one) for one in value)


def _number(name: str) -> int:
    digest = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=7).hexdigest()
    return int(name) if name.isdecimal() and len(name) < 19 else int(digest, 16)


class Fitting:
    """Whether as many tokens have as many hash ids as blocks of this size make; else the size that does, if any."""

    def __init__(self, block: int) -> None:
        self._block, self._low, self._high, self.off = block, 1, 1 << 30, 0

    def misfit(self, ids: tuple[int, ...] | None, length: int) -> Message | None:
        """The last id may stand for a part of a block, or that part may have none."""
        if not ids:
            return None
        n, block = len(ids), self._block
        self._low = max(self._low, length // (n + 1) + 1)
        self._high = min(self._high, (length - 1) // (n - 1) if n > 1 else self._high)
        if block * (n - 1) < length < block * (n + 1):
            return None
        self.off += 1
        values = {"ids": n, "length": length, "block": block, "blocks": -(-length // block)}
        return Message(key="plan.trace_blocks", values=values)

    def cure(self) -> Message:
        fits = [size for k in range(31) if self._low <= (size := 1 << k) <= self._high] or [self._low]
        key = "plan.trace_block" if self._low <= self._high else "plan.trace_no_block"
        return Message(key=key, values={"block": fits[-1]})


def _window(found: TraceColumns, options: TraceOptions) -> TraceColumns:
    """Sorted by time, from ``start`` to ``end``, the clock at 0 where the window begins, at the wanted speed."""
    import numpy as np

    times = np.frombuffer(found.time, dtype="f8") if found.time else np.empty(0)
    order = np.argsort(times, kind="stable")
    since = times[order] - (times[order[0]] if len(order) else 0.0)
    kept = (since >= options.start) & (since < (options.end if options.end is not None else math.inf))
    order, since = order[kept], (since[kept] - options.start) / options.speed
    return TraceColumns(
        number=array("Q", np.frombuffer(found.number, dtype="u8")[order].tolist() if len(order) else []),
        time=array("d", since.tolist()),
        input_len=array("i", [found.input_len[i] for i in order]),
        output_len=array("i", [found.output_len[i] for i in order]),
        hashed=found.hashed,
    )


def _drafts(wanted: Wanted, source: tables.Rows, columns: TraceColumns) -> Iterator[Draft]:
    """Letters of each request: its blocks where the trace names them, else letters of its own."""
    size = wanted.alphabet().size
    text = wanted.stream("prompts")
    added = 0 if wanted.alphabet().ids else wanted.added_tokens
    blocks = Blocks(wanted, size)
    for batch in given.batches(range(len(columns.time))):
        listed = source.fetch([columns.number[i] for i in batch]) if columns.hashed else [{}] * len(batch)
        for i, row in zip(batch, listed, strict=True):
            length = columns.input_len[i] - added
            if length < 1:
                raise DataError("plan.shorter_than_template", length=columns.input_len[i], added=added)
            ids = (hash_ids(row) if row else None) or ()
            if ids:
                letters, shared = blocks.letters(ids, length)
            else:
                letters, shared = drawn(text, size, length), 0
            yield Draft(
                letters=letters,
                family=ids[0] if ids else None,
                common=wanted.options.block,
                shared_len=shared,
                output_len=columns.output_len[i] if wanted.output_len is None else wanted.output_len,
                due=columns.time[i] if wanted.options.times else None,
                row=source.number(columns.number[i]),
            )


class Blocks:
    """Hash id → its letters, the same wherever it stands, so that a prefix cache hits where the recorded one did."""

    def __init__(self, wanted: Wanted, size: int) -> None:
        self._block = wanted.options.block
        self._seen: set[int] = set()

        @lru_cache(maxsize=2048)
        def block(hash_id: int) -> list[int]:
            return drawn(stream(*wanted.seed, "block", hash_id), size, self._block)

        self._letters = block

    def letters(self, ids: Sequence[int], length: int) -> tuple[list[int], int]:
        """``length`` letters, and how many of the first are blocks that came before; the last id may be a part."""
        shared, before = 0, True
        for hash_id in ids:
            before = before and hash_id in self._seen
            shared += self._block if before else 0
        self._seen.update(ids)
        letters = [letter for hash_id in ids for letter in self._letters(hash_id)]
        while len(letters) < length:  # fewer ids than the length needs: the last block goes on
            letters += self._letters(-1 - ids[-1])
        return letters[:length], min(shared, length)


def problems(options: TraceOptions) -> list[Message]:
    if options.end is not None and options.end <= options.start:
        return [Message(key="plan.window_order", values={"start": options.start, "end": options.end})]
    return []


def _dataset(unit: str) -> Dataset:
    """A trace whose times, where they are numbers, are in ``unit``."""
    return Dataset(
        options=TraceOptions,
        prompts=lambda wanted: spell(wanted, _drafts(wanted, *_loaded(wanted, unit))),
        lengths="none",
        times=True,
        extra=problems,
        foresee=lambda wanted: _loaded(wanted, unit),
    )


DATASETS = {"burstgpt": _dataset("s"), "azure": _dataset("s"), "mooncake": _dataset("ms"), "trace": _dataset("s")}
