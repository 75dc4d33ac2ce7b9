"""Load from several machines, as their user sees it: two workers on this one, and pytest run as ever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import pytest

from pytest_vllm_bench.cli import main

pytestmark = pytest.mark.slow  # whole sessions

Bench = Callable[..., pytest.RunResult]
TOKEN = "a-token-of-the-workers"
#: Whether this machine is quiet is not what is tested.
VALID = {"lag_ms": 60_000, "rate": 0.01, "concurrency": 0.01, "cpu": 1, "steal": 1, "skew": "10s"}
LOAD = """
import pytest

@pytest.mark.asyncio
async def test_serving(scenario, vllm_bench):
    await vllm_bench(scenario)
"""
REGISTERED = """
import dataclasses
from pytest_vllm_bench.backends import BACKENDS

def pytest_vllm_bench_register(registry):
    registry.backends["mine"] = dataclasses.replace(BACKENDS["vllm"], name="mine")
"""


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, subprocess.Popen[str]]]]:
    """Two that listen, each with its address."""
    monkeypatch.setenv("BENCH_TOKEN", TOKEN)
    with ExitStack() as stack:
        found = []
        for _ in range(2):
            command = [sys.executable, "-m", "pytest_vllm_bench", "worker", "--listen", "localhost:0"]
            process = stack.enter_context(
                subprocess.Popen([*command, "--token-env", "BENCH_TOKEN"], stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            found.append((process.stdout.readline().split()[-1], process))
        yield found


def asked(workers: list[tuple[str, Any]], **more: Any) -> dict[str, Any]:
    return {"hosts": [host for host, _ in workers], "token_env": "BENCH_TOKEN", **more}


def results(pytester: pytest.Pytester) -> dict[str, dict[str, Any]]:
    read = (json.loads(path.read_text()) for path in (pytester.path / "results").glob("bench_*.json"))
    return {one["scenario_id"]: one for one in read}


def test_a_matrix_and_its_repeats_are_sent_by_two_machines(
    bench: Bench, pytester: pytest.Pytester, workers: list[Any]
) -> None:
    """The same ids, verdicts and report; each machine is told of, and what is watched is watched once."""
    shapes = {"concurrency_prompts": [[1, 3], [6, 24]], "input_output": [[32, 4]]}
    ran = bench(machines=asked(workers), repeats=2, warmup="1x", validity=VALID, **shapes)
    ran.assert_outcomes(passed=4)
    made = results(pytester)
    assert len(made) == 4
    for id, one in made.items():
        machines = one["client"]["machines"]
        assert [m["name"] for m in machines] == [h for h, _ in workers][: len(machines)], id
        assert len(machines) == (1 if "mc1-" in id else 2), id
        assert all(m["p99_sentinel_lag_ms"] is not None and m["lost"] is None for m in machines), id
        assert (one["verdict"], one["completed"]) == ("PASS", one["num_prompts"]), id
        assert one["server"]["requests"] == one["num_prompts"], id
        assert {check["check"] for check in one["validity"]} >= {"skew", "send_lag", "worker"}, id
    page = (pytester.path / "results" / "report.html").read_text()
    assert "client.machines[1].error_ms" in page
    ran.stdout.fnmatch_lines(["*1 of the 2 machines send*"])


def test_a_search_is_sent_by_two_machines(bench: Bench, pytester: pytest.Pytester, workers: list[Any]) -> None:
    ran = bench(
        machines=asked(workers),
        input_output=[[32, 4]],
        concurrency_prompts=None,
        search={"over": "concurrency", "max": 2},
        validity=VALID,
        test=LOAD,
    )
    ran.assert_outcomes(passed=1)
    one = results(pytester)["io32x4-capacity"]
    assert one["capacity"]["held"] == 2


def test_the_doctor_says_what_each_machine_can_send(
    bench: Bench, pytester: pytest.Pytester, workers: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    bench("--collect-only", machines=asked(workers))
    assert main(["doctor", "--config", str(pytester.path / "cases" / "config.yaml")]) == 0
    said = capsys.readouterr().out
    assert [f"{host} sends: " in said for host, _ in workers] == [True, True]


def test_a_rule_that_is_broken_stops_all_machines(bench: Bench, pytester: pytest.Pytester, workers: list[Any]) -> None:
    shape = {"input_output": [[32, 4]], "concurrency_prompts": [[4, 4000]], "validity": VALID}
    ran = bench(machines=asked(workers), sla=["p50_e2el_ms <= 1"], **shape)
    ran.assert_outcomes(failed=1)
    (one,) = results(pytester).values()
    assert one["verdict"] == "FAIL"
    assert one["client"]["stop_reason"] == "stopped"
    assert one["completed"] < 4000


def test_a_machine_that_is_lost_makes_the_run_invalid_by_name(
    bench: Bench, begin: Callable[..., subprocess.Popen[str]], pytester: pytest.Pytester, workers: list[Any]
) -> None:
    """And Ctrl-C on another run ends both machines' sending, keeps what came, and leaves them free."""
    more = {"machines": asked(workers), "input_output": [[32, 40]], "concurrency_prompts": [[4, 4000]]}
    bench("--collect-only", **more)
    process = begin("-s")
    assert process.stdout is not None
    running = time.monotonic() + 60
    while time.monotonic() < running and not sending(workers):
        time.sleep(0.05)
    time.sleep(3)  # records come once a second
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    (one,) = results(pytester).values()
    assert not one["complete"], said
    assert one["completed"] > 0, said
    assert process.returncode == 2, said
    process = begin("-s")
    while time.monotonic() < running and not sending(workers):
        time.sleep(0.05)
    time.sleep(3)
    workers[1][1].kill()
    said, _ = process.communicate(timeout=60)
    (one,) = results(pytester).values()
    assert one["verdict"] == "INVALID", said
    assert one["completed"] > 0, said
    assert f"{workers[1][0]} lost at " in said
    ran = bench(**more)
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines([f"*{workers[1][0]} cannot be reached (Connection refused)*"])


