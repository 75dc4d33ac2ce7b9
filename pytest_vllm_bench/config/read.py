"""config.yaml, options and environment → Config, or every problem at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pytest_vllm_bench import files
from pytest_vllm_bench.config.checks import cross_checks
from pytest_vllm_bench.config.lines import Document, consequences, full_width, parse
from pytest_vllm_bench.config.nouns import OVERRIDES, Config, Overrides
from pytest_vllm_bench.config.problems import translated
from pytest_vllm_bench.config.schema import File
from pytest_vllm_bench.config.targets import Where, check_machines, secrets_hidden, targets
from pytest_vllm_bench.errors import ConfigError
from pytest_vllm_bench.model import Message, Problem, Target
from pytest_vllm_bench.suggest import suggestion

if TYPE_CHECKING:
    from pytest_vllm_bench.registry import Registry


#: Of a config; what a person writes is a hundredth of it, and YAML of a megabyte takes half a minute to read.
MOST_BYTES = 256 << 10
#: What a file's own keys begin with that only anchors are kept in.
UNREAD = "x-"


@dataclass(slots=True, kw_only=True)
class ConfigText:
    """What reading has come upon so far; ``origins``: key → the option, variable or ini key that replaces it."""

    lines: Mapping[str, int]
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, path: str, what: str, /, **values: Any) -> None:
        message = Message(key=f"config.{what}", values=values)
        self.problems.append(Problem(message=message, path=path, line=self.lines.get(path)))


def read(path: Path, given: Overrides, registry: Registry) -> Config:
    """Read the config at ``path``; ConfigError has every problem."""
    document = _document(path)
    found = ConfigText(lines=document.lines, problems=[*document.problems, *_not_a_mapping(document)])
    if isinstance(document.value, dict):
        raw = {key: value for key, value in document.value.items() if not str(key).startswith(UNREAD)}
        config = _checked(path, _with_given(raw, given, found), registry, found)
        if not found.problems:
            return config
    found.problems += full_width(document, found.problems)
    found.problems = consequences(found.problems)
    told_of = {*found.origins.values(), *(chosen[1] for chosen in _chosen(given).values())}
    raise ConfigError(
        [p if p.file or p.path in told_of else replace(p, file=str(path)) for p in _sorted(found.problems)]
    )


def _chosen(given: Overrides) -> dict[str, tuple[str, str]]:
    """The file's key → (value, origin)."""
    return {key: chosen for name, key in OVERRIDES.items() if (chosen := getattr(given, name)) is not None}


def _sorted(problems: Iterable[Problem]) -> list[Problem]:
    """In the order of the file, each once."""
    once = {(str(p.message), p.path, p.line): p for p in problems}
    return sorted(once.values(), key=lambda p: (p.line is None, p.line or 0))


