"""What is asked: a Scenario and its parts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from pytest_vllm_bench.model.cell import Cell
from pytest_vllm_bench.model.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds; ``first_token``: from ``sent`` to the first byte of the body; ``between_tokens``: between reads."""

    connect: float = 10.0
    first_token: float = 300.0
    between_tokens: float = 60.0
    total: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetChoice:
    """Which dataset, with its options as written in the config (validated by the dataset)."""

    name: str = "random"
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""  # what stands in the id where several choices share a name


@dataclass(frozen=True, slots=True, kw_only=True)
class RampUp:
    """The rate rises from ``start`` requests/s (0: nearly nothing) to ``request_rate`` over ``over`` seconds; without
    a rate the cap does, from ``start`` slots to ``concurrency``.

    ``over`` None: over all of the requests, from one to the next."""

    over: float | None
    start: float = 0.0
    shape: Literal["linear", "exponential"] = "linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of a staged load: a rate (requests/s) or a concurrency, held for ``seconds``."""

    seconds: float
    rate: float | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    """Requests sent before the measured ones: a number, a multiple of the concurrency, or seconds; all None = none."""

    requests: int | None = None
    multiple: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """``metric op limit``, e.g. ``p99_ttft_ms <= 500``; ``implied`` rules were not written by the user."""

    text: str
    metric: str  # without whole_/steady_ prefix
    op: Literal["<=", "<", ">=", ">", "==", "!="]
    limit: Decimal
    window: Literal["auto", "whole", "steady"] = "auto"
    implied: bool = False
    line: int | None = None  # in config.yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierGate:
    """How good the best of all settings must be: a metric, of those that keep to a limit (None: to their rules)."""

    at: Rule | None
    metric: str
    at_least: float
    config_file: str = ""  # whose scenarios; of all where nobody says


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSettings:
    mode: Literal["evidence", "exact"] = "evidence"
    confidence: Annotated[float, msgspec.Meta(ge=0.5, lt=1)] = 0.95  # checked where it is read from a file
    inconclusive: Literal["lean", "fail", "pass", "skip"] = "lean"
    strict: bool = False  # ``--vllm-strict``: what is unproven or simulated fails


