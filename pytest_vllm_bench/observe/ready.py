"""A target and a backend → what is served there, or one clear error.

Ready means that one request of the scenario's own backend with one output token came back complete.  Refused and 503
may pass and are waited for; a name that does not resolve, a certificate, 401, a path, a redirect and a wrong model
will not get better by waiting and fail at once.
"""

from __future__ import annotations

import asyncio
import io
import json
import ssl
import time
import wave
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

from pytest_vllm_bench.errors import NotReady, ServerError
from pytest_vllm_bench.framing import Events
from pytest_vllm_bench.model import Ask, Backend, Media, Message, Prompt, Target

#: A line is said aloud this often while waiting, seconds.
PATIENCE = 5.0
#: A server may take this long to list its models, and to answer at all where nobody wants to wait for it, seconds.
LISTING = 30.0
LEAST = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What a target turned out to be."""

    target: Target
    models: tuple[str, ...] = ()  # as it names them; empty: it does not say
    max_model_len: Mapping[str, int] = field(default_factory=dict)  # by model, tokens
    roots: Mapping[str, str] = field(default_factory=dict)  # model → what it was loaded from
    version: str = ""
    round_trip_s: float | None = None  # of the listing of models: what the network costs

    def model(self, asked: str | None) -> str:
        """The model to name in requests: what was asked for, else the only one served; ServerError if neither."""
        if asked:
            if self.models and asked not in self.models:
                raise ServerError("server.model", asked=asked, served=", ".join(self.models), url=self.target.base_url)
            return asked
        if len(self.models) == 1:
            return self.models[0]
        key = "server.model_choice" if self.models else "server.model_unknown"
        raise ServerError(key, served=", ".join(self.models), url=self.target.base_url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One request to see whether the server answers."""

    backend: Backend
    path: str
    model: str | None
    timeout: float = 300.0


def connector(target: Target) -> aiohttp.BaseConnector:
    """How to reach a target: TLS with its CA, or a Unix socket."""
    if target.base_url.startswith("unix://"):
        return aiohttp.UnixConnector(target.base_url.removeprefix("unix://"))
    if target.verify is True:
        return aiohttp.TCPConnector()
    context = ssl.create_default_context(cafile=target.verify if isinstance(target.verify, str) else None)
    if target.verify is False:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return aiohttp.TCPConnector(ssl=context)


def web(target: Target, timeout: float = 30.0) -> aiohttp.ClientSession:
    """A session for everything that is not timed; the environment's proxies are ignored, as on the measured path."""
    return aiohttp.ClientSession(
        connector=connector(target),
        headers={"Accept-Encoding": "identity", **target.headers},
        timeout=aiohttp.ClientTimeout(total=timeout),
        trust_env=False,
    )


def url(target: Target, path: str) -> str:
    """The address of ``path`` on a target."""
    base = "http://localhost" if target.base_url.startswith("unix://") else target.base_url
    return base + path


async def wait(target: Target, probe: Probe, patience: float, aloud: Callable[[Message], None]) -> Server:
    """Wait up to ``patience`` seconds for the target to answer ``probe``; ServerError says what came instead."""
    start = said = time.perf_counter()
    while True:
        left = max(patience - (time.perf_counter() - start), LEAST)
        try:
            return await look(target, replace(probe, timeout=min(probe.timeout, left)))
        except NotReady as problem:
            now = time.perf_counter()
            if now - start >= patience:
                raise ServerError("server.not_ready", seconds=round(now - start), why=problem.message) from None
            if now - said >= PATIENCE:
                said = now
                aloud(Message(key="server.waiting", values={"seconds": round(now - start), "why": problem.message}))
        await asyncio.sleep(min(0.5, patience))


async def look(target: Target, probe: Probe) -> Server:
    """Look once: the models it lists, then one request with one output token."""
    async with web(target, min(probe.timeout, LISTING)) as session:
        server = await listing(session, target)
    async with web(target, probe.timeout) as session:
        await ask(session, target, probe, server.model(probe.model))
    return server


async def listing(session: aiohttp.ClientSession, target: Target) -> Server:
    """What ``/v1/models`` and ``/version`` say; servers that have neither, or leave fields out, are fine."""
    begun = time.perf_counter()
    status, body = await fetch(session, target, "GET", "/v1/models")
    round_trip = time.perf_counter() - begun
    entries: Sequence[Any] = []
    if status == 200:
        found = parsed(body)
        entries = found.get("data") or [] if isinstance(found, dict) else []
    elif status in (401, 403, 503) or 300 <= status < 400:
        raise refusal(target, "/v1/models", status, body)
    named = [e for e in entries if isinstance(e, dict) and isinstance(e.get("id"), str)]
    status, body = await fetch(session, target, "GET", "/version")
    version = parsed(body) if status == 200 else None
    return Server(
        target=target,
        models=tuple(e["id"] for e in named),
        max_model_len={e["id"]: int(n) for e in named if isinstance(n := e.get("max_model_len"), int | float)},
        roots={e["id"]: root for e in named if isinstance(root := e.get("root"), str)},
        version=str(version["version"]) if isinstance(version, dict) and "version" in version else "",
        round_trip_s=round_trip,
    )


