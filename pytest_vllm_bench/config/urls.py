"""A base URL as a person writes it → a server's address without credentials, or what to write instead."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlsplit

from pytest_vllm_bench.model import Message

SIMULATOR = "simulator"
_CREDENTIALS = re.compile(r"(?<=://)[^/?#]*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerUrl:
    """``url``: scheme://host[:port][/prefix] without /v1; ``authorization``: from credentials in the URL, a secret."""

    url: str = ""
    simulated: bool = False
    twin: bool = False  # the file of one
    authorization: str = field(default="", repr=False)
    problem: Message | None = None


def redacted(url: str) -> str:
    """``url`` with any credentials replaced, also where it is not a URL that could be parsed."""
    if "://" in url:
        return _CREDENTIALS.sub("***@", url)
    return "***@" + url.rpartition("@")[2] if "@" in url else url


def hidden(url: str) -> str:
    """``url`` as it may be shown where it could not be understood: nothing between // and the last @, nor behind ?."""
    scheme, slashes, rest = url.partition("//") if "//" in url else ("", "", url)
    *credentials, host = re.split("@|＠|%40", rest)
    return scheme + slashes + re.sub(r"([?#]).*", r"\1***", f"***@{host}" if credentials else rest, flags=re.DOTALL)


#: What a shell, a CI or a template was to fill in: anywhere, or in a host's name; $ and % have their place in a path.
_VARIABLE, _VARIABLE_HOST = re.compile(r"\$\{|\{\{"), re.compile(r"\$\(?\w|%\w+%")


def address(url: str) -> ServerUrl:
    """Understand ``url``; ``problem`` says what is wrong, and never repeats credentials."""
    url = url.strip()
    if url.lower() == SIMULATOR:
        return ServerUrl(url=SIMULATOR, simulated=True)
    if url.startswith("unix://"):
        return _unix(url)
    if url.lower().endswith(".json") and "://" not in url:
        return ServerUrl(url=url, twin=True)
    bare = url.rpartition("@")[2]
    host = (bare.partition("//")[2] or bare).partition("/")[0]
    if _VARIABLE.search(bare) or _VARIABLE_HOST.search(host):
        return _wrong("url_variable", url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return _wrong("url_port" if url.count("[") == url.count("]") else "url", url)
    if parts.scheme not in ("http", "https") or not url.lower().startswith(f"{parts.scheme}://"):
        named = url.partition("://")[2] if "://" in url else url.lstrip("/")
        return _wrong("url_scheme", url, instead=hidden(f"http://{named}"))
    if port == 0:
        return _wrong("url_port", url)
    if "@" in parts.path and "@" not in parts.netloc and port is not None:  # a password with a / in it
        return _wrong("url", url)
    if not parts.hostname or re.search(r"[\s\\<>\"{}|^`]", url):
        return _wrong("url", url)
    if parts.query or parts.fragment:
        return _wrong("url_query", url, instead=re.split("[?#]", hidden(url))[0])
    return _http(parts, url)


def _http(parts: SplitResult, url: str) -> ServerUrl:
    host = parts.netloc.rpartition("@")[2]
    prefix = parts.path.rstrip("/")
    if found := re.search(
        r"/(?:v1/)?((?:chat/)?completions|responses|embeddings|models|generate(?:_stream)?)$", prefix
    ):
        instead = f"{parts.scheme}://{host}{prefix[: found.start()]}"
        return _wrong("url_endpoint", url, instead=instead, endpoint=found[0])
    prefix = prefix.removesuffix("/v1").rstrip("/")
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return ServerUrl(url=f"{parts.scheme}://{host}{quote(prefix, safe='/%:@~+,;=$&!*()')}", authorization=authorization)


def _unix(url: str) -> ServerUrl:
    path = url.removeprefix("unix://")
    if not path.startswith("/"):
        return _wrong("url_unix", url, instead=hidden("unix:///" + path))
    return ServerUrl(url="unix://" + path.rstrip("/").removesuffix("/v1"))


def _wrong(key: str, url: str, **values: str) -> ServerUrl:
    return ServerUrl(problem=Message(key=f"config.{key}", values={"url": hidden(url) or '""', **values}))
