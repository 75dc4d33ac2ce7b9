"""Events → bytes on a connection, with whatever the faults make of them."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from aiohttp import web

from pytest_vllm_bench.simulator import odd
from pytest_vllm_bench.simulator.faults import Fault, Faults
from pytest_vllm_bench.simulator.formats.shape import EVENT_STREAM, JSON, ErrorReply, Events, Format, Reply, encode

NO_HEAD: Mapping[str, str] = MappingProxyType({})
CRASHED = 70  # exit status of a simulated crash
FOREVER_S = 3600
#: Bytes without a token, as servers and proxies send them to keep a connection alive.
IDLE: Mapping[str, bytes] = {
    "comment": b": keep-alive\n\n",
    "blank": b"\n",
    "ping": b'event: ping\ndata: {"type": "ping"}\n\n',
    "role": b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n',
    "empty": b"data: {}\n\n",
}
ENDS = ("reset", "cut", "end", "error", "malformed", "crash")


class Over(Exception):
    """The answer ends here, by a fault; ``instead``: an answer with a status, where none has begun."""

    def __init__(self, instead: web.Response | None = None) -> None:
        super().__init__()
        self.instead = instead


class Wire:
    """One streamed response.  ``send`` events, then ``end``; ``Over`` says that a fault has ended it already."""

    def __init__(self, request: web.Request, form: Format, faults: Faults) -> None:
        self.form = form
        self.faults = faults
        canned = {"X-Cache": "HIT"} if "canned" in faults else {}
        self.response = web.StreamResponse(headers={"Content-Type": form.content_type, **canned})
        self._request = request
        self._plain = not faults
        self._raw = "close" in faults  # a body that only the connection's end delimits
        self._held: list[bytes] = []
        self._many = faults["coalesce"].number("events") if "coalesce" in faults else 1.0  # are held for a write
        self._opened = False

    @property
    def transport(self) -> asyncio.Transport:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        return transport

    async def open(self) -> None:
        """Send the head, unless it was."""
        if self._opened:
            return
        self._opened = True
        if "headers" in self.faults:
            await asyncio.sleep(self.faults["headers"].number("seconds"))
        if self._raw:
            self.transport.write(
                f"HTTP/1.1 200 OK\r\nContent-Type: {self.form.content_type}\r\nConnection: close\r\n\r\n".encode()
            )
            return
        self.response.enable_chunked_encoding()
        await self.response.prepare(self._request)

    async def send(self, events: Events) -> None:
        """Send events, each as a chunk of its own."""
        if not events:
            return
        await self.open()
        if self._plain:
            self.transport.write(b"".join([b"%x\r\n%s\r\n" % (len(e), e) for e in events]))
            return
        self._held += [self._altered(event) for event in events]
        if len(self._held) >= self._many:
            self._many = 1 if "coalesce" in self.faults and self.faults["coalesce"].number("once") else self._many
            await self._flush()

    async def end(self) -> None:
        """Send what is held, and end the body."""
        await self.open()
        await self._flush()
        if "open" in self.faults:
            await asyncio.sleep(FOREVER_S)
        if self._raw:
            self.transport.close()
        else:
            await self.response.write_eof()

    async def strike(self, made: int, upcoming: int, answer: Reply) -> None:
        """Let the faults strike that are due before tokens ``made`` … ``upcoming`` are sent; Over: the answer ends."""
        if self._plain:
            return
        due = [f for f in self.faults.values() if "at" in f.values and made <= f.number("at") < max(upcoming, made + 1)]
        for fault in due:
            if fault.name == "stall":
                await self._flush()
                await asyncio.sleep(fault.number("seconds"))
            elif fault.name == "idle":
                await self._idle(fault)
        for fault in due:
            if fault.name in ENDS:
                if fault.name == "error" and not self._opened:
                    raise Over(refuse(self.form, _engine_error(fault), streamed=True))
                await self.open()
                await self._break(fault, answer)
                raise Over

    async def _idle(self, fault: Fault) -> None:
        await self.open()
        sse = self.form.content_type == EVENT_STREAM
        filler = IDLE.get(str(fault.values["kind"]), IDLE["comment"]) if sse else b"\n"
        for _ in range(max(1, round(fault.number("seconds") / fault.number("every")))):
            self._held.append(filler)
            await self._flush()
            await asyncio.sleep(fault.number("every"))

    async def whole(self, body: Any) -> web.StreamResponse:
        """Answer without a stream.  Faults that end a stream strike here too, wherever they say."""
        response = json_response(body)
        if "open" in self.faults:
            await self.open()
            self._held.append(body if isinstance(body, bytes) else encode(body))
            await self.end()
        for fault in self.faults.values():
            if fault.name == "crash":
                os._exit(CRASHED)
            if fault.name == "error":
                return refuse(self.form, _engine_error(fault), streamed=False)
            if fault.name == "reset":
                reset(self.transport)
            elif fault.name == "cut":
                await response.prepare(self._request)
                self.transport.close()
            elif fault.name == "malformed":
                return json_response(b'{"choices": [{"index": 0, "te')
        return response

    async def _break(self, fault: Fault, answer: Reply) -> None:
        if fault.name == "crash":
            os._exit(CRASHED)
        if fault.name == "error" and not self.form.cut_on_error:
            sse, words = self.form.content_type == EVENT_STREAM, str(fault.values["message"])
            worded = odd.error(str(fault.values["shape"]), words, sse=sse)
            events = worded or self.form.broken(answer, _engine_error(fault))
            self._held += [self._altered(event) for event in events]
        elif fault.name == "malformed":
            sse = self.form.content_type == EVENT_STREAM
            self._held.append(self._altered(b'data: {"choices": [{"te\n\n' if sse else b'{"response": "te\n'))
        await self._flush()
        if fault.name == "reset":
            reset(self.transport)
        elif fault.name == "cut" or (fault.name == "error" and self.form.cut_on_error):
            self.transport.close()
        else:
            await self.end()

    def _altered(self, event: bytes) -> bytes:
        shape = str(self.faults["odd"].values["shape"]) if "odd" in self.faults else ""
        if shape:
            event = odd.altered(event, shape)
        if self.form.content_type != EVENT_STREAM:
            return event.replace(b"\n", b"\r\n") if "crlf" in self.faults else event
        if shape == "strange":
            event = odd.STRANGE + event
        if "comments" in self.faults:
            event = b": keep-alive\n\n" + event
        if "lines" in self.faults:
            event = event.replace(b"data: {", b"data: {\ndata: ", 1)
        if "named" in self.faults and event.startswith(b"data:"):
            event = b"event: message\nid: 7\nretry: 3000\n" + event
        if "tight" in self.faults:
            event = re.sub(rb"(?m)^data: ", b"data:", event)
        if "crlf" in self.faults:
            event = event.replace(b"\n", b"\r\n")
        return event

    async def _flush(self) -> None:
        if not self._held:
            return
        body, self._held = b"".join(self._held), []
        size = int(self.faults["split"].number("bytes")) if "split" in self.faults else len(body)
        for start in range(0, len(body), size):
            part = body[start : start + size]
            self.transport.write(part if self._raw else b"%x\r\n%s\r\n" % (len(part), part))
            if size < len(body):
                await asyncio.sleep(self.faults["split"].number("seconds"))


def _engine_error(fault: Fault) -> ErrorReply:
    return ErrorReply(500, str(fault.values["message"]), kind="InternalServerError")


def refuse(form: Format, refused: ErrorReply, *, streamed: bool, head: Mapping[str, str] = NO_HEAD) -> web.Response:
    """An error as an answer of its own."""
    said = form.refusal(refused)
    if streamed and form.refused_stream is not None and not refused.early:
        said = form.refused_stream(refused)
    return web.Response(status=said.status, body=said.body, headers={"Content-Type": said.content_type, **head})


def reset(transport: asyncio.Transport) -> None:
    """Close with a RST instead of a FIN."""
    sock: socket.socket = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def terminal_altered(events: Sequence[bytes], terminal: bytes, faults: Faults) -> list[bytes]:
    """The closing events without their terminal sign, with it twice, or with something after it."""
    sign = terminal or (events[-1] if events else b"")
    if not sign:  # the last token's event is the sign, or the end of the body
        return list(events)
    if "undone" in faults:
        return [event for event in events if event != sign]
    if "twice" in faults:
        return [*events, sign]
    if "more" in faults:
        return [*events, events[0] if events else sign]
    return list(events)


async def answer_at_once(request: web.Request, form: Format | None, faults: Faults) -> web.StreamResponse | None:
    """The faults that come before or instead of the whole answer; None: it goes on."""
    if "delay" in faults:
        await asyncio.sleep(faults["delay"].number("seconds"))
    if "drop" in faults and request.transport is not None:
        await asyncio.sleep(faults["drop"].number("seconds"))
        reset(request.transport)
        return web.Response()
    if "status" in faults:
        return _status(form, faults["status"])
    if "garbage" in faults and request.transport is not None:
        request.transport.write(b"SSH-2.0-OpenSSH_9.9\r\n")
        request.transport.close()
        return web.Response()
    if "blank" in faults:
        return web.Response(status=200, content_type="text/event-stream")
    if "html" in faults:
        page = "<html><title>Please wait</title></html>"
        return web.Response(status=int(faults["html"].number("code")), text=page, content_type="text/html")
    if "redirect" in faults:
        to = {"Location": str(faults["redirect"].values["to"])}
        return web.Response(status=int(faults["redirect"].number("code")), headers=to)
    if "endless" in faults:
        await (response := web.StreamResponse(headers={"Content-Type": JSON})).prepare(request)
        while True:
            await response.write(b" " * 65536)
    return None


def unwanted(body: Mapping[str, Any], fault: Fault) -> ErrorReply | None:
    """What a server that wants a field, or wants it otherwise, says to this body."""
    name, only, least = (str(fault.values[key]) for key in ("field", "only", "least"))
    value = body.get(name)
    if value is None:
        return None if only or least else ErrorReply(400, f"Missing required parameter: '{name}'.", param=name)
    if only and str(value) != only:
        return ErrorReply(400, f"Unsupported value: '{name}' does not support {value} with this model.", param=name)
    if least and float(value) < float(least):
        return ErrorReply(400, f"Invalid '{name}': below minimum value. Expected a value >= {least}.", param=name)
    return None


def _status(form: Format | None, fault: Fault) -> web.Response:
    message, status = str(fault.values["message"]), int(fault.number("code"))
    head = {"Retry-After": str(fault.values["retry_after"])} if fault.values["retry_after"] else {}
    if fault.values["text"] or form is None:
        return web.Response(status=status, text=message, headers=head)
    return refuse(form, ErrorReply(status, message, kind="SimulatedFault"), streamed=False, head=head)


def json_response(body: Any) -> web.Response:
    """A body as JSON, unless the format has made bytes of it."""
    return web.Response(body=body if isinstance(body, bytes) else encode(body), headers={"Content-Type": JSON})
