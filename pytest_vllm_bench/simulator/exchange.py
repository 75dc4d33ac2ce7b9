"""One HTTP request → its answer, in a format, at the engine's pace, with its faults."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any

import msgspec
from aiohttp import web

from pytest_vllm_bench.simulator import faults as fault_scripts
from pytest_vllm_bench.simulator.faults import Fault, Faults
from pytest_vllm_bench.simulator.formats.shape import (
    JSON,
    Call,
    ErrorReply,
    Finish,
    Format,
    Reply,
    ReplyPiece,
    SimulatedRequest,
)
from pytest_vllm_bench.simulator.live import Stream
from pytest_vllm_bench.simulator.service import Service, ServicePlan
from pytest_vllm_bench.simulator.wire import Over, Wire, answer_at_once, refuse, terminal_altered, unwanted

LONG = 4000  # characters


@dataclass(slots=True, kw_only=True)
class _Reply:
    """One answer on its way."""

    service: Service
    wire: Wire
    answer: Reply
    tokens: list[tuple[int, str]]
    stream: Stream
    finish: Finish
    streams: bool
    began: float


async def answered(service: Service, forms: Sequence[Format], request: web.Request) -> web.StreamResponse:
    """Read, refuse or answer one request, in the first of ``forms`` or the one that its body shows."""
    arrived, number, form = perf_counter(), service.requests, forms[0]
    service.requests += 1
    faults = fault_scripts.strike(service.rules, number, request.path, request.headers.get("X-Simulator-Fault"))
    if faults:
        at_once = await answer_at_once(request, form, faults)
        if at_once is not None:
            return at_once
    streamed = False
    try:
        got = await call(request, form)
        form = next((f for f in forms if f.key in got.body), form)
        streamed = form.streams(got) and "unstreamed" not in faults
        asked = form.read(got)
        if "field" in faults:
            asked = _limited(asked, got.body, faults["field"])
        if "refuse" in faults and (refused := unwanted(got.body, faults["refuse"])) is not None:
            raise refused
        if "overload" in faults:
            raise ErrorReply(503, "too many requests are waiting", kind="overloaded")
        planned = await _planned(service, asked, number)
    except ErrorReply as refused:
        return refuse(form, refused, streamed=streamed)
    _spoil(planned, faults)
    counting = partial(_count, service, _Clock(arrived)) if asked.kind == "generate" else _no_token
    stream = Stream(planned.job, counting)
    reply = _Reply(
        service=service,
        wire=Wire(request, form, faults),
        answer=planned.answer,
        tokens=planned.tokens[: planned.job.output_len],
        stream=stream,
        finish=planned.finish,
        streams=streamed,
        began=arrived,
    )
    return await _made(reply)


async def _made(reply: _Reply) -> web.StreamResponse:
    """Let the engine make the answer, and send it; a client that goes away ends it."""
    service = reply.service
    service.live.submit(reply.stream)
    reply.answer.times = reply.stream.times
    try:
        response = await (_streamed(reply) if reply.streams else _whole(reply))
    except asyncio.CancelledError:
        _give_up(reply)
        raise
    except ConnectionError:  # noticed by writing, before the loop told us
        _give_up(reply)
        return reply.wire.response
    service.counts.end(reply.answer.finish, perf_counter() - reply.began)
    return response


def _give_up(reply: _Reply) -> None:
    reply.service.live.cancel(reply.stream)
    reply.service.counts.end("abort", None)


async def _planned(service: Service, asked: SimulatedRequest, number: int) -> ServicePlan:
    """The answer's plan; long texts are tokenized beside the loop, so that no stream waits for them."""
    if sum(len(p) for p in asked.prompts if isinstance(p, str)) > LONG:
        return await asyncio.to_thread(service.plan, asked, number)
    return service.plan(asked, number)


def _limited(asked: SimulatedRequest, body: Mapping[str, Any], fault: Fault) -> SimulatedRequest:
    """As a server reads it that knows one field for the length.  Raises Refused where it minds the others."""
    name = str(fault.values["name"])
    others = [
        key for key in ("max_tokens", "max_completion_tokens", "max_output_tokens") if key in body.keys() - {name}
    ]
    if others and fault.number("refuse"):
        said = f"Unsupported parameter: '{others[0]}' is not supported with this model. Use '{name}' instead."
        raise ErrorReply(400, said, param=others[0])
    return replace(asked, max_tokens=int(body.get(name) or fault.number("default")))


def _spoil(planned: ServicePlan, faults: Faults) -> None:
    """The faults that change the answer itself."""
    if "silent" in faults:
        planned.job.output_len = 1
    if "short" in faults:
        planned.job.output_len = min(planned.job.output_len, int(faults["short"].number("at")))
        planned.finish = "length"
    if "finish" in faults:
        planned.finish = str(faults["finish"].values["reason"])
    if "uncounted" in faults:
        planned.answer.asked = replace(planned.answer.asked, usage=False, running_usage=False)


class _Clock:
    """When the last token of a request came, for the inter-token histogram."""

    def __init__(self, arrived: float) -> None:
        self.last = arrived


