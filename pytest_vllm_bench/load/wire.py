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

from pytest_vllm_bench.load.content import Content, Look
from pytest_vllm_bench.load.dispatch import PlannedRow
from pytest_vllm_bench.load.tape import ENTRY_HEAD, Tape
from pytest_vllm_bench.model import Ending, EntryKind, Timeouts

REUSED, RECONNECTED = 1, 2
#: An open connection that is lost this soon after a request was written to it, or within the time that opening it took
#: (a round trip, whatever the distance), was closed before the server had the request: it may be sent again.  Wherever
#: the line is drawn no time is lost, since a request's clock runs from its first sending.
AT_ONCE_S = 0.25
LARGE_READ = 4 << 10
#: A read so short, or one that does not end with a line, may be the rest of an end that was cut in two, or keep alive
#: what has ended.
SHORT_READ = 40
#: From what looks like an end to looking.
GRACE_S = 0.001
#: A connection whose answer is whole while HTTP's end has not come may be used again if that comes within this time.
REST_S = 1.0
#: After a finish reason only counts and a sign may follow; so much silence, and none will.
AFTERWORD_S = 1.0
#: Of a timeout: how late silence may be noticed where bytes without a token break it.
LOOKS = 10
_READ = EntryKind.READ
_entry = ENTRY_HEAD.pack


@dataclass(slots=True, kw_only=True)
class Flight:
    """A request on its way."""

    row: PlannedRow
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
    rested: Callable[[Connection], None]  # HTTP's end has come after all: it can be used again
    content: Content = Content()
    active: set[Connection] = field(default_factory=set)


