"""Simulated latencies: ``runs`` series of ``n`` requests each, stationary from the start."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def independent(runs: int, n: int, rng: np.random.Generator) -> Any:
    return rng.normal(size=(runs, n))


def autoregressive(phi: float, runs: int, n: int, rng: np.random.Generator) -> Any:
    """AR(1) with a standard normal marginal."""
    x = np.empty((runs, n))
    noise = rng.normal(size=(runs, n)) * math.sqrt(1 - phi * phi)
    x[:, 0] = rng.normal(size=runs)
    for i in range(1, n):
        x[:, i] = phi * x[:, i - 1] + noise[:, i]
    return x


def queue(rho: float, runs: int, n: int, rng: np.random.Generator) -> Any:
    """Time in an M/M/1 queue with unit arrival rate (Lindley)."""
    served = rng.exponential(rho, size=(runs, n))
    between = rng.exponential(1, size=(runs, n))
    waited = np.empty((runs, n))
    waited[:, 0] = np.where(rng.random(runs) < rho, rng.exponential(rho / (1 - rho), size=runs), 0)
    for i in range(1, n):
        waited[:, i] = np.maximum(0, waited[:, i - 1] + served[:, i - 1] - between[:, i])
    return waited + served


def regimes(share: float, slow_for: float, phi: float, runs: int, n: int, rng: np.random.Generator) -> Any:
    """A server that is slow (2) for ``share`` of the time, ``slow_for`` requests on average, and else quick: about 0.1,
    AR(1)."""
    quick = 0.1 * np.exp(0.1 * autoregressive(phi, runs, n, rng))
    slow = np.empty((runs, n), dtype=bool)
    slow[:, 0] = rng.random(runs) < share
    for i in range(1, n):
        leaves = np.where(slow[:, i - 1], 1 / slow_for, share / (1 - share) / slow_for)
        slow[:, i] = slow[:, i - 1] ^ (rng.random(runs) < leaves)
    return np.where(slow, 2.0, quick)
