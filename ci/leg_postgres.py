"""A real PostgreSQL (Debian's packages, in a folder that goes afterwards) → a history that many fill, by its URL.

python ci/leg_postgres.py
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from leg import ROOT, Findings, Forbidden, main
from servers import free_port

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.store import history

SECRET = "s3cr3t@word"
SPELT = SECRET.replace("@", "%40")
#: What runs the server: it refuses to be root's.
SERVANT = "postgres" if os.getuid() == 0 else None
NIGHTS = 40


def leg(findings: Findings) -> None:
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as port:
        place = f"127.0.0.1:{port}"
        url = f"postgresql://bench:{SPELT}@{place}/postgres"
        results = nights(Path(folder) / "results")
        at_once(findings, url, Path(folder))
        sql(url, f"DROP TABLE {history.TABLE}")
        from_end_to_end(findings, url, results, Path(folder))
        forms(findings, port, Path(folder))
        rights(findings, url, place, results)
        other_versions(findings, url, results)
        said(findings, place)
        dashboards(findings, url)


def programs() -> Path:
    """Where the server's programs lie: Debian puts each version into a folder of its own."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    named = str(found[-1]) if found else shutil.which("initdb")
    if not named:
        raise Forbidden("there is no PostgreSQL here: apt-get install postgresql")
    return Path(named).parent


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """A server on a port of the loopback, of the user bench with a password; → the port."""
    bin, data, port = programs(), folder / "data", free_port()
    (folder / "password").write_text(SECRET)
    data.mkdir(mode=0o700)
    if SERVANT:
        folder.chmod(0o755)
        for path in (data, folder / "password"):
            shutil.chown(path, SERVANT)
    call([str(bin / "initdb"), "-D", str(data), "-U", "bench", "-A", "scram-sha-256", "--no-sync",
          f"--pwfile={folder / 'password'}"])  # fmt: skip
    command = [str(bin / "postgres"), "-D", str(data), "-p", str(port), "-k", str(data), "-F", "-h", "127.0.0.1"]
    with (folder / "log").open("w+") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, **as_servant())
        try:
            begun = monotonic()
            while call([str(bin / "pg_isready"), "-h", "127.0.0.1", "-p", str(port)], check=False):
                if server.poll() is not None or monotonic() - begun > 60:
                    log.seek(0)
                    raise RuntimeError(f"PostgreSQL did not come up:\n{log.read()[-4000:]}")
                sleep(0.2)
            yield port
        finally:
            server.send_signal(signal.SIGINT)  # which does not wait for those who are connected
            server.wait(30)


def as_servant() -> dict[str, Any]:
    return {"user": SERVANT, "group": pwd.getpwnam(SERVANT).pw_gid, "cwd": "/"} if SERVANT else {}


def call(command: Sequence[str], *, check: bool = True) -> int:
    done = subprocess.run(command, capture_output=True, text=True, **as_servant())
    if check and done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr[-2000:]}")
    return done.returncode


def nights(folder: Path, first: int = 0, count: int = NIGHTS) -> Path:
    """A results folder: the last ten nights are 20 % slower."""
    for n in range(first, first + count):
        place = folder if n == first + count - 1 else folder / f"history/s{n:04}"
        place.mkdir(parents=True, exist_ok=True)
        tpot = (10 + n % 3 * 0.1) * (1.2 if n >= NIGHTS - 10 else 1)
        row = {"schema_version": 1, "scenario_id": "io64x8-mc1-np9", "scenario_key": "io64x8-mc1", "verdict": "PASS",
               "session": f"s{n:04}", "date_utc": f"2026-{1 + n // 28:02}-{1 + n % 28:02}T02:00:00+00:00",
               "plan_digest": "d", "mean_tpot_ms": tpot, "environment": {"server": f"vllm 0.{n}"}}  # fmt: skip
        (place / "bench_io64x8_mc1_np9.json").write_text(json.dumps(row))
    return folder


