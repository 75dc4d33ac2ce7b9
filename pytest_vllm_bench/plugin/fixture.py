"""The fixture ``vllm_bench``: a prepared server, one scenario's run, and its verdict raised as the test's outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import pytest

from pytest_vllm_bench.errors import BenchError, ServerError
from pytest_vllm_bench.model import Result, Scenario
from pytest_vllm_bench.plugin import DELIVERIES, MINE, ROLL, SIGNALS, chosen, ungrouped
from pytest_vllm_bench.plugin.console import Progress, aloud
from pytest_vllm_bench.plugin.given import patience
from pytest_vllm_bench.text import say

if TYPE_CHECKING:
    from pytest_vllm_bench.plugin.items import Items
    from pytest_vllm_bench.world import World

T = TypeVar("T")


class Runner:
    """What a test gets as ``vllm_bench``; made when the server has answered."""

    def __init__(self, node: pytest.Item, items: Items, world: World) -> None:
        self.node, self.items, self.world = node, items, world

    @classmethod
    def prepared(cls, node: pytest.Item, items: Items) -> Runner:
        """Make sure that the server is there before the test begins: if not, the first test is an error in its setup,
        and the others of the same target are skipped."""
        callspec = getattr(node, "callspec", None)
        scenario = callspec.params.get("scenario") if callspec else None
        if not isinstance(scenario, Scenario):
            fail(say("plugin.both_fixtures", items.lang))
        session = items.session(items.path(node))
        if missing := session.servers.missing(scenario):
            pytest.skip(say(missing, items.lang))
        roll = items.pytest.stash[ROLL]
        if session.settled(scenario):
            roll.spared.add(ungrouped(node.nodeid))
            pytest.skip(say("plugin.decided" if scenario.repeats.looks else "plugin.enough_repeats", items.lang))
        waiting, tell = patience(items.pytest), aloud(items.pytest, items.lang)
        try:
            roll.claim(session.memory.folder)
            return cls(node, items, now(session.open(scenario, waiting, tell)))
        except BenchError as error:
            problem = error
        except Exception as error:
            problem = unforeseen(error, session.memory.folder, scenario)
        if isinstance(problem, ServerError) and (said := session.servers.failed(scenario, problem)):
            tell(problem.message)
            pytest.skip(say(said, items.lang))
        fail(say(problem.message, items.lang))  # outside of the except clause: nobody wants to read what led to it

    async def __call__(self, scenario: Scenario) -> Result:
        """Send the load, judge, write the result, and raise the failure if there is one."""
        result = await self.measure(scenario)
        self.settle(result)
        return result

    async def measure(self, scenario: Scenario) -> Result:
        """Send the load, judge and write the result; the verdict is in it and nothing is raised."""
        from pytest_vllm_bench.capacity import find
        from pytest_vllm_bench.run import run

        session = self.items.session(self.items.path(self.node))
        self.items.pytest.stash[SIGNALS].measuring = asyncio.current_task()
        with Progress(self.items.pytest, scenario, self.items.lang) as progress:
            try:
                send = find if scenario.search else run
                result = await send(scenario, self.world, progress, self.keep)
            except BenchError as error:
                problem = error
                if isinstance(error, ServerError):
                    session.servers.went(scenario)
            except Exception as error:
                problem = unforeseen(error, session.memory.folder, scenario)
            else:
                if result.error is not None:
                    session.servers.went(scenario)
                elif result.metrics.get("failed"):
                    session.servers.doubt(scenario.target)
                return result
        fail(say(problem.message, self.items.lang))

    def keep(self, result: Result) -> None:
        """Hand a result on, also one that an interruption cut short: to the report, to JUnit, and to other plug-ins."""
        from pytest_vllm_bench.model import TestEnd
        from pytest_vllm_bench.plugin.delivery import Delivery
        from pytest_vllm_bench.report.failure import properties

        config = self.items.path(self.node)
        session = self.items.session(config)
        asked, given = session.config.settings.baseline, chosen(self.items.pytest, "save-baseline")
        into = str(given[0]) if given else session.begins
        test = TestEnd(id=ungrouped(self.node.nodeid), config_file=self.items.shown(config))
        made = Delivery(
            result=replace(result, test=test, records=()),
            folder=session.memory.folder,
            tolerance=dict(asked.tolerance),
            rounds=asked.target is not None,
            reference=session.reference(into) if into else None,
            keep=asked.keep,
            trend=self.items.trend(config) if result.scenario.compared else None,
        )
        self.node.stash.setdefault(MINE, {})[result.id] = made
        self.node.config.stash[DELIVERIES][made.key] = made
        if not result.scenario.probe_of:
            told = properties(result)  # instead of what a run before (a rerun) left
            kept = [(name, value) for name, value in self.node.user_properties if name not in told]
            self.node.user_properties[:] = [*kept, *told.items()]
        self.node.ihook.pytest_vllm_bench_result(result=result)

    def settle(self, result: Result) -> None:
        """Make the outcome that of the test."""
        from pytest_vllm_bench.plugin.console import width
        from pytest_vllm_bench.report.failure import failure
        from pytest_vllm_bench.report.headline import headline

        if result.outcome == "pass":
            return
        kept = self.node.stash[MINE][result.id].result
        said = failure(kept, self.items.lang, width=width(self.items.pytest))
        if result.outcome == "skip":
            pytest.skip(said)
        fail(said, headline(kept, self.items.lang))


def unforeseen(error: Exception, folder: Path, scenario: Scenario) -> BenchError:
    """What is said of an exception that nobody foresaw."""
    from pytest_vllm_bench.run import broken
    from pytest_vllm_bench.store.folder import RUNNING, stem

    return broken(error, folder / RUNNING / stem(scenario.id), scenario.target)


def fail(text: str, short: str = "") -> NoReturn:
    """A failure that shows our own table and no traceback; ``short``: its reason, for pytest's last lines."""
    failed = pytest.fail.Exception(text, pytrace=False)
    failed.vllm_short = short or text  # type: ignore[attr-defined]
    raise failed


def now(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a loop of its own, leaving the thread's current loop (pytest-asyncio's) alone."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(work)
