"""Load shapes in virtual time: which request goes when, exactly and at once."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual import START, World, index, peak

from pytest_vllm_bench.load.dispatch import Dispatch, Outside, chains, is_closed, share


def test_closed_loop_refills_a_slot_the_moment_it_is_free() -> None:
    world = World(service=lambda row: 1.0 + row.number % 2).run(index([0.0] * 6), cap=2)
    assert world.offsets == [0, 0, 1, 2, 2, 3]
    assert [one.ready for one in world.went] == [one.at for one in world.went]
    assert [math.isnan(one.due) for one in world.went] == [False, False, True, True, True, True]


def test_open_loop_sends_when_due_whatever_the_server_does() -> None:
    dues = [0.1, 0.1, 0.35, 2.0, 9.0]
    world = World(service=lambda row: 100.0).run(index(dues), cap=None)
    assert world.offsets == dues
    assert [one.due - START for one in world.went] == pytest.approx(dues)
    assert [one.ready for one in world.went] == [one.due for one in world.went]


def test_a_cap_that_binds_makes_requests_late_and_says_since_when_they_could_have_gone() -> None:
    world = World(service=lambda row: 1.0).run(index([0.0, 0.2, 0.4, 5.0]), cap=1)
    assert world.offsets == [0, 1, 2, 5]
    assert [one.ready - START for one in world.went] == [0, 1, 2, 5]
    assert [round(one.due - START, 9) for one in world.went] == [0, 0.2, 0.4, 5]


def test_ready_is_when_the_slot_came_free_even_if_we_are_late() -> None:
    """A loop that was busy: the request goes late, and ``ready`` does not move with it."""
    world = World(service=lambda row: 1.0)
    world.later(START + 0.5, lambda: setattr(world, "now", START + 3.0))
    world.run(index([0.0, 0.7]), cap=None)
    assert world.offsets == [0, 3]
    assert world.went[1].ready == START + 0.7


def test_turns_follow_their_answer_after_the_think_time() -> None:
    world = World(service=lambda row: 1.0).run(index([0.0, 0.0], [(2, 0.5), (0, 0.0)]), cap=None)
    assert {one.row.number: one.at - START for one in world.went} == {0: 0, 3: 0, 1: 1.5, 2: 3.0}
    assert [math.isnan(one.due) for one in sorted(world.went, key=lambda w: w.row.number)] == [False, True, True, False]
    assert world.went[-1].ready == START + 3.0


def test_a_turn_that_waits_for_a_slot_goes_before_what_is_due_later() -> None:
    world = World(service=lambda row: 1.0).run(index([0.0, 0.0, 0.0], [(1, 0.0)] * 3), cap=1)
    assert [(one.row.chain, one.row.turn) for one in world.went] == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]


def test_a_conversation_ends_with_an_answer_that_failed() -> None:
    world = World(answered=lambda row: row.number != 1).run(index([0.0], [(3, 0.1)]), cap=1)
    assert [one.row.number for one in world.went] == [0, 1]
    assert world.skipped == [2, 3]


def test_the_cap_follows_its_steps() -> None:
    steps = [(0.0, 1), (10.0, 3), (20.0, 2)]
    world = World(service=lambda row: 1.0).run(index([0.0] * 75), cap=1, steps=steps)
    per_second = Counter(int(at) for at in world.offsets)
    assert [per_second[second] for second in (0, 9, 10, 19, 20, 21, 30)] == [1, 1, 3, 3, 2, 2, 2]
    assert peak(world.went) == 3


def test_nothing_is_sent_after_the_duration() -> None:
    closed = World().run(index([0.0] * 100), cap=2, duration=3.5)
    assert closed.offsets == [0, 0, 1, 1, 2, 2, 3, 3]
    assert closed.skipped == []
    opened = World(service=lambda row: 10.0).run(index([0.0, 1.0, 2.0, 3.0, 4.0]), cap=2, duration=3.5)
    assert opened.offsets == [0, 1]
    assert opened.skipped == [2, 3]
    uncapped = World(service=lambda row: 1.0).run(index([0.0, 1.0, 60.0]), cap=None, duration=30.0)
    assert uncapped.offsets == [0, 1]
    assert uncapped.now < START + 60


@pytest.mark.parametrize(("cap", "offsets"), [(None, [0, 3, 3, 3]), (4, [0, 3, 3, 3]), (2, [0, 3])])
def test_what_could_have_gone_in_time_goes_though_the_loop_was_busy(cap: int | None, offsets: list[float]) -> None:
    """At the very end of the duration; only what a slot was missing for is the server's miss."""
    world = World(service=lambda row: 9.0)
    world.later(START + 0.5, lambda: setattr(world, "now", START + 3.0))
    world.run(index([0.0, 0.7, 0.8, 0.9, 1.1]), cap=cap, duration=1.0)
    assert world.offsets == offsets
    assert world.skipped == [*range(len(offsets), 4)]


