"""``server`` and ``servers`` → targets that are started: each setting of their flags is a target."""

from __future__ import annotations

import itertools
import json
import math
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_vllm_bench import files
from pytest_vllm_bench.config import values as v
from pytest_vllm_bench.config.starter import sweep
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Message, ServerCommand, Target

if TYPE_CHECKING:
    from pytest_vllm_bench.config.schema import File, ServerFile
    from pytest_vllm_bench.config.targets import Where

Setting = Mapping[str, Any]
#: Keys of a setting that name it and are no flags: ours, and vLLM's in the files of its sweeps.
NAMES = ("label", "_benchmark_name")
#: Letters of a value that can stand in a label; of one that is longer, its number among the values does.
SHORT = 20
#: Settings of one server; each costs a start.
MOST_SETTINGS = 1000
#: How keys are named whose values are secrets, in query strings, bodies, flags and variables; ``prompt_cache_key`` and
#: ``stop_token`` are no such.
SECRET = re.compile(
    r"(?:(?<!cache_)key|(?<!stop_)(?<!eos_)token|secret|passwo?r?d|pwd|auth|authorization|sig|signature|credentials?)$",
    re.IGNORECASE,
)


def command(value: Any) -> list[str]:
    """Words as a shell would take them apart, or a list of them; no shell ever sees them."""
    try:
        words = shlex.split(v.text(value)) if isinstance(value, str) else value
    except ValueError as error:
        raise v.wrong("server_quotes", words=str(error)) from None
    if not isinstance(words, list) or not words or not all(isinstance(word, str | int | float) for word in words):
        raise v.wrong("server_command", got=v.show(value))
    words = [v.text(words[0]), *map(str, words[1:])]
    _written(words)
    shell = next((word for word in words if word in ("&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1")), None)
    if shell or "=" in words[0]:
        raise v.wrong("server_shell", word=shell or words[0])
    return words


def args(value: Any) -> Any:
    """Axes, settings, or the file that holds them."""
    if isinstance(value, str):
        return v.text(value)
    if isinstance(value, list):
        for one in _few(value):
            _flags(one)
        return value
    for inner in _flags(value).values():
        _few(inner)
    return value


def _few(value: Any) -> Any:
    """Settings, or values on an axis: at least one, and no more than can be gone through."""
    if isinstance(value, list) and not value:
        raise v.wrong("empty_list")
    if isinstance(value, list) and len(value) > MOST_SETTINGS:
        raise v.wrong("too_many", got=len(value), most=MOST_SETTINGS)
    return value


def _flags(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) and key.strip("-_ ") for key in value):
        raise v.wrong("server_args", got=v.show(value))
    _written(value)
    return value


def _written(value: Any) -> None:
    """No command line holds the character U+0000."""
    if "\\u0000" in json.dumps(value, default=str):
        raise v.wrong("control_character", code="U+0000")


