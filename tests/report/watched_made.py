"""A scenario of which was watched what a server and its machine do: made up, in files as a session leaves them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from results_made import result

from pytest_vllm_bench.model import LoadFacts, Measurement, Message, Observed, Result, Track
from pytest_vllm_bench.report.charts.tracks import PANELS
from pytest_vllm_bench.store import folder, measurement

#: When the made-up load began, on the measuring clock.
START = 5000.0


def track(name: str, values: Sequence[float], every: float) -> Track:
    times = tuple(START - 1 + every * k for k in range(len(values)))
    return Track(name=name, every=every, times=times, values=tuple(values))


def tracks(seconds: float) -> list[Track]:
    """One of every kind: the KV cache fills and requests are preempted, a device is slowed by heat."""
    every = seconds / 40
    at = [every * k - 1 for k in range(int((seconds + 1.2) / every))]
    waves = {name: [50 + 40 * math.sin(t / 3) for t in at] for names in PANELS.values() for name in names}
    waves |= {"kv_usage": [min(1.0, max(0.0, t / seconds * 1.5)) for t in at]}
    waves |= {"preemptions": [float(sum(t > 0.9 * seconds for t in at[: k + 1])) for k in range(len(at))]}
    waves |= {"throttle_reasons": [8.0 if 0.3 * seconds < t < 0.4 * seconds else 0.0 for t in at]}
    waves |= {
        "prompt_tokens": [100.0 * k for k in range(len(at))],
        "generation_tokens": [50.0 * k for k in range(len(at))],
    }
    waves |= {
        "prefix_cache_hits": [1.0 * k for k in range(len(at))],
        "prefix_cache_queries": [2.0 * k for k in range(len(at))],
    }
    return [track(name, values, every) for name, values in waves.items()]


def watched(
    into: Path, n: int = 48, *, told: bool = True, restart: float | None = None, seen: Sequence[Track] = ()
) -> Result:
    """A result, its records and its tracks in ``into``; requests tell of their stages where they are ``told``."""
    made = result(n=n, tokens=8)
    for record in made.records:
        record.server = {"queue_time_ms": 20.0, "time_to_first_token_ms": 30.0} if told else None
    path, *_ = folder.write(made, into)
    end = max(record.done or 0.0 for record in made.records)
    fault = {"fault": Message(key="server.restarted"), "fault_at": START + restart} if restart is not None else {}
    one = Measurement(
        scenario=made.scenario,
        facts=LoadFacts(started=START, ended=START + end, workers=(), complete=True),
        observed=Observed(tracks=tuple(seen or tracks(end)), **fault),  # type: ignore[arg-type]
        records=made.records,
    )
    measurement.save(one, path.with_suffix(""))
    return replace(made, path=path)
