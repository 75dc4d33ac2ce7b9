"""Records → what is unlike what was asked in each answer, as columns beside the metrics: NaN where nothing is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pytest_vllm_bench.model import Record

COUNTED_BY_SERVER = frozenset({"usage", "counter", "ids"})
#: How servers say that an answer met a limit (``stop``: it ended by itself).
_LIMITED = ("length", "max", "limit")
#: Answers whose arrivals are looked at, spread evenly over the run: lumps are a habit, not an accident.
LOOKED_AT = 400
#: Tokens of which an answer that ends by itself may consist without text: EOS, special ones, half a character.
TEXTLESS = 4
#: Fewer events say nothing about how they come.
FEWEST_EVENTS = 5
#: Seconds: what is shorter may be a client's or a kernel's own doing; and a model's token takes longer than this.
SHORTEST_WAIT, SHORTEST_TOKEN = 0.02, 0.001
#: Seconds an event within a lump; of a lump's gap to the next the share that is none.
WITHIN, SMALL = 0.002, 0.05
#: Events that make a lump, on average; and the share of those within an answer that may be less than half as large: a
#: buffer is full each time, or as full, while of a server's draft tokens now more, now fewer are accepted.
FEWEST_IN_LUMP, UNEVEN = 4.0, 0.1
#: Events that begin an answer together where those after them come one by one; so many times as many as come later.
FEWEST_HELD, TIMES_MORE = 8, 3


def oddities(rows: Sequence[Record]) -> dict[str, Any]:
    """``short``, ``long``: tokens of an answer that a limit other than ours ended, or that went on beyond ours;
    ``lump``, ``lumps``: events a lump (0: none), and lumps an answer; ``events``: of those whose arrivals were looked
    at; ``held``: events of which only the beginning came in a lump; ``canned``: tokens of one that a cache gave;
    ``miscounted``: tokens by the wire where the server's total is another; ``silent``: tokens of which none came;
    ``unstreamed``: those of an answer in one piece."""
    names = "short", "long", "lump", "lumps", "held", "events", "canned", "miscounted", "silent", "unstreamed"
    found = {name: np.full(len(rows), math.nan) for name in names}
    for i, record in enumerate(rows):
        if record.error is None or record.error == "short":
            for name, tokens in _counts(record):
                found[name][i] = tokens
    streams = [i for i, r in enumerate(rows) if r.error in (None, "short") and r.arrival_times]
    for i in streams[:: max(1, len(streams) // LOOKED_AT)]:
        record, events = rows[i], sum(rows[i].arrival_events)
        found["events"][i] = events
        if (wire := miscounted(record, events)) is not None:
            found["miscounted"][i] = wire
        if events >= FEWEST_EVENTS:
            found["lump"][i], found["lumps"][i] = lumps(record) or (0, math.nan)
            found["held"][i] = 0 if found["lump"][i] else held(record)
    return found


def miscounted(record: Record, events: int) -> int | None:
    """Tokens by the wire where the server's own total is another: ids, a running count, or at least one an event."""
    got = record.output_tokens
    if got is None or record.token_source not in COUNTED_BY_SERVER:
        return None
    wire, slack = record.disputed or max(sum(record.arrival_tokens), events), max(2.0, 0.05 * got)
    agrees = got - (record.reasoning_tokens or 0) - slack <= wire <= got + slack
    return None if agrees else wire


def _counts(record: Record) -> list[tuple[str, int]]:
    got, asked = record.output_tokens, record.asked_output
    if got is None:
        return []
    exact = record.token_source in COUNTED_BY_SERVER
    found = [("canned", got)] if record.from_cache else []
    limited = any(word in (record.finish_reason or "") for word in _LIMITED)
    if asked is not None and got != asked:
        slack = max(1.0, (0.01 if exact else 0.2) * asked)  # a count of our own may be off; one of theirs by an EOS
        if got > asked + slack:
            found.append(("long", got))
        elif record.error == "short" or (limited and got < asked - slack and record.token_source != "events"):
            found.append(("short", got))
    textless = got <= TEXTLESS and record.finish_reason and not limited
    if got and not record.arrival_times and not textless and (exact or record.first_chunk is None):
        found.append(("unstreamed" if record.first_chunk is None else "silent", got))
    return found


def lumps(record: Record) -> tuple[float, int] | None:
    """Events a lump, and how many lumps, of an answer that came in lumps; None: it came as it was made.

    In a lump events stand together as no model makes them, lumps are alike, and nearly all time passes between them, in
    gaps of like length: one long gap, or a queue's many, among tokens that take their time are none; nor is an event of
    many tokens, nor what a server drafted, by its own word (llama.cpp) or by its many sizes.
    """
    times, events = np.frombuffer(record.arrival_times), sum(record.arrival_events)
    span, wait = float(times[-1] - times[0]), float(times[0] - record.sent) if record.sent is not None else 0.0
    if wait >= max(SHORTEST_WAIT, events * SHORTEST_TOKEN, span / SMALL) and span <= (events - 1) * WITHIN / 4:
        return float(events), 1
    gaps = np.diff(times)
    if span < (events - 1) * SHORTEST_TOKEN:
        return None
    typical = float((gaps**2).sum()) / span  # of the gaps in which most of the time passed
    begin = np.flatnonzero(gaps > SMALL * typical) + 1
    between = gaps[begin - 1]
    inside, pieces = span - float(between.sum()), len(between) + 1
    together = inside <= min(2 * SMALL * span, WITHIN * (events - pieces))
    regular = together and typical >= SHORTEST_WAIT and float(between.max()) <= 3 * float(between.mean())
    if not (regular and events / pieces >= FEWEST_IN_LUMP) or (record.server or {}).get("draft_n"):
        return None
    sizes = np.add.reduceat(np.frombuffer(record.arrival_events, np.int32), [0, *begin])
    size = float((sizes**2).sum()) / events  # as most events see it: the first and the last may be parts
    uneven = (sizes[1:-1] < size / 2).sum() > UNEVEN * len(sizes[1:-1])
    return None if uneven else (size, pieces)


def held(record: Record) -> int:
    """Events that begin an answer together, after at least half the time that they took to make by the pace of those
    that follow one by one: something kept them until it had so many, or so many bytes; 0: nothing did."""
    times, events = np.frombuffer(record.arrival_times), np.frombuffer(record.arrival_events, np.int32)
    apart = np.flatnonzero(np.diff(times) > SHORTEST_TOKEN)
    first = int(apart[0]) + 1 if len(apart) else len(times)
    begin, later = int(events[:first].sum()), events[first:]
    if begin < FEWEST_HELD or len(later) < FEWEST_IN_LUMP or begin < TIMES_MORE * float(later.mean()):
        return 0
    pace = float(times[-1] - times[first - 1]) / int(later.sum())
    waited = float(times[0] - record.sent) if record.sent is not None else 0.0
    return begin if waited >= begin * max(pace, SHORTEST_TOKEN) / 2 else 0
