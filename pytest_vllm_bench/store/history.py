"""Figures of many sessions, of one machine or of several: a table in SQLite or PostgreSQL that only grows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judge.baseline import SPOILING, session_of
from pytest_vllm_bench.model import Result, Verdict

if TYPE_CHECKING:
    from sqlalchemy import Engine, Table

#: Raised when a column changes its meaning: part of the table's name, so that both versions can live beside each other.
TABLE = "pytest_vllm_bench_1"
#: Seconds that a writer waits for another one's end.
PATIENCE = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPoint:
    """One figure of one session: the mean of its repeats."""

    scenario: str  # its key
    metric: str
    session: str
    date: str  # UTC, ISO 8601
    value: float
    plan: str = ""
    commit: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)  # what matters for figures


def points(results: Iterable[Result], metrics: Sequence[str]) -> list[HistoryPoint]:
    """What sound results say of these metrics: valid, whole, of a real server; a broken rule spoils no figure."""
    found: dict[tuple[str, str, str], HistoryPoint] = {}
    for result in results:
        if result.verdict in (Verdict.INVALID, None) or not result.complete or result.scenario.probe_of:
            continue
        if result.capacity or any(taint in SPOILING for taint in result.taints):
            continue
        seen, commit = session_of(result, metrics), result.environment.get("commit")
        for metric in metrics:
            values = seen.values.get(metric, ())
            if values and min(values) > 0:
                one = HistoryPoint(
                    scenario=result.scenario.cell.key,
                    metric=metric,
                    session=seen.session,
                    date=result.date,
                    value=sum(values) / len(values),
                    plan=seen.digest or "",
                    commit=str(commit.get("id") or "")[:12] if isinstance(commit, Mapping) else "",
                    environment=seen.environment,
                )
                found[one.scenario, metric, one.session] = one  # of repeats the last holds them all
    return list(found.values())


def url_of(named: str) -> str:
    """A database's URL as it is, a file's name as that of an SQLite file."""
    return named if "://" in named else f"sqlite:///{Path(named).expanduser()}"


def add(named: str, found: Iterable[HistoryPoint]) -> int:
    """Append what is not there yet; → how many that were.  Several may write at once."""
    from sqlalchemy import select
    from sqlalchemy.exc import IntegrityError, SQLAlchemyError

    table, engine = _table(), _engine(named)
    added = 0
    try:
        table.metadata.create_all(engine)
        with engine.connect() as connection:
            keys = table.c.scenario, table.c.metric, table.c.session
            there = {tuple(row) for row in connection.execute(select(*keys))}
            for one in found:
                if (one.scenario, one.metric, one.session) in there:
                    continue
                try:
                    connection.execute(table.insert().values(**_row(one)))
                    connection.commit()
                    added += 1
                except IntegrityError:  # another one was quicker
                    connection.rollback()
    except SQLAlchemyError as error:
        raise _failed(named, error) from None
    return added


def read(named: str) -> list[HistoryPoint]:
    """All of it, oldest first."""
    from sqlalchemy import select
    from sqlalchemy.exc import SQLAlchemyError

    table = _table()
    try:
        with _engine(named).connect() as connection:
            rows = connection.execute(select(table).order_by(table.c.date, table.c.session)).mappings()
            return [HistoryPoint(**{**row, "environment": json.loads(row["environment"])}) for row in rows]
    except SQLAlchemyError as error:
        raise _failed(named, error) from None


def _row(one: HistoryPoint) -> dict[str, Any]:
    names = ("scenario", "metric", "session", "date", "value", "plan", "commit")
    environment = json.dumps(dict(one.environment), ensure_ascii=False, sort_keys=True, default=str)
    return {**{name: getattr(one, name) for name in names}, "environment": environment}


def _failed(named: str, error: Exception) -> BenchError:
    """The first line of what the database says; what stands before the @ of a URL is nobody's to read."""
    place = named.split("://")[0] + "://…@" + named.rpartition("@")[2] if "@" in named else named
    return BenchError("report.history_failed", place=place, why=str(getattr(error, "orig", error)).split("\n")[0])


@cache
def _table() -> Table:
    from sqlalchemy import Column, Float, MetaData, String, Table, Text

    columns: list[Column[Any]] = []
    columns += [Column(name, String(200), primary_key=True) for name in ("scenario", "metric", "session")]
    columns += [Column(name, String(100), nullable=False) for name in ("date", "plan", "commit")]
    columns += [Column("value", Float(53), nullable=False), Column("environment", Text, nullable=False)]
    return Table(TABLE, MetaData(), *columns)


@cache
def _engine(named: str) -> Engine:
    try:
        from sqlalchemy import create_engine
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    except ImportError as error:
        raise BenchError("report.needs_extra", module="sqlalchemy", extra="history") from error
    url = url_of(named)
    patience = {"timeout": PATIENCE} if url.startswith("sqlite:") else {"connect_timeout": PATIENCE}
    try:
        return create_engine(url, connect_args=patience)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise _failed(named, error) from None
