"""The bytes of a response → what they say of its life: a token, or the end.

The measuring path reads no content.  A connection is looked at where its bytes hint at an end that HTTP does not tell,
until its first token, and a few times within ``between_tokens``: with the backend's own reader, apart from the reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from pytest_vllm_bench.framing import Events, Framing, TooLong
from pytest_vllm_bench.http import Response
from pytest_vllm_bench.model import Backend, Delta

_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
UNREADABLE = Delta(choices=False, error="unreadable", error_kind="protocol")
_TRIES = 16  # line starts at which a chunk may begin, where a look begins in the middle of a response
#: A head that is longer never ends.
_HEAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """How responses are read.  Without ``read`` any byte of a body is a token, and HTTP alone tells the end."""

    sign: bytes = b"[DONE]"  # stands in an event that may be the last
    framing: Framing = "json"
    read: Callable[[bytes], Delta] | None = None

    @staticmethod
    def of(sign: bytes, framing: Framing, reader: str) -> Content:
        """``reader`` as ``name_of`` spelled it; one that is not there, as of a conftest, is none."""
        module, _, name = reader.partition(":")
        try:
            read = getattr(import_module(module), name) if module else None
        except Exception:  # whatever a module of others does where it is not at home
            read = None
        return Content(sign=sign, framing=framing, read=read)


def name_of(backend: Backend | None) -> str:
    """Where another process finds the backend's reader: "module:function"; "" without a backend."""
    read = None if backend is None else backend.read
    return f"{getattr(read, '__module__', '')}:{getattr(read, '__qualname__', '')}" if read else ""


class Look:
    """One response, looked at from some read on: ``take`` what came, and it says whether a token was in it.

    ``over``: the answer has ended, well or with an error.  ``finished``: there is a reason why it ended, and only
    counts may follow.  ``problem``: it will never end.
    """

    def __init__(self, content: Content) -> None:
        self.over = self.finished = False
        self.problem = ""
        self._content = content
        self._response: Response | None = None
        self._raw = self._begun = False  # the body without HTTP's chunks; from the response's beginning
        self._head = 0
        self._events: Events | None = None
        self._so_far: tuple[int | None, str] = (None, "")  # of a backend that counts, or sends, all of it each time

    @property
    def midway(self) -> bool:
        """An event has begun and not ended."""
        return self._events is not None and self._events.midway

    def ends_here(self) -> bool:
        """Where nothing more comes: the answer has ended, perhaps with an event that lacks its blank line."""
        events = self._events
        if events is None or events.whole or not events.midway:
            return self.over or self.finished
        rest = Events(self._content.framing)
        payloads = [*rest.feed(events.so_far), *rest.flush()]
        return self.over or self.finished or any(self._delta(payload).terminal for payload in payloads)

    def take(self, data: bytes) -> bool:
        body = self._body(data)
        if self._events is None and not (body := body.lstrip()):
            return False
        try:
            return self._understood(body)
        except TooLong as problem:
            self.problem = str(problem)
            return False

    def _body(self, data: bytes) -> bytes:
        """The body without HTTP's chunks; where the look begins in the middle of it, from a chunk's beginning on."""
        if self._response is None and not self._raw:
            self._begun = data.startswith(b"HTTP/")
            if not self._begun:
                return self._found(data)
            self._response = Response()
        if self._response is None:
            return data
        body = self._response.feed(data)
        if self._response.problem:
            self._response, self._raw = None, True  # the connection knows it, too
        if not body and self._events is None:
            self._head += len(data)
            if self._head > _HEAD_BYTES:
                self.problem = "headers without an end"
        return body

    def _found(self, data: bytes) -> bytes:
        """The body in ``data``, from the first place on at which a chunk begins; all of it where none does."""
        at = 0
        for _ in range(_TRIES):
            self._response = Response()
            if (body := self._response.feed(_HEAD + data[at:])) and not self._response.problem:
                return body
            at = data.find(b"\n", at) + 1
            if not at:
                break
        self._response, self._raw = None, True
        return data

    def _understood(self, body: bytes) -> bool:
        content = self._content
        if content.read is None:
            return True
        if self._events is None:
            framing = content.framing
            if framing == "sse" and self._begun and body[:1] in (b"{", b"["):
                framing = "json"
            self._events = Events(framing)
        payloads = self._events.feed(body)
        if self._events.whole:  # JSON: bytes are what there is, until they are a document
            self.finished = self._begun and body.rstrip()[-1:] in (b"}", b"]") and self._is_document()
            return True
        return sum(self._bears(self._delta(payload)) for payload in payloads) > 0  # all of them, for the end

    def _is_document(self) -> bool:
        """The answer so far is a whole one; where a stream was asked for, lines of JSON may be one, and go on."""
        assert self._events is not None
        delta = self._delta(self._events.so_far)
        ended = self._content.framing == "json" or delta.finish_reason is not None or delta.error is not None
        return ended and delta.error_kind != "protocol"

    def _delta(self, payload: bytes) -> Delta:
        assert self._content.read is not None
        try:
            return self._content.read(payload)
        except (RecursionError, ValueError):
            return UNREADABLE

    def _bears(self, delta: Delta) -> bool:
        """There is a token in the event; notes the end on the way."""
        if delta.error is not None:  # what is not whole because the look began in it is none of the server's mistakes
            self.over = self.over or (not delta.hint and (self._begun or delta.error_kind != "protocol"))
            return False
        self.over = self.over or delta.terminal
        counted = not delta.choices and bool(delta.output_tokens)  # nought may be told before the first token
        self.finished = self.finished or delta.finish_reason is not None or counted
        said = (delta.total_tokens, delta.text if delta.cumulative else "")
        risen, self._so_far = any(said) and said != self._so_far, said
        fresh = delta.reasoning or delta.tool or (not delta.cumulative and delta.text)
        return bool(delta.choices and (fresh or delta.tokens or risen))
