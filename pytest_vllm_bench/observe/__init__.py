"""Watching the server from outside the measured time: is it there, what does it serve, what do its counters say."""

from __future__ import annotations

from collections.abc import Callable

from pytest_vllm_bench.model import Beside


def _counters() -> Beside:
    """Imported when load is sent: an HTTP client takes longer to load than a dry run does."""
    from pytest_vllm_bench.observe.counters import Counters

    return Counters()


#: What is done beside every load, in this order; third parties add to the registry's copy.
BESIDES: dict[str, Callable[[], Beside]] = {"counters": _counters}
