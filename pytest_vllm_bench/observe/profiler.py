"""The server's own profiler around a short load: vLLM's and SGLang's, started, stopped, and what they left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from pytest_vllm_bench.errors import ServerError
from pytest_vllm_bench.model import Beside, Message, Observed, Profile, Target
from pytest_vllm_bench.observe.host import PROC, listener
from pytest_vllm_bench.observe.pages import fetch, parsed, words

START, STOP, VERSION = "/start_profile", "/stop_profile", "/version"
#: SGLang alone has it.
SGLANG = "/get_model_info"
#: Seconds: it begins at once; after an interruption nobody waits for what it writes; between two lines meanwhile.
BEGINS, LEAVES, ALOUD = 60.0, 5.0, 10.0
#: Seconds in which files that SGLang writes by itself have not changed, and so are whole.
SETTLED = 2.0
#: Steps of SGLang's engine that pass before it records.
FIRST_STEP = 3
#: Files listed at most.
MOST = 64
#: Where a server says that it writes: a flag of vLLM's, in any of its spellings, and its and SGLang's variables.
_FOLDER = re.compile(r"(?:torch_profiler_dir|(?:VLLM|SGLANG)_TORCH_PROFILER_DIR)[\"'\s:=\0]+([^\"'\0,}]+)")
#: Since then vLLM takes a flag, before it a variable.
FLAG_SINCE = (0, 13)
FLAG = """--profiler-config '{"profiler":"torch","torch_profiler_dir":"/abs"}'"""
VARIABLE = "VLLM_TORCH_PROFILER_DIR=/abs"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Worker:
    """One address that is told to begin and to end; ``ends``: it does so by itself, after so many steps."""

    target: Target
    ends: bool = False


class Profiler(Beside):
    """Of one load; where no profiler begins there is none, and no load: ServerError."""

    patience = None

    def __init__(self, asked: Profile, into: Path, steps: int, tell: Callable[[Message], None]) -> None:
        self._asked, self._into, self._steps, self._tell = asked, into, steps, tell
        self._begun: list[_Worker] = []
        self._folder: Path | None = None
        self._before: dict[Path, tuple[int, int]] = {}
        self._notes: list[Message] = []
        self.files: tuple[Path, ...] = ()  # what was written meanwhile, where that can be seen

    async def begin(self, target: Target) -> None:
        self._folder = await asyncio.to_thread(self._place, target)
        self._before = _files(self._folder, self._into)
        for worker in workers(target):
            theirs = await _answers(worker, SGLANG)
            ends = theirs and target.here
            body: dict[str, Any] = {}
            if theirs:
                body = {"activities": ["CPU", "GPU"]}
            if ends:
                body |= {"output_dir": str(self._into), "num_steps": self._steps, "start_step": FIRST_STEP}
            if (said := await _posted(worker, START, body, BEGINS)) is not None:
                lacks = not theirs and str(said).startswith("404")
                key = "server.no_profiler" if lacks else "server.no_profile"
                raise ServerError(key, path=START, said=said, **({"cure": await cure_of(worker)} if lacks else {}))
            self._begun.append(_Worker(target=worker, ends=ends))

    async def end(self, interrupted: bool) -> Observed:
        if self._begun:
            self._notes.append(Message(key="server.profiled"))
        limit = LEAVES if interrupted else self._asked.flush
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit + 3 * LEAVES):  # it was asked for as much, and what hangs is left behind
                await self._aloud(asyncio.gather(*(self._stopped(worker, limit) for worker in self._begun)))
        self.files = tuple(sorted(self._new()))[:MOST]
        return Observed(notes=tuple(self._notes))

    async def _aloud(self, work: asyncio.Future[Any]) -> None:
        """A line every so often while what was recorded is written out."""
        seconds = 0.0
        try:
            while not (await asyncio.wait([work], timeout=ALOUD))[0]:
                seconds += ALOUD
                self._tell(Message(key="server.profile_flushes", values={"seconds": f"{seconds:.0f}"}))
            work.result()
        finally:
            work.cancel()

    async def _stopped(self, worker: _Worker, limit: float) -> None:
        if worker.ends and await self._written(limit):
            return
        for seconds in (LEAVES if worker.ends else limit, LEAVES):
            if (said := await _posted(worker.target, STOP, {}, seconds)) is None:
                return
        self._notes.append(Message(key="server.profile_goes_on", values={"path": STOP, "said": said}))

    async def _written(self, limit: float) -> bool:
        """Whether there are files that grow no more."""
        before: dict[Path, tuple[int, int]] = {}
        for _ in range(max(1, int(limit / SETTLED))):
            await asyncio.sleep(SETTLED)
            if (now := self._new()) and now == before:
                return True
            before = now
        return False

    def _new(self) -> dict[Path, tuple[int, int]]:
        now = _files(self._folder, self._into)
        return {path: facts for path, facts in now.items() if self._before.get(path) != facts}

    def _place(self, target: Target) -> Path | None:
        """Where the server writes, as the config or its own process says."""
        if self._asked.folder:
            return Path(self._asked.folder)
        try:
            process = listener(urlsplit(target.base_url).port or 80) if target.here else None
            told = [(PROC / str(process) / part).read_text(errors="replace") for part in ("cmdline", "environ")]
        except (OSError, ValueError):
            return None
        return told_folder("\0".join(told))


def told_folder(words: str) -> Path | None:
    """Where a process's command and environment say that its traces go, where that is an absolute path."""
    found = _FOLDER.search(words)
    return Path(found[1].strip()) if found and found[1].startswith("/") else None


