"""Columns of a run → the stages that a latency is made of, which add up to it for every request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pytest_vllm_bench.metric_table import FROM_DUE
from pytest_vllm_bench.model import Metrics, Sample

#: Every stage there may be, in the order of time.  ``pause`` is the largest gap of a stream; ``to_first`` and ``rest``
#: are what nobody tells apart of TTFT, and of an answer in one piece.
STAGES = (
    "client_wait", "connect", "server_queue", "server_prefill", "outside_first", "to_first", "thinking",
    "server_decode", "decode", "pause", "outside_stream", "rest",
)  # fmt: skip
#: What a stage takes where nobody is in its way: that quantile of what it took.
UNCONTENDED = 0.1
#: Seconds that are nothing.
GRAIN = 1e-6
#: Latencies that are made of stages.
MADE = frozenset({"ttft", "ttfo", "tpot", "e2el", "max_gap", *FROM_DUE.values()})

#: Levels of the quantiles by which a session tells what its stages were.
LEVELS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
_NAMES = tuple(f"p{100 * level:g}" for level in LEVELS)

Parts = dict[str, Any]
#: Stage → seconds at each of ``LEVELS``.
Usual = Mapping[str, Sequence[float]]


def parts(values: Mapping[str, Any], id: str) -> Parts:
    """The stages of latency ``id`` in seconds (of ``tpot``: a token); NaN where the server told nothing of a request,
    and nothing at all where nothing is known.  ``values``: a Sample's."""
    base = id.removeprefix("response_")
    if id not in MADE or not {id, base} <= values.keys():
        return {}
    if base == "tpot":
        return {stage: column * per_token(values) for stage, column in _stream(values).items()}
    if base == "max_gap":
        pause = _stream(values)["pause"]
        return {"decode": values["max_gap"] - pause, "pause": pause}
    found = _ahead(values[id] - values[base], values.get("connect", 0.0)) if base != id else {}
    first = values.get("ttft")
    if first is None or not np.isfinite(first).any():
        told = {
            stage: values[stage] for stage in ("server_queue", "server_prefill", "server_decode") if stage in values
        }
        return {**found, **told, "rest": values[base] - sum(told.values())}
    found |= _to_first(values, first)
    if base == "ttfo":
        return {**found, "thinking": values["ttfo"] - first}
    return found if base == "ttft" else {**found, **_stream(values)}


def _ahead(waited: Any, connect: Any) -> Parts:
    """Before it was sent: until there was a slot, and a connection."""
    opened = np.minimum(np.nan_to_num(connect), np.fmax(waited, 0))
    return {"client_wait": waited - opened, "connect": opened}


def _to_first(values: Mapping[str, Any], first: Any) -> Parts:
    told = {stage: values[stage] for stage in ("server_queue", "server_prefill") if stage in values}
    return {**told, "outside_first" if len(told) == 2 else "to_first": first - sum(told.values())}


def _stream(values: Mapping[str, Any]) -> Parts:
    """A pause is what the largest gap is longer than others are; of the server's decoding as far as that lasts."""
    stream = values["e2el"] - values["ttft"]
    gap = _pause(stream, values["max_gap"], values["tpot"]) if {"max_gap", "tpot"} <= values.keys() else 0.0 * stream
    if "server_decode" not in values:
        return {"decode": stream - gap, "pause": gap}
    decode = values["server_decode"]
    outside = stream - decode
    pause = np.maximum(gap - np.maximum(outside, 0), 0)
    return {"server_decode": decode - pause, "pause": pause, "outside_stream": outside}


def _pause(stream: Any, largest: Any, tpot: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        others = stream / tpot - 1
        pause = largest - (stream - largest) / others
    return np.where(np.isfinite(pause) & (others > GRAIN), np.clip(pause, 0, stream), 0.0)


def per_token(values: Mapping[str, Any]) -> Any:
    """What a second of the stream is of ``tpot``."""
    stream = values["e2el"] - values["ttft"]
    return values["tpot"] / np.where(stream > 0, stream, np.nan)


def pooled(stage: str, samples: Sequence[Sample], each: Sequence[Parts]) -> Any:
    """What a stage took of all answered requests of which that is known, in order."""
    seen = [columns[stage][sample.ok] for columns, sample in zip(each, samples, strict=True) if stage in columns]
    values = np.concatenate([[], *seen])
    return np.sort(values[np.isfinite(values)])


def taken(samples: Sequence[Sample], id: str, usual: Usual | None) -> list[Parts]:
    """What each stage took of each request beyond its uncontended value (``usual``: what a request of its rank took in
    another session), in seconds; nothing where that is not known."""
    of_token = usual is not None and id == "tpot"  # other sessions tell of whole streams
    each = [parts(sample.values, "e2el" if of_token else id) for sample in samples]
    made: list[Parts] = [{} for _ in samples]
    for stage in {stage: None for sample in samples for stage in parts(sample.values, id)}:
        seen = pooled(stage, samples, each)
        if not len(seen) or (usual is not None and stage not in usual):
            continue
        for of, columns, sample in zip(made, each, samples, strict=True):
            if stage in columns:
                beyond = columns[stage] - _instead(columns[stage], seen, usual[stage] if usual is not None else None)
                of[stage] = np.nan_to_num(beyond * per_token(sample.values) if of_token else beyond)
    return made


def _instead(column: Any, seen: Any, usual: Sequence[float] | None) -> Any:
    if usual is None:
        return np.quantile(seen, UNCONTENDED)
    rank = (np.searchsorted(seen, column, "left") + np.searchsorted(seen, column, "right")) / 2 / len(seen)
    return np.interp(rank, LEVELS, usual)


def summed_up(samples: Sequence[Sample]) -> dict[str, Metrics]:
    """Each stage of whole requests in milliseconds: its mean, and its quantiles at ``LEVELS``; where the stages of a
    latency are not told apart, nothing."""
    each = [parts(one.values, FROM_DUE["e2el"] if one.open_loop else "e2el") for one in samples]
    found: dict[str, Metrics] = {}
    for stage in STAGES:
        if len(seen := pooled(stage, samples, each)):
            told = 1e3 * np.array([seen.mean(), *np.quantile(seen, LEVELS)])
            found[stage] = dict(zip(("mean", *_NAMES), told.tolist(), strict=True))
    return found if len(found) > 1 else {}


def usual(told: Mapping[str, Metrics]) -> Usual:
    """What ``summed_up`` told of a session, as that by which a stage is replaced."""
    quantiles = {stage: [of.get(name) for name in _NAMES] for stage, of in told.items()}
    return {
        stage: [v / 1e3 for v in values if v is not None] for stage, values in quantiles.items() if None not in values
    }
