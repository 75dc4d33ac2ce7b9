"""A config → what its scenarios share: servers, tokenizers, memory, and the reference they are held against."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_vllm_bench import crew, environment, files, machines, plan, regression
from pytest_vllm_bench import tokenizer as tokenizers
from pytest_vllm_bench.backends import another
from pytest_vllm_bench.errors import BenchError, DataError, NotReady, ServerError
from pytest_vllm_bench.files import private_folder
from pytest_vllm_bench.judge.comparison import BaselineSettings
from pytest_vllm_bench.machines import Machine
from pytest_vllm_bench.machines.placing import Cluster
from pytest_vllm_bench.memory import Memory
from pytest_vllm_bench.model import Beside, Message, Scenario
from pytest_vllm_bench.observe import ready, tokenize, trial
from pytest_vllm_bench.regression import ReferenceGate, Rounds
from pytest_vllm_bench.serve.facts import LaunchFacts
from pytest_vllm_bench.serve.launcher import Launcher
from pytest_vllm_bench.serve.servers import Servers, fits
from pytest_vllm_bench.serve.start import alive
from pytest_vllm_bench.store import folder
from pytest_vllm_bench.world import Probes, World, build_context

if TYPE_CHECKING:
    from pytest_vllm_bench.config import Config
    from pytest_vllm_bench.registry import Registry
    from pytest_vllm_bench.tokenizer import Tokenizer


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
        launcher: Launcher | None = None,
    ) -> None:
        self.config, self.registry, self.scenarios, self.rootdir = config, registry, scenarios, rootdir
        last = {s.cell.repeated: s.id for s in scenarios}
        self.memory = Memory(folder=rootdir / config.results_dir, session=started, resumed=resumed, last=last)
        self.servers = Servers(self.memory.folder, config.base_dir, launcher or Launcher())
        self.probes = {
            key: Probes(tiers=tuple(s for s in scenarios if s.search and s.cell.of_search == key))
            for key in {s.cell.of_search for s in scenarios if s.search}
        }
        self.gate: ReferenceGate | Rounds | None = self._rounds()
        self.begins: str | None = None  # the reference that this session is the first of
        self._said: list[Message] = []  # notes, once each
        self._cluster: Cluster | None = None
        self._nodes: tuple[Machine, ...] = ()  # of it
        self._tokenizers: dict[tuple[str | None, str, str], tuple[Tokenizer, Any]] = {}

    def hold_against(self, named: str) -> None:
        """Load the reference that this session's results are held against; where there is none yet, they will be the
        first of it."""
        if not self.reference(named).exists():
            self.begins = named
            return
        self.gate = against(named, regression.load(self.reference(named)), self.config, self.scenarios)

    def _rounds(self) -> Rounds | None:
        """The target that the others are held against, where the config names one, or rounds end when they decide."""
        if (named := self.config.held_against) is None:
            return None
        others = [s for s in self.scenarios if s.compared and s.target.name != named and not s.skip]
        return Rounds(
            name=named,
            settings=comparing(self.config, self.scenarios),
            pairs=frozenset((s.cell.anywhere, s.target.name) for s in others),
            fails=self.config.settings.baseline.target is not None,
        )

    def settled(self, scenario: Scenario) -> bool:
        """Whether a repeat need not run: those before it are enough, for the others that are held against it too."""
        wanted = isinstance(self.gate, Rounds) and self.gate.wants(scenario)
        return self.memory.settled(scenario) and not wanted

    def reference(self, named: str) -> Path:
        """Where a reference lies: beside the config, so that it is committed with it."""
        return regression.locate(named, self.config.base_dir)

    async def open(self, scenario: Scenario, patience: float, aloud: Callable[[Message], None]) -> World:
        """All that ``scenario`` needs to run, its server having answered a request of its shape; BenchError says what
        is missing.  What was found for a scenario before is used again while the server is there.

        No server is started for what the session that is resumed has measured."""
        told = scenario.models or (("",) if scenario.target.simulated else ())
        started = self.memory.resumed and scenario.target.launch is not None
        if started and told and (scenario.search or self.memory.recall(scenario, None)):
            later = partial(self._open, scenario, patience, aloud)
            return await self._world(scenario, ready.Server(target=scenario.target, models=told), later)
        return await self._open(scenario, patience, aloud)

    async def _open(self, scenario: Scenario, patience: float, aloud: Callable[[Message], None]) -> World:
        folder.make(self.memory.folder)
        if ready.ca_missing(scenario.target):
            raise ServerError("server.ca_missing", path=scenario.target.verify)
        if not self.config.settings.machines:
            crew.room(self.scenarios)
        if scenario.target.twin:
            return await self._world(
                scenario, ready.Server(target=scenario.target, models=scenario.models or ("twin",))
            )
        target = await self.servers.reach(scenario, aloud)
        started = self.servers.launcher.serving(scenario.target)
        alike = [s for s in self.scenarios if s.target == scenario.target]

        async def look(seconds: float) -> World:
            if started is not None:
                alive(started, scenario.target)
            try:
                server = await self.servers.known(target, next(iter(scenario.models), None))
                await self._tried(scenario, server, seconds)
                for one in alike:
                    if one is not scenario and not fits(one, server):
                        await self._tried(one, server, seconds, only="server.context")
            except NotReady:
                self.servers.doubt(scenario.target)
                raise
            return await self._world(scenario, self.servers.said.get(target.base_url, server))

        world = await ready.wait(look, patience, aloud)
        self.servers.back(scenario)
        world = replace(world, machines=await self._machines(scenario, world))
        if started is not None:
            facts: list[Callable[[Scenario], Beside | None]] = [
                partial(LaunchFacts, started, self.servers.launcher.beside(started))
            ]
            notes = (*world.notes, *await started.prepared(target))
            world = replace(world, besides=(*world.besides, *facts), notes=notes)
        for note in world.notes:
            if note not in self._said:
                self._said.append(note)
                aloud(note)
        return world

    async def _machines(self, scenario: Scenario, world: World) -> tuple[Machine, ...]:
        """Those that will send; BenchError where one is not there, or cannot send this."""
        asked = self.config.settings.machines
        if asked is None:
            return ()
        if asked.ray is not None:
            return await self._placed(asked.ray, scenario, world)
        tls = None
        if asked.tls is not None:
            ca = asked.tls.ca and str(self.config.base_dir / files.path(asked.tls.ca))
            tls = await asyncio.to_thread(machines.trusting, ca or asked.tls.verify)
        token = os.environ.get(asked.token_env or "", "").strip().encode()
        there = [Machine(host=host, port=port, token=token, tls=tls) for host, port in asked.hosts]
        return await self._fit(scenario, world, there)

    async def _fit(self, scenario: Scenario, world: World, there: Sequence[Machine]) -> tuple[Machine, ...]:
        met = await machines.meet(there)
        if refusal := machines.unfit(scenario, world.target, world.backend, met):
            raise BenchError(refusal.key, **refusal.values)
        crew.room(self.scenarios, met)
        return met

    async def _placed(self, address: str, scenario: Scenario, world: World) -> tuple[Machine, ...]:
        """Nodes of a Ray cluster; placed anew where one of them is gone."""
        asked = self.config.settings.machines
        assert asked is not None
        avoid = frozenset(() if asked.beside_server else await machines.addresses(world.target))
        if self._cluster is None:
            self._cluster = await asyncio.to_thread(Cluster, address, asked.nodes, asked.per_node, avoid)
        if self._nodes and self._cluster.avoid == avoid:
            with contextlib.suppress(BenchError):
                return await self._fit(scenario, world, self._nodes)
        self._cluster.avoid = avoid
        self._nodes = await asyncio.to_thread(self._cluster.place)
        return await self._fit(scenario, world, self._nodes)

    @cached_property
    def _facts(self) -> dict[str, Any]:
        return environment.facts(self.rootdir)

    async def _world(
        self, scenario: Scenario, server: ready.Server, later: Callable[[], Awaitable[World]] | None = None
    ) -> World:
        """``later``: opens it, once it is needed; the server is not there yet."""
        backend = self.registry.backends[scenario.backend]
        models = tuple(server.model(m) for m in scenario.models) or (server.model(None),)
        asks = backend.takes_messages and not scenario.target.twin and later is None
        tokenizer, template = await self._tokenizer(scenario, server, models[0])
        renamed = self.servers.fields.get((server.target.base_url, scenario.endpoint or backend.path))
        renamed = None if scenario.output_field else renamed
        roots = {m: server.roots[m] for m in models if m in server.roots}
        return World(
            target=server.target,
            backend=backend,
            models=models,
            max_model_len=min((server.max_model_len[m] for m in models if m in server.max_model_len), default=None),
            server=server,
            tokenizer=tokenizer,
            template_tokens=await self.servers.template_tokens(server, models[0]) if asks else None,
            chat_template=template,
            base_dir=self.config.base_dir,
            memory=self.memory,
            datasets=self.registry.datasets,
            environment=self._facts | ({} if later else {"server": {"version": server.version, "roots": roots}}),
            besides=tuple(self.registry.besides.values()),
            gate=self.gate if scenario.compared else None,
            probes=self.probes[scenario.cell.of_search] if scenario.search else Probes(),
            output_field=renamed.values["other"] if renamed else "",
            opened=later,
            notes=(*server.notes(models), *([renamed] if renamed else [])),
        )

    async def _tried(self, scenario: Scenario, server: ready.Server, seconds: float, only: str = "") -> None:
        """See that the server takes a request of the scenario's shape, of its first model and of each unlisted one.

        What is wrong with the data is said where the plan is built.  ``only``: no other refusal is said now.
        """
        with contextlib.suppress(DataError):
            world = await self._world(scenario, server)
            for model in dict.fromkeys((world.models[0], *(m for m in world.models if m not in server.models))):
                if self.servers.takes(server, model, scenario):
                    continue
                # No window is known here: what fits is the server's to say.
                one = replace(world, models=(model,), max_model_len=None, salt=secrets.token_hex(8))
                try:
                    asked = await self._attempt(scenario, server, one, seconds)
                except ServerError as error:
                    if only and error.message.key != only:
                        return
                    raise
                self.servers.took(server, model, scenario, asked.need)

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
            self.servers.fields[server.target.base_url, path] = Message(key="server.output_field", values=values)
        return asked

    async def _tokenizer(self, scenario: Scenario, server: ready.Server, model: str) -> tuple[Tokenizer, Any]:
        """The tokenizer, and the one whose chat template is applied here."""
        spec = tokenizers.wanted(replace(scenario, target=server.target))
        name, theirs = server.roots.get(model, model), tokenize.tokenizer_of(server.target, model)
        key = (spec, model, scenario.backend)
        if key not in self._tokenizers:
            tokenizer = await asyncio.to_thread(tokenizers.load, spec, name, server=theirs)
            here = scenario.chat_template == "client"
            template = await asyncio.to_thread(tokenizers.with_template, spec, name) if here else None
            self._tokenizers[key] = tokenizer, template
        return self._tokenizers[key]

    def close(self) -> None:
        """Stop what was started."""
        self.servers.close()
        if self._cluster is not None:
            self._cluster.close()


async def trial_of(scenario: Scenario, world: World) -> trial.Trial:
    """One request as the scenario's plan would send it, of the world's first model."""
    with tempfile.TemporaryDirectory(prefix="trial-", dir=private_folder(world.folder / folder.RUNNING)) as work:
        planned = await plan.background(plan.trial, scenario, build_context(world), Path(work))
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


def comparing(config: Config, scenarios: Sequence[Scenario]) -> BaselineSettings:
    """How results are held against a reference."""
    asked = config.settings.baseline
    return BaselineSettings(
        tolerance=asked.tolerance,
        noise=asked.noise,
        keep=asked.keep,
        again=asked.again,
        confidence=max((s.judge.confidence for s in scenarios), default=0.95),
    )


def against(named: str, reference: Mapping[str, Any], config: Config, scenarios: Sequence[Scenario]) -> ReferenceGate:
    """The reference as a gate for the scenarios that will run."""
    return ReferenceGate(
        name=named,
        reference=reference,
        settings=comparing(config, scenarios),
        keys=frozenset(s.cell.key for s in scenarios if s.compared and not s.skip),
        refuse_other=config.settings.baseline.other_environment == "refuse",
    )
