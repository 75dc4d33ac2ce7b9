"""Every check of the validity table: where it does not apply, where it holds, and where it makes a run INVALID."""

# A tuple with an approx in it is compared with one of numbers, which mypy takes for unlike.
# mypy: disable-error-code=comparison-overlap

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from every import every
from runs import closed, facts, failure, judged, opened, request, scenario

from pytest_vllm_bench.judge.validity import checks, lag_limit
from pytest_vllm_bench.measure.columns import sample, settings_of
from pytest_vllm_bench.measure.metrics import summary
from pytest_vllm_bench.model import (
    Check,
    LoadFacts,
    MachineFacts,
    Measurement,
    Message,
    Plan,
    RampUp,
    Record,
    Stage,
    Track,
    ValiditySettings,
    Verdict,
    WorkerFacts,
)
from pytest_vllm_bench.text import say

RATED: dict[str, Any] = {"concurrency": None, "request_rate": 10.0}


def plan(**changed: Any) -> Plan:
    values: dict[str, Any] = {"scenario_id": "x", "folder": Path(), "n": 1, "path": "/", "template_tokens": 0}
    return Plan(**{**values, **changed})


def check(id: str, records: Sequence[Record], **known: Any) -> Check | None:
    """One check of a run; ``known`` goes to the scenario, or (facts, plan, server) to the evidence."""
    evidence = {key: known.pop(key) for key in ("facts", "plan", "server") if key in known}
    found = judged(scenario(*known.pop("rules", ()), **known), list(records), **evidence)
    made = {c.id: c for c in found.checks}
    assert (found.verdict is Verdict.INVALID) is any(not c.ok for c in found.checks)
    for c in found.checks:
        assert say(c.message, "en") != say(c.message, "zh")
    return made.get(id)


def ok(id: str, records: Sequence[Record], **known: Any) -> bool:
    made = check(id, records, **known)
    assert made is not None
    return made.ok


def late(n: int, over: int, lag: float) -> list[Record]:
    """A closed loop whose last ``over`` requests were sent ``lag`` seconds late."""
    records = closed([0.1] * n)
    for record in records[n - over :]:
        assert record.sent is not None
        record.ready = record.sent - lag
    return records


@every(
    ("n", "over", "lag", "holds"),
    [(50, 1, 1.0, True), (50, 2, 1.0, False), (301, 3, 1.0, True), (301, 4, 1.0, False), (301, 50, 0.004, True),
     (301, 50, 0.006, False)],
)  # fmt: skip
def test_send_lag(n: int, over: int, lag: float, holds: bool) -> None:
    assert ok("send_lag", late(n, over, lag)) is holds


def test_send_lag_shows_the_largest_lag_that_is_not_excused() -> None:
    made = check("send_lag", late(301, 50, 0.006))
    assert made is not None
    assert made.observed == pytest.approx(0.006)
    assert made.limit == 0.005
    few = check("send_lag", [*late(49, 2, 0.5)])
    assert few is not None
    assert few.observed == pytest.approx(0.5), "of fewer than 200 one is excused, not two"
    assert check("send_lag", []) is None


def test_the_start_burst_of_a_closed_loop_is_not_lateness() -> None:
    records = closed([0.1] * 64, cap=8)
    for record in records[:8]:
        record.ready = -1.0
    assert ok("send_lag", records, concurrency=8)


def test_where_the_start_burst_is_all_there_is_each_send_counts_from_the_one_before() -> None:
    burst = closed([0.1] * 8, cap=8)
    for i, record in enumerate(burst):
        record.due, record.ready, record.sent = 0.0, 0.0, 0.004 * i
    assert ok("send_lag", burst, concurrency=8)
    burst[0].ready = -1.0
    assert ok("send_lag", burst, concurrency=8), "one may be late"
    for record in burst[3:]:
        record.sent = (record.sent or 0.0) + 0.1
    assert not ok("send_lag", burst, concurrency=8), "the first counts as well"
    burst[0].ready = 0.0
    assert ok("send_lag", burst, concurrency=8), "one may be late"
    for record in burst[5:]:
        record.sent = (record.sent or 0.0) + 0.1
    assert not ok("send_lag", burst, concurrency=8)


def volley(n: int, apart: float, ttft: float, begin: float = 0.0) -> list[Record]:
    """``n`` requests that are all due at the start, and were sent one after another."""
    made = [request(i, sent=begin + apart * i, ttft=ttft) for i in range(n)]
    for record in made:
        record.due = record.ready = 0.0
    return made


UNCAPPED: dict[str, Any] = {"concurrency": None}


@every(
    ("n", "apart", "ttft", "cap", "sends", "burst"),
    [
        (1000, 0.0001, 1.2, None, True, True),  # 100 ms for all of them, of waits of more than a second
        (1000, 0.0001, 1.2, 1000, True, True),
        (1000, 0.0001, 1.2, 5000, True, True),
        (1000, 0.0001, 0.05, None, True, False),  # the first are answered when half are sent
        (100, 0.0001, 0.05, None, True, True),
        (30, 0.004, 1.2, None, True, True),
        (30, 0.011, 9.9, None, False, True),  # nothing takes so long from one to the next but a client held up
        (30, 0.004, 0.01, None, True, False),
        (20, 0.0004, 0.001, None, True, True),  # less than a send may be late
    ],
)
def test_requests_that_all_leave_at_once(
    n: int, apart: float, ttft: float, cap: int | None, sends: bool, burst: bool
) -> None:
    records = volley(n, apart, ttft)
    assert ok("send_lag", records, concurrency=cap) is sends
    assert ok("burst", records, concurrency=cap) is burst


def test_a_burst_that_begins_a_little_later_is_the_same_burst() -> None:
    records = volley(30, 0.0001, 0.05, begin=0.03)
    assert (figure("burst", records, **UNCAPPED) or 1) < 0.03


def test_a_client_that_stands_still_in_its_burst_is_found_out() -> None:
    records = volley(1000, 0.0001, 0.5)
    for record in records[500:]:
        record.sent = (record.sent or 0.0) + 0.4
    assert ok("send_lag", records, **UNCAPPED), "one send may be late"
    assert not ok("burst", records, **UNCAPPED)
    made = check("burst", records, **UNCAPPED)
    assert made is not None
    assert "1000 requests were to leave at once and took 499.9 ms" in say(made.message)


