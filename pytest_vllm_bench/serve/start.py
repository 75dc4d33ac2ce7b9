"""A ServerCommand → a server that runs, or why it does not, and nothing of it is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from pytest_vllm_bench.errors import NotReady, ServerError
from pytest_vllm_bench.model import Message, ServerCommand, Target
from pytest_vllm_bench.observe import ready
from pytest_vllm_bench.observe.pages import fetch
from pytest_vllm_bench.serve import ask, log

GUARDIAN = Path(__file__).with_name("guardian.py")
SIMULATOR = "simulator"
CONTAINERS = ("docker", "podman")
#: Seconds that a guardian may take beyond the server's grace: to kill, and to remove a container.
FAREWELL = 60.0
#: Where a server says that it is there, if nobody says where.
HEALTH = "/health"
#: Answers to that from a server that has no such page, and is there.
_NO_PAGE = (404, 405, 501)

Aloud = Callable[[Message], None]


class RunningServer:
    """A server that was started; what its guardian says of it is read when somebody asks."""

    def __init__(self, launch: ServerCommand, model: str, file: Path, folder: Path, number: int = 1) -> None:
        self.launch, self.log, self.number = launch, file, number
        self.settings: Mapping[str, tuple[Any, ...]] | None = None  # as it tells them; None: not asked yet
        self.forget = ask.Resets(launch.reset)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        wanted = any("{fresh}" in word for word in (*launch.command, *launch.env.values()))
        fresh = tempfile.mkdtemp(prefix="vllm-bench-") if wanted else ""  # its guardian removes it
        filled = {"{port}": str(port), "{model}": model, "{fresh}": fresh}
        words = executable([fill(word, filled) for word in launch.command])
        command, farewell = contained(words, f"vllm-bench-{port}", launch.env)
        self.command = command
        env = {key: fill(value, filled) for key, value in launch.env.items()}
        self.begun = perf_counter()
        self.seconds: dict[str, float] = {}  # ``ready_s``, ``first_token_s``: since it was begun
        self._said = b""
        asked = (str(file), f"{launch.grace_s:g}", json.dumps(farewell), fresh)
        self._guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", str(GUARDIAN), *asked, "--", *command],
            env={"PYTHONUNBUFFERED": "1", **os.environ, **env},
            cwd=folder,
            stdin=subprocess.PIPE,  # its end, also by our death, ends the server
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C at the terminal is not meant for the server
        )
        assert self._guardian.stdout is not None
        os.set_blocking(self._guardian.stdout.fileno(), False)

    def told(self) -> Mapping[str, str]:
        """What the guardian has said so far, by its first word; ``gone``: it will say no more."""
        assert self._guardian.stdout is not None
        with contextlib.suppress(BlockingIOError, ValueError):
            while part := os.read(self._guardian.stdout.fileno(), 4096):
                self._said += part
            self._said += b"\ngone \n"
        found = (line.partition(" ") for line in self._said.decode("utf-8", "replace").splitlines())
        return {word: rest for word, _, rest in found}

    def reached(self, what: str) -> None:
        """Note when it first got so far."""
        self.seconds.setdefault(what, perf_counter() - self.begun)

    async def prepared(self, target: Target) -> list[Message]:
        """Ask once what it is, and have it forget what it was sent; → what of that should be known."""
        self.reached("first_token_s")
        if self.settings is None:
            self.settings = await ask.settings(target)
        return await self.forget(target)

    def death(self, most: int = log.LINES) -> Message | None:
        """How it ended, with its last words and what they mean; None while it lives."""
        told = self.told()
        if "failed" in told:
            return Message(key="serve.no_command", values={"command": self.command[0], "why": told["failed"]})
        if not {"ended", "gone"} & told.keys():
            return None
        said = log.lines(self.log)
        code = int(told.get("ended", -signal.SIGKILL))
        unknown = "signal" if code < 0 else "code" if code else "ended"
        why = log.diagnosis(said) or Message(key=f"serve.why.{unknown}")
        how = signal.Signals(-code).name if code < 0 else str(code)
        values = {"how": how, "why": why, "log": str(self.log), "lines": log.words(self.log, most)}
        return Message(key="serve.died", values=values)

    def stop(self) -> Message | None:
        """End it, with all that it has started; → that a signal was not enough, or that there was more than the
        command itself."""
        assert self._guardian.stdin is not None
        assert self._guardian.stdout is not None
        with contextlib.suppress(OSError):
            self._guardian.stdin.close()
        try:
            self._guardian.wait(self.launch.grace_s + FAREWELL)
        except subprocess.TimeoutExpired:
            self._guardian.kill()
            self._guardian.wait()
        told = self.told()
        if self._guardian.returncode and (group := told.get("began")):  # the guardian itself was killed
            with contextlib.suppress(OSError):
                os.killpg(int(group), signal.SIGKILL)
        self._guardian.stdout.close()
        values = {"grace": f"{self.launch.grace_s:g}", "log": str(self.log)}
        ends = (
            Message(key=f"serve.{how}", values={"n": told[how], **values}) for how in ("killed", "left") if how in told
        )
        return next(ends, None)


async def until_ready(running: RunningServer, target: Target, aloud: Aloud) -> None:
    """Wait until its readiness page answers; as long again while it downloads, which is said."""
    launch, there = running.launch, replace(target, base_url=running.url)

    async def look(seconds: float) -> None:
        alive(running, target)
        status = 0
        with contextlib.suppress(ServerError):
            status = (await fetch(there, launch.ready_path or HEALTH, min(seconds, ready.ASIDE))).status
        alive(running, target)
        if 200 <= status < 300 or (status in _NO_PAGE and launch.ready_path is None):
            return
        raise NotReady("serve.last_words", said=target.discreet(log.last(running.log)))

    while True:
        try:
            return await ready.wait(look, launch.ready_s, aloud)
        except ServerError as error:
            if error.message.key != "server.not_ready":
                raise
            if not log.downloads(running.log):
                words = tuple(Message(key="serve.line", values={"line": line}) for line in log.lines(running.log))
                values = {
                    "seconds": f"{launch.ready_s:g}",
                    "log": str(running.log),
                    "lines": words or Message(key="serve.silent"),
                }
                raise ServerError("serve.not_ready", **target.covered(values)) from None
            aloud(Message(key="serve.downloads", values={"said": target.discreet(log.last(running.log))}))


def alive(running: RunningServer, target: Target) -> None:
    """ServerError, with its last words, where it has ended."""
    if (death := running.death()) is not None:
        raise ServerError(death.key, **target.covered(death).values)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def fill(word: str, values: Mapping[str, str]) -> str:
    """Put in what is known once it starts; other braces are the command's own (JSON)."""
    for name, value in values.items():
        word = word.replace(name, value)
    return word


def executable(command: list[str]) -> list[str]:
    """``simulator`` is the built-in server, in a process of its own."""
    if command[0] == SIMULATOR:
        from pytest_vllm_bench import simulator

        return [sys.executable, "-m", simulator.COMMAND, *command[1:]]
    return command


def contained(command: list[str], name: str, env: Iterable[str] = ()) -> tuple[list[str], list[str]]:
    """A container is removed by its name, as its processes are not ours, and is told of our variables: → the command,
    and how it is removed."""
    if Path(command[0]).name not in CONTAINERS or "run" not in command:
        return command, []
    named = [word for word in command if word == "--name" or word.startswith("--name=")]
    at = command.index("run") + 1
    ours = [word for key in env for word in ("-e", key)]
    if named:
        first = command.index(named[0])
        name = named[0].partition("=")[2] or command[first + 1]
    else:
        ours = ["--name", name, *ours]
    return [*command[:at], *ours, *command[at:]], [command[0], "rm", "-f", name]
