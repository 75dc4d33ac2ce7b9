"""The pace of tokens by their place in the answer."""

from __future__ import annotations

from array import array

import numpy as np
import pytest
from runs import request

from pytest_vllm_bench.measure.by_position import EDGES, by_position


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
