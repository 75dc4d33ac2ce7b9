"""Scenario → what the formulas of the metrics need to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_vllm_bench.metric_table import parse_name
from pytest_vllm_bench.model import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSettings:
    """What the formulas need to know of the load.  ``goodput`` in milliseconds, as in the config."""

    percentiles: tuple[float, ...] = (50, 90, 95, 99)
    goodput: Mapping[str, float] = field(default_factory=dict)
    concurrency: int | None = None
    open_loop: bool = False
    staged: bool = False  # the cap changes during the run
    rising: float = 0.0  # seconds in which the load rises, before it is what was asked for
    workers: int = 1  # measuring processes
    complete: bool = True
    accelerators: int | None = None
    spread: int | None = (
        None  # accelerators that the server's own flags ask for: of those that are watched it has these
    )
    price_per_hour: float | None = None


def settings_of(scenario: Scenario, *, workers: int = 1, complete: bool = True) -> MetricSettings:
    """The settings of a scenario; percentiles that only a rule asks for are added to those asked for."""
    asked = set(scenario.percentiles)
    for rule in scenario.rules:
        name = parse_name(rule.metric)
        if name and name.statistic == "p" and name.percent is not None:
            asked.add(float(name.percent))
    return MetricSettings(
        percentiles=tuple(sorted(asked)),
        goodput=scenario.goodput,
        concurrency=scenario.concurrency,
        open_loop=scenario.open_loop,
        rising=scenario.rising,
        staged=any(stage.concurrency is not None for stage in scenario.stages),
        workers=workers,
        complete=complete,
        accelerators=scenario.deployment.accelerators,
        price_per_hour=scenario.deployment.price_per_hour,
    )
