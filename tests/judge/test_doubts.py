"""What is odd about answers is a finding, and keeps the rules that it undermines from PASS; ordinary traffic is not."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from every import every
from runs import closed, facts, in_mode, judged, request, scenario

from pytest_vllm_bench.judge.doubts import DOUBTS, among, is_doubted, once
from pytest_vllm_bench.model import Judgement, Message, Plan, Record, Verdict
from pytest_vllm_bench.text import say

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
Random = np.random.Generator
#: Tokens of an answer and seconds a token.
N, PACE = 32, 0.02


def came(
    index: int, gaps: Sequence[float], events: Sequence[int], tokens: Sequence[int] = (), ttft: float = 0.1
) -> Record:
    """An answer that arrived in reads of so many events, one after another in a closed loop of one."""
    many = list(tokens) or list(events)
    total = sum(many)
    made = request(index, index * 5.0, ttft, gaps, output_tokens=total, asked_output=total)
    made.arrival_events, made.arrival_tokens = array("i", events), array("i", many)
    return made


def keys(found: Judgement) -> list[str]:
    return [note.key.removeprefix("judge.doubt.") for note in found.notes]


def collected(index: int, random: Random) -> Record:
    """Every 320 ms 16 chunks, as four segments half a millisecond apart."""
    lump = [0.0005] * 3
    return came(index, [*lump, 0.3185, *lump], [4] * 8, ttft=0.32)


def by_the_clock(index: int, random: Random) -> Record:
    """Whatever was made in 160 ms, in one segment: the first and the last lump are parts of one."""
    first = int(random.integers(1, 9))
    sizes = [first, *[8] * 30]
    return came(index, [0.16 + float(random.uniform(0, 0.004))] * 30, sizes)


def one_by_one(index: int, random: Random) -> Record:
    """Lumps whose events are a read each."""
    gaps = [*[0.0003] * 9, 0.2] * 24 + [0.0003] * 9
    return came(index, gaps, [1] * (len(gaps) + 1))


def delayed(index: int, random: Random) -> Record:
    """Nagle's algorithm against delayed acknowledgements: 40 ms at a time."""
    return came(index, [0.04] * 7, [4] * 8, ttft=0.05)


def whole(index: int, random: Random) -> Record:
    return came(index, [], [N], ttft=N * PACE)


def nearly_whole(index: int, random: Random) -> Record:
    return came(index, [0.0005] * 3, [8] * 4, ttft=N * PACE)


def held_back(index: int, random: Random) -> Record:
    """A proxy passes on only once its first buffer is full."""
    return came(index, [0.0003, *[PACE] * 12], [12, 8, *[1] * 12], ttft=20 * PACE)


@every(
    ("make", "kind", "events", "undermined"),
    [
        (collected, "few_lumps", 16, {"itl", "itl_token", "tpot"}),
        (by_the_clock, "lumps", 8, {"itl", "itl_token"}),
        (one_by_one, "lumps", 10, {"itl", "itl_token"}),
        (delayed, "few_lumps", 4, {"itl", "itl_token", "tpot"}),
        (whole, "at_once", N, {"ttft"}),  # the others have no figure, which fails
        (nearly_whole, "at_once", N, {"itl", "itl_token", "tpot", "ttft"}),
        (held_back, "held", 20, {"ttft"}),
    ],
)
def test_answers_that_something_collects(
    make: Callable[[int, Random], Record], kind: str, events: int, undermined: set[str]
) -> None:
    random = np.random.default_rng(1)
    records = [make(i, random) for i in range(60)]
    ids = ("itl", "itl_token", "tpot", "ttft", "e2el")
    asked = scenario(*(f"p50_{id}_ms <= 9000" for id in ids), "request_throughput >= 0.0001")
    found = judged(asked, records)
    assert keys(found) == [kind]
    assert found.notes[0].values["events"] == pytest.approx(events, abs=1)
    verdicts = {v.rule.metric.split("_", 1)[1].removesuffix("_ms"): v.verdict for v in found.verdicts[: len(ids)]}
    assert {id for id, v in verdicts.items() if v is INCONCLUSIVE} == undermined
    assert verdicts["e2el"] is PASS
    assert found.verdict is (FAIL if make is whole else INCONCLUSIVE)
    exact = judged(in_mode(asked, "exact"), records).verdicts[3 if "itl" not in undermined else 0]
    assert exact.verdict is INCONCLUSIVE, "the figure is not what its name says"
    for language in ("en", "zh"):
        assert say(found.notes[0], language) in say(exact.reason, language)
    assert judged(scenario("p50_e2el_ms <= 1"), records).verdicts[0].verdict is FAIL, "what failed has failed"


