"""A server that was started, while load runs → how it started, what it is, and how it died, if it did."""

from __future__ import annotations

import shlex
from dataclasses import replace

from pytest_vllm_bench.model import PATIENCE, Beside, Message, Observed, Scenario, Target
from pytest_vllm_bench.serve import ask, log
from pytest_vllm_bench.serve.start import RunningServer


class LaunchFacts(Beside):
    """Beside one load."""

    def __init__(self, running: RunningServer, beside: int, scenario: Scenario) -> None:
        self.running, self.beside, self.scenario = running, beside, scenario
        #: Its sleep and its wake are waited for, each as long as that may take.
        self.patience = PATIENCE + (2 * ask.WAKING if running.launch.caches else 0.0)

    async def begin(self, target: Target) -> None:
        """It was asked before the warm-up."""

    async def end(self, interrupted: bool) -> Observed:
        running, launch, told = self.running, self.running.launch, self.running.settings or {}
        figures, notes = {**running.seconds, **log.figures(running.log)}, tuple[Message, ...]()
        if launch.caches and not interrupted:
            there = replace(self.scenario.target, base_url=running.url)
            woken = await ask.woken(there, told)
            figures |= {"wake_s": woken} if isinstance(woken, float) else {}
            notes = (woken,) if isinstance(woken, Message) else ()
        flags = {ask.name_of(key) for key in launch.args}
        known = {
            "command": shlex.join(launch.command),
            "env": dict(launch.env),
            "start": running.number,
            **({"caches": launch.caches} if launch.caches else {}),
            **({"beside": self.beside} if self.beside else {}),  # servers of ours that are up too
            "log": running.log.name,
            "accelerators": ask.accelerators(launch.command),
            "settings": {name: list(values) for name, values in told.items() if name in flags},
            "unlike": ask.unlike(launch.args, told),
        }
        return Observed(
            counters={f"startup.{name}": value for name, value in figures.items()},
            environment={"launch": self.scenario.target.covered(known)},
            fault=None if interrupted else running.death(most=10),
            notes=notes,
        )
