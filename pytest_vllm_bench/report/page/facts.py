"""Results → what was tested, and the full configuration and environment, as pairs to be listed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_vllm_bench.model import Message, Result
from pytest_vllm_bench.report import words
from pytest_vllm_bench.report.chart import message
from pytest_vllm_bench.store.row import to_json


def server(result: Result) -> str:
    """Its address; of one that was started its command, as its port was anybody's."""
    return result.scenario.target.base_url or str(result.environment.get("launch", {}).get("command", ""))


def facts(results: Sequence[Result]) -> list[tuple[Message, str]]:
    """What was tested, each fact once; several values are listed."""
    found = [
        (message("page.fact.model"), distinct(result.model for result in results)),
        (message("page.fact.server"), distinct(map(server, results))),
        (message("page.fact.version"), server_version(results)),
        (message("page.fact.client"), client(results)),
        (
            message("page.fact.dataset"),
            distinct(one.scenario.dataset.label or one.scenario.dataset.name for one in results),
        ),
        (message("page.fact.date"), dates(results)),
        (message("page.fact.command"), distinct(str(one.environment.get("command") or "") for one in results)),
        (message("page.fact.commit"), commit(results)),
    ]
    return [(name, value) for name, value in found if value]


def total(results: Sequence[Result]) -> dict[str, str]:
    """How much was measured, over all repeats and probes."""
    sent = sum(int(one.metrics.get(key) or 0) for one in results for key in ("completed", "failed"))
    took = sum(one.metrics.get("duration") or 0.0 for one in results)
    return {"scenarios": words.number(len(results)), "requests": words.number(sent), "took": words.lasting(took)}


def distinct(values: Iterable[str | None]) -> str:
    return listed(list(dict.fromkeys(value for value in values if value)))


def listed(values: Sequence[str], most: int = 3) -> str:
    return ", ".join(values[:most]) + (f" … (+{len(values) - most})" if len(values) > most else "")


def dates(results: Sequence[Result]) -> str:
    """The span of days and minutes in UTC."""
    found = sorted({result.date[:16].replace("T", " ") for result in results} - {""})
    if not found:
        return ""
    return f"{found[0]} UTC" if found[0] == found[-1] else f"{found[0]} – {found[-1]} UTC"


def _section(results: Sequence[Result], name: str) -> list[Mapping[str, Any]]:
    return [found for result in results if isinstance(found := result.environment.get(name), Mapping)]


def server_version(results: Sequence[Result]) -> str:
    told = (section.get("version") for section in _section(results, "server"))
    return listed(list(dict.fromkeys(str(version) for version in told if version)))


def client(results: Sequence[Result]) -> str:
    found: dict[str, None] = {}
    for section in _section(results, "client"):
        cpu = " × ".join(str(section[key]) for key in ("cpus", "cpu") if section.get(key))
        found[", ".join(str(part) for part in (cpu, section.get("os")) if part)] = None
    return listed([text for text in found if text])


#: A commit, and as much of it as people quote.
HASH = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28,}\b")


def commit(results: Sequence[Result]) -> str:
    found: dict[str, None] = {}
    for result in results:
        value = result.environment.get("commit")
        text = " ".join(str(v) for v in value.values() if v) if isinstance(value, Mapping) else str(value or "")
        if text:
            found[HASH.sub(r"\1", text)[:60]] = None
    return listed(list(found))


_SECTIONS = ("config", "environment", "client", "plan", "seeds")


Pairs = list[tuple[str, str]]


def settings(results: Sequence[Result], most: int) -> list[tuple[str, Pairs]]:
    """Configuration, environment and provenance: what all share under "", then what ``most`` have each."""
    trees = {result.id: dict(tree(result)) for result in results}
    first = next(iter(trees.values()), {})
    shared = {name: value for name, value in first.items() if all(t.get(name) == value for t in trees.values())}
    own = {id: [(name, value) for name, value in t.items() if name not in shared] for id, t in trees.items()}
    return [("", list(shared.items())), *[(id, pairs) for id, pairs in own.items() if pairs][:most]]


def tree(result: Result) -> Pairs:
    """One result's settings as (dotted name, value)."""
    row, pairs = to_json(result), Pairs()
    for name in _SECTIONS:
        if row.get(name):
            _flatten(name, row[name], pairs)
    for name in ("session", "scenario_key", "plan_digest", "token_source", "schema_version"):
        if row.get(name) is not None:
            _flatten(name, row[name], pairs)
    return pairs


def _flatten(name: str, value: Any, pairs: list[tuple[str, str]]) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _flatten(f"{name}.{key}", inner, pairs)
    elif isinstance(value, list) and any(isinstance(v, Mapping | list) for v in value):
        for k, inner in enumerate(value):
            _flatten(f"{name}[{k}]", inner, pairs)
    elif value not in (None, "", [], {}):
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        pairs.append((name, text if len(text) <= 500 else text[:500] + "…"))
