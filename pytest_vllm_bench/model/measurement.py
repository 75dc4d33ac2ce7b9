"""What happened when one plan was sent: the client about itself, what was watched meanwhile, the Measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pytest_vllm_bench.model.asked import Scenario
from pytest_vllm_bench.model.message import Message
from pytest_vllm_bench.model.plan import Plan
from pytest_vllm_bench.model.record import Record
from pytest_vllm_bench.model.sample import Sample, Track
from pytest_vllm_bench.model.target import Target
from pytest_vllm_bench.model.verdict import RuleVerdict, Taint

#: Seconds that a watcher may take to begin and to end, more than ours do.
PATIENCE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFacts:
    """What one measuring process saw of itself between the first and the last measured request."""

    worker: int
    started: float  # absolute monotonic time of the run's start (due = 0)
    ended: float
    cpu_s: float  # user + system CPU of the process in that span
    reads: int
    bytes_in: int
    bytes_out: int
    sentinel_lags: tuple[float, ...] = ()  # seconds: read − written, one a 10 ms tick
    tape_stalls: tuple[float, ...] = ()  # seconds: tape writes that held the loop for over 0.1 ms
    tape_writes: int = 0  # all of them
    gc_collections: int = 0
    voluntary_switches: int = 0
    involuntary_switches: int = 0
    peak_memory_bytes: int = 0
    event_cost_s: float = 0.0  # CPU for one event, as a burst within the process showed before the run
    peak_reads_per_s: float = 0.0  # in the busiest half second
    peak_cpu: float = 0.0  # share of a core in the busiest half second
    nice: int = 0
    cpu: int | None = None  # the one that it was pinned to
    loop: str = ""  # "uvloop 0.22.1" or "asyncio"
    died: str = ""  # why, if it did not end by itself
    disk_full: bool = False  # that is why; ``died`` says where
    exhausted: str = ""  # what its machine refused it a connection for, in the system's words


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """One of several machines that sent a plan together, and how well."""

    name: str
    start_ms: float = 0.0  # after the common start
    error_ms: float = 0.0  # of what is known of its clock, at most
    ahead_ms: float = 0.0  # its clock before the load
    drift_ppm: float = 0.0
    cpu: float | None = None  # of a core, its busiest process
    steal: float | None = None
    p99_send_lag_ms: float | None = None
    p99_sentinel_lag_ms: float | None = None
    lost: Message | None = None  # it was lost, and when


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFacts:
    """What the client saw of itself during one load."""

    started: float  # absolute; Record times count from here
    ended: float
    workers: tuple[WorkerFacts, ...]
    complete: bool  # everything planned was sent and answered or given up; False after a stop
    stop_reason: str = ""
    steal: float | None = None  # share of CPU time taken by the hypervisor; None = unknown here
    machines: tuple[MachineFacts, ...] = ()  # of n, process or chain i is of machine i % n
    warnings: tuple[Message, ...] = ()

    @property
    def start_skew_ms(self) -> float | None:
        """From the first machine's start to the last's; what is lost counts in no longer."""
        starts = [machine.start_ms for machine in self.machines if not machine.lost]
        return max(starts) - min(starts) if starts else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What was seen of the server beside the load."""

    counters: Mapping[str, float] = field(default_factory=dict)  # ``server.*``: what it counted itself meanwhile
    fault: Message | None = None  # it restarted or changed its model meanwhile: the figures are not of one server
    fault_at: float | None = None  # when that was seen, absolute; None: at the end
    tracks: tuple[Track, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)  # what it runs on: joins the measurement's
    notes: tuple[Message, ...] = ()


class Beside(Protocol):
    """Something that is done beside the load, by nobody's leave but the story's; one is made for each load."""

    #: Seconds that it may take to begin, and to end.  None: the load is for its sake, so that it is waited for, and
    #: what goes wrong ends that.
    patience: float | None = PATIENCE

    async def begin(self, target: Target) -> None:
        """Before the first request."""

    async def end(self, interrupted: bool) -> Observed:
        """After the last answer; after an interruption without any delay, and where ``begin`` was not over."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What happened when one plan was sent; saved beside its result, and loaded back equal.

    ``records`` may lie on disk.  ``samples`` keeps the columns that were made of them, by goodput limits.
    """

    scenario: Scenario  # effective; of its target's headers the names alone
    plan: Plan | None = None  # None, as the facts: of a file that does not hold them
    facts: LoadFacts | None = None
    observed: Observed = Observed()
    records: Sequence[Record] = field(default=(), repr=False)
    complete: bool = True  # everything planned was sent and answered or given up
    interrupted: bool = False
    stopped_by: RuleVerdict | None = None  # a rule that was proven broken whatever would still come
    gone: Message | None = None  # the server went away
    salvaged: bool = False  # read from what a killed session had left
    resumed: bool = False  # of a session that was taken up again
    #: By a twin: by which share it was wrong on loads that it had not seen, of each metric.  None: it was measured.
    predicted: Mapping[str, float] | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    round_trip_ms: float | None = None  # of a small request before any load
    date: str = ""  # UTC, ISO 8601
    session: str = ""
    samples: dict[Any, Sample] = field(default_factory=dict, repr=False, compare=False)

    @property
    def said(self) -> list[Message]:
        """What was said on the way, of the server, of the plan and of the client."""
        of_plan, of_client = self.plan.notes if self.plan else (), self.facts.warnings if self.facts else ()
        return [*self.observed.notes, *of_plan, *of_client]

    @property
    def started(self) -> dict[str, float]:
        """Figures of its server's start, where the test started it."""
        return {key: value for key, value in self.observed.counters.items() if key.startswith("startup.")}

    @property
    def taints(self) -> tuple[Taint, ...]:
        there: dict[Taint, bool] = {
            "predicted": self.predicted is not None,
            "simulated": self.scenario.target.simulated,
            "interrupted": self.interrupted,
            "salvaged": self.salvaged,
            "resumed": self.resumed,
            "profiled": any(note.key == "server.profiled" for note in self.observed.notes),
        }
        return tuple(taint for taint, holds in there.items() if holds)
