"""Which stage of its requests a figure comes from: the arithmetic, what is planted, and what is named of nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest
from every import every
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import facts, request, scenario

from pytest_vllm_bench.judge import culprit
from pytest_vllm_bench.judge.parts import LEVELS, _pause, parts, summed_up, taken, usual
from pytest_vllm_bench.judge.statistics import tau, tau_of_misses
from pytest_vllm_bench.judging import judge
from pytest_vllm_bench.measure.columns import sample, settings_of
from pytest_vllm_bench.metric_table import parse_name
from pytest_vllm_bench.model import (
    Comparison,
    Culprit,
    Measurement,
    Message,
    Record,
    Result,
    Sample,
    StageShare,
    Verdict,
)
from pytest_vllm_bench.report.culprit import told as culprit_told
from pytest_vllm_bench.report.failure import failure
from pytest_vllm_bench.report.github import step_summary
from pytest_vllm_bench.report.page import page
from pytest_vllm_bench.report.verdict import summary
from pytest_vllm_bench.store.row import from_json, to_json
from pytest_vllm_bench.text import say

games = st.integers(1, 5).flatmap(lambda n: st.lists(st.floats(-1e3, 1e3), min_size=1 << n, max_size=1 << n))


@settings(max_examples=60, deadline=None)
@given(games, st.data())
def test_shares_add_up_are_fair_and_nothing_for_nothing(worth: list[float], data: st.DataObject) -> None:
    game = np.array(worth)
    values = culprit.shapley(game)
    n = len(values)
    assert values.sum() == pytest.approx(game[-1] - game[0], abs=1e-6)
    i, j = (data.draw(st.integers(0, n - 1)) for _ in range(2))
    swapped = [s & ~(1 << i | 1 << j) | (s >> i & 1) << j | (s >> j & 1) << i for s in range(len(game))]
    even = (game + game[swapped]) / 2
    assert culprit.shapley(even)[i] == pytest.approx(culprit.shapley(even)[j], abs=1e-6), "who are alike get the same"
    idle = game[[s & ~(1 << i) for s in range(len(game))]]
    assert culprit.shapley(idle)[i] == 0, "who changes nothing gets nothing"
    both = np.stack([game, idle], axis=1)
    assert pytest.approx(np.array([values, culprit.shapley(idle)]), abs=1e-6) == culprit.shapley(both).T


def test_of_shares_that_are_always_the_same_the_interval_is_nothing() -> None:
    """Two thirds and one third of what is beyond 10 ms, in every draw, whatever the whole comes to."""
    rng = np.random.default_rng(3)
    beyond = rng.exponential(1.0, 300)
    rows = 10 + np.array([beyond, beyond / 3, 2 * beyond / 3, 0 * beyond])
    for games in ([rows], [rows, rows]):
        worth, share, low, high = culprit.shares(games, of_mean, 5)
        assert worth == pytest.approx(rows.mean(axis=1))
        assert share == pytest.approx([2 * beyond.mean() / 3, beyond.mean() / 3])
        assert (low, high) == (pytest.approx(share), pytest.approx(share))
    for one in culprit.shares([np.full((4, 40), 10.0)], of_mean, 5)[1:]:
        assert one == pytest.approx([0.0, 0.0])


def of_mean(rows: Any, weights: Any) -> Any:
    return rows @ weights.T / weights.sum(axis=1)


def test_intervals_hold_together_and_are_wider_where_requests_are_alike() -> None:
    stages = two(400, 0.9, np.random.default_rng(5))
    rows = np.array([stages.sum(axis=0), stages[1], stages[0], 0 * stages[0]])
    _, share, low, high = culprit.shares([rows], of_mean, 20)
    drawn = stages @ culprit.drawn(400, 20, culprit.DRAWS).T
    parts = drawn / drawn.sum(axis=0) * share.sum()
    assert (low, high) == (pytest.approx(np.quantile(parts, 0.0025, axis=1)),
                           pytest.approx(np.quantile(parts, 0.9975, axis=1)))  # fmt: skip
    *_, lowest, highest = culprit.shares([rows], of_mean, 1)
    assert (high - low > 1.5 * (highest - lowest)).all()


def test_draws_are_stretches_that_begin_anywhere() -> None:
    assert (culprit.drawn(10, 10, 5) == 1).all()
    weights = culprit.drawn(50, 1, 4000)
    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.1)
    few = culprit.drawn(12, 4, 200)
    assert {np.count_nonzero(line) for line in few} <= set(range(4, 13))
    assert (culprit.drawn(7, 3, 50).sum(axis=1) == 7).all()


@every(
    ("low", "high", "few", "stage"),
    [
        ([0.1, -1.0], [2.0, 0.0], False, 0),
        ([-1.0, 1.1], [1.0, 3.0], False, 1),
        ([-1.0, 0.9], [1.0, 3.0], False, None),
        ([1.1, -1.0, -1.0], [3.0, 1.0, 1.0], False, 0),
        ([0.0, -1.0], [2.0, -0.5], False, None),
        ([0.5], [2.0], False, 0),
        ([2.9, 0.0, 0.0], [4.0, 0.5, 0.5], True, None),
        ([3.1, 0.0, 0.0], [4.0, 0.5, 0.5], True, 0),
        ([0.1, 0.0, 0.0], [4.0, 0.0, -5.0], True, 0),
    ],
)
def test_a_stage_is_named_whose_interval_lies_above_all_others(
    low: list[float], high: list[float], few: bool, stage: int | None
) -> None:
    assert culprit.named(np.array(low), np.array(high), few=few) == stage


def test_requests_of_one_mood_prove_little() -> None:
    """Of two stages one is always twice the other: of independent requests that is enough; how much they have to do
    with one another cannot be proven by fifty, and counts nevertheless."""
    for phi, n, seed, stage in ((0.0, 120, 1, 0), (0.995, 120, 1, None), (0.5, 50, 7, None), (0.0, 50, 7, 0)):
        moods = two(n, phi, np.random.default_rng(seed))[0]
        assert named(np.array([2 * moods, moods]), of_mean) == stage


def test_misses_of_one_mood_prove_little_whatever_failed_beside_them() -> None:
    """Of misses that come in two spells two thirds are one stage's; of such that come now and then that is enough."""
    figure = culprit._figure(scenario("goodput_ratio >= 0.9").rules[0], name_of("goodput_ratio"))
    assert figure is not None
    for missed, stage in ((np.arange(60) // 15 % 2 == 0, None), (np.arange(60) % 2 == 0, 0)):
        first = missed & (missed.cumsum() % 3 > 0)
        seen = np.where(missed, 1.5, 0.5)
        rows = np.array([seen, np.where(first, 0.5, seen), np.where(missed & ~first, 0.5, seen), np.full(60, 0.5)])
        rows[:, [16, 19, 25, 46, 53, 57]] = math.inf
        assert culprit.drawn_and_named([rows], figure)[1] == stage


def test_blocks_are_as_long_as_requests_have_to_do_with_one_another() -> None:
    """Twice what one independent request is worth, at least n^(1/3), at most a fifth of the run."""
    for phi, n in ((0.0, 1000), (0.9, 1000), (0.95, 1000), (0.97, 200)):
        stages = two(n, phi, np.random.default_rng(2))
        rows = np.array([stages.sum(axis=0), stages[1], stages[0], 0 * stages[0]])
        worth = max(tau(rows[0], known=True), tau_of_misses(rows[0], np.zeros(n)))
        length = {0.0: 10, 0.97: 40}.get(phi, math.ceil(2 * worth))
        assert (10 < length < 200) is (phi > 0)
        for found, expected in zip(culprit.drawn_and_named([rows], of_mean)[0],
                                   culprit.shares([rows], of_mean, length), strict=True):  # fmt: skip
            assert found == pytest.approx(expected)


def test_the_figure_is_the_order_statistic_that_decides() -> None:
    rows, rng = np.array([np.arange(100.0), -np.arange(100.0)]), np.random.default_rng(0)
    once = np.ones((1, 100))
    for share, place in ((Fraction(1, 100), 98), (Fraction(1, 10), 89), (Fraction(0), 99), (Fraction(1, 3), 66)):
        found = culprit._ordered(share, rows, once)
        assert found.tolist() == [[place], [place - 99]]
    none_of_the_worst = (np.arange(100) < 60).astype(float)[None]
    assert culprit._ordered(Fraction(0), rows, none_of_the_worst).tolist() == [[59], [0]]
    for gone in range(36, 41):  # about as many as are looked at first
        assert culprit._ordered(Fraction(0), rows[:1], (np.arange(100) < 100 - gone)[None] * 1.0) == 99 - gone
    weights = rng.integers(0, 3, (20, 100)).astype(float)
    for line, found in zip(weights, culprit._ordered(Fraction(1, 10), rows[:1], weights)[0], strict=True):
        assert found == np.sort(np.repeat(rows[0], line.astype(int)))[-11]


def test_failures_are_no_part_of_a_mean_and_no_better_than_the_worst_answer() -> None:
    rows = [np.array([1.0, np.inf, 5.0]), np.array([0.5, np.inf, 1.0])]
    assert culprit._finite(rows, name_of("mean_ttft_ms")).tolist() == [[1.0, 5.0], [0.5, 1.0]]
    assert culprit._finite(rows, name_of("p99_ttft_ms")).tolist() == [[1.0, 5.0, 5.0], [0.5, 5.0, 1.0]]
    assert np.isinf(culprit._finite(rows, name_of("goodput_ratio"))[:, 1]).all()
    assert culprit._finite([np.array([np.inf] * 2)] * 2, name_of("p99_ttft_ms")).shape == (2, 0)
    assert culprit._finite([np.array([1.0, 2.0])] * 2, name_of("p99_ttft_ms")).tolist() == [[1.0, 2.0]] * 2


def name_of(metric: str) -> Any:
    found = parse_name(metric)
    assert found is not None
    return found


def test_of_many_stages_those_that_take_least_are_one() -> None:
    def players(took: dict[str, float]) -> list[tuple[str, ...]]:
        return culprit._players({"e2el": [{stage: np.array([-v, v]) for stage, v in took.items()}]})

    order = {"connect": 1.0, "server_queue": 5.0, "server_prefill": 0.5, "outside_first": 4.0, "server_decode": 6.0,
             "pause": 2.0}  # fmt: skip
    assert players(order) == [(stage,) for stage in order]
    assert players({**order, "client_wait": 3.0}) == [
        ("client_wait",), ("server_queue",), ("outside_first",), ("server_decode",), ("pause",),
        ("connect", "server_prefill")]  # fmt: skip
    assert players({"decode": 1.0, "pause": 1e-9}) == [("decode",)]
    assert players({"decode": 1.0}) == []
    both = culprit._players({"ttft": [{"decode": np.ones(2)}], "tpot": [{"decode": np.ones(2), "pause": np.ones(2)}]})
    assert both == [("decode",), ("pause",)]
    assert list(culprit._sets([("a",), ("b", "c")])) == [set(), {"a"}, {"b", "c"}, {"a", "b", "c"}]


def test_what_is_told_of_a_game() -> None:
    """Two stages, the second of several: the figure with neither replaced, with one, with the other, with both."""
    found = (np.array([9.0, 4.0, 4.5, 2.0]), np.array([5.5, 1.5]), np.array([5.0, 1.0]), np.array([6.0, 2.0]))
    players = [("pause",), ("connect", "thinking")]
    (verdict,) = judged("mean_ttft_ms <= 5", run("server_queue")).verdicts[:1]
    told = culprit._told(verdict.rule, name_of("mean_ttft_ms"), players, found, 0)
    assert told == Culprit(
        stage="pause",
        observed=9.0,
        uncontended=2.0,
        shares=(
            StageShare(stage="pause", share=5.5, interval=(5.0, 6.0), without=4.0, within=True),
            StageShare(stage="other", share=1.5, interval=(1.0, 2.0), without=4.5, within=True),
        ),
    )
    other = culprit._told(verdict.rule, name_of("mean_ttft_ms"), players, found, 1)
    nobody = culprit._told(verdict.rule, name_of("mean_ttft_ms"), players, found, None)
    assert other is not None
    assert nobody is not None
    assert (other.stage, nobody.stage) == ("other", None)
    infinite = (np.array([np.inf, 4.0, 8.0, 2.0]), *found[1:])
    assert culprit._told(verdict.rule, name_of("mean_ttft_ms"), players, infinite, 0) is None


def made(base: Sample, **columns: Sequence[float]) -> Sample:
    """Its requests with these values alone."""
    return replace(base, values={id: np.array(column) for id, column in columns.items()})


def plain(found: dict[str, Any]) -> dict[str, Any]:
    return {stage: list(column) for stage, column in found.items()}


def listed(found: dict[str, Any]) -> dict[str, Any]:
    return {stage: pytest.approx(list(column), nan_ok=True) for stage, column in found.items()}


def test_a_latency_by_hand() -> None:
    """Three requests: a pause of the stream, an answer of one token, and one that the client sent early."""
    nan = math.nan
    values = {"ttft": [0.5, 0.5, 0.5], "response_ttft": [1.5, 0.7, 0.4], "ttfo": [0.7, 0.5, 0.9],
              "response_ttfo": [1.7, 0.7, 0.8], "e2el": [2.5, 0.5, 3.5], "response_e2el": [3.5, 0.7, 3.4],
              "tpot": [0.2, nan, 0.3], "max_gap": [0.8, nan, 0.3]}  # fmt: skip
    columns = {id: np.array(column) for id, column in values.items()}
    pause = 0.8 - 1.2 / 9
    stream = {"decode": [2 - pause, 0.0, 3.0], "pause": [pause, 0.0, 0.0]}
    first, ahead = {"to_first": [0.5] * 3}, {"client_wait": [1.0, 0.2, -0.1], "connect": [0.0] * 3}

    def told(id: str) -> dict[str, Any]:
        return plain(parts(columns, id))

    assert told("ttft") == listed(first)
    assert told("response_ttft") == listed({**ahead, **first})
    assert told("ttfo") == listed({**first, "thinking": [0.2, 0.0, 0.4]})
    assert told("response_ttfo") == listed({**ahead, **first, "thinking": [0.2, 0.0, 0.4]})
    assert told("e2el") == listed({**first, **stream})
    assert told("response_e2el") == listed({**ahead, **first, **stream})
    assert told("max_gap") == listed({"decode": [0.8 - pause, nan, 0.3], "pause": [pause, 0.0, 0.0]})
    assert told("tpot") == listed({"decode": [0.1 * (2 - pause), nan, 0.3], "pause": [0.1 * pause, nan, 0.0]})
    columns["connect"] = np.array([0.3, nan, 9.0])
    assert told("response_ttft") == listed(
        {"client_wait": [0.7, 0.2, -0.1], "connect": [0.3, 0.0, 0.0], **first})  # fmt: skip
    columns |= {"server_queue": np.array([0.1, 0.2, nan])}
    assert told("ttft") == listed({"server_queue": [0.1, 0.2, nan], "to_first": [0.4, 0.3, nan]})
    columns |= {"server_prefill": np.array([0.3, 0.1, 0.1]), "server_decode": np.array([1.5, 0.0, 3.2])}
    before = {"server_queue": [0.1, 0.2, nan], "server_prefill": [0.3, 0.1, 0.1], "outside_first": [0.1, 0.2, nan]}
    assert told("ttft") == listed(before)
    left = pause - 0.5
    assert told("e2el") == listed({**before, "server_decode": [1.5 - left, 0.0, 3.2], "pause": [left, 0.0, 0.0],
                                   "outside_stream": [0.5, 0.0, -0.2]})  # fmt: skip
    columns["server_decode"] = np.array([1.0, 0.0, nan])
    assert told("e2el") == listed({**before, "server_decode": [1.0, 0.0, nan], "pause": [0.0, 0.0, nan],
                                   "outside_stream": [1.0, 0.0, nan]})  # fmt: skip
    columns["server_decode"] = np.array([1.5, 0.0, 3.2])
    in_one_piece = {id: columns[id] for id in ("e2el", "server_queue", "server_prefill", "server_decode")}
    for more in ({}, {"ttft": np.full(3, nan)}):
        found = plain(parts({**in_one_piece, **more}, "e2el"))
        assert found == listed({"server_queue": [0.1, 0.2, nan], "server_prefill": [0.3, 0.1, 0.1],
                                "server_decode": [1.5, 0.0, 3.2], "rest": [0.6, 0.2, nan]})  # fmt: skip
    assert parts({"e2el": columns["e2el"]}, "response_e2el") == {}
    assert parts({"response_e2el": columns["e2el"]}, "response_e2el") == {}
    assert parts({"itl": columns["e2el"]}, "itl") == {}
    assert plain(parts({id: columns[id] for id in ("e2el", "ttft")}, "e2el")) == listed(
        {**first, "decode": [2.0, 0.0, 3.0], "pause": [0.0] * 3})  # fmt: skip


@every(
    ("stream", "largest", "tpot", "pause"),
    [(2.0, 0.8, 0.2, 0.8 - 1.2 / 9), (2.0, 0.1, 0.2, 0.0), (2.0, 2.0, 1.0, 2.0), (2.0, 2.5, 0.2, 2.0),
     (2.0, 2.0, 2.0, 0.0), (2.0, 0.8, 4.0, 0.0), (0.0, 0.0, 0.0, 0.0), (2.0, math.nan, 0.2, 0.0)],
)  # fmt: skip
def test_a_pause_is_what_the_largest_gap_is_longer_than_the_others_are(
    stream: float, largest: float, tpot: float, pause: float
) -> None:
    assert float(_pause(*(np.array([v]) for v in (stream, largest, tpot)))[0]) == pytest.approx(pause)


def test_what_a_session_tells_of_its_stages() -> None:
    """In milliseconds; with a rate from due, and nothing where they are not told apart."""
    asked = scenario()
    one = sample(run("server_queue"), settings_of(asked))
    told = summed_up([one])
    queue = 1e3 * one.values["server_queue"]
    assert list(told) == ["server_queue", "server_prefill", "outside_first", "server_decode", "pause", "outside_stream"]
    assert told["server_queue"]["mean"] == pytest.approx(queue.mean())
    assert told["server_queue"]["p95"] == pytest.approx(np.quantile(queue, 0.95))
    assert list(told["server_queue"]) == ["mean", "p0", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "p100"]
    assert usual(told)["server_queue"] == pytest.approx(np.quantile(queue, LEVELS) / 1e3)
    assert usual({"pause": {**told["pause"], "p95": None}, "rest": {"mean": 1.0}}) == {}
    due = summed_up([sample(run("client_wait", due=True), settings_of(scenario(request_rate=2.0)))])
    assert next(iter(due)) == "client_wait"
    assert summed_up([made(one, e2el=[1.0] * 200)]) == {}
    assert list(summed_up([made(one, e2el=[1.0] * 200, server_queue=[0.1] * 200)])) == ["server_queue", "rest"]
    both = summed_up([one, made(one, e2el=[1.0] * 200, server_queue=[9.0] * 200)])
    assert both["server_queue"]["mean"] == pytest.approx((queue.mean() + 9000) / 2)


def test_a_request_is_held_against_one_of_its_rank_in_another_session() -> None:
    base = sample(run(n=5), settings_of(scenario()))
    of = {"ttft": [0.1, 0.5, 0.2, 0.4, 0.3], "e2el": [1.1, 2.5, 1.4, 2.0, 1.8]}
    one, before = made(base, **of, server_queue=[0.0] * 5), {"to_first": range(9), "decode": [k / 2 for k in range(9)]}
    assert plain(taken([one], "ttft", None)[0]) == listed(
        {"server_queue": [0.0] * 5, "to_first": np.array(of["ttft"]) - 0.14})  # fmt: skip
    ranks = np.array([0.1, 0.9, 0.3, 0.7, 0.5])
    then = np.interp(ranks, LEVELS, np.arange(9.0))
    found = taken([one], "e2el", before)[0]
    assert plain(found) == listed({"to_first": np.array(of["ttft"]) - then, "decode": [
        stream - now / 2 for stream, now in zip((1.0, 2.0, 1.2, 1.6, 1.5), then, strict=True)]})  # fmt: skip
    alike = made(base, ttft=[0.1] * 5, e2el=[0.3, 0.4, 0.4, 0.4, 0.5], tpot=[0.1, 0.2, 0.3, 0.1, math.nan])
    of_token = taken([alike], "tpot", {"decode": range(9)})[0]
    ranks = np.array([0.1, 0.5, 0.5, 0.5, 0.9])
    beyond = np.array([0.2, 0.3, 0.3, 0.3, 0.4]) - np.interp(ranks, LEVELS, np.arange(9.0))
    assert plain(of_token) == listed(
        {"decode": [*(beyond * [0.1, 0.2, 0.3, 0.1, 0.0] / [0.2, 0.3, 0.3, 0.3, 0.4])]})  # fmt: skip
    several = taken([made(base, ttft=[0.1] * 5), one], "ttft", None)
    assert [set(of) for of in several] == [{"to_first"}, {"to_first", "server_queue"}]


TOLD = ("queue_time_ms", "time_to_first_token_ms", "generation_time_ms")
KINDS = ("server_queue", "server_prefill", "outside_first", "server_decode", "pause")


def run(bad: str = "", n: int = 200, told: Sequence[str] = TOLD, seed: int = 1, due: bool = False) -> list[Record]:
    """Requests of which a fifth takes half a second longer, in one stage; the server says as much as it is ``told``."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        took = {"server_queue": 0.005, "server_prefill": 0.05, "outside_first": 0.004, "server_decode": 0.2,
                "pause": 0.0, "client_wait": 0.001}  # fmt: skip
        took = {stage: seconds * rng.lognormal(0, 0.1) for stage, seconds in took.items()}
        if bad and rng.random() < 0.2:
            took[bad] += 0.3 + rng.exponential(0.2)
        gaps = [took["server_decode"] / 9] * 9
        gaps[4] += took["pause"]
        says = dict(zip(TOLD, (1e3 * took["server_queue"], 1e3 * took["server_prefill"], 1e3 * sum(gaps)), strict=True))
        sent = 0.5 * i + took["client_wait"]
        first = took["server_queue"] + took["server_prefill"] + took["outside_first"]
        times: dict[str, Any] = {"due": 0.5 * i, "ready": sent} if due else {}
        made.append(request(i, sent, first, gaps, server={key: says[key] for key in told}, **times))
    return made


def judged(rule: str, records: list[Record], **changed: Any) -> Result:
    asked = scenario(rule, **changed)
    return judge(asked, [Measurement(scenario=asked, records=records, facts=facts())])


def blamed(rule: str, records: list[Record], **changed: Any) -> Culprit | None:
    verdict = judged(rule, records, **changed).verdicts[0]
    assert verdict.within is False, verdict
    return verdict.culprit


def test_what_is_planted_is_found() -> None:
    wrong: list[Any] = []
    for bad in KINDS:
        first = bad in ("server_queue", "server_prefill", "outside_first")
        rules = ["p99_e2el_ms <= 320", "mean_e2el_ms <= 290", "p90_e2el_ms <= 320", "max_e2el_ms <= 400"]
        rules += ["p99_ttft_ms <= 100", "p99_ttfo_ms <= 100"] if first else ["p99_tpot_ms <= 30"]
        for rule in rules:
            found = blamed(rule, run(bad))
            shares = [one.share for one in found.shares] if found else []
            if (
                found is None
                or found.stage != bad
                or not found.shares[0].within
                or (found.shares[1:] and found.shares[-1].within)
            ):
                wrong.append((bad, rule, found))
            elif sum(shares) != pytest.approx(found.observed - found.uncontended):
                wrong.append((bad, rule, "does not add up"))
    assert not wrong


def test_the_rule_is_counted_again_as_the_judge_counts() -> None:
    """A request in twenty may miss: without the queue the figure is that of a run without one."""
    with_queue, without = run("server_queue"), run("")
    found = blamed("p95_ttft_ms <= 100", with_queue)
    assert found is not None
    clean = np.sort([r.first_token - r.sent for r in without])[math.ceil(200 * 0.95) - 1]  # type: ignore[operator]
    assert found.shares[0].without == pytest.approx(1e3 * clean, rel=0.05)
    assert found.observed == judged("p95_ttft_ms <= 100", with_queue).verdicts[0].observed


SOME: dict[str, tuple[str, tuple[str, ...], dict[str, Any], str | None]] = {
    "SGLang tells of its queue alone": ("server_queue", TOLD[:1], {}, "server_queue"),
    "llama.cpp of prefill and decoding": ("server_queue", TOLD[1:], {}, "to_first"),
    "nobody tells: before the first token": ("server_queue", (), {}, "to_first"),
    "nobody tells: a pause": ("pause", (), {}, "pause"),
    "nobody tells: decoding": ("server_decode", (), {}, "decode"),
    "the client's own waiting": ("client_wait", TOLD, {"request_rate": 2.0}, "client_wait"),
    "the client's own waiting, nobody tells": ("client_wait", (), {"request_rate": 2.0}, "client_wait"),
}


@every("case", SOME)
def test_where_only_some_stages_are_known(case: str) -> None:
    bad, told, changed, named = SOME[case]
    found = blamed("p95_e2el_ms <= 400", run(bad, told=told, due=bool(changed)), **changed)
    assert (found and found.stage) == named, found


def test_a_connection_is_a_stage_where_requests_are_due() -> None:
    records = run("client_wait", due=True)
    for record in records:
        record.connect_s = record.sent - record.due  # type: ignore[operator]
        record.ready = record.due
    found = blamed("p95_ttft_ms <= 100", records, request_rate=2.0)
    assert found is not None
    assert found.stage == "connect"


def test_goodput_is_a_latency_rule_too() -> None:
    found = blamed("goodput_ratio >= 0.95", run("server_queue"), goodput={"ttft": 100.0, "tpot": 40.0})
    assert found is not None
    assert found.stage == "server_queue"
    assert found.shares[0].within
    assert found.shares[0].without > 0.95
    assert found.shares[0].share == pytest.approx(found.uncontended - found.observed)
    found = blamed("slo_attainment.max_gap >= 0.95", run("pause"), goodput={"max_gap": 100.0})
    assert found is not None
    assert found.stage == "pause"


def test_failures_miss_goodput_whatever_the_stages_took() -> None:
    records = run("server_queue")
    for record in records[::20]:
        record.error = "timeout"
    for limit in (100.0, 250.0):
        result = judged("goodput_ratio >= 0.95", records, goodput={"ttft": limit, "tpot": 40.0})
        found = result.verdicts[0].culprit
        assert found is not None
        assert (found.stage, found.observed) == ("server_queue", result.verdicts[0].observed)
        assert found.uncontended == pytest.approx(0.95)


def test_with_a_rate_goodput_is_of_the_time_from_due() -> None:
    for bad, stage in (("client_wait", "client_wait"), ("server_decode", "server_decode")):
        limits = {"ttft": 200.0, "tpot": 40.0}
        found = blamed("goodput_ratio >= 0.95", run(bad, due=True), request_rate=2.0, goodput=limits)
        assert found is not None
        assert found.stage == stage


@every("rule", [f"{figure} {limit}" for figure in ("p95_ttft_ms", "steady_p95_ttft_ms", "whole_p95_ttft_ms",
                                                   "steady_mean_ttft_ms", "whole_mean_ttft_ms")
                for limit in ("<= 50", "< 50")])  # fmt: skip
def test_what_is_explained_is_the_figure_of_the_verdict(rule: str) -> None:
    records = [*run(n=30), *run("server_queue")[30:]]
    verdict = judged(rule, records).verdicts[0]
    assert verdict.culprit is not None
    assert verdict.culprit.observed == pytest.approx(verdict.observed)


def test_twenty_requests_are_enough() -> None:
    for op in ("<=", "<"):
        assert blamed(f"whole_mean_ttft_ms {op} 50", run("server_queue", n=20)) is not None


NOBODY = {
    "what holds": ("p99_ttft_ms <= 5000", run("server_queue")),
    "no latency": ("output_throughput >= 100000", run("server_queue")),
    "one stage is all that is known": ("p99_ttft_ms <= 50", run("server_queue", told=())),
    "too few requests": ("p99_ttft_ms <= 50", run("server_queue", n=10)),
    "gaps are no requests": ("p99_itl_ms <= 1", run("pause")),
    "the wrong side": ("p99_ttft_ms >= 90000", run("server_queue")),
    "a spread": ("std_ttft_ms <= 1", run("server_queue")),
}


@every("case", NOBODY)
def test_where_nobody_can_be_named(case: str) -> None:
    rule, records = NOBODY[case]
    assert judged(rule, records).verdicts[0].culprit is None


def test_failures_are_no_stage() -> None:
    records = run("server_queue")
    for record in records[::4]:
        record.error = "timeout"
    assert judged("p90_ttft_ms <= 100", records).verdicts[0].culprit is None, "the figure is a failure"
    found = blamed("p70_ttft_ms <= 10", [*run("server_queue")[:100], *records[100:]])
    assert found is not None
    assert all(math.isfinite(one.share) for one in found.shares)


def test_everybody_alike_is_nobody() -> None:
    found = blamed("mean_ttft_ms <= 10", alike(200, 0.0, np.random.default_rng(3)))
    assert found is not None
    assert found.stage is None


def alike(n: int, phi: float, rng: np.random.Generator) -> list[Record]:
    stages = two(n, phi, rng) * 0.1
    told = [dict(zip(TOLD[:2], 1e3 * one, strict=True)) for one in stages.T]
    return [request(i, 10.0 * i, stages[:, i].sum() + 0.001, server=told[i]) for i in range(n)]


def two(n: int, phi: float, rng: np.random.Generator) -> Any:
    """Two stages of one kind, heavy in the tail, whose values have to do with those before."""
    z = rng.normal(size=(2, n))
    for t in range(1, n):
        z[:, t] = phi * z[:, t - 1] + math.sqrt(1 - phi**2) * z[:, t]
    return np.exp(z)


@pytest.mark.slow
def test_how_often_one_is_named_where_none_is_worse() -> None:
    """About one run in fifty (of 100 runs each at n = 100 … 1,000 and φ = 0 … 0.95: 0–3 % of means, 0–4 % of p90,
    1–6 % of p99; 40 requests that are all of one mood, φ = 0.95: 5–12 %)."""
    figures = {"p99": partial(culprit._ordered, Fraction(1, 100)), "p90": partial(culprit._ordered, Fraction(1, 10)),
               "mean": lambda rows, weights: rows @ weights.T / weights.sum(axis=1)}  # fmt: skip
    rng, rates = np.random.default_rng(7), {}
    for n, phi in ((100, 0.0), (100, 0.95), (400, 0.8)):
        for name, figure in figures.items():
            hits = sum(named(two(n, phi, rng), figure) is not None for _ in range(60))
            rates[n, phi, name] = hits / 60
    assert np.mean(list(rates.values())) <= 0.04, rates
    assert max(rates.values()) <= 0.1, rates


def named(stages: Any, figure: Any) -> int | None:
    whole = stages.sum(axis=0)
    beyond = stages - np.quantile(stages, 0.1, axis=1)[:, None]
    rows = np.array([whole, whole - beyond[0], whole - beyond[1], whole - beyond.sum(axis=0)])
    return culprit.drawn_and_named([rows], figure)[1]


def test_the_same_run_says_the_same() -> None:
    assert blamed("p99_ttft_ms <= 100", run("server_queue")) == blamed("p99_ttft_ms <= 100", run("server_queue"))


def test_of_a_long_run_a_part_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(culprit, "READ", 100)
    found = blamed("mean_ttft_ms <= 100", run("server_queue", n=1001))
    assert found is not None
    assert found.stage == "server_queue"


def culprit_lines(one: Comparison) -> list[str]:
    return [say(message) for message in culprit_told(one)]


def against(
    metric: str, new: list[Record], *old: list[Record], goodput: Mapping[str, float] = {}, **of: Any
) -> Comparison:
    """A comparison that failed, of a run with sessions before."""
    asked = scenario(goodput=goodput)
    values = {"metric": metric, "gated": True, "verdict": Verdict.FAIL, "reason": Message(key="report.unsaid"),
              "reference": 255.0, "observed": 400.0, "change": 0.5, "interval": (0.1, 0.9), "tolerance": 0.05,
              "detectable": 0.1, "sessions": len(old)}  # fmt: skip
    before = [summed_up([sample(records, settings_of(asked))]) for records in old]
    return culprit.changed(Comparison(**{**values, **of}), [sample(new, settings_of(asked))], goodput, before)


def test_a_worse_baseline_has_its_culprit() -> None:
    old = [run(seed=seed) for seed in (5, 6, 7)]
    wrong: list[Any] = []
    for bad in KINDS:
        first = bad in ("server_queue", "server_prefill", "outside_first")
        metrics = {"mean_e2el_ms": 255.0, "p99_e2el_ms": 310.0, "p90_e2el_ms": 290.0}
        metrics |= {"p99_ttft_ms": 75.0} if first else {"mean_tpot_ms": 22.0}
        for metric, reference in metrics.items():
            found = against(metric, run(bad), *old, reference=reference, tolerance=0.15).culprit
            if found is None or found.stage != bad or not found.shares[0].within:
                wrong.append((bad, metric, found))
            elif found.uncontended != pytest.approx(reference, rel=0.2):
                wrong.append((bad, metric, found.uncontended))
    assert not wrong
    lines = culprit_lines(against("mean_e2el_ms", run("server_queue"), *old, tolerance=0.15))
    assert lines[0].startswith("mean_e2el_ms changed because of queueing: ")
    assert lines[1].startswith("with queueing as before 2")
    assert lines[2].endswith(" ms with all of them as before")


def test_what_is_accepted_of_a_change_is_the_reference_and_its_tolerance() -> None:
    """A share of it, or in its unit; of what is better when it is more it is less."""
    new, old, limits = run("server_queue"), run(seed=5), {"ttft": 100.0}
    cases: list[tuple[str, float, float, bool, bool]] = []
    for metric, sign in (("mean_e2el_ms", 1), ("goodput_ratio", -1)):
        first = against(metric, new, old, goodput=limits).culprit
        assert first is not None
        alone = first.shares[0].without
        cases += [(metric, alone / (1 + sign * 0.2) * (1 + sign * off), 0.2, True, off > 0) for off in (0.001, -0.001)]
        cases += [(metric, alone - sign * 0.2 + sign * off, 0.2, False, off > 0) for off in (0.001, -0.001)]
    for metric, reference, tolerance, relative, within in cases:
        found = against(metric, new, old, goodput=limits, reference=reference, tolerance=tolerance,
                        relative=relative).culprit  # fmt: skip
        assert found is not None
        assert (found.stage, found.shares[0].within) == ("server_queue", within), (metric, reference, relative)


def test_a_change_is_explained_in_the_window_that_is_compared() -> None:
    new, old = [*run(n=30), *run("server_queue")[30:]], run(seed=5)
    steady, whole = (judged(f"{window}_mean_e2el_ms <= 1", new).verdicts[0].observed for window in ("steady", "whole"))
    assert steady != whole
    found = against("mean_e2el_ms", new, old).culprit
    assert found is not None
    assert found.observed == pytest.approx(steady)
    samples = [sample(new, settings_of(scenario()))]
    short = [*samples, replace(samples[0], steady=None)]
    one = against("mean_e2el_ms", new, old)
    found = culprit.changed(one, short, {}, [summed_up(samples)]).culprit
    assert found is not None
    assert found.observed == pytest.approx(whole)


def test_where_a_change_has_no_culprit() -> None:
    new, old = run("server_queue"), run()
    assert against("mean_e2el_ms", new, old, verdict=Verdict.PASS).culprit is None
    assert against("output_throughput", new, old).culprit is None
    assert against("mean_e2el_ms", new).culprit is None, "a reference of before"
    assert against("mean_e2el_ms", new, old, scenario="*").culprit is None
    told = against("mean_e2el_ms", new, run(told=())).culprit
    assert told is None or told.stage is None, "the server did not tell before"
    same = against("mean_e2el_ms", run(seed=9), run(seed=8), run(seed=10), reference=200.0).culprit
    assert same is not None
    assert same.stage is None, "nothing has changed"


def test_it_is_said_in_three_lines_everywhere(tmp_path: Any) -> None:
    result = judged("p95_ttft_ms <= 100", run("server_queue"))
    assert result.verdict is Verdict.FAIL
    text = failure(result, width=200)
    assert "p95_ttft_ms comes from queueing: " in text
    assert ": would pass; without prefill " in text
    assert "would not" in text
    assert "with all of them uncontended" in text
    assert "p95_ttft_ms 主要来自服务端排队：" in failure(result, "zh", width=200)
    assert "p95_ttft_ms comes from queueing" in step_summary([result])
    shown = page([result])
    assert "p95_ttft_ms comes from queueing" in shown
    assert "若没有服务端排队则为" in shown
    scenarios: Any = summary([result])["scenarios"]
    rule = scenarios[0]["rules"][0]
    assert rule["culprit"]["stage"] == "server_queue"
    kept = from_json(json.loads(json.dumps(to_json(result))))
    assert kept.verdicts[0].culprit == result.verdicts[0].culprit
    assert failure(kept, width=200) == text
    later = replace(kept.verdicts[0], culprit=replace(kept.verdicts[0].culprit, stage="of_tomorrow"))  # type: ignore[type-var]
    assert "no stage of the requests stands out" in failure(replace(kept, verdicts=(later,)), width=200)
    none = judged("mean_ttft_ms <= 10", alike(200, 0.0, np.random.default_rng(3)))
    assert "mean_ttft_ms: no stage of the requests stands out" in failure(none, width=200)


def test_stages_add_up_for_every_request() -> None:
    rng = np.random.default_rng(2)
    asked = scenario(request_rate=2.0)
    records = run("pause", due=True) + [
        request(200 + i, 100.0 + i, float(rng.exponential(0.1)), [], due=100.0 + i, ready=100.0 + i) for i in range(20)
    ]
    for told in (TOLD, TOLD[:1], TOLD[1:], ()):
        for record in records[:200]:
            record.server = {key: (record.server or {}).get(key, 1.0) for key in told}
        values = sample(records, settings_of(asked)).values
        for id in ("ttft", "ttfo", "e2el", "tpot", "max_gap", "response_ttft", "response_e2el", "response_ttfo"):
            whole: Any = sum(parts(values, id).values())
            known = np.isfinite(whole)
            assert known.any(), (told, id)
            assert whole[known] == pytest.approx(values[id][known], abs=1e-9), (told, id)