async def ask(session: aiohttp.ClientSession, target: Target, probe: Probe, model: str) -> None:
    """Send one small request; anything but a whole answer is a ServerError with the server's own words."""
    prompt = Prompt(text="Is anybody there?", inputs=None if probe.backend.generates else ["Is anybody there?"])
    if probe.backend.takes_media == {"audio"}:  # it transcribes, and has nothing to say without a clip
        prompt = Prompt(media=(silence(),))
    body = probe.backend.body(Ask(prompt=prompt, model=model, output_len=1, force_length=False))
    path = probe.path.format(model=model)
    status, answer = await fetch(session, target, "POST", path, body, probe.backend.content_type)
    if status != 200:
        raise refusal(target, path, status, answer)
    events = Events(probe.backend.framing)
    deltas = [probe.backend.read(event) for event in [*events.feed(answer), *events.flush()]]
    for delta in deltas:
        if delta.error is not None:
            raise ServerError("server.error", url=url(target, path), said=shown(target.discreet(delta.error)))
    if not deltas:
        raise ServerError("server.empty", url=url(target, path), backend=probe.backend.name)


def silence(seconds: float = 0.5) -> Media:
    """A clip with nothing on it."""
    file = io.BytesIO()
    with wave.open(file, "wb") as clip:
        clip.setnchannels(1)
        clip.setsampwidth(2)
        clip.setframerate(16_000)
        clip.writeframes(bytes(2 * int(16_000 * seconds)))
    return Media(kind="audio", data=file.getvalue(), mime="audio/wav", seconds=seconds)


async def fetch(
    session: aiohttp.ClientSession, target: Target, method: str, path: str, body: bytes | None = None, kind: str = ""
) -> tuple[int, bytes]:
    """One exchange → (status, body); what cannot be connected becomes a ServerError or, where it may pass, NotReady."""
    where, named = url(target, path), target.base_url + path  # of a Unix socket the second says more
    headers = {"Content-Type": kind} if kind else {}
    try:
        async with session.request(method, where, data=body, headers=headers, allow_redirects=False) as response:
            if 300 <= response.status < 400:
                raise ServerError(
                    "server.redirect", url=named, status=response.status, to=response.headers.get("Location", "")
                )
            return response.status, await response.read()
    except aiohttp.ClientConnectorDNSError as error:
        raise ServerError("server.dns", url=named, host=error.host) from None
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
        raise ServerError("server.tls", url=named, said=str(error)) from None
    except aiohttp.ClientConnectorError as error:
        raise NotReady("server.refused", url=named, said=error.strerror or str(error)) from None
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
        raise NotReady("server.dropped", url=named, said=str(error)) from None
    except TimeoutError:
        raise NotReady("server.silent", url=named) from None
    except aiohttp.InvalidURL:
        raise ServerError("server.url", url=named) from None
    except aiohttp.ClientError as error:
        raise ServerError("server.not_http", url=named, said=str(error)) from None


def refusal(target: Target, path: str, status: int, body: bytes) -> ServerError:
    """The error that an HTTP status stands for, with the server's own words."""
    said = shown(target.discreet(words(body)))
    values = {"url": url(target, path), "status": status, "said": said}
    if status == 503:
        return NotReady("server.unavailable", **values)
    if status in (401, 403):
        return ServerError("server.auth", **values)
    if status == 404 and "model" not in said.lower():
        return ServerError("server.path", **values)
    return ServerError("server.status", **values)


def parsed(body: bytes) -> Any:
    """JSON, or None for what is not."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def words(body: bytes) -> str:
    """What an error body says, in any of the shapes that servers use."""
    found = parsed(body)
    while isinstance(found, dict):
        found = next((found[k] for k in ("error", "message", "detail") if found.get(k)), json.dumps(found))
    return found if isinstance(found, str) else body.decode(errors="replace")


def shown(text: str, limit: int = 300) -> str:
    """One line, capped."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def ca_missing(target: Target) -> bool:
    """Whether the CA bundle that the target names is not there."""
    return isinstance(target.verify, str) and not Path(target.verify).is_file()
