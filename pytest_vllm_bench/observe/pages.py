"""An address → a page of bounded size and time, or one clear error: all that is read beside the measured load.

What may pass (refused, 5xx, 429, a page that is shown until the server is there, …) is NotReady; a name that does not
resolve, a certificate, 401, a path and a request that is not taken will not get better by waiting.
"""

from __future__ import annotations

import contextlib
import json
import re
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from pytest_vllm_bench.backends.complaints import of_body
from pytest_vllm_bench.errors import NotReady, ServerError
from pytest_vllm_bench.model import Target

#: Seconds: to connect at most.
CONNECT = 10.0
#: Bytes read at most of a page.
PAGE_BYTES = 4 << 20
#: Names told of a long list.
TOLD = 10

#: 4xx that may pass, and 5xx that will not.
_PASSING, _LASTING = (408, 425, 429), (501, 505, 510)
_LOADING = re.compile(
    r"loading|not (yet )?ready|starting|warming|initiali[sz]ing|no (available |healthy )?instance", re.I
)
_LOGIN = re.compile(r"login|log-in|signin|sign-in|sign_in|auth|sso\b|saml", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A status and a page, or what was read of it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool = True

    @property
    def html(self) -> bool:
        return "html" in self.headers.get("Content-Type", "") or self.body.lstrip()[:1] == b"<"


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
        timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, CONNECT)),
        trust_env=False,
    )


def url(target: Target, path: str) -> str:
    """The address of ``path`` on a target."""
    base = "http://localhost" if target.base_url.startswith("unix://") else target.base_url
    return base + path


async def fetch(target: Target, path: str, seconds: float, body: Any = None, most: int = PAGE_BYTES) -> Page:
    """One page, at most so many bytes of it in at most so many seconds; with a ``body`` (JSON) it is posted."""
    async with web(target, seconds) as session, asked(session, target, path, json=body) as response:
        return await read(response, most)


async def read(response: aiohttp.ClientResponse, most: int) -> Page:
    """What is left of the body, if it is no longer than that."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > most:
            break
    return Page(status=response.status, headers=response.headers, body=bytes(body[:most]), whole=len(body) <= most)


@contextlib.asynccontextmanager
async def asked(
    session: aiohttp.ClientSession, target: Target, path: str, **sent: Any
) -> AsyncIterator[aiohttp.ClientResponse]:
    """One exchange; what goes wrong on the way, now or while the body is read, is a ServerError, NotReady if it may
    pass."""
    method = "GET" if all(value is None for value in sent.values()) else "POST"
    with spoken(target.base_url + path):  # of a Unix socket this says more than the URL
        async with session.request(method, url(target, path), allow_redirects=False, **sent) as response:
            yield response


@contextlib.contextmanager
def spoken(named: str) -> Iterator[None]:
    """aiohttp's exceptions in our words."""
    try:
        yield
    except aiohttp.ClientConnectorDNSError as error:
        raise ServerError("server.dns", url=named, host=error.host) from None
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
        raise ServerError("server.tls", url=named, said=str(error)) from None
    except aiohttp.ClientConnectorError as error:
        raise NotReady("server.refused", url=named, said=error.strerror or str(error)) from None
    except aiohttp.ConnectionTimeoutError as error:
        raise NotReady("server.refused", url=named, said=str(error)) from None
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError) as error:
        raise NotReady("server.dropped", url=named, said=str(error)) from None
    except TimeoutError:
        raise NotReady("server.silent", url=named) from None
    except aiohttp.InvalidURL:
        raise ServerError("server.url", url=named) from None
    except (aiohttp.ClientError, ValueError) as error:
        raise ServerError("server.not_http", url=named, said=shown(str(error))) from None


def refusal(target: Target, path: str, answer: Page) -> ServerError:
    """The error that an HTTP status stands for, with the server's own words; NotReady if it may pass."""
    said = words(target, answer.body)
    values: dict[str, Any] = {"url": url(target, path), "status": answer.status, "said": said}
    if 300 <= answer.status < 400:
        return redirected(target, path, answer)
    if answer.status in (401, 403):
        return ServerError("server.auth", **values)
    passing = answer.status in _PASSING or (answer.status >= 500 and answer.status not in _LASTING)
    if passing or _LOADING.search(said):
        return NotReady("server.unavailable", **values, retry_after=retry_after(answer.headers))
    return ServerError("server.path" if answer.status == 404 else "server.status", **values)


def redirected(target: Target, path: str, answer: Page) -> ServerError:
    """A page that is shown until the server is there may pass; a login, or the same path elsewhere, will not."""
    to = answer.headers.get("Location", "")
    try:
        there = urlsplit(to).path
    except ValueError:
        there = ""
    moved = answer.status in (301, 308) or there.rstrip("/").endswith(path.rstrip("/"))
    values = {"url": target.base_url + path, "status": answer.status, "to": shown(target.discreet(to))}
    if _LOGIN.search(to) and not there.rstrip("/").endswith(path.rstrip("/")):
        return ServerError("server.auth", said=f"→ {values['to']}", **values)
    return (ServerError if moved else NotReady)("server.redirect", **values)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to be left alone: a number, or a date beside its own."""
    written = headers.get("Retry-After", "")
    try:
        return max(0.0, float(written)) if "," not in written else (
            parsedate_to_datetime(written) - parsedate_to_datetime(headers.get("Date", ""))
        ).total_seconds()  # fmt: skip
    except (ValueError, TypeError):
        return None


def parsed(body: bytes) -> Any:
    """JSON, or None for what is not."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def words(target: Target, body: bytes) -> str:
    """What an error's body says, in one line, without secrets."""
    try:
        return shown(target.discreet(of_body(body)))
    except RecursionError:
        return shown(target.discreet(body[:1000].decode(errors="replace")))


def shown(text: str, limit: int = 300) -> str:
    """One line that can be written, capped."""
    line = " ".join(text.encode(errors="replace").decode().split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def told(names: Sequence[str]) -> str:
    """The first of many names."""
    more = len(names) - TOLD
    return ", ".join(shown(name, 100) for name in names[:TOLD]) + (f" … (+{more:,})" if more > 0 else "")
