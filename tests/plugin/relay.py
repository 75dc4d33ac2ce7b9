"""A relay in front of a server → what it was asked for, in order; on the way back it may alter what is said."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

Heard = Callable[[bytes], bytes]


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: Heard) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(heard(data))
            await writer.drain()
    writer.close()


@contextmanager
def relay(
    *base_urls: str, altered: Callable[[bytes, list[str]], bytes] = lambda data, _: data
) -> Iterator[tuple[str, list[str]]]:
    """Its own base URL, and the paths asked for so far; several servers take its connections in turn."""
    asked: list[str] = []

    def ask(data: bytes) -> bytes:
        if data.startswith((b"GET ", b"POST ")):  # never pipelined
            asked.append(data.split(b" ", 2)[1].decode())
        return data

    loop, ports = asyncio.new_event_loop(), itertools.cycle(urlsplit(url).port for url in base_urls)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", next(ports))
        await asyncio.gather(_pass_on(reader, back, ask), _pass_on(there, writer, lambda data: altered(data, asked)))

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
