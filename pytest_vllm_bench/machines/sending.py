"""A plan and several machines → what they measured together, on our clock: the story of ``send``."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TypeVar
from urllib.parse import urlsplit

from pytest_vllm_bench import load
from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.machines import clock
from pytest_vllm_bench.machines import line as between
from pytest_vllm_bench.machines.clock import Clock, Offset
from pytest_vllm_bench.machines.line import Line, LineLoss, Machine
from pytest_vllm_bench.measure.brief import quantile
from pytest_vllm_bench.measure.merge import merge
from pytest_vllm_bench.model import (
    Backend,
    LoadFacts,
    MachineFacts,
    Measurement,
    Message,
    Record,
    Scenario,
    Target,
    WorkerFacts,
)
from pytest_vllm_bench.plan import shard

#: Seconds from the word to the start, at least; and times the longest exchange.
LEAD_S, LEAD = 2.0, 10
WARM_LEAD_S = 0.25
#: Seconds to reach a machine.
REACH_S = 10.0

T = TypeVar("T")
#: Takes records as they come, and how many requests its machine has in flight.
Take = Callable[[Sequence[Record], int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How a plan is sent, and what is done with what comes."""

    target: Target
    settings: load.SendSettings
    take: Take  # called in threads, one at a time
    count: Callable[[list[str]], list[int]] | None = None
    keep_text: bool = False
    lead: float = LEAD_S
    taking: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True, kw_only=True)
class Hand:
    """One of the machines at work."""

    machine: Machine
    line: Line
    welcome: between.Welcome
    place: tuple[int, int]
    workers: int = 1
    records: list[Record] = field(default_factory=list)
    in_flight: int = 0
    facts: LoadFacts | None = None
    lost: Message | None = None


async def send(begun: Measurement, order: Order, machines: Sequence[Machine], stop: asyncio.Event) -> Measurement:
    """Send the plan of a measurement that has begun from all machines; BenchError where one cannot take part.

    Setting ``stop`` ends the sending, as on one machine.  One that is lost ends it, too; what had come is kept.  A load
    of fewer chains or slots than machines is sent by as many of them.
    """
    assert begun.plan is not None
    machines = machines[: load.at_most(len(machines), begun.plan)]
    async with AsyncExitStack() as lines:
        reach = [lines.enter_async_context(reached(machine)) for machine in machines]
        hands = [replace(hand, place=(i, len(machines))) for i, hand in enumerate(await _all(reach))]
        befores = await _all(compared(hand) for hand in hands)
        tasks = [asyncio.create_task(_halt(stop, hands)), asyncio.create_task(_alive(hands))]
        try:
            await _all(shipped(hand, begun, order) for hand in hands)
            start = perf_counter() + max(order.lead, LEAD * 2 * max(before.error for before in befores))
            for hand, before in zip(hands, befores, strict=True):
                await _told(hand, between.Go(start + before.ahead))
            await _all(followed(hand, hands, order, start, stop) for hand in hands)
        finally:
            for task in tasks:
                task.cancel()
        afters = await _all(compared_again(hand) for hand in hands)
    clocks = [Clock(before=before, after=after) for before, after in zip(befores, afters, strict=True)]
    return merge([part(begun, hand, start, its) for hand, its in zip(hands, clocks, strict=True)])


async def _all(works: Iterable[Awaitable[T]]) -> list[T]:
    """All of them to their end; then everything that is wrong, at once."""
    found = await asyncio.gather(*works, return_exceptions=True)
    problems = [one for one in found if isinstance(one, BenchError)]
    if len(problems) > 1:
        raise BenchError("machines.several", problems=tuple(problem.message for problem in problems))
    for one in (*problems, *found):
        if isinstance(one, BaseException):
            raise one
    return found  # type: ignore[return-value]


async def meet(machines: Sequence[Machine]) -> tuple[Machine, ...]:
    """Each machine with what it says of itself; BenchError where one is not there, or is another than this one."""

    async def met(machine: Machine) -> Machine:
        async with reached(machine) as hand:
            return replace(machine, identity=hand.welcome.identity, limits=hand.welcome.limits)

    return tuple(await _all(map(met, machines)))


def unfit(scenario: Scenario, target: Target, backend: Backend, machines: Sequence[Machine]) -> Message | None:
    """Why other machines cannot send this."""
    if scenario.tape != "drop":
        return Message(key="machines.tape", values={"tape": scenario.tape})
    if BACKENDS.get(backend.name) != backend:
        return Message(key="machines.backend", values={"backend": backend.name})
    here = between.identity()  # a tunnel's near end has this machine's address, and leads to another
    away = [machine for machine in machines if machine.identity != here]
    if target.here and away:
        return Message(key="machines.local", values={"url": target.base_url, "machine": away[0].name})
    return None


