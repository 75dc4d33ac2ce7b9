"""Machines that listen, on this one: what they send together, and what becomes of it where one of them is not as it
should be."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import pytest
from answering import Answering, answering, make_plan, until
from runs import scenario
from test_conversations import chat, conversations

from pytest_vllm_bench import load, machines
from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judge import validity
from pytest_vllm_bench.machines import Machine, line, node
from pytest_vllm_bench.measure.columns import sample, settings_of
from pytest_vllm_bench.model import Measurement, Message, Plan, Record, Target, Timeouts, ValiditySettings
from pytest_vllm_bench.plan import shard
from pytest_vllm_bench.text import say

pytestmark = pytest.mark.asyncio
TOKEN = b"a token that is long enough"


@asynccontextmanager
async def listening(n: int = 2, token: bytes = TOKEN, **more: Any) -> AsyncIterator[list[Machine]]:
    """``n`` machines, in this process but for their measuring processes."""
    found, tasks = list[Machine](), list[asyncio.Task[None]]()
    for _ in range(n):
        port = asyncio.get_running_loop().create_future()
        tasks.append(asyncio.create_task(node.serve(("127.0.0.1", 0), token, port.set_result, **more)))
        found.append(Machine(host="127.0.0.1", port=await port, token=TOKEN))
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def sent(
    plan: Plan,
    there: Sequence[Machine],
    server: Answering,
    stop: asyncio.Event | None = None,
    taken: list[Record] | None = None,
    workers: int = 2,
    **more: Any,
) -> Measurement:
    timeouts = Timeouts(connect=5, first_token=20, between_tokens=20, total=30)
    how = load.SendSettings(
        backend=BACKENDS["vllm"], timeouts=timeouts, workers=workers, request_id_prefix="x-", drain_s=0.3
    )
    target = Target(base_url=f"http://127.0.0.1:{server.port}", headers={"authorization": "Bearer 12345678"})
    into = [] if taken is None else taken
    order = machines.Order(target=target, settings=how, take=lambda records, _: into.extend(records), lead=0.1, **more)
    begun = Measurement(scenario=scenario(), plan=plan)
    return await machines.send(begun, order, there, stop or asyncio.Event())


async def refused(there: Sequence[Machine]) -> Message:
    with pytest.raises(BenchError) as caught:
        await machines.meet(there)
    return caught.value.message


async def test_what_two_machines_send_is_one_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request once, under its own number and headers, at the whole's concurrency; told as it comes, once."""
    monkeypatch.setattr(shard, "PIECE", 100)  # all files travel in parts
    asks, taken = [{"n": 3, "number": i} for i in range(23)], list[Record]()
    async with answering() as server, listening() as there:
        whole = await sent(make_plan(tmp_path / "p", asks, cap=9), there, server, taken=taken)
        again = await sent(make_plan(tmp_path / "q", asks, cap=9), there, server)
    assert whole.complete
    assert again.complete
    assert [r.index for r in whole.records] == [*range(23)]
    assert all(r.error is None and len(r.arrival_times) for r in whole.records)
    assert sorted(r.index for r in taken) == [*range(23)]
    assert server.peak <= 9
    ids = [next(x for x in head.split("\r\n") if x.startswith("x-request-id")) for head in server.heads]
    assert sorted(ids[:23]) == sorted(f"x-request-id: x-{ask['number']}" for ask in server.requests[:23])
    assert "authorization: Bearer 12345678" in server.heads[0]
    assert whole.facts is not None
    assert [worker.worker for worker in whole.facts.workers] == [0, 1, 2, 3]
    assert [m.name for m in whole.facts.machines] == [m.name for m in there]
    for machine in whole.facts.machines:
        assert machine.error_ms < 20
        assert abs(machine.ahead_ms) <= machine.error_ms + 0.1  # the same clock
        assert machine.lost is None
    for r in whole.records:
        assert r.ready is not None
        assert r.sent is not None
        assert r.due in (None, 0.0)
        assert r.ready - 1e-3 <= r.sent < whole.facts.ended - whole.facts.started


async def test_a_part_of_a_plan_does_not_change_its_shape(tmp_path: Path) -> None:
    """The first of two requests alone is all due at once; the whole is an open loop.  A load of fewer chains than
    machines comes from as many; conversations stay together."""
    turns = [[{"event": chat(f"{c}-{t}"), "n": 1} for t in range(3)] for c in range(3)]
    async with answering() as server, listening(3) as there:
        timed = await sent(make_plan(tmp_path / "a", [{}, {}], dues=[0.0, 0.2], cap=None), there, server)
        talks = await sent(conversations(tmp_path / "b", turns, 0.01), there, server)
    assert timed.facts is not None
    assert len(timed.facts.machines) == 2
    assert [r.due for r in timed.records] == pytest.approx([0.0, 0.2], abs=1e-3)
    assert [(r.index, r.chain, r.turn) for r in talks.records] == [
        (3 * c + t, c, t) for c in range(3) for t in range(3)
    ]
    assert all(r.error is None for r in talks.records), talks.records


