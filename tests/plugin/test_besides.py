"""What a conftest does beside the load comes to the same result and files as what we do ourselves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_vllm_bench.store import folder, measurement
from pytest_vllm_bench.text import say

Bench = Callable[..., pytest.RunResult]

CONFTEST = """
import asyncio
import time

from pytest_vllm_bench import Beside, Message, Observed
from pytest_vllm_bench.model import Track


class Seer(Beside):
    async def begin(self, target):
        self.begun = time.perf_counter()
        assert target.base_url.startswith("http")

    async def end(self, interrupted):
        track = Track(name="rack.power", times=(self.begun, time.perf_counter()), values=(250.0, 300.0))
        said = Message(key="report.because", values={"subject": "rack 7", "reason": "its door is open"})
        return Observed(environment={"rack": 7}, counters={"rack.alarms": 3.0}, tracks=(track,), notes=(said,))


class Plain:  # not made of ours
    async def begin(self, target):
        pass

    async def end(self, interrupted):
        return Observed(environment={"plain": True})


class Broken(Plain):
    async def begin(self, target):
        raise OSError("no such rack")


class Slow(Beside):
    patience = 0.2

    async def begin(self, target):
        await asyncio.sleep(3600)

    async def end(self, interrupted):
        return Observed()


def pytest_vllm_bench_register(registry):
    for make in (Seer, Plain, Broken, Slow):
        registry.besides[make.__name__] = lambda scenario, make=make: make() if scenario.input_len == 64 else None
"""


@pytest.mark.slow
def test_watchers_of_others_join_the_result_and_one_that_hangs_or_breaks_is_done_without(
    bench: Bench, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(CONFTEST)
    bench("-k", "mc1").assert_outcomes(passed=2, deselected=2)
    alone, seen = folder.read(pytester.path / "results")[::-1]
    assert (seen.environment["rack"], seen.environment["plain"], seen.server["rack.alarms"]) == (7, True, 3)
    assert not {"rack", "plain"} & alone.environment.keys()
    told = "\n".join(map(say, seen.notes))
    for said in (
        "rack 7: its door is open",
        "Broken watched nothing: it broke (no such rack)",
        "Slow watched nothing: it took longer",
    ):
        assert said in told, told
    assert [note.key for note in alone.notes if note.key.startswith("observe.beside")] == []
    one = measurement.found(pytester.path / "results" / folder.stem(seen.id))
    assert one is not None
    assert [track.values for track in one.observed.tracks if track.name == "rack.power"] == [(250.0, 300.0)]