def paced(index: int, random: Random) -> Record:
    return came(index, [PACE] * (N - 1), [1] * N)


def jittery(index: int, random: Random) -> Record:
    return came(index, list(random.exponential(PACE, N - 1)), [1] * N)


def speculative(index: int, random: Random) -> Record:
    """One event brings what was accepted."""
    sizes = [int(x) for x in random.integers(1, 7, 12)]
    return came(index, list(random.normal(0.03, 0.002, 11)), [1] * 12, sizes)


def drafts_one_by_one(index: int, random: Random) -> Record:
    """Accepted draft tokens as events of their own, in one write."""
    sizes = [int(x) for x in random.integers(1, 6, 12)]
    return came(index, list(random.normal(0.03, 0.002, 11)), sizes)


def long_drafts(index: int, random: Random) -> Record:
    """Up to 16 at a time, most of them accepted."""
    sizes = [int(x) for x in np.minimum(16, random.geometric(0.15, 40))]
    return came(index, list(random.normal(0.05, 0.004, 39)), sizes)


def drafts_that_are_all_accepted(index: int, random: Random) -> Record:
    """The server says itself that it drafts (llama.cpp's timings)."""
    made = came(index, [0.05] * 30, [5] * 31)
    made.server = {"predicted_n": 155, "draft_n": 124}
    return made


def many_steps(index: int, random: Random) -> Record:
    """stream_interval: 16 tokens an event."""
    return came(index, [16 * PACE] * 3, [1] * 4, [16] * 4)


def stalled(index: int, random: Random) -> Record:
    """Three long pauses at others' prefills among quick tokens."""
    gaps = list(random.normal(0.004, 0.0004, 60))
    for place in random.choice(60, 3, replace=False):
        gaps[place] = 1.0
    return came(index, gaps, [1] * 61)


def chunked_prefill(index: int, random: Random) -> Record:
    """Every few tokens of a fast model wait for a chunk of somebody's prompt."""
    return came(index, [0.05 if random.random() < 0.1 else 0.002 for _ in range(99)], [1] * 100)


def flood(index: int, random: Random) -> Record:
    """A server that needs next to nothing a token: reads bring what is there."""
    return came(index, [0.0006] * 9, [10] * 10, ttft=0.02)


def quick_start(index: int, random: Random) -> Record:
    """A first draft of eight, sooner than a buffer that waited for them."""
    return came(index, [PACE] * 20, [8, *[1] * 20], ttft=0.05)


def short_after_a_long_prompt(index: int, random: Random) -> Record:
    return came(index, [0.01] * 7, [1] * 8, ttft=20.0)


def two_tokens(index: int, random: Random) -> Record:
    return came(index, [0.0001], [1, 1], ttft=1.0)


@every(
    "make",
    [paced, jittery, speculative, drafts_one_by_one, long_drafts, drafts_that_are_all_accepted, many_steps, stalled,
     chunked_prefill, flood, quick_start, short_after_a_long_prompt, two_tokens],
)  # fmt: skip
def test_ordinary_traffic_is_not_odd(make: Callable[[int, Random], Record]) -> None:
    random = np.random.default_rng(2)
    assert keys(judged(scenario("p50_itl_ms <= 9000"), [make(i, random) for i in range(60)])) == []


