"""The entries of a tape → Records: what happened to each request, in the words of ``docs/en/metrics.md``."""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from pytest_vllm_bench.backends.complaints import capped, failing, of_body
from pytest_vllm_bench.measure.answer import Answer
from pytest_vllm_bench.measure.tokens import Counter, count
from pytest_vllm_bench.model import SENT_FIELDS, Backend, Ending, Entry, EntryKind, ErrorKind, Plan, Record

_SENT = struct.Struct(SENT_FIELDS)
_READ = EntryKind.READ
_REUSED, _RECONNECTED = 1, 2
#: Of a record's times: a microsecond is finer than any clock read here, and in a file a third of all seventeen.
DIGITS = 6
_SHED = (429, 503)
_CUT, _UNANSWERED = "closed in the middle of the answer", "closed without an answer"
_BEFORE: dict[int, ErrorKind] = {
    Ending.CANCELLED: "cancelled",
    Ending.NOT_SENT: "not_sent",
    Ending.CONNECT: "connect",
}
_TIMEOUTS: dict[int, Literal["connect", "first_token", "between_tokens", "total"]] = {
    Ending.TIMEOUT_CONNECT: "connect",
    Ending.TIMEOUT_FIRST: "first_token",
    Ending.TIMEOUT_BETWEEN: "between_tokens",
    Ending.TIMEOUT_TOTAL: "total",
}
#: Endings that come some time after the content's own.
_LATE = frozenset({*_TIMEOUTS, Ending.EOF, Ending.RESET, Ending.PROTOCOL, Ending.CANCELLED})


class Decoder:
    """Feed it a tape, entry by entry, and it gives a Record for each request that has ended.

    ``rows``: the plan's index, rows as in ``model.INDEX_ROW``.  ``count_tokens``: texts → tokens of each, used only
    where the server gave no count; None: events are counted instead.  ``started``: the run's start on the measuring
    clock, from which the records' times count (None: they stay absolute).
    Memory of an open request: about 2.5 kB, 20 bytes a read, and its text while it may be needed.
    """

    def __init__(
        self,
        plan: Plan,
        backend: Backend,
        rows: Sequence[Any],
        *,
        count_tokens: Counter | None = None,
        keep_text: bool = False,
        started: float | None = None,
    ) -> None:
        self._plan = plan
        self._backend = backend
        self._rows = rows
        self._count = count_tokens
        self._keep_text = keep_text
        self._started = started or 0.0
        self._open: dict[int, Answer] = {}

    @property
    def in_flight(self) -> int:
        """Requests sent whose end has not been read yet."""
        return len(self._open)

    def feed(self, entry: Entry) -> Record | None:
        """Take one entry; the Record if it was the request's last."""
        kind, request, time, data = entry
        if kind == _READ:
            (self._open.get(request) or self._begin(request)).take(time - self._started, data)
            return None
        if kind == EntryKind.SENT:
            # Perhaps once more, on a fresh connection; its time is then still that of the first sending.
            self._sent(self._begin(request).record, time, data)
            return None
        answer = self._open.get(request) or self._begin(request)
        del self._open[request]
        answer.record.done = time - self._started
        return self._close(answer, data[0], data[1:].decode(errors="replace"))

    def rest(self) -> list[Record]:
        """Those whose end is not on the tape: whoever wrote it was stopped."""
        left = [self._close(answer, Ending.CANCELLED, "") for answer in self._open.values()]
        self._open.clear()
        return left

    def _begin(self, request: int) -> Answer:
        _, _, chain, turn, model, due, _, input_len, output_len, shared, audio = self._rows[request]
        models = self._plan.models
        record = Record(
            index=request,
            chain=int(chain),
            turn=int(turn),
            model=models[int(model)] if int(model) < len(models) else "",
            due=None if math.isnan(due) else float(due),
            asked_input=int(input_len) if input_len >= 0 else None,
            asked_output=int(output_len) if output_len >= 0 else None,
            shared_input=int(shared),
            audio_s=None if math.isnan(audio) else float(audio),
        )
        streamed = self._plan.streamed and self._backend.framing != "json"
        may_count = self._count is not None
        answer = Answer(record, self._backend, streamed, keep_text=self._keep_text, may_count=may_count)
        self._open[request] = answer
        return answer

    def _sent(self, record: Record, time: float, data: bytes) -> None:
        ready, due, connect_s, _, flags = _SENT.unpack(data)
        record.sent = time - self._started
        record.ready = ready - self._started
        record.due = None if math.isnan(due) else due - self._started
        record.connect_s = None if math.isnan(connect_s) else connect_s
        record.reused = bool(flags & _REUSED)
        record.reconnected = bool(flags & _RECONNECTED)

    def _close(self, answer: Answer, ending: int, words: str) -> Record:
        record = answer.record
        answer.end(ending)
        if self._backend.generates:
            count(answer, self._count, "counter" if self._backend.counts == "counter" else "usage")
        record.error, record.error_detail = _error(answer, ending, words, self._plan.force_length)
        if record.error is None and ending in _LATE and answer.ended is not None:
            record.done = answer.ended
        record.timeout = _TIMEOUTS.get(ending) if record.error == "timeout" else None
        _round(record)
        if self._keep_text and answer.text is not None:
            record.text = answer.text.getvalue()
        return record


