"""What a session has measured so far, and what the one that it takes up again had measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_vllm_bench import judging
from pytest_vllm_bench.model import Cell, Deployment, JudgeSettings, Measurement, Scenario, ValiditySettings, Watching
from pytest_vllm_bench.store import folder, measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A session's; its results folder is where the one before has left what it knew."""

    folder: Path
    session: str = ""  # its start, UTC
    resumed: bool = False
    measured: dict[Cell, list[Measurement]] = field(default_factory=dict)  # by cell, in the order of running
    last: Mapping[Cell, str] = field(default_factory=dict)  # cell → the last of its repeats, in the order of running
    decided: dict[Cell, int] = field(default_factory=dict)  # cell → the repeat that decided (``until: decided``)

    def of(self, scenario: Scenario) -> list[Measurement]:
        """A scenario's repeats so far."""
        return self.measured.get(scenario.cell.repeated, [])

    def keep(self, one: Measurement) -> Sequence[Measurement]:
        """Note a measurement, instead of one of the same repeat; → the scenario's repeats so far."""
        others = [m for m in self.of(one.scenario) if m.scenario.repeat != one.scenario.repeat]
        self.measured[one.scenario.cell.repeated] = [*others, one]
        return self.measured[one.scenario.cell.repeated]

    def judges(self, scenario: Scenario) -> bool:
        """Whether what was measured carries the verdict: the last of the repeats, or enough of them."""
        return self.last.get(scenario.cell.repeated, scenario.id) == scenario.id or judging.enough(
            scenario, self.of(scenario)
        )

    def settled(self, scenario: Scenario) -> bool:
        """Whether the repeats before this one are enough (``repeats: {until: …}``); one that runs again is none."""
        if scenario.repeats.looks:
            return self.decided.get(scenario.cell.repeated, scenario.repeat) != scenario.repeat
        so_far = [m for m in self.of(scenario) if m.scenario.repeat != scenario.repeat]
        return bool(so_far) and scenario.repeats.until is not None and judging.enough(scenario, so_far)

    def recall(self, scenario: Scenario, server: Mapping[str, Any] | None) -> Measurement | None:
        """What the session that is resumed has measured of a scenario: whole, the same load, and of the same server, or
        (None) of one that the same command starts."""
        one = measurement.found(self.folder / folder.stem(scenario.id)) if self.resumed else None
        if one is None or one.session != self.session or not one.complete or one.gone is not None:
            return None
        if one.predicted is not None:  # by a twin that may be another one by now
            return None
        same = alike(one.scenario, scenario) and server in (None, one.environment.get("server"))
        return replace(one, scenario=scenario, resumed=True) if same else None  # and judged by today's rules


def without_secrets(scenario: Scenario) -> Scenario:
    """As it is kept: of headers the names alone, and no keys in a query or a body."""
    target = scenario.target
    return replace(
        scenario,
        target=replace(
            target, headers=dict.fromkeys(target.headers, ""), hidden=(), launch=target.covered(target.launch)
        ),
        endpoint=scenario.endpoint and target.discreet(scenario.endpoint),
        sampling=target.covered(scenario.sampling),
        extra_body=target.covered(scenario.extra_body),
    )


def alike(kept: Scenario, scenario: Scenario) -> bool:
    """Whether the same was sent, whatever is asked of the answer; ``kept``: as a measurement has it."""

    def unjudged(one: Scenario) -> Scenario:
        nothing = {"rules": (), "goodput": {}, "percentiles": (), "xfail": "", "skip": ""}
        kinds = (
            ("judge", JudgeSettings),
            ("validity", ValiditySettings),
            ("watching", Watching),
            ("deployment", Deployment),
        )
        return replace(one, **{name: kind() for name, kind in kinds}, **nothing)  # type: ignore[arg-type]

    return unjudged(kept) == unjudged(without_secrets(scenario))
