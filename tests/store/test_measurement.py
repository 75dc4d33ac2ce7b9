"""What happened comes back from disk equal, whatever was in it, and is worth the same."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import runs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from long import times
from test_row import COUNTS, FINITE, JUDGED, MESSAGES, NUMBERS, PLAIN, WORDS, scenarios

from pytest_vllm_bench.judging import judge
from pytest_vllm_bench.model import (
    ErrorKind,
    LoadFacts,
    MachineFacts,
    Measurement,
    Observed,
    Plan,
    Record,
    Scenario,
    Track,
    WorkerFacts,
)
from pytest_vllm_bench.store import measurement, tracks
from pytest_vllm_bench.store import records as records_file
from pytest_vllm_bench.store.row import to_json

SECONDS = st.floats(0.0, 5.0)
#: Of a watcher of somebody else's, who may have divided by nothing.
ANY = st.floats()
LISTED = st.lists(MESSAGES, max_size=2).map(tuple)
WORKERS = st.builds(
    WorkerFacts, worker=st.integers(0, 3), started=SECONDS, ended=SECONDS, cpu_s=SECONDS, reads=COUNTS, bytes_in=COUNTS,
    bytes_out=COUNTS, sentinel_lags=st.lists(SECONDS, max_size=3).map(tuple), died=WORDS, disk_full=st.booleans(),
    exhausted=WORDS, cpu=st.none() | st.integers(0, 99), loop=WORDS,
)  # fmt: skip
MACHINES = st.builds(
    MachineFacts, name=WORDS, start_ms=FINITE, error_ms=FINITE, cpu=st.none() | SECONDS, lost=st.none() | MESSAGES
)
FACTS = st.builds(
    LoadFacts, started=SECONDS, ended=SECONDS, workers=st.lists(WORKERS, min_size=1, max_size=2).map(tuple),
    complete=st.booleans(), stop_reason=WORDS, steal=st.none() | SECONDS,
    machines=st.lists(MACHINES, max_size=2).map(tuple), warnings=LISTED,
)  # fmt: skip
TRACKS = st.integers(0, 4).flatmap(
    lambda n: st.builds(
        Track, name=WORDS, device=WORDS, bound=WORDS, every=SECONDS,
        times=st.tuples(*[FINITE] * n), values=st.tuples(*[ANY] * n),
    )
)  # fmt: skip
OBSERVED = st.builds(
    Observed, counters=st.dictionaries(WORDS.map("server.".__add__), ANY, max_size=2), fault=st.none() | MESSAGES,
    fault_at=st.none() | SECONDS, tracks=st.lists(TRACKS, max_size=2).map(tuple),
    environment=st.dictionaries(WORDS, PLAIN, max_size=2), notes=LISTED,
)  # fmt: skip
PLANS = st.builds(
    Plan, scenario_id=WORDS, folder=st.just(Path()), n=COUNTS, path=WORDS,
    models=st.lists(WORDS, max_size=2).map(tuple), max_in_flight=st.none() | COUNTS,
    steps=st.lists(st.tuples(FINITE, COUNTS), max_size=2).map(tuple),
    duration=st.none() | FINITE, digest=WORDS, notes=LISTED,
)  # fmt: skip
ERRORS = st.dictionaries(st.sampled_from(("p50_ttft_ms", "mean_tpot_ms", "output_throughput")), st.floats(0, 1))
#: What an answer may have beside its times.
BESIDE: dict[str, st.SearchStrategy[Any]] = {
    "model": WORDS, "text": st.none() | WORDS, "server": st.none() | st.dictionaries(WORDS, PLAIN, max_size=2),
    "finish_reason": st.none() | WORDS, "cached_tokens": st.none() | st.integers(0, 100), "reused": st.booleans(),
    "disputed": st.none() | st.integers(0, 2**53), "token_source": st.sampled_from(("usage", "events", None)),
    "from_cache": st.booleans(), "reads": st.integers(0, 99), "prompt_tokens": st.none() | st.integers(0, 200),
}  # fmt: skip
FAILED: dict[str, st.SearchStrategy[Any]] = {
    "error": st.sampled_from(get_args(ErrorKind)), "error_detail": WORDS, "retry_after": st.none() | SECONDS,
    "status": st.sampled_from((None, 200, 429, 503)), "timeout": st.sampled_from((None, "connect", "total")),
}  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> list[Record]:
    """Of a closed or an open loop; some failed, of every kind."""
    ttfts = draw(st.lists(st.none() | st.floats(0.001, 2.0), max_size=6))
    made = runs.closed(ttfts, cap=draw(st.integers(1, 3))) if draw(st.booleans()) else runs.opened(ttfts)
    for one in made:
        for name, values in (BESIDE if one.error is None else FAILED).items():
            setattr(one, name, draw(values))
    return made


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    parts: dict[str, st.SearchStrategy[Any]] = {
        "scenario": scenarios(), "plan": st.none() | PLANS, "facts": st.none() | FACTS, "observed": OBSERVED,
        "records": requests(), **dict.fromkeys(("complete", "interrupted", "salvaged", "resumed"), st.booleans()),
        "stopped_by": st.none() | JUDGED, "gone": st.none() | MESSAGES, "predicted": st.none() | ERRORS,
        "environment": st.dictionaries(WORDS, PLAIN, max_size=2), "round_trip_ms": st.none() | NUMBERS.map(float),
        "date": WORDS, "session": WORDS,
    }  # fmt: skip
    return Measurement(**{name: draw(values) for name, values in parts.items()})


@st.composite
def asked(draw: st.DrawFn) -> Scenario:
    rules = draw(st.lists(st.sampled_from(("p50_ttft_ms <= 60", "failed == 0", "mean_tpot_ms <= 5")), unique=True))
    return runs.scenario(
        *rules, goodput=draw(st.sampled_from(({}, {"ttft": 100.0}))), concurrency=draw(st.integers(1, 3))
    )


def told(one: Measurement) -> tuple[Measurement, str]:
    """All of it; what may be NaN, which nothing is equal to, in words."""
    seen = one.observed
    return replace(one, observed=replace(seen, counters={}, tracks=())), f"{dict(seen.counters)} {seen.tracks}"


def worth(by: Scenario, one: Measurement) -> dict[str, Any]:
    """As it is written, where NaN is nothing."""
    return to_json(judge(by, [replace(one, samples={})]))


@settings(max_examples=times(30, 1000), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(measurements(), asked())
def test_a_measurement_comes_back_from_disk_equal_and_is_judged_the_same(made: Measurement, by: Scenario) -> None:
    with TemporaryDirectory() as folder:
        stem = Path(folder) / "bench_x"
        records_file.write(made.records, stem.with_name(f"{stem.name}{records_file.SUFFIX}"))
        kept = measurement.save(made, stem)
        read = measurement.load(stem.with_name(f"{stem.name}{measurement.SUFFIX}"))
        assert told(read) == told(kept) == told(made)
        assert worth(by, read) == worth(by, made)
        assert measurement.found(stem) is not None


def test_what_was_watched_may_be_endless_or_no_number(tmp_path: Path) -> None:
    """As a watcher of somebody else's may see it; a file that cannot be read would take the measurement with it."""
    odd = Track(name="x", times=(0.0, 1.0, 2.0, 3.0), values=(math.inf, -math.inf, math.nan, 1.5))
    tracks.save([odd], tmp_path / "x")
    assert repr(tracks.load(tmp_path / "x")) == repr((odd,))