@dataclass(frozen=True, slots=True, kw_only=True)
class ValiditySettings:
    """Thresholds of the validity table in metrics; shares are 0..1, ``lag_ms`` None = from the rules ("auto")."""

    lag_ms: float | None = None
    rate: float = 0.98
    concurrency: float = 0.95
    cpu: float = 0.9
    steal: float = 0.05
    reconnected: float = 0.05
    length: float = 0.01
    cache: float = 0.02
    skew: float = 0.005  # seconds between the first machine's start and the last's
    throttle: float | None = None  # of an accelerator's samples that may be slowed by heat; None: it only taints


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """What is watched beside the load: the server's metrics pages every ``interval`` seconds, and other pages."""

    interval: float = 1.0
    urls: tuple[str, ...] = ()
    accelerators: str = "auto"  # what watches them: off, a maker, or an exporter's URL


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A second, short load while the server's own profiler runs; nobody judges it."""

    scenarios: str = "*"  # ids that match
    requests: int = 32
    steps: int = 20  # of SGLang's engine
    flush: float = 1200.0  # seconds that writing may take
    folder: str = ""  # where the server writes, on this machine; "": as its command says


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What the server runs on, as its user says."""

    accelerators: int | None = None  # None: as many as are watched
    price_per_hour: float | None = None  # of all of them


#: Rounds (repeats) that a comparison of two targets takes.
FEWEST_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    min: int = 1
    max: int = 1
    until: float | None = None  # relative half-width of the interval, 0..1
    looks: tuple[int, ...] = ()  # after so many it is looked whether all is decided, which ends them


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    over: Literal["concurrency", "request_rate"]
    at_least: float | None
    max: float
    runs: int
    seconds: float
    tier: str = ""  # whose rules these are, where several tiers share the probes
    line: int | None = None  # of the gate, in config.yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One cell of the matrix: what is sent, how, and what is asked of the answer.  Everything in it is effective."""

    cell: Cell  # what it is called: io1024x256-mc16-np160[-r2]
    target: Target
    backend: str
    endpoint: str | None = field(default=None, repr=False)  # None: the backend's own
    chat_template: Literal["server", "client"] = "server"  # who makes text of messages
    models: tuple[str, ...] = ()  # empty: the server's only one; several: LoRA names, chosen per request
    model_choice: Literal["random", "round_robin"] | tuple[float, ...] = "round_robin"
    tokenizer: str | None = None  # None: the model's
    dataset: DatasetChoice = DatasetChoice()
    input_len: int | None = None  # None: the dataset decides
    output_len: int | None = None
    concurrency: int | None = None  # None: no cap
    request_rate: float = math.inf  # requests/s; inf: closed loop (or everything at once without a cap)
    burstiness: float = 1.0
    ramp_up: RampUp | None = None
    stages: tuple[Stage, ...] = ()
    num_prompts: int | None = None  # None: bounded by ``duration``, ``stages`` or the trace
    duration: float | None = None  # seconds
    warmup: Warmup = Warmup(multiple=1)
    seed: int = 0
    cache: Literal["cold", "warm"] = "cold"
    ignore_eos: bool | None = None  # None: true where the dataset asks for a length and the backend can
    output_field: str = ""  # of the body, for ``output_len``; "": the backend's own
    sampling: Mapping[str, Any] = field(default_factory=lambda: {"temperature": 0})
    extra_body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    timeouts: Timeouts = Timeouts()
    keep_alive: bool = True  # False: a fresh connection for each request
    request_id_prefix: str = ""  # of x-request-id; "": the scenario's id
    workers: int | None = None  # measuring processes; None: auto
    worker_cpus: tuple[int, ...] = ()  # processors that they are pinned to, in turn; (): the system decides
    goodput: Mapping[str, float] = field(default_factory=dict)  # ms per request: ttft, ttfo, tpot, e2el, max_gap
    rules: tuple[Rule, ...] = ()
    judge: JudgeSettings = JudgeSettings()
    validity: ValiditySettings = ValiditySettings()
    token_detail: Literal["auto", "on", "off"] = "auto"
    watching: Watching = Watching()
    profile: Profile | None = None
    deployment: Deployment = Deployment()
    repeats: Repeats = Repeats()
    search: Search | None = None  # a capacity item: probes over ``search.over`` instead of one load
    percentiles: tuple[float, ...] = (50, 90, 95, 99)
    keep_text: bool = False  # the answers' words, in the records
    tape: Literal["keep", "compress", "drop"] = "drop"
    xfail: str = ""
    skip: str = ""

    @property
    def id(self) -> str:
        return self.cell.id

    @property
    def repeat(self) -> int:
        """1-based."""
        return self.cell.repeat or 1

    @property
    def probe_of(self) -> str:
        """The search that this is one probe of, which has no gate of its own; "": none."""
        return self.cell.of_search.id if self.cell.level else ""

    @property
    def compared(self) -> bool:
        """Whether references keep its figures, which of a search and of a start say little."""
        return self.search is None and not self.probe_of and not self.of_start

    @property
    def start(self) -> int:
        """Which of its server's starts it runs on, from 0: the repeats are divided among them in order."""
        restarts = self.target.launch.restarts if self.target.launch else 1
        return (self.repeat - 1) * restarts // max(1, self.repeats.max)

    @property
    def of_start(self) -> str:
        """That a start of its server is measured, and what that finds in its caches: cold, warm; "": a load is."""
        return self.target.launch.caches if self.target.launch else ""

    @property
    def watches_accelerators(self) -> bool:
        """Whether this machine's accelerators are looked at, being the server's."""
        if self.watching.accelerators == "auto":
            return self.target.here and not self.target.simulated
        return self.watching.accelerators != "off"

    @property
    def open_loop(self) -> bool:
        """Requests come when they are due, whether or not the server has kept up."""
        return math.isfinite(self.request_rate) or any(s.rate is not None for s in self.stages)

    @property
    def rising(self) -> float:
        """Seconds in which the load rises, before it is what was asked for."""
        return (self.ramp_up.over or 0.0) if self.ramp_up else 0.0