def _is_over(answer: Answer, ending: int) -> bool:
    """The content has said that it is all, whatever became of the connection.

    A finish reason is that too where nothing but silence follows it; a connection that breaks has said more.
    """
    return answer.over or (ending in _TIMEOUTS and answer.ended is not None)


TIMES = ("due", "ready", "sent", "first_chunk", "first_token", "first_output", "last_token", "done")


def _round(record: Record) -> None:
    """A record is what its line in a file says."""
    for name in TIMES:
        if (time := getattr(record, name)) is not None:
            setattr(record, name, round(time, DIGITS))
    record.arrival_times = array("d", np.round(np.frombuffer(record.arrival_times), DIGITS).tobytes())


def _error(answer: Answer, ending: int, words: str, forced: bool) -> tuple[ErrorKind | None, str]:
    """What went wrong, the most telling first, in the server's or the system's words."""
    over = _is_over(answer, ending)
    if ending in _BEFORE and not over:
        return _BEFORE[ending], words
    if answer.response.refused:
        status = answer.record.status
        return "rejected" if status in _SHED else "http", _said(answer.error_body) or f"HTTP {status}"
    if answer.error is not None:
        return answer.error
    if over:
        return _unfinished(answer, forced)
    if ending in _TIMEOUTS:
        return "timeout", words
    if answer.response.problem or ending == Ending.PROTOCOL:
        return "protocol", capped(answer.response.problem or words)
    if not answer.whole:
        return "reset", words or (_CUT if answer.record.reads else _UNANSWERED)
    return _unfinished(answer, forced)


def _said(body: bytes) -> str:
    try:
        return of_body(body)
    except RecursionError:
        return capped(body.decode(errors="replace"))


def _unfinished(answer: Answer, forced: bool) -> tuple[ErrorKind | None, str]:
    """What HTTP calls a whole answer and the backend does not."""
    record, backend = answer.record, answer.backend
    if not backend.generates:
        return (None, "") if answer.over else ("empty", "")
    if (broken_off := failing(record.finish_reason)) is not None:
        return broken_off, f"finish_reason: {record.finish_reason}"
    if not (answer.spoke or record.output_tokens):
        return "empty", ""
    if not answer.over and record.finish_reason is None and backend.terminal != "end":
        return "truncated", ""
    got, asked = record.output_tokens, record.asked_output
    by_server = record.token_source in ("usage", "counter", "ids")
    if forced and by_server and got is not None and asked is not None and got < asked:
        return "short", f"{got} < {asked}"
    return None, ""
