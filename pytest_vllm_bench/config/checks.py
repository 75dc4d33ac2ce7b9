"""Settings that are right one by one → what is wrong with them together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ValidationError

from pytest_vllm_bench.config.lines import line_of
from pytest_vllm_bench.config.matrix import Axes, axes, choices, scenario
from pytest_vllm_bench.config.nouns import Config
from pytest_vllm_bench.config.problems import translated
from pytest_vllm_bench.config.rules import gate_rules, parsed
from pytest_vllm_bench.config.schema import CellFile, File
from pytest_vllm_bench.config.values import MOST_MACHINES, MOST_PROMPTS, MOST_SECONDS, MOST_SLOTS
from pytest_vllm_bench.metric_table import parse_name, parse_rule, purposeless, rule_problems, unknown
from pytest_vllm_bench.model import FEWEST_ROUNDS, Backend, Message, Problem, Rule
from pytest_vllm_bench.suggest import suggestion

#: Without these there are no cells to look at.
IDENTITY = frozenset(
    "backend dataset duration input_output concurrency_prompts request_rate stages targets overrides repeats".split()  # noqa: SIM905
)
#: Test items of one config; tokens of one plan (some 100 GB of text).
MOST_ITEMS, MOST_PLANNED = 10_000, 20_000_000_000
#: Bytes of an id that a file can still be named by, with what is put before and after it.
MOST_ID = 200


def cross_checks(config: Config, bad: set[str]) -> list[Problem]:
    """All problems between keys; ``bad``: paths that have one already, and whose consequences are not told again."""
    told = {_key(path) for path in bad}
    problems = [p for check in CHECKS for p in check(config) if p.path not in told | bad]
    if (told | {_key(p.path) for p in problems}) & IDENTITY:
        return problems
    cells = axes(config)
    of_cells = (_same_twice, _volume, _unmatched, _rules)
    return [*problems, *(problem for check in of_cells for problem in check(config, cells))]


def _key(path: str) -> str:
    """The key of the file that a path begins with."""
    return path.partition("[")[0].partition(".")[0]


def _problem(config: Config, path: str, what: str, /, **values: object) -> Problem:
    parts = _parts(path)
    return Problem(message=Message(key=f"config.{what}", values=values), path=path, line=line_of(config.lines, parts))


def _parts(path: str) -> tuple[str | int, ...]:
    words = path.replace("[", ".").replace("]", "").split(".")
    return tuple(int(word) if word.isdigit() else word for word in words if word)


def _backend(config: Config) -> Iterator[Problem]:
    settings = config.settings
    if settings.backend not in config.registry.backends:
        hint = suggestion(settings.backend, config.registry.backends)
        yield _problem(config, "backend", "unknown_backend", name=settings.backend, hint=hint)
    elif settings.chat_template == "client":
        yield from _templated(config, config.registry.backends[settings.backend])
    elif settings.tokenizer == "ids" and not config.registry.backends[settings.backend].takes_token_ids:
        datasets = (config.registry.datasets.get(choice.name) for choice in choices(settings))
        if any(one is not None and one.lengths == "both" for one in datasets):  # its words are ours, not a file's
            said = Message(key="plan.ids_not_taken", values={"backend": settings.backend})
            yield Problem(message=said, path="tokenizer", line=line_of(config.lines, ("tokenizer",)))
    weights = settings.model_choice
    if not isinstance(weights, str) and len(weights) != len(settings.model):
        yield _problem(config, "model_choice", "weights", weights=len(weights), models=len(settings.model))


def _templated(config: Config, backend: Backend) -> Iterator[Problem]:
    """A chat template applied here makes text: the backend must take text, and so must the path."""
    settings = config.settings
    speaks = backend.generates and "audio" not in backend.takes_media and not backend.takes_messages
    if not speaks and not backend.completions:
        yield _problem(config, "backend", "template_backend", name=backend.name)
    elif settings.endpoint is not None and "chat" in settings.endpoint:
        yield _problem(config, "endpoint", "template_endpoint", endpoint=settings.endpoint)


def _datasets(config: Config) -> Iterator[Problem]:
    from pytest_vllm_bench.plan.datasets import check

    several = isinstance(config.written.get("dataset"), list)
    for position, choice in enumerate(choices(config.settings)):
        prefix = f"dataset[{position}]" if several else "dataset"
        for problem in check(choice, config.registry.datasets):
            path = f"{prefix}.{problem.path}" if problem.path else prefix
            yield replace(problem, path=path, line=line_of(config.lines, _parts(path)))


def _lengths(config: Config) -> Iterator[Problem]:
    """Every dataset has the lengths it needs, and every pair a dataset that takes it."""
    datasets = config.registry.datasets
    taken = {c.name: datasets[c.name].lengths for c in choices(config.settings) if c.name in datasets}
    pairs = config.settings.input_output or []
    needing = [name for name, lengths in taken.items() if lengths == "both"]
    if needing and not any(pair[0] is not None for pair in pairs):
        yield _problem(config, "input_output", "no_lengths", dataset=needing[0])
    for position, (input_len, output_len) in enumerate(pairs if taken else []):
        path = f"input_output[{position}]"
        if input_len is not None and output_len is None:
            yield _problem(config, f"{path}[1]", "output_length_missing")
        elif input_len is not None and not {"both", "optional"} & set(taken.values()):
            yield _problem(config, path, "own_lengths", dataset=next(iter(taken)), output=output_len)
        elif input_len is None and set(taken.values()) == {"both"}:
            yield _problem(config, path, "input_length_missing", dataset=needing[0])


def _prompts(config: Config) -> Iterator[Problem]:
    """Every cell ends: by a number of requests, by seconds, or with its trace."""
    settings = config.settings
    traced = all(d.times for c in choices(settings) if (d := config.registry.datasets.get(c.name)) is not None)
    bounded = settings.duration is not None or bool(settings.stages) or (traced and bool(settings.dataset))
    if settings.concurrency_prompts is None and not bounded and settings.search is None:
        yield _problem(config, "concurrency_prompts", "no_prompts")
    for position, (_, prompts) in enumerate(settings.concurrency_prompts or []):
        if prompts is None and not bounded:
            yield _problem(config, f"concurrency_prompts[{position}][1]", "prompts_unbounded")


def _rates(config: Config) -> Iterator[Problem]:
    settings = config.settings
    finite = any(math.isfinite(rate) for rate in settings.request_rate)
    finite |= settings.search is not None and settings.search.over == "request_rate"
    rated = finite or any(stage.rate is not None for stage in settings.stages)
    if settings.stages and "request_rate" in config.lines:
        yield _problem(config, "stages", "stages_and_rate")
    capped = any(concurrency is not None for concurrency, _ in settings.concurrency_prompts or [])
    if capped and any(stage.concurrency is not None for stage in settings.stages):
        yield _problem(config, "stages", "stages_and_concurrency")
    every = all(math.isfinite(rate) for rate in settings.request_rate)
    every |= settings.search is not None and settings.search.over == "request_rate"
    cells = settings.concurrency_prompts or [(None, None)]
    capped_all = all(cap is not None for cap, _ in cells) or (settings.search is not None and not finite)
    if settings.ramp_up is not None and not every and (settings.ramp_up.over is None or not capped_all):
        yield _problem(config, "ramp_up", "ramp_of_nothing")
    counted = all(prompts is not None for _, prompts in settings.concurrency_prompts or [(None, None)])
    if settings.ramp_up is not None and settings.ramp_up.over is None and not counted:
        yield _problem(config, "ramp_up.over", "ramp_unbounded")
    if settings.burstiness != 1 and not rated:
        yield _problem(config, "burstiness", "no_rate", key="burstiness")


def _overrides(config: Config) -> Iterator[Problem]:
    """``set`` takes what may differ from cell to cell, and nothing that decides the id."""
    for position, override in enumerate(config.settings.overrides):
        if not override.set and override.xfail is None and override.skip is None:
            yield _problem(config, f"overrides[{position}]", "override_empty")
    for position, changes in _changes(config):
        identity = changes.keys() & (File.model_fields.keys() - CellFile.model_fields.keys())
        for key in sorted(identity):
            yield _problem(config, f"overrides[{position}].set.{key}", "override_identity", key=key)
        try:
            CellFile.model_validate({key: value for key, value in changes.items() if key not in identity})
        except ValidationError as error:
            yield from translated(error, CellFile, config.lines, ("overrides", position, "set"))


def _changes(config: Config) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """What each override sets, as written: also where the override itself has a problem."""
    overrides = config.written.get("overrides")
    for position, override in enumerate(overrides if isinstance(overrides, list) else []):
        if isinstance(override, dict) and isinstance(override.get("set"), dict):
            yield position, override["set"]


def _sla(config: Config) -> Iterator[Problem]:
    """Rules that cannot be read: at the top, of tiers, and in overrides."""
    search = config.settings.search
    written = {"sla": config.settings.sla}
    written |= {f"search.tiers.{name}.sla": tier.sla for name, tier in (search.tiers if search else {}).items()}
    for position, changes in _changes(config):
        if isinstance(rules := changes.get("sla", []), str | list):
            path = f"overrides[{position}].set.sla"
            written[path] = [rule for rule in ([rules] if isinstance(rules, str) else rules) if isinstance(rule, str)]
    for path, rules in written.items():
        lines = [config.lines.get(f"{path}[{i}]", config.lines.get(path)) for i in range(len(rules))]
        read = list(parsed(rules, lines))
        wrong = [(position, rule) for position, rule in read if isinstance(rule, Message)]
        sound = {rule: position for position, rule in read if isinstance(rule, Rule)}
        wrong += [(sound[rule], message) for rule, message in purposeless(list(sound))]
        for position, message in wrong:
            yield Problem(message=message, path=f"{path}[{position}]", line=lines[position])


def _size(config: Config) -> Iterator[Problem]:
    """How many test items the axes come to: said before they are multiplied."""
    settings = config.settings
    axis_lengths = {
        "concurrency_prompts": len(settings.concurrency_prompts or [0]),
        "input_output": len(settings.input_output or [0]),
        "request_rate": len(settings.request_rate),
        "dataset": len(settings.dataset),
        "targets": len(config.targets) or 1,
        "repeats": settings.repeats.max or settings.repeats.min,
    }
    items = math.prod(axis_lengths.values())
    if items > MOST_ITEMS:
        longest = max(axis_lengths, key=axis_lengths.__getitem__)
        product = " × ".join(f"{name} {n}" for name, n in axis_lengths.items() if n > 1)
        yield _problem(config, longest, "too_many_items", product=product, n=f"{items:,}", most=f"{MOST_ITEMS:,}")


def _slots(config: Config) -> Iterator[Problem]:
    """A machine has so many ports, several have as many each."""
    settings, asked = config.settings, config.settings.machines
    machines = 1 if asked is None else len(asked.hosts) or asked.nodes or MOST_MACHINES
    most, why = MOST_SLOTS * machines, Message(key="config.cost.slots")
    places = {f"concurrency_prompts[{i}][0]": pair[0] for i, pair in enumerate(settings.concurrency_prompts or [])}
    places |= {f"stages[{i}].concurrency": stage.concurrency for i, stage in enumerate(settings.stages)}
    for path, slots in places.items():
        if slots is not None and slots > most:
            yield _problem(config, path, "too_much", got=f"{slots:,}", most=f"{most:,}", why=why)


def _repeats(config: Config) -> Iterator[Problem]:
    repeats = config.settings.repeats
    if repeats.max is not None and repeats.max < repeats.min:
        yield _problem(config, "repeats.max", "max_below_min", least=repeats.min)
    if repeats.until is not None and repeats.max is None:
        yield _problem(config, "repeats.until", "until_without_max")


def _search(config: Config) -> Iterator[Problem]:
    """What each gate asks for is within the search, and whole where slots are counted."""
    search = config.settings.search
    if search is None:
        return
    if search.tiers and search.at_least is not None:
        yield _problem(config, "search.at_least", "at_least_of_tiers")
    asked = {"search": search.at_least, **{f"search.tiers.{name}": t.at_least for name, t in search.tiers.items()}}
    levels = {"search.max": search.max, **{f"{path}.at_least": least for path, least in asked.items()}}
    for path, level in levels.items():
        if level is not None and search.over == "concurrency" and level % 1:
            yield _problem(config, path, "want_integer", got=f"{level:g}")
        if level is not None and level > search.max:
            yield _problem(config, path, "at_least_above_max", most=f"{search.max:g}")


def _baseline(config: Config) -> Iterator[Problem]:
    for key in ("tolerance", "noise"):
        for name in getattr(config.settings.baseline, key):
            if parse_name(name) is None:
                path = f"baseline.{key}.{name}"
                yield Problem(message=unknown(name), path=path, line=line_of(config.lines, _parts(path)))
    for name, written in config.settings.baseline.tolerance.items():
        if (known := parse_name(name)) is None:
            continue
        if known.row.better == "neither" or known.row.id == "server":
            yield _problem(config, f"baseline.tolerance.{name}", "no_worse", name=name)
        elif isinstance(written, str) and known.row.better == "lower" and known.row.unit in ("count", "ratio"):
            yield _problem(config, f"baseline.tolerance.{name}", "share_of_none", name=name)
        elif known.row.unit == "ratio" and not isinstance(written, str) and abs(written) >= 1:
            values = {"rule": f"{name}: {written:g}", "instead": f"{name}: 0.01"}
            path = f"baseline.tolerance.{name}"
            yield Problem(
                message=Message(key="judge.always_holds", values=values), path=path, line=config.lines.get(path)
            )


def _frontier(config: Config) -> Iterator[Problem]:
    """The gate on the best of all settings: its limit is a rule, and more of its metric is better."""
    if (asked := config.settings.frontier) is None:
        return
    if asked.at is not None and isinstance(at := parse_rule(asked.at), Message):
        yield Problem(message=at, path="frontier.at", line=line_of(config.lines, ("frontier", "at")))
    where = {"path": "frontier.metric", "line": line_of(config.lines, ("frontier", "metric"))}
    if (known := parse_name(asked.metric)) is None:
        yield Problem(message=unknown(asked.metric), **where)  # type: ignore[arg-type]
    elif known.row.better != "higher":
        yield _problem(config, "frontier.metric", "frontier_metric", name=asked.metric)


def _trend(config: Config) -> Iterator[Problem]:
    """Metrics that are known, and of which less or more is worse."""
    if (asked := config.settings.trend) is None:
        return
    named = [(f"trend.metrics[{i}]", name) for i, name in enumerate(asked.metrics)]
    named += [(f"trend.acknowledged[{i}].metric", one.metric) for i, one in enumerate(asked.acknowledged)]
    for path, name in named:
        if name == "*" and "acknowledged" in path:
            continue
        if (known := parse_name(name)) is None:
            yield Problem(message=unknown(name), path=path, line=line_of(config.lines, _parts(path)))
        elif known.row.better == "neither" or known.row.id == "server":
            yield _problem(config, path, "no_worse", name=name)


def _rounds(config: Config) -> Iterator[Problem]:
    """A target that others are held against: there is one of that name, and each takes the same rounds, enough."""
    settings, path = config.settings, "baseline.target"
    if (named := settings.baseline.target) is None:
        return
    names = [target.name for target in config.targets if target.name]
    if named not in names:
        hint = suggestion(named, names) if names else Message(key="config.no_targets")
        yield _problem(config, path, "unknown_target", name=named, hint=hint)
    elif len(names) == 1:
        yield _problem(config, path, "target_alone", name=named)
    varying = settings.repeats.max is not None and settings.repeats.until != "decided"
    if settings.repeats.min < FEWEST_ROUNDS or varying:
        yield _problem(config, path, "target_rounds", needed=FEWEST_ROUNDS)


#: Each says what is wrong between some keys; a new one is a function and a line here.
CHECKS: tuple[Callable[[Config], Iterator[Problem]], ...] = (
    _backend,
    _datasets,
    _lengths,
    _prompts,
    _rates,
    _overrides,
    _sla,
    _size,
    _slots,
    _repeats,
    _trend,
    _search,
    _baseline,
    _frontier,
    _rounds,
)


def _same_twice(config: Config, cells: list[Axes]) -> Iterator[Problem]:
    """Two cells with one id, or ids that come to one file name."""
    seen: dict[str, Axes] = {}
    for cell in cells:
        name = cell.id.replace("-", "_")
        if name in seen:
            axis = _axis(seen[name], cell)
            yield _problem(config, axis, "same_twice", id=cell.id)
        seen.setdefault(name, cell)


def _volume(config: Config, cells: list[Axes]) -> Iterator[Problem]:
    """What one load comes to: requests, tokens, days; and whether a file can be named after it."""
    from pytest_vllm_bench.plan.schedule import ceiling

    stages = config.settings.stages
    for cell in cells:
        if len(cell.id.encode()) > MOST_ID:
            yield _problem(config, "targets" if cell.target.name else "dataset", "id_long", id=cell.id, most=MOST_ID)
        rated = math.fsum((stage.rate or 0) * (stage.for_ or 0) for stage in stages)
        n, days, path = cell.num_prompts or 0, 0.0, "concurrency_prompts"
        if cell.seconds is not None:
            path = "stages" if stages else "duration"
            if math.isfinite(cell.request_rate):
                rated = cell.request_rate * cell.seconds
            slots = max([cell.concurrency or 1, *(stage.concurrency or 1 for stage in stages)])
            n = round(rated) or ceiling(cell.seconds, slots, cell.output_len)
        elif cell.num_prompts is not None and math.isfinite(cell.request_rate):
            days = cell.num_prompts / cell.request_rate / 86400
        values = {"id": cell.id, "n": f"{n:,}", "tokens": f"{n * (cell.input_len or 0):,}", "days": f"{days:,.0f}"}
        if n > MOST_PROMPTS:
            yield _problem(config, path, "too_many_requests", **values, most=f"{MOST_PROMPTS:,}")
        elif n * (cell.input_len or 0) > MOST_PLANNED:
            yield _problem(config, path, "too_many_tokens", **values, most=f"{MOST_PLANNED:,}")
        elif days * 86400 > MOST_SECONDS:
            yield _problem(config, "request_rate", "too_many_days", **values)


def _axis(one: Axes, other: Axes) -> str:
    """The key to change: the axis on which two cells of one name differ, else the likeliest to be written twice."""
    if one.dataset != other.dataset:
        return "dataset"
    return "targets" if one.target != other.target else "concurrency_prompts"


def _unmatched(config: Config, cells: list[Axes]) -> Iterator[Problem]:
    ids = [cell.id for cell in cells]
    for position, override in enumerate(config.settings.overrides):
        if not any(fnmatchcase(id, override.match) for id in ids):
            hint = suggestion(override.match, ids[:12])
            yield _problem(
                config, f"overrides[{position}].match", "override_unmatched", match=override.match, hint=hint
            )


def _rules(config: Config, cells: list[Axes]) -> Iterator[Problem]:
    """Rules that could hold or break whatever the server does."""
    backend, asked = config.registry.backends[config.settings.backend], config.settings.frontier
    wanted = gate_rules(asked.at, asked.metric, asked.at_least) if asked else []
    for cell in cells:
        loaded = replace(scenario(config, cell), rules=tuple(wanted), goodput={})
        for _, message in rule_problems(loaded, backend) if wanted and not cell.starts else ():
            yield Problem(message=message, path="frontier", line=line_of(config.lines, ("frontier",)))
        for rule, message in rule_problems(scenario(config, cell), backend):
            line = config.lines.get("goodput") if rule is None else rule.line
            yield Problem(message=message, path="goodput" if rule is None else "sla", line=line)
