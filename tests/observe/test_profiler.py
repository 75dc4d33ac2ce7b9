"""A server's own profiler around a load: who is told to begin and to end, and what it does not do is said."""

from __future__ import annotations

import asyncio
import gzip
import threading
from pathlib import Path
from typing import Any

import pytest
from raw import Answer, error, page, serving

from pytest_vllm_bench.errors import ServerError
from pytest_vllm_bench.model import Cell, Measurement, Message, Observed, Profile, Scenario, Target
from pytest_vllm_bench.observe import profiler
from pytest_vllm_bench.observe.profiler import Profiler
from pytest_vllm_bench.text import say

Pages = dict[str, Answer | bytes]
BOTH: Pages = {"/start_profile": page(), "/stop_profile": page()}
NOWHERE = Path("nowhere")


def seen(pages: Pages, *, interrupted: bool = False) -> Observed:
    return around(pages, interrupted=interrupted)[0]


def around(
    pages: Pages, *, interrupted: bool = False, asked: Profile = Profile(), **target: Any
) -> tuple[Observed, Profiler, dict[str, int]]:
    said: list[Message] = []

    async def load(url: str) -> tuple[Observed, Profiler]:
        one = Profiler(asked, NOWHERE, 5, said.append)
        await one.begin(Target(base_url=url, **target))
        return await one.end(interrupted), one

    with serving(pages) as raw:
        (observed, one), asked_for = asyncio.run(load(raw.url)), dict(raw.asked)
    return observed, one, asked_for


def test_it_begins_and_ends() -> None:
    for interrupted in (False, True):
        assert [note.key for note in seen(BOTH, interrupted=interrupted).notes] == ["server.profiled"]
    asked = Scenario(cell=Cell(place="x"), target=Target(base_url="http://h"), backend="vllm")
    assert Measurement(scenario=asked, observed=seen(BOTH)).taints == ("profiled",)
    assert Measurement(scenario=asked).taints == ()


def test_where_none_begins_it_is_said_how_this_version_is_started() -> None:
    told = {"0.32.0": "--profiler-config", "0.13.0rc1": "--profiler-config", "0.12.1": "VLLM_TORCH_PROFILER_DIR"}
    for version, cure in told.items():
        pages: Pages = {"/start_profile": error(404, "Not Found"), "/version": page({"version": version})}
        with pytest.raises(ServerError) as refused:
            seen(pages)
        words = say(refused.value.message)
        assert cure in words, words
        assert "404 Not Found" in words
        assert ("--profiler-config" in words) == (cure == "--profiler-config")
        assert cure in say(refused.value.message, "zh")
    with pytest.raises(ServerError) as refused:
        seen({"/start_profile": error(404, "Not Found")})
    assert "VLLM_TORCH_PROFILER_DIR" in say(refused.value.message)
    assert "--profiler-config" in say(refused.value.message)
    for broken in (error(500, "CUPTI_ERROR_MULTIPLE_SUBSCRIBERS"), b""):
        with pytest.raises(ServerError, match="no_profile"):
            seen({"/start_profile": broken})


def test_one_that_does_not_end_is_asked_once_more() -> None:
    observed, _, asked = around(BOTH | {"/stop_profile": error(500, "disk full")})
    assert [note.key for note in observed.notes] == ["server.profiled", "server.profile_goes_on"]
    assert "disk full" in say(observed.notes[1])
    assert asked["/stop_profile"] == 2
    second: Answer = lambda number, body: page(status=200 if number else 500)  # noqa: E731
    assert [note.key for note in seen(BOTH | {"/stop_profile": second}).notes] == ["server.profiled"]


def test_one_that_hangs_is_left_behind_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it still writes, say: the next scenario is measured beside that."""
    monkeypatch.setattr(profiler, "LEAVES", 0.2)
    over = threading.Event()

    def hangs(number: int, body: bytes) -> bytes:
        over.wait(20)
        return b""

    for interrupted in (False, True):
        observed, *_ = around(BOTH | {"/stop_profile": hangs}, asked=Profile(flush=0.2), interrupted=interrupted)
        assert [note.key for note in observed.notes] == ["server.profiled", "server.profile_goes_on"]
    over.set()


def test_every_worker_is_told() -> None:
    with serving(BOTH) as other:
        *_, asked = around(BOTH, profile_urls=(f"{other.url}/",))
        assert "/start_profile" not in asked, "the address that the load goes to may be a router"
        assert (other.asked["/start_profile"], other.asked["/stop_profile"]) == (1, 1)
    urls = ("http://gpu:8000", "http://a:1", "http://gpu:80001")
    mine = Target(base_url="http://gpu:8000/v", headers={"Authorization": "Bearer x"}, profile_urls=urls)
    told = [bool(one.headers) for one in profiler.workers(mine)]
    assert told == [True, False, False], "the headers are this host's alone"


def test_new_files_are_seen_where_the_server_writes(tmp_path: Path) -> None:
    (tmp_path / "old.pt.trace.json.gz").write_bytes(b"x")

    def writes(number: int, body: bytes) -> bytes:
        (tmp_path / "deep").mkdir()
        trace = gzip.compress(b'{"baseTimeNanoseconds": 1759000000000000000, "traceEvents": []}')
        (tmp_path / "deep" / "rank0.pt.trace.json.gz").write_bytes(trace)
        (tmp_path / "out.txt").write_text("new")
        return page()

    _, one, _ = around(BOTH | {"/stop_profile": writes}, asked=Profile(folder=str(tmp_path)))
    assert [path.name for path in one.files] == ["rank0.pt.trace.json.gz", "out.txt"]
    assert profiler.base_ns([tmp_path / "out.txt", *one.files]) == 1759000000000000000
    (tmp_path / "damaged.json.gz").write_bytes(gzip.compress(b"x" * 999)[:12] + b"\xff" * 99)
    assert profiler.base_ns([tmp_path / name for name in ("old.pt.trace.json.gz", "none", "damaged.json.gz")]) == 0


def test_how_a_server_says_where_it_writes() -> None:
    spelt = {
        'vllm\0serve\0--profiler-config\0{"profiler":"torch","torch_profiler_dir":"/a b"}\0--port': "/a b",
        "vllm\0--profiler-config.torch_profiler_dir\0/abs/x\0--port\0001": "/abs/x",
        "vllm\0--profiler-config.torch_profiler_dir=/abs/y\0": "/abs/y",
        "A=1\0VLLM_TORCH_PROFILER_DIR=/v\0B=2": "/v",
        "SGLANG_TORCH_PROFILER_DIR=/s": "/s",
    }
    assert {text: profiler.told_folder(text) for text in spelt} == {text: Path(path) for text, path in spelt.items()}
    assert profiler.told_folder("vllm\0serve\0--port\0001") is None