def test_what_is_no_burst() -> None:
    """A trace has times of its own, a rate spreads its requests, a cap below them all has refills."""
    trace = volley(40, 0.0001, 0.1)
    for i, record in enumerate(trace):
        record.due = record.ready = 0.02 * i
        record.sent = 0.02 * i + 0.05
    assert check("burst", trace, **UNCAPPED) is None
    assert not ok("send_lag", trace, **UNCAPPED)
    assert check("burst", volley(40, 0.0001, 0.1), **RATED) is None
    assert check("burst", volley(40, 0.0001, 0.1), concurrency=39) is None
    assert check("burst", volley(40, 0.0001, 0.1), **UNCAPPED, ramp_up=RampUp(over=1.0)) is None
    assert check("burst", volley(40, 0.0001, 0.1), **UNCAPPED, stages=(Stage(seconds=9.0, concurrency=2),)) is None
    assert check("burst", volley(1, 0.0, 0.1), **UNCAPPED) is None, "one alone"
    late_turn = volley(40, 0.0001, 1.0)
    for record in late_turn[20:]:
        record.due, record.ready, record.sent = None, 5.0, 5.2
    assert not ok("send_lag", late_turn, **UNCAPPED), "a later turn has nothing in front of it"


def test_a_burst_is_of_what_was_sent_and_answered_of_it() -> None:
    """Half of the quarter of a second until an answer's beginning, of an answer in one piece until its end."""
    for answered in ({"ttft": 0.125}, {"ttft": 0.0625, "gaps": [0.0625], "first_token": None}):
        burst = [request(i, 0.25 * i, due=0.0, ready=0.0, **answered) for i in range(2)]
        later = request(2, 9.0, chain=0, ready=8.0, **answered)
        unanswered = [
            failure(3, None, "not_sent", due=0.0),
            failure(4, 3.0, "cancelled", due=0.0, ready=0.0, done=None),
        ]
        made = check("burst", [*burst, later, *unanswered], **UNCAPPED)
        assert made is not None
        assert (made.ok, made.observed, made.limit) == (False, 0.5, pytest.approx(0.05))
        assert "2 requests were to leave at once and took 250.0 ms, 50.0% of the time" in say(made.message)
        assert "(limit 5%)" in say(made.message)
        half = check("burst", burst, **UNCAPPED, validity=ValiditySettings(concurrency=0.5))
        assert half is not None
        assert half.ok, "no more than the limit"
        assert say(half.message) == (
            "2 requests left at once, within 250.0 ms: 50.0% of the time until their answers began")  # fmt: skip
        assert ok("burst", burst, **UNCAPPED, validity=ValiditySettings(lag_ms=125)), "no later than a send may be"
    with np.errstate(all="raise"):
        assert ok("burst", volley(2, 0.0, 0.0), **UNCAPPED), "answers that took no time"


@every(
    ("rules", "goodput", "limit"),
    [
        ((), {}, 0.005),
        (("p99_ttft_ms <= 500",), {}, 0.010),
        (("p99_ttft_ms <= 600",), {}, 0.010),
        (("p99_ttft_ms <= 300",), {}, 0.006),
        (("p99_ttft_ms <= 300", "p99_itl_ms <= 100"), {}, 0.002),
        (("p99_e2el_ms < 20",), {}, 0.001),
        (("p99_tpot_ms <= 20", "output_throughput >= 1", "min_ttft_ms >= 1"), {}, 0.005),
        ((), {"ttft": 200}, 0.004),
        ((), {"tpot": 20}, 0.005),
    ],
)
def test_the_lag_allowed_is_two_percent_of_the_smallest_limit(
    rules: tuple[str, ...], goodput: dict[str, float], limit: float
) -> None:
    asked = scenario(*rules, goodput=goodput)
    assert lag_limit(asked) == pytest.approx(limit)


@every(
    ("ttft", "lag", "holds"),
    [(0.1, 0.0055, False), (0.2, 0.0055, False), (0.4, 0.0055, True), (0.4, 0.0085, False), (1.2, 0.0095, True),
     (9.0, 0.0105, False)],
)  # fmt: skip
def test_without_a_limit_what_was_measured_is_in_its_place(ttft: float, lag: float, holds: bool) -> None:
    records = closed([ttft] * 50)
    seen = [facts(sentinel_lags=[lag] * 50)]
    assert ok("sentinel_lag", records, facts=seen) is holds
    assert not ok("sentinel_lag", records, facts=seen, rules=("p99_ttft_ms <= 60",)), "1.2 ms"
    failed = [failure(i, 0.1 * i) for i in range(50)]
    assert ok("sentinel_lag", failed, facts=[facts(sentinel_lags=[0.0049] * 50)]), "as ever"
    assert not ok("sentinel_lag", failed, facts=[facts(sentinel_lags=[0.0051] * 50)])


def test_the_lag_allowed_may_be_written() -> None:
    asked = scenario("p99_ttft_ms <= 500", validity=ValiditySettings(lag_ms=3))
    assert lag_limit(asked) == pytest.approx(0.003)


def test_with_a_rate_the_limit_on_the_response_counts() -> None:
    asked = scenario("p99_ttft_ms <= 300", **RATED)
    assert lag_limit(asked) == pytest.approx(0.006)


@pytest.mark.parametrize(("slow", "lag", "holds"), [(1, 0.02, True), (10, 0.02, True), (11, 0.02, False),
                                                    (999, 0.005, True)])  # fmt: skip
def test_sentinel_lag(slow: int, lag: float, holds: bool) -> None:
    lags = [0.0001] * (1000 - slow) + [lag] * slow
    assert ok("sentinel_lag", closed([0.1] * 20), facts=[facts(sentinel_lags=lags)]) is holds


def test_without_facts_or_ticks_there_is_no_sentinel() -> None:
    assert check("sentinel_lag", closed([0.1] * 20)) is None
    assert check("sentinel_lag", closed([0.1] * 20), facts=[facts(sentinel_lags=[])]) is None


def stretched(by: float) -> list[Record]:
    """An open loop that was sent more and more late."""
    records = opened([0.1] * 101)
    for record in records:
        assert record.due is not None
        record.sent = record.ready = record.due * by
    return records


