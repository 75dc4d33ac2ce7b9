"""What one scenario came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_vllm_bench.model.asked import Scenario
from pytest_vllm_bench.model.measurement import LoadFacts
from pytest_vllm_bench.model.message import Message
from pytest_vllm_bench.model.plan import Plan
from pytest_vllm_bench.model.record import Record
from pytest_vllm_bench.model.verdict import Check, RuleVerdict, Taint, TestOutcome, Verdict, outcome_of

Metrics = Mapping[str, float | int | None]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one scenario came to.  Metrics are attributes too: ``result.p99_ttft_ms``, ``result.completed``."""

    scenario: Scenario
    verdict: Verdict
    complete: bool
    metrics: Mapping[str, float | int | None]
    verdicts: tuple[RuleVerdict, ...] = ()
    checks: tuple[Check, ...] = ()
    records: Sequence[Record] = field(default=(), repr=False)
    plan: Plan | None = None
    facts: LoadFacts | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    server: Mapping[str, float] = field(default_factory=dict)  # deltas of the server's own counters
    per_repeat: Sequence[Metrics] = ()  # of each repeat that the verdict pools, where there are several
    pooled: Metrics = field(default_factory=dict)  # over all of those; ``metrics`` is this run's own
    by_model: Mapping[str, Metrics] = field(default_factory=dict)  # where several share the run (LoRA)
    by_turn: Mapping[str, Metrics] = field(default_factory=dict)  # of conversations; "conversation" are whole ones
    baseline: str = ""  # the reference that it was held against
    baseline_notes: tuple[Message, ...] = ()  # why nothing was compared, or what else differs
    baseline_refused: bool = False  # what is gated was not compared, which fails
    comparisons: Sequence[Any] = ()  # judge's Comparison, a metric each
    capacity: Any = None  # judge's Answer, of a scenario that searches
    date: str = ""  # UTC, ISO 8601
    session: str = ""
    error: Message | None = None  # why there are no figures
    notes: tuple[Message, ...] = ()
    taints: tuple[Taint, ...] = ()
    path: Path | None = None  # the JSON file

    @property
    def outcome(self) -> TestOutcome:
        """What pytest makes of the verdict; an assert of the test's own, later, is the test's."""
        return self._outcome[0]

    @property
    def outcome_reason(self) -> Message | None:
        """Why, where the verdict alone does not say."""
        return self._outcome[1]

    @property
    def _outcome(self) -> tuple[TestOutcome, Message | None]:
        sides = [v.within for v in self.verdicts if v.verdict is Verdict.INCONCLUSIVE]
        return outcome_of(self.verdict, sides, self.scenario.judge, self.taints)

    def __getattr__(self, name: str) -> float | int | None:
        metrics: Mapping[str, float | int | None] = object.__getattribute__(self, "metrics")
        if name in metrics:
            return metrics[name]
        raise AttributeError(f"{name!r} is neither a field nor a metric of this result")
