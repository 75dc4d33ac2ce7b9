"""The bytes of a response's body, however they were split → the payloads of its events.

Works on bytes throughout: a line, an event or one UTF-8 character may be cut anywhere by the network.  Of an event
nothing is looked at twice, however many reads it takes; one of more than ``MOST_BYTES`` will never end.
"""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from typing import Literal

Framing = Literal["sse", "ndjson", "json"]
_FAILURES = (b"error", b"exception")  # how the names of events end that tell of one
#: An event; also a whole JSON answer, of which the longest are batches of embeddings.
MOST_BYTES = 64 << 20


class TooLong(ValueError):
    """An event, or an answer of one piece, of more than ``MOST_BYTES``."""


class Events:
    """One response's framing.  ``feed`` gives the payloads completed by ``data``, ``flush`` what the end completes.

    "sse": server-sent events; a payload is the event's ``data`` lines joined by LF.  Lines may end in LF, CRLF or CR;
    comments, ``event:``, ``id:`` and ``retry:`` are no payload, but what an event named an error has to say becomes
    one: its data as JSON, under ``error``.  A block that has none of SSE's fields comes out whole:
    some servers end an event stream with naked JSON, and what is not SSE at all must not vanish.
    "ndjson": a payload is one line.  "json": the body is one payload, given by ``flush``.
    """

    __slots__ = ("_end", "_length", "_parts", "_returned", "_sse", "whole")

    def __init__(self, framing: Framing) -> None:
        self._sse = framing == "sse"
        self._end = b"\n\n" if self._sse else b"\n"
        self.whole = framing == "json"
        self._parts: list[bytes] = []  # of the event that is not complete yet; none is empty
        self._length = 0
        self._returned = False  # the last byte was a CR: an LF that follows belongs to it

    def feed(self, data: bytes) -> list[bytes]:
        if self._sse and (self._returned or data.find(b"\r") >= 0):
            data = self._line_feeds(data)
        line = data.find(b"\n")
        parts = self._parts
        if line < 0 or self.whole:
            return self._go_on(data)
        if parts:
            across = self._sse and line == 0 and parts[-1].endswith(b"\n")  # a blank line, cut in two
            if not across and data.find(self._end) < 0:
                return self._go_on(data)  # joining only at the end keeps a huge event linear
            parts.append(data)
            data = b"".join(parts)
            parts.clear()
            self._length = 0
        elif self._sse and line == len(data) - 2 and data.startswith(b"data: ") and data[6] > 32 and data[-1] == 10:
            return [data[6:-2]]  # one event in one read, as nearly always
        blocks = data.split(self._end)
        self._go_on(blocks.pop())
        payloads = map(_payload, blocks) if self._sse else blocks
        return [payload for payload in payloads if payload and not payload.isspace()]

    def _go_on(self, data: bytes) -> list[bytes]:
        """Keep the beginning of an event.  Raises TooLong."""
        if data:
            self._parts.append(data)
            self._length += len(data)
            if self._length > MOST_BYTES:
                self._parts.clear()
                raise TooLong(f"an event of more than {MOST_BYTES >> 20} MiB")
        return []

    @property
    def midway(self) -> bool:
        """An event has begun and not ended."""
        return bool(self._parts)

    @property
    def so_far(self) -> bytes:
        """What has come of the event that has not ended."""
        self._parts[:] = [b"".join(self._parts)]
        return self._parts[0]

    def flush(self) -> list[bytes]:
        rest = b"".join(self._parts)
        self._parts.clear()
        self._length = 0
        payload = _payload(rest) if self._sse else rest
        return [payload] if payload and not payload.isspace() else []

    def _line_feeds(self, data: bytes) -> bytes:
        """CRLF and CR become LF, also where the pair was split between two reads."""
        if self._returned and data[:1] == b"\n":
            data = data[1:]
            self._returned = False
        if data:
            self._returned = data[-1:] == b"\r"
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _payload(block: bytes) -> bytes:
    """The data of one block of SSE lines; empty if it has none."""
    if block.startswith(b"data: ") and block.find(b"\n") < 0:
        return block[6:]
    data: list[bytes] = []
    known, name = False, b""
    for line in block.split(b"\n"):
        field, colon, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
            known = True
        elif field in (b"event", b"id", b"retry") or (colon and not field):
            known = True
            name = value.strip().lower() if field == b"event" else name
    if not known:
        return _payload(block.lstrip(BOM_UTF8)) if block.startswith(BOM_UTF8) else block
    payload = b"\n".join(data)
    if not name.endswith(_FAILURES):
        return payload
    return _error(name if payload.strip() in (b"", b"{}", b"null") else payload)


def _error(said: bytes) -> bytes:
    """What is said is JSON already, or plain text."""
    if said.lstrip()[:1] not in (b"{", b"[", b'"'):
        said = json.dumps(said.decode("utf-8", "replace")).encode()
    return b'{"object":"error","error":%s}' % said
