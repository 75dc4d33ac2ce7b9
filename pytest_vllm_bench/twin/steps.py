"""Records → the engine's steps: how long each took, and what was computed in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_vllm_bench.model import Record

#: Tokens of one step come together; so much of a usual gap lies between those of two.
APART = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """``seconds`` of each, and in ``causes`` what explains it, a column for each of ``PARAMETERS``: steps, sequences
    that decoded, their context tokens, prompt tokens prefilled, ways in from a client.

    ``widest``: most sequences that decoded together; ``held``: while others waited, so that it is a limit.
    """

    seconds: Any
    causes: Any
    widest: int = 0
    held: bool = False


def usable(records: Sequence[Record]) -> list[Record]:
    """Those that streamed tokens whose number is known."""
    return [r for r in records if r.error is None and len(r.arrival_times) and r.prompt_tokens and r.sent is not None]


def steps(records: Sequence[Record], budget: int) -> Steps:
    """The steps of one load that can be told apart; ``budget``: most tokens of a step."""
    rows = usable(records)
    counts = [np.array(r.arrival_tokens) for r in rows]
    who = np.repeat(np.arange(len(rows)), [len(c) for c in counts])
    when = np.concatenate([np.array(r.arrival_times) for r in rows] or [np.empty(0)])
    made = np.concatenate([np.cumsum(c) - c for c in counts] or [np.empty(0)])
    whole = np.concatenate([c == 1 for c in counts] or [np.empty(0, bool)])
    order = np.argsort(when, kind="stable")
    label = _labels(when[order], who[order], _apart(when, who))
    n = int(label[-1]) + 1 if len(label) else 0
    who, when, made, whole = who[order], when[order], made[order], whole[order]
    prompts = np.array([float(r.prompt_tokens or 0) for r in rows])
    missed = np.array([float((r.prompt_tokens or 0) - (r.cached_tokens or 0)) for r in rows])
    first, last = np.full(len(rows), n), np.zeros(len(rows), int)
    np.minimum.at(first, who, label)
    np.maximum.at(last, who, label)
    start = np.full(n, np.inf)
    np.minimum.at(start, label, when)

    def total(amount: Any) -> Any:
        return np.bincount(label, amount, n)

    later = made > 0
    decoding, context = total(later), total(np.where(later, prompts[who] + made, 0.0))
    prefilled = total(np.where(later, 0.0, missed[who]))
    ended = np.bincount(last, minlength=n)
    sent = np.array([float(r.sent or 0) for r in rows])
    came = np.minimum(np.searchsorted(start, sent) + 1, first)
    waiting = np.cumsum(np.bincount(came, minlength=n + 1) - np.bincount(first, minlength=n + 1))[:n]
    widest = int(decoding.max(initial=0))
    full = (decoding == widest) & (prefilled == 0)
    known = (decoding > 0) & (total(~whole) == 0) & ((waiting == 0) | full) & (prefilled + decoding <= budget)
    known[1:] &= decoding[1:] == (total(np.ones(len(label))) - ended)[:-1]
    known[:1] = False
    ones, none = np.ones(n), np.zeros(n)
    causes = np.column_stack([ones, decoding, context, prefilled, none])[known]
    alone, waits = _alone(rows, missed, budget)
    return Steps(
        seconds=np.concatenate([np.diff(start, prepend=np.nan)[known], waits]),
        causes=np.concatenate([causes, alone]),
        widest=widest,
        held=bool((full & (waiting > 0)).sum() > 0.2 * max(1, full.sum())),
    )


def _apart(when: Any, who: Any) -> float:
    gaps = np.diff(when)[who[1:] == who[:-1]] if len(when) else np.empty(0)
    return APART * float(np.quantile(gaps, 0.25)) if len(gaps) else 0.0


def _labels(when: Any, who: Any, apart: float) -> Any:
    """The number of each token's step: a new one begins after a pause, or when a sequence makes its next token."""
    found, seen, number, before = np.zeros(len(when), int), set[int](), 0, -np.inf
    for i, (at, one) in enumerate(zip(when.tolist(), who.tolist(), strict=True)):
        if seen and (at - before > apart or one in seen):
            number += 1
            seen.clear()
        seen.add(one)
        found[i], before = number, at
    return found


def _alone(rows: Sequence[Record], missed: Any, budget: int) -> tuple[Any, Any]:
    """Requests that found the engine idle: their first token tells of the way in and of a prefill."""
    sent = np.array([float(r.sent or 0) for r in rows])
    first = np.array([r.arrival_times[0] for r in rows])
    done = np.array([r.arrival_times[-1] for r in rows])
    together = (sent[:, None] < first[None, :]) & (done[:, None] > sent[None, :])
    alone = together.sum(axis=0) == 1
    chunks, none = np.ceil(missed / budget), np.zeros(len(rows))
    causes = np.column_stack([chunks, none, none, missed, np.ones(len(rows))])
    return causes[alone], (first - sent)[alone]