async def addresses(target: Target) -> list[str]:
    """Of a server, by whatever name; of one on this machine this one's in the network."""
    host = socket.gethostname() if target.here else urlsplit(target.base_url).hostname
    with suppress(OSError):
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return sorted({str(one[4][0]) for one in found})
    return []


def trusting(verify: bool | str) -> ssl.SSLContext:
    """``verify``: True, False (anybody is believed), or the path of a CA bundle."""
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@asynccontextmanager
async def reached(machine: Machine) -> AsyncIterator[Hand]:
    """A machine that has proved that it knows the token, as we have, and is of our versions."""
    try:
        async with asyncio.timeout(REACH_S):
            name = machine.host if machine.tls else None
            streams = await asyncio.open_connection(*machine.address, ssl=machine.tls, server_hostname=name)
    except (OSError, TimeoutError) as error:
        number = error.errno if isinstance(error, ConnectionError) else None
        why = os.strerror(number) if number else str(error) or f"{REACH_S:g} s"
        raise BenchError("machines.unreachable", machine=machine.name, port=machine.port, why=why) from None
    line = Line(*streams, machine.patience)
    try:
        try:
            welcome = await _proved(line, machine)
        except LineLoss as loss:
            raise BenchError("machines.no_worker", machine=machine.name, why=str(loss)) from None
        ours = between.versions()
        unlike = {name: (ours.get(name, "–"), welcome.versions.get(name, "–")) for name in ours | welcome.versions}
        told = [f"{name} {mine} ≠ {theirs}" for name, (mine, theirs) in unlike.items() if mine != theirs]
        if told:
            raise BenchError("machines.versions", machine=machine.name, unlike=", ".join(told))
        yield Hand(machine=machine, line=line, welcome=welcome, place=(0, 1))
    finally:
        await line.close()


async def _proved(line: Line, machine: Machine) -> between.Welcome:
    challenge = await line.hear()
    if not isinstance(challenge, between.Challenge):
        raise LineLoss(type(challenge).__name__)
    nonce = secrets.token_bytes(32)
    await line.say(between.TokenProof(nonce, between.mac(machine.token, "calls", challenge.nonce, nonce)))
    welcome = await line.hear()
    if isinstance(welcome, between.Decline) and welcome.why.key == "machines.busy":
        raise BenchError("machines.refused", machine=machine.name, what=Message(key="machines.busy"))
    proof = between.mac(machine.token, "listens", challenge.nonce, nonce)
    if not isinstance(welcome, between.Welcome) or not between.same(welcome.mac, proof):
        raise BenchError("machines.refused", machine=machine.name, what=Message(key="machines.wrong_token"))
    line.most = between.MOST_BYTES
    return welcome


async def compared(hand: Hand) -> Offset:
    """What its clock is ahead of ours."""
    exchanges = []
    try:
        for _ in range(clock.EXCHANGES):
            sent = perf_counter()
            await hand.line.say(between.Ping())
            pong = await hand.line.hear()
            exchanges.append((sent, pong.came, pong.went, hand.line.came))
    except LineLoss as loss:
        raise _gone(hand, str(loss)) from None
    return clock.offset(exchanges)


async def compared_again(hand: Hand) -> Offset | None:
    """The same once it has sent; what is lost between has no clock any more, but all of its records."""
    with suppress(BenchError):
        return None if hand.lost else await compared(hand)
    return None


def _gone(hand: Hand, why: str) -> BenchError:
    return BenchError("machines.gone", machine=hand.machine.name, why=why)


async def shipped(hand: Hand, begun: Measurement, order: Order) -> None:
    """Hand a machine its job and its part of the plan, and wait until it is ready to send, or has nothing to send any
    more because it was stopped."""
    plan, digest = begun.plan, hashlib.blake2b(digest_size=16)
    assert plan is not None
    try:
        hand.workers = load.at_most(order.settings.workers, plan, hand.place[1])
        await hand.line.say(job(hand, begun, order))
        pieces = shard.cut(plan, *hand.place)
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            digest.update(piece[0].encode() + piece[1])
            await hand.line.say(between.Piece(*piece))
        await hand.line.say(between.Piece())
        while not isinstance(said := await hand.line.hear(), between.Ready | between.Finish):
            if isinstance(said, between.Decline):
                raise BenchError("machines.refused", machine=hand.machine.name, what=said.why)
    except LineLoss as loss:
        raise _gone(hand, str(loss)) from None
    if isinstance(said, between.Finish):
        hand.facts = said.facts
    elif said.digest != digest.digest():
        raise BenchError("machines.other_plan", machine=hand.machine.name)