def environment(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise v.wrong("want_mapping", got=v.show(value))
    for name, content in value.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise v.wrong("server_variable", name=v.show(name))
        if not isinstance(content, str) or "\0" in content:
            raise v.wrong("server_value", name=name, got=v.show(content))  # nor a number: 010 would be 8
    return value


def launched(settings: File, like: Target, where: Where) -> tuple[Target, ...]:
    """One target a setting of each server, with the headers of ``like``; problems are in ``where.problems``."""
    written = (
        {"server": settings.server} if settings.server else {f"servers.{n}": s for n, s in settings.servers.items()}
    )
    found = []
    for path, server in written.items():
        name = path.partition(".")[2]
        for label, args in labelled(list(settings_of(server, f"{path}.args", where)), f"{path}.args", where).items():
            command = commanded(server, args, path, where)
            if any("{model}" in word for word in command) and not settings.model:
                where.add(f"{path}.command", Message(key="config.server_model"))
            rounds = settings.repeats.max or settings.repeats.min
            decided = settings.repeats.until == "decided" and bool(settings.servers)
            launch = launch_of(server, args, command, server.restarts or 1)
            if settings.baseline.target or decided:  # what is compared takes turns, or stays up side by side
                fewer = server.restarts is not None and server.restarts < rounds
                beside: Any = "yes" if fewer else "fits" if server.restarts is None else "no"
                launch = replace(launch, restarts=server.restarts or rounds, beside=beside)
            if launch.restarts > rounds:
                where.add(f"{path}.restarts", Message(key="config.server_restarts", values={"repeats": rounds}))
            target = replace(like, name="-".join(filter(None, (name, label))), base_url="", launch=launch)
            hidden = (*like.hidden, *secrets(server, args))
            found.append(replace(target, simulated=server.command[0] == "simulator", hidden=hidden))
    return tuple({target.name: target for target in found}.values())


#: What an engine compiles is kept there (vLLM's, PyTorch's): a start that is cold finds nothing.
COLD = {"VLLM_CACHE_ROOT": "{fresh}/vllm", "TORCHINDUCTOR_CACHE_DIR": "{fresh}/inductor"}


def measured_starts(target: Target) -> Iterator[Target]:
    """The target once for each kind of start that is a test of its own; each is started as often as it is measured."""
    launch = target.launch
    for caches, count in launch.startup.items() if launch else ():
        env = {**launch.env, **COLD} if caches == "cold" else launch.env  # type: ignore[union-attr]
        made = replace(launch, caches=caches, env=env, restarts=count, startup={}, beside="no")  # type: ignore[type-var]
        yield replace(target, launch=made)


def launch_of(server: ServerFile, args: Setting, command: tuple[str, ...], restarts: int = 1) -> ServerCommand:
    return ServerCommand(
        command=command,
        args=args,
        env=server.env,
        ready_path=server.ready.path,
        ready_s=server.ready.timeout,
        grace_s=server.stop.grace,
        reset=server.reset,
        free_memory=server.free_memory,
        restarts=restarts,
        startup={caches: count for caches, count in server.startup.model_dump().items() if count},
    )


def settings_of(server: ServerFile, path: str, where: Where) -> Iterator[Setting]:
    """What ``args`` comes to: a mapping's lists are axes, a list is one of settings, a text names a file of those."""
    args = server.args
    if isinstance(args, str):
        args = read(where.base_dir / files.path(args), path, where)
    axes = [value if isinstance(value, list) else [value] for value in args.values()] if isinstance(args, dict) else []
    if (many := math.prod(map(len, axes)) if axes else len(args)) > MOST_SETTINGS:
        where.add(path, Message(key="config.too_many", values={"got": many, "most": MOST_SETTINGS}))
    if isinstance(args, list):
        yield from args[:MOST_SETTINGS]
        return
    for values in itertools.islice(itertools.product(*axes), MOST_SETTINGS):
        yield dict(zip(args, values, strict=True))


def read(file: Path, path: str, where: Where) -> list[dict[str, Any]]:
    """vLLM's ``--serve-params``."""
    try:
        return sweep.settings(file)
    except BenchError as error:
        where.add(path, error.message)
        return [{}]


def labelled(settings: Sequence[Setting], path: str, where: Where) -> dict[str, Setting]:
    """Each setting's flags by its label: its own, or made from what varies (``mns64-epc1``)."""
    keys = dict.fromkeys(key for one in settings for key in one if key not in NAMES)
    values = {key: list({_text(one.get(key)): None for one in settings}) for key in keys}
    varied = [key for key in keys if len(values[key]) > 1]
    short = {key: _short(key) for key in varied}
    twice = {name for name, n in Counter(short.values()).items() if n > 1}
    short |= {key: re.sub(r"\W|_", "", key) for key in varied if short[key] in twice}
    found: dict[str, Setting] = {}
    for one in settings:
        named = next((str(one[key]) for key in NAMES if one.get(key)), "")
        parts = [short[key] + _value(one.get(key), values[key]) for key in varied if key in one]
        label = re.sub(r"[^\w.-]+", "_", named or "-".join(parts), flags=re.ASCII)[: v.MOST_LETTERS].strip("-")
        if label.lower() in {other.lower() for other in found}:
            where.add(path, Message(key="config.server_label", values={"label": label or "–"}))
        found[label] = {key: value for key, value in one.items() if key not in NAMES}
    return found


def _short(key: str) -> str:
    """``max-num-seqs`` → ``mns``; one word stays."""
    words = re.findall(r"[A-Za-z0-9]+", key)
    return "".join(word[0] for word in words) if len(words) > 1 else "".join(words)


def _text(value: Any) -> str:
    """A flag's value as it is written."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _value(value: Any, among: Sequence[str]) -> str:
    text = {True: "1", False: "0"}[value] if isinstance(value, bool) else _text(value)
    fits = not isinstance(value, dict | list) and len(text) <= SHORT
    return text if fits else f"v{among.index(_text(value)) + 1}"


def flags(args: Setting) -> Iterator[str]:
    """``max_num_seqs: 64`` → ``--max-num-seqs 64``; true is the flag alone, false ``--no-…``, null none.

    Of a key inside another one (``compilation-config.use_inductor``) yes and no are values."""
    for key, value in args.items():
        head, dot, rest = key.lstrip("-").partition(".")
        name = head.replace("_", "-") + dot + rest
        dashes = "-" if len(name) == 1 else "--"
        if value is None:
            continue
        if dot and isinstance(value, bool):
            yield f"--{name}={_text(value)}"
            continue
        if value is False:
            yield f"--{name.removeprefix('no-')}" if name.startswith("no-") else f"--no-{name}"
            continue
        yield dashes + name
        if value is not True:
            yield from map(_text, value if isinstance(value, list) else [value])


def commanded(server: ServerFile, args: Setting, path: str, where: Where) -> tuple[str, ...]:
    """The whole command; where nothing says where the port goes, ``--port {port}`` stands at its end."""
    words = [*server.command, *flags(args)]
    if any("{port}" in word for word in (*words, *server.env.values())):
        return tuple(words)
    fixed = any(word == "--port" or word.startswith("--port=") for word in words)
    if fixed or Path(words[0]).name in ("docker", "podman"):
        where.add(f"{path}.command", Message(key="config.server_port"))
    return (*words, "--port", "{port}")


def secrets(server: ServerFile, args: Setting) -> Iterator[str]:
    """What flags and variables hold whose names are those of secrets."""
    yield from (value for key, value in server.env.items() if SECRET.search(key))
    yield from (str(value) for key, value in args.items() if SECRET.search(key) and value)
    for word, after in itertools.pairwise((*server.command, "")):
        name, given, value = word.partition("=")
        if SECRET.search(name):
            yield value if given else after
