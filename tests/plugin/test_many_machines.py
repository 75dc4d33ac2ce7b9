"""Load from several machines, as their user sees it: two workers on this one, and pytest run as ever."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import pytest
import yaml
from msgspec import structs
from quiet import NOT_ASKED

from pytest_vllm_bench import rejudge, simulator
from pytest_vllm_bench.cli import main
from pytest_vllm_bench.machines import node
from pytest_vllm_bench.model import Measurement, Record
from pytest_vllm_bench.store import measurement

pytestmark = pytest.mark.slow  # whole sessions

Bench = Callable[..., pytest.RunResult]
TOKEN = "a-token-of-the-workers"
VALID = NOT_ASKED | {"skew": "10s"}
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


Workers = list[tuple[str, subprocess.Popen[str]]]


@contextmanager
def listening() -> Iterator[Workers]:
    """Two that listen, each with its address."""
    with ExitStack() as stack:
        found = []
        for _ in range(2):
            command = [sys.executable, "-m", "pytest_vllm_bench", "worker", "--listen", "localhost:0"]
            process = stack.enter_context(
                subprocess.Popen(
                    [*command, "--token-env", "BENCH_TOKEN"],
                    stdout=subprocess.PIPE,
                    text=True,
                    env={**os.environ, "BENCH_TOKEN": TOKEN},
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            found.append((process.stdout.readline().split()[-1], process))
        yield found


@pytest.fixture(scope="module")
def pair() -> Iterator[Workers]:
    with listening() as workers:
        yield workers


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch, pair: Workers) -> Workers:
    """Those of all tests, which outlive each."""
    monkeypatch.setenv("BENCH_TOKEN", TOKEN)
    return pair


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    """Those of a test that ends one."""
    monkeypatch.setenv("BENCH_TOKEN", TOKEN)
    with listening() as workers:
        yield workers


def asked(workers: list[tuple[str, Any]], **more: Any) -> dict[str, Any]:
    return {"hosts": [host for host, _ in workers], "token_env": "BENCH_TOKEN", **more}


def results(pytester: pytest.Pytester) -> dict[str, dict[str, Any]]:
    read = (json.loads(path.read_text()) for path in (pytester.path / "results").glob("bench_*.json"))
    return {one["scenario_id"]: one for one in read}


def test_a_matrix_is_sent_by_two_machines(bench: Bench, pytester: pytest.Pytester, workers: list[Any]) -> None:
    """The same ids, verdicts and report; each machine is told of, and what is watched is watched once."""
    shapes = {"concurrency_prompts": [[1, 3], [6, 24]], "input_output": [[32, 4]]}
    ran = bench(machines=asked(workers), warmup="1x", validity=VALID, **shapes)
    ran.assert_outcomes(passed=2)
    made = results(pytester)
    assert len(made) == 2
    for id, one in made.items():
        machines = one["client"]["machines"]
        assert [m["name"] for m in machines] == [h for h, _ in workers][: len(machines)], id
        assert len(machines) == (1 if "mc1-" in id else 2), id
        starts = [m["start_ms"] for m in machines]
        assert one["client"]["start_skew_ms"] == pytest.approx(max(starts) - min(starts)), id
        assert all(m["p99_sentinel_lag_ms"] is not None and m["lost"] is None for m in machines), id
        assert (one["verdict"], one["completed"]) == ("PASS", one["num_prompts"]), id
        assert one["server"]["requests"] == one["num_prompts"], id
        assert {check["check"] for check in one["validity"]} >= {"skew", "send_lag", "worker"}, id
    page = (pytester.path / "results" / "report.html").read_text()
    assert "client.machines[1].error_ms" in page
    assert "client.start_skew_ms" in page
    ran.stdout.fnmatch_lines(["*1 of the 2 machines send*"])


#: Shapes of load and kinds of datasets.
LOADS: dict[str, dict[str, Any]] = {
    "bursts": {"request_rate": [60], "burstiness": 0.5, "repeats": 2},
    "bounded": {"request_rate": [60], "ramp_up": {"over": "0.3s", "start": 20}, "concurrency_prompts": [[3, 20]]},
    "slots": {"stages": [{"concurrency": 2, "for": "0.2s"}, {"concurrency": 6, "for": "0.2s"}], "keep_text": True},
    "rates": {"stages": [{"rate": 30, "for": "0.2s"}, {"rate": 60, "for": "0.2s"}], "cache": "warm"},
    "talks": {
        "dataset": {"name": "conversation", "turns": 2, "max_turns": 4, "think": 0.01},
        "ramp_up": {"over": "0.2s", "start": 2},
        "concurrency_prompts": [[4, 30]],
    },
    "trace": {"dataset": {"name": "trace", "path": "trace.jsonl"}, "input_output": None, "concurrency_prompts": None},
    "lasting": {
        "dataset": {"name": "custom", "path": "rows.jsonl"},
        "duration": "0.3s",
        "input_output": [[None, 4]],
        "concurrency_prompts": [[4, None]],
    },
    "targets": {
        "dataset": {"name": "generated_shared_prefix", "groups": 3, "prefix_len": 8},
        "warmup": 3,
        "workers": 2,
    },
}
#: How many requests of a closed loop go in a time is the machine's speed.
AS_FAST_AS_IT_IS = {"slots", "lasting"}


def sent(pytester: pytest.Pytester, folder: str, base_url: str, machines: dict[str, Any] | None) -> pytest.RunResult:
    """All of them in one session, each with a config of its own."""
    rows = "".join(json.dumps({"prompt": f"row {n}"}) + "\n" for n in range(50))
    times = ({"timestamp": n / 50, "input_length": 9 + n, "output_length": 3} for n in range(15))
    trace = "".join(json.dumps(row) + "\n" for row in times)
    for name, keys in LOADS.items():
        (where := pytester.path / folder / name).mkdir(parents=True)
        some = None if "stages" in keys else [[None, 12]]
        server = {"targets": {"a": base_url, "b": base_url}} if name == "targets" else {"base_url": base_url}
        load = {**server, "results_dir": f"results/{folder}/{name}", "machines": machines} | {
            "input_output": [[16, 4]], "concurrency_prompts": some, "warmup": 0, "validity": VALID, **keys
        }  # fmt: skip
        (where / "config.yaml").write_text(yaml.safe_dump({k: v for k, v in load.items() if v is not None}))
        (where / f"test_{folder}_{name}.py").write_text(LOAD)
        (where / "rows.jsonl").write_text(rows)
        (where / "trace.jsonl").write_text(trace)
    return pytester.runpytest_inprocess(*(f"{folder}/{name}" for name in LOADS))


def measured(pytester: pytest.Pytester, folder: str) -> dict[str, Measurement]:
    there = (pytester.path / "results" / folder).glob("*/bench_*.measurement.gz")
    return {f"{path.parent.name} {one.scenario.id}": one for path in sorted(there) for one in [measurement.load(path)]}


@pytest.mark.heavy
def test_every_load_is_the_same_from_two_machines(bench: Bench, pytester: pytest.Pytester, workers: Workers) -> None:
    """One plan, the same requests at the same times, their turns in order; judged again as in the run."""
    with simulator.start() as server:
        for folder, machines in {"alone": None, "together": asked(workers)}.items():
            sent(pytester, folder, server.base_url, machines).assert_outcomes(passed=len(LOADS) + 2)
    alone, together = (measured(pytester, folder) for folder in ("alone", "together"))
    assert alone.keys() == together.keys()
    unlike = dict[str, list[str]]()
    for name, one in alone.items():
        both = together[name]
        assert both.facts
        requests = [[asked_of(record) for record in m.records] for m in (one, both)]
        seen = {
            "plan": digest(one) == digest(both),
            "requests": requests[0] == requests[1] or name.split()[0] in AS_FAST_AS_IT_IS,
            "once": len({r.index for r in both.records}) == len(both.records) > 1,
            "turns": all(a.done <= b.sent for a, b in pairs(both) if a.done and b.sent),
            "words": all((r.text is not None) == both.scenario.keep_text for r in both.records),
            "machines": [m.name for m in both.facts.machines] == [host for host, _ in workers],
            "complete": both.complete,
        }
        unlike |= {name: problems} if (problems := [what for what, holds in seen.items() if not holds]) else {}
    assert not unlike
    for path in (pytester.path / "results" / "together").glob("*/bench_*.json"):
        (again,) = rejudge.results(path, rejudge.Criteria())
        row = json.loads(path.read_text())
        assert again.client
        assert (str(again.verdict), row["verdict"], len(again.client.machines)) == ("PASS", "PASS", 2), path


def digest(one: Measurement) -> str:
    return one.plan.digest if one.plan else ""


def asked_of(record: Record) -> tuple[Any, ...]:
    return record.index, record.chain, record.turn, record.due, record.output_tokens, record.error


def pairs(one: Measurement) -> list[tuple[Record, Record]]:
    """Each turn of a conversation and the next."""
    records = sorted(one.records, key=lambda r: (r.chain, r.turn))
    return [(a, b) for a, b in pairwise(records) if a.chain == b.chain]


def test_the_tiers_of_a_search_are_sent_by_two_machines(
    bench: Bench, pytester: pytest.Pytester, workers: Workers
) -> None:
    tiers = {"narrow": {"sla": ["max_concurrent_requests <= 2"]}, "wide": {"sla": ["failed == 0"]}}
    ran = bench(
        machines=asked(workers),
        input_output=[[32, 4]],
        concurrency_prompts=None,
        search={"over": "concurrency", "max": 3, "tiers": tiers},
        validity=VALID,
        test=LOAD,
    )
    ran.assert_outcomes(passed=2)
    held = {id: one["capacity"]["held"] for id, one in results(pytester).items() if one.get("capacity")}
    assert held == {"io32x4-narrow-capacity": 2, "io32x4-wide-capacity": 3}


def test_the_doctor_says_what_each_machine_can_send(
    bench: Bench, pytester: pytest.Pytester, workers: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    bench("--collect-only", machines=asked(workers))
    assert main(["doctor", "--config", str(pytester.path / "cases" / "config.yaml")]) == 0
    said = capsys.readouterr().out
    assert [f"an event costs {who} " in said for who in ("this machine", *dict(workers))] == [True, True, True]


@contextmanager
def limited(**limits: Any) -> Iterator[str]:
    """One that listens in this process, and says that it can do so little."""
    loop, port = asyncio.new_event_loop(), Future[int]()

    async def serve() -> None:
        about = await node.about()
        welcome = structs.replace(about, limits=replace(about.limits, **limits))
        with suppress(asyncio.CancelledError):
            await node.serve(("localhost", 0), TOKEN.encode(), port.set_result, welcome=welcome)

    task = loop.create_task(serve())
    thread = threading.Thread(target=loop.run_until_complete, args=(task,))
    thread.start()
    try:
        yield f"localhost:{port.result(30)}"
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


def test_a_plan_is_held_against_what_each_machine_can_send(
    bench: Bench, pytester: pytest.Pytester, workers: Workers
) -> None:
    """Connections that one of them cannot have are refused; a rate that it cannot keep up with is said before."""
    keys = {"input_output": [[16, 4]], "validity": VALID, "test": LOAD}
    with limited(cores=2, files=100, event_cost_s=0.06) as weak:
        hosts = {"hosts": [workers[0][0], weak], "token_env": "BENCH_TOKEN"}
        ran = bench(machines=hosts, concurrency_prompts=[[4, 8], [73, 99]], **keys)
        ran.assert_outcomes(errors=2)
        ran.stdout.fnmatch_lines([f"*{weak} takes no part: 37 connections need 101 open files*may have 100*"])
        assert results(pytester) == {}
        rates = {"request_rate": [6, 200], "concurrency_prompts": [[9, 12]]}
        ran = bench(machines=hosts, **rates, **keys)
    ran.assert_outcomes(passed=2)
    said = {one["request_rate"]: [note["text"] for note in one["notes"]] for one in results(pytester).values()}
    assert [any("in comfort" in note for note in said[rate]) for rate in (6, 200)] == [False, True]
    assert any(f"the plan asks {weak} for about 24 tokens a second" in note for note in said[200])


def test_a_rule_that_is_broken_stops_all_machines(bench: Bench, pytester: pytest.Pytester, workers: list[Any]) -> None:
    shape = {"input_output": [[32, 4]], "concurrency_prompts": [[4, 4000]], "validity": VALID}
    ran = bench(machines=asked(workers), sla=["p50_e2el_ms <= 1"], **shape)
    ran.assert_outcomes(failed=1)
    (one,) = results(pytester).values()
    assert one["verdict"] == "FAIL"
    assert one["client"]["stop_reason"] == "stopped"
    assert one["completed"] < 4000


def test_a_machine_that_is_lost_makes_the_run_invalid_by_name(
    bench: Bench, begin: Callable[..., subprocess.Popen[str]], pytester: pytest.Pytester, mortal: Workers
) -> None:
    """And Ctrl-C on another run ends both machines' sending, keeps what came, and leaves them free; the session that
    takes it up again sends what is missing."""
    more = {"machines": asked(mortal), "input_output": [[32, 40]], "concurrency_prompts": [[2, 4], [4, 4000]]}
    bench("--collect-only", **more)
    results_there = (pytester.path / "results").glob
    process = begin("-s")
    until(lambda: any(results_there("bench_*.json")) and sending(mortal))
    time.sleep(3)  # records come once a second
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    first, second = sorted(results(pytester))
    whole, cut = (results(pytester)[name] for name in (first, second))
    assert (whole["complete"], cut["complete"], process.returncode) == (True, False, 2), said
    assert cut["completed"] > 0, said
    process = begin("-s", "--vllm-resume")
    until(lambda: sending(mortal))
    time.sleep(3)
    mortal[1][1].kill()
    said, _ = process.communicate(timeout=60)
    again, lost = (results(pytester)[name] for name in (first, second))
    assert [again[key] for key in ("date_utc", "plan")] == [whole[key] for key in ("date_utc", "plan")], said
    assert "resumed" in again["taints"], said
    assert lost["verdict"] == "INVALID", said
    assert lost["completed"] > 0, said
    assert f"{mortal[1][0]} lost at " in said
    ran = bench(**more)
    ran.assert_outcomes(errors=2)
    ran.stdout.fnmatch_lines([f"*{mortal[1][0]} cannot be reached (Connection refused)*"])


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not holds():
        time.sleep(0.05)


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
