"""The fixture ``vllm_server``: a server for a test of one's own, started by the config's command or by another."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from pytest_vllm_bench.config.nouns import Config
from pytest_vllm_bench.config.problems import translated
from pytest_vllm_bench.config.schema import ServerFile
from pytest_vllm_bench.config.servers import commanded, launch_of
from pytest_vllm_bench.config.targets import Where
from pytest_vllm_bench.errors import BenchError, ConfigError
from pytest_vllm_bench.model import ServerCommand, Target
from pytest_vllm_bench.plugin.console import aloud
from pytest_vllm_bench.plugin.fixture import fail
from pytest_vllm_bench.serve.start import RunningServer, until_ready
from pytest_vllm_bench.store import folder
from pytest_vllm_bench.text import say

if TYPE_CHECKING:
    from pytest_vllm_bench.plugin.items import Items


class ServerHandle:
    """One that runs, ready; ``url`` without /v1, ``log`` the file that it writes."""

    def __init__(self, node: pytest.Item, items: Items, launch: ServerCommand, config: Config | None) -> None:
        self._items, self._launch, self._number = items, launch, 0
        self._model = config.settings.model[0] if config and config.settings.model else ""
        self._base = config.base_dir if config else node.path.parent
        self._logs = items.pytest.rootpath / (config.results_dir if config else "results") / "logs"
        self._name = folder.stem(node.name).removeprefix("bench_")
        self._running: RunningServer | None = None

    @property
    def url(self) -> str:
        assert self._running is not None
        return self._running.url

    @property
    def log(self) -> Path:
        assert self._running is not None
        return self._running.log

    def restart(self) -> None:
        """Stop it, and start it afresh: with another port and another log."""
        self.stop()
        self._number += 1
        self._logs.mkdir(parents=True, exist_ok=True)
        file = self._logs / f"server-{self._name}-{self._number}.log"
        self._running = running = RunningServer(self._launch, self._model, file, self._base, self._number)
        wait = until_ready(running, Target(launch=self._launch), aloud(self._items.pytest, self._items.lang))
        with ThreadPoolExecutor(1) as pool:  # the test may have a loop that runs
            try:
                pool.submit(asyncio.run, wait).result()
            except BaseException:
                self.stop()  # which also ends the wait
                raise

    def stop(self) -> None:
        if self._running is not None and (said := self._running.stop()):
            aloud(self._items.pytest, self._items.lang)(said)


@contextlib.contextmanager
def started(
    node: pytest.Item,
    items: Items,
    *,
    args: Mapping[str, Any] | None = None,
    command: str | list[str] = "",
    env: Mapping[str, str] | None = None,
) -> Iterator[ServerHandle]:
    """Start a server and stop it; what cannot be started fails the test in the log's words."""
    try:
        config = configured(items, items.path(node)) if not command else None
        launch = asked(config, node.path.parent, {"command": command, "args": dict(args or {}), "env": dict(env or {})})
        items.launcher.stop()  # a benchmark's: it is started again when it is needed
        handle = ServerHandle(node, items, launch, config)
        handle.restart()
    except BenchError as error:
        problem = say(error.message, items.lang)
        if isinstance(error, ConfigError):
            problem = "\n".join(say(one.message, items.lang) for one in error.problems)
    else:
        try:
            yield handle
        finally:
            handle.stop()
        return
    fail(problem)


def configured(items: Items, path: Path) -> Config:
    """The config, which must hold one server."""
    items.load(path)
    config = items.configs.get(path)
    if config is None or config.settings.server is None:
        raise BenchError("plugin.no_server", path=str(path))
    return config


def asked(config: Config | None, base: Path, given: Mapping[str, Any]) -> ServerCommand:
    """The command with one setting of its flags; a list among them is one value."""
    try:
        own = ServerFile.model_validate({"command": given["command"] or "-", "env": given["env"]})
    except ValidationError as error:
        raise ConfigError(list(translated(error, ServerFile, {}))) from None
    server = config.settings.server if config else own
    assert server is not None
    server = server.model_copy(update={"env": {**server.env, **own.env}})
    where = Where(environ=os.environ, lines={}, base_dir=base)
    launch = launch_of(server, given["args"], commanded(server, given["args"], "server", where))
    if where.problems:
        raise ConfigError(where.problems)
    return launch
