"""A result and the JSON that it is written as are the same thing, whatever is in it."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_vllm_bench.metric_table import parse_rule
from pytest_vllm_bench.model import (
    BaselineOutcome,
    CapacityAnswer,
    CapacityLevel,
    Cell,
    Check,
    ClientSummary,
    Comparison,
    DatasetChoice,
    MachineFacts,
    Message,
    Plan,
    RequestSummary,
    Result,
    Rule,
    RuleVerdict,
    Scenario,
    Search,
    Spread,
    Target,
    Verdict,
    WorkerSummary,
)
from pytest_vllm_bench.store.row import from_json, to_json

JSON = "application/json"
NAMES = ("p99_ttft_ms", "steady_median_itl_ms", "completed", "round_trip_ms", "goodput_ratio", "server.requests")
WORDS = st.text(max_size=8)
#: NaN is no data once it is written.
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(0, 2**53)
FIGURES = st.dictionaries(st.sampled_from(NAMES), st.none() | NUMBERS)
PLAIN = st.recursive(
    st.none() | st.booleans() | FINITE | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
MESSAGES = st.recursive(
    st.builds(Message, key=WORDS, values=st.dictionaries(WORDS, WORDS | NUMBERS | st.none(), max_size=2)),
    lambda inner: st.builds(Message, key=WORDS, values=st.dictionaries(WORDS, inner | st.lists(inner), max_size=2)),
    max_leaves=3,
)
VERDICTS = st.sampled_from(Verdict)
LIMITED = {"p99_ttft_ms": "<= 500", "failed": "== 0", "steady_p90_itl_ms": "< 1e3", "goodput_ratio": ">= 0.95"}


def rule(text: str, *, implied: bool, line: int | None) -> Rule:
    made = parse_rule(text, line)
    assert isinstance(made, Rule)
    return replace(made, implied=implied)


RULES = st.builds(
    rule,
    st.sampled_from([f"{metric} {limit}" for metric, limit in LIMITED.items()]),
    implied=st.booleans(),
    line=st.none() | COUNTS,
)
JUDGED = st.builds(
    RuleVerdict,
    rule=RULES,
    verdict=VERDICTS,
    reason=MESSAGES,
    observed=st.none() | FINITE | st.just("inf"),
    within=st.none() | st.booleans(),
    proven=st.booleans(),
    window=st.sampled_from(("whole", "steady")),
    other=st.none() | NUMBERS,
    n=COUNTS,
    misses=st.none() | COUNTS,
    n_eff=st.none() | NUMBERS,
    interval=st.none() | st.tuples(NUMBERS, NUMBERS),
    more=st.none() | COUNTS,
)
CHECKS = st.builds(
    Check, id=WORDS, ok=st.booleans(), observed=st.none() | NUMBERS, limit=st.none() | NUMBERS, message=MESSAGES
)
COMPARISONS = st.builds(
    Comparison,
    reason=MESSAGES,
    **dict.fromkeys(("reference", "observed", "change", "tolerance", "detectable"), NUMBERS),
    interval=st.tuples(NUMBERS, NUMBERS),
)
LEVELS = st.builds(CapacityLevel, level=NUMBERS)
ANSWERS = st.builds(
    CapacityAnswer,
    held=st.none() | NUMBERS,
    broken=st.none() | NUMBERS,
    levels=st.lists(LEVELS, max_size=2).map(tuple),
    seconds=NUMBERS,
    notes=st.lists(MESSAGES, max_size=2).map(tuple),
)
MACHINES = st.lists(st.builds(MachineFacts, name=WORDS, start_ms=FINITE, lost=st.none() | MESSAGES), max_size=2).map(
    tuple
)
WORKERS = st.builds(WorkerSummary, cpu_s=NUMBERS, seconds=NUMBERS, tape_stall_ms=NUMBERS)
CELLS = st.builds(
    Cell,
    target=WORDS,
    place=st.text(min_size=1, max_size=8),
    search=st.sampled_from(("", "capacity")),
    level=WORDS,
    bound=WORDS,
    repeat=st.none() | st.integers(1, 9),
)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    rate = draw(st.just(math.inf) | st.floats(0.001, 1e6))
    return Scenario(
        cell=Cell(
            place=draw(st.text(min_size=1, max_size=8)),
            search=draw(st.sampled_from(("", "capacity"))),
            level=draw(WORDS),
            bound=draw(WORDS),
            repeat=draw(st.none() | st.integers(1, 9)),
        ),
        target=Target(name=draw(WORDS), base_url=draw(WORDS), simulated=draw(st.booleans())),
        backend=draw(st.text(min_size=1, max_size=8)),
        models=tuple(draw(st.lists(WORDS, max_size=2))),
        model_choice=draw(st.sampled_from(("random", (0.5, 0.5)))),
        dataset=DatasetChoice(name=draw(WORDS), options=draw(st.dictionaries(WORDS, PLAIN, max_size=2))),
        input_len=draw(st.none() | COUNTS),
        concurrency=draw(st.none() | COUNTS),
        request_rate=rate,
        burstiness=draw(st.just(math.inf) | st.floats(0.1, 10)),
        num_prompts=draw(st.none() | st.integers(1, 99)),
        sampling=draw(st.dictionaries(WORDS, PLAIN, max_size=2)),
        goodput=draw(st.dictionaries(WORDS, FINITE, max_size=2)),
        rules=tuple(draw(st.lists(RULES, max_size=3, unique_by=lambda one: one.text))),
        search=draw(
            st.none() | st.builds(Search, at_least=st.none() | FINITE, max=FINITE, runs=COUNTS, seconds=FINITE)
        ),
        xfail=draw(WORDS),
    )


@st.composite
def results(draw: st.DrawFn) -> Result:
    """Every kind; lines of rules are kept where they were judged, digests where there is a plan."""
    asked = draw(scenarios())
    spread = st.builds(Spread, mean=FINITE)
    judged = draw(st.lists(JUDGED, max_size=3, unique_by=lambda one: one.rule.text))
    lines = {one.rule.text: one.rule.line for one in judged}
    written = sorted(asked.rules, key=lambda one: one.implied)
    asked = replace(asked, rules=tuple(replace(one, line=lines.get(one.text)) for one in written))
    plan = st.builds(Plan, scenario_id=st.just(asked.id), folder=st.just(Path()), content_type=st.just(JSON),
                     digest=st.text(min_size=1), notes=st.just(()), models=st.lists(WORDS).map(tuple),
                     steps=st.lists(st.tuples(FINITE, COUNTS)).map(tuple), duration=st.none() | FINITE)  # fmt: skip
    requests = st.builds(
        RequestSummary,
        n=st.just(asked.num_prompts) if asked.num_prompts else COUNTS,
        error_counts=st.dictionaries(WORDS, COUNTS, max_size=2),
        token_source=st.none() | st.sampled_from(("usage", "events")),
        lengths=st.dictionaries(WORDS, st.none() | spread, max_size=2),
    )
    repeats = st.lists(FIGURES.map(lambda one: {**one, "plan_digest": "d"}), max_size=2).map(tuple)
    return Result(
        scenario=asked,
        verdict=draw(st.none() | VERDICTS),
        complete=draw(st.booleans()),
        metrics=draw(FIGURES),
        verdicts=tuple(judged),
        checks=tuple(draw(st.lists(CHECKS, max_size=2))),
        error=draw(st.none() | MESSAGES),
        notes=tuple(draw(st.lists(MESSAGES, max_size=2))),
        taints=tuple(draw(st.lists(st.sampled_from(("simulated", "salvaged", "of tomorrow")), unique=True))),
        model=draw(st.none() | WORDS),
        requests=draw(requests),
        plan=draw(st.none() | plan),
        client=draw(
            st.none()
            | st.builds(
                ClientSummary, seconds=NUMBERS, steal=st.none() | FINITE, workers=st.tuples(WORKERS), machines=MACHINES
            )
        ),
        server=draw(st.dictionaries(WORDS, NUMBERS, max_size=2)),
        environment=draw(st.dictionaries(WORDS, PLAIN, max_size=2)),
        per_repeat=draw(repeats),
        pooled=draw(FIGURES),
        by_model=draw(st.dictionaries(WORDS, FIGURES, max_size=2)),
        by_turn=draw(st.dictionaries(WORDS, FIGURES, max_size=2)),
        baseline=draw(
            st.none()
            | st.builds(
                BaselineOutcome,
                comparisons=st.lists(COMPARISONS, max_size=2).map(tuple),
                notes=st.lists(MESSAGES, max_size=2).map(tuple),
            )
        ),
        capacity=draw(st.none() | ANSWERS),
        date=draw(st.sampled_from(("", "2026-11-23T05:25:05+00:00"))),
        session=draw(WORDS),
        other=draw(st.dictionaries(st.sampled_from(("tag", "of tomorrow")), WORDS | st.lists(FINITE), max_size=2)),
    )


STORED = {part.name for part in fields(Result) if part.compare}


def through_a_file(made: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(to_json(made), allow_nan=False))
    return found


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(results())
def test_a_result_comes_back_from_its_file(made: Result) -> None:
    written = through_a_file(made)
    read = from_json(written)
    assert {
        name: (now, was) for name, now in vars(read).items() if name in STORED and now != (was := getattr(made, name))
    } == {}
    again = through_a_file(read)
    assert {key: again.get(key) for key in written if again.get(key) != written[key]} == {}
    assert again.keys() == written.keys()
