"""Records → how fast tokens came by their place in the answer, and whether decoding slows as answers grow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pytest_vllm_bench.measure.metrics import Figures
from pytest_vllm_bench.model import Message, Record

#: Places in the answer up to which tokens are taken together: caches and attention cost by the length's order.
EDGES = (32, 128, 512, 2048, 8192, 32768)
#: Share by which a request's last tokens must be slower than its own first ones, and requests of which that is said.
SLOWER, FEWEST = 0.1, 10
#: Of a sign test: requests that slow down must be more than chance would have in one of 200 runs.
_Z = 2.576


def by_position(records: Sequence[Record]) -> tuple[dict[str, Figures], Message | None]:
    """Last place of each stretch → its tokens, of how many requests, and their pace; empty where all are short.

    Requests are held against themselves: of long answers alone the late places are made, and those may be others.
    """
    kept = [r for r in records if r.error is None and r.arrival_times]
    if not kept or max(sum(r.arrival_tokens) for r in kept) <= EDGES[0]:
        return {}, None
    lengths = np.array([len(r.arrival_times) for r in kept])
    rows = np.repeat(np.arange(len(kept)), lengths)
    times = np.concatenate([np.frombuffer(r.arrival_times) for r in kept])
    tokens = np.concatenate([np.frombuffer(r.arrival_tokens, np.int32) for r in kept])
    made = np.cumsum(tokens)
    starts = np.cumsum(lengths) - lengths
    places = made - (made[starts] - tokens[starts])[rows]
    first = np.zeros(len(rows), dtype=bool)
    first[starts] = True
    there = first | (tokens > 0)  # what came without a token is waited for by the next one
    times, tokens, rows, places, first = times[there], tokens[there], rows[there], places[there], first[there]
    gaps = np.diff(times, prepend=math.nan)[~first] * 1e3
    tokens, rows, stretch = tokens[~first], rows[~first], np.searchsorted(EDGES, places[~first])
    if not len(stretch):  # each answer came at once
        return {}, None
    found: dict[str, Figures] = {}
    for k in np.unique(stretch):
        mine = stretch == k
        paces = np.repeat(gaps[mine] / tokens[mine], tokens[mine])
        p50, p99 = np.percentile(paces, (50, 99))
        found[str(EDGES[k]) if k < len(EDGES) else "inf"] = {
            "tokens": len(paces),
            "requests": len(np.unique(rows[mine])),
            "mean_itl_token_ms": float(paces.mean()),
            "median_itl_token_ms": float(p50),
            "p99_itl_token_ms": float(p99),
        }
    return found, _slows(gaps, tokens, rows, stretch)


def _slows(gaps: Any, tokens: Any, rows: Any, stretch: Any) -> Message | None:
    """Of the requests that reach the last stretch: their own pace there against that of their start."""
    last = int(stretch.max())
    n = int(rows.max()) + 1

    def pace(chosen: Any) -> Any:
        spent, made = (np.bincount(rows[chosen], what[chosen], n) for what in (gaps, tokens))
        return np.divide(spent, made, out=np.full(n, math.nan), where=made > 0)

    first, late = pace(stretch == 0), pace(stretch == last)
    ratio = late / first
    ratio = ratio[np.isfinite(ratio)]
    if len(ratio) < FEWEST or float(np.median(ratio)) <= 1 + SLOWER:
        return None
    if int((ratio > 1).sum()) < len(ratio) / 2 + _Z * math.sqrt(len(ratio)) / 2:
        return None
    both = np.isfinite(first) & np.isfinite(late)
    values = {
        "n": len(ratio),
        "slower": f"{float(np.median(ratio)) - 1:.0%}",
        "early": f"{float(np.median(first[both])):.2f}",
        "late": f"{float(np.median(late[both])):.2f}",
        "until": EDGES[0],
        "since": EDGES[last - 1] + 1,
    }
    return Message(key="judge.watched.decoding_slows", values=values)
