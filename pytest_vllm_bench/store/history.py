"""Figures of many sessions, of one machine or of several: a table in SQLite or PostgreSQL that only grows."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judge.baseline import SPOILING, session_of
from pytest_vllm_bench.model import Message, Result, Verdict

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Table

#: Raised when a column changes its meaning: part of the table's name, so that both versions can live beside each other.
TABLE = "pytest_vllm_bench_1"
#: Seconds that a writer waits for another one's end.
PATIENCE = 30
#: Rows that one statement takes: so many values have room in it.
TOGETHER = 500
#: What there is one figure of, what else is said of it in text, and what no table is without.
KEY, FACTS = ("scenario", "metric", "session", "origin"), ("date", "plan", "commit")
NEEDED = ("scenario", "metric", "session", "date", "value")


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPoint:
    """One figure of one session: the mean of its repeats."""

    scenario: str  # its key
    metric: str
    session: str
    origin: str = ""  # which machine measured which server: two may begin in one second
    date: str  # UTC, ISO 8601
    value: float
    plan: str = ""
    commit: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)  # what matters for figures


def points(results: Iterable[Result], metrics: Sequence[str]) -> list[HistoryPoint]:
    """What sound results say of these metrics; a broken rule spoils no figure."""
    found: dict[tuple[str, ...], HistoryPoint] = {}
    for result in results:
        if not result.scenario.compared or result.capacity or unfit(result):
            continue
        seen, commit = session_of(result, metrics), result.environment.get("commit")
        for metric, values in seen.values.items():
            if min(values) > 0:
                one = HistoryPoint(
                    scenario=result.scenario.cell.key,
                    metric=metric,
                    session=seen.session,
                    origin=_origin(result),
                    date=utc(result.date),
                    value=sum(values) / len(values),
                    plan=seen.digest or f"np{result.num_prompts or ''}",
                    commit=str(commit.get("id") or "")[:12] if isinstance(commit, Mapping) else "",
                    environment=seen.environment,
                )
                found[one.scenario, metric, one.session, one.origin] = one  # of repeats the last holds them all
    return _whole(found.values())


def _whole(found: Collection[HistoryPoint]) -> list[HistoryPoint]:
    """Without what a table says, which does not know who measured, of a session that is there with that as well."""
    known = {(one.scenario, one.metric, one.session) for one in found if one.origin}
    return [one for one in found if one.origin or (one.scenario, one.metric, one.session) not in known]


def unfit(result: Result) -> Message | None:
    """Why a result's figures are not for a history; one that nobody has judged, as other tools' are, may be sound."""
    if result.verdict is Verdict.INVALID or any(not check.ok for check in result.checks):
        return Message(key="report.verdict.INVALID")
    if spoilt := [taint for taint in result.taints if taint in SPOILING]:
        return Message(key=f"report.mark.{spoilt[0]}")
    if not result.complete:
        return Message(key="report.mark.interrupted")
    return None if utc(result.date) else Message(key="report.undated")


def utc(date: str) -> str:
    """With its zone, which other tools do not write; "" where it is no date."""
    try:
        when = datetime.fromisoformat(date)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):  # of the year 1, say
        return ""


def _origin(result: Result) -> str:
    client = result.environment.get("client")
    host = client.get("host") if isinstance(client, Mapping) else None
    return " → ".join(filter(None, [str(host or ""), result.scenario.target.base_url]))


def url_of(named: str) -> str:
    """A database's URL with the driver that the extra brings, a file's name as that of an SQLite file."""
    if "://" not in named:
        return f"sqlite:///{Path(named).expanduser()}"
    scheme, _, rest = named.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgres", "postgresql") else named


#: What comes before a host, as SQLAlchemy reads it: a password may have any character but this one.
_USER = re.compile(r"^[^:/]*(:[^@]*)?@")


def shown(named: str) -> str:
    """A history's place without what is nobody's to read: no user, no password, none of the URL's options."""
    if "://" not in named:
        return named
    scheme, _, rest = named.partition("://")
    if rest.count("@") > 1:  # part of a password may stand anywhere then
        return f"{scheme}://…"
    return f"{scheme}://{_USER.sub('', rest).partition('?')[0]}"


def add(named: str, found: Iterable[HistoryPoint]) -> int:
    """Append what is not there yet, all of it or nothing; → how many that were.  Several may write at once."""
    rows = sorted((_row(one) for one in found), key=lambda row: [row[name] for name in KEY])  # who waits, waits in turn
    added = 0
    with _connected(named) as connection:
        table = _table()
        _prepare(connection, table, named)
        for first in range(0, len(rows), TOGETHER):
            some = _insert(connection, table).values(rows[first : first + TOGETHER]).on_conflict_do_nothing()
            added += connection.execute(some, execution_options={"preserve_rowcount": True}).rowcount
    return added