class Connection(asyncio.Protocol):
    """One connection; carries one request at a time, never pipelined."""

    __slots__ = (
        "_answered", "_fd", "_finished", "_keep", "_kept", "_latest", "_look", "_parser", "_resting", "_sign", "_tail",
        "_tape", "_timer", "_watching", "_whole", "_write", "carried", "connect_s", "flight", "hooks", "last",
        "number", "open", "reads", "row", "sent", "token", "transport", "why",
    )  # fmt: skip

    def __init__(self, tape: Tape, hooks: Hooks, number: int) -> None:
        self._tape, self.hooks, self.number = tape, hooks, number
        self._write = tape.write
        self.reads = 0
        self.transport: asyncio.Transport | None = None
        self.flight: Flight | None = None
        self.connect_s = math.nan
        self.row = -1
        self.sent = self.last = self.token = 0.0  # token: when the last one came at the latest; 0: none has
        self.open = self._whole = self._answered = self._keep = self._resting = False
        self._sign, self._tail = hooks.content.sign, b""
        self._kept: list[bytes] | None = None  # reads to be looked at; None: nobody wants to
        self._latest: bytes | None = None  # read, unless it has been looked at
        self._look: Look | None = None
        self._watching = False  # until a token
        self._finished = 0.0  # when the reason why it ended came, or a token after that; 0: none has
        self._timer: asyncio.TimerHandle | None = None
        self.carried = 0  # requests so far
        self.why = ""
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
        self.flight, self.row = flight, flight.row.number
        self._whole, self._watching, self._kept, self.token, self._finished = False, True, [], 0.0, 0.0
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
        lost = now - self.sent if flight.reconnected else self.connect_s  # what it cost until it was sent for good
        connect_s = math.nan if reused and not flight.reconnected else lost
        self._tape.sent(self.row, self.sent, (flight.ready, flight.due, connect_s, self.number, flags))
        self.hooks.active.add(self)

    def data_received(self, data: bytes) -> None:
        at = perf_counter()
        row = self.row
        if row < 0:
            self._go_on_resting(data)
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
        before, self._latest = self._latest, data
        if self._kept is not None:
            self._kept.append(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.open = False  # also where a whole answer was followed by something that nobody asked for
            if not self._whole:
                self._finish(at, Ending.PROTOCOL, str(error))
        if self._whole:
            self._finish(at, Ending.COMPLETE)
        elif data[-8:] != self._tail:  # events end alike as long as the answer goes on
            self._tail = data[-8:]
            if size < SHORT_READ or data[-1] != 10 or data.find(self._sign) >= 0:
                self._suspect(data, before)

    def _suspect(self, data: bytes, before: bytes | None) -> None:
        """This read may have ended the answer; HTTP's own end nearly always follows at once, and then nobody looks."""
        if self._kept is None:
            self._kept = [before, data] if before else [data]
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GRACE_S, self._look_soon)

    def _look_soon(self) -> None:
        self._timer = None
        self.look()

    def look(self, *, far: bool = True) -> None:
        """Read what was kept: a token, the end, or neither.  Not ``far``: as far as the first token, since a thousand
        connections are looked at in one turn; an end behind it gives a sign, or is followed by silence."""
        flight, kept = self.flight, self._kept
        if flight is None or not kept:
            return
        self._kept = []
        if flight.response is not None:
            flight.response += kept
        look = self._look = self._look or Look(self.hooks.content)
        far = far or flight.response is not None or self._timer is not None
        for part in [b"".join(kept)] if far else kept:
            if look.take(part):
                self.token, self._watching, self._finished = self.last, False, 0.0
            if not (far or self._watching or look.midway):
                break
        if look.finished and not self._finished:
            self._finished, self._watching = self.last, True
        if look.over:
            self._finish(self.last, Ending.CONTENT)
        elif look.problem:
            self._finish(self.last, Ending.PROTOCOL, look.problem)
        elif not (self._watching or look.midway or flight.response is not None):
            self._kept = self._look = None

    def _has_finished(self) -> bool:
        """The answer is a document, or its latest read holds why it ended, or words on why there is none."""
        if self._look is not None and self._look.ends_here():
            return True
        latest, self._latest = self._latest, None
        look = Look(self.hooks.content)
        if latest:
            look.take(latest)
        return look.ends_here() or self._parser.get_status_code() >= 300

    def _go_on_resting(self, data: bytes) -> None:
        """HTTP's own end of an answer that was whole before."""
        try:
            if self._resting:
                self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._whole = False
        if not self._resting or self._whole:
            self._rest_over()

    def _rest_over(self) -> None:
        resting, self._resting = self._resting, False
        if resting and self._whole and self._can_go_on():
            self.open = True
            self.hooks.rested(self)
        elif resting or self.row < 0:
            self.close()

    def _can_go_on(self) -> bool:
        # Answered before the request was whole (429, 413): the next one would be written into the rest of this one.
        return self._keep and not cast(asyncio.Transport, self.transport).get_write_buffer_size()

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
        if self._timer is not None:
            self._timer.cancel()
        if flight.response is not None:
            flight.response += self._kept or ()
        self._kept = self._look = self._latest = self._timer = None
        self._tape.reads += self.reads
        self.reads = 0
        self._tape.end(flight.row.number, at, ending, words)
        answered = False
        if ending == Ending.COMPLETE:
            answered = self._answered
            self.open = self.open and self._can_go_on()
        elif ending == Ending.CONTENT:
            answered, at = self._parser.get_status_code() < 300, perf_counter()
            self._resting, self.open = self.open, False
            asyncio.get_running_loop().call_later(REST_S, self._tire)
        else:
            self.open = False
        if not (self.open or self._resting):
            self.close()
        self.hooks.ended(self, flight, at, answered)

    def overdue(self, now: float, limits: Timeouts) -> int | None:
        """Which timeout has passed, as an Ending."""
        self.look(far=False)
        if self.flight is None:
            return None
        if now - self.sent > limits.total:
            return Ending.TIMEOUT_TOTAL
        silent = self._latest is not None and now - self.last > AFTERWORD_S and self._has_finished()
        if silent or (self._finished and now - self._finished > AFTERWORD_S):
            return Ending.CONTENT
        if not self.token:
            return Ending.TIMEOUT_FIRST if now - self.sent > limits.first_token else None
        if not self._watching and now - self.token > limits.between_tokens / LOOKS:
            # What came since has not been looked at: any of it may have been a token; from now on none is missed.
            self.token, self._watching, self._kept = max(self.token, self.last), True, self._kept or []
        return Ending.TIMEOUT_BETWEEN if now - self.token > limits.between_tokens else None

    def give_up(self, ending: int) -> None:
        """End the flight from our side."""
        self._finish(self.last if ending == Ending.CONTENT else perf_counter(), ending)

    def _tire(self) -> None:
        if self._resting:
            self._whole = False
            self._rest_over()

    def close(self) -> None:
        self.open = False
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        at = perf_counter()
        self.open, self._fd = False, -1
        self._resting = False
        self.look()
        flight = self.flight
        if flight is not None:
            if not (self.reads or flight.waited) and at - self.sent <= max(AT_ONCE_S, self.connect_s):
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