def _document(path: Path) -> Document:
    """The parsed file; a file that cannot be read is a problem like others."""
    document = Document()
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for, a device has no end
            document.add("config.not_a_file", None)
            return document
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        document.add("config.no_file", None, hint=_instead_of(path))
        return document
    except OSError as error:
        document.add("config.unreadable", None, words=error.strerror or type(error).__name__)
        return document
    if len(data) > MOST_BYTES:
        document.add("config.file_large", None, most=f"{MOST_BYTES:,}")
        return document
    try:
        return parse(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        document.add("config.not_utf8", data.count(b"\n", 0, error.start) + 1)
        return document


def _instead_of(path: Path) -> Message:
    """What to do where there is no such config."""
    if not path.parent.is_dir():
        return Message(key="config.no_folder")
    others = [other.name for other in sorted(path.parent.glob("*.y*ml"))]
    return suggestion(path.name, others) if others else Message(key="config.start_one")


def _not_a_mapping(document: Document) -> Iterator[Problem]:
    if document.problems:
        return
    if document.value is None:
        yield Problem(message=Message(key="config.empty_file"))
    elif not isinstance(document.value, dict):
        yield Problem(message=Message(key="config.file_not_mapping"), line=1)


def _with_given(raw: Mapping[str, Any], given: Overrides, found: ConfigText) -> dict[str, Any]:
    """The file's values with those given in their place."""
    merged = dict(raw)
    for key, (value, origin) in _chosen(given).items():
        if not str(value).strip():
            found.add(origin, "given_empty", origin=origin)
            continue
        merged[key], found.origins[key] = str(value).strip(), origin
    if isinstance(raw.get("profile"), dict) and "profile" in found.origins:
        merged["profile"] = {**raw["profile"], "scenarios": merged["profile"]}
    if (origin := found.origins.get("base_url", "")) and merged.pop("targets", None):
        found.add(origin, "url_and_targets", origin=origin)
    return merged


def _checked(path: Path, raw: dict[str, Any], registry: Registry, found: ConfigText) -> Config:
    """The config as far as it is right; what is wrong is added to ``found.problems``."""
    base_dir = path.resolve().parent
    settings = _settings(raw, found)
    where = Where(environ=os.environ, lines=found.lines, base_dir=base_dir, url_origin=found.origins.get("base_url"))
    servers = targets(settings, where)
    check_machines(settings, where)
    found.problems += where.problems
    hidden = secrets_hidden(raw)
    settings = _without_secrets(_local_paths(settings, base_dir, found.origins), hidden)
    config = Config(
        file=path,
        base_dir=base_dir,
        results_dir=files.path(settings.results_dir),
        settings=settings,
        targets=servers,
        registry=registry,
        in_force=tuple(_in_force(settings, servers, path, found)),
        lines=found.lines,
        written=hidden,
    )
    found.problems += cross_checks(config, {p.path for p in found.problems})
    return config


def _settings(raw: dict[str, Any], found: ConfigText) -> File:
    """What validates; a key with a problem is left out, so that the others are still checked against each other."""
    try:
        return File.model_validate(raw)
    except ValidationError as error:
        unread = ("config.yaml_scalar", "config.yaml_tag")
        told = {p.path for p in found.problems if p.message.key in unread}  # and once is enough
        found.problems += [
            p for p in translated(error, File, found.lines) if not {p.path, p.path.removesuffix("[0]")} & told
        ]
        bad = {str(item["loc"][0]) for item in error.errors(include_url=False)}
        return File.model_validate({key: value for key, value in raw.items() if key not in bad})


def _without_secrets(settings: File, hidden: Mapping[str, Any]) -> File:
    """From here on only targets know header values and credentials."""
    shown: dict[str, Any] = {"headers": dict.fromkeys(settings.headers, "***")}
    if settings.base_url is not None:
        shown["base_url"] = hidden["base_url"]
    if settings.targets:
        shown["targets"] = {}
    return settings.model_copy(update=shown)


def _local_paths(settings: File, base_dir: Path, origins: Mapping[str, str]) -> File:
    """A tokenizer that exists beside the config is meant as that file or folder, wherever pytest is started."""
    name = settings.tokenizer
    if name and "tokenizer" not in origins and os.path.exists(local := base_dir / files.path(name)):
        return settings.model_copy(update={"tokenizer": str(local)})
    return settings


def _in_force(
    settings: File, servers: Sequence[Target], path: Path, found: ConfigText
) -> Iterator[tuple[str, str, str]]:
    for key in ("targets", "server", "servers"):
        if key in found.lines:
            commands = [server.discreet(" ".join(server.launch.command)) for server in servers if server.launch]
            named = ", ".join(server.name for server in servers if server.name) or "".join(commands)
            yield key, named, f"{path.name}:{found.lines[key]}"
    for key in ("base_url", "model", "tokenizer", "backend", "results_dir"):
        if key in found.origins or key in found.lines:
            value = getattr(settings, key)
            shown = ", ".join(value) if isinstance(value, tuple) else str(value)
            yield key, shown, found.origins.get(key) or f"{path.name}:{found.lines[key]}"