async def test_tokens_that_a_server_does_not_count_are_counted_where_the_tokenizer_is(tmp_path: Path) -> None:
    async with answering() as server, listening() as there:
        made = await sent(
            make_plan(tmp_path / "p", [{"n": 4}] * 6), there, server, count=lambda texts: [len(t) for t in texts]
        )
    assert [(r.token_source, r.output_tokens) for r in made.records] == [("tokenizer", 8)] * 6


def faults(made: Measurement) -> dict[str, str]:
    """What of the client is not as it should be, and in which words."""
    asked = scenario(request_rate=60.0, validity=ValiditySettings(rate=0.01, cpu=9, steal=1))
    found = validity.checks(asked, [made], [sample(made.records, settings_of(asked, workers=2))])
    return {check.id: say(check.message) for check in found if not check.ok}


def process_of(worker: int) -> int:
    """Our child of that number, by the tape that it writes."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    for pid in map(int, children):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if Path(os.readlink(link)).name == f"w{worker}-000000.tape":
                    return pid
    raise AssertionError(children)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a process is found by what it has open, in /proc")
async def test_a_machine_that_is_slow_or_starts_late_makes_the_run_invalid_by_its_name(tmp_path: Path) -> None:
    """One that gets too little of its processor; and one that hears of the start when it is over."""

    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, late: float) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while length := await reader.readexactly(4):
                message = await reader.readexactly(int.from_bytes(length, "little"))
                await asyncio.sleep(late if b"Go" in message[:16] else 0)
                writer.write(length + message)
        writer.close()

    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_connection(*second.address)
        await asyncio.gather(passed_on(reader, there, 1.0), passed_on(back, writer, 0.0))

    relay = await asyncio.start_server(far, "127.0.0.1", 0)
    dues = [n / 60 for n in range(90)]
    async with answering() as server, listening() as (first, second):
        sending = asyncio.create_task(
            sent(make_plan(tmp_path / "p", [{}] * 90, cap=None, dues=dues), [first, second], server, workers=1)
        )
        await until(lambda: len(server.requests) > 5)
        pid = process_of(1)
        for stopped in (0.3, 0.3):
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(stopped)
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(0.05)
        slow = faults(await sending)
        distant = replace(second, port=relay.sockets[0].getsockname()[1])
        late = faults(
            await sent(make_plan(tmp_path / "q", [{}] * 90, cap=None, dues=dues), [first, distant], server, workers=1)
        )
    relay.close()
    for id in ("send_lag", "sentinel_lag"):
        assert slow[id].startswith(second.name), slow
    assert distant.name in late["skew"], late
    assert late["send_lag"].startswith(distant.name), late


async def test_who_takes_no_part_is_named_before_any_load() -> None:
    """Nobody there, somebody else, silence, another token, other versions, another caller; and all of them at once."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    versions = line.versions() | {"python": "2.7.18", "uvloop": "0.1"}
    other = msgspec.structs.replace(await node.about(), versions=versions)
    servers = [await asyncio.start_server(one, "127.0.0.1", 0) for one in (silent, web)]
    silence, page = (
        Machine(host="127.0.0.1", port=s.sockets[0].getsockname()[1], token=TOKEN, patience=0.1) for s in servers
    )
    async with (
        listening() as there,
        listening(1, token=b"another token") as strange,
        listening(1, welcome=other) as old,
    ):
        assert [m.limits.cores > 0 for m in await machines.meet(there)] == [True, True]
        nobody = replace(silence, port=1)
        found = [await refused([*there, one]) for one in (nobody, silence, page, strange[0], old[0])]
        async with line_of(there[0]):
            found.append(await refused([there[0]]))
        many = await refused([nobody, *there, old[0]])
    for server in servers:
        server.close()
    keys = [message.key.partition(".")[2] for message in found]
    assert keys == ["unreachable", "no_worker", "no_worker", "refused", "versions", "refused"]
    whys = [message.values["what"].key for message in found if "what" in message.values]
    assert whys == ["machines.wrong_token", "machines.busy"]
    assert "silent for 0.1 s" in say(found[1])
    assert "python 3." in say(found[4])
    assert "≠ 2.7.18" in say(found[4])
    assert "several machines" in say(many)
    assert say(many).count("127.0.0.1") == 2


