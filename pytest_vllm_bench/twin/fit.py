"""Measured loads → a Twin: steps, the model that explains them, refined end to end, held against what it has not seen.

Times of steps tell the parameters (non-negative least squares, of which outliers are no part); then the whole loads
are played again in virtual time, and what they tell as a whole corrects them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_vllm_bench import judging
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.metric_table import SAMPLED, THROUGHPUTS, parse_name
from pytest_vllm_bench.model import Measurement, Metrics
from pytest_vllm_bench.simulator.engine import LatencyModel, Timeline
from pytest_vllm_bench.twin import PARAMETERS, Lesson, Twin
from pytest_vllm_bench.twin.playing import VirtualLoad, again, happened
from pytest_vllm_bench.twin.steps import Steps, steps, usable

#: What of an engine is no matter of speed, and may be known beforehand.
LIMITS = ("max_batched_tokens", "max_num_seqs", "kv_tokens", "block", "prefix_cache")
#: Loads are kept from the twin one at a time, or in so many groups.
FOLDS = 6
#: Requests of one load that are looked at, the first ones.
MOST = 500
#: Rounds of the refinement; a parameter is moved by this share to see what it does.
ROUNDS, NUDGE = 3, 0.04
#: Of the way in, the share that a front end does for one request after another, if it does any so.
SERIAL = 0.1
#: How firmly a parameter stays where the steps have put it: the misfit that its logarithm's moving by 1 counts for.
TRUST = 0.05
#: Residuals beyond so many usual ones count less and less.
USUAL = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One measured load, read: its steps, its load to be played, what a client saw of it."""

    measured: Measurement
    steps: Steps
    load: VirtualLoad
    seen: Any


def calibrate(measured: Sequence[Measurement], given: Mapping[str, Any], date: str) -> Twin:
    """The story: loads → steps → model → refined → judged by loads that were kept from it.

    ``given``: limits of the engine that the user knows.  BenchError where too little was measured.
    """
    limits, assumed = known_limits(measured, given)
    examples = [read(one, limits) for one in measured]
    if len(examples) < 2 or sum(len(one.steps.seconds) for one in examples) < 50:
        raise BenchError("twin.too_little", loads=len(examples), steps=sum(len(one.steps.seconds) for one in examples))
    limits, assumed = held(limits, assumed, examples)
    limits = replace(limits, serial=taken_in(fitted(limits, examples), examples))
    found = refined(fitted(limits, examples), examples)
    n = min(FOLDS, len(examples))
    off: dict[int, Mapping[str, float]] = {}
    others: list[LatencyModel] = []
    for fold in (range(i, len(examples), n) for i in range(n)):
        rest = [i for i in range(len(examples)) if i not in fold]
        others.append(found.without(fitted(limits, [examples[i] for i in rest]), rest))
        off |= {i: errors(examples[i], others[-1]) for i in fold}
    worst: dict[str, float] = {}
    for one in off.values():
        worst |= {name: max(share, worst.get(name, 0.0)) for name, share in one.items()}
    newest = max(measured, key=lambda one: one.date)
    return Twin(
        engine=found.engine,
        lessons=tuple(lesson(one, off[i]) for i, one in enumerate(examples)),
        errors=worst,
        spread=spread(others),
        information=information(examples, found.engine),
        model=judging.model_of(newest) or "",
        server=str((newest.environment.get("server") or {}).get("version") or ""),
        date=date,
        assumed=tuple(assumed),
    )


def known_limits(measured: Sequence[Measurement], given: Mapping[str, Any]) -> tuple[LatencyModel, list[str]]:
    """What the user or the server's own word says of the engine's limits, and which of them nobody tells."""
    known: dict[str, Any] = {}
    for one in measured:
        settings = (one.environment.get("launch") or {}).get("settings") or {}
        told = {"max_num_seqs": "max_num_seqs", "max_num_batched_tokens": "max_batched_tokens"}
        known |= {told[key]: int(value[0]) for key, value in settings.items() if key in told and value}
        if tokens := one.observed.counters.get("startup.kv_tokens"):
            known["kv_tokens"] = int(tokens)
        if settings.get("enable_prefix_caching"):
            known["prefix_cache"] = str(settings["enable_prefix_caching"][0]).lower() == "true"
    known |= given
    limits = ("max_num_seqs", "max_batched_tokens", "kv_tokens")
    return replace(LatencyModel(), **known), [name for name in limits if name not in known]


