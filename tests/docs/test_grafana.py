"""Grafana's dashboards are up to date, and each of their queries runs on a history as it really is."""

from __future__ import annotations

import importlib.util
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from blocks import ROOT

from pytest_vllm_bench.store import history
from pytest_vllm_bench.store.history import HistoryPoint

HERE = ROOT / "docs" / "ci" / "grafana"
FROM, TO = 1767225600000, 1798761600000  # of 2026, in ms


def grafana() -> ModuleType:
    spec = importlib.util.spec_from_file_location("grafana", ROOT / "docs" / "grafana.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def queries(board: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every query of a dashboard, by what it is for."""
    for one in board["templating"]["list"]:
        if one["type"] == "query":
            yield one["name"], one["query"]
    for one in board["annotations"]["list"]:
        yield one["name"], sql_of(one["target"])
    for one in board["panels"]:
        for target in one["targets"]:
            yield one["title"], sql_of(target)


def sql_of(target: Mapping[str, Any]) -> str:
    return str(target["rawSql"] if "rawSql" in target else target["rawQueryText"])


def interpolated(sql: str) -> str:
    """As Grafana puts chosen values and the range of time into it."""
    chosen = {"metric": ["mean_tpot_ms"], "scenario": ["io1-mc1", "it's"], "machine": ["a", "?", "elsewhere"]}
    for name, values in chosen.items():
        quoted = ",".join("'" + value.replace("'", "''") + "'" for value in values)
        sql = sql.replace(f"${{{name}:sqlstring}}", quoted)
    sql = re.sub(r"\$__timeFilter\((.*?)\)", r"\1 BETWEEN '2026-01-01T00:00:00Z' AND '2027-01-01T00:00:00Z'", sql)
    sql = sql.replace("$__from", str(FROM)).replace("$__to", str(TO))
    assert not re.search(r"\$[\w{]", sql)
    return sql


def nights() -> Iterator[HistoryPoint]:
    """Ten nights of two scenarios, the last one 10 % slower, by another server; one of another year, and an import.

    Another machine, far slower and of one server throughout, measures the first of them at the same times."""
    for n in range(10):
        one = HistoryPoint(
            scenario="io1-mc1", metric="mean_tpot_ms", session=f"s{n}", origin="a", date=f"2026-03-{n + 1:02}T02:00Z",
            value=11.0 if n == 9 else 10.0, plan="d", commit=f"c{n}", environment={"server": f"vllm 0.{n // 9}"},
        )  # fmt: skip
        yield one
        yield replace(one, scenario="it's", value=one.value * 2)
        yield replace(one, metric="mean_ttft_ms")
        yield replace(one, origin="elsewhere", value=99.0, environment={"server": "sglang 1"})
    yield replace(one, date="2025-03-01T02:00Z", session="old")
    yield replace(one, origin="", session="imported", date="2026-01-05T02:00Z", plan="np9", environment={})


def test_the_dashboards_are_up_to_date() -> None:
    made = grafana()
    found = {path.name: path.read_text(encoding="utf-8") for path in HERE.iterdir()}
    wanted = {f"{name}.{lang}.json": made.text(name, lang) for name in made.PLUGINS for lang in ("en", "zh")}
    assert found == wanted, "run: python docs/grafana.py"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_query_runs_on_an_sqlite_file(lang: str, tmp_path: Path) -> None:
    """``ci/leg_postgres.py`` runs the others on a PostgreSQL."""
    named = str(tmp_path / "nights.db")
    history.add(named, nights())
    board = json.loads((HERE / f"sqlite.{lang}.json").read_text(encoding="utf-8"))
    with closing(sqlite3.connect(named)) as database:
        found = {name: database.execute(interpolated(sql)).fetchall() for name, sql in queries(board)}
    expected(found, [panel["title"] for panel in board["panels"]])
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    uids = set(re.findall(r'"uid": "(\$[^"]*)"', json.dumps(board)))
    assert uids == {"${datasource}"}, "whoever loads it chooses the data source"


def expected(found: Mapping[str, list[Any]], panels: list[str]) -> None:
    figure, together, compared, sessions = (found[title] for title in panels)
    assert [row[0] for row in found["metric"]] == ["mean_tpot_ms", "mean_ttft_ms"]
    assert [row[0] for row in found["scenario"]] == ["io1-mc1", "it's"]
    assert [row[0] for row in found["machine"]] == ["?", "a", "elsewhere"]
    assert len(figure) == 31
    assert sorted(row[1:] for row in figure[-3:]) == [("io1-mc1", 11.0), ("io1-mc1", 99.0), ("it's", 22.0)]
    last = sorted([row[2] for row in together if row[1] == "mean_tpot_ms"][-2:])
    assert last == pytest.approx([1.0, 11 / 10.1]), "each machine against itself"
    assert [tuple(row) for row in sorted(compared)] == [
        ("io1-mc1", "mean_tpot_ms", "a", 10.0, 11.0, pytest.approx(0.1), 9),
        ("io1-mc1", "mean_tpot_ms", "elsewhere", 99.0, 99.0, 0.0, 9),
        ("io1-mc1", "mean_ttft_ms", "a", 10.0, 11.0, pytest.approx(0.1), 9),
        ("it's", "mean_tpot_ms", "a", 20.0, 22.0, pytest.approx(0.1), 9),
    ]
    newest = {tuple(row[1:]) for row in sessions[:2]}
    assert newest == {("s9", "a", "c9", "vllm 0.1", 2), ("s9", "elsewhere", "c9", "sglang 1", 1)}