@every(
    ("odd", "of", "found"),
    [(20, 60, False), (29, 60, False), (30, 60, True), (2, 4, True), (1, 2, False), (1, 1, False)],
)
def test_a_few_lumps_among_many_answers_are_an_accident(odd: int, of: int, found: bool) -> None:
    random = np.random.default_rng(3)
    for make, kind in ((collected, "few_lumps"), (held_back, "held")):
        mixed = [make(i, random) if i < odd else paced(i, random) for i in range(of)]
        notes = judged(scenario(), mixed).notes
        assert [note.key for note in notes] == [f"judge.doubt.{kind}"] * found
        assert not found or (notes[0].values["n"], notes[0].values["m"]) == (odd, of)


def test_ten_lumps_an_answer_hide_a_tenth_of_the_pace_at_most() -> None:
    for lumps, kind in ((9, "few_lumps"), (10, "lumps"), (11, "lumps")):
        assert keys(judged(scenario(), [came(i, [0.2] * (lumps - 1), [4] * lumps) for i in range(4)])) == [kind]


def test_what_a_late_client_reads_together_need_not_have_been_sent_together() -> None:
    random = np.random.default_rng(4)
    for make in (collected, held_back):
        records = [make(i, random) for i in range(60)]
        assert keys(judged(scenario(), records, facts=[facts(sentinel_lags=[0.3] * 1000)])) == []


# ------------------------------------------------------------------------------------------------ lengths


def of_length(got: int, asked: int = 32, **changed: Any) -> list[Record]:
    made = closed([0.1] * 60, gaps=(0.01,) * (got - 1))
    for record in made:
        record.asked_output = asked
        for name, value in changed.items():
            setattr(record, name, value)
    return made


def plan(field: str = "max_completion_tokens") -> Plan:
    return Plan(scenario_id="s", folder=Path(), n=60, path="/", output_field=field)


@every(
    ("got", "changed"),
    [
        (16, {}),
        (40, {}),
        (600, {"finish_reason": "stop"}),
        (16, {"error": "short"}),
        (16, {"finish_reason": "max_tokens"}),
        (16, {"token_source": "tokenizer"}),
    ],
)
def test_another_length_than_was_asked(got: int, changed: dict[str, Any]) -> None:
    asked = scenario("p50_e2el_ms <= 99000", "output_throughput >= 0.001", "failed_ratio <= 1")
    found = judged(asked, of_length(got, **changed), plan=plan())
    (note,) = [n for n in found.notes if n.key == "judge.doubt.length"]
    said = say(note, "en")
    assert "60 of 60" in said
    assert "max_completion_tokens" in said
    assert f"32 tokens were asked for, {got} came" in said
    assert PASS not in [v.verdict for v in found.verdicts[:2]]
    assert found.verdicts[2].verdict is PASS, "that none failed is as true as it was"


@pytest.mark.parametrize(
    ("got", "changed"),
    [
        (32, {}),
        (33, {}),  # the end's own token
        (16, {"finish_reason": "stop"}),  # it ended by itself
        (36, {"token_source": "tokenizer"}),  # a tokenizer of our own is not the server's
        (16, {"token_source": "events"}),  # an event may hold two
    ],
)
def test_a_length_that_is_as_asked(got: int, changed: dict[str, Any]) -> None:
    assert "length" not in keys(judged(scenario(), of_length(got, **changed), plan=plan()))


def test_one_odd_answer_of_hundreds_is_no_finding() -> None:
    records = of_length(32) + [replace_index(r, 60 + i) for i, r in enumerate(of_length(32)[:40])]
    records[7].output_tokens = 600
    assert keys(judged(scenario(), records)) == []
    records[90].output_tokens, records[90].asked_output = 40, 16
    note = judged(scenario(), records).notes[0]
    said = {"n": 2, "m": 100, "got": "40–600", "asked": "16–32", "field": "–"}
    assert (note.key, dict(note.values)) == ("judge.doubt.length", said)


def replace_index(record: Record, index: int) -> Record:
    record.index = record.chain = index
    return record


# ------------------------------------------------------------------------------------------------- counts


