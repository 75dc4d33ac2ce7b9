"""Requests, and what the client saw of itself, in short."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runs import facts, failure, request

from pytest_vllm_bench.measure import brief
from pytest_vllm_bench.model import LoadFacts, MachineFacts, Spread, WorkerFacts


def test_of_requests_their_errors_and_lengths() -> None:
    unknown: dict[str, Any] = {"asked_output": None, "prompt_tokens": None, "output_tokens": None}
    records = [
        *(request(i, float(i), prompt_tokens=n) for i, n in enumerate((70, 10, 20, 30, 40, 50, 60, 80, 90, 100, 110))),
        failure(11, 11.0, "timeout", **unknown),
        failure(12, 12.0, "http", error_detail="no such model", **unknown),
        failure(13, 13.0, "http", error_detail="another", **unknown),
    ]
    found = brief.requests(records)
    assert (found.n, found.error_counts, found.first_error) == (14, {"timeout": 1, "http": 2}, "no such model")
    assert found.lengths == {
        "asked_input": Spread(n=14, min=100, mean=100.0, p50=100, p90=100, max=100),
        "prompt_tokens": Spread(n=11, min=10, mean=60.0, p50=60, p90=100, max=110),
        "asked_output": Spread(n=11, min=10, mean=10.0, p50=10, p90=10, max=10),
        "output_tokens": Spread(n=11, min=10, mean=10.0, p50=10, p90=10, max=10),
    }
    two = brief.requests([request(0, 0.0, prompt_tokens=1), request(1, 0.0, prompt_tokens=2)]).lengths["prompt_tokens"]
    assert two == Spread(n=2, min=1, mean=1.5, p50=1, p90=2, max=2)


def test_no_requests_have_no_lengths() -> None:
    none = brief.requests(iter(()))  # type: ignore[arg-type]  # any that can be gone through
    assert (none.n, none.error_counts, none.first_error, none.token_source) == (0, {}, None, None)
    assert set(none.lengths.values()) == {None}


def test_the_weakest_witness_of_token_counts_among_answers() -> None:
    sources = ("usage", "counter", "ids", "tokenizer", "events")
    for i, source in enumerate(sources):
        of = [request(k, 0.0, token_source=one) for k, one in enumerate(sources[: i + 1])]
        assert brief.requests([*of, failure(9, 9.0, token_source="events")]).token_source == source
        assert brief.requests(of[::-1]).token_source == source


def test_what_the_client_saw_of_itself() -> None:
    worker = WorkerFacts(
        worker=3, started=100.0, ended=112.5, cpu_s=1.5, reads=7, bytes_in=8, bytes_out=9, gc_collections=1,
        sentinel_lags=tuple(1e-3 * (i * 37 % 101) for i in range(1, 101)), tape_stalls=(0.25, 0.5),
        voluntary_switches=5, involuntary_switches=6, peak_memory_bytes=1 << 20, nice=-2, cpu=1, loop="asyncio",
        died="killed",
    )  # fmt: skip
    machines = (MachineFacts(name="a", start_ms=1.5), MachineFacts(name="b", start_ms=4.0))
    told = brief.client(
        LoadFacts(
            started=100.0,
            ended=110.0,
            workers=(worker, replace(worker, sentinel_lags=(), tape_stalls=())),
            complete=False,
            steal=0.125,
            stop_reason="asked",
            machines=machines,
        )
    )
    assert told is not None
    assert (told.seconds, told.steal, told.stop_reason, told.machines) == (10.0, 0.125, "asked", machines)
    for one in told.workers:
        assert {name: getattr(one, name) for name in brief.AS_SEEN} == {
            name: getattr(worker, name) for name in brief.AS_SEEN
        }
        assert one.seconds == 12.5
    assert told.start_skew_ms == 2.5
    first, second = told.workers
    assert (first.voluntary_switches, first.involuntary_switches) == (5, 6)
    assert (first.sentinel_ticks, first.tape_stalls, first.tape_stall_ms) == (100, 2, 750.0)
    assert (first.p50_sentinel_lag_ms, first.p99_sentinel_lag_ms, first.max_sentinel_lag_ms) == (50.0, 99.0, 100.0)
    assert (second.sentinel_ticks, second.tape_stalls, second.tape_stall_ms) == (0, 0, 0.0)
    assert (second.p50_sentinel_lag_ms, second.max_sentinel_lag_ms) == (None, None)
    assert brief.client(None) is None
    assert brief.quantile([0.00123456], 0.5) == 1.2346, "to a tenth of a microsecond"
    assert brief.client(facts()) is not None