@pytest.mark.parametrize(("by", "holds"), [(1.0, True), (1.02, True), (1.03, False)])
def test_rate_is_measured_against_the_plans_own(by: float, holds: bool) -> None:
    made = check("rate", stretched(by), **RATED)
    assert made is not None
    assert made.ok is holds
    assert made.observed == pytest.approx(1 / by)


@pytest.mark.parametrize(("late", "holds"), [(0.004, True), (0.006, False)])
def test_in_a_short_plan_the_rate_is_missed_only_by_a_send_that_is_late(late: float, holds: bool) -> None:
    records = opened([0.1] * 20)
    for i, record in enumerate(records):
        record.due = record.ready = record.sent = 0.001 * i
    records[-1].ready = records[-1].sent = 0.019 + late
    assert ok("rate", records, **RATED) is holds


def test_rate_does_not_apply() -> None:
    assert check("rate", stretched(2), concurrency=4, request_rate=10.0) is None, "a cap may bind: the server's doing"
    assert check("rate", closed([0.1] * 20)) is None
    assert check("rate", opened([0.1]), **RATED) is None
    at_once = opened([0.1] * 20)
    for record in at_once:
        record.due = 0.0
    assert check("rate", at_once, **RATED) is None, "a plan that takes no time has no rate"


def idle(n: int, pause: float, lag: float) -> list[Record]:
    """A closed loop of two slots in which a free slot stays empty for ``pause`` seconds."""
    return [
        request(i, (i // 2) * (0.19 + pause), ttft=0.1, ready=(i // 2) * (0.19 + pause) - (lag if i > 1 else 0))
        for i in range(n)
    ]


@pytest.mark.parametrize(
    ("pause", "lag", "holds"), [(0.0, 0.0, True), (0.005, 0.005, True), (0.05, 0.05, False), (0.05, 0.0009, True)]
)
def test_concurrency(pause: float, lag: float, holds: bool) -> None:
    made = check("concurrency", idle(60, pause, lag), concurrency=2, validity=ValiditySettings(lag_ms=1000))
    assert made is not None
    assert made.ok is holds
    assert made.observed == pytest.approx(0.19 / (0.19 + pause), abs=0.01)


def test_a_request_without_an_end_keeps_its_slot() -> None:
    records = idle(60, 0.0, 0.0)[1::2]
    records += [failure(0, 0.0, "cancelled", done=None)]
    made = check("concurrency", records, concurrency=2)
    assert made is not None
    assert made.observed == pytest.approx(1)


def test_concurrency_of_a_shard_that_was_dry_from_the_start() -> None:
    records = [request(0, 0.05), *(request(2 * i + 1, i * 0.2) for i in range(5))]
    two = replace(facts(), workers=facts().workers * 2)
    assert check("concurrency", records, concurrency=2, facts=[two]) is None


def test_concurrency_does_not_apply() -> None:
    assert check("concurrency", closed([0.1] * 20, cap=11), concurrency=11) is None, "np < 2C"
    assert check("concurrency", closed([0.1] * 20), concurrency=None) is None
    assert check("concurrency", opened([0.1] * 50), concurrency=4, request_rate=10.0) is None


def test_concurrency_is_counted_from_the_end_of_a_ramp() -> None:
    """Four slots of which one after another is filled, in the first six seconds."""
    records = [request(i, 100 + 2.0 * i, gaps=[9.95 - 2.0 * i]) for i in range(4)]
    records += [request(4 + i, 110 + i // 4 * 0.5, gaps=[0.45]) for i in range(40)]
    last = 110 + 9 * 0.5
    from_second_on = (2 * 2 + 2 * 3 + (last - 106) * 4) / (last - 102)
    for over, busy in ((None, from_second_on), (1.0, from_second_on), (6.0, 4.0)):
        found = figure("concurrency", records, concurrency=2, ramp_up=RampUp(over=over))
        assert found == pytest.approx(busy / 2)


def test_concurrency_ends_with_the_first_dry_shard() -> None:
    records = closed([0.1] * 40, cap=2)
    records += [request(40 + 2 * i, 5 + i * 1.0, chain=40 + 2 * i, ready=4.9 + i) for i in range(20)]
    one = WorkerFacts(worker=0, started=0, ended=10, cpu_s=1, reads=0, bytes_in=0, bytes_out=0)
    two = LoadFacts(started=0, ended=10, complete=True, workers=(one, one))
    wide = ValiditySettings(lag_ms=1000)
    assert ok("concurrency", records, concurrency=2, facts=[two], validity=wide)
    assert not ok("concurrency", records, concurrency=2, facts=[facts()], validity=wide)


@pytest.mark.parametrize(("cpu_s", "holds"), [(1.0, True), (9.0, True), (9.1, False)])
def test_cpu(cpu_s: float, holds: bool) -> None:
    assert ok("cpu", closed([0.1] * 20), facts=[facts(cpu_s=cpu_s)]) is holds


@pytest.mark.parametrize(("steal", "holds"), [(0.0, True), (0.05, True), (0.06, False)])
def test_steal(steal: float, holds: bool) -> None:
    assert ok("steal", closed([0.1] * 20), facts=[facts(steal=steal)]) is holds


def test_steal_may_be_unknown() -> None:
    assert check("steal", closed([0.1] * 20), facts=[facts(steal=None)]) is None
    assert check("cpu", closed([0.1] * 20)) is None


@every(("n", "again", "lost", "holds"), [
    (100, 0, 0.02, None), (100, 5, 0.02, True), (100, 6, 0.02, False), (4, 1, 0.02, True), (4, 2, 0.02, False),
    (100, 100, 0.001, True),  # a server that closes after each answer without a word, and nobody waited for it
])  # fmt: skip
def test_requests_that_were_sent_again_are_said_and_spoil_a_run_where_many_were_late(
    n: int, again: int, lost: float, holds: bool | None
) -> None:
    records = [request(i, i * 0.2, reconnected=i < again, connect_s=lost if i < again else None) for i in range(n)]
    made = check("reconnected", records)
    assert (made and made.ok) is holds
    found = judged(scenario(), records)
    assert [say(note) for note in found.notes if f"{again} of {n} requests" in say(note)] == [
        say(made.message) for _ in [0] if made is not None and holds
    ]
    assert (
        summary([sample(records, settings_of(scenario(), complete=True))], settings_of(scenario(), complete=True))[
            "reconnected"
        ]
        == again
    )


def test_of_those_sent_again_what_counts_is_which_were_late() -> None:
    records = [request(i, i * 0.2, reconnected=i < 4, connect_s=(0.005, 0.005, 0.25, 0.25)[i % 4]) for i in range(40)]
    made = check("reconnected", records)
    assert made is not None
    assert (made.ok, made.observed, made.limit) == (True, 0.05, 0.05), "5 ms are not over 5 ms"
    bad = check("reconnected", records, validity=ValiditySettings(reconnected=0.01))
    assert bad is not None
    assert (bad.ok, bad.limit) == (False, 0.01)
    assert "4 of 40 requests were sent again on a new connection (10.0%), 2 of them over 5 ms late" in say(bad.message)


def test_a_dead_worker() -> None:
    assert ok("worker", closed([0.1] * 20), facts=[facts()])
    made = check("worker", closed([0.1] * 20), facts=[facts(died="killed by signal 9")])
    assert made is not None
    assert not made.ok
    assert "signal 9" in say(made.message)


def test_a_machine_that_has_no_room_for_more_connections() -> None:
    words = "Too many open files"
    made = check("worker", closed([0.1] * 20), facts=[facts(exhausted=words)])
    assert made is not None
    assert (made.ok, made.observed, made.limit) == (False, 1.0, 0.0)
    assert f"this machine, not the server, refused connections ({words})" in say(made.message)
    both = check("worker", closed([0.1] * 20), facts=[facts(exhausted=words, died="killed by signal 9")])
    assert both is not None
    assert "signal 9" in say(both.message), "first of all it died"


def test_a_full_disk_says_where() -> None:
    made = check("worker", closed([0.1] * 20), facts=[facts(worker=3, died="/tmp/tape", disk_full=True)])
    assert made is not None
    assert (made.ok, made.observed, made.limit) == (False, 1.0, 0.0)
    assert "the disk was full: measuring process 3 could write no more to /tmp/tape" in say(made.message)


@pytest.mark.parametrize(("prompt", "holds"), [(100, True), (101, True), (99, True), (102, False), (98, False)])
def test_input_length(prompt: int, holds: bool) -> None:
    records = closed([0.1] * 20)
    for record in records:
        record.prompt_tokens = prompt
    assert ok("length", records, plan=plan(template_tokens=3)) is holds
    assert ok("length", records) is holds


def test_an_unknown_template_is_a_constant_excess() -> None:
    records = closed([0.1] * 20)
    for record in records:
        record.prompt_tokens = 130
    assert ok("length", records, plan=plan())
    assert ok("length", records[:1], plan=plan()), "one request may have a template, too"
    for known in (1, 30):
        assert not ok("length", records, plan=plan(template_tokens=known)), "what was asked has the template already"
    records[3].prompt_tokens = 140
    assert not ok("length", records, plan=plan())
    for record in records:
        record.prompt_tokens = 70
    assert not ok("length", records, plan=plan())


def test_later_turns_and_unknown_lengths_are_not_checked() -> None:
    first, later = request(0, 0.0), request(1, 1.0, chain=0, prompt_tokens=500)
    made = check("length", [first, later])
    assert made is not None
    assert made.ok
    assert check("length", [request(0, 0.0, asked_input=None)]) is None
    assert check("length", [request(0, 0.0, prompt_tokens=None)]) is None


@pytest.mark.parametrize(("output", "holds"), [(10, True), (11, False), (9, False)])
def test_forced_output_length(output: int, holds: bool) -> None:
    records = closed([0.1] * 20)
    for record in records:
        record.output_tokens = output
    assert ok("output_length", records, plan=plan(force_length=True)) is holds
    assert check("output_length", records, plan=plan(force_length=False)) is None
    records[0].token_source, records[1].token_source = "counter", "ids"
    assert ok("output_length", records, plan=plan(force_length=True)) is holds, "counted by the server in three ways"
    records[0].token_source = "tokenizer"
    assert check("output_length", records, plan=plan(force_length=True)) is None, "not counted by the server"


@pytest.mark.parametrize(("cached", "holds"), [(0, True), (12, True), (13, False)])
def test_cold_cache_by_the_answers(cached: int, holds: bool) -> None:
    """Of 100 tokens 4 are template and 6 a shared prefix; 2 more are excused."""
    records = [request(i, i * 0.2, cached_tokens=cached, shared_input=6) for i in range(20)]
    assert ok("cache", records, plan=plan(template_tokens=4)) is holds
    assert check("cache", records, plan=plan(template_tokens=4), cache="warm") is None


@pytest.mark.parametrize(("hits", "holds"), [(0, True), (240, True), (241, False)])
def test_cold_cache_by_the_servers_counters(hits: float, holds: bool) -> None:
    records = [request(i, i * 0.2, shared_input=6) for i in range(20)]
    known: dict[str, Any] = {"plan": plan(template_tokens=4), "server": {"prefix_cache_hits": hits}}
    assert ok("cache", records, **known) is holds
    made = check("cache", records, **known)
    assert made is not None
    assert made.observed == pytest.approx(max(0, hits - 200) / 2000)
    conversation = [*records, request(20, 9.0, chain=0)]
    assert check("cache", conversation, **known) is None, "the counters tell no turn from another"
    assert check("cache", records) is None


@every(
    ("server", "answered", "holds"),
    [
        ({"external_cache_hits": 1740.0}, None, False),  # offloaded, or of a connector
        ({"prefix_cache_hits": 20.0, "external_cache_hits": 15.0}, None, True),
        ({"prefix_cache_hits": 30.0, "external_cache_hits": 15.0}, None, False),
        ({"external_cache_hits": 1740.0}, 0, False),  # the answers know of one cache only
        ({"external_cache_hits": 1740.0, "prompt_tokens": 3000.0}, 0, False),  # half as many again: templates
        ({"external_cache_hits": 1740.0, "prompt_tokens": 9000.0}, 0, True),  # somebody else's prompts
        ({"external_cache_hits": 0.0}, 90, False),
    ],
)
def test_every_cache_counts(server: dict[str, float], answered: int | None, holds: bool) -> None:
    records = [request(i, i * 0.2, cached_tokens=answered) for i in range(20)]
    assert ok("cache", records, server=server) is holds


def test_what_the_server_counted_of_a_prompt_is_what_its_hits_are_a_share_of() -> None:
    records = [request(i, i * 0.2, prompt_tokens=n) for i, n in enumerate((180, 200, None))]
    made = {c.id: c for c in judged(scenario(), records, server={"prefix_cache_hits": 12.0}).checks}["cache"]
    assert made.observed == pytest.approx(12 / (180 + 200 + 100)), "of one that it did not count, what was asked"


def test_prompts_of_failed_requests_were_looked_up_too() -> None:
    records = [request(i, i * 0.2, shared_input=98) for i in range(2)]
    records += [failure(i, i * 0.2, "reset", shared_input=98) for i in range(2, 20)]
    assert ok("cache", records, server={"prefix_cache_hits": 20 * 98.0 + 30})


def test_media_that_the_server_had_seen() -> None:
    records = [request(i, i * 0.2) for i in range(20)]
    assert ok("media_cache", records, server={"media_cache_hit_rate": 0.02})
    seen = check("media_cache", records, server={"media_cache_hit_rate": 0.9})
    assert seen is not None
    assert (seen.ok, seen.observed, seen.limit) == (False, 0.9, 0.02)
    assert "90.0%" in say(seen.message)
    assert check("media_cache", records, server={"media_cache_hit_rate": 0.9}, cache="warm") is None


def test_later_turns_are_meant_to_hit_the_cache() -> None:
    records = [request(0, 0.0, cached_tokens=0), request(1, 1.0, chain=0, cached_tokens=90)]
    assert ok("cache", records)


@every(
    ("rules", "goodput", "holds"),
    [((), {}, True), (("p90_ttft_ms <= 500",), {}, True), (("mean_tpot_ms <= 500",), {}, False),
     (("output_throughput >= 1",), {}, False), ((), {"tpot": 50}, False), ((), {"ttft": 50}, True)],
)  # fmt: skip
def test_token_source(rules: tuple[str, ...], goodput: dict[str, float], holds: bool) -> None:
    records = closed([0.1] * 20)
    records[5].token_source = "events"
    made = check("token_source", records, rules=rules, goodput=goodput)
    assert made is not None
    assert (made.ok, made.observed) == (holds, pytest.approx(1 / 20))


def test_only_what_was_answered_needs_a_count() -> None:
    """One that was reset in mid-stream has no usage yet; it has failed, and no tokenizer would help it."""
    records = closed([0.1] * 20)
    records[5] = failure(5, records[5].sent, "reset", token_source="events", output_tokens=3)
    goodput = {"tpot": 500.0}
    assert ok("token_source", records, goodput=goodput)
    assert judged(scenario("failed <= 1", goodput=goodput), records).verdict is not Verdict.INVALID
    records[6].token_source = "events"
    assert not ok("token_source", records, goodput=goodput)


def test_flags_that_a_started_server_says_it_has_otherwise() -> None:
    asked = scenario()
    for environment, words in (
        ({}, None),
        ({"launch": {}}, None),
        ({"launch": {"unlike": {}}}, None),
        ({"launch": {"unlike": {"max-num-seqs": "8", "seed": "1"}}}, "max-num-seqs: 8, seed: 1"),
    ):
        measured = Measurement(scenario=asked, environment=environment)
        found = {c.id: c for c in checks(asked, [measured], [sample(closed([0.1]), settings_of(asked))])}.get("flags")
        assert (found is None) is (words is None)
        if found is not None:
            assert (found.ok, found.observed, found.limit) == (False, 2.0, 0.0)
            assert f"({words})" in say(found.message)


def test_counted_tokens_are_fine() -> None:
    assert ok("token_source", closed([0.1] * 20), rules=("mean_tpot_ms <= 500",))
    assert check("token_source", [failure(0, 0.0)]) is None


def filled(**changed: Any) -> list[Record]:
    records = closed([0.1] * 20)
    for record in records:
        for field, value in changed.items():
            setattr(record, field, value)
    return records


TWO = {"facts": [replace(facts(), workers=(*facts(cpu_s=1.0).workers, *facts(worker=1, cpu_s=9.5).workers))]}
DEAD = {"facts": [replace(facts(), workers=(*facts().workers, *facts(worker=3, died="killed by signal 9").workers))]}
MADE: list[tuple[str, list[Record], dict[str, Any], str]] = [
    ("send_lag", late(301, 3, 0.5), {}, "all but a few within 0.00 ms (limit 5.00 ms)"),
    ("send_lag", late(301, 50, 0.5), {"validity": ValiditySettings(lag_ms=1000)},
     "all but a few within 500.00 ms (limit 1000.00 ms)"),
    ("send_lag", late(301, 50, 0.0061), {}, "50 of 300 requests more than 5.00 ms;"),
    ("sentinel_lag", filled(), {"facts": [facts(sentinel_lags=[0.001] * 500 + [0.002] * 500)]},
     "all but a few within 2.00 ms (limit 5.00 ms)"),
    ("sentinel_lag", filled(), {"facts": [facts(sentinel_lags=[0.001] * 500 + [0.02] * 500)]},
     "500 of 1000 probes more than 5.00 ms;"),
    ("rate", stretched(1.02), RATED, "sent at 98.0% of the planned 10 requests/s (nominal 10)"),
    ("rate", stretched(1.25), {**RATED, "request_rate": 12.0}, "only 80.0% of the planned 10 requests/s;"),
    ("concurrency", idle(60, 0.0, 0.0), {"concurrency": 2}, "2.00 of 2 slots were busy on average"),
    ("concurrency", idle(60, 0.05, 0.05), {"concurrency": 2},
     "only 1.58 of 2 slots were busy on average (a free slot waited 50.00 ms);"),
    ("cpu", filled(), {"facts": [facts(cpu_s=2.0)]}, "the busiest of 1 measuring processes used 20% of a core"),
    ("cpu", filled(), TWO, "used 95% of a core, so it may have been the bottleneck; raise workers (now 2)"),
    ("steal", filled(), {"facts": [facts(steal=0.0125)]}, "other machines took 1.2% of this one's CPU time"),
    ("steal", filled(), {"facts": [facts(steal=0.25)]}, "other machines took 25.0% of this one's CPU time;"),
    ("worker", filled(), DEAD, "measuring process 3 died (killed by signal 9);"),
    ("length", filled(prompt_tokens=101), {},
     "prompts had 2020 tokens by the server's count, 2000 asked (off by 1.0%)"),
    ("length", filled(prompt_tokens=90), {},
     "prompts had 1800 tokens by the server's count, 2000 asked (off by 10.0%);"),
    ("output_length", filled(), {"plan": plan(force_length=True)}, "had 200 tokens, 200 asked (off by 0.0%)"),
    ("output_length", filled(output_tokens=12), {"plan": plan(force_length=True)},
     "had 240 tokens, 200 asked (off by 20.0%);"),
    ("cache", filled(cached_tokens=2), {}, "2.0% of the prompt tokens were in the server's cache"),
    ("cache", filled(cached_tokens=20), {}, "20.0% of the prompt tokens were in the server's cache although"),
    ("token_source", filled(token_source="events"), {"rules": ("p90_ttft_ms <= 9", "mean_tpot_ms <= 500")},
     "20 answers were counted in stream events, not tokens, and mean_tpot_ms <= 500 needs tokens;"),
    ("token_source", filled(token_source="events"), {"goodput": {"ttft": 50, "tpot": 50}},
     "and goodput.tpot needs tokens;"),
]  # fmt: skip


@every(("id", "records", "known", "words"), MADE, ids=[f"{made[0]}-{i}" for i, made in enumerate(MADE)])
def test_it_says_what_was_seen(id: str, records: list[Record], known: dict[str, Any], words: str) -> None:
    made = check(id, records, **known)
    assert made is not None
    assert words in say(made.message)


def test_limits_and_figures_of_the_checks() -> None:
    """What the tables show beside the verdict of a check, and which repeat they show."""
    found = judged(scenario(), filled(cached_tokens=1), facts=[facts(steal=0.01)], plan=plan(force_length=True))
    assert {c.id: (c.observed, c.limit) for c in found.checks} == {
        "worker": (0.0, 0.0), "send_lag": (0.0, 0.005), "sentinel_lag": (0.0001, 0.005), "cpu": (0.1, 0.9),
        "concurrency": (pytest.approx(1.0), 0.95), "steal": (0.01, 0.05), "length": (0.0, 0.01),
        "output_length": (0.0, 0.01), "cache": (0.01, 0.02), "token_source": (0.0, 0.0),
        "littles_law": (0.0, 0.02),
    }  # fmt: skip
    assert [c.message.key for c in found.checks] == [f"judge.check.{c.id}" for c in found.checks]
    rate = check("rate", stretched(1.25), **RATED)
    assert rate is not None
    assert (rate.observed, rate.limit) == (pytest.approx(0.8), 0.98)


def figure(id: str, records: Sequence[Record], **known: Any) -> float | None:
    made = check(id, records, **known)
    return None if made is None else made.observed


def test_the_cap_of_an_open_loop_excuses_no_burst() -> None:
    records = opened([0.1] * 64)
    for record in records[:8]:
        record.sent = float(record.due or 0) + 0.05
    assert not ok("send_lag", records, concurrency=8, request_rate=10.0)


def test_rate_of_short_runs_and_with_requests_that_were_never_sent() -> None:
    for n in (2, 5):
        assert figure("rate", opened([0.1] * n), **RATED) == pytest.approx(1)
    together = opened([0.1] * 5)
    for record in together:
        record.sent = 1.0
    with np.errstate(all="raise"):
        assert figure("rate", together, **RATED) == math.inf
    gone = failure(101, None, "not_sent", due=10.1, ready=None)
    assert figure("rate", [*stretched(1.02), gone], **RATED) == pytest.approx(1 / 1.02)


def test_concurrency_of_few_requests_and_of_late_starts() -> None:
    assert check("concurrency", closed([0.1] * 20, cap=10), concurrency=10) is not None, "np = 2C is enough"
    records = idle(60, 0.02, 0.02)
    for record in records:
        for field in ("ready", "sent", "first_chunk", "first_token", "first_output", "last_token", "done"):
            setattr(record, field, getattr(record, field) + 100)
    assert figure("concurrency", records, concurrency=2, facts=()) == pytest.approx(0.19 / 0.21, abs=0.01)
    alone = [request(2 * i, i * 0.19) for i in range(30)] + [request(1, 0.0, gaps=[1.0] * 3)]
    assert figure("concurrency", alone, concurrency=2) == pytest.approx(
        0.14 / 0.19 / 2 + 3.05 / (29 * 0.19) / 2, abs=0.01
    )


def test_a_constant_excess_of_a_few_requests() -> None:
    def prompts(*tokens: int, asked: int = 100) -> list[Record]:
        return [request(i, i * 0.2, prompt_tokens=n, asked_input=asked) for i, n in enumerate(tokens)]

    assert ok("length", prompts(130), plan=plan()), "one request cannot tell a template from a wrong length"
    assert not ok("length", prompts(70), plan=plan()), "no template takes tokens away"
    assert ok("length", prompts(130, 130), plan=plan())
    assert ok("length", prompts(10, 10, asked=10), plan=plan()), "nor is there one where nothing is added"
    later = request(2, 1.0, chain=0, prompt_tokens=500)
    assert ok("length", [*prompts(130, 130), later], plan=plan()), "a later turn is longer than its template"
    assert ok("length", prompts(11, 11, 11, asked=10), plan=plan())


def test_hits_of_one_request_do_not_make_up_for_another() -> None:
    halves = [request(i, i * 0.2, cached_tokens=12 * (i % 2), shared_input=6) for i in range(20)]
    assert figure("cache", halves, plan=plan(template_tokens=4)) == 0.01
    assert figure("cache", halves[::2], plan=plan(template_tokens=4)) == 0
    counted = [request(i, i * 0.2, shared_input=6) for i in range(20)]
    unsent = failure(20, None, "not_sent", shared_input=6, prompt_tokens=100)
    assert figure("cache", [*counted, unsent], server={"prefix_cache_hits": 140.0}) == 0.01


def test_a_process_is_measured_over_its_own_time() -> None:
    assert figure("cpu", filled(), facts=[facts(started=5.0, ended=15.0, cpu_s=2.0)]) == 0.2
    assert figure("cpu", filled(), facts=[facts(started=0.0, ended=0.1, cpu_s=0.05)]) == 0.5
    assert check("cpu", filled(), facts=[facts(started=100.0, ended=100.05, cpu_s=0.05)]) is None


def test_thresholds_are_configurable() -> None:
    loose = ValiditySettings(rate=0.5, concurrency=0.5, cpu=0.99, steal=0.5, length=0.5, cache=0.5)
    assert ok("rate", stretched(1.5), **RATED, validity=loose)
    assert ok("cpu", closed([0.1] * 20), facts=[facts(cpu_s=9.5)], validity=loose)
    assert ok("steal", closed([0.1] * 20), facts=[facts(steal=0.4)], validity=loose)
    assert ok("cache", [request(i, i * 0.2, cached_tokens=40) for i in range(20)], validity=loose)


def test_what_just_reaches_its_limit_is_enough() -> None:
    half = ValiditySettings(rate=0.5, concurrency=0.5, lag_ms=1000)
    assert ok("rate", stretched(2.0), **RATED, validity=half)
    two = opened([0.1] * 2)
    two[0].due, two[1].due, two[0].sent, two[1].sent = 0.0, 0.005, 0.0, 0.01
    assert ok("rate", two, **RATED), "late by 5 ms and no more"
    busy = [request(i, float(i), ttft=0.25, gaps=[0.25], ready=i - 0.5) for i in range(8)]
    assert ok("concurrency", busy, validity=half)
    soon = [request(0, 0.0, ttft=0.0005, gaps=()), request(1, 0.001, ready=0.0)]
    assert figure("concurrency", soon) == 0.5
    assert ok("concurrency", soon), "a free slot waited for 1 ms and no more"


def test_of_several_repeats_the_worst_counts() -> None:
    good, bad = closed([0.1] * 20), late(20, 10, 1.0)
    for order in ((good, bad), (bad, good)):
        found = judged(scenario(), *order)
        assert found.verdict is Verdict.INVALID
    both = judged(scenario(), good, good, facts=[facts(cpu_s=1.0), facts(cpu_s=5.0)])
    assert {c.id: c.observed for c in both.checks}["cpu"] == pytest.approx(0.5)
    busiest_first = judged(scenario(), good, good, facts=[facts(cpu_s=5.0), facts(cpu_s=1.0)])
    assert {c.id: c.observed for c in busiest_first.checks}["cpu"] == pytest.approx(0.5)
    for pauses in ((0.001, 0.003), (0.003, 0.001)):
        idlers = judged(scenario(concurrency=2), *(idle(60, pause, pause) for pause in pauses))
        assert {c.id: c.observed for c in idlers.checks}["concurrency"] == pytest.approx(0.19 / 0.193, abs=1e-3)
    few, many = [[request(i, i * 0.2) for i in range(n)] for n in (10, 40)]
    counted = judged(scenario(), few, many, server={"prefix_cache_hits": 40.0})
    assert {c.id: c.observed for c in counted.checks}["cache"] == 0.01, "what the server counted is of the last repeat"
    rates = judged(scenario(**RATED), stretched(1.0), stretched(1.01))
    assert {c.id: c.observed for c in rates.checks}["rate"] == pytest.approx(1 / 1.01)
    sources = (["usage", "events"], ["usage"], ["events"])
    guesses = [[request(i, i * 0.2, token_source=s[i % len(s)]) for i in range(20)] for s in sources]
    for judged_in in (guesses, guesses[::-1]):
        found = judged(scenario("mean_tpot_ms <= 500"), *judged_in)
        assert {c.id: c.observed for c in found.checks}["token_source"] == 1


def test_littles_law_holds_unless_a_clock_or_the_books_are_wrong() -> None:
    """Requests that end before they were sent, as after a clock was set back."""
    assert ok("littles_law", closed([0.1] * 20, cap=4))
    assert ok("littles_law", [*closed([0.1] * 20), failure(20, 2.0, error="timeout")])
    assert check("littles_law", [request(0, 0.0)]) is None
    back = closed([0.1] * 20)
    for record in back[5:8]:
        assert record.done is not None
        record.done -= 0.5
    made = check("littles_law", back)
    assert made is not None
    assert not made.ok
    assert made.observed is not None
    assert made.observed == pytest.approx(0.212, abs=0.001)


def test_littles_law_by_hand() -> None:
    """A request of three seconds, and one that ended a second before it was sent."""

    def between(sent: float, done: float | None) -> Record:
        return failure(0, sent, "http", done=done)

    back = check("littles_law", [between(0.0, 3.0), between(5.0, 4.0)])
    assert back is not None
    assert (back.ok, back.observed, back.limit) == (False, pytest.approx(1 / 3), 0.02)
    assert "mean concurrency (0.60) and rate × latency (0.40) differ by 33.3%" in say(back.message)
    fine = check(
        "littles_law", [between(0.0, 3.0), between(1.0, 4.0), between(2.0, None), failure(9, None, "not_sent")]
    )
    assert fine is not None
    assert (fine.ok, fine.observed) == (True, pytest.approx(0)), "of those that were sent and ended"
    assert check("littles_law", [between(0.0, 3.0), between(2.0, None)]) is None
    at_once = [between(1.0, 1.0), between(1.0, 1.0)]
    assert check("littles_law", at_once) is None
    assert ok("littles_law", [*at_once, between(2.0, 2.0)]), "no time is no contradiction"
    never = check("littles_law", [between(1.0, 0.5), between(2.0, 1.5)])
    assert never is not None
    assert (never.ok, never.observed) == (False, pytest.approx(1)), "all of them end before they were sent"
    stopped = judged(scenario(), closed([0.1] * 20), complete=False)
    assert "littles_law" not in {c.id for c in stopped.checks}


def test_throttling_is_invalid_where_that_was_asked_for() -> None:
    """Every other sample was slowed by heat; without ``validity: {throttle: …}`` that taints alone."""
    hot = Track(name="throttle_reasons", device="1", every=0.1, times=tuple(i / 10 for i in range(20)),
                values=(0.0, 0x40) * 10)  # fmt: skip
    records = closed([0.1] * 20)

    def seen(limit: float | None, *tracks: Track) -> Check | None:
        asked = scenario(validity=ValiditySettings(throttle=limit))
        made = replace(sample(records, settings_of(asked)), tracks=tracks)
        return {c.id: c for c in checks(asked, [Measurement(scenario=asked)], [made])}.get("throttle")

    assert seen(None, hot) is None
    for limit, holds in ((0.6, True), (0.5, True), (0.05, False)):
        made = seen(limit, hot)
        assert made is not None
        assert (made.ok, made.observed, made.limit) == (holds, 0.5, limit)
        assert made.message.values == {"share": "50%", "device": "1"}
    unseen = seen(0.05)
    assert unseen is not None
    assert (unseen.ok, unseen.observed, unseen.limit) == (False, 1.0, 0.05)
    assert "no accelerator tells" in say(unseen.message)


def from_machines(n: int = 64, **changed: Any) -> LoadFacts:
    """``n`` machines of one process each, the third as told."""
    alone = facts()
    workers = tuple(replace(alone.workers[0], worker=i) for i in range(n))
    of_worker = {key: changed.pop(key) for key in ("sentinel_lags", "cpu_s") if key in changed}
    made = [MachineFacts(name=f"m{i}:7001", start_ms=0.2 * (i == 1), error_ms=0.1, steal=0.0) for i in range(n)]
    made[2] = replace(made[2], **changed)
    some = tuple(replace(w, **of_worker) if w.worker == 2 else w for w in workers)
    return replace(alone, workers=some, machines=tuple(made), steal=max(m.steal or 0.0 for m in made))


def test_each_machine_is_judged_alone_and_the_worst_is_named() -> None:
    """One of 64 has 1.6 % of all samples: among all of them half of its own are no more than a few."""
    records = opened([0.05] * 640)
    assert ok("skew", records, facts=[from_machines()], **RATED)
    spoilt: dict[str, dict[str, Any]] = {
        "skew": {"start_ms": 7.0},
        "worker": {"lost": Message(key="machines.lost", values={"machine": "m2:7001", "seconds": 31, "why": "silent"})},
        "sentinel_lag": {"sentinel_lags": (0.0001,) * 500 + (0.05,) * 500},
        "cpu": {"cpu_s": 9.9},
        "steal": {"steal": 0.2},
    }
    for id, changed in spoilt.items():
        found = check(id, records, facts=[from_machines(**changed)], **RATED)
        assert found is not None
        assert not found.ok, id
        assert "m2:7001" in say(found.message, "en"), id
        assert id != "worker" or (found.ok, found.observed, found.limit) == (False, 1.0, 0.0)
    lagging = [replace_sent(r, 0.05) if r.chain % 64 == 2 and r.index % 128 == 2 else r for r in records]
    found = check("send_lag", lagging, facts=[from_machines()], **RATED)
    assert found is not None
    assert not found.ok
    assert say(found.message, "en").startswith("m2:7001: the client sent late: 5 of 10")
    assert ok("send_lag", lagging, facts=[facts()], **RATED)


def replace_sent(record: Record, late: float) -> Record:
    return request(record.index, (record.due or 0.0) + late, due=record.due, ready=record.due)


def test_machines_that_saw_nothing_of_themselves() -> None:
    silent = from_machines(2 + 1)
    workers = tuple(replace(worker, sentinel_lags=()) for worker in silent.workers)
    assert check("sentinel_lag", opened([0.05] * 20), facts=[replace(silent, workers=workers)], **RATED) is None


@every(
    ("starts", "errors", "odd", "spread"),
    [
        # Of two it is the one that is farther from the start that both were told.
        ((7.0, 0.25), (0.125, 0.125), 0, 6.75), ((0.25, 7.0), (0.125, 0.125), 1, 6.75),
        ((-1.25, 1.5), (0.125, 0.125), 1, 2.75), ((-3.0, 1.5), (0.125, 0.125), 0, 4.5),
        # Of more the one that is farther from the others.
        ((5.0, 5.5, 0.0), (0.125,) * 3, 2, 5.5), ((5.0, 5.5, 5.25, 0.0), (0.125,) * 4, 3, 5.5),
        # What is not known of a clock is added.
        ((0.0, 2.0), (3.0, 0.5), 0, 2.0), ((0.0, 2.0, 0.0), (0.0, 0.5, 3.0), 2, 2.0), ((0.0, 0.0), (0.5, 5.25), 1, 0.0),
    ],
)  # fmt: skip
def test_the_machine_that_was_late_is_named(
    starts: tuple[float, ...], errors: tuple[float, ...], odd: int, spread: float
) -> None:
    pairs = enumerate(zip(starts, errors, strict=True))
    made = [MachineFacts(name=f"m{i}:7001", start_ms=start, error_ms=error) for i, (start, error) in pairs]
    gone = Message(key="machines.lost", values={"machine": "m9:7001", "seconds": 31, "why": "silent"})
    made.append(MachineFacts(name="m9:7001", start_ms=99.0, lost=gone))
    known = {"facts": [replace(facts(), machines=tuple(made))], **RATED}
    found = check("skew", opened([0.05] * 20), **known)
    assert found is not None
    ms = spread + max(errors)
    assert (found.ok, found.observed, found.limit) == (ms <= 5, ms / 1e3, 0.005)
    assert dict(found.message.values) == {
        "machine": f"m{odd}:7001", "n": len(starts), "limit_ms": "5",
        "spread": f"{spread:.2f}", "error": f"{max(errors):.2f}"}  # fmt: skip


def test_what_is_not_known_of_a_clock_counts_as_skew() -> None:
    records = opened([0.05] * 20)
    assert not ok("skew", records, facts=[from_machines(error_ms=4.9)], **RATED)
    assert ok("skew", records, facts=[from_machines(error_ms=4.9)], validity=ValiditySettings(skew=0.006), **RATED)
    assert check("skew", records, facts=[facts()], **RATED) is None
