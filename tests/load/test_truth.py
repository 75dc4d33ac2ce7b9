"""Our figures against a server that knows the truth; on one clock, so that what must hold holds at any speed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import chart, clients, own, rounds, truth
from benchmarks.truth import Case

pytestmark = pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and cc")

CASES = [
    Case(name="plain"),
    Case(name="chat", chat=True),
    Case(name="four tokens an event", tokens=4),
    Case(name="three events a write", events=3),
    Case(name="flood", ttft_ms=0, itl_ms=0, output_len=200),
    Case(name="TLS", secure=True),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("truth")


def small(case: Case) -> Case:
    if case.itl_ms:
        case = replace(case, ttft_ms=10.0, itl_ms=2.0, output_len=21)
    return replace(case, concurrency=8, requests=24)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_is_seen_before_it_happened(case: Case, folder: Path) -> None:
    """Each request was sent before it arrived there, and each first event seen here after it was sent there."""
    case = small(case)
    try:
        with truth.serving(case, folder) as server:
            done = own.measured(case, server, folder)
            told = server.truth()
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        if not case.secure:
            raise
        pytest.skip(f"the truth server cannot be built with TLS here: {error}")
    assert [record.error for record in done.records] == [None] * case.requests
    assert told.tokens == sum(record.output_tokens or 0 for record in done.records) == case.requests * case.output_len
    if case.itl_ms:
        assert told.peak_active == case.concurrency
    else:  # a flood may be over with one request before it begins the next
        assert told.peak_active <= case.concurrency
    assert done.seen.ttft_mean >= sum(told.ttft) / len(told.ttft)
    assert min(done.facts.started + (record.sent or 0) for record in done.records) <= told.began
    assert max(done.facts.started + (record.last_token or 0) for record in done.records) >= told.ended


def test_the_tape_is_little_longer_than_what_came(folder: Path) -> None:
    case = Case(ttft_ms=1, itl_ms=1, requests=32, output_len=50)
    made = own.planned(case, folder / "plan")
    with truth.serving(case, folder) as server:
        done = own.measured(case, server, folder, own.How(decode=False))
    worker = done.facts.workers[0]
    entries = worker.reads * 17 + made.n * (17 + 32 + 17 + 1)
    assert (worker.bytes_in + entries) / worker.bytes_in < 1.2


@pytest.mark.slow
def test_the_table_and_the_picture(folder: Path, tmp_path: Path) -> None:
    cases = [small(Case(name="standard"))]
    errors = rounds.run(cases, {"pytest-vllm-bench": clients.path, "aiohttp loop": clients.aiohttp_loop}, 2, folder)
    table = rounds.table(errors).splitlines()
    assert len(table) == 4
    assert table[2].startswith("| standard | 8 | pytest-vllm-bench | 2      | +")
    chart.save(errors, tmp_path / "ttft.png")
    assert (tmp_path / "ttft.png").read_bytes().startswith(b"\x89PNG")