async def test_a_server_on_this_machine_is_no_server_of_others() -> None:
    """Nor where a tunnel leads there from this one's own address."""
    other = msgspec.structs.replace(await node.about(), identity="elsewhere")
    async with listening(1) as here, listening(1, welcome=other) as away:
        met = await machines.meet([*here, *away])
    local, far = Target(base_url="http://localhost:8000"), Target(base_url="http://10.1.2.3:8000")
    vllm = BACKENDS["vllm"]
    assert machines.unfit(scenario(), local, vllm, met[:1]) is None
    assert machines.unfit(scenario(), far, vllm, met) is None
    refusal = machines.unfit(scenario(), local, vllm, met)
    assert refusal is not None
    assert f"{away[0].name} would send to itself" in say(refusal)


@asynccontextmanager
async def line_of(machine: Machine) -> AsyncIterator[None]:
    from pytest_vllm_bench.machines.sending import reached

    async with reached(machine):
        yield


async def test_a_machine_that_does_not_know_the_token_hears_nothing_of_the_job(tmp_path: Path) -> None:
    """One that listens in our worker's place, and passes on what it hears, cannot make up its own proof."""
    heard, answers = asyncio.Queue[str](), list[line.Decline | None]()

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        its = line.Line(reader, writer)
        await its.say(line.Challenge(b"nonce"))
        mac = (await its.hear()).mac
        said = answers.pop(0)
        await its.say(said or msgspec.structs.replace(await node.about(), mac=mac))
        try:
            heard.put_nowait(type(await its.hear()).__name__)
        except line.LineLoss:
            heard.put_nowait("nothing")
        writer.close()

    answers += [None, line.Decline(Message(key="of.tomorrow")), line.Decline(Message(key="machines.versions"))]
    server = await asyncio.start_server(impostor, "127.0.0.1", 0)
    machine = Machine(host="127.0.0.1", port=server.sockets[0].getsockname()[1], token=TOKEN)
    async with answering() as target:
        for n in (1, 2, 3):
            with pytest.raises(BenchError) as caught:
                await sent(make_plan(tmp_path / f"{n}", [{}] * 2), [machine], target)
            assert caught.value.message.values["what"].key == "machines.wrong_token"
            assert "token" in say(caught.value.message)
            assert await heard.get() == "nothing"
    server.close()


async def test_what_cannot_be_taken_ends_the_load_of_all(tmp_path: Path) -> None:
    """A rule of the reader that breaks, say: not the other machines' whole load first."""

    def broken(texts: list[str]) -> list[int]:
        raise RuntimeError("a tokenizer of somebody's")

    async with answering() as server, listening() as there:
        plan = make_plan(tmp_path / "p", [{"n": 4}] * 4000, cap=4)
        with pytest.raises(RuntimeError, match="somebody's"):
            await sent(plan, there, server, count=broken)
        assert len(server.requests) < 4000


