"""What one scenario's run needs and does not say itself, and whom it tells: the nouns around ``run``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pytest_vllm_bench import environment
from pytest_vllm_bench.machines import Machine
from pytest_vllm_bench.memory import Memory
from pytest_vllm_bench.model import Backend, Beside, Measurement, Message, Record, Scenario, Target
from pytest_vllm_bench.observe.ready import Server
from pytest_vllm_bench.plan import BuildContext, Dataset
from pytest_vllm_bench.regression import ReferenceGate, Rounds
from pytest_vllm_bench.tokenizer import Tokenizer


class Watch(Protocol):
    """Who is told while a scenario runs; called from other threads too."""

    def phase(self, message: Message) -> None: ...

    def warn(self, message: Message) -> None: ...

    def record(self, record: Record) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """What the tiers of one search share: the tiers, in the order of running, and what was measured for one of them."""

    tiers: tuple[Scenario, ...] = ()
    measured: list[Measurement] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)  # ids of the tiers that have run


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a scenario's run needs and does not say itself: the server found, names resolved, where to write."""

    target: Target  # where it really is: the built-in server's address is known only once it runs
    backend: Backend
    models: tuple[str, ...]
    max_model_len: int | None
    server: Server = field(repr=False)  # what it said of itself
    tokenizer: Tokenizer
    template_tokens: int | None
    chat_template: Any  # the tokenizer whose template is applied here, as transformers has it; None: by the server
    base_dir: Path  # what relative paths in the config are relative to
    memory: Memory  # of the session: what it has measured, and where it writes
    datasets: Mapping[str, Dataset]  # ours, and what third parties registered
    environment: Mapping[str, Any]
    besides: Sequence[Callable[[Scenario], Beside | None]] = ()  # what is done beside each load
    salt: str = ""  # of one load's prompts
    gate: ReferenceGate | Rounds | None = None  # the reference that results are held against
    probes: Probes = Probes()  # of the search that the scenario is a tier of; of a probe, who else will judge it
    notes: tuple[Message, ...] = ()  # what the server does not tell, and what it tells and is not so
    output_field: str = ""  # that the server takes instead of the backend's own
    machines: tuple[Machine, ...] = ()  # that send instead of this one
    opened: Callable[[], Awaitable[World]] | None = None  # starts the server, and is the same of it; None: it is there

    @property
    def folder(self) -> Path:
        """Of results."""
        return self.memory.folder

    @property
    def round_trip_ms(self) -> float | None:
        """Of a small request before any load."""
        return None if self.server.round_trip_s is None else 1e3 * self.server.round_trip_s


def build_context(world: World) -> BuildContext:
    """What a plan may know of the world."""
    return BuildContext(
        backend=world.backend,
        tokenizer=world.tokenizer,
        models=world.models,
        max_model_len=world.max_model_len,
        salt=world.salt,
        template_tokens=world.template_tokens,
        chat_template=world.chat_template,
        base_dir=world.base_dir,
        cache_dir=environment.cache_dir() / "prompts",
        datasets=world.datasets,
        output_field=world.output_field,
    )
