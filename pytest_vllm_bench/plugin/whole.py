"""What only the whole session shows → failures of its own: all scenarios together beside a reference, the best of all
settings, and what has changed over time.

They are no test's: each is reported as if one had stood at the end, ``cases/config.yaml::baseline``, so that pytest's
summary, its exit code and JUnit have it; ``--lf`` after nothing but such a failure runs all, of which it is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from pytest_vllm_bench.model import Message, Result
from pytest_vllm_bench.plugin import DELIVERIES, language
from pytest_vllm_bench.plugin.delivery import Delivery
from pytest_vllm_bench.plugin.reporting import tried
from pytest_vllm_bench.plugin.roll import RollCall
from pytest_vllm_bench.report import baseline, frontier, verdict
from pytest_vllm_bench.report.chart import spoken

if TYPE_CHECKING:
    from pytest_vllm_bench.report.trend import TrendOutcome
    from pytest_vllm_bench.trend import DriftGate


class WholeFailure(str):
    """The text of a failure, as pytest's summary, JUnit and others ask for it."""

    @property
    def reprcrash(self) -> SimpleNamespace:
        return SimpleNamespace(message=self.splitlines()[0])


def judge(session: pytest.Session, roll: RollCall) -> None:
    """Judge what all tests of this session have measured, and report what failed."""
    configs: dict[tuple[Path, str], list[Delivery]] = {}
    for made in session.config.stash[DELIVERIES].values():
        configs.setdefault((made.folder, made.result.test.config_file), []).append(made)
    firsts = dict(reversed(configs))
    for (folder, config_file), of in configs.items():
        files = ("", config_file) if firsts[folder] == config_file else (config_file,)
        gates = _best(roll, folder, files)
        for gate, said in (*gates, *_failures(session.config, roll, folder, of)):
            nodeid = f"{Path(config_file).as_posix()}::{gate}"
            if said:
                roll.failed[folder] = (*roll.failed.get(folder, ()), *said)
                _report(session, nodeid, [spoken(one, language(session.config)) for one in said])
            elif not roll.partly(folder):
                _forget(session.config, nodeid)


def _best(roll: RollCall, folder: Path, files: Sequence[str]) -> Iterator[tuple[str, Sequence[Message]]]:
    """The gates on the best of all settings of a folder; xdist's controller knows them by what its workers wrote."""
    ended = roll.last(folder)
    known = ended if ended.frontiers else replace(verdict.read(folder), status=ended.status)
    if gates := tuple(gate for gate in known.frontiers if gate.config_file in files):
        yield "frontier", frontier.failed(roll.results(folder), replace(known, frontiers=gates))


def _failures(
    config: pytest.Config, roll: RollCall, folder: Path, made: Sequence[Delivery]
) -> Iterator[tuple[str, Sequence[Message]]]:
    """By gate what failed."""
    results = [one.result for one in made]
    if any(one.baseline for one in results):
        yield "baseline", baseline.beyond(results)
    for gate in dict.fromkeys(one.trend for one in made if one.trend is not None):
        found, lost = tried(partial(_held, gate, results), language(config))
        roll.trends[folder] = (*roll.trends.get(folder, ()), *found)
        roll.lost[folder] = (*roll.lost.get(folder, ()), *lost)
        yield "trend", [said for one in found for said in one.failed]


def _held(gate: DriftGate, results: Sequence[Result]) -> list[TrendOutcome]:
    from pytest_vllm_bench import trend

    return [trend.hold(gate, results)]


def _report(session: pytest.Session, nodeid: str, said: Sequence[str]) -> None:
    """As pytest reports a test that failed; it counts as collected, that the progress ends at 100 %."""
    path, _, name = nodeid.partition("::")
    location = (path, None, name)
    report = pytest.TestReport(
        nodeid=nodeid,
        location=location,
        keywords={},
        outcome="failed",
        longrepr=WholeFailure("\n".join(said)),
        when="call",
    )
    session.testscollected += 1
    hook = session.config.hook
    hook.pytest_runtest_logstart(nodeid=nodeid, location=location)
    hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(nodeid=nodeid, location=location)


def _forget(config: pytest.Config, nodeid: str) -> None:
    """What failed last time does not any more."""
    last: dict[str, bool] = getattr(config.pluginmanager.get_plugin("lfplugin"), "lastfailed", {})
    last.pop(nodeid, None)
