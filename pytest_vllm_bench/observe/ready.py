"""A target → what it says of itself; and waiting until it answers.

Lists and versions inform: whatever they answer but what was hoped for means "not told".  Only a request of a
scenario's own shape decides (``trial``).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pytest_vllm_bench.errors import NotReady, ServerError
from pytest_vllm_bench.model import Message, Target
from pytest_vllm_bench.observe.pages import Page, fetch, parsed, refusal, shown, told, url, words

T = TypeVar("T")

#: A line is said aloud this often while waiting, seconds.
PATIENCE = 5.0
#: What only informs may take this long; a look may take this long where nobody wants to wait for it, seconds.
ASIDE = 5.0
LEAST = 10.0

#: A model's window beyond this is no number of tokens.
_WINDOW = 1 << 30
#: Words that advise on keys and addresses.
_ADVISES = ("server.auth", "server.redirect")
#: The connection itself failed: the request after it would fail as well.
UNREACHED = ("server.refused", "server.dns", "server.tls", "server.url")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What a target says of itself."""

    target: Target
    models: tuple[str, ...] = ()  # as it names them; empty: not told
    max_model_len: Mapping[str, int] = field(default_factory=dict)  # by model, tokens
    roots: Mapping[str, str] = field(default_factory=dict)  # model → what it was loaded from
    version: str = ""
    round_trip_s: float | None = None  # of the listing of models: what the network costs
    wrong: tuple[Message, ...] = ()  # what it told and a request has shown to be otherwise
    unlisted: ServerError | None = None  # why there is no list of models; NotReady: there may be one later

    def model(self, asked: str | None) -> str:
        """The model to name in requests: what was asked for, else the only one served; ServerError if neither."""
        if asked:
            return asked
        if len(self.models) == 1:
            return self.models[0]
        if isinstance(self.unlisted, NotReady):
            raise self.unlisted
        why = self.unlisted.message if self.unlisted else ""
        key = "server.model_choice" if self.models else "server.model_unknown"
        raise ServerError(key, served=told(self.models), url=self.target.base_url, why=why)

    def notes(self, models: tuple[str, ...]) -> list[Message]:
        """What somebody who reads the figures should know of the list, where the trial has worked all the same."""
        if self.unlisted is not None:
            why = self.unlisted.message  # without advice: key and address in use are good for what is measured
            plain = {"said": f"→ {why.values.get('to')}", **why.values}
            why = replace(why, key="server.status", values=plain) if why.key in _ADVISES else why
            return [*self.wrong, Message(key="server.not_told", values={"why": why})]
        absent = [m for m in models if self.models and m not in self.models]
        values = {"asked": told(absent), "served": told(self.models), "url": self.target.base_url}
        return [*self.wrong, *([Message(key="server.not_listed", values=values)] if absent else [])]


async def wait(look: Callable[[float], Awaitable[T]], patience: float, aloud: Callable[[Message], None]) -> T:
    """What ``look`` (told how many seconds it may take) finds, within ``patience`` seconds; ServerError says what came
    instead.  Aloud every few seconds, also while a look takes long."""
    start, why, pause = time.perf_counter(), Message(key="server.no_word"), 0.05

    async def tell() -> None:
        while True:
            await asyncio.sleep(PATIENCE)
            seconds = round(time.perf_counter() - start)
            aloud(Message(key="server.waiting", values={"seconds": seconds, "why": why}))

    telling = asyncio.create_task(tell())
    try:
        while True:
            try:
                return await look(max(patience - (time.perf_counter() - start), LEAST))
            except NotReady as problem:
                why = problem.message
            left = patience - (time.perf_counter() - start)
            if left <= 0:
                raise ServerError("server.not_ready", seconds=round(patience - left), why=why) from None
            pause = min(2 * pause, 1.0)
            await asyncio.sleep(min(max(pause, why.values.get("retry_after") or 0.0), left))
    finally:
        telling.cancel()


async def there(server: Server) -> Server:
    """What a server says now; ServerError if it is there no more, as far as its list of models tells (if any)."""
    now = await listing(server.target, "any", ASIDE if server.models else ASIDE / 10)
    why = now.unlisted
    if server.models and isinstance(why, NotReady):
        busy = why.message.key == "server.silent" or why.message.values.get("status") == 429
        if not busy:
            raise why
    return now