def test_two_counts_that_do_not_agree() -> None:
    rules = scenario("p50_tpot_ms <= 9000", "p50_ttft_ms <= 9000")
    fewer = judged(rules, of_length(32, output_tokens=10, asked_output=10))
    more = judged(rules, of_length(32, output_tokens=64, asked_output=64, arrival_tokens=array("i", [1] * 32)))
    for found in (fewer, more):
        assert keys(found) == ["miscounted"]
        assert [v.verdict for v in found.verdicts[:2]] == [INCONCLUSIVE, PASS]
    thought = of_length(32, output_tokens=64, asked_output=64, reasoning_tokens=32, token_source="usage")
    assert keys(judged(rules, thought)) == [], "what was thought in silence was made too"
    assert keys(judged(rules, of_length(32, output_tokens=33, asked_output=33))) == []


#: Of an answer that ended before any text.
NO_TOKEN: dict[str, Any] = {
    "first_token": None, "arrival_times": array("d"), "arrival_events": array("i"), "arrival_tokens": array("i"),
}  # fmt: skip


def test_an_answer_without_a_token_that_is_counted_all_the_same() -> None:
    silent = of_length(32, **NO_TOKEN)
    found = judged(scenario("output_throughput >= 0.001"), silent)
    assert keys(found) == ["silent"]
    assert found.verdicts[0].verdict is INCONCLUSIVE
    unstreamed = [replace_chunk(r) for r in silent]
    assert keys(judged(scenario(), unstreamed)) == ["unstreamed"], "an answer in one piece has no stream"
    asked = replace(scenario(), extra_body={"stream": False})
    assert keys(judged(asked, unstreamed)) == [], "as was asked"
    gateway = Plan(scenario_id="s", folder=Path(), n=60, path="/mii/m", streamed=False)
    assert keys(judged(scenario(), unstreamed, plan=gateway)) == [], "a backend without streams"


@pytest.mark.parametrize(
    ("tokens", "reason", "doubts"),
    [(1, "stop", []), (2, "eos_token", []), (8, "stop", ["silent"]), (1, "length", ["silent"]), (1, None, ["silent"])],
)
def test_a_model_may_end_its_answer_before_any_text(tokens: int, reason: str | None, doubts: list[str]) -> None:
    ended = of_length(32, asked=tokens, output_tokens=tokens, finish_reason=reason, **NO_TOKEN)
    assert keys(judged(scenario(), ended)) == doubts


def replace_chunk(record: Record) -> Record:
    record.first_chunk = None
    return record


def test_answers_that_a_cache_gave() -> None:
    found = judged(scenario("p50_ttft_ms <= 9000", "failed_ratio <= 1"), of_length(32, from_cache=True))
    assert keys(found) == ["canned"]
    assert [v.verdict for v in found.verdicts[:2]] == [INCONCLUSIVE, PASS]


def test_a_server_that_counts_nothing_is_said() -> None:
    found = judged(scenario("p50_ttft_ms <= 9000"), of_length(32, token_source="tokenizer"))
    assert keys(found) == ["uncounted"]
    assert found.verdict is PASS, "its figures are counted, only not by the server"


@every(
    ("tokenizer", "events", "how"),
    [(1, 0, None), (0, 1, None), (2, 0, "tokenizer"), (0, 2, "events"), (3, 2, "tokenizer"), (2, 3, "events")],
)
def test_what_the_server_did_not_count_was_counted_by(tokenizer: int, events: int, how: str | None) -> None:
    """One in a hundred is no finding."""
    sources = ["usage"] * (100 - tokenizer - events) + ["tokenizer"] * tokenizer + ["events"] * events
    records = [request(i, i * 0.2, token_source=source) for i, source in enumerate(sources)]
    values = {"n": tokenizer + events, "m": 100, "how": Message(key=f"judge.counted_by.{how}")}
    expected = [Message(key="judge.doubt.uncounted", values=values)] * (how is not None)
    assert list(judged(scenario(), records[:50], records[50:]).notes) == expected, "of all repeats"


# ------------------------------------------------------------------------------------------ interruptions


