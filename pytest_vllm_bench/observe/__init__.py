"""Watching the server from outside the measured time: is it there, what does it serve, what do its counters say."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pytest_vllm_bench.model import Beside, Scenario


def _counters() -> Beside:
    """Imported when load is sent: an HTTP client takes longer to load than a dry run does."""
    from pytest_vllm_bench.observe.counters import Counters

    return Counters()


def _nvidia() -> Beside:
    from pytest_vllm_bench.observe.accelerators.nvidia import Nvidia

    return Nvidia()


#: What is done beside every load, in this order; third parties add to the registry's copy.
BESIDES: dict[str, Callable[[], Beside]] = {"counters": _counters, "nvidia": _nvidia}
#: Those that watch this machine's accelerators.
ACCELERATORS = ("nvidia",)


def chosen(besides: Mapping[str, Callable[[], Beside]], scenario: Scenario) -> tuple[Callable[[], Beside], ...]:
    """What is done beside this scenario's load."""
    return tuple(make for name, make in besides.items() if name not in ACCELERATORS or scenario.watches_accelerators)