def workers(target: Target) -> list[Target]:
    """Whom to tell: the server, or each of its ``profile_urls``; another host is not told the headers of this one."""

    def origin(url: str) -> str:
        return "{0.scheme}://{0.netloc}".format(urlsplit(url))

    return [
        replace(
            target, base_url=url.rstrip("/"), headers=target.headers if origin(url) == origin(target.base_url) else {}
        )
        for url in target.profile_urls
    ] or [target]


async def cure_of(target: Target) -> str:
    """How a vLLM server of this version is started with its profiler; both ways where it does not tell."""
    with contextlib.suppress(ServerError):
        told = parsed((await fetch(target, VERSION, LEAVES)).body)
        number = re.match(r"(\d+)\.(\d+)", str(told.get("version", ""))) if isinstance(told, dict) else None
        if number is not None:
            return FLAG if (int(number[1]), int(number[2])) >= FLAG_SINCE else VARIABLE
    return f"{FLAG} (< 0.13: {VARIABLE})"


async def _answers(target: Target, path: str) -> bool:
    with contextlib.suppress(ServerError):
        return (await fetch(target, path, LEAVES)).status == 200
    return False


async def _posted(target: Target, path: str, body: Any, seconds: float) -> Message | str | None:
    """What is wrong with the answer; None: nothing."""
    try:
        page = await fetch(target, path, seconds, body=body)
    except ServerError as error:
        return error.message
    return None if page.status == 200 else f"{page.status} {words(target, page.body)}".strip()


def _files(*folders: Path | None) -> dict[Path, tuple[int, int]]:
    """Each file's size and when it was written."""
    found = {}
    for folder in folders:
        with contextlib.suppress(OSError):
            for path in sorted(folder.rglob("*")) if folder else ():
                if path.is_file():
                    found[path] = path.stat().st_size, path.stat().st_mtime_ns
    return found


def now() -> float:
    """On the measuring clock."""
    return perf_counter()


def base_ns(traces: Sequence[Path]) -> int:
    """From when a torch trace counts its microseconds, as one of them says; nought: from 1970."""
    for path in traces:
        opened = gzip.open if path.suffix == ".gz" else open
        with contextlib.suppress(OSError, EOFError, zlib.error), opened(path, "rb") as file:
            if found := re.search(rb'"baseTimeNanoseconds":\s*(\d+)', file.read(1 << 20)):
                return int(found[1])
    return 0