def job(hand: Hand, begun: Measurement, order: Order) -> between.ShardJob:
    plan, how = begun.plan, order.settings
    assert plan is not None
    assert how.backend is not None
    target, verify = order.target, order.target.verify
    return between.ShardJob(
        place=hand.place,
        plan=replace(plan, folder=Path(), notes=()),
        target=Target(base_url=target.base_url, headers=target.headers, verify=verify),
        authorities=Path(verify).read_text(encoding="utf-8") if isinstance(verify, str) else "",
        backend=how.backend.name,
        timeouts=how.timeouts,
        workers=hand.workers,
        worker_cpus=tuple(how.worker_cpus),
        keep_alive=how.keep_alive,
        drain_s=how.drain_s,
        request_id_prefix=how.request_id_prefix,
        closed=shard.is_closed(plan),
        keep_text=order.keep_text,
        counts=order.count is not None,
    )


async def followed(hand: Hand, hands: Sequence[Hand], order: Order, start: float, stop: asyncio.Event) -> None:
    """Take what a machine says while it sends, until it is done or lost, which ends the load of all."""
    try:
        while hand.facts is None:
            match await hand.line.hear():
                case between.Alive(records, in_flight):
                    hand.records += records
                    hand.in_flight = in_flight
                    async with order.taking:
                        await asyncio.to_thread(order.take, records, sum(one.in_flight for one in hands))
                case between.CountTokens(texts) if order.count is not None:
                    await hand.line.say(between.TokenCounts(await asyncio.to_thread(order.count, texts)))
                case between.Finish(facts):
                    hand.facts = facts
                case between.Decline(why):
                    raise LineLoss(why)
                case other:
                    raise LineLoss(type(other).__name__)
    except LineLoss as loss:
        values = {"machine": hand.machine.name, "seconds": f"{max(0.0, perf_counter() - start):.0f}"}
        hand.lost = Message(key="machines.lost", values={**values, "why": loss.args[0]})
        stop.set()
    except BaseException:  # what comes cannot be taken any more
        stop.set()
        raise


async def _halt(stop: asyncio.Event, hands: Sequence[Hand]) -> None:
    await stop.wait()
    await asyncio.gather(*(_told(hand, between.Halt()) for hand in hands))


async def _alive(hands: Sequence[Hand]) -> None:
    """A machine sends for nobody who is stopped, or gone without a word."""
    while True:
        await asyncio.sleep(between.SAYS_S)
        await asyncio.gather(*(_told(hand, between.Alive()) for hand in hands if hand.facts is None))


async def _told(hand: Hand, message: between.Go | between.Halt | between.Alive) -> None:
    """To one who is lost nothing needs to be told; who listens to him will know."""
    with suppress(LineLoss):
        await hand.line.say(message)


def part(begun: Measurement, hand: Hand, start: float, its: Clock) -> Measurement:
    """What one machine has measured, on our clock; of one that is lost the records that came."""
    lags = [(r.sent, r.sent - r.ready) for r in hand.records if r.sent is not None and r.ready is not None]
    facts = clock.on_ours(hand.records, hand.facts or _unknown(hand, start), start, its)
    name, said = hand.machine.name, [hand.lost] if hand.lost else []
    if its.drifts:
        said.append(Message(key="machines.drift", values={"machine": name, "ppm": f"{1e6 * its.drift:.0f}"}))
    about = MachineFacts(
        name=name,
        start_ms=1e3 * (its.since(start)[0] + min(lags, default=(0.0, 0.0))[1]),
        error_ms=1e3 * its.error,
        ahead_ms=1e3 * its.before.ahead,
        drift_ppm=1e6 * its.drift,
        cpu=max((w.cpu_s / (w.ended - w.started) for w in facts.workers if w.ended > w.started), default=None),
        steal=facts.steal,
        p99_send_lag_ms=quantile(sorted(lag for _, lag in lags), 0.99),
        p99_sentinel_lag_ms=quantile(sorted(lag for w in facts.workers for lag in w.sentinel_lags), 0.99),
        lost=hand.lost,
    )
    facts = replace(facts, machines=(about,), warnings=(*said, *facts.warnings))
    return replace(begun, facts=facts, records=hand.records, complete=facts.complete)


def _unknown(hand: Hand, start: float) -> LoadFacts:
    """Of a machine that cannot tell any more."""
    machine, machines = hand.place
    nobody = WorkerFacts(worker=0, started=start, ended=start, cpu_s=0.0, reads=0, bytes_in=0, bytes_out=0)
    numbers = range(machine, machines * hand.workers, machines)
    workers = tuple(replace(nobody, worker=number, died=hand.machine.name) for number in numbers)
    return LoadFacts(started=start, ended=start, workers=workers, complete=False, stop_reason="machine_lost")
