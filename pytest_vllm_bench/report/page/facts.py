"""JSON dicts → what was tested, and the full configuration and environment, as pairs to be listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_vllm_bench.model import Message
from pytest_vllm_bench.report.artifacts import Row
from pytest_vllm_bench.report.chart import message


def facts(rows: Sequence[Row]) -> list[tuple[Message, str]]:
    """What was tested, each fact once; several values are listed."""
    found = [
        (message("page.fact.model"), distinct(rows, "model_id")),
        (message("page.fact.server"), distinct(rows, "base_url")),
        (message("page.fact.version"), server_version(rows)),
        (message("page.fact.client"), client(rows)),
        (message("page.fact.date"), dates(rows)),
        (message("page.fact.commit"), commit(rows)),
    ]
    return [(name, value) for name, value in found if value]


def distinct(rows: Sequence[Row], key: str) -> str:
    values = {str(row[key]): None for row in rows if row.get(key) not in (None, "")}
    return listed(list(values))


def listed(values: Sequence[str], most: int = 3) -> str:
    return ", ".join(values[:most]) + (f" … (+{len(values) - most})" if len(values) > most else "")


def dates(rows: Sequence[Row]) -> str:
    """The span of days and minutes in UTC."""
    found = sorted({date_of(row) for row in rows} - {""})
    if not found:
        return ""
    return f"{found[0]} UTC" if found[0] == found[-1] else f"{found[0]} – {found[-1]} UTC"


def date_of(row: Row) -> str:
    """``20261123-052505`` → ``2026-11-23 05:25``; anything else as it is."""
    text = str(row.get("date") or "")
    if len(text) >= 13 and text[:8].isdigit() and text[9:13].isdigit():
        return f"{text[:4]}-{text[4:6]}-{text[6:8]} {text[9:11]}:{text[11:13]}"
    return text


def _section(rows: Sequence[Row], *names: str) -> list[Mapping[str, Any]]:
    environments = [row.get("environment") or {} for row in rows]
    return [found for env in environments for name in names if isinstance(found := env.get(name), Mapping)]


def _values(sections: Sequence[Mapping[str, Any]], *keys: str) -> str:
    values: dict[str, None] = {}
    for section in sections:
        text = " ".join(str(section[key]) for key in keys if section.get(key) not in (None, "", [], {}))
        if text:
            values[text] = None
    return listed(list(values))


def server_version(rows: Sequence[Row]) -> str:
    return _values(_section(rows, "server"), "software", "name", "version")


def client(rows: Sequence[Row]) -> str:
    found: dict[str, None] = {}
    for section in _section(rows, "client"):
        cpu = " × ".join(str(section[key]) for key in ("cpus", "cpu") if section.get(key))
        found[", ".join(str(part) for part in (cpu, section.get("os")) if part)] = None
    return listed([text for text in found if text])


def commit(rows: Sequence[Row]) -> str:
    found: dict[str, None] = {}
    for row in rows:
        value = (row.get("environment") or {}).get("commit")
        text = " ".join(str(v) for v in value.values() if v) if isinstance(value, Mapping) else str(value or "")
        if text:
            found[text[:60]] = None
    return listed(list(found))


_SECTIONS = ("config", "environment", "client", "plan", "seeds")


Pairs = list[tuple[str, str]]


def settings(rows: Sequence[Row], most: int) -> list[tuple[str, Pairs]]:
    """Configuration, environment and provenance: what all share under "", then what ``most`` have each."""
    trees = {row["scenario_id"]: dict(tree(row)) for row in rows}
    first = next(iter(trees.values()), {})
    shared = {name: value for name, value in first.items() if all(t.get(name) == value for t in trees.values())}
    own = {id: [(name, value) for name, value in t.items() if name not in shared] for id, t in trees.items()}
    return [("", list(shared.items())), *[(id, pairs) for id, pairs in own.items() if pairs][:most]]


def tree(row: Row) -> Pairs:
    """One result's settings as (dotted name, value)."""
    pairs: Pairs = []
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
