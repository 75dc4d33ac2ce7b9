"""Repeats until it is decided: many looks err together as often as one may."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from pytest_vllm_bench.judge.baseline import SessionFigures
from pytest_vllm_bench.judge.comparison import BaselineSettings
from pytest_vllm_bench.judge.looks import level, levels
from pytest_vllm_bench.judge.rounds import compare_rounds
from pytest_vllm_bench.judge.shares import Count
from pytest_vllm_bench.model import Verdict

#: Of min 5, max 12: between targets, and of one.
PAIRS, ONE = (5, 7, 9, 11, 12), tuple(range(5, 13))


@pytest.mark.parametrize("looks", [PAIRS, ONE, (1, 2, 3, 4, 5, 6, 7, 8)])
def test_all_looks_together_err_as_one(looks: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    sums = rng.standard_normal((200_000, looks[-1])).cumsum(1)
    scaled = np.array([sums[:, n - 1] / np.sqrt(n) for n in looks])
    crossed = scaled > stats.norm.isf(levels(looks, 0.05))[:, None]
    assert crossed.any(0).mean() == pytest.approx(0.05, abs=0.002)
    assert crossed[0].mean() == pytest.approx(0.05 * (looks[0] / looks[-1]) ** 2, abs=0.001)


def test_one_look_has_it_all_and_nobody_looks_in_between() -> None:
    assert level((), 7, 0.05) == 0.05
    assert level((5,), 5, 0.01) == pytest.approx(0.01)
    assert [level(PAIRS, n, 0.01) for n in (3, 6, 7, 8, 99)] == [levels(PAIRS, 0.01)[i] for i in (0, 0, 1, 1, 4)]
    assert levels(PAIRS, 1e-6)[-1] > 3e-7, "most of it is left for the end"


METRICS = ("output_throughput", "mean_tpot_ms", "mean_e2el_ms")


def session_of_pairs(
    rng: Any, cells: int, noise: float, worse: float, tolerance: str
) -> dict[int, tuple[Verdict, int]]:
    """Cell → what its pair came to, and after how many rounds; only the first is worse."""
    settings = BaselineSettings(tolerance=dict.fromkeys(METRICS, tolerance))
    drawn = np.exp(noise * rng.standard_normal((2, cells, len(METRICS), PAIRS[-1])))
    drawn[1, 0, 0] /= 1 + worse
    drawn[1, 0, 1:] *= 1 + worse
    ended: dict[int, tuple[Verdict, int]] = {}

    def figures(side: int, cell: int, rounds: int) -> SessionFigures:
        values = {m: tuple(drawn[side, cell, i, :rounds]) for i, m in enumerate(METRICS)}
        return SessionFigures(session="", digest="d", values=values)

    for n in PAIRS:
        for cell in range(cells):
            if cell in ended:
                continue
            taken = {c: ended.get(c, (None, n if c <= cell else max(2, n - 2)))[1] for c in range(cells)}
            pairs = {c: (figures(0, c, taken[c]), figures(1, c, taken[c])) for c in range(cells)}
            made = compare_rounds(pairs, cell, settings, cells * len(METRICS), PAIRS)
            assert isinstance(made, list)
            verdicts = {c.verdict for c in made if c.gated}
            if Verdict.FAIL in verdicts:
                ended[cell] = (Verdict.FAIL, n)
            elif verdicts == {Verdict.PASS} or n == PAIRS[-1]:
                ended[cell] = (Verdict.worst(verdicts), n)
    return ended


@pytest.mark.slow
@pytest.mark.parametrize(("cells", "noise", "tolerance", "sessions"), [(1, 0.12, "0%", 400), (4, 0.015, "1%", 60)])
def test_pairs_in_which_nothing_changed_fail_in_one_session_of_a_hundred(
    cells: int, noise: float, tolerance: str, sessions: int
) -> None:
    rng = np.random.default_rng(2)
    found = [session_of_pairs(rng, cells, noise, 0.0, tolerance) for _ in range(sessions)]
    failed = sum(any(verdict is Verdict.FAIL for verdict, _ in one.values()) for one in found)
    assert failed <= 0.01 * sessions + 3 * (0.0099 * sessions) ** 0.5


def test_five_percent_is_found_and_what_is_decided_ends() -> None:
    """At 1.5 % noise and a tolerance of 2 %: after five or seven rounds; of pairs that are alike some end early too."""
    rng = np.random.default_rng(3)
    found = [session_of_pairs(rng, 4, 0.015, 0.05, "2%") for _ in range(20)]
    assert sum(one[0][0] is Verdict.FAIL for one in found) >= 19
    assert np.mean([one[0][1] for one in found]) < 8
    assert any(one[c] == (Verdict.PASS, 5) for one in found for c in (1, 2, 3))


def test_a_rule_just_kept_passes_in_one_of_twenty() -> None:
    """The true share of misses is the one allowed: every PASS is wrong, every FAIL too."""
    rng = np.random.default_rng(4)
    within = over = 0
    runs = 600
    for _ in range(runs):
        missed = rng.binomial(100, 0.1, size=ONE[-1]).cumsum()
        counts = {n: Count(n_eff=100 * n, k_eff=float(missed[n - 1]), tau=1, share=0.1) for n in ONE}
        within += any(counts[n].proven_within(level(ONE, n, 0.05)) for n in ONE)
        over += any(counts[n].proven_over(level(ONE, n, 0.05)) for n in ONE)
    assert max(within, over) <= 0.05 * runs + 3 * (0.0475 * runs) ** 0.5
