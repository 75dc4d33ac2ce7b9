"""A config → what its scenarios share: servers found ready, tokenizers, the built-in server, repeats so far."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_vllm_bench import environment, judging, load, plan, regression
from pytest_vllm_bench import tokenizer as tokenizers
from pytest_vllm_bench.backends import another
from pytest_vllm_bench.errors import BenchError, DataError, NotReady, ServerError
from pytest_vllm_bench.judge.comparison import BaselineSettings, comparisons_planned
from pytest_vllm_bench.model import Backend, Measurement, Message, Scenario, Target
from pytest_vllm_bench.observe import ready, tokenize, trial
from pytest_vllm_bench.regression import ReferenceGate, Rounds
from pytest_vllm_bench.report import folder
from pytest_vllm_bench.store import measurement
from pytest_vllm_bench.world import Probes, World, alike, build_context, search_key

if TYPE_CHECKING:
    from pytest_vllm_bench.config import Config
    from pytest_vllm_bench.registry import Registry
    from pytest_vllm_bench.tokenizer import Tokenizer

#: Connections beside the load's own: progress, tape, counters.
SPARE_FILES = 64


class Session:
    """Open once a config; ``scenarios`` are those selected to run."""

    def __init__(
        self,
        config: Config,
        registry: Registry,
        scenarios: Sequence[Scenario],
        rootdir: Path,
        started: str = "",
        resumed: bool = False,
    ) -> None:
        self.config, self.registry, self.scenarios, self.rootdir = config, registry, scenarios, rootdir
        self.folder = rootdir / config.results_dir
        self.started, self.resumed = started, resumed
        self.absent: dict[str, str] = {}  # target → the scenario that was told so
        self.gone: dict[str, str] = {}  # target → the scenario in which it went away
        self.refused: dict[tuple[str, str], str] = {}  # target and shape → the scenario that was refused
        self.measured: dict[str, list[Measurement]] = {}  # by cell, in the order of running
        self.last = {s.cell: s.id for s in scenarios}  # the last of a scenario's repeats, in the order of running
        self.probes = {
            key: Probes(tiers=tuple(s for s in scenarios if s.search and search_key(s) == key))
            for key in {search_key(s) for s in scenarios if s.search}
        }
        self.gate: ReferenceGate | Rounds | None = self._rounds()
        self._servers: dict[str, ready.Server] = {}  # by address
        self._taken: set[tuple[str, str, str]] = set()  # address, model and shape of requests that were answered
        self._fields: dict[tuple[str, str], Message] = {}  # address, path → that another field had to be sent there
        self._said: list[Message] = []  # notes, once each
        self._tokenizers: dict[tuple[str | None, str, str], tuple[Tokenizer, Any]] = {}
        self._added: dict[tuple[str, str], int | None] = {}  # address and model → tokens of its chat template
        self._simulator: Target | None = None
        self._stack = contextlib.ExitStack()

    def hold_against(self, named: str) -> None:
        """Load the reference that this session's results are held against; BenchError if there is none."""
        settings = self._comparing()
        self.gate = ReferenceGate(
            name=named,
            reference=regression.load(self.reference(named)),
            settings=settings,
            planned=comparisons_planned(len({s.cell for s in self.scenarios if s.search is None}), settings),
            refuse_other=self.config.settings.baseline.other_environment == "refuse",
        )

    def _rounds(self) -> Rounds | None:
        """The target that the others are held against, where the config names one."""
        if (named := self.config.settings.baseline.target) is None:
            return None
        settings = self._comparing()
        others = {s.cell for s in self.scenarios if s.search is None and s.target.name != named}
        return Rounds(name=named, settings=settings, planned=comparisons_planned(len(others), settings))

    def _comparing(self) -> BaselineSettings:
        asked = self.config.settings.baseline
        return BaselineSettings(
            tolerance=asked.tolerance,
            noise=asked.noise,
            keep=asked.keep,
            confidence=max((s.judge.confidence for s in self.scenarios), default=0.95),
        )

    def reference(self, named: str) -> Path:
        """Where a reference lies: beside the config, so that it is committed with it."""
        return regression.locate(named, self.config.base_dir)

    def _recall(self, server: Mapping[str, Any], scenario: Scenario) -> Measurement | None:
        """What the session that is resumed has measured of a scenario: whole, the same load, and of the same server."""
        one = measurement.found(self.folder / folder.stem(scenario.id)) if self.resumed else None
        if one is None or one.session != self.started or not one.complete or one.gone is not None:
            return None
        same = alike(one.scenario, scenario) and one.environment.get("server") == server
        return replace(one, resumed=True) if same else None

    def settled(self, scenario: Scenario) -> bool:
        """Whether the repeats before this one are enough (``repeats: {until: …}``); one that runs again is none."""
        so_far = [m for m in self.measured.get(scenario.cell, ()) if m.scenario.repeat != scenario.repeat]
        return bool(so_far) and scenario.repeats.until is not None and judging.enough(scenario, so_far)

    async def open(self, scenario: Scenario, patience: float, aloud: Callable[[Message], None]) -> World:
        """All that ``scenario`` needs to run, its server having answered a request of its shape; BenchError says what
        is missing.  What was found for a scenario before is used again while the server is there."""
        folder.make(self.folder)
        target = self._reach(scenario.target)
        if ready.ca_missing(target):
            raise ServerError("server.ca_missing", path=target.verify)
        if problem := load.open_files_problem(max(map(connections, self.scenarios), default=1) + SPARE_FILES):
            raise BenchError(problem.key, **problem.values)
        alike = [s for s in self.scenarios if s.target == scenario.target]

        async def look(seconds: float) -> World:
            try:
                server = await self._server(target, next(iter(scenario.models), None))
                await self._tried(scenario, server, seconds)
                for one in alike:
                    if one is not scenario and not fits(one, server):
                        await self._tried(one, server, seconds, only="server.context")
            except NotReady:
                self.doubt(target)
                raise
            return await self._world(scenario, self._servers.get(target.base_url, server))

        world = await ready.wait(look, patience, aloud)
        self.gone.pop(scenario.target.name, None)
        for note in world.notes:
            if note not in self._said:
                self._said.append(note)
                aloud(note)
        return world

    @cached_property
    def _facts(self) -> dict[str, Any]:
        return environment.facts(self.rootdir)

    def missing(self, scenario: Scenario) -> Message | None:
        """Why a scenario need not be tried: what another one was told."""
        if first := self.absent.get(scenario.target.name):
            return Message(key="plugin.server_absent", values={"scenario": first})
        first = self.refused.get((scenario.target.name, shape(scenario)), scenario.id)
        return None if first == scenario.id else Message(key="plugin.refused", values={"scenario": first})

    def failed(self, scenario: Scenario, problem: ServerError) -> Message | None:
        """Remember what a scenario was told; a Message if an earlier one, in which the server died, stands for it."""
        if problem.message.key in trial.OF_A_SHAPE:
            self.refused.setdefault((scenario.target.name, shape(scenario)), scenario.id)
            return None
        died = self.gone.pop(scenario.target.name, "")
        self.absent[scenario.target.name] = died or scenario.id
        return self.missing(scenario) if died else None

    def went(self, scenario: Scenario) -> None:
        """The server went away, and is waited for again: the scenario says so for those after it, if it stays away."""
        self.gone[scenario.target.name] = scenario.id
        self.doubt(scenario.target)

    def doubt(self, target: Target) -> None:
        """The server may be another one by now, or none: it is asked everything again."""
        address = self._reach(target).base_url
        self._servers.pop(address, None)
        self._taken = {key for key in self._taken if key[0] != address}
        self._added = {key: added for key, added in self._added.items() if key[0] != address}

    async def _server(self, target: Target, asked: str | None) -> ready.Server:
        """What a target says of itself; one that is not there any more is looked at afresh."""
        known = self._servers.get(target.base_url)
        if known is not None:
            now = await ready.there(known)
            if ready.changed(known, now, known.models) is None:
                return known
            self.doubt(target)
        found = await ready.listing(target, asked)
        if asked or found.models:
            self._servers[target.base_url] = found
        return found

    async def _world(self, scenario: Scenario, server: ready.Server) -> World:
        backend = self.registry.backends[scenario.backend]
        models = tuple(server.model(m) for m in scenario.models) or (server.model(None),)
        tokenizer, added, template = await self._tokenizer(scenario, server, models[0], backend)
        renamed = self._fields.get((server.target.base_url, scenario.endpoint or backend.path))
        renamed = None if scenario.output_field else renamed
        roots = {m: server.roots[m] for m in models if m in server.roots}
        return World(
            target=server.target,
            backend=backend,
            models=models,
            max_model_len=min((server.max_model_len[m] for m in models if m in server.max_model_len), default=None),
            server=server,
            tokenizer=tokenizer,
            template_tokens=added,
            chat_template=template,
            folder=self.folder,
            base_dir=self.config.base_dir,
            session=self.started,
            recall=partial(self._recall, {"version": server.version, "roots": roots}),
            resumed=self.resumed,
            datasets=self.registry.datasets,
            environment=self._facts | {"server": {"version": server.version, "roots": roots}},
            besides=tuple(self.registry.besides.values()),
            round_trip_ms=None if server.round_trip_s is None else 1e3 * server.round_trip_s,
            gate=self.gate,
            measured=self.measured.setdefault(scenario.cell, []),
            judges=self.last.get(scenario.cell, scenario.id) == scenario.id,
            probes=self.probes[search_key(scenario)] if scenario.search else Probes(),
            output_field=renamed.values["other"] if renamed else "",
            notes=(*server.notes(models), *([renamed] if renamed else [])),
        )

    async def _tried(self, scenario: Scenario, server: ready.Server, seconds: float, only: str = "") -> None:
        """See that the server takes a request of the scenario's shape, of its first model and of each unlisted one.

        What is wrong with the data is said where the plan is built.  ``only``: no other refusal is said now.
        """
        with contextlib.suppress(DataError):
            world = await self._world(scenario, server)
            for model in dict.fromkeys((world.models[0], *(m for m in world.models if m not in server.models))):
                key = (server.target.base_url, model, shape(scenario))
                if key in self._taken:
                    continue
                # No window is known here: what fits is the server's to say.
                one = replace(world, models=(model,), max_model_len=None, salt=secrets.token_hex(8))
                try:
                    asked = await self._attempt(scenario, server, one, seconds)
                except ServerError as error:
                    if only and error.message.key != only:
                        return
                    raise
                self._taken.add(key)
                if asked.need > server.max_model_len.get(model, asked.need):
                    self._servers[server.target.base_url] = ready.without_window(server, model, asked.need)

    async def _attempt(self, scenario: Scenario, server: ready.Server, world: World, seconds: float) -> trial.Trial:
        """Send the trial; where the server refuses the name of the field for the output length, by another one."""
        asked = await trial_of(scenario, world)
        try:
            await trial.attempt(server, asked, seconds)
        except ServerError as error:
            field, said = asked.output_field, str(error.message.values.get("said", ""))
            if scenario.output_field or not (other := another(field, said)):
                raise
            asked = await trial_of(scenario, replace(world, output_field=other))
            try:
                await trial.attempt(server, asked, seconds)
            except ServerError:
                raise error from None
            values = {"field": field, "other": other, "said": said}
            path = scenario.endpoint or world.backend.path
            self._fields[server.target.base_url, path] = Message(key="server.output_field", values=values)
        return asked

    async def _tokenizer(
        self, scenario: Scenario, server: ready.Server, model: str, backend: Backend
    ) -> tuple[Tokenizer, int | None, Any]:
        """The tokenizer; how many tokens the server's chat template adds; the one whose template is applied here."""
        spec = scenario.tokenizer or ("simulator" if server.target.simulated else None)
        name, address = server.roots.get(model, model), server.target.base_url
        key = (spec, model, backend.name)
        if key not in self._tokenizers:
            theirs = tokenize.tokenizer_of(server.target, model)
            tokenizer = await asyncio.to_thread(tokenizers.load, spec, name, server=theirs)
            here = scenario.chat_template == "client"
            template = await asyncio.to_thread(tokenizers.with_template, spec, name) if here else None
            self._tokenizers[key] = tokenizer, template
        if backend.takes_messages and (address, model) not in self._added:
            self._added[address, model] = await tokenize.template_tokens(server.target, model)
        tokenizer, template = self._tokenizers[key]
        return tokenizer, self._added.get((address, model)) if backend.takes_messages else None, template

    def _reach(self, target: Target) -> Target:
        """Where a target really is: the built-in server is started when first needed."""
        if not target.simulated:
            return target
        if self._simulator is None:
            from pytest_vllm_bench import simulator

            running = self._stack.enter_context(simulator.start())
            self._simulator = replace(target, base_url=running.base_url)
        return self._simulator

    def close(self) -> None:
        """Stop the built-in server, if it was started."""
        self._stack.close()


