"""A watcher that hangs, breaks or lies delays no run and ends none: ours, an exporter's, and anybody else's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pytest_vllm_bench.errors import ServerError
from pytest_vllm_bench.model import Observed, Target, Track
from pytest_vllm_bench.observe import guard
from pytest_vllm_bench.observe.accelerators import watcher
from pytest_vllm_bench.observe.host import HostWatch
from pytest_vllm_bench.observe.timeline import MetricsPages
from pytest_vllm_bench.text import say

SEEN = Observed(tracks=(Track(name="mine", times=(0.0,), values=(1.0,)),))


async def hangs(*_: Any) -> Observed:
    await asyncio.sleep(600)
    return SEEN


async def breaks(*_: Any) -> Observed:
    raise KeyError("oh")


async def works(*_: Any) -> Observed:
    return SEEN


class Other:
    """Somebody else's."""

    patience: float | None = 0.2

    def __init__(self, begin: Callable[..., Awaitable[Observed]], end: Callable[..., Awaitable[Observed]]) -> None:
        self._begin, self._end = begin, end

    async def begin(self, target: Target) -> None:
        await self._begin()

    async def end(self, interrupted: bool) -> Observed:
        return await self._end()


async def load(*besides: Any) -> tuple[list[Observed], list[str]]:
    there, notes = await guard.begun(besides, Target())
    seen = await guard.ended(there, False)
    return seen, [say(note) for note in [*notes, *(note for one in seen for note in one.notes)]]


def test_what_hangs_or_breaks_is_done_without_and_the_others_go_on() -> None:
    late, broke = "longer than 0.2 s", "it broke"
    cases = [(hangs, works, late), (works, hangs, late), (breaks, works, broke), (works, breaks, broke)]
    for begin, end, words in [*cases, (hangs, hangs, late)]:
        seen, said = asyncio.run(load(Other(begin, end), Other(works, works)))
        assert SEEN in seen, (begin, end)
        assert len(said) == 1, (begin, end, said)
        assert said[0].startswith("Other watched nothing: "), said
        assert words in said[0]


def test_one_that_the_load_is_for_is_waited_for_and_may_end_it() -> None:
    class Main(Other):
        patience = None

    async def refuses(*_: Any) -> Observed:
        raise ServerError("observe.no_page", url="x")

    with pytest.raises(ServerError):
        asyncio.run(load(Main(refuses, works)))


def test_an_interruption_ends_those_that_have_begun() -> None:
    over = []

    async def ends(*_: Any) -> Observed:
        over.append(True)
        return SEEN

    async def cut() -> None:
        begun = asyncio.create_task(guard.begun([Other(works, ends), Other(hangs, ends)], Target()))
        await asyncio.sleep(0.05)
        begun.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await begun

    asyncio.run(cut())
    assert over == [True, True]


#: What an exporter, or a server's page, says instead of its metrics; None: nothing, for ever.
ODD = {
    "hangs": None,
    "floods": b"HTTP/1.1 200 OK\r\n\r\n" + b'DCGM_FI_DEV_POWER_USAGE{gpu="0"} 1\n' * (1 << 19),
    "lies": b'HTTP/1.1 200 OK\r\nContent-Length: 39\r\n\r\nDCGM_FI_DEV_POWER_USAGE{gpu="0"} -1e999\n',
    "is a login": b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
    "is no HTTP": b"SSH-2.0-OpenSSH_9.9\r\n",
}


@pytest.mark.slow
def test_an_exporter_that_goes_wrong_is_said_and_ends_in_time() -> None:
    async def one(odd: bytes | None) -> Observed:
        over, answers = asyncio.Event(), set[asyncio.Task[Any]]()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            answers.add(asyncio.current_task())  # type: ignore[arg-type]
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(odd or b"")
                await writer.drain()
                if odd is None:
                    await over.wait()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            made = watcher(f"{url}/metrics")
            assert made is not None
            target = Target(base_url=url)
            there, notes = await guard.begun([made], target)
            (seen,) = await guard.ended(there, False)
            assert notes == []
            over.set()
            server.close()
            while pending := [answering for answering in answers if not answering.done()]:
                await asyncio.gather(*pending, return_exceptions=True)
            await asyncio.sleep(0)
        return seen

    async def all_of_them() -> list[Observed]:
        return await asyncio.gather(*map(one, ODD.values()))

    for name, seen in zip(ODD, asyncio.run(all_of_them()), strict=True):
        assert not any(value < 0 for track in seen.tracks for value in track.values), name
        if name != "floods":
            assert [note.key for note in seen.notes] == ["observe.devices_missed"], name


def test_ours_end_without_having_begun() -> None:
    async def ended() -> list[Observed]:
        from pytest_vllm_bench.model import Watching

        return await guard.ended([MetricsPages(Watching()), HostWatch(1.0)], True)

    assert [one.tracks for one in asyncio.run(ended())] == [(), ()]
