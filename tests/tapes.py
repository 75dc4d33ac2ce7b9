"""Made tapes: what a server answered, cut into reads, and the Record that the decoder makes of it."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pytest_vllm_bench.measure.decode import Decoder
from pytest_vllm_bench.model import SENT_FIELDS, Backend, Ending, Entry, EntryKind, Plan, Record

STREAM = "text/event-stream; charset=utf-8"


def chunked(*pieces: bytes, end: bool = True) -> bytes:
    """HTTP chunks; without ``end`` the last one, which says that the body is whole, is missing."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece) + (b"0\r\n\r\n" if end else b"")


def head(status: int = 200, content_type: str = STREAM, extra: str = "transfer-encoding: chunked\r\n") -> bytes:
    return f"HTTP/1.1 {status} Whatever\r\nserver: test\r\ncontent-type: {content_type}\r\n{extra}\r\n".encode()


def response(*pieces: bytes, status: int = 200, content_type: str = STREAM) -> bytes:
    """A whole response in HTTP chunks."""
    return head(status, content_type) + chunked(*pieces)


def plain(body: bytes, status: int = 200, content_type: str = "application/json", extra: str = "") -> bytes:
    """A response with a length."""
    return head(status, content_type, f"content-length: {len(body)}\r\n{extra}") + body


def plan(**changed: object) -> Plan:
    values: dict[str, object] = {"scenario_id": "made", "folder": Path(), "n": 1, "path": "/", "models": ("m",)}
    return Plan(**{**values, **changed})  # type: ignore[arg-type]


def row(asked_output: int = -1, audio_s: float = math.nan, input_len: int = -1) -> tuple[object, ...]:
    """A row of the plan's index."""
    return (0, 0, 0, 0, 0, 0.0, math.nan, input_len, asked_output, 0, audio_s)


def sent(request: int = 0, time: float = 0.0, flags: int = 1) -> Entry:
    return Entry(EntryKind.SENT, request, time, struct.pack(SENT_FIELDS, time, math.nan, math.nan, 0, flags))


def entries(reads: Iterable[bytes], ending: int = Ending.COMPLETE, words: str = "", step: float = 0.1) -> list[Entry]:
    """Sent at 0, a read each ``step`` seconds, its end with the last one."""
    tape = [sent()]
    for i, data in enumerate(reads, 1):
        tape.append(Entry(EntryKind.READ, 0, i * step, data))
    return [*tape, Entry(EntryKind.END, 0, tape[-1].time, bytes([ending]) + words.encode())]


def decode(
    backend: Backend,
    reads: Sequence[bytes],
    ending: int = Ending.COMPLETE,
    *,
    words: str = "",
    asked: int = -1,
    counter: Callable[[list[str]], list[int]] | None = None,
    keep_text: bool = True,
    **of_plan: Any,
) -> Record:
    """The Record of one request whose response came in these reads."""
    decoder = Decoder(plan(**of_plan), backend, [row(asked)], count_tokens=counter, keep_text=keep_text, started=0.0)
    records = [decoder.feed(entry) for entry in entries(reads, ending, words)]
    assert records[:-1] == [None] * (len(records) - 1)
    assert decoder.rest() == []
    record = records[-1]
    assert record is not None
    return record


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """``data`` cut at these places; no empty pieces."""
    bounds = [0, *sorted(set(places)), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(bounds) if a < b]


def facts(record: Record) -> dict[str, object]:
    """What must not depend on how the bytes were split: all but times and the grouping into reads."""
    return {
        "status": record.status,
        "text": record.text,
        "events": sum(record.arrival_events),
        "tokens": sum(record.arrival_tokens),
        "prompt_tokens": record.prompt_tokens,
        "output_tokens": record.output_tokens,
        "cached_tokens": record.cached_tokens,
        "reasoning_tokens": record.reasoning_tokens,
        "token_source": record.token_source,
        "tokens_per_event": record.tokens_per_event,
        "finish_reason": record.finish_reason,
        "error": record.error,
        "error_detail": record.error_detail,
        "retry_after": record.retry_after,
        "sequences": record.sequences,
        "bytes_in": record.bytes_in,
        "server": record.server,
        "has": [getattr(record, name) is not None for name in ("first_chunk", "first_token", "first_output")],
    }
