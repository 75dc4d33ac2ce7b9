"""``base_url``, ``targets``, ``headers``, ``api_key_env``, ``tls`` → targets, the one place where secrets are held."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pytest_vllm_bench import files
from pytest_vllm_bench.config.schema import File, TargetFile, TlsFile
from pytest_vllm_bench.config.servers import SECRET, launched
from pytest_vllm_bench.config.urls import SIMULATOR, address, redacted
from pytest_vllm_bench.model import Message, Problem, Target

HIDDEN = "***"
#: Characters of a token that others can try to guess.
SHORTEST_TOKEN = 16
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
#: How keys look that people paste: a known prefix, or long and mixed as no variable's name is.
_KEY_LIKE = re.compile(
    r"(?:sk-|hf_|Bearer |eyJ|gsk_|nvapi-|ghp_|xai-|AKIA)|(?=.*\d)(?=.*[a-z])(?=.*[A-Z]).{20,}", re.ASCII
)


@dataclass(slots=True, kw_only=True)
class Where:
    """What targets are made with, and where their problems are collected."""

    environ: Mapping[str, str] = field(repr=False)
    lines: Mapping[str, int]
    base_dir: Path
    url_origin: str | None = None  # "--vllm-url", where the URL is not the file's
    problems: list[Problem] = field(default_factory=list)

    def add(self, path: str, message: Message) -> None:
        self.problems.append(Problem(message=message, path=path, line=self.lines.get(path)))


def targets(settings: File, where: Where) -> tuple[Target, ...]:
    """The servers; what is wrong with them is in ``where.problems``.  No URL at all is a problem, never a simulator."""
    alike = {key: getattr(settings, key) for key in ("tls", "metrics_url", "profile_urls")}
    started = [key for key in ("server", "servers") if getattr(settings, key)]
    if started:
        beside = [key for key in ("base_url", "targets", *started[1:]) if getattr(settings, key)]
        if beside:
            where.add(started[0], Message(key="config.server_and", values={"key": where.url_origin or beside[0]}))
        like = TargetFile(base_url="http://127.0.0.1", **alike)
        return launched(settings, _target("", like, settings, where), where)
    if not settings.targets:
        if settings.base_url is not None:
            alone = TargetFile(base_url=settings.base_url, **alike)
            return (_target("", alone, settings, where),)
        if not {"base_url", "targets", "server", "servers"} & where.lines.keys():
            where.add("", Message(key="config.no_url"))
        return ()
    for key in ("metrics_url", "profile_urls"):
        if getattr(settings, key):
            where.add(key, Message(key="config.of_one_target", values={"key": key}))
    if settings.base_url:
        where.add("targets", Message(key="config.base_url_and_targets"))
    return tuple(_target(name, target, settings, where) for name, target in settings.targets.items())


def _target(name: str, asked: TargetFile, settings: File, where: Where) -> Target:
    prefix = f"targets.{name}." if name else ""
    found = address(asked.base_url)
    path = f"targets.{name}" if name and f"{prefix}base_url" not in where.lines else f"{prefix}base_url"
    if found.problem is not None:
        where.add(where.url_origin or path, found.problem)
        return Target(name=name)
    if found.twin:
        file = files.path(found.url)
        file = Path.cwd() / file if where.url_origin else file  # as everything that is written on a command line
        if not os.path.isfile(where.base_dir / file):
            where.add(where.url_origin or path, Message(key="config.no_such_file", values={"file": found.url}))
        return Target(name=name, base_url=str(file), twin=True)
    headers = {**settings.headers, **asked.headers}
    authorization = [found.authorization] if found.authorization else []
    variable = asked.api_key_env or settings.api_key_env
    if variable is not None and not found.simulated:
        authorization += _key(variable, f"{prefix}api_key_env" if asked.api_key_env else "api_key_env", where)
    named = [key for key in headers if key.lower() == "authorization"]
    if len(authorization) + len(named) > 1:
        where.add(where.url_origin or path, Message(key="config.two_credentials"))
    if authorization:
        headers["Authorization"] = authorization[0]
    verify = _verify(asked.tls, prefix, where)
    url = SIMULATOR if found.simulated else found.url
    hidden = tuple(_keys_in(settings.model_dump(include={"sampling", "extra_body", "overrides"})))
    hidden += tuple(value for key, value in parse_qsl(urlsplit(settings.endpoint or "").query) if SECRET.search(key))
    return Target(
        name=name,
        base_url=url,
        headers=headers,
        verify=verify,
        simulated=found.simulated,
        metrics_url=asked.metrics_url or "",
        profile_urls=tuple(asked.profile_urls),
        hidden=hidden,
    )


def _values_hidden(value: Any) -> Any:
    """Without what stands under keys that are named as secrets are, however deep."""
    if isinstance(value, list):
        return [_values_hidden(inner) for inner in value]
    if not isinstance(value, Mapping):
        return value
    return {key: HIDDEN if SECRET.search(str(key)) else _values_hidden(inner) for key, inner in value.items()}


def _keys_in(value: Any, name: str = "") -> Iterator[str]:
    """What stands under keys of bodies that are named as secrets are."""
    if isinstance(value, str) and SECRET.search(name):
        yield value
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        yield from _keys_in(inner, str(key))
    for inner in value if isinstance(value, list) else ():
        yield from _keys_in(inner, name)


def check_machines(settings: File, where: Where) -> None:
    """The machines that load is to come from: each once, a token, and nothing in plain text unless that is wanted."""
    asked = settings.machines
    if asked is None:
        return
    of_ray, of_hosts = ({"ray", "nodes", "per_node", "beside_server"}, {"hosts", "token_env", "tls", "plain_text"})
    other = sorted(asked.model_fields_set & (of_hosts if asked.ray else of_ray))
    for key in other:
        told = {"key": key, "other": "ray" if asked.ray else "hosts"}
        where.add(f"machines.{key}", Message(key="config.machines_either", values=told))
    if asked.ray or other:
        return
    if not asked.hosts:
        where.add("machines", Message(key="config.machines_hosts"))
    for position, host in enumerate(asked.hosts):
        path = f"machines.hosts[{position}]"
        if host in asked.hosts[:position]:
            where.add(path, Message(key="config.machines_twice", values={"host": host[0], "port": host[1]}))
        elif asked.tls is None and not asked.plain_text and not local(host[0]):
            where.add(path, Message(key="config.machines_plain", values={"host": host[0], "port": host[1]}))
    if asked.tls is not None:
        _verify(asked.tls, "machines.", where)
    if asked.token_env is None:
        where.add("machines", Message(key="config.machines_token"))
    elif len(token := _value(asked.token_env, "machines.token_env", where)) in range(1, SHORTEST_TOKEN):
        values = {"variable": asked.token_env, "n": len(token), "least": SHORTEST_TOKEN}
        where.add("machines.token_env", Message(key="config.machines_short", values=values))


def local(host: str) -> bool:
    """Whether nobody but this machine is reached by it."""
    return (
        host not in ("0.0.0.0", "::") and Target(base_url=f"http://[{host}]" if ":" in host else f"http://{host}").here
    )


def _key(variable: str, path: str, where: Where) -> list[str]:
    """The bearer token in the variable."""
    key = _value(variable, path, where)
    return [key if key.lower().startswith(("bearer ", "basic ")) else f"Bearer {key}"] if key else []


def _value(variable: str, path: str, where: Where) -> str:
    """The variable's; "" where something is wrong.  A name that is the key is told off, not repeated."""
    if _KEY_LIKE.match(variable) or not _VARIABLE.fullmatch(variable):
        where.add(path, Message(key="config.key_pasted"))
        return ""
    key = where.environ.get(variable, "").strip()
    if not key:
        where.add(path, Message(key="config.variable_not_set", values={"variable": variable}))
        return ""
    if any(ord(c) < 33 or ord(c) > 126 for c in key):
        where.add(path, Message(key="config.key_characters", values={"variable": variable}))
        return ""
    return key


def _verify(tls: TlsFile, prefix: str, where: Where) -> bool | str:
    if tls.ca is None:
        return tls.verify
    bundle = where.base_dir / files.path(tls.ca)
    if not os.path.isfile(bundle):
        where.add(f"{prefix}tls.ca", Message(key="config.no_such_file", values={"file": tls.ca}))
    if not tls.verify:
        where.add(f"{prefix}tls.verify", Message(key="config.ca_unverified"))
    return str(bundle)


def secrets_hidden(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What the user wrote, without header values, credentials in URLs, and keys where a variable's name belongs."""
    shown = dict(raw)
    if isinstance(raw.get("base_url"), str):
        shown["base_url"] = redacted(raw["base_url"])
    if isinstance(raw.get("headers"), dict):
        shown["headers"] = dict.fromkeys(raw["headers"], HIDDEN)
    for name in ("server", "servers"):
        if name in raw:
            shown[name] = _values_hidden(raw[name])
    if isinstance(raw.get("targets"), dict):
        shown["targets"] = {
            name: secrets_hidden({"base_url": target})["base_url"]
            if isinstance(target, str)
            else secrets_hidden(target)
            for name, target in raw["targets"].items()
            if isinstance(target, str | dict)
        }
    return shown
