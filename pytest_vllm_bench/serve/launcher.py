"""Scenarios → the servers that they need, started when they are first needed: one at a time, or all where they fit.

Two that are compared in turn may stay up side by side (``ServerCommand.beside``); all others take turns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_vllm_bench.errors import ServerError
from pytest_vllm_bench.model import Message, Scenario, ServerCommand, Target
from pytest_vllm_bench.serve.room import BACK, Memory, given_back, in_use, room
from pytest_vllm_bench.serve.start import Aloud, RunningServer, until_ready


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingServer:
    """One that is up, and the scenario that it was started for."""

    scenario: Scenario
    running: RunningServer


class Launcher:
    """Starts the servers of a session, and stops those that nobody needs any more."""

    def __init__(self) -> None:
        self._up: list[ServingServer] = []
        self._starts = Counter[str]()
        self._warmed: set[str] = set()  # servers that have filled the caches which others find
        self._before: Memory = {}  # what was in use when none of ours was up
        self._needs: dict[str, Mapping[str, float]] = {}  # target → MiB that it took of each device
        self._apart = False  # two did not fit, although it had looked so

    def serving(self, target: Target) -> RunningServer | None:
        """The one that is up for this target."""
        return next((up.running for up in self._up if up.scenario.target == target), None)

    def beside(self, running: RunningServer) -> int:
        """How many others are up too."""
        return sum(up.running is not running for up in self._up)

    def _stays(self, up: ServingServer, scenario: Scenario) -> bool:
        """Whether it is the one that this scenario is to run on."""
        launch, same = scenario.target.launch, up.scenario.target == scenario.target
        together = launch is not None and launch.beside == "fits" and len(self._up) > 1
        return same and up.running.death() is None and (together or up.scenario.start == scenario.start)

    async def reach(self, scenario: Scenario, results: Path, base_dir: Path, aloud: Aloud) -> RunningServer:
        """The scenario's server, its readiness page answered; ServerError says how it ended, or what it did last."""
        launch = scenario.target.launch
        assert launch is not None
        if found := next((up for up in self._up if self._stays(up, scenario)), None):
            return found.running
        rest = [up for up in self._up if up.scenario.target != scenario.target]
        rest = rest if rest and await self._fits(scenario, rest) else []
        await self._end([up for up in self._up if up not in rest], aloud)
        where = results, base_dir, aloud
        if launch.caches == "warm" and identity(launch) not in self._warmed:
            aloud(Message(key="serve.warming"))
            await self._start(scenario, *where)
            await self._end(self._up, aloud)
        try:
            return await self._start(scenario, *where)
        except ServerError as error:
            if not rest:
                raise
            self._apart = True
            aloud(Message(key="serve.apart", values={"why": error.message}))
        await self._end(self._up, aloud)
        return await self._start(scenario, *where)

    async def _fits(self, scenario: Scenario, rest: list[ServingServer]) -> bool:
        """Whether it may run beside the others: because somebody says so, or because the accelerators tell that each
        has as much memory left as one of them took."""
        launch = scenario.target.launch
        if launch is None or self._apart or "no" in (launch.beside, *(up.running.launch.beside for up in rest)):
            return False
        if launch.beside == "yes":
            return True
        known = [self._needs.get(up.scenario.target.name) for up in rest]
        took = self._needs.get(scenario.target.name) or {k: v for one in known for k, v in (one or {}).items()}
        now = await in_use(scenario)
        each = max(took.values(), default=0.0)
        fit = all(used + each <= (1 - BACK) * total for used, total in now.values())
        return fit and bool(now and each and all(known))

    async def _start(
        self, scenario: Scenario, results: Path, base_dir: Path, aloud: Aloud, *, again: bool = False
    ) -> RunningServer:
        """A port may be taken between its choice and its use: such a start is tried ``again``."""
        target, launch = scenario.target, scenario.target.launch
        assert launch is not None
        if self._up:
            before = await in_use(scenario) if launch.beside == "fits" else {}
        else:
            self._before = before = await room(scenario, aloud)
        self._starts[target.name] += 1
        number = self._starts[target.name]
        name = "-".join(filter(None, ("server", target.name, str(number) if number > 1 else "")))
        folder = results / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        model = scenario.models[0] if scenario.models else ""
        running = RunningServer(launch, model, folder / f"{name}.log", base_dir, number)
        self._up.append(up := ServingServer(scenario=scenario, running=running))
        command = target.discreet(" ".join(running.command))
        aloud(Message(key="serve.starting", values={"command": command, "log": str(running.log)}))
        try:
            await until_ready(running, target, aloud)
        except ServerError as error:
            self._up.remove(up)
            _stop(up, aloud)
            why = error.message.values.get("why")
            if again or not isinstance(why, Message) or why.key != "serve.why.port":
                raise
            return await self._start(scenario, results, base_dir, aloud, again=True)
        running.reached("ready_s")
        self._warmed.add(identity(launch))
        if before and launch.beside == "fits":
            now = await in_use(scenario)
            self._needs[target.name] = {device: used - before[device][0] for device, (used, _) in now.items()}
        return running

    async def leave(self, then: Scenario | None, aloud: Aloud) -> None:
        """Stop what the scenario that comes next (None: none does) does not need; ServerError where memory of the
        accelerators does not come back."""
        launch = then.target.launch if then else None
        if then is not None and launch is None:
            return
        waits = launch is not None and launch.beside != "no"  # whether both fit is seen when that is started
        await self._end([up for up in self._up if not (then and (waits or self._stays(up, then)))], aloud)

    async def _end(self, ended: list[ServingServer], aloud: Aloud) -> None:
        ended = [*ended]
        for up in ended:
            _stop(up, aloud)
            self._up.remove(up)
        if ended and not self._up:
            await given_back(ended[0].scenario, self._before, aloud)

    def stop(self, aloud: Aloud = lambda _: None) -> None:
        """Stop all at once."""
        while self._up:
            _stop(self._up.pop(), aloud)


def _stop(up: ServingServer, aloud: Aloud) -> None:
    if said := up.running.stop():
        aloud(said)


def identity(launch: ServerCommand) -> str:
    """What two starts share whose caches are the same."""
    return repr((launch.command, sorted(launch.env.items())))
