"""``doctor``: is everything in order — the server, its model, the tokenizer, this machine."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Iterator
from typing import TypeVar

from pytest_vllm_bench import environment, load, tokenizer
from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Message, Target
from pytest_vllm_bench.observe import ready, tokenize
from pytest_vllm_bench.text import say

#: Connections that any serious run may want.
CONNECTIONS = 1024
#: Seconds; beyond it the clock is too coarse for token gaps.
RESOLUTION = 1e-6
#: Of a core; what a measuring process should use at most.
SHARE = 0.6

T = TypeVar("T")
Finding = tuple[bool | None, str]  # None: neither good nor bad


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    parser.add_argument("--base-url", dest="url", default=None, help=say("cli.base_url", lang))
    parser.add_argument("--backend", default="vllm", choices=sorted(BACKENDS), help=say("cli.single.backend", lang))
    parser.add_argument("--model", default=None, help=say("cli.single.model", lang))
    parser.add_argument("--tokenizer", default=None, help=say("cli.single.tokenizer", lang))


def run(args: argparse.Namespace, lang: str) -> int:
    """One line a finding; exit 1 if something must be changed."""
    healthy = True
    for part in (machine, client_speed, server):
        for good, text in part(args, lang):
            print({True: "ok    ", False: "BAD   ", None: "note  "}[good] + text, flush=True)
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


def client_speed(args: argparse.Namespace, lang: str) -> Iterator[Finding]:
    """What one event costs a measuring process here, and what that comes to."""
    from pytest_vllm_bench.load.burst import event_cost
    from pytest_vllm_bench.load.worker import run_on_uvloop

    costs: list[float] = []

    async def burst() -> None:
        costs.append(await event_cost())

    run_on_uvloop(burst)
    cost = costs[0]
    yield None, say("cli.doctor.speed", lang, cost=f"{cost * 1e6:.1f}", rate=f"{round(SHARE / cost, -3):,.0f}")


def server(args: argparse.Namespace, lang: str) -> Iterator[Finding]:
    """Whether it answers, what it serves, and whether its tokens can be counted."""
    if not args.url:
        yield None, say("cli.doctor.no_server", lang)
        return
    target = Target(base_url=args.url.rstrip("/").removesuffix("/v1"))
    backend = BACKENDS[args.backend]
    probe = ready.Probe(backend=backend, path=backend.path, model=args.model)
    found = tried(lambda: asyncio.run(ready.look(target, probe)))
    if isinstance(found, Message):
        yield False, say(found, lang)
        return
    model = found.model(args.model)
    window = found.max_model_len.get(model, "?")
    trip = "?" if found.round_trip_s is None else f"{found.round_trip_s * 1e3:.1f}"
    yield True, say("cli.doctor.server", lang, url=target.base_url, model=model, window=window, trip=trip)
    spec = args.tokenizer
    theirs = tokenize.tokenizer_of(target, model)
    tokens = tried(lambda: tokenizer.load(spec, found.roots.get(model, model), server=theirs))
    if isinstance(tokens, Message):
        yield False, say(tokens, lang)
    else:
        yield True, say("cli.doctor.tokenizer", lang, source=tokens.source, size=f"{tokens.vocab_size:,}")


def tried(work: Callable[[], T]) -> T | Message:
    """The work's result, or what its BenchError says."""
    try:
        return work()
    except BenchError as error:
        return error.message


def said(message: Message | None, lang: str) -> str:
    return say(message, lang) if message else ""