def read(one: Measurement, limits: LatencyModel) -> Example:
    """A measurement as what can be learnt from it; BenchError where nothing can."""
    if one.predicted is not None:
        raise BenchError("twin.of_prediction", scenario=one.scenario.id)
    records = sorted(usable(one.records), key=lambda r: r.index)[:MOST]
    if len(records) < 0.98 * min(MOST, len(one.records)):
        raise BenchError("twin.not_streamed", scenario=one.scenario.id, usable=len(records), n=len(one.records))
    part = replace(one, records=records, samples={})
    found = steps(records, limits.max_batched_tokens)
    lines = [Timeline(due=r.due or 0.0, sent=r.sent or 0.0, tokens=r.arrival_times, cached=0) for r in records]
    return Example(measured=part, steps=found, load=again(part, limits.block), seen=told(lines))


def held(limits: LatencyModel, assumed: Sequence[str], examples: Sequence[Example]) -> tuple[LatencyModel, list[str]]:
    """The most sequences at once, where the loads have shown that there is such a limit."""
    if not any(one.steps.causes[:, -1].any() for one in examples):
        assumed = [*assumed, "front_s"]
    plateau = {one.steps.widest for one in examples if one.steps.held}
    if "max_num_seqs" not in assumed or not plateau:
        return limits, list(assumed)
    return replace(limits, max_num_seqs=max(plateau)), [name for name in assumed if name != "max_num_seqs"]


# ----------------------------------------------------------------------------------------- from steps


def fitted(limits: LatencyModel, examples: Sequence[Example]) -> LatencyModel:
    """The model that explains the steps: time = Σ parameter × cause, none below 0, outliers aside."""
    seconds = np.concatenate([one.steps.seconds for one in examples])
    causes = np.concatenate([one.steps.causes for one in examples])
    weights, found = np.full(len(seconds), 1 / float(np.median(seconds))), np.zeros(len(PARAMETERS))
    for _ in range(20):
        found = nonnegative(causes * weights[:, None], seconds * weights)
        expected = np.maximum(causes @ found, 1e-6)  # by which each is weighed: a step that seems short weighs no more
        off = np.abs(np.log(np.maximum(seconds, 1e-6) / expected))
        usual = max(1e-3, 1.48 * float(np.median(off)))
        weights = np.minimum(1.0, USUAL * usual / np.maximum(off, 1e-9)) / expected
    rest = np.log(np.maximum(seconds, 1e-6) / expected)[off < 3 * usual]
    # What explains nothing here may still show end to end: it begins at a hundredth of a step.
    least = 0.01 * float(np.median(seconds)) / np.maximum(causes.max(axis=0), 1.0)
    return with_parameters(limits, np.maximum(found, least), jitter=float(np.clip(rest.std(), 0.005, 0.5)))


def nonnegative(a: Any, b: Any) -> Any:
    """The non-negative least squares of a few columns, exactly: the best of all subsets of them."""
    scale = np.maximum(np.linalg.norm(a, axis=0), 1e-12)
    gram, right = (a / scale).T @ (a / scale), (a / scale).T @ b
    best, most = np.zeros(a.shape[1]), 0.0
    for n in range(1, a.shape[1] + 1):
        for chosen in map(list, itertools.combinations(range(a.shape[1]), n)):
            x = np.linalg.lstsq(gram[np.ix_(chosen, chosen)], right[chosen], rcond=1e-10)[0]
            if (x >= 0).all() and (gain := float(right[chosen] @ x)) > most * (1 + 1e-12):
                best, most = np.zeros(a.shape[1]), gain
                best[chosen] = x
    return best / scale


def parameters(engine: LatencyModel) -> Any:
    return np.array([engine.step_s, engine.decode_s, engine.context_s, 1 / engine.prefill_tokens_per_s, engine.front_s])


def with_parameters(engine: LatencyModel, values: Any, **others: Any) -> LatencyModel:
    step, decode, context, prefill, front = map(float, values)
    speed: dict[str, Any] = {"step_s": step, "decode_s": decode, "context_s": context, "front_s": front}
    return replace(engine, prefill_tokens_per_s=1 / prefill, **speed, **others)


# ---------------------------------------------------------------------------------------- end to end


def taken_in(engine: LatencyModel, examples: Sequence[Example]) -> float:
    """The share of the way in that is taken one after another: the one with which the loads are played more truly."""

    def misfit(share: float) -> float:
        played = [told(one.load.timelines(replace(engine, serial=share))) for one in examples]
        return sum(float(np.abs(here - one.seen).sum()) for here, one in zip(played, examples, strict=True))

    return min(0.0, SERIAL, key=misfit)


