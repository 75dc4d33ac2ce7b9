"""Made runs: Records with given latencies, and what the judge makes of them."""

from __future__ import annotations

import heapq
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from pytest_vllm_bench.judge import effective_rules, judge
from pytest_vllm_bench.measure.columns import sample, settings_of
from pytest_vllm_bench.measure.metrics import summary
from pytest_vllm_bench.measure.settings import MetricSettings
from pytest_vllm_bench.metric_table import parse_rule
from pytest_vllm_bench.model import (
    Cell,
    Judgement,
    LoadFacts,
    Measurement,
    Metrics,
    Observed,
    Record,
    Rule,
    RuleVerdict,
    Sample,
    Scenario,
    Target,
    Track,
    WorkerFacts,
)


def request(index: int, sent: float, ttft: float = 0.05, gaps: Sequence[float] = (0.01,) * 9, **changed: Any) -> Record:
    """A request that was answered one token a read; ``changed`` replaces fields of the Record."""
    times = [sent + ttft]
    for gap in gaps:
        times.append(times[-1] + gap)
    values: dict[str, Any] = {
        "index": index, "chain": index, "ready": sent, "sent": sent, "status": 200,
        "first_chunk": times[0], "first_token": times[0], "first_output": times[0],
        "last_token": times[-1], "done": times[-1],
        "arrival_times": array("d", times), "arrival_events": array("i", [1] * len(times)),
        "arrival_tokens": array("i", [1] * len(times)),
        "asked_input": 100, "asked_output": len(times), "prompt_tokens": 100, "output_tokens": len(times),
        "token_source": "usage", "finish_reason": "length",
    }  # fmt: skip
    return Record(**{**values, **changed})


def failure(index: int, sent: float | None, error: str = "timeout", after: float = 0.01, **changed: Any) -> Record:
    """A request that failed ``after`` seconds; ``sent`` None: it was never sent."""
    done = None if sent is None else sent + after
    values: dict[str, Any] = {"index": index, "chain": index, "ready": sent, "sent": sent, "done": done,
                              "error": error, "asked_input": 100, "asked_output": 10}  # fmt: skip
    return Record(**{**values, **changed})


def closed(ttfts: Sequence[float | None], cap: int = 1, gaps: Sequence[float] = (0.01,) * 9) -> list[Record]:
    """A closed loop whose i-th request has the i-th TTFT in seconds; None: it fails."""
    free = [(0.0, slot) for slot in range(cap)]
    records = []
    for i, ttft in enumerate(ttfts):
        at, slot = heapq.heappop(free)
        record = failure(i, at) if ttft is None else request(i, at, ttft, gaps)
        records.append(record)
        assert record.done is not None
        heapq.heappush(free, (record.done, slot))
    return records


def opened(ttfts: Sequence[float | None], rate: float = 10.0, late: float = 0.0) -> list[Record]:
    """An open loop: request i is due at i ÷ rate, sent ``late`` seconds after it (its ready time is the due time)."""
    made = []
    for i, ttft in enumerate(ttfts):
        due = i / rate
        times: dict[str, Any] = {"due": due, "ready": due}
        made.append(failure(i, due + late, **times) if ttft is None else request(i, due + late, ttft, **times))
    return made


def rule(text: str) -> Rule:
    made = parse_rule(text)
    assert isinstance(made, Rule), made
    return made


def scenario(*rules: str, **changed: Any) -> Scenario:
    values: dict[str, Any] = {"cell": Cell(place="io100x10-mc1", bound="np10"), "target": Target(), "backend": "vllm",
                              "concurrency": 1, "rules": tuple(rule(text) for text in rules)}  # fmt: skip
    return Scenario(**{**values, **changed})


def facts(**changed: Any) -> LoadFacts:
    """A client that had an easy time; ``changed`` replaces fields of its one worker, or of the facts."""
    of_worker = {k: v for k, v in changed.items() if k not in ("steal", "complete")}
    values: dict[str, Any] = {"worker": 0, "started": 0.0, "ended": 10.0, "cpu_s": 1.0, "reads": 1, "bytes_in": 1,
                              "bytes_out": 1, "sentinel_lags": [0.0001] * 1000}  # fmt: skip
    rest = {k: v for k, v in changed.items() if k in ("steal", "complete")}
    made: dict[str, Any] = {"started": 0.0, "ended": 10.0, "complete": True,
                            "workers": (WorkerFacts(**{**values, **of_worker}),)}  # fmt: skip
    return LoadFacts(**{**made, **rest})


def judged(
    asked: Scenario,
    *repeats: Sequence[Record] | Sample,
    complete: bool = True,
    tracks: Sequence[Track] = (),
    **known: Any,
) -> Judgement:
    """What the judge makes of one or several repeats of a scenario, or of their samples.  ``known``: their plan, the
    facts of each, and of the last what the server counted, its fault, what stopped it (``hopeless``), what was said of
    it (``doubts``)."""
    settings = settings_of(asked, complete=complete)
    samples = [one if isinstance(one, Sample) else sample(one, settings) for one in repeats]
    samples = [replace(one, tracks=tracks) for one in samples] if tracks else samples
    measured = [
        Measurement(scenario=asked, plan=known.get("plan"), facts=facts)
        for _, facts in zip_longest(repeats, known.get("facts", ()))
    ]
    seen = Observed(
        counters=known.get("server", {}), fault=known.get("server_fault"), notes=tuple(known.get("doubts", ()))
    )
    measured[-1] = replace(measured[-1], observed=seen, stopped_by=known.get("hopeless"))
    return of_samples(asked, samples, measured)


#: Figures of the samples last looked at, which many a test judges by one rule after another.
_RECENT: deque[tuple[Sample, MetricSettings, Metrics]] = deque(maxlen=8)


def figures(one: Sample, settings: MetricSettings) -> Metrics:
    for seen, by, found in _RECENT:
        if seen is one and by == settings:
            return dict(found)
    _RECENT.append((one, settings, summary([one], settings)))
    return dict(_RECENT[-1][2])


def of_samples(asked: Scenario, samples: Sequence[Sample], measured: Sequence[Measurement] = ()) -> Judgement:
    settings = settings_of(asked, complete=all(one.complete for one in samples))
    asked = replace(asked, rules=effective_rules(asked))
    measured = measured or [Measurement(scenario=asked) for _ in samples]
    per_repeat = [figures(one, settings) for one in samples]
    pooled = per_repeat[0] if len(samples) == 1 else summary(samples, settings)
    return judge(asked, measured, samples, per_repeat, pooled)


def verdict(text: str, *repeats: Sequence[Record], **changed: Any) -> RuleVerdict:
    """What one rule comes to."""
    return judged(scenario(text, **changed), *repeats).verdicts[0]


def in_mode(asked: Scenario, mode: Any) -> Scenario:
    return replace(asked, judge=replace(asked.judge, mode=mode))
