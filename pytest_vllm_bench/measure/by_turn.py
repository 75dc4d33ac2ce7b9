"""Records of conversations → the figures of each turn, and of whole conversations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from pytest_vllm_bench.measure.columns import MetricSettings
from pytest_vllm_bench.measure.metrics import Figures, metrics
from pytest_vllm_bench.model import Record


def by_turn(records: Sequence[Record], settings: MetricSettings) -> dict[str, Figures]:
    """Number of the turn, from 1 → its figures over the whole run, with its tokens and those the cache had already.

    ``conversation``: how many there were, were answered to the end, and took (from the first turn's sending to the last
    turn's end, pauses included).  Empty where no request is a later turn.
    """
    if not any(record.turn for record in records):
        return {}
    turns: dict[int, list[Record]] = defaultdict(list)
    chains: dict[tuple[int, int], list[Record]] = defaultdict(list)
    for record in records:
        turns[record.turn].append(record)
        chains[record.repeat, record.chain].append(record)
    found: dict[str, Figures] = {}
    for turn in sorted(turns):
        figures = metrics(turns[turn], settings=settings)
        found[str(turn + 1)] = {
            **{name: value for name, value in figures.items() if not name.startswith("steady_")},
            "mean_prompt_tokens": _mean(r.prompt_tokens for r in turns[turn]),
            "mean_cached_tokens": _mean(r.cached_tokens for r in turns[turn]),
        }
    found["conversation"] = _conversations(chains.values())
    return found


def _conversations(chains: Iterable[list[Record]]) -> Figures:
    listed = list(chains)
    whole = [chain for chain in listed if all(record.error is None for record in chain)]
    spans = [
        1000 * (max(r.done for r in chain if r.done is not None) - min(r.sent for r in chain if r.sent is not None))
        for chain in whole
    ]
    return {"conversations": len(listed), "completed": len(whole), "mean_duration_ms": _mean(spans)}


def _mean(values: Iterable[float | None]) -> float | None:
    """Of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
