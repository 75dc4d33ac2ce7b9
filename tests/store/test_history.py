"""A history only grows, whoever writes it, however many at once; ``ci/leg_postgres.py`` asks a PostgreSQL the same."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.store import history
from pytest_vllm_bench.store.history import HistoryPoint
from pytest_vllm_bench.text import say

POINT = HistoryPoint(scenario="io64x8-mc1", metric="mean_tpot_ms", session="s1", date="2026-01-01T02:00:00Z", value=9.0)
#: Waits for the others, then adds its nights one by one, each of which another one has too, and looks at all of them.
WRITER = """
import sys, time
from dataclasses import replace
from pathlib import Path
sys.path[:0] = [sys.argv[3]]
from test_history import POINT
from pytest_vllm_bench.store import history
place, me = Path(sys.argv[1]), int(sys.argv[2])
added = history.add(str(place.with_name("other.db")), [])  # all is imported
place.with_name(f"ready{me}").touch()
while len(list(place.parent.glob("ready*"))) < 5:
    time.sleep(0.01)
for n in range(me * 10, me * 10 + 20):
    added += history.add(str(place), [replace(POINT, session=f"s{n}", metric=metric) for metric in "ab"])
    assert len(history.read(str(place))) >= 2
print(added)
"""


@pytest.mark.slow
def test_several_write_and_read_at_once(tmp_path: Path) -> None:
    """Each figure once, whoever was first, also while the table is made."""
    named, here = tmp_path / "nights.db", Path(__file__).parent
    command = [sys.executable, "-c", WRITER, str(named)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    crew = [subprocess.Popen([*command, str(n), str(here)], text=True, **pipes) for n in range(5)]  # type: ignore[call-overload]
    said = [one.communicate() for one in crew]
    assert [one.returncode for one in crew] == [0] * 5, said
    assert sum(int(out) for out, _ in said) == len(history.read(str(named))) == 2 * 60


def test_what_is_added_again_changes_nothing(tmp_path: Path) -> None:
    """Not in one call, not in two, not with another value; two machines that began in one second are two."""
    named = str(tmp_path / "nights.db")
    elsewhere = replace(POINT, origin="h2 → http://b", value=8.0)
    assert history.add(named, [POINT, POINT, replace(POINT, value=7), elsewhere]) == 2
    assert history.add(named, [replace(POINT, value=6), elsewhere]) == 0
    many = [replace(elsewhere, session=f"n{n:04}", environment={"load": {"seed": str(n)}}) for n in range(1200)]
    assert history.add(named, many) == 1200, "more than one statement takes"
    assert set(map(repr, history.read(named))) == set(map(repr, [elsewhere, *many]))


def test_a_table_of_old_imports_gives_way_to_what_says_more(tmp_path: Path) -> None:
    """A CSV does not say who measured: where the result's file is imported too, that stands."""
    named = str(tmp_path / "nights.db")
    told = replace(POINT, origin="h → http://a", plan="d")
    for one in (POINT, told, replace(POINT, session="s0")):
        assert history.add(named, [one]) == 1
    assert [(one.session, one.origin) for one in history.read(named)] == [("s0", ""), ("s1", told.origin)]


def test_a_table_of_another_version_is_read_and_completed(tmp_path: Path) -> None:
    named = str(tmp_path / "nights.db")
    with closing(sqlite3.connect(named)) as made:
        columns = "scenario text, metric text, session text, date text, value real, tomorrow text default 'x'"
        made.execute(f"CREATE TABLE {history.TABLE} ({columns}, PRIMARY KEY (scenario, metric, session))")
        made.execute(f"INSERT INTO {history.TABLE} VALUES ('a', 'mean_tpot_ms', 's0', '2026-01-01', 5.0, 'y')")
        made.commit()
    (old,) = history.read(named)
    assert (old.scenario, old.value, old.plan, old.environment) == ("a", 5.0, "", {})
    assert history.add(named, [replace(POINT, commit="c0ffee", environment={"model": "m"})]) == 1
    assert [(one.commit, dict(one.environment)) for one in history.read(named)] == [
        ("", {}),
        ("c0ffee", {"model": "m"}),
    ]
    with closing(sqlite3.connect(named)) as made:
        made.execute(f"UPDATE {history.TABLE} SET environment = 'by hand'")
        made.commit()
    assert [dict(one.environment) for one in history.read(named)] == [{}, {}]


def test_a_place_is_shown_without_what_may_be_secret() -> None:
    shown = {
        "nights.db": "nights.db",
        "postgresql://db/bench": "postgresql://db/bench",
        "postgresql://bench:s3cret@db:5432/bench?sslmode=require": "postgresql://db:5432/bench",
        "postgresql://bench:s3?cret@db/bench": "postgresql://db/bench",
        "postgresql://bench:s3/cret#x@db/bench": "postgresql://db/bench",
        "postgresql://s3cret@db/bench": "postgresql://db/bench",
        "postgresql:///bench?user=a&password=s3cret": "postgresql:///bench",
        "postgresql://bench:s3@cret@db/bench": "postgresql://…",
        "postgresql://bench:s3@cr?et@db/bench": "postgresql://…",
        "postgresql:///bench?user=a@b&password=s3cret": "postgresql:///bench",
    }
    assert {named: history.shown(named) for named in shown} == shown


def test_what_is_no_url_is_refused_without_its_words() -> None:
    for named in ("postgresql://u:p@s3cret:s3cret@h/db", "mysql://h/db", "postgresql://u:s3cret@h:http/db"):
        for ask in (history.read, history.reachable, lambda place: history.add(place, [POINT])):
            with pytest.raises(BenchError, match="history_kind") as refused:
                ask(named)
            assert "s3cret" not in say(refused.value.message)


def test_a_look_makes_no_file(tmp_path: Path) -> None:
    for scheme in ("", "sqlite:///", "sqlite+pysqlite:///"):
        assert history.read(f"{scheme}{tmp_path}/nights.db") == []
        history.reachable(f"{scheme}{tmp_path}/nights.db")
        with pytest.raises(BenchError, match="history_nowhere"):
            history.reachable(f"{scheme}{tmp_path}/no/nights.db")
    assert not [*tmp_path.iterdir()]


def test_dates_of_any_zone_are_utc() -> None:
    told = {
        "2026-01-01T02:00:00": "2026-01-01T02:00:00+00:00",
        "2026-01-01T02:00:00+08:00": "2025-12-31T18:00:00+00:00",
        "0001-01-01T00:00:00+08:00": "",
        "yesterday": "",
    }
    assert {date: history.utc(date) for date in told} == told