def trend(*words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest_vllm_bench", "trend", *words, "--metrics", "mean_tpot_ms"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environ = {**os.environ, "PYTHONPATH": path, "PYTEST_VLLM_LANG": "en", **(env or {})}
    return subprocess.run(command, capture_output=True, text=True, env=environ)


def sql(url: str, *statements: str) -> None:
    from sqlalchemy import NullPool, create_engine, text

    with create_engine(history.url_of(url), poolclass=NullPool).begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def at_once(findings: Findings, url: str, folder: Path) -> None:
    """Four machines begin an empty history in one moment, and have twenty nights of thirty in common."""
    crew = []
    for n in range(4):
        words = ["trend", str(nights(folder / f"machine{n}", 10 * n, 30)), "--metrics", "mean_tpot_ms"]
        command = [sys.executable, "-m", "pytest_vllm_bench", *words, "--history", url]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        crew.append(subprocess.Popen(command, text=True, cwd=ROOT, **pipes))  # type: ignore[call-overload]
    ends = [one.communicate()[1].strip() for one in crew]
    findings.check(f"four machines at once: {'; '.join(ends)}", holds=all(words[:1].isdigit() for words in ends))
    found, added = history.read(url), sum(int(words.split()[0]) for words in ends if words[:1].isdigit())
    holds = len(found) == len({one.session for one in found}) == 60 == added
    findings.check(f"each figure is there once: {len(found)}", holds=holds)


def from_end_to_end(findings: Findings, url: str, results: Path, folder: Path) -> None:
    """What ``trend`` says is what it says of an SQLite file."""
    first, again = (trend(str(results), "--history", url) for _ in range(2))
    file = trend(str(results), "--history", str(folder / "nights.db"))
    findings.check("trend fails the new worsening", holds=first.returncode == 1 and "worse: fails" in first.stdout)
    findings.check("and says what a file says", holds=first.stdout == file.stdout == again.stdout)
    findings.check(f"nothing is added twice: {again.stderr.strip()}", holds=again.stderr.startswith("0 figures"))
    findings.check("nothing but the place is shown", holds=SECRET not in first.stderr and SPELT not in first.stderr)
    same = history.read(url) == history.read(str(folder / "nights.db"))
    findings.check("what is read is what an SQLite file holds", holds=same)


def forms(findings: Findings, port: int, folder: Path) -> None:
    """Every way in which people write the place, the password in the URL or where libpq looks for it."""
    place = f"127.0.0.1:{port}/postgres"
    secret = {"PGPASSWORD": SECRET}
    known = folder / "pgpass"
    known.write_text(f"127.0.0.1:{port}:*:bench:{SECRET}\n")
    known.chmod(0o600)
    for written, env in (
        (f"postgres://bench:{SPELT}@{place}", {}),
        (f"postgresql+psycopg://bench:{SPELT}@{place}?sslmode=prefer", {}),
        (f"postgresql://bench@{place}", secret),
        (f"postgresql://bench@{place}", {"PGPASSFILE": str(known)}),
        (f"postgresql:///postgres?host={folder / 'data'}&port={port}&user=bench", secret),
    ):
        done = trend("--history", written, "--format", "json", env=env)
        shown = history.shown(written)
        findings.check(
            f"{shown}, {', '.join(env) or 'its own password'}", holds=done.returncode == 1 and not done.stderr
        )


def rights(findings: Findings, url: str, place: str, results: Path) -> None:
    """A CI job that may add and look, and somebody who may only look."""
    table = history.TABLE
    sql(url, "CREATE ROLE job LOGIN PASSWORD 'j'", "CREATE ROLE guest LOGIN PASSWORD 'g'",
        f"GRANT SELECT, INSERT ON {table} TO job", f"GRANT SELECT ON {table} TO guest",
        f"DELETE FROM {table} WHERE session = 's0003'")  # fmt: skip
    job, guest = f"postgresql://job:j@{place}/postgres", f"postgresql://guest:g@{place}/postgres"
    findings.check("a guest looks", holds=trend("--history", guest).returncode == 1)
    refused = trend(str(results), "--history", guest)
    findings.check(f"and is refused: {refused.stderr.strip()}",
                   holds=refused.returncode == 2 and "permission denied" in refused.stderr)  # fmt: skip
    findings.check("a job adds", holds=trend(str(results), "--history", job).stderr.startswith("1 figures"))


def other_versions(findings: Findings, url: str, results: Path) -> None:
    """A table that a version without some columns made, one with a column more, and another program's."""
    table = history.TABLE
    sql(url, f"ALTER TABLE {table} DROP COLUMN environment, DROP COLUMN commit, ADD COLUMN tomorrow text DEFAULT 'x'",
        f"DELETE FROM {table} WHERE session = 's0004'")  # fmt: skip
    findings.check("a table that lacks columns is read", holds=trend("--history", url).returncode == 1)
    again = trend(str(results), "--history", url)
    findings.check(f"and is completed: {again.stderr.strip()}", holds=again.stderr.startswith("1 figures"))
    told = [bool(one.environment) for one in history.read(url)]
    findings.check("what was there before says nothing of it, what came since does", holds=sum(told) == 1)
    sql(url, f"ALTER TABLE {table} RENAME TO kept", f"CREATE TABLE {table} (session text, date text, other int)")
    strange = trend("--history", url)
    findings.check(f"another program's table: {strange.stderr.strip()}",
                   holds=strange.returncode == 2 and "lacks scenario, metric, value" in strange.stderr)  # fmt: skip
    written = trend(str(results), "--history", url)
    findings.check("is not written to either", holds="lacks scenario, metric, value" in written.stderr)
    sql(url, f"DROP TABLE {table}", f"ALTER TABLE kept RENAME TO {table}")


def said(findings: Findings, place: str) -> None:
    """What goes wrong is one line that says what, and no secret."""
    for what, url, word in (
        ("a wrong password", f"postgresql://bench:wr0ng@{place}/postgres", "password authentication failed"),
        ("no such database", f"postgresql://bench:{SPELT}@{place}/there", 'database "there" does not exist'),
        ("no server", f"postgresql://bench:{SPELT}@127.0.0.1:{free_port()}/postgres", "refused"),
        ("an option that there is not", f"postgresql://bench:{SPELT}@{place}/postgres?wr0ng=1", "wr0ng"),
        ("a port that is none", f"postgresql://bench:{SPELT}@127.0.0.1:http/postgres", "is no history"),
        ("another driver", f"postgresql+pg9000://bench:{SPELT}@{place}/postgres", "pg9000"),
    ):
        done = trend("--history", url)
        lines = done.stderr.strip().splitlines()
        holds = done.returncode == 2 and len(lines) == 1 and word in lines[0]
        secret = any(one in done.stderr for one in (SECRET, SPELT, "bench:"))
        findings.check(f"{what}: {done.stderr.strip()[-300:]}", holds=holds and not secret)
    try:
        history.add(f"postgresql://bench:wr0ng@{place}/postgres", [])
    except BenchError as error:
        findings.check(
            "to add with a wrong password is refused likewise", holds=error.message.key == "report.history_failed"
        )


def dashboards(findings: Findings, url: str) -> None:
    """Each query of Grafana's, on the nights that the test of the SQLite dashboards has."""
    from sqlalchemy import NullPool, create_engine

    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "docs")]
    import test_grafana as test

    sql(url, f"DROP TABLE {history.TABLE}")
    history.add(url, test.nights())
    for lang in ("en", "zh"):
        board = json.loads((test.HERE / f"postgresql.{lang}.json").read_text("utf-8"))
        with create_engine(history.url_of(url), poolclass=NullPool).connect() as connection:
            # As Grafana sends it: as it stands, without parameters.
            run = {name: connection.exec_driver_sql(test.interpolated(one)) for name, one in test.queries(board)}
            found = {name: [tuple(row) for row in rows] for name, rows in run.items()}
        try:
            test.expected(found, [panel["title"] for panel in board["panels"]])
            wrong = ""
        except AssertionError as error:
            wrong = "".join(traceback.format_exception_only(error) + traceback.format_tb(error.__traceback__)[-1:])
        findings.check(f"every query of postgresql.{lang}.json {wrong}", holds=not wrong)
        changes = found[board["annotations"]["list"][0]["name"]]
        findings.check(f"{changes}", holds=[row[1] for row in changes] == ["vllm 0.0 → vllm 0.1"])


if __name__ == "__main__":
    main("PostgreSQL", leg)
