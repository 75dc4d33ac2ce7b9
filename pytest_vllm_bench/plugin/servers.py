"""The fixture ``vllm_server``: a server for a test of one's own, started by the config's command or by another."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from pydantic import ValidationError

from pytest_vllm_bench.config.nouns import Config
from pytest_vllm_bench.config.problems import translated
from pytest_vllm_bench.config.schema import ServerFile
from pytest_vllm_bench.config.servers import commanded, launch_of
from pytest_vllm_bench.config.targets import Where
from pytest_vllm_bench.errors import BenchError, ConfigError
from pytest_vllm_bench.model import Cell, Scenario, ServerCommand, Target
from pytest_vllm_bench.plugin.console import aloud
from pytest_vllm_bench.plugin.fixture import fail
from pytest_vllm_bench.serve.launcher import Launcher
from pytest_vllm_bench.serve.start import RunningServer
from pytest_vllm_bench.store import folder
from pytest_vllm_bench.text import say

if TYPE_CHECKING:
    from pytest_vllm_bench.plugin.items import Items

T = TypeVar("T")
#: Seconds: a signal that comes just before a thread falls asleep wakes it no more, and waits for it to wake by itself.
LOOKS_S = 0.5


class ServerHandle:
    """One that runs, ready; ``url`` without /v1, ``log`` the file that it writes."""

    def __init__(self, node: pytest.Item, items: Items, launch: ServerCommand, config: Config | None) -> None:
        name = folder.stem(node.name).removeprefix("bench_")
        models = config.settings.model if config else ()
        self._asked = Scenario(
            cell=Cell(target=name), target=Target(name=name, launch=launch), backend="vllm", models=models
        )
        self._where = (
            items.pytest.rootpath / (config.results_dir if config else "results"),
            config.base_dir if config else node.path.parent,
        )
        self._aloud = aloud(items.pytest, items.lang)
        self._launcher = Launcher()
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
        try:
            self._running = beside(self._launcher.reach(self._asked, *self._where, self._aloud))
        except BaseException:
            self._launcher.stop(self._aloud)
            raise

    def stop(self) -> None:
        beside(self._launcher.leave(None, self._aloud))


def beside(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a loop in a thread of its own, as the test may have one that runs; Ctrl-C cancels it."""
    loop, over = asyncio.new_event_loop(), threading.Event()
    task = loop.create_task(work)

    def run() -> None:
        with contextlib.closing(loop), contextlib.suppress(BaseException):  # which the task knows
            loop.run_until_complete(task)
        over.set()

    try:
        threading.Thread(target=run).start()
        while not over.wait(LOOKS_S):
            pass
    except BaseException:  # at whatever moment: a pool that is interrupted while it begins cannot be left
        with contextlib.suppress(RuntimeError):  # it has just come to its end
            loop.call_soon_threadsafe(task.cancel)
        over.wait()
        raise
    return task.result()


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
        handle = ServerHandle(node, items, launch, config)
        # A benchmark's is started again when it is needed.
        beside(items.launcher.leave(None, aloud(items.pytest, items.lang)))
        try:
            handle.restart()
            yield handle
        except BaseException:  # which is what the test is about, whatever the server leaves behind
            try:
                handle.stop()
            except BenchError as error:
                aloud(items.pytest, items.lang)(error.message)
            raise
        handle.stop()
    except BenchError as error:
        problem = say(error.message, items.lang)
        if isinstance(error, ConfigError):
            problem = "\n".join(say(one.message, items.lang) for one in error.problems)
    else:
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
