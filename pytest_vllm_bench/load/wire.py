"""One request's bytes → one connection → the tape, with one timestamp a read."""

from __future__ import annotations

import asyncio
import math
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, cast
from urllib.parse import urlsplit

import httptools

from pytest_vllm_bench.load.dispatch import Row
from pytest_vllm_bench.load.tape import ENTRY_HEAD, Tape
from pytest_vllm_bench.model import Ending, EntryKind, Timeouts

REUSED, RECONNECTED = 1, 2
#: An open connection that is lost this soon after a request was written to it, or within the time that opening it took
#: (a round trip, whatever the distance), was closed before the server had the request: it may be sent again.  Wherever
#: the line is drawn no time is lost, since a request's clock runs from its first sending.
AT_ONCE_S = 0.25
LARGE_READ = 4 << 10
_READ = EntryKind.READ
_entry = ENTRY_HEAD.pack


@dataclass(slots=True, kw_only=True)
class Flight:
    """A request on its way."""

    row: Row
    payload: bytes  # head and body
    ready: float
    due: float
    waited: bool = False  # for a connection of its own: one that was not open before
    sent: float = 0.0  # first; a connection that was dead at once is no new beginning
    reconnected: bool = False
    response: list[bytes] | None = None  # its bytes, where a later turn needs the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a base URL leads."""

    secure: bool
    host: str  # name or address, as in the Host header without the port
    port: int
    unix: str = ""  # path of a Unix socket
    prefix: str = ""  # path before the endpoint's

    @property
    def authority(self) -> str:
        if self.unix:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def address(base_url: str) -> Address:
    """``scheme://host[:port][/prefix]`` or ``unix:///path``."""
    parts = urlsplit(base_url)
    if parts.scheme == "unix":
        return Address(secure=False, host="localhost", port=0, unix=parts.path)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    return Address(secure=secure, host=parts.hostname or "", port=port, prefix=parts.path.rstrip("/"))


def tls(verify: bool | str) -> ssl.SSLContext:
    """``verify``: True, False (anybody is believed), or the path of a CA bundle."""
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def heads(where: Address, path: str, content_type: str, headers: Mapping[str, str], keep_alive: bool) -> bytes:
    """The part of the request head that all requests share, up to where x-request-id and content-length follow."""
    own = {
        "host": where.authority,
        "user-agent": "pytest-vllm-bench",
        "accept": "*/*",
        "accept-encoding": "identity",  # a compressed stream arrives when the compressor sees fit
        "connection": "keep-alive" if keep_alive else "close",
        "content-type": content_type,
    }
    own.update({name.lower(): value for name, value in headers.items()})
    lines = [f"POST {where.prefix}{path} HTTP/1.1", *(f"{name}: {value}" for name, value in own.items())]
    return ("\r\n".join(lines) + "\r\n").encode("latin-1", "replace")


@dataclass(slots=True, kw_only=True)
class Hooks:
    """Whom connections tell what becomes of them and of the flights they carry."""

    ended: Callable[[Connection, Flight, float, bool], None]  # when; answered with 2xx, or not
    died_early: Callable[[Flight], None]  # an open connection was gone before any byte came: to be sent again, once
    connected: Callable[[Flight], bool]  # it waited for a connection, which is there; False: it is no longer wanted
    failed: Callable[[Flight, int, str], None]  # there is no connection for it: Ending, and words
    lost: Callable[[Connection], None]
    active: set[Connection] = field(default_factory=set)


