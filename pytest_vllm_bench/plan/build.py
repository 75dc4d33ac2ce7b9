"""Scenario → the files of a plan: every body, and when it is due, decided before the first byte is sent."""

from __future__ import annotations

import asyncio
import json
import math
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pytest_vllm_bench.backends import BACKENDS, notes
from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import INDEX_ROW, Backend, Message, Plan, Prompt, Scenario
from pytest_vllm_bench.plan.alphabet import Alphabet, alphabet
from pytest_vllm_bench.plan.bodies import Asks
from pytest_vllm_bench.plan.dataset import Dataset, Wanted
from pytest_vllm_bench.plan.datasets import DATASETS
from pytest_vllm_bench.plan.options import parse
from pytest_vllm_bench.plan.schedule import Schedule, schedule
from pytest_vllm_bench.plan.seeds import stream
from pytest_vllm_bench.plan.template import ChatTemplate, around, counted
from pytest_vllm_bench.plan.writer import PlanWriter
from pytest_vllm_bench.tokenizer import Tokenizer

#: Rows told when several are longer than the model's window.
TOLD = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildContext:
    """What a plan is built with, besides its scenario.

    ``template_tokens``: what the server adds to each prompt (chat template, BOS), where it has been asked; None =
    unknown, then a completion's is taken from the tokenizer.  ``chat_template``: the tokenizer whose template is
    applied here, as transformers has it; None = the server does.  ``progress(done, total)`` is called now and then,
    ``alive()`` often: what it raises ends the build.
    """

    backend: Backend
    tokenizer: Tokenizer | None = None
    models: tuple[str, ...] = ()
    max_model_len: int | None = None
    salt: str = ""
    template_tokens: int | None = None
    chat_template: Any = None
    token_detail: bool | None = None  # None: as the scenario says
    base_dir: Path = Path()
    cache_dir: Path | None = None
    output_field: str = ""  # where the scenario names none
    datasets: Mapping[str, Dataset] = field(default_factory=lambda: DATASETS)
    progress: Callable[[int, int], None] | None = field(default=None, repr=False)
    alive: Callable[[], None] = field(default=lambda: None, repr=False)

    @property
    def added_tokens(self) -> int:
        """Tokens around each prompt, as far as they are known."""
        if self.template_tokens is not None:
            return self.template_tokens
        if self.backend.takes_messages or self.tokenizer is None:
            return 0
        return self.tokenizer.overhead


P = TypeVar("P")


async def background(
    make: Callable[[Scenario, BuildContext, Path], P], scenario: Scenario, context: BuildContext, folder: Path
) -> P:
    """``build`` or ``warmup`` in a thread, which ends at its next row when the task is cancelled (Ctrl-C)."""
    cancelled = threading.Event()

    def alive() -> None:
        if cancelled.is_set():
            raise asyncio.CancelledError

    try:
        return await asyncio.to_thread(make, scenario, replace(context, alive=alive), folder)
    finally:
        cancelled.set()


def build(scenario: Scenario, context: BuildContext, folder: Path) -> Plan:
    """Write ``bodies.bin``, ``index.bin`` and ``plan.json`` into ``folder``; prompts pass through, none is kept.

    Raises DataError: too few rows, rows longer than the window, a file that cannot be read, lengths that cannot be had.
    """
    return _named(scenario, context, folder, purpose="measured")


def foresee(scenario: Scenario, context: BuildContext) -> tuple[Message, ...]:
    """What a dataset can say of the load before there is a server; what is wrong with its file included."""
    dataset, seed, found = context.datasets[scenario.dataset.name], (scenario.seed,), list[Message]()
    if dataset.foresee is None:
        return ()
    try:
        shape = _shape(scenario, dataset, seed)
        wanted = replace(_wanted(scenario, context, dataset, shape, seed), note=found.append)
        dataset.foresee(wanted)
    except DataError as error:
        return (error.message,)
    return (*found, *wanted.told())


def warmup(scenario: Scenario, context: BuildContext, folder: Path) -> Plan | None:
    """The same shape with other prompts, to be sent before; None where no warm-up is wanted."""
    wish = scenario.warmup
    if wish.seconds is not None:
        scenario = replace(scenario, num_prompts=None, duration=wish.seconds, stages=(), ramp_up=None)
    else:
        slots = scenario.concurrency or _slots(scenario)
        n = wish.requests if wish.requests is not None else math.ceil((wish.multiple or 0) * slots)
        if n <= 0:
            return None
        scenario = replace(scenario, num_prompts=n, duration=None, stages=(), ramp_up=None)
    return _named(scenario, context, folder, purpose="warmup")


def trial(scenario: Scenario, context: BuildContext, folder: Path) -> tuple[Plan, bytes, tuple[int, int]]:
    """One request of the same shape and other prompts, to see whether the server takes it → its plan, its body, and
    its lengths (−1: unknown)."""
    scenario = replace(scenario, num_prompts=1, duration=None, stages=(), ramp_up=None, request_rate=math.inf)
    plan = _named(scenario, context, folder, purpose="trial")
    row = struct.unpack_from(INDEX_ROW, (folder / "index.bin").read_bytes())
    return plan, (folder / "bodies.bin").read_bytes()[: row[1]], row[7:9]


