"""What a stream's content says of its life and its end, for every backend: a real connection, a simulated server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

import pytest
from answering import chunk, until
from exchange import DIALECTS, prompt
from tapes import plan, row

from pytest_vllm_bench import simulator
from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.load import tape as tapes
from pytest_vllm_bench.load.content import Content, Look, name_of
from pytest_vllm_bench.load.dispatch import PlannedRow
from pytest_vllm_bench.load.pool import Pool
from pytest_vllm_bench.load.tape import Tape
from pytest_vllm_bench.load.wire import Connection, Flight, Hooks, address
from pytest_vllm_bench.measure.decode import Decoder
from pytest_vllm_bench.model import Ask, Backend, Ending, EntryKind, Record, Timeouts

pytestmark = pytest.mark.asyncio
N = 5
PATIENT = Timeouts(connect=60, first_token=3600, between_tokens=3600, total=3600)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"w "}}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n'
DONE = b"data: [DONE]\n\n"


class Client:
    """One flight after another through the measuring path, without a process of its own."""

    def __init__(self, url: str, backend: Backend, folder: Path, limits: Timeouts = PATIENT) -> None:
        self.where, self.backend, self.folder, self.limits = address(url), backend, folder, limits
        folder.mkdir(parents=True)
        self.tape = Tape(folder, 0, asyncio.get_running_loop().call_later)
        self.tape.begin(0.0)
        self.ended: asyncio.Queue[Connection] = asyncio.Queue()
        self.hooks = Hooks(
            ended=lambda connection, *_: self.ended.put_nowait(connection),
            died_early=lambda _: None,
            connected=lambda _: True,
            failed=lambda *_: None,
            lost=lambda _: None,
            rested=lambda connection: self.rested.append(connection),
            content=Content.of(backend.sign, backend.framing, name_of(backend)),
        )
        self.rested: list[Connection] = []
        self.pool = Pool(self.where, None, 60, self.tape, self.hooks, True)
        self.number = 0

    async def asked(self, body: bytes, path: str, headers: str = "", over: Connection | None = None) -> Connection:
        """Send it, and give what became of it; the sweep of a measuring process runs beside."""
        headers += "".join(f"{name}: {value}\r\n" for name, value in self.backend.headers.items())
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {self.backend.content_type}\r\n{headers}"
        payload = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
        connection = self.connection = over or await self.pool.connect()
        at = PlannedRow(self.number, self.number, 0, 0, 0.0, 0.0, 0, 0)
        self.number += 1
        connection.start(Flight(row=at, payload=payload, ready=perf_counter(), due=0.0))
        async with asyncio.timeout(60):
            while self.ended.empty():
                await asyncio.sleep(0.005)
                if connection.flight and (ending := connection.overdue(perf_counter(), self.limits)) is not None:
                    connection.give_up(ending)
        return self.ended.get_nowait()

    def records(self, streamed: bool = True) -> tuple[list[Record], list[int]]:
        """What the tape says, and how each ended."""
        self.connection.close()
        self.tape.flush()
        count = Decoder(
            plan(n=self.number, streamed=streamed), self.backend, [row(N)] * self.number,
            count_tokens=lambda texts: [len(t.split()) for t in texts], started=0.0,
        )  # fmt: skip
        entries = list(tapes.read(self.folder))
        found = [record for entry in entries if (record := count.feed(entry)) is not None]
        assert not count.rest()
        return found, [entry.data[0] for entry in entries if entry.kind == EntryKind.END]


@pytest.fixture(scope="module")
def url_of() -> Iterator[Callable[[str], str]]:
    with contextlib.ExitStack() as stack:
        running: dict[str, str] = {}

        def url(name: str) -> str:
            dialect = DIALECTS.get(name, "vllm")
            if dialect not in running:
                options = simulator.SimulatorOptions(
                    dialect=dialect, models=("tiny",), latency=simulator.LatencyModel(step_s=0.0005)
                )
                running[dialect] = stack.enter_context(simulator.start(options)).base_url
            return running[dialect]

        yield url


def asks(backend: Backend) -> Ask:
    return Ask(prompt=prompt(backend), model="tiny", output_len=N, force_length=backend.forces_length)


async def life(url: str, backend: Backend, folder: Path, fault: str, limits: Timeouts = PATIENT) -> tuple[Record, int]:
    client = Client(url, backend, folder / backend.name, limits)
    path = backend.path.replace("{model}", "tiny")
    await client.asked(backend.body(asks(backend)), path, f"x-simulator-fault: {fault}\r\n")
    (record,), (ending,) = client.records()
    await asyncio.sleep(0)
    return record, ending


@pytest.mark.slow
async def test_an_answer_is_whole_when_its_content_says_so(url_of: Callable[[str], str], tmp_path: Path) -> None:
    """HTTP's end never comes.  Only where nothing says the end but HTTP is it waited for, until a timeout."""
    soon = Timeouts(connect=60, first_token=3600, between_tokens=3, total=3600)
    signless = {name: b.terminal == "end" and b.framing == "sse" for name, b in BACKENDS.items()}
    lives = [
        life(url_of(name), backend, tmp_path, "open", soon if signless[name] else PATIENT)
        for name, backend in BACKENDS.items()
    ]
    found = {}
    for name, (record, ending) in zip(BACKENDS, await asyncio.gather(*lives), strict=True):
        silent = signless[name] and not record.finish_reason
        wanted = ("timeout", Ending.TIMEOUT_BETWEEN) if silent else (None, Ending.CONTENT)
        if (record.error, ending) != wanted:
            found[name] = (record.error, record.error_detail, ending)
    assert not found


