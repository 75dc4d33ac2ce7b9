"""A server's pages read beside the load: what they say, when they change, and that none of them holds up a run."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from every import every

from pytest_vllm_bench import simulator
from pytest_vllm_bench.model import Observed, Target, Track, Watching
from pytest_vllm_bench.observe.timeline import LOOKS, MetricsPages, sources_of
from pytest_vllm_bench.simulator import SimulatorOptions
from pytest_vllm_bench.text import say

OFTEN = 0.1  # seconds: tests need not wait as long as a config must


def ask(url: str) -> None:
    body = json.dumps({"model": "simulator", "prompt": [5] * 64, "max_tokens": 7, "ignore_eos": True}).encode()
    urlopen(Request(f"{url}/v1/completions", body, {"Content-Type": "application/json"})).read()


def watched(
    target: Target, *, urls: Sequence[str] = (), looks: int = 4, load: bool = True, interrupted: bool = False
) -> Observed:
    """What was seen while ``looks`` intervals passed and three requests were answered."""

    async def watch() -> Observed:
        watcher = MetricsPages(Watching(interval=OFTEN, urls=tuple(urls)))
        await watcher.begin(target)
        for _ in range(3 * load):
            await asyncio.to_thread(ask, target.base_url)
        await asyncio.sleep(looks * OFTEN)
        return await watcher.end(interrupted)

    seen = asyncio.run(watch())  # a machine under load is slow to answer
    return replace(seen, notes=tuple(note for note in seen.notes if note.key != "observe.page_slow"))


def named(seen: Observed) -> dict[tuple[str, str, str], Track]:
    return {(track.name, track.device, track.bound): track for track in seen.tracks}


def scripted(tmp_path: Path, *rules: dict[str, Any], **options: Any) -> SimulatorOptions:
    path = tmp_path / "faults.json"
    path.write_text(json.dumps([{"path": "/metrics", **rule} for rule in rules]))
    return SimulatorOptions(faults=str(path), **options)


@pytest.mark.slow
@every("dialect", ["vllm", "trtllm"])
def test_series_counters_and_histograms(dialect: str) -> None:
    """TensorRT-LLM's /metrics is JSON; its counters are elsewhere, under names of its own."""
    with simulator.start(SimulatorOptions(dialect=dialect)) as running:
        seen = watched(Target(base_url=running.base_url))
    tracks = named(seen)
    assert {"running", "waiting", "kv_usage", "requests", "queue_sum"} <= {name for name, _, _ in tracks}
    counted = tracks["requests", "", ""]
    assert counted.values[0] == 0
    assert counted.values[-1] == seen.counters["requests"] == 3
    assert len(counted.times) == len(counted.values) > 2, "before, beside and after"
    assert list(counted.times) == sorted(counted.times)
    assert tracks["queue_bucket", "", "inf"].values[-1] == 3
    assert seen.counters["mean_queue_ms"] >= 0
    assert (seen.notes, seen.fault) == ((), None)


def test_a_restart_is_seen_when_it_happens(tmp_path: Path) -> None:
    with simulator.start(scripted(tmp_path, {"fault": "restart", "requests": [6]})) as running:
        seen = watched(Target(base_url=running.base_url))
    assert seen.fault is not None
    assert seen.fault.key == "server.restarted"
    counted = named(seen)["requests", "", ""]
    assert seen.fault_at in counted.times[1:-1], "beside the load, before anybody looks again at its end"
    assert seen.counters == {}


GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\nvllm:prompt_tokens_total %03d"
#: What is sent instead of a page; None: nothing, and the connection stays open.
ODD = {
    "hangs": None,
    "hangs in the middle": GOOD[:50],
    "floods": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (17 << 20),
    "floods with lines": b"HTTP/1.1 200 OK\r\n\r\n" + b"vllm:prompt_tokens_total 1\n" * (1 << 20),
    "is not HTTP": b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
    "is cut off": b"",
    "is another page": b"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n<html>wait</html>     ",
    "is binary": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\xfe\x00\x00",
    "is empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "is refused": b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n",
    "is elsewhere": b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
    "is no number": b"HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\nvllm:prompt_tokens_total NaN",
}