class Connection(asyncio.Protocol):
    """One connection; carries one request at a time, never pipelined."""

    __slots__ = (
        "_answered", "_fd", "_head", "_keep", "_parser", "_response", "_tape", "_whole", "_write",
        "carried", "connect_s", "flight", "got_body", "got_bytes", "hooks", "last", "number", "open", "reads", "row",
        "sent", "transport", "why",
    )  # fmt: skip

    def __init__(self, tape: Tape, hooks: Hooks, number: int) -> None:
        self._tape, self.hooks, self.number = tape, hooks, number
        self._write = tape.write
        self.reads = 0
        self.transport: asyncio.Transport | None = None
        self.flight: Flight | None = None
        self._response: list[bytes] | None = None
        self.connect_s = math.nan
        self.row = -1
        self.sent = self.last = 0.0
        self.open = self.got_bytes = self.got_body = self._whole = self._answered = self._keep = False
        self.carried = 0  # requests so far
        self.why = ""
        self._head = b""
        self._fd = -1
        self._parser: Any = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.open = True
        if transport.get_extra_info("sslcontext") is None:
            self._fd = transport.get_extra_info("socket").fileno()

    def start(self, flight: Flight) -> None:
        """Send ``flight``.  Its first byte goes to the kernel now, not when the loop flushes its transports."""
        assert self.transport is not None
        self.flight, self.row, self._response = flight, flight.row.number, flight.response
        self.got_bytes = self.got_body = self._whole = False
        self._head = b""
        payload, written = flight.payload, 0
        self.last = now = perf_counter()
        self.sent = flight.sent = flight.sent or now
        if self._fd >= 0:
            try:
                written = os.write(self._fd, payload)
            except BlockingIOError:
                written = 0
            except OSError as error:
                self.why = str(error)
                self.transport.abort()
                written = len(payload)
        if written < len(payload):
            self.transport.write(payload[written:])
        reused = self.carried > 0
        self.carried += 1
        flags = REUSED * reused | RECONNECTED * flight.reconnected
        connect_s = math.nan if reused else self.connect_s
        self._tape.sent(self.row, self.sent, (flight.ready, flight.due, connect_s, self.number, flags))
        self.hooks.active.add(self)

    def data_received(self, data: bytes) -> None:
        at = perf_counter()
        row = self.row
        if row < 0:
            self.close()  # nothing was asked
            return
        size = len(data)
        write = self._write
        write(_entry(_READ, row, at, size))
        write(data)
        self.reads += 1
        self.last = at
        if not self._tape.pending:
            self._tape.touch()
        if size > LARGE_READ:
            self._tape.relieve()
        if self._response is not None:
            self._response.append(data)
        if not self.got_body:
            self._look_for_body(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.open = False  # also where a whole answer was followed by something that nobody asked for
            if not self._whole:
                self._finish(at, Ending.PROTOCOL, str(error))
        if self._whole:
            self._finish(at, Ending.COMPLETE)

    def _look_for_body(self, data: bytes) -> None:
        self.got_bytes = True
        flight = self.flight
        assert flight is not None
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if 0 <= end < len(self._head) - 4:
            self.got_body, self._head = True, b""

    def on_message_begin(self) -> None:
        if self._whole:
            self.open = False  # a second answer to one request

    def on_message_complete(self) -> None:
        if self._whole:
            return
        status = self._parser.get_status_code()  # this and keep-alive are known only here, not after the callback
        if status >= 200:  # 100 Continue and the like precede the answer
            self._whole, self._answered = True, status < 300
            self._keep = self._parser.should_keep_alive()

    def _finish(self, at: float, ending: int, words: str = "") -> None:
        flight, self.flight, self.row = self.flight, None, -1
        assert flight is not None
        self.hooks.active.discard(self)
        self._tape.reads += self.reads
        self.reads = 0
        self._tape.end(flight.row.number, at, ending, words)
        answered = False
        if ending == Ending.COMPLETE:
            answered = self._answered
            # Answered before the request was whole (429, 413): the next one would be written into the rest of this one.
            self.open = self.open and self._keep and not cast(asyncio.Transport, self.transport).get_write_buffer_size()
        else:
            self.open = False
        if not self.open:
            self.close()
        self.hooks.ended(self, flight, at, answered)

    def overdue(self, now: float, limits: Timeouts) -> int | None:
        """Which timeout has passed, as an Ending."""
        if now - self.sent > limits.total:
            return Ending.TIMEOUT_TOTAL
        if not self.got_body:
            return Ending.TIMEOUT_FIRST if now - self.sent > limits.first_token else None
        return Ending.TIMEOUT_BETWEEN if now - self.last > limits.between_tokens else None

    def give_up(self, ending: int) -> None:
        """End the flight from our side."""
        self._finish(perf_counter(), ending)

    def close(self) -> None:
        self.open = False
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        at = perf_counter()
        self.open, self._fd = False, -1
        flight = self.flight
        if flight is not None:
            if not (self.got_bytes or flight.waited) and at - self.sent <= max(AT_ONCE_S, self.connect_s):
                # the server had closed it, and we did not know yet
                self.flight, self.row = None, -1
                self.hooks.active.discard(self)
                self.hooks.died_early(flight)
            elif error is None and not self.why:
                self._finish(at, Ending.EOF)
            else:
                self._finish(at, Ending.RESET, self.why or str(error))
        self.hooks.lost(self)
        self.transport = self._parser = None  # else protocol, transport and parser keep one another alive
