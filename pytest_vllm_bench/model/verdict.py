"""What it is worth: verdicts of rules and of checks, and what pytest makes of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pytest_vllm_bench.model.asked import JudgeSettings, Rule
from pytest_vllm_bench.model.message import Message


class Verdict(StrEnum):
    PASS = "PASS"
    PREDICTED = "PREDICTED"  # by a twin: nobody has measured it
    INCONCLUSIVE = "INCONCLUSIVE"
    FAIL = "FAIL"
    INVALID = "INVALID"

    @property
    def rank(self) -> int:
        """INVALID > FAIL > INCONCLUSIVE > PREDICTED > PASS."""
        return list(Verdict).index(self)

    @staticmethod
    def worst(verdicts: Iterable[Verdict | None]) -> Verdict:
        return max(filter(None, verdicts), key=lambda v: v.rank, default=Verdict.PASS)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageShare:
    """What of a figure one stage of its requests makes, in the figure's unit, and what it would be ``without`` it."""

    stage: str  # server_queue, …; "other": those that make least
    share: float
    interval: tuple[float, float]
    without: float
    within: bool  # whether the rule would hold then


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """Where a figure comes from: its stages, the largest share first."""

    stage: str | None  # which of them stands out; None: none does
    observed: float
    uncontended: float  # with all of them replaced
    shares: tuple[StageShare, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleVerdict:
    """One rule, judged.  ``observed`` is a number, None (no data) or "inf" (the order statistic is a failure)."""

    rule: Rule
    verdict: Verdict
    reason: Message
    observed: float | Literal["inf"] | None
    within: bool | None = None  # the observed side; None = no data
    proven: bool = False  # statistically, not only observed
    window: Literal["whole", "steady"] = "whole"
    other: float | None = None  # the same figure in the other window
    n: int = 0
    misses: int | None = None
    n_eff: float | None = None
    misses_eff: float | None = None
    tau: float | None = None
    interval: tuple[float, float] | None = None
    more: int | None = None  # how many more requests would decide; None = not applicable or too close to decide
    culprit: Culprit | None = None  # of a latency that is over its limit


#: What a reader must know of where figures come from, in the order in which it is said.
Taint = Literal[
    "predicted", "simulated", "interrupted", "salvaged", "resumed", "throttled", "broken", "shared", "profiled"
]
#: What pytest makes of a verdict.
TestOutcome = Literal["pass", "fail", "skip"]


def outcome_of(
    verdict: Verdict, sides: Iterable[bool | None], asked: JudgeSettings, taints: Collection[str]
) -> tuple[TestOutcome, Message | None]:
    """What becomes of the test, and why where the verdict does not say; ``sides``: on which undecided rules stood."""
    if verdict in (Verdict.FAIL, Verdict.INVALID):
        return "fail", None
    for taint in ("predicted", "simulated"):
        if asked.strict and taint in taints:
            return "fail", Message(key=f"judge.outcome.strict_{taint}")
    for taint in ("interrupted", "salvaged"):
        if taint in taints and "resumed" not in taints:
            return "fail", Message(key=f"judge.outcome.{taint}")
    if verdict is Verdict.PREDICTED:  # nothing was measured, so nothing passed and nothing failed
        return "skip", Message(key="judge.outcome.predicted")
    if verdict is Verdict.PASS:
        return "pass", None
    if asked.strict:
        return "fail", Message(key="judge.outcome.strict")
    if asked.inconclusive == "lean":
        over = False in sides
        return "fail" if over else "pass", Message(key="judge.outcome.lean_over" if over else "judge.outcome.lean")
    return asked.inconclusive, Message(key=f"judge.outcome.{asked.inconclusive}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row of the validity table: was the load what was asked for, and the client up to it?"""

    #: send_lag, sentinel_lag, rate, concurrency, cpu, steal, skew, worker, reconnected, length, output_length, cache,
    #: token_source, throttle, littles_law
    id: str
    ok: bool
    observed: float | None
    limit: float | None
    message: Message  # what was seen and, if not ok, the one thing to change


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a scenario is worth: the worst of its rules, its checks and its ``faults`` (what no rule stands for)."""

    verdict: Verdict
    verdicts: tuple[RuleVerdict, ...] = ()
    checks: tuple[Check, ...] = ()
    faults: tuple[Message, ...] = ()  # the server restarted; the run was interrupted
    notes: tuple[Message, ...] = ()
