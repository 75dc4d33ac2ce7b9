"""The network reads of one response → its arrivals, its text, its counts and the server's complaint."""

from __future__ import annotations

from array import array
from io import StringIO

from pytest_vllm_bench.backends.complaints import LIMIT
from pytest_vllm_bench.framing import Events, TooLong
from pytest_vllm_bench.http import Response
from pytest_vllm_bench.model import MOST_TOKENS, Backend, Delta, Ending, ErrorKind, Record

_ERROR_BODY = 16 * LIMIT  # bytes kept of an HTTP error's body
NESTED = Delta(choices=False, error="JSON nested too deeply to be read", error_kind="protocol")


class Answer:
    """A request that is open: what its bytes have said so far; times go straight into its ``record``.

    ``text`` collects all that was said, while somebody may need it.  ``streamed``: as was asked, and for SSE as it came
    (a server may answer a stream request with plain JSON): an answer in one piece has no first token, only an end.
    """

    __slots__ = (
        "_events", "_hint", "_keep_text", "_so_far", "backend", "counted", "ended", "error", "error_body", "events",
        "ids", "other", "over", "record", "response", "sizes", "spoke", "streamed", "text", "total", "usage", "whole",
    )  # fmt: skip

    def __init__(self, record: Record, backend: Backend, streamed: bool, *, keep_text: bool, may_count: bool) -> None:
        self.record = record
        self.backend = backend
        self.streamed = streamed
        self.text = StringIO() if keep_text or may_count else None
        self._keep_text = keep_text
        self.response = Response()
        self.error: tuple[ErrorKind, str] | None = None  # in the server's words inside a 200
        self.error_body = b""  # of an HTTP error
        self.over = False  # the terminal sign or an error came; what follows is ignored
        self.ended: float | None = None  # when that came, or else the finish reason
        self.whole: bool  # HTTP agrees that the message is whole; known at its end
        self.spoke = False  # something was said, in text or tokens
        self.usage: int | None = None  # the server's own total of output tokens
        self.other: int | None = None  # and what its sum says, where that differs
        self.total: int | None = None  # its running count of them
        self.ids = 0  # token ids seen
        self.events = 0  # token-bearing ones
        self.counted = True  # each of them said how many tokens it brought
        self.sizes = array("i")  # characters of each arrival
        self._events: Events | None = None
        self._hint: tuple[int, Delta] | None = None  # at an error, and the events before it
        self._so_far = ""  # of a backend that sends the whole text each time

    def take(self, at: float, data: bytes) -> None:
        """One network read."""
        record = self.record
        record.reads += 1
        record.bytes_in += len(data)
        body = self.response.feed(data)
        events = self._events
        if events is None:
            events, body = self._begin(body), body.lstrip()
        if body and events is not None and not self.over:
            try:
                if payloads := events.feed(body):
                    self._understand(at, payloads)
            except TooLong as problem:
                self._fail(str(problem), "protocol")

    def end(self, ending: int) -> None:
        """No more will come.  A clean end completes what had no final blank line; a cut one completes nothing."""
        record, response = self.record, self.response
        self.whole = response.complete or ending == Ending.CONTENT
        self.whole = self.whole or (ending == Ending.EOF and response.ends_with_connection)
        record.status = response.status
        record.from_cache = response.from_cache
        record.server = record.server or response.times or None
        if response.refused:
            record.retry_after = response.retry_after
        if self._events is not None and self.whole and not self.over and record.done is not None:
            payloads = self._events.flush()
            if self.streamed:
                self._understand(record.done, payloads)
            elif payloads:
                self._understand_whole(payloads[0])
        if self._hint is not None and self._hint[0] == self.events and self.error is None:
            self._fail(self._hint[1].error or "", self._hint[1].error_kind)
        response.close()

    def _begin(self, body: bytes) -> Events | None:
        """The framing, chosen once the first byte that is no space tells; None before that and without an answer."""
        first, encoding, framing = body.lstrip()[:1], self.response.encoding, self.backend.framing
        if self.response.status is None:
            return None  # what came with an interim answer, which should have no body
        if self.response.refused:
            self.error_body = (self.error_body + body)[:_ERROR_BODY]
        elif first and encoding:
            self._fail(f"content-encoding: {encoding}", "protocol")
        elif first:
            if framing == "sse":  # some stream by their path alone, some never do: the first byte tells
                self.streamed = first not in (b"{", b"[")
            self._events = Events(framing if self.streamed else "json")
        return self._events

    def _understand(self, at: float, payloads: list[bytes]) -> None:
        """Events that came in one read: one arrival, if any of them bears tokens."""
        record, read = self.record, self.backend.read
        before = self.events
        tokens = size = 0
        for payload in payloads:
            try:
                delta = read(payload)
            except RecursionError:
                delta = NESTED
            if delta.error is not None and delta.hint and not delta.terminal:
                self._hint = self._hint if record.finish_reason else (self.events, delta)
                continue
            if delta.error is not None:
                self._fail(delta.error, delta.error_kind)
                break
            text, reasoning, tool, brought = delta.text, delta.reasoning, delta.tool, delta.tokens
            if delta.cumulative:
                if not delta.whole:
                    text = self._grown(text)
                elif self.events:
                    text = reasoning = tool = ""  # it came in pieces
            if brought is not None:
                self.ids += brought
            if delta.total_tokens is not None:
                brought = self._risen(delta)
            length = len(text) + len(reasoning) + len(tool)
            if length or brought:
                if not brought and (brought is None or delta.finish_reason is None):  # nought beside text: not told
                    self.counted = False
                else:
                    tokens += brought
                    if brought and self.counted and not self._keep_text:
                        self.text = None  # the wire counts: no tokenizer will need the text
                self.events += 1
                size += length
                if text and record.first_output is None:
                    record.first_output = at
                if self.text is not None:
                    self.text.write(reasoning + text + tool)
            if record.first_chunk is None and delta.choices:
                record.first_chunk = at
            if (
                delta.finish_reason is not None
                or not delta.choices
                or delta.total_tokens is not None
                or delta.prompt_tokens is not None
                or delta.terminal
            ):
                self._note(delta)
                if delta.finish_reason is not None or self.over:
                    self.ended = at
                if self.over:
                    break
        if self.events > before:
            if not self.spoke:
                self.spoke, record.first_token = True, at
            record.last_token = at
            record.arrival_times.append(at)
            record.arrival_events.append(self.events - before)
            record.arrival_tokens.append(tokens)
            self.sizes.append(size)

    def _understand_whole(self, payload: bytes) -> None:
        """An answer that was not streamed: it has counts and an end, and no first token."""
        try:
            delta = self.backend.read(payload)
        except RecursionError:
            delta = NESTED
        if delta.error is not None:
            self._fail(delta.error, delta.error_kind)
            return
        said = delta.reasoning + delta.text + delta.tool
        self.spoke = bool(said)
        if self.text is not None:
            self.text.write(said)
        self.ids = delta.tokens or 0
        self.total = _counted(delta.total_tokens)
        self._note(delta)
        self.over = True

    def _note(self, delta: Delta) -> None:
        """What an event says beside text; a count of nought takes back none."""
        record = self.record
        if delta.finish_reason is not None:
            record.finish_reason = delta.finish_reason
        if said := _counted(delta.prompt_tokens):
            record.prompt_tokens = said
        if (said := _counted(delta.cached_tokens)) or record.cached_tokens is None:
            record.cached_tokens = said
        if (said := _counted(delta.reasoning_tokens)) or record.reasoning_tokens is None:
            record.reasoning_tokens = said
        if (said := _counted(delta.output_tokens)) or self.usage is None:
            self.usage, self.other = said, _counted(delta.other_tokens)
        if delta.sequences is not None:
            record.sequences = delta.sequences
        if delta.server is not None:
            record.server = delta.server
        if delta.terminal:
            self.over = True

    def _risen(self, delta: Delta) -> int | None:
        """Tokens of this event, by the running count; None if this is no running count but the answer's total.

        A total first seen after text came without one, or beside the finish reason, is usage and no rise; nought is no
        count at all.
        """
        before, total = self.total, _counted(delta.total_tokens)
        if not total:
            return delta.tokens
        self.total = total
        if before is None and (self.events or (delta.finish_reason is not None and delta.output_tokens is not None)):
            return delta.tokens
        return max(0, total - (before or 0))

    def _grown(self, text: str) -> str:
        """What is new in a text that holds everything so far.

        Shorter than before: it is a delta after all (a server may be told to send those).  Else changed, not grown: it
        replaces what was there, as when the half of a character at the end has become whole.
        """
        before = self._so_far
        if text.startswith(before):
            self._so_far = text
            return text[len(before) :]
        kept = before.rstrip("\ufffd")
        if text.startswith(kept):
            self._so_far = text
            return text[len(kept) :]
        self._so_far = before + text if len(text) < len(before) else text
        return text

    def _fail(self, words: str, kind: ErrorKind | None) -> None:
        self.error = kind or "in_stream", words
        self.over = True


def _counted(said: int | None) -> int | None:
    """A server's number of tokens; None where it cannot have counted them."""
    return said if said is not None and 0 <= said <= MOST_TOKENS else None
