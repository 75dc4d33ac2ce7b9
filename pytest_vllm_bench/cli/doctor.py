"""``doctor``: is everything in order — this machine, the server, and whether it takes what the config would send."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pytest_vllm_bench import config as settings
from pytest_vllm_bench import crew, environment, load
from pytest_vllm_bench.backends import BACKENDS, notes
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Message, Scenario, Target
from pytest_vllm_bench.observe import counters, timeline
from pytest_vllm_bench.observe.accelerators import watcher
from pytest_vllm_bench.observe.counters import Snapshot
from pytest_vllm_bench.registry import builtin
from pytest_vllm_bench.serve.servers import shape
from pytest_vllm_bench.session import Session, trial_of
from pytest_vllm_bench.text import say
from pytest_vllm_bench.world import World

#: Connections that any serious run may want.
CONNECTIONS = 1024
#: Seconds; beyond it the clock is too coarse for token gaps.
RESOLUTION = 1e-6

T = TypeVar("T")
Finding = tuple[bool | None, str]  # None: neither good nor bad


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--config", default=None, metavar="PATH", help=say("cli.doctor.config", lang))
    asked.add_argument("--backend", default="vllm", choices=sorted(BACKENDS), help=say("cli.single.backend", lang))
    parser.add_argument("--base-url", dest="url", default=None, help=say("cli.base_url", lang))
    parser.add_argument("--model", default=None, help=say("cli.single.model", lang))
    parser.add_argument("--tokenizer", default=None, help=say("cli.single.tokenizer", lang))


def run(args: argparse.Namespace, lang: str) -> int:
    """One line a finding; exit 1 if something must be changed."""
    healthy = True
    for part in (machine, client_speed, server):
        for good, text in part(args, lang):
            label = {True: "ok", False: "bad", None: "note"}[good]
            print(say(f"cli.doctor.is.{label}", lang) + text, flush=True)
            healthy &= good is not False
    return int(not healthy)


def machine(args: argparse.Namespace, lang: str) -> Iterator[Finding]:
    """Cores, clock, loop, open files, proxies."""
    facts = environment.client()
    limit = f", {facts['cpu_limit']:g} usable" if facts["cpu_limit"] else ""
    yield None, say("cli.doctor.machine", lang, cpu=facts["cpu"], cpus=facts["cpus_usable"], limit=limit)
    clock = facts["clock"]
    yield (
        clock["resolution_s"] <= RESOLUTION,
        say(
            "cli.doctor.clock", lang, source=clock["source"] or clock["call"], resolution=f"{clock['resolution_s']:.0e}"
        ),
    )
    yield (True if facts["loop"] == "uvloop" else None), say("cli.doctor.loop", lang, loop=facts["loop"])
    problem = load.open_files_problem(CONNECTIONS)
    yield problem is None, said(problem, lang) or say("cli.doctor.files", lang, n=CONNECTIONS)
    if (proxies := load.proxies_ignored()) is not None:
        yield None, say(proxies, lang)
    yield None, say(asyncio.run(accelerators()), lang)


async def accelerators() -> Message:
    """What can be watched here."""
    if (watching := watcher("auto")) is None:
        return Message(key="cli.doctor.no_accelerators")
    await watching.begin(Target())
    seen = await watching.end(False)
    if not (devices := seen.environment.get("accelerators")):
        return next(iter(seen.notes), Message(key="cli.doctor.no_accelerators"))
    names = ", ".join(f"{n} × {name or '?'}" for name, n in Counter(device["name"] for device in devices).items())
    counted = any(track.name == "energy_j" for track in seen.tracks)
    how = Message(key=f"cli.doctor.energy.{'counter' if counted else 'power'}")
    return Message(
        key="cli.doctor.accelerators", values={"names": names, "driver": devices[0].get("driver") or "?", "how": how}
    )


def client_speed(args: argparse.Namespace, lang: str) -> Iterator[Finding]:
    """What one event costs a measuring process here, and what that comes to."""
    yield None, speed(Message(key="load.here"), crew.limits_here(), lang)


def speed(who: Message | str, its: load.SendingLimits, lang: str) -> str:
    rate, whole = (f"{round(its.events_per_s(n), -3):,.0f}" for n in (1, None))
    files = f"{its.files:,}" if its.files else "∞"
    values = {"who": who, "cost": f"{its.event_cost_s * 1e6:.1f}", "cores": its.cores, "files": files}
    return say("cli.doctor.speed", lang, rate=rate, all=whole, **values)


def server(args: argparse.Namespace, lang: str) -> Iterator[Finding]:
    """Whether it answers a request of each shape that the config has, and all that was noticed; once each."""
    if not args.url and not args.config:
        yield None, say("cli.doctor.no_server", lang)
        return
    with tempfile.TemporaryDirectory(prefix="vllm-bench-") as folder:
        config = Path(args.config or Path(folder, "config.yaml"))
        if args.config is None:  # it is JSON, which YAML can read
            small = {"backend": args.backend, "input_output": [[32, 16]], "concurrency_prompts": [[1, 1]]}
            config.write_text(json.dumps(small), encoding="utf-8")
        said = {name: (value, f"--{name}") for name in ("url", "model", "tokenizer") if (value := getattr(args, name))}
        read = settings.read(config, settings.Overrides(**said), registry := builtin())
        scenarios = {(s.target.name, shape(s)): s for s in settings.matrix(read)}.values()
        session = Session(read, registry, list(scenarios), Path(folder))
        try:
            findings = [finding for scenario in scenarios for finding in tried_on(session, scenario, lang)]
        finally:
            session.close()
    yield from dict.fromkeys(findings)


def tried_on(session: Session, scenario: Scenario, lang: str) -> Iterator[Finding]:
    """One scenario's server, tokenizer, template, counters, and whether it takes a request of the scenario's shape."""

    async def look() -> tuple[World, Snapshot | None]:
        world = await session.open(scenario, 0, lambda _: None)
        return world, await timeline.look(world.target)

    found = tried(lambda: asyncio.run(look()))
    if isinstance(found, Message):
        why = found.values["why"] if found.key == "server.not_ready" else found
        yield False, f"{scenario.id}: {say(why, lang)}"
        return
    world, page = found
    model = world.models[0]
    window = "?" if world.max_model_len is None else world.max_model_len
    trip = "?" if world.round_trip_ms is None else f"{world.round_trip_ms:.1f}"
    yield True, say("cli.doctor.server", lang, url=world.target.base_url, model=model, window=window, trip=trip)
    tokens = world.tokenizer
    yield True, say("cli.doctor.tokenizer", lang, source=tokens.source, size=f"{tokens.vocab_size:,}")
    for machine in world.machines:
        yield True, speed(machine.name, machine.limits, lang)
    trial = tried(lambda: asyncio.run(trial_of(scenario, world)))
    yield (
        (None, say(trial, lang))
        if isinstance(trial, Message)
        else (True, say("cli.doctor.shape", lang, scenario=scenario.id))
    )
    noticed = [*world.notes, *notes(world.backend, scenario)]
    if world.backend.takes_messages and world.template_tokens is None:
        noticed.append(Message(key="cli.doctor.template"))
    yield from metrics(page, lang)
    yield from ((None, say(note, lang)) for note in noticed)


#: How rules name what is watched.
FORMS = {"gauges": "server.{}_max", "histograms": "server.p99_{}_ms"}


def metrics(page: Snapshot | None, lang: str) -> Iterator[Finding]:
    """What of the server's own metrics can be watched, and so named in rules."""
    seen = counters.named(page) if page is not None else {}
    if not any(seen.values()):
        yield None, say("cli.doctor.counters", lang)
        return
    gauges, histograms = ([form.format(name) for name in seen[kind]] for kind, form in FORMS.items())
    rules = [*gauges, *histograms, *(f"server.{name}" for name in seen["counters"])]
    yield True, say("cli.doctor.watched", lang, rules=", ".join(rules))


def tried(work: Callable[[], T]) -> T | Message:
    """The work's result, or what its BenchError says."""
    try:
        return work()
    except BenchError as error:
        return error.message


def said(message: Message | None, lang: str) -> str:
    return say(message, lang) if message else ""
