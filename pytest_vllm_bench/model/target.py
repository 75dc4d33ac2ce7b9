"""A server: its address, and what of it nobody is to read."""

from __future__ import annotations

import base64
import html
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from functools import cache
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

from pytest_vllm_bench.model.launch import ServerCommand
from pytest_vllm_bench.model.message import Message

#: Characters; shorter header values and users are names, which stand in many a sentence, and are not looked for in what
#: servers say; shorter passwords and keys would be found in every word.
SHORTEST_SECRET, SHORTEST_KEY = 8, 4
#: What a header's parts are worth that have names: those of a cookie, of a digest.
_VALUE = re.compile(r'=\s*"?([^\s;,"]+)')


@cache
def _spellings(headers: tuple[str, ...], hidden: tuple[str, ...]) -> tuple[str, ...]:
    """Every form in which a secret may come back, the longest first: whole and in parts, escaped and encoded."""
    said = {part for value in headers for part in (value, value.partition(" ")[2], *_VALUE.findall(value))}
    found = {part for part in said if len(part) >= SHORTEST_SECRET}
    found |= {key for key in hidden if len(key) >= SHORTEST_KEY}
    for value in headers:
        if value.lower().startswith("basic "):
            pair = base64.b64decode(value[6:] + "==").decode("utf-8", "replace")
            user, _, password = pair.partition(":")
            found |= {pair, *([user] if len(user) >= SHORTEST_SECRET else [])}
            found |= {password} if len(password) >= SHORTEST_KEY else set()
    quoted = {form for part in found for form in (quote(part), quote(part, safe=""), quote_plus(part))}
    quoted |= {re.sub("%..", lambda code: code[0].lower(), form) for form in quoted}
    escaped = {form for part in found for form in (json.dumps(part)[1:-1], html.escape(part), repr(part)[1:-1])}
    packed = {base64.b64encode(part.encode()).decode() for part in found}
    packed |= {form.translate({43: "-", 47: "_"}) for form in packed} | {form.rstrip("=") for form in packed}
    return tuple(sorted({form for form in found | quoted | escaped | packed if form}, key=len, reverse=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server.  ``headers`` may hold secrets: they are not shown, stored or logged."""

    name: str = ""  # the key under ``targets:``; "" where there is only one
    base_url: str = ""  # scheme://host[:port][/prefix], without /v1, credentials or a final slash; unix:///path too
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool | str = True  # TLS: True, False (said loudly), or the path of a CA bundle
    simulated: bool = False  # the built-in server
    twin: bool = False  # ``base_url`` is the file of a twin: what it predicts takes the place of a measurement
    launch: ServerCommand | None = None  # started for its scenarios, wherever there is a free port
    metrics_url: str = ""  # where its counters are; "": its own /metrics
    profile_urls: tuple[str, ...] = ()  # whose profilers are told to begin; (): its own
    hidden: tuple[str, ...] = field(default=(), repr=False)  # other secrets: keys in the endpoint's query, in bodies

    @property
    def here(self) -> bool:
        """Whether it is on this machine, as its address says: what this machine can tell is told of it too."""
        if self.launch is not None:
            return True
        host = ""
        try:
            host = urlsplit(self.base_url).hostname or ""
            address = ipaddress.ip_address(host)
        except ValueError:
            return self.base_url.startswith("unix:") or host == "localhost" or host.endswith(".localhost")
        address = getattr(address, "ipv4_mapped", None) or address
        return address.is_loopback or address.is_unspecified

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nobody is to read, in all its forms, the longest first."""
        return _spellings(tuple(self.headers.values()), self.hidden)

    def discreet(self, words: str) -> str:
        """A server's words without the secrets that it may have sent back."""
        for secret in self.secrets:
            words = words.replace(secret, "***")
        return words

    def covered(self, value: Any) -> Any:
        """The same of all words in JSON builtins and our nouns."""
        if isinstance(value, str) and not isinstance(value, StrEnum):
            return self.discreet(value)
        if isinstance(value, Mapping):
            return {self.discreet(str(key)): self.covered(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(map(self.covered, value))
        if isinstance(value, Message):
            return replace(value, values={key: self.covered(inner) for key, inner in value.values.items()})
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{part.name: self.covered(getattr(value, part.name)) for part in fields(value)})
        return value
