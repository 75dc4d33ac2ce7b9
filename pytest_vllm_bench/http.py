"""The bytes of one response, as they came → its status, headers and body (parsed by llhttp)."""

from __future__ import annotations

import re

import httptools

#: Caches of whole answers name themselves in such a header; those of prompts (prefix, kv) are the server's own.
_CACHE, _HIT = re.compile(rb"^(?!.*(prefix|kv|control)).*cache"), re.compile(rb"\s*(hit|true)\b", re.IGNORECASE)
_TIMES = (b"x-queue-time", b"x-inference-time", b"x-validation-time", b"x-total-time")  # TGI's, ms
_KEPT = frozenset({b"retry-after", b"date", b"content-length", b"transfer-encoding", b"content-encoding", *_TIMES})


class Response:
    """One HTTP response, fed as it came.  ``status`` is None until its headers are whole; 1xx answers are passed over.

    ``complete``: HTTP says that the message is whole; what follows is ignored.  ``problem``: why it is not HTTP.
    """

    __slots__ = ("_end", "_headers", "_parser", "_pieces", "complete", "from_cache", "on_body", "problem", "status")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append  # what llhttp calls with each piece of the body
        self._end: int  # pieces that were there when the message was complete
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self.status: int | None = None
        self.complete = False
        self.from_cache = False  # a cache of answers says that it gave this one
        self.problem = ""

    def feed(self, data: bytes) -> bytes:
        """The bytes of the body in ``data``."""
        parser, pieces = self._parser, self._pieces
        if parser is None:
            return b""
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            if not self.complete:
                changed = isinstance(problem, httptools.HttpParserUpgrade)  # whose words are a number of bytes
                self.problem = "101 Switching Protocols" if changed else str(problem)
            self._parser = None
        if self.complete:
            self._parser = None
            del pieces[self._end :]
        if len(pieces) == 1:
            return pieces.pop()
        body = b"".join(pieces)
        pieces.clear()
        return body

    def close(self) -> None:
        """No more bytes will come; breaks the cycle between parser and response."""
        self._parser = None

    @property
    def refused(self) -> bool:
        """The status says that what follows is no answer."""
        return self.status is not None and self.status >= 300

    @property
    def ends_with_connection(self) -> bool:
        """The server gave no other sign of the end than closing: an EOF after the headers is legal."""
        return (
            self.status is not None
            and b"content-length" not in self._headers
            and b"chunked" not in self._headers.get(b"transfer-encoding", b"").lower()
        )

    @property
    def retry_after(self) -> float | None:
        """Seconds, as said or from the server's own date to the one it names."""
        said = self._headers.get(b"retry-after", b"").decode("latin-1").strip()
        try:
            return max(0.0, float(said))
        except ValueError:
            pass
        from email.utils import parsedate_to_datetime  # which measuring processes do without

        try:
            then = parsedate_to_datetime(said)
            now = parsedate_to_datetime(self._headers.get(b"date", b"").decode("latin-1"))
            return max(0.0, (then - now).total_seconds())
        except (ValueError, TypeError):
            return None

    @property
    def times(self) -> dict[str, str]:
        """What the server says of its own time in headers, as some do where nothing is streamed."""
        return {name.decode(): self._headers[name].decode("latin-1") for name in _TIMES if name in self._headers}

    @property
    def encoding(self) -> str:
        """The content coding; "" for the identity that was asked for."""
        coding = self._headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
        return "" if coding == "identity" else coding

    # What llhttp calls, in its own names.

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in _KEPT and not self.complete:
            self._headers[name] = value
        elif _CACHE.search(name) and _HIT.match(value):
            self.from_cache = True

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if self.complete:
            return
        if status < 200:
            self._headers.clear()
        else:
            self.status = status

    def on_message_complete(self) -> None:
        if self.status is not None and not self.complete:
            self.complete, self._end = True, len(self._pieces)