@pytest.mark.slow
async def test_only_tokens_are_life(url_of: Callable[[str], str], tmp_path: Path) -> None:
    limits = Timeouts(connect=60, first_token=2, between_tokens=2, total=3600)
    kinds = {name: ["comment", "blank", "ping", "role", "empty"] for name in ("vllm", "openai-chat")}
    streams = [name for name, backend in BACKENDS.items() if backend.generates and backend.framing != "json"]
    tried = [(n, kind, at) for n in streams for kind in kinds.get(n, ["comment"]) for at in (0, 2)]
    lives = [
        life(url_of(name), BACKENDS[name], tmp_path / f"{kind}{at}", f"idle at={at} every=0.1 kind={kind}", limits)
        for name, kind, at in tried
    ]
    found = {}
    for case, (record, _) in zip(tried, await asyncio.gather(*lives), strict=True):
        if (record.error, record.timeout) != ("timeout", "between_tokens" if case[2] else "first_token"):
            found[case] = (record.error, record.timeout, record.error_detail)
    assert not found


async def test_keep_alives_before_a_slow_first_token_are_no_tokens_and_no_end(
    url_of: Callable[[str], str], tmp_path: Path
) -> None:
    limits = Timeouts(connect=60, first_token=60, between_tokens=60, total=60)
    for name in ("vllm", "openai-chat", "openai-responses", "ollama", "tgi"):
        record, ending = await life(
            url_of(name), BACKENDS[name], tmp_path, "idle at=0 seconds=0.3 every=0.03; split bytes=9 seconds=0", limits
        )
        assert (record.error, ending) == (None, Ending.COMPLETE), name