def changed(before: Server, after: Server, models: Iterable[str]) -> Message | None:
    """What of the server is another than before, as far as it told both times: its version, or one of these models."""
    seen: list[tuple[str, object, object]] = [("version", before.version, after.version)]
    for model in models:
        if model in before.models and after.models and model not in after.models:
            seen.append(("", told(before.models), told(after.models)))
        for what, told_before, told_after in (
            ("root", before.roots, after.roots),
            ("max_model_len", before.max_model_len, after.max_model_len),
        ):
            seen.append((f"{model}, {what}", told_before.get(model), told_after.get(model)))
    for what, was, now in seen:
        if was and now and was != now:
            values = {"before": f"{what} {was}".strip(), "after": f"{what} {now}".strip()}
            return Message(key="server.model_changed", values=values)
    return None


async def listing(target: Target, asked: str | None, seconds: float = ASIDE) -> Server:
    """What ``/v1/models`` and ``/version`` say; where nobody is there to be asked, ServerError or NotReady.

    Without a model ``asked`` for, the list is all there is to go by and may take its time.
    """
    begun = time.perf_counter()
    unlisted: ServerError | None = None
    entries: list[dict[str, Any]] = []
    versioned = asyncio.create_task(version_of(target, seconds))
    try:
        entries = models_of(target, await fetch(target, "/v1/models", seconds if asked else 6 * seconds))
    except ServerError as error:
        if error.message.key in UNREACHED:
            versioned.cancel()
            raise
        unlisted = error
    round_trip = time.perf_counter() - begun
    return Server(
        target=target,
        models=tuple(dict.fromkeys(e["id"] for e in entries)),
        max_model_len={e["id"]: n for e in entries if (n := window(e.get("max_model_len")))},
        roots={e["id"]: e["root"] for e in entries if spelled(e.get("root"))},
        version=await versioned,
        round_trip_s=round_trip if unlisted is None or "status" in unlisted.message.values else None,
        unlisted=unlisted,
    )


async def version_of(target: Target, seconds: float) -> str:
    """What the server says it is; "": it does not."""
    with contextlib.suppress(ServerError):
        page = await fetch(target, "/version", seconds)
        found = parsed(page.body) if page.status == 200 else None
        return shown(str(found["version"])) if isinstance(found, dict) and "version" in found else ""
    return ""


def models_of(target: Target, page: Page) -> list[dict[str, Any]]:
    """The entries of a list of models that can be named in a request; ServerError where there are none, NotReady where
    there may be some later."""
    if page.status != 200:
        raise refusal(target, "/v1/models", page)
    found = parsed(page.body) if page.whole else None
    listed = found.get("data") if isinstance(found, dict) else None
    entries = [e for e in listed if isinstance(e, dict) and spelled(e.get("id"))] if isinstance(listed, list) else []
    if not entries:
        kind = NotReady if listed == [] or page.html or not page.body.strip() else ServerError
        raise kind("server.odd_list", url=url(target, "/v1/models"), said=words(target, page.body) or "–")
    return entries


def without_window(server: Server, model: str, taken: int) -> Server:
    """The window that a server tells of a model is none: it took a longer request."""
    told = {name: limit for name, limit in server.max_model_len.items() if name != model}
    values = {"model": model, "limit": server.max_model_len[model], "taken": taken}
    return replace(server, max_model_len=told, wrong=(*server.wrong, Message(key="server.window", values=values)))


def spelled(name: Any) -> bool:
    """A name that can be written: JSON can spell half a character."""
    return isinstance(name, str) and bool(name) and name.encode("utf-8", "ignore").decode() == name


def window(value: Any) -> int | None:
    """A number of tokens; anything else a server may write there is none."""
    try:
        number = float(value) if isinstance(value, int | float | str) and value is not True else math.nan
    except (ValueError, OverflowError):
        return None
    return int(number) if 1 <= number <= _WINDOW else None


def ca_missing(target: Target) -> bool:
    """Whether the CA bundle that the target names is not there."""
    return isinstance(target.verify, str) and not Path(target.verify).is_file()
