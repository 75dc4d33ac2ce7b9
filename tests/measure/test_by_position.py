"""The pace of tokens by their place in the answer."""

from __future__ import annotations

from array import array

import numpy as np
import pytest
from every import every
from runs import request

from pytest_vllm_bench.measure.by_position import EDGES, by_position
from pytest_vllm_bench.model import Message


def test_each_stretch_has_its_own_pace() -> None:
    gaps = [0.01] * 31 + [0.02] * 96 + [0.03] * 73
    found, slows = by_position([request(i, float(i), gaps=gaps) for i in range(12)])
    assert {until: round(of["mean_itl_token_ms"] or 0, 6) for until, of in found.items()} == {
        "32": 10,
        "128": 20,
        "512": 30,
    }
    assert {until: (of["tokens"], of["requests"]) for until, of in found.items()} == {
        "32": (12 * 31, 12),
        "128": (12 * 96, 12),
        "512": (12 * 73, 12),
    }
    assert slows is not None
    assert slows.values == {"n": 12, "slower": "200%", "early": "10.00", "late": "30.00", "until": 32, "since": 129}


def test_several_tokens_a_read_share_its_gap() -> None:
    one = request(0, 0.0, gaps=[0.04] * 20, arrival_tokens=array("i", [1, *[4] * 20]), output_tokens=81)
    found, _ = by_position([one])
    assert {until: of["mean_itl_token_ms"] for until, of in found.items()} == pytest.approx({"32": 10, "128": 10})
    assert sum(of["tokens"] or 0 for of in found.values()) == 80


def test_a_read_without_a_token_is_waited_for_by_the_next() -> None:
    tokens = array("i", [1, 0, *[1] * 39])
    found, _ = by_position([request(0, 0.0, gaps=[0.01] * 40, arrival_tokens=tokens, output_tokens=40)])
    assert sum((of["tokens"] or 0) * (of["mean_itl_token_ms"] or 0) for of in found.values()) == pytest.approx(400)
    at_once = request(0, 0.0, gaps=[0.01], arrival_tokens=array("i", [40, 0]), output_tokens=40)
    assert by_position([at_once]) == ({}, None)


def test_short_answers_say_nothing() -> None:
    assert by_position([]) == ({}, None)
    assert by_position([request(0, 0.0), request(1, 1.0, gaps=[0.01] * (EDGES[0] - 1))]) == ({}, None)
    assert by_position([request(0, 0.0, gaps=[], arrival_times=array("d"), arrival_tokens=array("i"))]) == ({}, None)


def test_noise_and_longer_answers_of_slower_requests_are_no_slowing() -> None:
    """Late places are of long answers alone: what is slow throughout does not slow down."""
    noise = np.random.default_rng(7)
    even = [request(i, float(i), gaps=list(noise.exponential(0.01, 400))) for i in range(40)]
    assert by_position(even)[1] is None
    quick = [request(i, float(i), gaps=[0.005] * 40) for i in range(40)]
    slow = [request(40 + i, float(i), gaps=[0.05] * 600) for i in range(40)]
    found, slows = by_position([*quick, *slow])
    assert found["32"]["mean_itl_token_ms"] != pytest.approx(found["2048"]["mean_itl_token_ms"])
    assert slows is None
    grows = [request(i, float(i), gaps=[*[0.01] * 40, *noise.normal(0.012, 0.001, 500)]) for i in range(40)]
    assert by_position(grows)[1] is not None
    assert by_position(grows[:5])[1] is None, "a handful"


def test_the_figures_of_a_stretch_are_of_its_tokens() -> None:
    """Reads of one, four and two tokens, in several answers, one of which failed and one of which came at once."""
    tokens = array("i", [3, *[1, 4, 2] * 5])
    answers = [request(0, 0.0, gaps=[0.01, 0.08, 0.06] * 5, arrival_tokens=tokens),
               request(1, 5.0, gaps=[0.02] * 10),
               request(2, 6.0, gaps=[]), request(3, 7.0, gaps=[9.0] * 50, error="reset")]  # fmt: skip
    first = [10.0, *[20.0] * 4, *[30.0] * 2] * 4 + [10.0] + [20.0] * 10
    later = [*[20.0] * 4, *[30.0] * 2]
    found, slows = by_position(answers)
    assert slows is None
    assert found == {
        until: {
            "tokens": len(paces),
            "requests": n,
            "mean_itl_token_ms": pytest.approx(float(np.mean(paces))),
            "median_itl_token_ms": pytest.approx(float(np.median(paces))),
            "p99_itl_token_ms": pytest.approx(float(np.percentile(paces, 99))),
        }
        for until, paces, n in (("32", first, 2), ("128", later, 1))
    }


def test_percentiles_of_paces() -> None:
    found, _ = by_position([request(0, 0.0, gaps=[0.001 * (i * 7 % 32) for i in range(1, 33)])])
    assert found["32"]["median_itl_token_ms"] == pytest.approx(16)
    assert found["32"]["p99_itl_token_ms"] == pytest.approx(30.7)


def test_beyond_the_last_edge_there_is_no_end() -> None:
    assert by_position([request(0, 0.0, gaps=[0.01] * 32)])[0].keys() == {"32", "128"}, "the 33rd is another stretch"
    tokens = array("i", [1, *[16384] * 3])
    found, _ = by_position([request(0, 0.0, gaps=[16.384] * 3, arrival_tokens=tokens)])
    assert {until: of["tokens"] for until, of in found.items()} == {"32768": 16384, "inf": 2 * 16384}
    made = [request(i, 0.0, gaps=[0.016, 16.384, 32.768], arrival_tokens=array("i", [1, 16, *[16384] * 2]))
            for i in range(12)]  # fmt: skip
    message = by_position(made)[1]
    assert message is not None
    assert (message.values["until"], message.values["since"]) == (32, 32769)


@every(
    ("slower", "even", "factor", "said"),
    [
        # Of ten at least; of twelve eleven must slow down, as chance would have it in one of 200 runs.
        (9, 0, 1.5, False), (10, 0, 1.5, True), (9, 1, 1.5, False), (11, 1, 1.5, True), (10, 2, 1.5, False),
        # By a tenth.
        (12, 0, 1.09, False), (12, 0, 1.11, True),
    ],
)  # fmt: skip
def test_decoding_slows_where_nearly_all_of_many_slow_down(slower: int, even: int, factor: float, said: bool) -> None:
    made = [request(i, 0.0, gaps=[0.01] * 31 + [0.01 * factor] * 60) for i in range(slower)]
    made += [request(20 + i, 0.0, ttft=1 / 16, gaps=[1 / 128] * 91) for i in range(even)]
    made += [request(40 + i, 0.0, gaps=[0.5] * 20) for i in range(5)]  # these do not get there
    made += [request(60, 0.0, gaps=[9.0, 0.01], arrival_tokens=array("i", [32, 1, 1]))]  # nor begin there
    message = by_position(made)[1]
    values = {"n": slower + even, "slower": f"{factor - 1:.0%}", "early": "10.00", "late": f"{10 * factor:.2f}",
              "until": 32, "since": 33}  # fmt: skip
    assert message == (Message(key="judge.watched.decoding_slows", values=values) if said else None)


def test_one_late_token_is_a_pace_too() -> None:
    late = [request(i, 0.0, gaps=[0.01] * 31 + [0.05]) for i in range(12)]
    assert by_position(late)[1] is not None
