"""The server's own profiler around the load: it is asked to begin and to end, and what it does not do is said."""

from __future__ import annotations

import asyncio

from raw import Answer, error, page, serving

from pytest_vllm_bench.model import Cell, Measurement, Observed, Scenario, Target
from pytest_vllm_bench.observe.profiler import Profiler
from pytest_vllm_bench.text import say


def seen(pages: dict[str, Answer | bytes], *, interrupted: bool = False) -> Observed:
    async def around(url: str) -> Observed:
        profiler = Profiler()
        await profiler.begin(Target(base_url=url))
        return await profiler.end(interrupted)

    with serving(pages) as raw:
        return asyncio.run(around(raw.url))


def test_what_it_says() -> None:
    both: dict[str, Answer | bytes] = {"/start_profile": page(), "/stop_profile": page()}
    for interrupted in (False, True):
        assert [note.key for note in seen(both, interrupted=interrupted).notes] == ["server.profiled"]
    without = seen({"/start_profile": error(404, "Not Found"), "/stop_profile": page()})
    assert [note.key for note in without.notes] == ["server.no_profile"]
    assert "POST /start_profile gave 404 Not Found" in say(without.notes[0])
    assert "--profiler-config" in say(without.notes[0], "zh")
    endless = seen({"/start_profile": page(), "/stop_profile": error(500, "disk full")})
    assert [note.key for note in endless.notes] == ["server.profiled", "server.no_profile"], (
        "it was slowed all the same"
    )


def test_the_result_is_marked() -> None:
    asked = Scenario(cell=Cell(place="x"), target=Target(base_url="http://h"), backend="vllm")
    both: dict[str, Answer | bytes] = {"/start_profile": page(), "/stop_profile": page()}
    assert Measurement(scenario=asked, observed=seen(both)).taints == ("profiled",)
    assert Measurement(scenario=asked, observed=seen({})).taints == ()