def _count(service: Service, clock: _Clock, stream: Stream) -> None:
    counts, (came, began, first, now) = service.counts, stream.times
    (counts.ttft if stream.made == 1 else counts.itl).observe(now - clock.last)
    clock.last = now
    counts.generation_tokens += 1
    if stream.job.done:
        for histogram, seconds in zip((counts.queue, counts.prefill, counts.decode),
                                      (began - came, first - began, now - first), strict=True):  # fmt: skip
            histogram.observe(seconds)


def _no_token(_: Stream) -> None:
    """The one step of a request that is pooled makes no token."""


async def _whole(reply: _Reply) -> web.StreamResponse:
    await reply.stream.wait(reply.stream.job.output_len)
    _begin(reply)
    _extend(reply, range(len(reply.tokens)))
    return await reply.wire.whole(reply.wire.form.whole(reply.answer))


async def _streamed(reply: _Reply) -> web.StreamResponse:
    wire, form, faults, answer = reply.wire, reply.wire.form, reply.wire.faults, reply.answer
    try:
        if not form.late_headers and "late" not in faults:
            await wire.open()
        await wire.send(form.opening(answer))
        sent = 0
        while sent < len(reply.tokens):
            made = await _more(reply, sent)
            if not sent:
                _begin(reply)
            await _send_pieces(reply, sent, made)
            sent = made
        await wire.send(terminal_altered(form.closing(answer), form.terminal, faults))
        await wire.end()
    except Over as over:
        reply.service.live.cancel(reply.stream)
        return over.instead or wire.response
    return wire.response


def _begin(reply: _Reply) -> None:
    """The prefill is over."""
    reply.service.counts.prompt_tokens += reply.answer.prompt_tokens
    reply.answer.cached = reply.stream.job.cached


async def _more(reply: _Reply, sent: int) -> int:
    """How many tokens have been made, once there are enough for an event; keep-alive comments meanwhile."""
    options = reply.service.options
    enough = sent + (options.stream_interval - 1 if sent else 0)
    if not options.keep_alive:
        return await reply.stream.wait(enough)
    waiting = asyncio.ensure_future(reply.stream.wait(enough))
    while True:
        done, _ = await asyncio.wait([waiting], timeout=options.keep_alive)
        if done:
            return waiting.result()
        await reply.wire.send([b": keep-alive\n\n"])


async def _send_pieces(reply: _Reply, position: int, ready: int) -> None:
    """Send the tokens from ``position`` on that are ready, in events of the asked-for size, in one write."""
    wire, interval, events = reply.wire, reply.service.options.stream_interval, list[bytes]()
    while position < ready:
        end = ready if wire.form.collapses else min(ready, position + (interval if position else 1))
        if wire.faults:
            await wire.send(events)
            events = []
            await wire.strike(position, end, reply.answer)
        piece = _extend(reply, range(position, end))
        made = wire.form.piece(reply.answer, piece)
        if piece.first and "role" in wire.faults:
            await wire.send(made[:1])
            await asyncio.sleep(wire.faults["role"].number("seconds"))
            made = made[1:]
        events += made
        position = end
    await wire.send(events)


def _extend(reply: _Reply, span: range) -> ReplyPiece:
    """Move tokens from the plan into the answer; the thinking comes first."""
    answer, tokens = reply.answer, reply.tokens
    thinking = int(len(tokens) * reply.service.options.reasoning) if answer.asked.thinks else 0
    piece = ReplyPiece(
        ids=[tokens[i][0] for i in span],
        reasoning="".join(tokens[i][1] for i in span if i < thinking),
        text="".join(tokens[i][1] for i in span if i >= thinking),
        first=span.start == 0,
        last=span.stop >= len(tokens),
    )
    if "silent" in reply.wire.faults:
        piece = replace(piece, ids=[], text="", reasoning="")
    answer.ids += piece.ids
    answer.text += piece.text
    if piece.last and "rewrite" in reply.wire.faults:
        answer.text = answer.text.swapcase()
    answer.reasoning += piece.reasoning
    answer.reasoning_tokens = min(len(answer.ids), thinking)
    answer.elapsed = perf_counter() - reply.began
    if piece.last:
        answer.finish = reply.finish
    return piece


# ------------------------------------------------------------------------------- reading and refusing


async def call(request: web.Request, form: Format | None = None) -> Call:
    """The request's body, form or JSON.  Raises Refused, in the words of ``form``."""
    if request.content_type.startswith("multipart/"):
        fields: dict[str, Any] = {}
        for name, value in (await request.post()).items():
            fields[name] = value.file.read() if isinstance(value, web.FileField) else value
        return Call(path=request.path, body=fields, parts=request.match_info)
    if request.content_type != JSON and (form is None or form.json_only):
        raise ErrorReply(400, "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed")
    if form is not None and form.header and form.header not in request.headers:
        raise ErrorReply(400, f"{form.header}: header is required")
    try:
        body = msgspec.json.decode(await request.read(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        words = f"JSON decode error: {error}"
        raise (form.unreadable(words) if form else ErrorReply(400, words)) from error
    return Call(path=request.path, body=body, parts=request.match_info)
