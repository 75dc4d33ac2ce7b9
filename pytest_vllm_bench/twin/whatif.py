"""A twin and questions of what if → predicted Results: other loads, lengths, flags, replicas; the largest load."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import msgspec
import numpy as np

from pytest_vllm_bench import judging
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judge.capacity import Outcome, search
from pytest_vllm_bench.model import (
    CapacityAnswer,
    Cell,
    Deployment,
    Record,
    Result,
    Rule,
    Scenario,
    Search,
    Target,
)
from pytest_vllm_bench.simulator.engine import Fleet, LatencyModel
from pytest_vllm_bench.twin import Twin, sound
from pytest_vllm_bench.twin.playing import load_of, predict

Over = Literal["request_rate", "concurrency"]
#: A closed loop is so many times its concurrency long at least, an open one so many seconds.
TURNS, SECONDS = 8, 20
#: Probes of a search; the highest load that is tried.
RUNS, HIGHEST = 40, 65536.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of each load; lengths None: as they were where the twin has learnt, mixed."""

    input_len: int | None = None
    output_len: int | None = None
    requests: int = 1000
    fleet: Fleet = Fleet()
    rules: tuple[Rule, ...] = ()
    goodput: Mapping[str, float] = field(default_factory=dict)
    deployment: Deployment = Deployment()  # of one replica
    seed: int = 0


def settings_of(settings: Sequence[str], names: Collection[str] = LatencyModel.__slots__) -> dict[str, Any]:
    """What is set of an engine, ``max_num_seqs=512``; BenchError for what is none of these names."""
    kinds = {f.name: type(getattr(LatencyModel(), f.name)) for f in fields(LatencyModel) if f.name in names}
    values: dict[str, Any] = {}
    for text in settings:
        name, _, value = text.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        name = {"max_num_batched_tokens": "max_batched_tokens"}.get(name, name)
        try:
            kind = kinds[name]
            values[name] = value.strip().lower() in ("true", "1", "yes") if kind is bool else kind(value)
            if not sound(name, values[name]):
                raise ValueError
        except (KeyError, ValueError):
            raise BenchError("twin.setting", text=text, known=", ".join(kinds)) from None
    return values


def changed(twin: Twin, settings: Sequence[str]) -> Twin:
    """The twin of an engine with other settings."""
    values = settings_of(settings)
    assumed = tuple(name for name in twin.assumed if name not in values)
    return msgspec.structs.replace(twin, engine=replace(twin.engine, **values), assumed=assumed)


def foretell(twin: Twin, asked: Question, over: Over, level: float) -> Result:
    """One load, judged as a measured one is."""
    n = math.ceil(max(asked.requests, SECONDS * level if over == "request_rate" else TURNS * level))
    draw = np.random.RandomState(asked.seed)
    lengths = [pair for one in twin.lessons for pair in one.lengths] or [(256, 64, 1)]
    weights = np.array([float(w) for _, _, w in lengths])
    chosen = draw.choice(len(lengths), n, p=weights / weights.sum())
    due = np.cumsum(draw.exponential(1 / level, n)) if over == "request_rate" else np.zeros(n)
    records = [
        Record(
            index=i,
            chain=i,
            due=float(due[i]),
            prompt_tokens=asked.input_len or lengths[which][0],
            output_tokens=asked.output_len or lengths[which][1],
        )
        for i, which in enumerate(chosen)
    ]
    load = load_of(records, int(level) if over == "concurrency" else None, twin.engine.block)
    one = predict(twin, scenario(asked, over, level, n), load, asked.fleet)
    return judging.judge(one.scenario, [one])


def scenario(asked: Question, over: Over, level: float, n: int) -> Scenario:
    word = f"rr{level:g}" if over == "request_rate" else f"mc{int(level)}"
    lengths = f"io{asked.input_len}x{asked.output_len}" if asked.input_len and asked.output_len else "measured"
    replicas, paid = asked.fleet.replicas, asked.deployment
    return Scenario(
        cell=Cell(place=f"{lengths}-{word}", bound=f"np{n}"),
        target=Target(base_url="twin", twin=True),
        backend="vllm",
        input_len=asked.input_len,
        output_len=asked.output_len,
        concurrency=int(level) if over == "concurrency" else None,
        request_rate=level if over == "request_rate" else math.inf,
        num_prompts=n,
        rules=asked.rules,
        goodput=asked.goodput,
        seed=asked.seed,
        deployment=Deployment(
            accelerators=paid.accelerators and paid.accelerators * replicas,
            price_per_hour=paid.price_per_hour and paid.price_per_hour * replicas,
        ),
    )


def capacity(twin: Twin, asked: Question, over: Over) -> tuple[CapacityAnswer, list[Result]]:
    """The largest load at which every rule holds with the twin's own error on top, and the loads that were tried."""
    steps = search(Search(over=over, at_least=None, max=HIGHEST, runs=RUNS, seconds=math.inf))
    tried: dict[float, Result] = {}
    probe = next(steps)
    while True:
        result = tried[probe.level] = foretell(twin, asked, over, probe.level)
        try:
            probe = steps.send(Outcome(verdict=result.verdict, within=holds(result)))  # type: ignore[arg-type]
        except StopIteration as end:
            return end.value, [tried[level] for level in sorted(tried)]


def holds(result: Result) -> bool | None:
    """Whether every rule would hold for sure; None: one is about what the twin cannot tell."""
    words = {one.reason.key.rpartition(".")[2] for one in result.verdicts}
    return None if "untold" in words else words <= {"holds", "no_failures"}
