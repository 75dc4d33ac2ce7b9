"""A config → what its scenarios share: servers found ready, tokenizers, the built-in server, repeats so far."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_vllm_bench import environment, load, regression
from pytest_vllm_bench import tokenizer as tokenizers
from pytest_vllm_bench.errors import BenchError, ServerError
from pytest_vllm_bench.judge import stopping
from pytest_vllm_bench.judge.comparison import BaselineSettings, comparisons_planned
from pytest_vllm_bench.model import Backend, Message, Scenario, Target
from pytest_vllm_bench.observe import ready, tokenize
from pytest_vllm_bench.regression import Gate, Rounds
from pytest_vllm_bench.report import folder
from pytest_vllm_bench.world import Probes, Repetition, World, search_key

if TYPE_CHECKING:
    from pytest_vllm_bench.config import Config
    from pytest_vllm_bench.registry import Registry
    from pytest_vllm_bench.tokenizer import Tokenizer

#: Connections beside the load's own: progress, tape, counters.
SPARE_FILES = 64


class Session:
    """Open once a config; ``scenarios`` are those selected to run."""

    def __init__(self, config: Config, registry: Registry, scenarios: Sequence[Scenario], rootdir: Path) -> None:
        self.config, self.registry, self.scenarios, self.rootdir = config, registry, scenarios, rootdir
        self.folder = rootdir / config.results_dir
        self.started = environment.stamp()
        self.absent: dict[str, str] = {}  # target → the scenario that was told so
        self.repetitions: dict[str, list[Repetition]] = {}  # by cell
        self.last = {s.cell: s.id for s in scenarios}  # the last of a scenario's repeats, in the order of running
        self.probes = {
            key: Probes(tiers=tuple(s for s in scenarios if s.search and search_key(s) == key))
            for key in {search_key(s) for s in scenarios if s.search}
        }
        self.gate: Gate | Rounds | None = self._rounds()
        self._servers: dict[tuple[str, str, str, tuple[str, ...]], ready.Server] = {}
        self._tokenizers: dict[tuple[str | None, str, str], tuple[Tokenizer, int | None, Any]] = {}
        self._simulator: Target | None = None
        self._stack = contextlib.ExitStack()

    def hold_against(self, named: str) -> None:
        """Load the reference that this session's results are held against; BenchError if there is none."""
        settings = self._comparing()
        self.gate = Gate(
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

    def settled(self, scenario: Scenario) -> bool:
        """Whether the repeats before this one are enough (``repeats: {until: …}``); one that runs again is none."""
        so_far = [r.figures for r in self.repetitions.get(scenario.cell, ()) if r.repeat != scenario.repeat]
        return bool(so_far) and scenario.repeats.until is not None and stopping.enough_repeats(scenario, so_far)

    async def open(self, scenario: Scenario, patience: float, aloud: Callable[[Message], None]) -> World:
        """All that ``scenario`` needs to run; BenchError says what is missing.  The second time it costs nothing."""
        folder.make(self.folder)
        target = self._reach(scenario.target)
        backend = self.registry.backends[scenario.backend]
        server = await self._server(scenario, target, backend, patience, aloud)
        models = tuple(server.model(m) for m in scenario.models) or (server.model(None),)
        for one in self.scenarios:
            if one.target == scenario.target:
                fits(one, server, models)
        tokenizer, added, template = await self._tokenizer(scenario, server, models[0], backend)
        return World(
            target=target,
            backend=backend,
            models=models,
            max_model_len=min((server.max_model_len[m] for m in models if m in server.max_model_len), default=None),
            probe=probe_of(scenario, backend),
            tokenizer=tokenizer,
            template_tokens=added,
            chat_template=template,
            folder=self.folder,
            base_dir=self.config.base_dir,
            session=self.started,
            datasets=self.registry.datasets,
            environment=environment.facts(self.rootdir)
            | {"server": {"version": server.version, "roots": dict(server.roots)}},
            round_trip_ms=None if server.round_trip_s is None else 1e3 * server.round_trip_s,
            gate=self.gate,
            repetitions=self.repetitions.setdefault(scenario.cell, []),
            judges=self.last.get(scenario.cell, scenario.id) == scenario.id,
            probes=self.probes[search_key(scenario)] if scenario.search else Probes(),
        )

    async def _server(
        self, scenario: Scenario, target: Target, backend: Backend, patience: float, aloud: Callable[[Message], None]
    ) -> ready.Server:
        path = scenario.endpoint or backend.path
        key = (target.base_url, backend.name, path, scenario.models)
        if key not in self._servers:
            if ready.ca_missing(target):
                raise ServerError("server.ca_missing", path=target.verify)
            needed = max(map(connections, self.scenarios), default=1) + SPARE_FILES
            if problem := load.open_files_problem(needed):
                raise BenchError(problem.key, **problem.values)
            self._servers[key] = await ready.wait(target, probe_of(scenario, backend), patience, aloud)
        return self._servers[key]

    async def _tokenizer(
        self, scenario: Scenario, server: ready.Server, model: str, backend: Backend
    ) -> tuple[Tokenizer, int | None, Any]:
        """The tokenizer; how many tokens the server's chat template adds; the one whose template is applied here."""
        spec = scenario.tokenizer or ("simulator" if server.target.simulated else None)
        key = (spec, model, backend.name)
        if key not in self._tokenizers:
            theirs = tokenize.tokenizer_of(server.target, model)
            name = server.roots.get(model, model)
            tokenizer = await asyncio.to_thread(tokenizers.load, spec, name, server=theirs)
            added = await tokenize.template_tokens(server.target, model) if backend.takes_messages else None
            here = scenario.chat_template == "client"
            template = await asyncio.to_thread(tokenizers.with_template, spec, name) if here else None
            self._tokenizers[key] = tokenizer, added, template
        return self._tokenizers[key]

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


def probe_of(scenario: Scenario, backend: Backend) -> ready.Probe:
    """The small request that shows whether a scenario's server answers."""
    return ready.Probe(backend=backend, path=scenario.endpoint or backend.path, model=next(iter(scenario.models), None))


def fits(scenario: Scenario, server: ready.Server, models: Sequence[str]) -> None:
    """ServerError if a model's window is too small for what the scenario asks."""
    need = (scenario.input_len or 0) + (scenario.output_len or 0)
    for model in models:
        limit = server.max_model_len.get(model)
        if limit is not None and need > limit:
            raise ServerError(
                "server.context",
                scenario=scenario.id,
                need=need,
                input=scenario.input_len,
                output=scenario.output_len,
                model=model,
                limit=limit,
            )
