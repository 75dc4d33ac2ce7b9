"""Times of one run → its steady window, in which neither our own start burst nor the emptying end is seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pytest_vllm_bench.measure.settings import MetricSettings

FEWEST_CLOSED = 5
FEWEST_OPEN = 10


def steady(times: Mapping[str, Any], response_e2el: Any | None, settings: MetricSettings) -> tuple[float, float] | None:
    """The window in seconds from the run's start, or None where there is none.

    ``times`` holds the columns sent, due, done, tried, chain, counted of a Sample.
    """
    if settings.staged:
        return None
    if settings.open_loop:
        found = _open(times, response_e2el, settings.rising)
        fewest = FEWEST_OPEN
    else:
        found = _closed(times, settings)
        fewest = FEWEST_CLOSED
    if found is None or int(members(times, found, settings.open_loop).sum()) < fewest:
        return None
    return found


def members(times: Mapping[str, Any], window: tuple[float, float] | None, open_loop: bool) -> Any:
    """Which requests belong to the window: counted and sent (or given up unsent) in it (a bool column).

    In an open loop also those due in it that were still waiting for the cap when it closed: leaving them out
    would drop the longest waits.
    """
    if window is None:
        return np.zeros(len(times["sent"]), dtype=np.bool_)
    begin, end = window
    tried, due = times["tried"], times["due"]
    inside = (tried >= begin) & (tried <= end)
    if open_loop:
        inside |= (due >= begin) & (due <= end)
    return inside & times["counted"]


def _closed(times: Mapping[str, Any], settings: MetricSettings) -> tuple[float, float] | None:
    """From the C-th completion, and the end of a ramp, to the last dispatch of the shard that runs dry first."""
    cap = settings.concurrency
    was_sent = np.isfinite(times["sent"])
    if cap is None or int(was_sent.sum()) < 3 * cap:
        return None
    done = np.sort(times["done"][np.isfinite(times["done"])])
    if len(done) < cap:  # a tape that was cut off, or more in flight than another tool says
        return None
    shard = times["chain"][was_sent] % settings.workers
    sent = times["sent"][was_sent]
    last = [float(sent[shard == w].max()) for w in range(settings.workers) if (shard == w).any()]
    begin = max(float(done[cap - 1]), float(sent.min()) + settings.rising)
    end = min(last)
    return (begin, end) if end > begin else None


def _open(times: Mapping[str, Any], response_e2el: Any, rising: float) -> tuple[float, float] | None:
    """From the first due, or the end of a ramp, plus F to the last due, F being the p95 of response_e2el."""
    due = times["due"][np.isfinite(times["due"])]
    known = response_e2el[np.isfinite(response_e2el)]
    if not len(due) or not len(known):
        return None
    fill = float(np.quantile(known, 0.95))
    begin, end = float(due.min()) + rising + fill, float(due.max())
    return (begin, end) if end - begin >= 2 * fill else None