def sending(workers: list[Any]) -> bool:
    """Whether each has a measuring process under way."""
    found = set()
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
                    found.add(int(stat.read().rpartition(")")[2].split()[1]))
            except OSError:
                continue
    return all(process.pid in found for _, process in workers)


def test_what_cannot_be_sent_by_machines_is_refused_before_any_load(
    bench: Bench, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: list[Any]
) -> None:
    pytester.makeconftest(REGISTERED)
    bench(machines=asked(workers), tape="keep").stdout.fnmatch_lines(["*`tape: keep` cannot be had from several*"])
    own = bench(machines=asked(workers), backend="mine")
    own.stdout.fnmatch_lines(["*the backend mine is registered by a conftest*"])
    monkeypatch.setenv("SHORT", "abc")
    wrong: dict[str, Any] = {
        "no machine is named": {"hosts": None},
        "token_env is missing": {"token_env": None},
        "is not set": {"token_env": "NOT_SET"},
        "has 3 characters": {"token_env": "SHORT"},
        "is named twice": {"hosts": [workers[0][0]] * 2},
        "in plain text": {"hosts": ["10.1.2.3:7001"]},
        "is no address": {"hosts": ["10.1.2.3"]},
        "there is no file": {"tls": {"ca": "nowhere.pem"}},
        "hosts says nothing of machines.ray": {"ray": "auto"},
        "per_node says nothing of machines.hosts": {"per_node": 2},
    }
    for said, changed in wrong.items():
        machines = {key: value for key, value in asked(workers, **changed).items() if value is not None}
        ran = bench(machines=machines)
        assert ran.ret == 4, said
        ran.stderr.fnmatch_lines([f"*{said}*"])
    monkeypatch.setenv("BENCH_TOKEN", "another-token-of-others")
    ran = bench(machines=asked(workers))
    ran.assert_outcomes(errors=4)
    ran.stdout.fnmatch_lines(["*several machines cannot take part*", "*the tokens differ*"])


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed; ci/leg_ray.py has the rest")
def test_without_ray_it_is_said_how_to_install_it(bench: Bench) -> None:
    ran = bench("-k", "io64 and mc1", machines={"ray": "auto", "nodes": 2})
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines(["*pip install 'pytest-vllm-bench[[]ray]'*"])


def test_a_worker_says_why_it_cannot_listen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_TOKEN", TOKEN)
    wrong: dict[str, Any] = {
        "is no address": ["--listen", "7001", "--token-env", "BENCH_TOKEN"],
        "no token of at least 16": ["--listen", "localhost:0", "--token-env", "NOT_SET"],
        "plain text": ["--listen", "0.0.0.0:0", "--token-env", "BENCH_TOKEN"],
        "cannot listen on": ["--listen", "localhost:0", "--token-env", "BENCH_TOKEN", "--cert", "nowhere.pem"],
    }
    for said, args in wrong.items():
        assert main(["worker", *args]) == 2
        assert said in capsys.readouterr().err