def connections(scenario: Scenario) -> int:
    """The most that may be open at once, as far as that is known before."""
    if scenario.search is not None and scenario.search.over == "concurrency":
        return int(scenario.search.max)
    return scenario.concurrency or scenario.num_prompts or 1


def fits(scenario: Scenario, server: ready.Server) -> bool:
    """Whether the windows that the server tells of have room for what the scenario asks."""
    need = (scenario.input_len or 0) + (scenario.output_len or 0)
    return all(need <= server.max_model_len.get(model, need) for model in scenario.models or server.models[:1])


def shape(scenario: Scenario) -> str:
    """What of a scenario makes the shape of its requests."""
    lengths = scenario.input_len, scenario.output_len, scenario.ignore_eos, scenario.token_detail
    body = scenario.output_field, dict(scenario.sampling), dict(scenario.extra_body), scenario.chat_template
    data = scenario.dataset.name, dict(scenario.dataset.options), scenario.tokenizer
    return repr((scenario.backend, scenario.endpoint, lengths, body, data))


async def trial_of(scenario: Scenario, world: World) -> trial.Trial:
    """One request as the scenario's plan would send it, of the world's first model."""
    with tempfile.TemporaryDirectory(prefix="vllm-bench-") as folder:
        planned = await plan.background(plan.trial, scenario, build_context(world), Path(folder))
    made, body, (input_len, output_len) = planned
    return trial.Trial(
        backend=world.backend,
        path=made.path,
        output_field=made.output_field,
        body=body,
        model=world.models[0],
        scenario=scenario.id,
        input_len=max(0, input_len),
        output_len=output_len if output_len >= 0 else None,
        forced=made.force_length,
        seconds=scenario.timeouts.total if world.backend.framing == "json" else scenario.timeouts.first_token,
    )
