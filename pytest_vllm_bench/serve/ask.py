"""A server that was started → what it says of itself, and whether it has forgotten what it was sent."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any

from pytest_vllm_bench.errors import ServerError
from pytest_vllm_bench.model import Message, Target
from pytest_vllm_bench.observe.pages import fetch, parsed, words
from pytest_vllm_bench.observe.ready import ASIDE

#: Where servers tell of their settings: vLLM (in its development mode), SGLang, llama.cpp.
SETTINGS = ("/server_info?config_format=json", "/get_server_info", "/server_info", "/props")
_LABELS = re.compile(r"^vllm:cache_config_info\{([^}]*)\}", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
#: What empties caches: vLLM (in its development mode), SGLang.
RESETS = ("/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache", "/flush_cache?timeout=30")
_NO_PAGE = (404, 405, 501)
#: Seconds that a server may take to tell or to forget: vLLM looks at its whole environment when it is first asked.
PATIENCE = 60.0
#: Seconds that it may take to fall asleep, and to wake: a model's weights are moved.
WAKING = 600.0
#: Seconds between the tries of a reset, which takes none while a request runs.
TRIES = (0.1, 0.3, 1.0)


async def settings(target: Target) -> dict[str, tuple[Any, ...]]:
    """By name, every number and yes or no that the server tells of its settings, wherever it stands."""
    found: dict[str, list[Any]] = {}
    for path in SETTINGS:
        with contextlib.suppress(ServerError, RecursionError):
            page = await fetch(target, path, PATIENCE)
            told = parsed(page.body) if page.status == 200 else None
            for name, value in _leaves(told):
                found.setdefault(name, []).append(value)
        if found:
            break
    with contextlib.suppress(ServerError):
        page = await fetch(target, "/metrics", ASIDE)
        for labels in _LABELS.findall(page.body.decode("utf-8", "replace") if page.status == 200 else ""):
            for name, text in _LABEL.findall(labels):
                if (value := _plain(text)) is not None:
                    found.setdefault(name, []).append(value)
    return {name: tuple(dict.fromkeys(values)) for name, values in found.items()}


def _leaves(told: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in told.items() if isinstance(told, dict) else enumerate(told) if isinstance(told, list) else ():
        yield from _leaves(value, name if isinstance(told, list) else str(key))
    if name and (value := _plain(told)) is not None:
        yield name, value


def _plain(value: Any) -> float | bool | None:
    """A number, or yes or no; everything else has more than one spelling."""
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    return value if isinstance(value, bool | int | float) and math.isfinite(value) else None


def name_of(flag: str) -> str:
    """A flag's name as settings have it: ``no-enable-x`` and ``cache-config.enable-x`` are about ``enable_x``."""
    return flag.lstrip("-").rpartition(".")[2].replace("-", "_").removeprefix("no_")


#: Flags that spread one server over several accelerators (vLLM's, SGLang's); their product is how many.
SPREADING = (
    ("tensor_parallel_size", "tp_size", "tp"),
    ("pipeline_parallel_size", "pp_size", "pp"),
    ("data_parallel_size", "dp_size", "dp"),
)


def accelerators(command: Sequence[str]) -> int | None:
    """How many a server's flags ask for; None where they say nothing of it."""
    given = {}
    for word, after in itertools.pairwise((*command, "")):
        flag, equals, value = word.partition("=")
        if word.startswith("-") and (count := _plain(value if equals else after)) is not None:
            given[flag.lstrip("-").replace("-", "_")] = int(count)
    shared = ("dp_size", "dp") if "--enable-dp-attention" in command else ()  # then those ranks share them
    asked = [given[name] for names in SPREADING for name in names if name in given and name not in shared]
    return math.prod(asked) if asked else None


def unlike(args: Mapping[str, Any], told: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    """Flags that were asked for and that the server has otherwise: name → what it has."""
    found = {}
    for flag, asked in args.items():
        name, value = name_of(flag), _plain(asked)
        if isinstance(value, bool) and flag.lstrip("-").startswith(("no-", "no_")):
            value = not value
        # A negative number leaves it to the server.
        if value is not None and value >= 0 and name in told and value not in told[name]:
            found[name] = told[name][0]
    return found


async def woken(target: Target, told: Mapping[str, tuple[Any, ...]]) -> float | Message | None:
    """Seconds in which it wakes, once it was sent to sleep; None where it cannot sleep (vLLM can in its development
    mode, started with --enable-sleep-mode), a Message where it has the pages for that and does not do it."""
    if told.get("enable_sleep_mode") == (False,) or await _asleep(target) is None:
        return None
    took = 0.0
    for path, asleep in (("/sleep?level=1", True), ("/wake_up", False)):
        begun, said = perf_counter(), ""
        try:
            page = await fetch(target, path, WAKING, body={})
            said = "" if 200 <= page.status < 300 else f"{page.status} {words(target, page.body)}"
            while not said and await _asleep(target) is not asleep:
                await asyncio.sleep(0.02)
                said = "/is_sleeping" if perf_counter() - begun > WAKING else ""
        except ServerError as error:
            said = str(error.message.values.get("said", error.message.key))
        if said:
            return Message(key="serve.no_sleep", values={"path": path, "said": said})
        took = perf_counter() - begun
    return took


async def _asleep(target: Target) -> bool | None:
    """None: it does not say."""
    with contextlib.suppress(ServerError):
        page = await fetch(target, "/is_sleeping", ASIDE)
        found = parsed(page.body) if page.status == 200 else None
        return found.get("is_sleeping") if isinstance(found, dict) else None
    return None


class Resets:
    """Empties the caches of one server, by those of its pages that are there; ``how``: auto, none, or a page."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.pages = {"auto": list(RESETS), "none": []}.get(how, [how])

    async def __call__(self, target: Target) -> list[Message]:
        """What came of it that should be known."""
        notes = []
        for path in list(self.pages):
            why = await self._tried(target, path)
            if why == "" and self.how == "auto":
                self.pages.remove(path)
            elif why is not None:
                notes.append(Message(key="serve.reset_failed", values={"path": path, "said": why or "404"}))
        return notes if self.pages or self.how == "none" else [Message(key="serve.no_reset")]

    async def _tried(self, target: Target, path: str) -> str | None:
        """None: it is done; "": there is no such page; else what was said."""
        said = ""
        for pause in (*TRIES, None):
            try:
                page = await fetch(target, path, PATIENCE, body={})
            except ServerError as error:
                said = str(error.message.values.get("said", error.message.key))
            else:
                if page.status in _NO_PAGE:
                    return ""
                told = parsed(page.body)
                refused = isinstance(told, dict) and told.get("success") is False
                if 200 <= page.status < 300 and not refused:
                    return None
                said = f"{page.status} {words(target, page.body)}"
            if pause is not None:
                await asyncio.sleep(pause)
        return said or "–"
