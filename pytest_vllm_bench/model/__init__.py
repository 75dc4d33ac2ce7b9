"""The nouns that the stages hand to one another; nothing here imports anything else of ours.

Config → Scenario → Plan → (tape) Entry → Record → Measurement → Result.  Times are seconds on the monotonic clock;
inside a Record they count from the start of the run.  Units appear in every name that leaves the process
(``p99_ttft_ms``).
"""

from pytest_vllm_bench.model.asked import (
    FEWEST_ROUNDS,
    DatasetChoice,
    Deployment,
    FrontierGate,
    JudgeSettings,
    RampUp,
    Repeats,
    Rule,
    Scenario,
    Search,
    Stage,
    Timeouts,
    ValiditySettings,
    Warmup,
    Watching,
)
from pytest_vllm_bench.model.backend import Backend
from pytest_vllm_bench.model.cell import Cell, read_cell
from pytest_vllm_bench.model.launch import ServerCommand
from pytest_vllm_bench.model.measurement import Beside, LoadFacts, MachineFacts, Measurement, Observed, WorkerFacts
from pytest_vllm_bench.model.message import Message, Problem
from pytest_vllm_bench.model.plan import INDEX_ROW, Ask, Media, Plan, Prompt
from pytest_vllm_bench.model.record import MOST_TOKENS, OURS, Count, Counts, Delta, ErrorKind, Record, Seconds, Times
from pytest_vllm_bench.model.result import (
    AbsentResult,
    BaselineOutcome,
    CapacityAnswer,
    CapacityLevel,
    ClientSummary,
    Comparison,
    Metrics,
    RequestSummary,
    Result,
    SearchEnd,
    Spread,
    TestEnd,
    WorkerSummary,
)
from pytest_vllm_bench.model.sample import Column, Sample, Track
from pytest_vllm_bench.model.tape import SENT_FIELDS, Ending, Entry, EntryKind
from pytest_vllm_bench.model.target import Target
from pytest_vllm_bench.model.verdict import (
    Check,
    Culprit,
    Judgement,
    RuleVerdict,
    StageShare,
    Taint,
    TestOutcome,
    Verdict,
    outcome_of,
)

__all__ = [
    "FEWEST_ROUNDS",
    "INDEX_ROW",
    "MOST_TOKENS",
    "OURS",
    "SENT_FIELDS",
    "AbsentResult",
    "Ask",
    "Backend",
    "BaselineOutcome",
    "Beside",
    "CapacityAnswer",
    "CapacityLevel",
    "Cell",
    "Check",
    "ClientSummary",
    "Column",
    "Comparison",
    "Count",
    "Counts",
    "Culprit",
    "DatasetChoice",
    "Delta",
    "Deployment",
    "Ending",
    "Entry",
    "EntryKind",
    "ErrorKind",
    "FrontierGate",
    "JudgeSettings",
    "Judgement",
    "LoadFacts",
    "MachineFacts",
    "Measurement",
    "Media",
    "Message",
    "Metrics",
    "Observed",
    "Plan",
    "Problem",
    "Prompt",
    "RampUp",
    "Record",
    "Repeats",
    "RequestSummary",
    "Result",
    "Rule",
    "RuleVerdict",
    "Sample",
    "Scenario",
    "Search",
    "SearchEnd",
    "Seconds",
    "ServerCommand",
    "Spread",
    "Stage",
    "StageShare",
    "Taint",
    "Target",
    "TestEnd",
    "TestOutcome",
    "Timeouts",
    "Times",
    "Track",
    "ValiditySettings",
    "Verdict",
    "Warmup",
    "Watching",
    "WorkerFacts",
    "WorkerSummary",
    "outcome_of",
    "read_cell",
]