async def watched_oddly(odd: bytes | None, always: bool = False) -> tuple[Observed, int]:
    """A server whose first look beside the load gets something odd, or each; also → how often it was asked."""
    asked, done = 0, asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                asked += 1
                page = odd if always or asked == LOOKS + 1 else GOOD % asked
                writer.write(page or b"")
                await writer.drain()
                if page is not None and (page == b"" or b"Length" not in page or b"SSH" in page):
                    break
                if asked >= LOOKS + 3:
                    done.set()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        watcher = MetricsPages(Watching(interval=OFTEN))
        await watcher.begin(Target(base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        if not always:
            await done.wait()
        seen = await watcher.end(False)
    return seen, asked


def test_a_page_that_fails_under_load_costs_its_samples_alone() -> None:
    """What was counted before and after is there; one look is missed, and the others go on."""

    async def all_of_them() -> list[tuple[Observed, int]]:
        return await asyncio.gather(*(watched_oddly(odd) for odd in ODD.values()))

    for name, (seen, asked) in zip(ODD, asyncio.run(all_of_them()), strict=True):
        assert seen.counters == {"prompt_tokens": asked - LOOKS}, name
        assert seen.fault is None, name
        (track,) = seen.tracks
        assert len(track.values) >= 3, name
        assert list(track.values) == sorted(set(track.values) - {LOOKS + 1}), name
        missed = [note for note in seen.notes if note.key == "observe.page_missed"]
        if name == "is cut off":  # before it began: the HTTP library asks once more, and is answered
            assert not missed
            continue
        assert len(missed) == 1, name
        assert 0 < missed[0].values["missed"] <= missed[0].values["looks"], name


def test_no_page_from_the_start_is_no_figure() -> None:
    """Who has none does not say so each time; what is there and is none is said."""
    for name, said in {"is another page": ["observe.no_page"], "is refused": [], "is cut off": []}.items():
        seen, _ = asyncio.run(watched_oddly(ODD[name], always=True))
        assert (seen.counters, seen.tracks, [note.key for note in seen.notes]) == ({}, (), said), name


def test_an_interruption_is_not_waited_for(tmp_path: Path) -> None:
    with simulator.start(scripted(tmp_path, {"fault": "delay seconds=60", "from": 4})) as running:
        seen = watched(Target(base_url=running.base_url), interrupted=True)
    assert seen.counters == {}
    assert named(seen)["requests", "", ""].values == (0,)


@pytest.mark.slow
def test_further_pages_are_added_up(tmp_path: Path) -> None:
    with simulator.start(SimulatorOptions()) as one, simulator.start(SimulatorOptions()) as other:
        ask(other.base_url)  # before anybody looked
        urls = [f"{other.base_url}/metrics", "http://127.0.0.1:9/metrics"]
        seen = watched(Target(base_url=one.base_url), urls=urls)
        label = other.base_url.removeprefix("http://")
        assert named(seen)["requests", label, ""].values[-1] == 1
        assert seen.counters["requests"] == 3
        assert [(note.key, note.values["url"]) for note in seen.notes] == [("observe.no_page", urls[1])]
        elsewhere = watched(Target(base_url="http://127.0.0.1:9", metrics_url=urls[0]), load=False)
        assert named(elsewhere)["requests", "", ""].values[-1] == 1


def test_who_is_told_the_servers_headers() -> None:
    target = Target(base_url="http://gpu:8000/prefix", headers={"Authorization": "Bearer secret-key"})
    urls = ("http://gpu:8000/prefix/more", "http://gpu:8000/other", "http://gpu:8002/metrics", "http://elsewhere:80")
    own, *added = sources_of(target, Watching(urls=urls))
    assert (own.target, own.path) == (target, "/metrics")
    assert [(s.url, bool(s.target.headers)) for s in added] == [
        (urls[0], True), (urls[1], True), (urls[2], False), ("http://elsewhere:80/metrics", False),
    ]  # fmt: skip
    moved = Target(base_url="http://gpu:8000", metrics_url="http://gpu:9000/m", headers=target.headers)
    assert [(s.url, s.label, s.target.headers) for s in sources_of(moved, Watching())] == [
        ("http://gpu:9000/m", "", {})
    ]


def test_a_page_that_is_slow_is_read_half_as_often_and_that_is_said() -> None:
    """It takes two fifths of the interval, and after that of the doubled one a fifth."""

    async def watch() -> Observed:
        looked, enough = 0, asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal looked
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while await reader.readuntil(b"\r\n\r\n"):
                    looked += 1
                    await asyncio.sleep(0.2 if LOOKS < looked <= LOOKS + 1 else 0)
                    writer.write(GOOD % looked)
                    await writer.drain()
                    if looked == LOOKS + 2:
                        enough.set()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            watcher = MetricsPages(Watching(interval=0.5))
            await watcher.begin(Target(base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
            await enough.wait()
            return await watcher.end(False)

    seen = asyncio.run(watch())
    (slow,) = (note for note in seen.notes if note.key == "observe.page_slow")
    assert "less often" in say(slow)
    assert all(track.every >= 1 for track in seen.tracks), "half as often, or rarer still on a busy machine"
