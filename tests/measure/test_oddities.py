"""What is unlike what was asked, at the edges of what counts as such."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from every import every
from runs import failure, request

from pytest_vllm_bench.measure.oddities import held, lumps, miscounted, oddities
from pytest_vllm_bench.model import Record


def odd(record: Record) -> dict[str, float]:
    """What is odd about one answer; 0 is a look without a finding."""
    return {name: float(found[0]) for name, found in oddities([record]).items() if np.isfinite(found[0])}


def came(gaps: Sequence[float], events: Sequence[int], ttft: float = 0.1, **changed: Any) -> Record:
    made = request(0, 3.0, ttft, gaps, output_tokens=sum(events), asked_output=sum(events))
    made.arrival_events = made.arrival_tokens = array("i", events)
    for name, value in changed.items():
        setattr(made, name, value)
    return made


# ------------------------------------------------------------------------------------------------ lengths


def counted(got: int | None, asked: int | None, **changed: Any) -> list[str]:
    values: dict[str, Any] = {"output_tokens": got, "asked_output": asked, **changed}
    found = odd(request(0, 0.0, gaps=[0.01], **values))
    return [name for name in ("short", "long", "canned", "silent", "unstreamed") if name in found]


@every(
    ("got", "asked", "changed", "found"),
    [
        # By the server's count one token may be its end's own, or one in a hundred.
        (101, 100, {}, []), (102, 100, {}, ["long"]), (99, 100, {}, []), (98, 100, {}, ["short"]),
        (404, 400, {}, []), (405, 400, {}, ["long"]), (396, 400, {}, []), (395, 400, {}, ["short"]),
        (405, 400, {"token_source": "counter"}, ["long"]), (405, 400, {"token_source": "ids"}, ["long"]),
        # By a count of our own one in five, and an event may hold any number.
        (480, 400, {"token_source": "tokenizer"}, []), (481, 400, {"token_source": "tokenizer"}, ["long"]),
        (320, 400, {"token_source": "tokenizer"}, []), (319, 400, {"token_source": "tokenizer"}, ["short"]),
        (319, 400, {"token_source": "events"}, []), (481, 400, {"token_source": "events"}, ["long"]),
        # It ended by a limit that was not ours, not by itself; unless we know that it was cut off.
        (16, 32, {"finish_reason": "stop"}, []), (16, 32, {"finish_reason": None}, []),
        (16, 32, {"finish_reason": "max_tokens"}, ["short"]), (16, 32, {"finish_reason": "limit"}, ["short"]),
        (31, 32, {"finish_reason": "stop", "error": "short"}, ["short"]),
        # A number is needed on both sides, and an answer.
        (None, 32, {}, []), (16, None, {}, []), (16, 32, {"error": "timeout"}, []),
        (32, 32, {"from_cache": True}, ["canned"]), (16, 32, {"from_cache": True}, ["short", "canned"]),
    ],
)  # fmt: skip
def test_another_length_than_was_asked_for(
    got: int | None, asked: int | None, changed: dict[str, Any], found: list[str]
) -> None:
    assert counted(got, asked, **changed) == found


@every(
    ("got", "changed", "found"),
    [
        (9, {}, ["silent"]), (9, {"first_chunk": None}, ["unstreamed"]), (0, {}, []),
        # One that we counted ourselves was there to be counted; of a piece without a stream it can be.
        (9, {"token_source": "tokenizer"}, []), (9, {"token_source": "tokenizer", "first_chunk": None}, ["unstreamed"]),
        # A model may end before any text: in four tokens, by itself.
        (4, {"finish_reason": "stop"}, []), (5, {"finish_reason": "stop"}, ["silent"]),
        (4, {"finish_reason": "length"}, ["silent"]), (4, {"finish_reason": None}, ["silent"]),
        (9, {"error": "timeout"}, []),
    ],
)  # fmt: skip
def test_an_answer_that_brought_nothing(got: int, changed: dict[str, Any], found: list[str]) -> None:
    nothing = {"arrival_times": array("d"), "arrival_events": array("i"), "arrival_tokens": array("i")}
    assert counted(got, got, **nothing, **changed) == found


def test_the_count_is_told_of_each_kind() -> None:
    assert odd(request(0, 0.0, gaps=[0.01], output_tokens=50, asked_output=40, from_cache=True)) == {
        "long": 50, "canned": 50, "events": 2, "miscounted": 2}  # fmt: skip
    assert odd(failure(0, 0.0)) == odd(request(0, 0.0, gaps=[], error="http", output_tokens=9)) == {}


@every(
    ("got", "wire", "changed", "agrees"),
    [
        # Two tokens may be missing or too many, or one in twenty.
        (30, 28, {}, True), (30, 27, {}, False), (30, 32, {}, True), (30, 33, {}, False),
        (200, 190, {}, True), (200, 189, {}, False), (200, 210, {}, True), (200, 211, {}, False),
        (200, 150, {"reasoning_tokens": 40}, True), (200, 149, {"reasoning_tokens": 40}, False),
        (200, 20, {"token_source": "tokenizer"}, True), (200, 20, {"token_source": "events"}, True),
        (200, 200, {"disputed": 150}, False), (200, 20, {"disputed": 200}, True),
    ],
)  # fmt: skip
def test_the_servers_count_against_the_wires(got: int, wire: int, changed: dict[str, Any], agrees: bool) -> None:
    record = came([0.01], [1, 1], output_tokens=got, arrival_tokens=array("i", [1, wire - 1]), **changed)
    assert miscounted(record, 2) == (None if agrees else changed.get("disputed", wire))
    bare = came([0.01], [1, 1], output_tokens=got, arrival_tokens=array("i", [0, 0]), **changed)
    assert miscounted(bare, wire) == miscounted(record, 2), "where events hold no count each is a token at least"
    record.output_tokens = None
    assert miscounted(record, 2) is None


def test_some_hundreds_of_answers_are_looked_at_all_over_the_run() -> None:
    for n, looked_at in ((1, 1), (400, 400), (799, 799), (800, 400), (1100, 550), (1300, 434)):
        records = [request(i, 0.0, gaps=[0.01]) for i in range(n)]
        assert int(np.isfinite(oddities(records)["events"]).sum()) == looked_at
    mixed = [failure(0, 0.0), request(1, 0.0), request(2, 0.0, gaps=[], error="short"), request(3, 0.0, error="http")]
    assert oddities(mixed)["events"].tolist() == pytest.approx([np.nan, 10, 1, np.nan], nan_ok=True)


# -------------------------------------------------------------------------------------------------- lumps


def test_fewer_than_five_events_say_nothing_about_how_they_come() -> None:
    for n in (4, 5, 6):
        found = odd(came([0.0001], [1, n - 1], ttft=0.1))
        assert found.get("lump") == (n if n >= 5 else None)
        assert found.get("held") == (0 if n >= 5 else None)
        assert found.get("lumps") == (1 if n >= 5 else None)


@every(
    ("gaps", "events", "ttft", "found"),
    [
        # All at once, after a wait in which it could have been made: 1 ms an event, 20 ms at least, 20 times its span.
        ([], [30], 0.031, (30, 1)), ([], [30], 0.029, None), ([], [8], 0.021, (8, 1)), ([], [8], 0.019, None),
        ([0.002], [4, 4], 0.041, (8, 1)), ([0.002], [4, 4], 0.039, None),
        ([0.0034], [4, 4], 1.0, (8, 1)), ([0.0036], [4, 4], 1.0, None),  # half a millisecond a gap
        # Lumps of like size and time: 20 ms apart, and four events in each.
        ([0.0205] * 9, [4] * 10, 0.1, (4, 10)), ([0.0195] * 9, [4] * 10, 0.1, None),
        ([0.05] * 9, [4] * 10, 0.1, (4, 10)), ([0.05] * 9, [4] * 9 + [3], 0.1, None),
        # Within them up to 2 ms an event, and a tenth of the whole time.
        ([*[0.0009] * 3, 0.2] * 9 + [0.0009] * 3, [1] * 40, 0.1, (4, 10)),
        ([*[0.0099] * 3, 0.2] * 9 + [0.0099] * 3, [1] * 40, 0.1, None),
        ([*[0.0019] * 3, 0.06] * 9 + [0.0019] * 3, [1] * 40, 0.1, (4, 10)),
        ([*[0.0024] * 3, 0.06] * 9 + [0.0024] * 3, [1] * 40, 0.1, None),
        ([*[0.0021] * 3, 0.6] * 9 + [0.0021] * 3, [1] * 40, 0.1, None),
        # One gap more than three times as long as usual is a stall.
        ([0.05] * 8 + [0.17], [4] * 10, 0.1, (4, 10)), ([0.05] * 8 + [0.25], [4] * 10, 0.1, None),
        # A quick server, 1 ms an event: what is there is read.
        ([0.0201] * 2, [14, 13, 13], 0.01, (534 / 40, 3)), ([0.0385], [20, 20], 0.01, None),
        ([*[0.0017] * 3, 0.04] * 9 + [0.0017] * 3, [1] * 40, 0.1, None),
        ([0.0401] * 9, [36] + [40] * 9, 0.01, None), ([0.0501] * 9, [40] * 10, 0.01, (40, 10)),
    ],
)  # fmt: skip
def test_what_is_a_lump(gaps: list[float], events: list[int], ttft: float, found: tuple[float, int] | None) -> None:
    assert lumps(came(gaps, events, ttft)) == (None if found is None else pytest.approx(found))


def test_lumps_of_many_sizes_are_drafts() -> None:
    """A tenth of those within an answer may be less than half as large; the first and the last may be parts."""
    apart = [0.05] * 11
    assert lumps(came(apart, [8] * 12)) == (8, 12)
    assert lumps(came(apart, [1, *[8] * 10, 1])) == pytest.approx((642 / 82, 12)), "as most events see it"
    assert lumps(came(apart, [8, *[8] * 9, 3, 8])) == pytest.approx((713 / 91, 12))
    assert lumps(came(apart, [8, *[8] * 8, 3, 3, 8])) is None
    assert lumps(came(apart, [8, 3, 3, *[8] * 8, 8])) is None
    assert lumps(came(apart, [12, *[8] * 8, 4, 4, 4])) == (8, 12), "half is not less than half"
    assert lumps(came(apart, [8] * 12, server={"draft_n": 12})) is None, "by its own word"
    assert lumps(came(apart, [8] * 12, server={"draft_n": 0})) == lumps(came(apart, [8] * 12, server=None))
    parts = came([*[0.0005] * 3, 0.2] * 4 + [0.0005] * 3, [3, 3, 3, 3] * 5)
    assert lumps(parts) == (12, 5), "a lump may be several reads"


@every(
    ("gaps", "events", "ttft", "found"),
    [
        # Half the time that they took to make at the pace of the others.
        ([0.02] * 4, [8, 1, 1, 1, 1], 0.081, 8), ([0.02] * 4, [8, 1, 1, 1, 1], 0.079, 0),
        ([*[0.0009] * 7, *[0.02] * 4], [1] * 12, 0.081, 8), ([*[0.0009] * 7, *[0.02] * 4], [1] * 12, 0.079, 0),
        ([0.0015] * 4, [8, 2, 2, 2, 2], 0.0041, 8), ([0.0015] * 4, [8, 2, 2, 2, 2], 0.0039, 0),
        # Together is within a millisecond of one another.
        ([*[0.0011] * 7, *[0.02] * 4], [1] * 12, 1.0, 0), ([0.0011, *[0.02] * 4], [4, 4, 1, 1, 1, 1], 1.0, 0),
        ([0.0009, *[0.02] * 4], [4, 4, 1, 1, 1, 1], 1.0, 8), ([0.0009] * 11, [1] * 12, 1.0, 0),
        # Eight of them, three times as many as come later, and four later reads.
        ([0.02] * 4, [7, 1, 1, 1, 1], 1.0, 0), ([0.02] * 3, [8, 1, 1, 1], 1.0, 0),
        ([0.02] * 4, [9, 3, 3, 3, 3], 1.0, 9), ([0.02] * 4, [8, 3, 3, 3, 3], 1.0, 0),
        ([0.02] * 5, [8, 4, 2, 2, 2, 2], 1.0, 8),
    ],
)  # fmt: skip
def test_what_is_held_back(gaps: list[float], events: list[int], ttft: float, found: int) -> None:
    record = came(gaps, events, ttft)
    assert held(record) == found
    assert odd(record)["held"] == (0 if lumps(record) else found)


def test_when_a_request_was_sent_may_not_be_known() -> None:
    whole, begun = came([], [30], 3.0), came([0.02] * 4, [8, 1, 1, 1, 1], 3.0)
    assert lumps(whole)
    assert held(begun)
    whole.sent = begun.sent = None
    assert (lumps(whole), held(begun)) == (None, 0)
