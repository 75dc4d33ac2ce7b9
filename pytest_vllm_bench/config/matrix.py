"""Config → Scenarios: the axes multiplied, each cell with its id, its overrides and its rules."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from pytest_vllm_bench.config.nouns import Config
from pytest_vllm_bench.config.rules import parsed
from pytest_vllm_bench.config.schema import CellFile, File, ProfileFile, SearchFile
from pytest_vllm_bench.config.servers import measured_starts
from pytest_vllm_bench.metric_table import effective_rules, implied_rules, planned
from pytest_vllm_bench.model import (
    Cell,
    DatasetChoice,
    Deployment,
    JudgeSettings,
    Profile,
    RampUp,
    Repeats,
    Rule,
    Scenario,
    Search,
    Stage,
    Target,
    Timeouts,
    ValiditySettings,
    Warmup,
    Watching,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """One cell's place on every axis.  ``search`` cells have neither requests nor a repeat."""

    target: Target
    dataset: DatasetChoice
    input_len: int | None
    output_len: int | None
    concurrency: int | None
    num_prompts: int | None
    request_rate: float
    seconds: float | None  # what bounds a cell without num_prompts
    search: Search | None = None

    @property
    def starts(self) -> str:
        """What the start that is measured finds in its caches; "": a load is measured."""
        return self.target.launch.caches if self.target.launch else ""

    @property
    def cell(self) -> Cell:
        """What it is called; an axis that does not vary, or of which a search takes many places, says nothing."""
        if self.starts:
            return Cell(target=self.target.name, place=f"{self.starts}-start")
        lengths = "" if self.output_len is None else f"out{self.output_len}"
        if self.input_len is not None:
            lengths = f"io{self.input_len}x{self.output_len}"
        named = self.dataset.label or ("" if self.dataset.name == "random" else self.dataset.name)
        cap = "" if self.concurrency is None else f"mc{self.concurrency}"
        searched = self.search is not None and self.search.over == "request_rate"
        rate = "" if searched or math.isinf(self.request_rate) else f"rr{self.request_rate:.12g}"
        bound = "" if self.seconds is None else f"d{self.seconds:.12g}"
        return Cell(
            target=self.target.name,
            place="-".join(filter(None, (named, lengths, cap, rate))),
            tier=self.search.tier if self.search else "",
            search="capacity" if self.search else "",
            bound=bound if self.num_prompts is None else f"np{self.num_prompts}",
        )

    @property
    def id(self) -> str:
        return self.cell.id


def matrix(config: Config) -> tuple[Scenario, ...]:
    """Every scenario in the order in which they run: repeats round robin, every other round with targets reversed.

    A server that is started runs all that it is for before the next one is: servers are the outermost axis then, their
    order reversed in every other round of starts.
    """
    found: list[Scenario] = []
    rounds = config.settings.repeats.max or config.settings.repeats.min
    cells = [cell for cell in axes(config) if not cell.starts]
    for number in range(1, rounds + 1):
        ordered = cells if _forwards(config, number, rounds) else _targets_reversed(cells, len(config.targets))
        once = [cell for cell in ordered if cell.search is None or number == 1]
        found += [_repeat(scenario(config, cell), number, rounds) for cell in once]
    if any(target.launch for target in config.targets):
        place = {target.name: i for i, target in enumerate(ordered_targets(config))}
        compared = config.held_against is not None  # in rounds, however few starts there are
        last = rounds if compared else max((s.start + 1 for s in found), default=1)

        def turn(one: Scenario) -> tuple[int, int]:
            at = one.repeat if compared else one.start + 1
            return at, place[one.target.name] if _forwards(config, at, last) else -place[one.target.name]

        found.sort(key=turn)
    return (*found, *_starts(config))


def _starts(config: Config) -> Iterator[Scenario]:
    """Starts that are tests of their own, after all loads and in rounds: no kind of them has the best of a day."""
    made = [scenario(config, cell) for cell in axes(config) if cell.starts]
    for number in range(1, max((one.repeats.max for one in made), default=0) + 1):
        yield from (_repeat(one, number, one.repeats.max) for one in made if number <= one.repeats.max)


def _forwards(config: Config, number: int, rounds: int) -> bool:
    """Whether targets take this round in their order: those that are held against the first come last in each round
    after which they are judged, so that it is known then."""
    if config.held_against is None:
        return number % 2 == 1
    return number % 2 == min([*config.looks, rounds]) % 2 or number == rounds


def _repeat(one: Scenario, number: int, rounds: int) -> Scenario:
    return one if rounds == 1 or one.search else replace(one, cell=replace(one.cell, repeat=number))


def _targets_reversed(cells: Sequence[Axes], targets: int) -> list[Axes]:
    """AB, AB → BA, BA: a drift of the machine then counts for neither server."""
    return [cell for start in range(0, len(cells), targets) for cell in reversed(cells[start : start + targets])]


