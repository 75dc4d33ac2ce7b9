"""Records, and what the client saw of itself → the same in short, as a result carries it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from pytest_vllm_bench.model import ClientSummary, LoadFacts, Record, RequestSummary, Spread, WorkerFacts, WorkerSummary

#: From the best witness of a token count to the worst.
TOKEN_SOURCES = ("usage", "counter", "ids", "tokenizer", "events")
#: Fields of a Record whose spread over the requests is told.
LENGTHS = ("asked_input", "prompt_tokens", "asked_output", "output_tokens")
#: Fields of WorkerFacts that are told as they are.
AS_SEEN = (
    "worker", "loop", "nice", "cpu", "cpu_s", "reads", "bytes_in", "bytes_out", "gc_collections",
    "voluntary_switches", "involuntary_switches", "peak_memory_bytes", "died",
)  # fmt: skip


def requests(records: Sequence[Record]) -> RequestSummary:
    records = list(records)  # which may lie on disk
    seen = {r.token_source for r in records if r.error is None and r.token_source}
    return RequestSummary(
        n=len(records),
        error_counts=dict(Counter(r.error for r in records if r.error)),
        first_error=next((r.error_detail for r in records if r.error and r.error_detail), None),
        token_source=max(seen, key=TOKEN_SOURCES.index) if seen else None,
        lengths={name: spread([getattr(r, name) for r in records]) for name in LENGTHS},
    )


def spread(values: Sequence[int | None]) -> Spread | None:
    """None where nobody knows."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    middle, high = (known[math.ceil(share * len(known)) - 1] for share in (0.5, 0.9))
    return Spread(n=len(known), min=known[0], mean=sum(known) / len(known), p50=middle, p90=high, max=known[-1])


def client(facts: LoadFacts | None) -> ClientSummary | None:
    if facts is None:
        return None
    return ClientSummary(
        seconds=facts.ended - facts.started,
        steal=facts.steal,
        stop_reason=facts.stop_reason,
        workers=tuple(map(_worker, facts.workers)),
        machines=facts.machines,
        start_skew_ms=facts.start_skew_ms,
    )


def _worker(worker: WorkerFacts) -> WorkerSummary:
    lags = sorted(worker.sentinel_lags)
    return WorkerSummary(
        **{name: getattr(worker, name) for name in AS_SEEN},
        seconds=worker.ended - worker.started,
        sentinel_ticks=len(lags),
        p50_sentinel_lag_ms=quantile(lags, 0.5),
        p99_sentinel_lag_ms=quantile(lags, 0.99),
        max_sentinel_lag_ms=quantile(lags, 1.0),
        tape_stalls=len(worker.tape_stalls),
        tape_stall_ms=1e3 * sum(worker.tape_stalls),
    )


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """In milliseconds."""
    if not ordered:
        return None
    return round(1e3 * ordered[max(0, math.ceil(share * len(ordered)) - 1)], 4)
