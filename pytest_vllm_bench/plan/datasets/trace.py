"""A recorded trace → its lengths, its arrival times, and prompts that share what the recorded ones shared."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Message, Prompt
from pytest_vllm_bench.plan import given, rows
from pytest_vllm_bench.plan.dataset import Dataset, Wanted
from pytest_vllm_bench.plan.options import option
from pytest_vllm_bench.plan.seeds import stream
from pytest_vllm_bench.plan.spelling import Draft, drawn, spell


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """What a trace's columns are called, each by the first name that is there, and how its clock reads."""

    time: tuple[str, ...]
    input_len: tuple[str, ...]
    output_len: tuple[str, ...]
    seconds: Callable[[Any], float]
    answered_only: bool = False  # rows without output are failures of the recorded service


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """``speed`` 2 replays twice as fast; the window counts in the trace's own seconds; ``block``: tokens a hash id."""

    path: str = option()
    speed: float = option(1.0, low=1e-9)
    start: float = option(0.0, low=0.0)
    end: float | None = option(None, low=0.0)
    block: int = option(512, low=1)


def _calendar(value: Any) -> float:
    """Seconds of a written date; digits beyond the microsecond are cut, a missing zone is the same for all rows."""
    text = str(value).strip()
    head, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    moment = datetime.fromisoformat(head + (dot + digits[:6].ljust(6, "0") if dot else "") + rest[len(digits) :])
    return (moment.replace(tzinfo=None) - datetime(2000, 1, 1)).total_seconds()


def _any_clock(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return _calendar(value)


INPUTS, OUTPUTS = ("input_length", "input_tokens", "prompt_tokens"), ("output_length", "output_tokens")
BURSTGPT = Format(
    time=("Timestamp",),
    input_len=("Request tokens",),
    output_len=("Response tokens",),
    seconds=float,
    answered_only=True,
)
AZURE = Format(time=("TIMESTAMP",), input_len=("ContextTokens",), output_len=("GeneratedTokens",), seconds=_calendar)
MOONCAKE = Format(time=("timestamp",), input_len=INPUTS, output_len=OUTPUTS, seconds=lambda ms: float(ms) / 1000)
GENERIC = Format(time=("timestamp", "time", "due"), input_len=INPUTS, output_len=OUTPUTS, seconds=_any_clock)


@dataclass(slots=True)
class Columns:
    """The part of a trace that is replayed, in the order of its times; twenty-four bytes a request."""

    number: array[int] = field(default_factory=lambda: array("Q"))
    time: array[float] = field(default_factory=lambda: array("d"))
    input_len: array[int] = field(default_factory=lambda: array("i"))
    output_len: array[int] = field(default_factory=lambda: array("i"))
    hashed: bool = False


def reader(form: Format) -> Callable[[Wanted], Iterator[Prompt]]:
    """The prompts function of a trace format."""

    def prompts(wanted: Wanted) -> Iterator[Prompt]:
        options: TraceOptions = wanted.options
        source = rows.read(wanted.path(options.path), wanted.reading)
        columns = _read(source, form, options, wanted)
        return spell(wanted, _drafts(wanted, source, columns))

    return prompts


def _read(source: rows.Rows, form: Format, options: TraceOptions, wanted: Wanted) -> Columns:
    """Times and lengths of the rows within the window; every row that cannot be read is told at once."""
    names = [rows.require(source, choices) for choices in (form.time, form.input_len, form.output_len)]
    found, problems, left_out = Columns(), list[Message](), 0
    for number, row in enumerate(source):
        try:
            time = form.seconds(row[names[0]])
            asked, answered = int(float(row[names[1]])), int(float(row[names[2]]))
            if not (math.isfinite(time) and asked >= 0 and answered >= 0):
                raise ValueError("negative or not finite")
        except (KeyError, TypeError, ValueError) as error:
            what = Message(key="plan.trace_row", values={"columns": ", ".join(names), "error": str(error)})
            problems.append(Message(key="plan.row_problem", values={"where": source.where(number), "what": what}))
            continue
        if asked == 0 or (form.answered_only and answered == 0):
            left_out += 1
            continue
        found.number.append(number)
        found.time.append(time)
        found.input_len.append(asked)
        found.output_len.append(answered)
        found.hashed = found.hashed or "hash_ids" in row
    rows.fail(source.path, problems)
    if left_out:
        wanted.note(Message(key="plan.trace_left_out", values={"n": left_out}))
    return _window(found, options)


def _window(found: Columns, options: TraceOptions) -> Columns:
    """Sorted by time, from ``start`` to ``end``, the clock at 0 where the window begins, at the wanted speed."""
    import numpy as np

    times = np.frombuffer(found.time, dtype="f8") if found.time else np.empty(0)
    order = np.argsort(times, kind="stable")
    since = times[order] - (times[order[0]] if len(order) else 0.0)
    kept = (since >= options.start) & (since < (options.end if options.end is not None else math.inf))
    order, since = order[kept], (since[kept] - options.start) / options.speed
    return Columns(
        number=array("Q", np.frombuffer(found.number, dtype="u8")[order].tolist() if len(order) else []),
        time=array("d", since.tolist()),
        input_len=array("i", [found.input_len[i] for i in order]),
        output_len=array("i", [found.output_len[i] for i in order]),
        hashed=found.hashed,
    )


def _drafts(wanted: Wanted, source: rows.Rows, columns: Columns) -> Iterator[Draft]:
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
            ids = row.get("hash_ids") or ()
            if ids:
                letters, shared = blocks.letters(ids, length)
            else:
                letters, shared = drawn(text, size, length), 0
            yield Draft(
                letters=letters,
                family=int(ids[0]) if ids else None,
                common=wanted.options.block,
                shared_len=shared,
                output_len=columns.output_len[i] if wanted.output_len is None else wanted.output_len,
                due=columns.time[i],
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

    def letters(self, ids: list[int], length: int) -> tuple[list[int], int]:
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


def _dataset(form: Format) -> Dataset:
    return Dataset(options=TraceOptions, prompts=reader(form), lengths="none", times=True, extra=problems)


DATASETS = {
    "burstgpt": _dataset(BURSTGPT),
    "azure": _dataset(AZURE),
    "mooncake": _dataset(MOONCAKE),
    "trace": _dataset(GENERIC),
}
