"""Targets → the servers behind them: where they are, what they said of themselves, and who was refused or let down."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pytest_vllm_bench.errors import ServerError
from pytest_vllm_bench.model import Message, Scenario, Target
from pytest_vllm_bench.observe import ready, tokenize, trial
from pytest_vllm_bench.serve.launcher import Launcher


class Servers:
    """Those of one config; ``launcher``: by whom servers are started, of all configs of a session."""

    def __init__(self, results: Path, base_dir: Path, launcher: Launcher) -> None:
        self.results, self.base_dir, self.launcher = results, base_dir, launcher
        self.absent: dict[str, str] = {}  # target → the scenario that was told so
        self.gone: dict[str, str] = {}  # target → the scenario in which it went away
        self.refused: dict[tuple[str, str], str] = {}  # target and shape → the scenario that was refused
        self.said: dict[str, ready.Server] = {}  # by address: what they say of themselves
        self.fields: dict[tuple[str, str], Message] = {}  # address, path → that another field had to be sent there
        self._added: dict[tuple[str, str], int | None] = {}  # address and model → tokens of its chat template
        self._taken: set[tuple[str, str, str]] = set()  # address, model and shape of requests that were answered
        self._simulator = ""  # where it is
        self._stack = contextlib.ExitStack()

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

    def back(self, scenario: Scenario) -> None:
        """The server is there."""
        self.gone.pop(scenario.target.name, None)

    def doubt(self, target: Target) -> None:
        """The server may be another one by now, or none: it is asked everything again."""
        address = self.address(target)
        self.said.pop(address, None)
        self._taken = {key for key in self._taken if key[0] != address}
        self._added = {key: added for key, added in self._added.items() if key[0] != address}

    async def known(self, target: Target, asked: str | None) -> ready.Server:
        """What a target says of itself; one that is not there any more is looked at afresh."""
        before = self.said.get(target.base_url)
        if before is not None:
            now = await ready.there(before)
            if ready.changed(before, now, before.models) is None:
                return before
            self.doubt(target)
        found = await ready.listing(target, asked)
        if asked or found.models:
            self.said[target.base_url] = found
        return found

    async def template_tokens(self, server: ready.Server, model: str) -> int | None:
        """How many tokens its chat template adds; None: it does not tell."""
        key = (server.target.base_url, model)
        if key not in self._added:
            self._added[key] = await tokenize.template_tokens(server.target, model)
        return self._added[key]

    def takes(self, server: ready.Server, model: str, scenario: Scenario) -> bool:
        """Whether a request of the scenario's shape was answered before."""
        return (server.target.base_url, model, shape(scenario)) in self._taken

    def took(self, server: ready.Server, model: str, scenario: Scenario, tokens: int) -> None:
        """A request of the scenario's shape, so many tokens long, was answered."""
        self._taken.add((server.target.base_url, model, shape(scenario)))
        if tokens > server.max_model_len.get(model, tokens):
            self.said[server.target.base_url] = ready.without_window(server, model, tokens)

    def address(self, target: Target) -> str:
        """Where a target is; "" where it was not started yet."""
        if target.launch is not None and (running := self.launcher.serving(target)):
            return running.url
        return self._simulator if target.simulated and target.launch is None else target.base_url

    async def reach(self, scenario: Scenario, aloud: Callable[[Message], None]) -> Target:
        """Where a scenario's target really is: a server is started when first needed, the built-in one too."""
        target = scenario.target
        if target.launch is not None:
            await self.launcher.reach(scenario, self.results, self.base_dir, aloud)
        elif target.simulated and not self._simulator:
            from pytest_vllm_bench import simulator

            self._simulator = self._stack.enter_context(simulator.start()).base_url
        return replace(target, base_url=self.address(target))

    def close(self) -> None:
        """Stop what was started."""
        self.launcher.stop()
        self._stack.close()


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