async def test_tls(certificate: Path, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with answering() as server, listening(1, tls=context) as (there,):
        safe = replace(there, host="localhost", tls=machines.trusting(str(certificate)))
        made = await sent(make_plan(tmp_path / "p", [{}] * 3), [safe], server)
        assert (await refused([replace(there, patience=0.3)])).key == "machines.no_worker"
        strict = replace(there, host="localhost", tls=machines.trusting(True))
        assert (await refused([strict])).key == "machines.unreachable"
    assert made.complete


async def test_stop_ends_all_of_them_and_keeps_what_came(tmp_path: Path) -> None:
    stop, taken = asyncio.Event(), list[Record]()
    async with answering() as server, listening() as there:
        plan = make_plan(tmp_path / "p", [{"n": 2, "gap": 0.02}] * 2000, cap=4)
        sending = asyncio.create_task(sent(plan, there, server, stop, taken))
        await until(lambda: len(taken) > 10)
        stop.set()
        made = await sending
    assert not made.complete
    assert made.facts is not None
    assert made.facts.stop_reason == "stopped"
    assert len(taken) <= len(made.records) < 2000
    assert sum(r.error is None for r in made.records) > 10


async def test_stop_before_the_start(tmp_path: Path) -> None:
    stop = asyncio.Event()
    stop.set()
    async with answering() as server, listening() as there:
        made = await sent(make_plan(tmp_path / "p", [{}] * 50, cap=4), there, server, stop)
    assert (made.complete, list(made.records), server.requests) == (False, [], [])


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
async def test_a_machine_that_is_lost_ends_the_run_and_is_named(tmp_path: Path, how: int) -> None:
    """What had come of it is kept, and the others' end well."""
    taken = list[Record]()
    command = [sys.executable, "-m", "pytest_vllm_bench", "worker", "--listen", "127.0.0.1:0", "--token-env", "TOKEN"]
    environ = {**os.environ, "TOKEN": TOKEN.decode()}
    process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    port = int((await process.stdout.readline()).rpartition(b":")[2])
    doomed = Machine(host="127.0.0.1", port=port, token=TOKEN, patience=2.5)
    try:
        async with answering() as server, listening(1) as (other,):
            plan = make_plan(tmp_path / "p", [{"n": 2, "gap": 0.02}] * 4000, cap=4)
            sending = asyncio.create_task(sent(plan, [other, doomed], server, taken=taken))
            await until(lambda: {r.chain % 2 for r in taken} == {0, 1})
            process.send_signal(how)
            made = await sending
            assert (await sent(make_plan(tmp_path / "q", [{}] * 3), [other], server)).complete
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
    assert not made.complete
    assert made.facts is not None
    first, second = made.facts.machines
    assert first.lost is None
    assert second.lost is not None
    assert say(second.lost).startswith(f"127.0.0.1:{port} lost at ")
    assert [bool(w.died) for w in made.facts.workers] == [False, True, False, True]
    assert {r.index for r in taken} <= {r.index for r in made.records}
    assert made.facts.warnings[0] == second.lost


async def test_a_machine_is_free_again_when_its_caller_is_gone(tmp_path: Path) -> None:
    taken = list[Record]()
    async with answering() as server, listening() as there:
        plan = make_plan(tmp_path / "p", [{"n": 2, "gap": 0.02}] * 4000, cap=4)
        sending = asyncio.create_task(sent(plan, there, server, taken=taken))
        await until(lambda: taken)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        async with asyncio.timeout(20):
            while True:
                try:
                    await machines.meet(there)
                    break
                except BenchError:
                    await asyncio.sleep(0.05)
        assert (await sent(make_plan(tmp_path / "q", [{}] * 5), there, server)).complete


@pytest.mark.slow
async def test_a_machine_is_free_again_when_its_caller_says_nothing_any_more(tmp_path: Path) -> None:
    """Stopped, or vanished behind a line that stays open: before the start, and while his load is sent; who is there
    says so, however long he has nothing else to say."""
    from pytest_vllm_bench.machines.sending import Order, compared, reached, shipped

    order = Order(target=Target(), settings=load.SendSettings(backend=BACKENDS["vllm"]), take=lambda *_: None)
    async with answering() as server, listening(1, silence=3.0) as there:
        order = replace(order, target=Target(base_url=f"http://127.0.0.1:{server.port}"))
        for begins in (False, True):
            async with reached(there[0]) as hand:
                plan = make_plan(tmp_path / f"{begins}", [{"n": 2, "gap": 0.02}] * 9000, cap=4)
                before = await compared(hand)
                await shipped(hand, Measurement(scenario=scenario(), plan=plan), order)
                if begins:
                    await hand.line.say(line.Go(perf_counter() + before.ahead))
                with pytest.raises(line.LineLoss, match="closed"):
                    await only_signs_of_life(hand.line)
        assert 0 < len(server.requests) < 9000
        made = await sent(make_plan(tmp_path / "q", [{"n": 1, "first": 6.0}] * 2, cap=2), there, server)
        assert made.complete


async def only_signs_of_life(its: line.Line) -> None:
    while True:
        assert isinstance(await its.hear(), line.Alive)


async def test_a_machine_that_got_another_plan_sends_nothing(tmp_path: Path) -> None:
    async def forgetful(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        its = line.Line(reader, writer)
        await its.say(line.Challenge(b"nonce"))
        its.most = line.MOST_BYTES
        proof = line.mac(TOKEN, "listens", b"nonce", (await its.hear()).nonce)
        await its.say(msgspec.structs.replace(await node.about(), mac=proof))
        with suppress(line.LineLoss):
            while True:
                match await its.hear():
                    case line.Ping():
                        await its.say(line.Pong(its.came, its.came))
                    case line.Piece(file=""):
                        await its.say(line.Ready(b"of another plan"))
        writer.close()

    served = await asyncio.start_server(forgetful, "127.0.0.1", 0)
    machine = Machine(host="127.0.0.1", port=served.sockets[0].getsockname()[1], token=TOKEN)
    async with answering() as server, listening(1) as there:
        with pytest.raises(BenchError) as caught:
            await sent(make_plan(tmp_path / "p", [{}] * 4, cap=2), [*there, machine], server)
        assert server.requests == []
    assert say(caught.value.message).startswith(f"{machine.name} has not the plan")
    served.close()


async def test_who_speaks_of_something_else_is_left() -> None:
    """Of a file that is none of a plan's, say; the next one is served."""
    async with listening(1) as (there,):
        from pytest_vllm_bench.machines.sending import reached

        async with reached(there) as hand:
            await hand.line.say(line.Piece("../x", b"1"))
            with pytest.raises(line.LineLoss):
                await hand.line.hear()
        await machines.meet([there])
