"""What one scenario came to, and all that is said of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pytest_vllm_bench.model.asked import Scenario
from pytest_vllm_bench.model.measurement import MachineFacts
from pytest_vllm_bench.model.message import Message
from pytest_vllm_bench.model.plan import Plan
from pytest_vllm_bench.model.record import Record
from pytest_vllm_bench.model.verdict import Check, Culprit, RuleVerdict, Taint, TestOutcome, Verdict, outcome_of

Metrics = Mapping[str, float | int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How a number of tokens is spread over the requests of which it is known."""

    n: int
    min: int
    mean: float
    p50: int
    p90: int
    max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSummary:
    """What the requests were like, told without them."""

    n: int = 0  # all of them, also those that were not sent
    error_counts: Mapping[str, int] = field(default_factory=dict)  # kind of error → how many
    first_error: str | None = None  # in the server's words, or the system's
    token_source: str | None = None  # the weakest witness among those that succeeded
    lengths: Mapping[str, Spread | None] = field(default_factory=dict)  # asked_input, prompt_tokens, asked_output, …


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSummary:
    """What one measuring process saw of itself; of the sentinel's thousands of lags a few quantiles."""

    worker: int = 0
    loop: str = ""
    nice: int = 0
    cpu: int | None = None
    cpu_s: float = 0.0
    reads: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    gc_collections: int = 0
    voluntary_switches: int = 0
    involuntary_switches: int = 0
    peak_memory_bytes: int = 0
    died: str = ""
    seconds: float = 0.0
    sentinel_ticks: int = 0
    p50_sentinel_lag_ms: float | None = None
    p99_sentinel_lag_ms: float | None = None
    max_sentinel_lag_ms: float | None = None
    tape_stalls: int = 0
    tape_stall_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSummary:
    """What the client saw of itself during the load."""

    seconds: float = 0.0
    steal: float | None = None
    stop_reason: str = ""
    workers: tuple[WorkerSummary, ...] = ()
    machines: tuple[MachineFacts, ...] = ()  # of several
    start_skew_ms: float | None = None  # between their starts


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric against the reference.  ``change``: relative (absolute for an absolute tolerance), positive = more;
    ``interval``: the changes that are not ruled out, its worse end as sure as a PASS must be, its better end as a FAIL;
    ``detectable``: the worsening that would fail four times in five."""

    metric: str
    gated: bool
    verdict: Verdict
    reason: Message
    reference: float
    observed: float
    change: float
    interval: tuple[float, float]
    tolerance: float
    detectable: float
    sessions: int
    relative: bool = True
    suspected: bool = False  # over the tolerance, to be measured again
    culprit: Culprit | None = None  # of a latency that failed: which stage has changed
    scenario: str = ""  # another than the result's own, that the end of the session showed; "*": all of them together


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineOutcome:
    """What came of holding a result against a reference; without comparisons ``notes`` say why.

    ``refused``: what is gated was not compared, which fails.
    """

    reference: str
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[Message, ...] = ()
    refused: bool = False

    @property
    def failed(self) -> tuple[Message, ...]:
        """Why the gate failed: the figures that are worse, and why what is gated was not compared.  (What only the end
        of a session showed fails the session.)"""
        worse = tuple(c.reason for c in self.comparisons if c.gated and c.verdict is Verdict.FAIL and not c.scenario)
        return (*worse, *(self.notes if self.refused else ()))


#: Why a search ended: it has its answer, nothing broke, nothing holds; its budget; a probe that says nothing, or whose
#: server went away, or that was interrupted.
SearchEnd = Literal["found", "max", "floor", "runs", "time", "invalid", "gone", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityLevel:
    """What is known of a level: whether it held, whether a verdict or the observed side says so, and by which run."""

    level: float
    held: bool
    decided: bool
    proven: bool
    multiple: int
    result: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityAnswer:
    """The largest level that held and the smallest that broke (None: none did); ``stopped``: why it ended."""

    held: float | None
    broken: float | None
    held_proven: bool = False
    broken_proven: bool = False
    stopped: SearchEnd = "found"
    levels: tuple[CapacityLevel, ...] = ()
    runs: int = 0
    seconds: float = 0.0
    notes: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TestEnd:
    """Which test a result is of, and what became of that beyond the verdict."""

    __test__ = False  # to pytest, which collects what is called so

    id: str = ""
    config_file: str = ""
    failed: bool = False  # it failed although the verdict says otherwise
    passed: bool = False  # it passed, or was skipped, likewise
    said: str = ""  # why
    xfail: str = ""  # why it may fail


def _unmeasured(verdict: Verdict) -> Verdict:
    return verdict if verdict is Verdict.INVALID else Verdict.PREDICTED


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one scenario came to.  Metrics are attributes too: ``result.p99_ttft_ms``, ``result.completed``."""

    scenario: Scenario
    verdict: Verdict | None  # None: nobody judged it (another tool's file)
    complete: bool = True
    metrics: Metrics = field(default_factory=dict)
    verdicts: tuple[RuleVerdict, ...] = ()
    checks: tuple[Check, ...] = ()
    error: Message | None = None  # why there are no figures
    notes: tuple[Message, ...] = ()
    taints: tuple[Taint | str, ...] = ()
    model: str | None = None
    requests: RequestSummary = RequestSummary()
    plan: Plan | None = None
    client: ClientSummary | None = None
    server: Mapping[str, float] = field(default_factory=dict)  # deltas of the server's own counters
    environment: Mapping[str, Any] = field(default_factory=dict)
    per_repeat: Sequence[Mapping[str, Any]] = ()  # metrics and ``plan_digest`` of each repeat that the verdict pools
    pooled: Metrics = field(default_factory=dict)  # over all of those; ``metrics`` is this run's own
    by_model: Mapping[str, Metrics] = field(default_factory=dict)  # where several share the run (LoRA)
    by_turn: Mapping[str, Metrics] = field(default_factory=dict)  # of conversations; "conversation" are whole ones
    by_position: Mapping[str, Metrics] = field(default_factory=dict)  # last place in the answer → the pace until there
    traces: Sequence[str] = ()  # files of a profile, the client's own first
    stages: Mapping[str, Metrics] = field(default_factory=dict)  # of requests, in ms: mean, p0 … p100 (``judge.parts``)
    baseline: BaselineOutcome | None = None
    capacity: CapacityAnswer | None = None  # of a scenario that searches
    date: str = ""  # UTC, ISO 8601
    session: str = ""
    other: Mapping[str, Any] = field(default_factory=dict)  # what another tool wrote beside its figures
    records: Sequence[Record] = field(default=(), repr=False, compare=False)  # in a file of their own
    test: TestEnd = field(default=TestEnd(), compare=False)
    path: Path | None = field(default=None, compare=False)  # the JSON file

    def __post_init__(self) -> None:
        """What was predicted was measured by nobody, whoever made the verdict."""
        if "predicted" in self.taints:
            predicted = tuple(replace(one, verdict=_unmeasured(one.verdict), proven=False) for one in self.verdicts)
            object.__setattr__(self, "verdicts", predicted)
            object.__setattr__(self, "verdict", self.verdict and _unmeasured(self.verdict))

    @property
    def id(self) -> str:
        return self.scenario.id

    @property
    def num_prompts(self) -> int | None:
        """As asked for, or as many as there were."""
        asked = self.scenario.num_prompts
        return asked if asked is not None else self.requests.n or None

    @property
    def request_rate(self) -> float | None:
        """Requests/s of an open loop; None: a closed loop, or everything at once."""
        return self.scenario.request_rate if math.isfinite(self.scenario.request_rate) else None

    @property
    def outcome(self) -> TestOutcome | None:
        """What pytest makes of the verdict; an assert of the test's own, later, is the test's.  None without one."""
        return self._outcome[0]

    @property
    def outcome_reason(self) -> Message | None:
        """Why, where the verdict alone does not say."""
        return self._outcome[1]

    @property
    def _outcome(self) -> tuple[TestOutcome | None, Message | None]:
        if self.verdict is None:
            return None, None
        sides = [v.within for v in self.verdicts if v.verdict is Verdict.INCONCLUSIVE]
        return outcome_of(self.verdict, sides, self.scenario.judge, self.taints)

    def __getattr__(self, name: str) -> float | int | None:
        metrics: Metrics = object.__getattribute__(self, "metrics")
        if name in metrics:
            return metrics[name]
        raise AttributeError(f"{name!r} is neither a field nor a metric of this result")


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsentResult:
    """What stands for a scenario that was to run and has no result (yet): ``why`` in a word, and as it was ``said``."""

    id: str
    session: str
    test: str = ""
    why: str = ""
    said: str = ""
    xfail: str = ""