@asynccontextmanager
async def saying(*answers: Sequence[bytes], pause: float = 0.02) -> AsyncIterator[str]:
    """A server that says each answer's pieces one by one, and then keeps the connection as it is."""
    said = iter(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                for piece in next(said):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(pause)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.sleep(0.01)


CHAT = BACKENDS["openai-chat"]
QUOTED = TOKEN.replace(b'"w "', b'"data: [DONE]\\n\\n"')
WAYS: dict[str, list[bytes]] = {
    "at once": [HEAD + chunk(TOKEN) + chunk(FINISH + DONE)],
    "a sign cut in two": [HEAD + chunk(TOKEN), chunk(DONE)[:9], chunk(DONE)[9:]],
    "a sign cut in its chunk": [HEAD, chunk(TOKEN), chunk(b"data: [DO"), chunk(b"NE]\n\n")],
    "after the same text in the answer": [HEAD + chunk(TOKEN), chunk(QUOTED), chunk(QUOTED), chunk(DONE)],
    "no space, CR LF": [HEAD, chunk(TOKEN), chunk(DONE.replace(b": ", b":").replace(b"\n", b"\r\n"))],
    "no chunks": [HEAD.replace(b"transfer-encoding: chunked\r\n", b""), TOKEN, FINISH, DONE],
    "a longer Content-Length": [HEAD.replace(b"transfer-encoding: chunked", b"content-length: 9999"), TOKEN, DONE],
    "HTTP/1.0": [b"HTTP/1.0 200 OK\r\n\r\n", TOKEN, DONE],
    "finish reason, usage, no sign": [HEAD, chunk(TOKEN), chunk(FINISH), chunk(USAGE)],
    "finish reason alone": [HEAD, chunk(TOKEN), chunk(FINISH)],
    "finish reason, then keep-alives": [HEAD, chunk(TOKEN), chunk(FINISH), *[chunk(b": PROCESSING\n\n")] * 5000],
    "a sign without its blank line": [HEAD, chunk(TOKEN), chunk(DONE[:-2])],
    "a sign in two without its blank line": [HEAD, chunk(TOKEN), chunk(DONE[:-1])[:9], chunk(DONE[:-1])[9:]],
    "an error": [HEAD, chunk(TOKEN), chunk(b'data: {"error":{"message":"boom"}}\n\n' + DONE)],
    "an HTTP error": [HEAD.replace(b"200 OK", b"503 No"), chunk(b'{"error":"busy"}')],
    "JSON instead of a stream": [HEAD, chunk(b'{"choices":[{"message":{"content":"w"},"finish_reason":"stop"}]}')],
}  # fmt: skip


async def test_every_way_to_end_without_an_end(tmp_path: Path) -> None:
    async def ended(name: str, pieces: Sequence[bytes]) -> tuple[Record, int]:
        async with saying(pieces) as url:
            client = Client(url, CHAT, tmp_path / name.replace("/", " "))
            await client.asked(b"{}", "/")
            (record,), (ending,) = client.records()
            return record, ending

    found = {}
    lives = [ended(name, pieces) for name, pieces in WAYS.items()]
    for name, (record, ending) in zip(WAYS, await asyncio.gather(*lives), strict=True):
        error = {"an error": "in_stream", "an HTTP error": "rejected"}.get(name)
        if (record.error, ending) != (error, Ending.CONTENT):
            found[name] = (record.error, record.error_detail, ending)
    assert not found


@pytest.mark.slow
async def test_counts_before_the_first_token_end_nothing(tmp_path: Path) -> None:
    """However long the first token takes, in silence or with keep-alives."""
    nought = USAGE.replace(b'"completion_tokens":1', b'"completion_tokens":0')
    for name, pings in (("silent", [b""] * 90), ("pings", [chunk(b": ping\n\n")] * 90)):
        async with saying([HEAD, chunk(nought), *pings, chunk(TOKEN), chunk(FINISH), chunk(USAGE + DONE)]) as url:
            client = Client(url, CHAT, tmp_path / name)
            await client.asked(b"{}", "/")
            (record,), _ = client.records()
        assert (record.error, record.finish_reason, len(record.arrival_times)) == (None, "stop", 1), name


async def test_text_that_holds_the_sign_ends_nothing(tmp_path: Path) -> None:
    limits = Timeouts(connect=60, first_token=60, between_tokens=0.4, total=60)
    async with saying([HEAD + chunk(TOKEN), chunk(QUOTED), chunk(QUOTED)]) as url:
        client = Client(url, CHAT, tmp_path / "t", limits)
        await client.asked(b"{}", "/")
        (record,), (ending,) = client.records()
    assert (record.error, ending, record.timeout) == ("timeout", Ending.TIMEOUT_BETWEEN, "between_tokens")


async def test_lines_of_json_in_the_place_of_a_stream_are_no_whole_answer(tmp_path: Path) -> None:
    """The first of them is a document of its own."""
    lines = [b'{"choices":[{"delta":{"content":"a"}}]}\n', b'{"choices":[{"delta":{},"finish_reason":"stop"}]}\n']
    async with saying([HEAD + chunk(lines[0]), chunk(lines[1]), b"0\r\n\r\n"], pause=0.5) as url:
        client = Client(url, CHAT, tmp_path / "t")
        await client.asked(b"{}", "/")
        (record,), (ending,) = client.records()
    assert (record.error, ending) == ("protocol", Ending.COMPLETE)


async def test_a_reader_that_a_measuring_process_cannot_find_leaves_the_end_to_http(tmp_path: Path) -> None:
    """As one of a conftest, or of no module at all: any byte of the body is a token then."""
    for reader in (lambda payload: CHAT.read(payload), partial(CHAT.read), type("Own", (), {"__call__": None})()):
        content = Content.of(CHAT.sign, CHAT.framing, name_of(replace(CHAT, read=reader)))
        assert content.read is None
        look = Look(content)
        assert [look.take(HEAD), look.take(chunk(b": ping\n\n")), look.take(chunk(DONE))] == [False, True, True]
        assert (look.over, look.finished) == (False, False)


async def test_an_end_that_comes_after_all_gives_the_connection_back(tmp_path: Path) -> None:
    """The slot was free before it; what never ends is not used again."""
    late = [HEAD + chunk(TOKEN) + chunk(DONE), b"0\r\n\r\n"]
    async with saying(late, late, [HEAD + chunk(TOKEN) + chunk(DONE)], pause=0.2) as url:
        client = Client(url, CHAT, tmp_path / "t")
        first = await client.asked(b"{}", "/")
        assert not first.open
        await until(lambda: client.rested)
        assert (client.rested.pop(), first.open) == (first, True)
        await client.asked(b"{}", "/", over=first)
        await until(lambda: client.rested)
        client.rested.clear()
        await client.asked(b"{}", "/", over=first)
        await until(lambda: first.transport is None)  # it is closed in the end
    records, endings = client.records()
    assert not client.rested
    assert endings == [Ending.CONTENT] * 3
    assert [record.error for record in records] == [None] * 3


@pytest.mark.parametrize("endless", ["event", "head", "document"])
async def test_what_never_ends_is_ended(tmp_path: Path, endless: str) -> None:
    """As soon as it is longer than anything could be; the slot is free, and the record says why."""
    begin = {"event": HEAD + chunk(TOKEN), "head": b"HTTP/1.1 200 OK\r\nx: ", "document": HEAD + chunk(b'{"a": "')}
    piece = b"x" * (1 << 20)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(begin[endless])
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            while True:
                writer.write(piece if endless == "head" else chunk(piece))
                await writer.drain()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = Client(url, CHAT, tmp_path / "t")
        await client.asked(b"{}", "/")
        (record,), (ending,) = client.records()
    words = "headers without an end" if endless == "head" else "an event of more than 64 MiB"
    assert (record.error, record.error_detail, ending) == ("protocol", words, Ending.PROTOCOL)
