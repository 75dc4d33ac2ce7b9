"""The scenarios that a session was to run → what ran, what did not, and why; the same with and without xdist.

Where scenarios run, ``verdict.json`` is begun before the first of them and written again after each.  The one who
controls the session (xdist's controller collects nothing) reads there what was to run, and writes the last word.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Message, Result
from pytest_vllm_bench.plugin import DELIVERIES, ITEMS, handed, ungrouped
from pytest_vllm_bench.plugin.delivery import Delivery
from pytest_vllm_bench.report import verdict
from pytest_vllm_bench.report.trend import TrendOutcome
from pytest_vllm_bench.report.verdict import Roll
from pytest_vllm_bench.store import folder as folders

#: Characters of an error that are kept.
SAID = 300


class RollCall:
    """One pytest session's; ``asked``: results folder → what was to run into it."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.asked: dict[Path, Roll] = {}
        self.folders: dict[str, Path] = {}  # test → where its result goes, of those that run in this process
        self.fates: dict[str, tuple[str, str]] = {}  # test → what became of it, in a word and as it was said
        self.stopped = ("", "")  # the same for those that were not reached
        self.spared: set[str] = set()  # tests that need not run: the repeats before them are enough
        self.failed: dict[Path, tuple[Message, ...]] = {}  # what failed of a session as a whole
        self.trends: dict[Path, tuple[TrendOutcome, ...]] = {}  # … and what has changed since earlier ones
        self.lost: dict[Path, tuple[str, ...]] = {}  # … and why that is not known
        self.left: list[str] = []  # what is said of what sessions that were killed left
        self.claimed: set[Path] = set()
        self.claims = contextlib.ExitStack()

    def begin(self, asked: dict[Path, Roll]) -> None:
        """Mark the folders' last verdicts as overtaken, and tell the controller which they are."""
        self.asked = asked
        self.folders = {absent.test: folder for folder, roll in asked.items() for absent in roll.rest}
        for folder in asked:
            with contextlib.suppress(BenchError), folders.claimed(folder) as left:  # its first test says what is wrong
                self.left += self.recovered(left, folder)
                self.write(folder)
        if worker := getattr(self.config, "workerinput", None):
            mine = {"id": worker["workerid"], "pid": os.getpid(), "folders": [*map(str, asked)], "left": self.left}
            with contextlib.suppress(OSError):  # then the controller knows nothing of us
                (place := handed(self.config)).mkdir(mode=0o700, exist_ok=True)
                (place / worker["workerid"]).write_text(json.dumps(mine), encoding="utf-8")

    def recovered(self, left: Sequence[Path], folder: Path) -> Iterator[str]:
        """Save what sessions that were killed had measured, and say so."""
        if not left:
            return
        from pytest_vllm_bench.model import Message
        from pytest_vllm_bench.salvage import recover
        from pytest_vllm_bench.text import say

        items = self.config.stash[ITEMS]
        targets = {repr(s.target): s.target for scenarios in items.scenarios.values() for s in scenarios}
        for found in recover(left, folder, items.registry.backends, [*targets.values()]):
            if isinstance(found, Message):
                yield say(found, items.lang)
            else:
                yield say("plugin.recovered", items.lang, scenario=found.scenario.id, n=len(found.records))

    def knows(self, test: str) -> bool:
        """Whether it is a scenario of this session."""
        return ungrouped(test) in self.folders

    def claim(self, folder: Path) -> None:
        """Keep other sessions out of a results folder until this one ends; BenchError where one is in it."""
        if folder not in self.claimed:
            self.claims.enter_context(folders.claimed(folder))
            self.claimed.add(folder)
            if self.folders:  # another worker of xdist, which runs none of them, may have begun it last
                with contextlib.suppress(BenchError):  # said at the end
                    self.write(folder)

    def heard(self, report: pytest.TestReport) -> None:
        """Note what became of a test; where it ran, write that down."""
        test = ungrouped(report.nodeid)
        if not hasattr(report, "vllm_bench") and not worker_died(report):
            return
        if report.when == "setup":
            self.fates.pop(test, None)
        if found := fate(report):
            self.fates[test] = found
        if report.when == "teardown":
            folder = self.folders.get(test)
            if folder in self.claimed:
                with contextlib.suppress(BenchError):  # said at the end
                    self.write(folder)

    def results(self, folder: Path) -> list[Result]:
        """Those of this session, with what became of their tests."""
        mine = [made.result for made in self.config.stash[DELIVERIES].values() if made.folder == folder]
        return [replace(r, test=verdict.end_of(r, *self.fates.get(r.test.id, ("", "")))) for r in mine]

    def roll(self, folder: Path, status: str) -> Roll:
        """What stands for the results that are not there."""
        asked = self.asked.get(folder, Roll())
        there = {result.id for result in self.results(folder)}
        rest = (
            replace(absent, why="enough")
            if absent.test in self.spared
            else verdict.absence(absent, *self.fates.get(absent.test, self.stopped))
            for absent in asked.rest
            if absent.id not in there
        )
        whole = {name: getattr(self, name).get(folder, ()) for name in ("failed", "lost")}
        return replace(asked, status=status, rest=tuple(rest), trend=self.trends.get(folder, ()), **whole)

    def partly(self, folder: Path) -> bool:
        """Whether a part of the folder's scenarios was selected alone."""
        known = (
            self.roll(folder, "ended") if folder in self.asked else verdict.read(folder)
        )  # as xdist's workers wrote it
        return verdict.part_of(self.results(folder), known) is not None

    def write(self, folder: Path) -> None:
        verdict.write(self.results(folder), folder, self.roll(folder, "running"))

    def ended(self) -> Iterator[Path]:
        """The folders that are this session's to report into: not one that another is in, as each test has said."""
        delivered = (made.folder for made in self.config.stash[DELIVERIES].values())
        for folder in dict.fromkeys([*self.asked, *delivered]):
            with contextlib.suppress(BenchError):
                self.claim(folder)
                yield folder

    def last(self, folder: Path) -> Roll:
        """How the session of a folder ended."""
        return self.roll(folder, self.stopped[0] if self.stopped[0] in ("interrupted", "stopped") else "ended")

    def gather(self, told: Sequence[dict[str, Any]]) -> None:
        """In xdist's controller: what its workers began, and results whose reports an interruption kept from coming."""
        self.left = [path for one in told for path in one["left"]]
        for folder in dict.fromkeys(Path(name) for one in told for name in one["folders"]):
            found = self.asked[folder] = verdict.read(folder)
            with contextlib.suppress(BenchError):
                for result in folders.read(folder):
                    if result.session == found.session:
                        made = Delivery(result=result, folder=folder)
                        self.config.stash[DELIVERIES].setdefault(made.key, made)

    def close(self) -> None:
        """Let others into the folders."""
        self.claims.close()


def told(config: pytest.Config) -> list[dict[str, Any]]:
    """What the workers of this xdist run have told, which is then forgotten."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(handed(config).iterdir())]
    shutil.rmtree(handed(config), ignore_errors=True)
    return found


def fate(report: pytest.TestReport) -> tuple[str, str] | None:
    """What became of a test, in a word and as it was said; None where that is still to come."""
    if report.skipped and hasattr(report, "wasxfail"):
        return "xfailed", report.wasxfail or "xfail"
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        return "skipped", first_line(str(reason).removeprefix("Skipped: "))
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        said = first_line((crash.message if crash else str(report.longrepr)).removeprefix("Failed: "))
        return "worker_died" if worker_died(report) else "error", said
    return ("passed" if getattr(report, "vllm_bench", ()) else "not_measured", "") if report.when == "call" else None


def worker_died(report: pytest.TestReport) -> bool:
    """xdist reports so for the test that the worker was at."""
    return str(report.when) == "???"


def first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), "")[:SAID]