def axes(config: Config) -> list[Axes]:
    """Every cell of the matrix; the cells of one place on all other axes stand together, one a target."""
    settings = config.settings
    targets = ordered_targets(config)
    bound = settings.duration or math.fsum(stage.for_ or 0 for stage in settings.stages) or None
    cells = []
    for dataset in choices(settings):
        for input_len, output_len in lengths(config, dataset):
            for concurrency, prompts in settings.concurrency_prompts or [(None, None)]:
                for rate in settings.request_rate:
                    cells += [
                        Axes(
                            target=target,
                            dataset=dataset,
                            input_len=input_len,
                            output_len=output_len,
                            concurrency=concurrency,
                            num_prompts=requests(concurrency, prompts),
                            request_rate=rate,
                            seconds=None if prompts is not None else bound,
                        )
                        for target in targets
                    ]
    started = [_one_request(replace(cells[0], target=one)) for target in targets for one in measured_starts(target)]
    if settings.search is None:
        return [*cells, *started]
    alone = settings.concurrency_prompts is None and bound is None
    return [*([] if alone else cells), *_searches(cells, settings.search, config.lines), *started]


def _one_request(cell: Axes) -> Axes:
    return replace(cell, concurrency=1, num_prompts=1, request_rate=math.inf, seconds=None)


def ordered_targets(config: Config) -> tuple[Target, ...]:
    """The one that the others are held against comes first."""
    targets = config.targets or (Target(),)  # where the URL is wrong, the rest is still looked at
    first = config.settings.baseline.target
    return targets if first is None else tuple(sorted(targets, key=lambda target: target.name != first))


def _searches(cells: Sequence[Axes], asked: SearchFile, lines: Mapping[str, int]) -> list[Axes]:
    """One cell a tier for each place on the axes that the search does not vary; its rate is the highest that may come.

    The tiers of one place stand together, so that a later one finds what an earlier one has measured.
    """
    tiers = {f"search.tiers.{name}": (name, tier.at_least) for name, tier in asked.tiers.items()}
    found: dict[str, Axes] = {}
    for cell in cells:
        for path, (tier, least) in (tiers or {"search": ("", asked.at_least)}).items():
            line = lines.get(f"{path}.at_least", lines.get(path))
            search = Search(
                over=asked.over,
                at_least=least,
                max=asked.max,
                runs=asked.runs,
                seconds=asked.time,
                tier=tier,
                line=line,
            )
            made = replace(cell, search=search, concurrency=None, num_prompts=None, seconds=None)
            if asked.over == "request_rate":
                made = replace(made, request_rate=asked.max)
            found.setdefault(made.cell.key, made)
    return list(found.values())


def choices(settings: File) -> list[DatasetChoice]:
    """The dataset axis."""
    return [
        DatasetChoice(
            name=written["name"],
            label=written.get("label", ""),
            options={key: value for key, value in written.items() if key not in ("name", "label")},
        )
        for written in settings.dataset
    ]


def lengths(config: Config, dataset: DatasetChoice) -> list[tuple[int | None, int | None]]:
    """The pairs of ``input_output`` that this dataset takes; a dataset that needs none has one cell without."""
    taken = config.registry.datasets[dataset.name].lengths
    pairs: list[tuple[int | None, int | None]] = list(config.settings.input_output or [])
    if taken == "both":
        return [pair for pair in pairs if pair[0] is not None]
    if taken == "optional":
        return pairs or [(None, None)]
    if taken == "output":
        return [pair for pair in pairs if pair[0] is None] or [(None, None)]
    return [(None, None)]


def requests(concurrency: int | None, prompts: int | str | None) -> int | None:
    """ "10x" of 16 → 160."""
    if isinstance(prompts, str):
        return math.ceil(float(prompts[:-1]) * concurrency) if concurrency is not None else None
    return prompts


def scenario(config: Config, at: Axes) -> Scenario:
    """A place on the axes with everything that holds for it."""
    settings = config.settings
    override = effective(config, at.cell)
    own = override.cell
    goodput = {key: limit for key, limit in own.goodput.model_dump().items() if limit is not None}
    rules = [rule for _, rule in parsed(own.sla, override.sla_lines) if isinstance(rule, Rule)]
    repeats = settings.repeats
    if at.target.launch and (at.starts or at.target.launch.startup) and override.replaced_at is None:
        rules = [rule for rule in rules if rule.metric.startswith("startup.") is bool(at.starts)]
    made = Scenario(
        cell=at.cell,
        target=at.target,
        backend=spoken(config),
        chat_template=settings.chat_template,
        endpoint=settings.endpoint,
        models=settings.model,
        model_choice=settings.model_choice,  # type: ignore[arg-type]  # checked: one of two words, or weights
        tokenizer=settings.tokenizer,
        dataset=at.dataset,
        input_len=at.input_len,
        output_len=at.output_len,
        concurrency=at.concurrency,
        request_rate=at.request_rate,
        stages=tuple(Stage(seconds=s.for_ or 0, rate=s.rate, concurrency=s.concurrency) for s in settings.stages),
        num_prompts=at.num_prompts,
        duration=settings.duration,
        goodput=goodput,
        rules=tuple(rules),
        repeats=Repeats(
            min=repeats.min,
            max=repeats.max or repeats.min,
            until=None if repeats.until == "decided" else repeats.until,
            looks=config.looks,
        ),
        search=at.search,
        deployment=Deployment(**settings.deployment.model_dump()),
        watching=Watching(**settings.observe.model_dump() | {"urls": tuple(settings.observe.urls)}),
        profile=profile_of(settings.profile, at.cell),
        xfail=override.xfail,
        skip=override.skip,
        **_plain(own),
    )
    made = _started(made) if at.starts else made
    return replace(made, rules=tuple(_again(made, override)))