def _slots(scenario: Scenario) -> int:
    """What "once the concurrency" means without a cap: a second's worth of requests."""
    rates = [s.rate for s in scenario.stages if s.rate] or [scenario.request_rate]
    caps = [s.concurrency for s in scenario.stages if s.concurrency]
    if caps:
        return max(caps)
    return math.ceil(max(rates)) if all(map(math.isfinite, rates)) else min(scenario.num_prompts or 1, 8)


def _named(scenario: Scenario, context: BuildContext, folder: Path, *, purpose: str) -> Plan:
    """What the system says about a file that is not ours is a DataError: it went, or it may not be read."""
    try:
        return _build(scenario, context, folder, purpose=purpose)
    except OSError as error:
        if not error.filename or str(error.filename).startswith(str(folder)):
            raise
        raise DataError("plan.file_unreadable", path=str(error.filename), error=error.strerror or str(error)) from error


def _build(scenario: Scenario, context: BuildContext, folder: Path, *, purpose: str) -> Plan:
    dataset = context.datasets[scenario.dataset.name]
    template = _template(scenario, context)
    if template is not None:
        context = replace(context, backend=_templated(context.backend), template_tokens=around(template))
    backend = context.backend
    seed = (scenario.seed, scenario.repeat, purpose)
    shape = _shape(scenario, dataset, seed)
    found: list[Message] = []
    wanted = replace(_wanted(scenario, context, dataset, shape, seed), note=found.append)
    scenario = replace(scenario, output_field=scenario.output_field or context.output_field)
    asks = Asks.of(scenario, backend, context.models, detail=context.token_detail, salt=context.salt, template=template)
    prompts = dataset.prompts(wanted)
    if template is not None and dataset.lengths != "both":
        prompts = counted(template, prompts)
    pick = _models(scenario, len(context.models) if backend.names_model else 1, stream(*seed, "models"))
    with PlanWriter(folder, digest=_parameters(scenario, asks.force)) as writer:
        _write(writer, wanted, _dated(prompts, shape), asks, pick, context)
    if not writer.n or (writer.n < wanted.n and not wanted.at_most):
        source = scenario.dataset.options.get("path", scenario.dataset.name)
        why = Message(key="plan.why", values={"reasons": told}) if (told := wanted.told()) else ""
        raise DataError("plan.too_few_rows", path=str(source), usable=writer.n, n=wanted.n, why=why)
    plan = _plan(scenario, context, folder, writer, shape)
    said = (*found, *wanted.told(), *notes(backend, scenario))
    plan = replace(plan, force_length=asks.force, output_field=asks.sent_field, notes=said)
    _save(plan, asks.marker if writer.n > writer.chains else "", backend)
    if context.progress is not None:
        context.progress(plan.n, plan.n)
    return plan


def _template(scenario: Scenario, context: BuildContext) -> ChatTemplate | None:
    if context.chat_template is None or context.tokenizer is None:
        return None
    return ChatTemplate.of(context.chat_template, context.tokenizer, context.backend, scenario.extra_body)


def _templated(backend: Backend) -> Backend:
    """The backend as datasets see it: messages become text; what cannot is refused later, with its row."""
    return replace(backend, takes_messages=True, takes_media=frozenset({"image", "audio", "video"}))


def _dated(prompts: Iterator[Prompt], shape: Schedule) -> Iterator[tuple[float, Prompt]]:
    """Each prompt with its due time, as long as the load lasts."""
    for number, prompt in enumerate(prompts):
        due = float(shape.due[number]) if shape.due is not None else prompt.due or 0.0
        if shape.duration is not None and due >= shape.duration:
            return
        yield due, prompt


def _write(
    writer: PlanWriter,
    wanted: Wanted,
    dated: Iterator[tuple[float, Prompt]],
    asks: Asks,
    pick: Callable[[int], int],
    context: BuildContext,
) -> None:
    """Body after body, until there are enough; rows longer than the model's window are told together."""
    too_long: list[int] = []
    limit = context.max_model_len or math.inf
    for number, (due, prompt) in enumerate(dated):
        context.alive()
        if (prompt.input_len or 0) + (prompt.output_len or 0) > limit:
            too_long.append(prompt.row or number + 1)
        writer.add(number, due, asks.turns(prompt, pick(number), wanted.n - writer.n))
        if context.progress is not None and number % 256 == 0:
            context.progress(writer.n, 0 if wanted.at_most else wanted.n)
        if writer.n >= wanted.n:
            break
    if too_long:
        more = len(too_long) - TOLD
        told = ", ".join(map(str, too_long[:TOLD])) + (f" … (+{more})" if more > 0 else "")
        raise DataError("plan.too_long", rows=told, n=len(too_long), limit=context.max_model_len)