def read(named: str) -> list[HistoryPoint]:
    """All of it, oldest first; nothing where none was begun.  A table that other versions fill may have more columns
    than are known here, or lack some of those that may be empty."""
    if not _begun(named):
        return []
    with _connected(named) as connection:
        from sqlalchemy import inspect, select

        table = _table()
        if not inspect(connection).has_table(TABLE):
            return []
        there = _columns(connection, named)
        known = [column for column in table.columns if column.name in there]
        rows = connection.execute(select(*known).order_by(table.c.date, table.c.session)).mappings()
        return _whole([HistoryPoint(**{**row, "environment": _environment(row.get("environment"))}) for row in rows])


def reachable(named: str) -> None:
    """BenchError where it cannot be read or begun, without reading it."""
    if not _begun(named):
        if not os.path.isdir(os.path.dirname(os.path.abspath(_url(named).database or ""))):
            raise BenchError("report.history_nowhere", place=shown(named))
        return
    with _connected(named) as connection:
        from sqlalchemy import inspect

        if inspect(connection).has_table(TABLE):
            _columns(connection, named)


def _begun(named: str) -> bool:
    """Whether there is a database; to look into an SQLite file that is not there would make it."""
    url = _url(named)
    place = url.database if url.get_backend_name() == "sqlite" else None
    return not place or place.startswith(("file:", ":")) or os.path.exists(place)


def _row(one: HistoryPoint) -> dict[str, Any]:
    environment = json.dumps(dict(one.environment), ensure_ascii=False, sort_keys=True, default=str)
    return {name: getattr(one, name) for name in (*KEY, *FACTS, "value")} | {"environment": environment}


def _environment(text: str | None) -> dict[str, Any]:
    """What a row says of it; of what somebody else wrote there nothing."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


@cache
def _table() -> Table:
    from sqlalchemy import Column, Float, MetaData, Table, Text

    columns: list[Column[Any]] = [Column(name, Text, primary_key=True, server_default="") for name in KEY]
    columns += [Column(name, Text, nullable=False, server_default="") for name in FACTS]
    columns += [Column("value", Float(53), nullable=False)]
    return Table(TABLE, MetaData(), *columns, Column("environment", Text, nullable=False, server_default="{}"))


def _columns(connection: Connection, named: str) -> set[str]:
    """What the table has; BenchError where another program made it."""
    from sqlalchemy import inspect

    there = {column["name"] for column in inspect(connection).get_columns(TABLE)}
    if lacking := [name for name in NEEDED if name not in there]:
        raise BenchError("report.history_lacks", place=shown(named), table=TABLE, names=", ".join(lacking))
    return there


def _prepare(connection: Connection, table: Table, named: str) -> None:
    """Make the table where there is none, and what an earlier one lacks; another one may do the same meanwhile."""
    from sqlalchemy import inspect, text
    from sqlalchemy.schema import CreateColumn, CreateTable

    if connection.dialect.name == "postgresql":  # whose IF NOT EXISTS is not safe from another one's
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:table))"), {"table": TABLE})
    else:
        connection.execute(text("BEGIN IMMEDIATE"))
    if not inspect(connection).has_table(TABLE):
        connection.execute(CreateTable(table))
    there = _columns(connection, named)
    for column in (column for column in table.columns if column.name not in there):
        how = CreateColumn(column).compile(dialect=connection.dialect)
        connection.execute(text(f"ALTER TABLE {TABLE} ADD COLUMN {how}"))


def _insert(connection: Connection, table: Table) -> Any:
    from sqlalchemy.dialects import postgresql, sqlite

    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def _url(named: str) -> URL:
    try:
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError as error:
        raise BenchError("report.needs_extra", module="sqlalchemy", extra="history") from error
    try:
        url = make_url(url_of(named))
    except (ArgumentError, ValueError):  # whose words may hold part of a password
        raise BenchError("report.history_kind", place=shown(named)) from None
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise BenchError("report.history_kind", place=shown(named))
    return url


@contextmanager
def _connected(named: str) -> Iterator[Connection]:
    """A transaction; what the database says is a BenchError, in its own words."""
    url = _url(named)
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        waits = {"sqlite": "timeout", "psycopg": "connect_timeout", "psycopg2": "connect_timeout"}
        patience = {name: PATIENCE for driver, name in waits.items() if driver in url.drivername}
        engine = create_engine(url, poolclass=NullPool, connect_args=patience)
        with engine.begin() as connection:
            yield connection
    except (SQLAlchemyError, ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "psycopg":
            raise BenchError("report.needs_extra", module="psycopg", extra="history") from error
        said = [line.strip() for line in str(getattr(error, "orig", None) or error).splitlines()]
        raise BenchError("report.history_failed", place=shown(named), why="; ".join(filter(None, said))) from None