def told(lines: Sequence[Timeline]) -> Any:
    """What a load as a whole tells, as logarithms: TTFT and TPOT in the middle and above, and how long it took."""
    waits = np.array([line.ttft for line in lines])
    paces = [(line.tokens[-1] - line.tokens[0]) / (len(line.tokens) - 1) for line in lines if len(line.tokens) > 1]
    span = max(line.tokens[-1] for line in lines) - min(line.sent for line in lines)
    ends = [*np.quantile(waits, (0.5, 0.9)), *np.quantile(paces or [1.0], (0.5, 0.9)), span]
    return np.log(np.maximum(ends, 1e-6))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refinement:
    """A model that plays the loads as they were measured; ``off`` and ``slopes``: of each load, what is left of its
    misfit, and how that changes with each parameter's logarithm."""

    engine: LatencyModel
    off: Sequence[Any]
    slopes: Sequence[Any]

    def without(self, start: LatencyModel, rest: Sequence[int]) -> LatencyModel:
        """What it had come to by the ``rest`` of the loads alone, of which ``start`` is what their steps say."""
        here, trust = np.log(parameters(self.engine)), TRUST * np.eye(len(PARAMETERS))
        slopes = np.concatenate([*(self.slopes[i] for i in rest), trust])
        off = np.concatenate([*(self.off[i] for i in rest), TRUST * (here - np.log(parameters(start)))])
        return with_parameters(start, np.exp(here + np.clip(np.linalg.lstsq(slopes, -off, rcond=1e-6)[0], -0.7, 0.7)))


def refined(engine: LatencyModel, examples: Sequence[Example]) -> Refinement:
    """The parameters moved so that the loads, played again, come out as they were measured (Gauss–Newton)."""
    start = np.log(parameters(engine))

    def misfit(at: Any) -> Any:
        model = with_parameters(engine, np.exp(at))
        off = [told(one.load.timelines(model)) - one.seen for one in examples]
        return np.concatenate([*off, TRUST * (at - start)])

    at, here = start, misfit(start)
    for _ in range(ROUNDS):
        slopes = np.column_stack([(misfit(at + nudge) - here) / NUDGE for nudge in NUDGE * np.eye(len(at))])
        move = np.clip(np.linalg.lstsq(slopes, -here, rcond=1e-6)[0], -0.5, 0.5)
        for share in (1.0, 0.4):
            there = misfit(at + share * move)
            if there @ there < here @ here:
                at, here = at + share * move, there
                break
        else:
            break
    parts = len(examples)
    return Refinement(
        engine=with_parameters(engine, np.exp(at)),
        off=np.split(here[: -len(at)], parts),
        slopes=np.split(slopes[: -len(at)], parts),
    )


# ------------------------------------------------------------------------------------------ the proof


def errors(example: Example, engine: LatencyModel) -> Mapping[str, float]:
    """By which share each metric of a load is predicted wrongly."""
    one = example.measured
    records = happened(example.load, example.load.timelines(engine), one.scenario.open_loop)
    predicted = replace(one, records=records, samples={}, facts=None, complete=True)
    return dict(differences(judging.figures_of(predicted, one.scenario), judging.figures_of(one, one.scenario)))


def differences(predicted: Metrics, measured: Metrics) -> Iterable[tuple[str, float]]:
    """Of latencies and throughputs, whole loads and their steady part alike."""
    for key, true in measured.items():
        name, said = parse_name(key), predicted.get(key)
        if name and true and said and (name.row.id in SAMPLED or name.row.id in THROUGHPUTS):
            yield key, abs(said / true - 1)


def lesson(example: Example, off: Mapping[str, float]) -> Lesson:
    asked = example.measured.scenario
    lengths = Counter((a.prompt_len, a.output_len) for a in example.load.arrivals)
    return Lesson(
        scenario=asked.id,
        requests=len(example.load.arrivals),
        concurrency=asked.concurrency,
        request_rate=asked.request_rate if asked.open_loop and asked.request_rate != float("inf") else None,
        lengths=tuple((prompt, output, n) for (prompt, output), n in sorted(lengths.items())),
        off=off,
    )


def spread(others: Sequence[LatencyModel]) -> Mapping[str, float]:
    """The jackknife's word on each parameter, as a share of it."""
    found = np.log([parameters(one) for one in others])
    n = len(others)
    wide = np.sqrt((n - 1) / n * ((found - found.mean(axis=0)) ** 2).sum(axis=0))
    return {name: round(float(wide[i]), 4) for i, name in enumerate(PARAMETERS)}


def information(examples: Sequence[Example], engine: LatencyModel) -> tuple[tuple[float, ...], ...]:
    """XᵀX of the steps, each parameter in units of itself and each step in units of its time, a step a load."""
    values, total = parameters(engine), np.zeros((len(PARAMETERS), len(PARAMETERS)))
    for one in examples:
        shares = one.steps.causes * values
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-9)
        total += shares.T @ shares / max(1, len(shares))
    return tuple(tuple(round(float(x), 8) for x in row) for row in total)