def _shape(scenario: Scenario, dataset: Dataset, seed: tuple[object, ...]) -> Schedule:
    if dataset.times and math.isinf(scenario.request_rate) and not scenario.stages:
        n = scenario.num_prompts
        return Schedule(n=n if n is not None else 1 << 31, at_most=n is None, duration=scenario.duration)
    return schedule(scenario, stream(*seed, "arrivals"))


def _wanted(
    scenario: Scenario, context: BuildContext, dataset: Dataset, shape: Schedule, seed: tuple[object, ...]
) -> Wanted:
    options, problems = parse(dataset.options, scenario.dataset.options, dataset=scenario.dataset.name)
    if problems:
        raise DataError("plan.bad_options", problems=tuple(p.message for p in problems))
    if dataset.lengths == "both" and not (
        scenario.input_len and (scenario.output_len or not context.backend.generates)
    ):
        raise DataError("plan.lengths_missing", dataset=scenario.dataset.name)

    @cache
    def letters() -> Alphabet:
        if context.tokenizer is None:
            raise DataError("plan.needs_tokenizer", dataset=scenario.dataset.name)
        return alphabet(context.tokenizer, context.cache_dir)

    cold = scenario.cache == "cold"
    return Wanted(
        n=shape.n,
        at_most=shape.at_most,
        input_len=scenario.input_len,
        output_len=scenario.output_len,
        options=options,
        backend=context.backend,
        tokenizer=context.tokenizer,
        alphabet=letters,
        # Without a salt nothing else keeps the prompts of one scenario from those of another.
        seed=seed if cold else (*seed, scenario.cell.key),
        salt=f"{context.salt}/{scenario.id}" if cold else "",
        added_tokens=context.added_tokens,
        until=math.inf if shape.duration is None else shape.duration,
        paced=shape.due is not None,
        base_dir=context.base_dir,
        cache_dir=context.cache_dir,
        alive=context.alive,
    )


def _models(scenario: Scenario, n: int, draw: Any) -> Callable[[int], int]:
    """Which of several models (LoRA names) a request goes to."""
    if n <= 1:
        return lambda _: 0
    choice = scenario.model_choice
    if choice == "round_robin":
        return lambda number: number % n
    shares = [1.0] * n if choice == "random" else list(choice)
    edges = [sum(shares[: i + 1]) / sum(shares) for i in range(n)]

    def pick(_: int) -> int:
        at = float(draw.random_sample())
        return next((i for i, edge in enumerate(edges) if at < edge), n - 1)

    return pick


def _parameters(scenario: Scenario, force: bool) -> str:
    """What of a scenario makes it the same load; neither the server nor the text of a prompt."""
    same = {
        "dataset": (scenario.dataset.name, dict(scenario.dataset.options)),
        "lengths": (scenario.input_len, scenario.output_len),
        "concurrency": scenario.concurrency,
        "rate": repr(scenario.request_rate),
        "burstiness": repr(scenario.burstiness),
        "ramp_up": asdict(scenario.ramp_up) if scenario.ramp_up else None,
        "stages": [asdict(s) for s in scenario.stages],
        "n": scenario.num_prompts,
        "duration": scenario.duration,
        "seed": (scenario.seed, scenario.repeat),
        "cache": scenario.cache,
        "sampling": dict(scenario.sampling),
        "extra_body": dict(scenario.extra_body),
        "force": force,
    }
    return json.dumps(same, sort_keys=True, default=str)


def _plan(scenario: Scenario, context: BuildContext, folder: Path, writer: PlanWriter, shape: Schedule) -> Plan:
    backend = context.backend
    path = scenario.endpoint or backend.path
    if "{model}" in path and context.models:
        path = path.replace("{model}", context.models[0])
    return Plan(
        scenario_id=scenario.id,
        folder=folder,
        n=writer.n,
        path=path,
        content_type=backend.content_type,
        models=context.models,
        max_in_flight=scenario.concurrency,
        steps=shape.steps,
        duration=shape.duration,
        chains=writer.chains,
        seed=scenario.seed,
        salt=context.salt if scenario.cache == "cold" else "",
        digest=writer.digest,
        streamed=backend.framing != "json" and scenario.extra_body.get("stream") is not False,
        template_tokens=context.template_tokens or 0,
    )


def _save(plan: Plan, marker: str, backend: Backend) -> None:
    """``plan.json`` for people; ``turns.json`` for who puts the answers into later turns."""
    if marker:
        told = {"backend": _reader(backend), "marker": marker}
        (plan.folder / "turns.json").write_text(json.dumps(told) + "\n", "utf-8")
    shown = {k: v for k, v in asdict(plan).items() if k not in ("folder", "notes")}
    (plan.folder / "plan.json").write_text(json.dumps(shown, indent=1, default=str) + "\n", "utf-8")


def _reader(backend: Backend) -> str:
    """The name of one of ours whose answers are read alike: the measuring process knows no others."""
    for name, ours in sorted(BACKENDS.items(), key=lambda item: item[0] != backend.name):
        if (ours.read, ours.framing) == (backend.read, backend.framing):
            return name
    raise DataError("plan.conversation_backend", backend=backend.name)