def profile_of(asked: ProfileFile | None, cell: Cell) -> Profile | None:
    """Of loads that match; a search is many, and of a start there is none."""
    if asked is None or cell.search or not fnmatchcase(cell.id, asked.scenarios):
        return None
    return Profile(**asked.model_dump() | {"folder": asked.folder or ""})


def _started(made: Scenario) -> Scenario:
    """The start is measured, and a single request is what shows that it is over."""
    assert made.target.launch is not None
    often = Repeats(min=made.target.launch.restarts, max=made.target.launch.restarts)
    return replace(
        made, stages=(), duration=None, ramp_up=None, warmup=Warmup(), goodput={}, repeats=often, profile=None
    )


def _again(made: Scenario, override: Effective) -> Iterator[Rule]:
    """The rules and those that are implied; what an override alone implies, as it replaced the rules, has its line."""
    replaced = parsed(override.sla_before, [None] * len(override.sla_before))
    before = [rule for _, rule in replaced if isinstance(rule, Rule)]
    for rule in effective_rules(made):
        again = rule.implied and rule not in implied_rules(before, made.goodput, planned(made))
        yield replace(rule, line=override.replaced_at) if again else rule


def spoken(config: Config) -> str:
    """The backend's name; of one for chat whose template is applied here, that of its completions."""
    settings = config.settings
    if settings.chat_template == "server":
        return settings.backend
    return config.registry.backends[settings.backend].completions or settings.backend


def _plain(own: CellFile) -> dict[str, Any]:
    """The settings that a scenario has under the same names; as nouns where they are some there."""
    nouns = {
        "ramp_up": RampUp(**own.ramp_up.model_dump()) if own.ramp_up else None,
        "output_field": own.output_field or "",
        "sampling": {key: value for key, value in ({"temperature": 0} | own.sampling).items() if value is not None},
        "timeouts": Timeouts(**own.timeouts.model_dump()),
        "request_id_prefix": own.request_id_prefix or "",
        "worker_cpus": tuple(own.worker_cpus),
        "judge": JudgeSettings(**own.judge.model_dump()),
        "validity": ValiditySettings(**own.validity.model_dump()),
        "percentiles": tuple(own.percentiles),
    }
    same = CellFile.model_fields.keys() - {"goodput", "sla"}
    return {name: nouns[name] if name in nouns else getattr(own, name) for name in same}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """The file's own settings with the overrides that match an id; ``sla_lines``: where its rules are written;
    ``sla_before``: those that overrides replaced, and on which line."""

    cell: CellFile
    sla_lines: tuple[int | None, ...] = ()
    sla_before: tuple[str, ...] = ()
    replaced_at: int | None = None
    xfail: str = ""
    skip: str = ""


def effective(config: Config, cell: Cell) -> Effective:
    """Later overrides win; mappings are merged key by key, lists replaced.  A tier's own rules stand for the file's."""
    settings, lines = config.settings, config.lines
    merged = {key: config.written[key] for key in CellFile.model_fields if key in settings.model_fields_set}
    sla_path, xfail, skip = "sla", "", ""
    if cell.tier:
        own = config.written["search"]["tiers"][cell.tier]
        merged |= {key: own[key] for key in ("sla", "goodput") if key in own}
        sla_path = f"search.tiers.{cell.tier}.sla" if "sla" in own else sla_path
    before, replaced_at = merged.get("sla", []), None
    for position, override in enumerate(settings.overrides):
        if not fnmatchcase(cell.id, override.match):
            continue
        for key, value in override.set.items():
            both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = {**merged[key], **value} if both else value
        if "sla" in override.set:
            sla_path = f"overrides[{position}].set.sla"
            replaced_at = lines.get(sla_path)
        xfail, skip = override.xfail or xfail, override.skip or skip
    own = CellFile.model_validate(merged)
    sla_lines = tuple(lines.get(f"{sla_path}[{i}]", lines.get(sla_path)) for i in range(len(own.sla)))
    sla_before = tuple(CellFile.model_validate({"sla": before}).sla)
    return Effective(
        cell=own, sla_lines=sla_lines, sla_before=sla_before, replaced_at=replaced_at, xfail=xfail, skip=skip
    )