def test_conversations_go_on_until_the_time_is_up() -> None:
    world = World(service=lambda row: 1.0).run(index([0.0], [(9, 0.5)]), cap=1, duration=5.0)
    assert world.offsets == [0, 1.5, 3, 4.5]
    assert world.now == START + 5.5


def test_without_a_slot_the_time_runs_out_all_the_same() -> None:
    world = World(service=lambda row: 1.0).run(index([0.0] * 9), cap=1, steps=[(0.0, 1), (2.5, 0)], duration=6.0)
    assert world.offsets == [0, 1, 2]
    assert world.now == START + 6.0


def test_stop_sends_nothing_more() -> None:
    world = World(service=lambda row: 2.0).run(index([0.0] * 100, [(1, 0.0)] * 100), cap=2, stop_at=START + 3.0)
    assert world.offsets == [0, 0, 2, 2]
    assert world.now == START + 4.0


def test_connections_are_asked_for_before_they_are_needed() -> None:
    dues = [5.0 + i / 100 for i in range(50)]
    world = World(service=lambda row: 100.0).run(index(dues), cap=None, lead=0.25)
    for due in dues:
        assert any(n > 0 and due - 0.26 <= at - START <= due for at, n in world.expected)
    assert max(n for _, n in world.expected) <= 27
    assert all(n == 0 for at, n in world.expected if at - START < 4.7)


def test_connections_are_asked_for_before_the_cap_rises() -> None:
    steps = [(0.0, 2), (10.0, 8)]
    world = World(service=lambda row: 1.0).run(index([0.0] * 100), cap=2, steps=steps, lead=0.25)
    assert max(n for at, n in world.expected if at - START < 9.75) <= 2
    assert max(n for at, n in world.expected if 9.7 < at - START < 10) == 6


offsets = st.lists(st.floats(0.001, 20, allow_nan=False), min_size=1, max_size=40).map(sorted)


@settings(max_examples=60, deadline=None)
@given(offsets, st.integers(1, 5), st.lists(st.floats(0.01, 5), min_size=40, max_size=40))
def test_in_an_open_loop_shards_merge_to_the_whole(dues: list[float], of: int, service: list[float]) -> None:
    plan = index(dues)

    def times(world: World) -> dict[int, tuple[float, float, float]]:
        return {one.row.number: (one.at, one.ready, one.due) for one in world.went}

    whole = World(service=lambda row: service[row.number]).run(plan, cap=None)
    merged: dict[int, tuple[float, float, float]] = {}
    for i in range(of):
        merged |= times(World(service=lambda row: service[row.number]).run(plan, cap=None, shard=(i, of)))
    assert merged == times(whole)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 4), st.data())
def test_in_a_closed_loop_shards_send_the_same_requests_at_the_same_concurrency(
    n: int, cap: int, of: int, data: st.DataObject
) -> None:
    of = min(of, cap, n)
    plan = index([0.0] * n)
    service = data.draw(st.lists(st.floats(0.1, 3), min_size=n, max_size=n))
    worlds = [World(service=lambda row: service[row.number]).run(plan, cap=cap, shard=(i, of)) for i in range(of)]
    went = [one for world in worlds for one in world.went]
    assert sorted(one.row.number for one in went) == list(range(n))
    assert peak(went) <= cap
    assert sum(share(cap, i, of) or 0 for i in range(of)) == cap


@settings(max_examples=100, deadline=None)
@given(offsets, st.integers(1, 6), st.data())
def test_a_cap_is_never_exceeded_and_never_wasted(dues: list[float], cap: int, data: st.DataObject) -> None:
    service = data.draw(st.lists(st.floats(0.01, 5), min_size=len(dues), max_size=len(dues)))
    world = World(service=lambda row: service[row.number]).run(index(dues), cap=cap)
    assert [one.row.number for one in world.went] == list(range(len(dues)))
    assert peak(world.went) <= cap
    for one in world.went:  # in virtual time nobody is late
        assert one.at == one.ready
        assert one.ready >= one.due
        others = sum(other.at < one.at and other.end > one.due for other in world.went)
        assert one.ready == one.due or others >= cap


def test_what_kind_of_loop() -> None:
    assert is_closed(index([0.0, 0.0], [(1, 1.0), (2, 1.0)]))
    assert not is_closed(index([0.0, 0.1], [(1, 1.0), (2, 1.0)]))


def test_between_the_sends_of_a_burst_answers_get_their_timestamps() -> None:
    """It asks to be called again at once, after whatever else the loop has to do."""
    sent, woken = list[int](), list[float]()
    dispatch = Dispatch(
        chains(index([0.0] * 40)),
        Outside(clock=lambda: START, wake=woken.append, launch=lambda row, ready, due: sent.append(row.number)),
        cap=None, closed=True,
    )  # fmt: skip
    dispatch.begin(START)
    assert (len(sent), woken) == (16, [START])
    dispatch.pump()
    dispatch.pump()
    assert (sent, woken) == ([*range(40)], [START, START])
