"""A folded test hides nothing."""

from __future__ import annotations

import pytest

FOLDED = """
import pytest
from every import every

@pytest.fixture
def known():
    return {1, 2, 7}

@every("n", range(9), ids=lambda n: f"case {n}")
def test_numbers(n, known):
    assert n not in known

@every(("a", "b"), [(1, 2), (3, 3)], ids=["unlike", "alike"])
@every("c", "xy")
def test_pairs(a, b, c):
    if a == b and c == "x":
        pytest.fail("as it must")
    if a != b and c == "y":
        pytest.skip("not here")

@every("n", [1, 2])
def test_all_is_well(n):
    assert n
"""


def test_all_are_tried_and_each_that_does_not_hold_is_shown(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FOLDED)
    ran = pytester.runpytest_inprocess("-p", "no:hypothesispytest", "-p", "no:vllm-bench")
    ran.assert_outcomes(passed=1, failed=2)
    shown = ran.stdout.str()
    assert "3 do not hold: case 1; case 2; case 7" in shown
    assert "assert 7 not in {1, 2, 7}" in shown
    assert "with n = case 2" in shown
    assert "2 do not hold: unlike, 'y'; alike, 'x'" in shown
    assert "as it must" in shown
