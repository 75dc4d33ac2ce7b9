"""Looks at measurements that go on until they decide → how sure each must be, so that together they err as one may.

What is looked at are sums over ever more repeats, each of which holds those before it.  Of α so much is spent by the
look after n of N repeats as (n/N)² says; what each may take follows from how the sums depend on one another (Brownian
motion, by recursive integration: Armitage, McPherson and Rowe 1969; spending: Lan and DeMets 1983).  The level is used
with whatever test the look makes (Pocock 1977).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

#: Points of the grid on which sums are followed, and how many standard deviations it reaches down.
POINTS, DEPTH = 400, 8.0

_above = np.frompyfunc(lambda z: 0.5 * math.erfc(z / math.sqrt(2)), 1, 1)


def level(looks: tuple[int, ...], done: int, alpha: float) -> float:
    """α of the look after ``done`` repeats; without looks there is one test, which has it all.

    Between two looks nobody looks: what is judged there (a part of the repeats was selected) is as the one before.
    """
    if not looks:
        return alpha
    return levels(looks, alpha)[max(0, sum(n <= done for n in looks) - 1)]


@lru_cache(maxsize=1024)
def levels(looks: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """α of each look, all of which together err with probability ``alpha``."""
    found, before, spent, left = [], 0, 0.0, (np.zeros(1), np.ones(1))  # where sums are that have not ended, how often
    for n in looks:
        step = math.sqrt(n - before)
        spend = alpha * (n / looks[-1]) ** 2 - spent
        bound = _bound(left, step, spend)
        found.append(float(_above(bound / math.sqrt(n))))
        grid = np.linspace(-DEPTH * math.sqrt(n), bound, POINTS)
        density = np.exp(-0.5 * ((grid[:, None] - left[0]) / step) ** 2) @ left[1] / step / math.sqrt(2 * math.pi)
        weights = np.full(POINTS, grid[1] - grid[0])
        weights[[0, -1]] /= 2
        left, before, spent = (grid, density * weights), n, spent + spend
    return tuple(found)


def _bound(left: tuple[np.ndarray, np.ndarray], step: float, spend: float) -> float:
    """What the next sum is above with probability ``spend``."""
    low, high = -50.0 * step, 50.0 * step + float(left[0].max())
    for _ in range(60):
        middle = (low + high) / 2
        over = float((_above((middle - left[0]) / step) * left[1]).sum())
        low, high = (middle, high) if over > spend else (low, middle)
    return high