def test_an_interrupted_run_proves_no_rule() -> None:
    asked = scenario("p50_ttft_ms <= 500", "p50_e2el_ms <= 1")
    found = judged(asked, closed([0.1 + 0.001 * (i % 7) for i in range(200)]), complete=False)
    assert [v.verdict for v in found.verdicts] == [INCONCLUSIVE, FAIL, PASS]
    assert not any(v.proven for v in found.verdicts if v.verdict is not FAIL)
    for language, word in (("en", "proven at"), ("zh", "证实达标")):
        said = [say(v.reason, language) for v in found.verdicts if v.verdict is not FAIL]
        assert not any(word in line for line in said)
    assert found.verdict is FAIL


def test_doubts_that_others_found_count_too() -> None:
    noted = [Message(key="judge.doubt.lumps"), Message(key="plugin.warmup"), Message(key="judge.interrupted")]
    assert among(noted) == noted[:1], "what is true of a run is found anew"
    given = Message(key="judge.doubt.miscounted", values={"n": 1, "m": 1, "got": "1"})
    found = judged(scenario("p50_tpot_ms <= 9000"), of_length(32), doubts=[given])
    assert found.notes == (given,)
    assert found.verdicts[0].verdict is INCONCLUSIVE


@every(
    ("text", "goodput", "reads"),
    [
        ("p50_ttft_ms <= 9000", {}, True),
        ("p50_response_ttft_ms <= 9000", {}, True),
        ("p50_e2el_ms <= 9000", {"ttft": 9000}, False),
        ("goodput_ratio >= 0.1", {"ttft": 9000}, True),
        ("goodput_ratio >= 0.1", {"e2el": 9000}, False),
        ("slo_attainment.ttft >= 0.1", {"ttft": 9000, "e2el": 9000}, True),
        ("slo_attainment.e2el >= 0.1", {"ttft": 9000, "e2el": 9000}, False),
    ],
)
def test_a_doubt_undermines_what_reads_the_figure(text: str, goodput: dict[str, float], reads: bool) -> None:
    """Goodput reads what its limits are of, an attainment that of its own, and a response's time includes the wait."""
    records = [came(i, [0.01] * 31, [1] * N) for i in range(60)]
    for record in records:
        record.due = record.sent
    asked = scenario(text, goodput=goodput, concurrency=None, request_rate=0.2)
    sure = judged(asked, records).verdicts[0]
    found = judged(asked, records, doubts=[Message(key="judge.doubt.held")]).verdicts[0]
    assert (sure.verdict, sure.proven, found.verdict, found.proven) == (
        PASS, True, INCONCLUSIVE if reads else PASS, not reads)  # fmt: skip
    assert is_doubted(found) is reads
    assert not is_doubted(sure)


def test_what_is_doubted_says_which_side_it_is_on_and_asks_for_no_more() -> None:
    """More of the same would not change it."""
    records = closed([0.2 if i * 37 % 61 < 20 else 0.1 for i in range(61)])
    for text, word, more in (("p70_ttft_ms <= 250", "within", False), ("p99_ttft_ms <= 250", "within", True),
                             ("p70_ttft_ms <= 130", "over", False)):  # fmt: skip
        asked = scenario(text)
        sure = judged(asked, records).verdicts[0]
        found = judged(asked, records, doubts=[Message(key="judge.doubt.held")]).verdicts[0]
        assert (found.verdict, found.within, found.reason.key) == (
            INCONCLUSIVE,
            word == "within",
            f"judge.unproven_{word}",
        )
        assert found.reason.values == {**sure.reason.values, "why": Message(key="judge.doubt.held")}
        assert (found.proven, found.more) == (False, None)
        assert (sure.more is not None) is more


def test_each_kind_is_told_once_as_it_was_found_first() -> None:
    kinds = [Message(key=f"judge.doubt.{kind}", values={"n": n}) for n, kind in enumerate(("held", "lumps", "held"))]
    assert once(kinds[:2], kinds[2:]) == kinds[:2]


def test_every_doubt_has_words() -> None:
    for key in DOUBTS:
        values = dict.fromkeys(("n", "m", "got", "asked", "field", "events", "how", "again", "share"), "x")
        assert say(key, "en", **values) != say(key, "zh", **values)
