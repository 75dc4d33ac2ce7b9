"""Watching the server from outside the measured time: is it there, what does it serve, what do its counters say."""

from __future__ import annotations

from collections.abc import Callable

from pytest_vllm_bench.model import Beside, Scenario


def _timeline(scenario: Scenario) -> Beside:
    """Imported when load is sent: an HTTP client takes longer to load than a dry run does."""
    from pytest_vllm_bench.observe.timeline import MetricsPages

    return MetricsPages(scenario.watching)


def _accelerators(scenario: Scenario) -> Beside | None:
    from pytest_vllm_bench.observe.accelerators import watcher

    return watcher(scenario.watching.accelerators) if scenario.watches_accelerators else None


def _host(scenario: Scenario) -> Beside | None:
    from pytest_vllm_bench.observe.host import HostWatch

    return HostWatch(scenario.watching.interval) if scenario.target.here else None


#: What is done beside the load of a scenario (None: nothing), in this order; third parties add to the registry's copy.
BESIDES: dict[str, Callable[[Scenario], Beside | None]] = {
    "timeline": _timeline,
    "accelerators": _accelerators,
    "host": _host,
}
