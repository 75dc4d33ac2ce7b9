"""Servers that break, refuse or lie while load runs: every one a clear outcome, none a hang, none a pass."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_vllm_bench import simulator
from pytest_vllm_bench.model import Target
from pytest_vllm_bench.observe import timeline
from pytest_vllm_bench.rejudge import Criteria, parsed, results
from pytest_vllm_bench.simulator import LatencyModel, SimulatorOptions
from pytest_vllm_bench.tokenizer import SMALL

pytestmark = pytest.mark.slow  # whole sessions

Bench = Callable[..., pytest.RunResult]
Begin = Callable[..., subprocess.Popen[str]]
ONE = {"input_output": [[64, 8]], "concurrency_prompts": [[2, 30]], "base_url": None}


def script(tmp_path: Path, *faults: dict[str, Any]) -> str:
    path = tmp_path / "faults.json"
    path.write_text(json.dumps(faults))
    return str(path)


def saved(pytester: pytest.Pytester, name: str = "io64x8_mc2_np30") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((pytester.path / "results" / f"bench_{name}.json").read_text())
    return found


KINDS = {
    "status code=500 message=kaputt": "http",
    "status code=429 retry_after=2": "rejected",
    "error at=3 message=broken": "in_stream",
    "reset at=3": "reset",
    "end at=3": "truncated",
    "malformed at=3": "protocol",
    "silent": "empty",
    "short at=3": "short",
}


def test_each_kind_of_failure(bench: Bench, pytester: pytest.Pytester, tmp_path: Path) -> None:
    """``failed == 0`` is implied, the kinds are named, and the server's own words are kept."""
    faults = script(tmp_path, *({"fault": fault, "requests": [5 + 3 * k]} for k, fault in enumerate(KINDS)))
    with simulator.start(SimulatorOptions(faults=faults)) as server:
        bench(f"--vllm-url={server.base_url}", **ONE).assert_outcomes(failed=1)
    row = saved(pytester)
    assert (row["failed"], row["completed"]) == (len(KINDS), 30 - len(KINDS))
    assert row["error_counts"] == dict.fromkeys(KINDS.values(), 1)
    assert row["first_error"] == "kaputt"


@pytest.mark.parametrize(("seconds", "failed", "verdict"), [(2, 3, "FAIL"), (0, 0, "PASS")])
def test_a_request_that_is_reset_before_its_first_byte_does_not_vanish(
    bench: Bench, pytester: pytest.Pytester, tmp_path: Path, seconds: float, failed: int, verdict: str
) -> None:
    """Held, it has failed; on a connection that was dead at once it is sent again, which is counted and said."""
    faults = script(tmp_path, {"fault": f"drop seconds={seconds}", "requests": [9, 15, 21]})
    with simulator.start(SimulatorOptions(faults=faults)) as server:
        result = bench(f"--vllm-url={server.base_url}", **ONE)
    result.assert_outcomes(failed=int(verdict == "FAIL"), passed=int(verdict == "PASS"))
    row = saved(pytester)
    assert (row["failed"], row["reconnected"], row["verdict"]) == (failed, 3 - failed, verdict)
    if not failed:
        assert "3 of 30 requests were sent again" in " ".join(result.stdout.str().split())


def test_a_socket_that_stays_open_holds_no_slot(bench: Bench, pytester: pytest.Pytester, tmp_path: Path) -> None:
    """All is said and HTTP's end never comes: the run goes on at its own pace, each time over a new connection."""
    faults = script(tmp_path, {"fault": "open", "from": 0})
    with simulator.start(SimulatorOptions(faults=faults)) as server:
        bench(f"--vllm-url={server.base_url}", **ONE, sla=["failed == 0"]).assert_outcomes(passed=1)
    row = saved(pytester)
    assert (row["completed"], row["reconnected"]) == (30, 0)


def test_keep_alives_are_no_tokens(bench: Bench, pytester: pytest.Pytester, tmp_path: Path) -> None:
    faults = script(tmp_path, {"fault": "idle at=3", "requests": [5]}, {"fault": "idle at=0", "requests": [9]})
    limits = {"first_token": 3, "between_tokens": 2}
    with simulator.start(SimulatorOptions(faults=faults)) as server:
        bench(f"--vllm-url={server.base_url}", **ONE, timeouts=limits).assert_outcomes(failed=1)
    assert saved(pytester)["error_counts"] == {"timeout": 2}


def test_a_stalled_stream_is_given_up(bench: Bench, pytester: pytest.Pytester, tmp_path: Path) -> None:
    faults = script(tmp_path, {"fault": "stall at=3", "requests": [5]})
    with simulator.start(SimulatorOptions(faults=faults)) as server:
        bench(f"--vllm-url={server.base_url}", **ONE, timeouts={"between_tokens": 1}).assert_outcomes(failed=1)
    assert saved(pytester)["error_counts"] == {"timeout": 1}


def test_a_stall_shows_in_what_users_waited_and_not_in_service_times(
    bench: Bench, pytester: pytest.Pytester, tmp_path: Path
) -> None:
    """No coordinated omission: those who came on time waited for the stall, though each was served quickly."""
    faults = script(tmp_path, {"fault": "delay seconds=2", "requests": [10]})
    with simulator.start(SimulatorOptions(faults=faults)) as server:
        keys = {"input_output": [[64, 4]], "concurrency_prompts": [[1, 40]], "request_rate": 10, "base_url": None}
        bench(f"--vllm-url={server.base_url}", **keys).assert_outcomes(passed=1)
    row = saved(pytester, "io64x4_mc1_rr10_np40")
    assert row["p90_ttft_ms"] < 1000 < row["p90_response_ttft_ms"]
    assert row["cap_bound"] > 0.2


def test_all_failed_is_no_figure_and_no_pass(bench: Bench, pytester: pytest.Pytester, tmp_path: Path) -> None:
    faults = script(tmp_path, {"fault": "status code=500", "from": 1})
    with simulator.start(SimulatorOptions(faults=faults)) as server:
        rules = ["p99_ttft_ms <= 60000", "failed_ratio < 1"]
        bench(f"--vllm-url={server.base_url}", **ONE, sla=rules, judge={"mode": "exact"}).assert_outcomes(failed=1)
    row = saved(pytester)
    assert row["p99_ttft_ms"] is None
    verdicts = {v["rule"]: v["verdict"] for v in row["verdicts"]}
    assert verdicts["p99_ttft_ms <= 60000"] == "FAIL"


@pytest.mark.parametrize("rules", [[], ["failed_ratio <= 0.99"]], ids=["none may fail", "nearly all may fail"])
def test_a_server_that_dies_spares_the_rest_of_the_matrix(
    bench: Bench, pytester: pytest.Pytester, tmp_path: Path, rules: list[str]
) -> None:
    """It fails, however many failures the rules allow: what comes after it is skipped, nothing else is red."""
    keys = {"input_output": [[64, 8]], "concurrency_prompts": [[2, 60], [4, 60], [8, 60]], "base_url": None}
    faults = script(tmp_path, {"fault": "crash at=3", "from": 20})
    with simulator.start(SimulatorOptions(faults=faults)) as server:
        result = bench(f"--vllm-url={server.base_url}", "--vllm-ready-timeout=1", "-rs", **keys, sla=rules)
    result.assert_outcomes(failed=1, skipped=2)
    (again,) = results(
        pytester.path / "results" / "bench_io64x8_mc2_np60.json", Criteria(rules=parsed(["failed_ratio <= 0.9"]))
    )
    assert str(again.verdict) == "FAIL"
    assert "server not there, see io64x8-mc2-np60" in result.stdout.str()
    row = saved(pytester, "io64x8_mc2_np60")
    assert (row["verdict"], 0 < row["completed"] < 60) == ("FAIL", True)


def test_a_server_that_needs_a_key(bench: Bench, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key comes from the environment and is in nothing that is written."""
    with simulator.start(SimulatorOptions(api_key="sk-very-secret")) as server:
        result = bench(f"--vllm-url={server.base_url}", **ONE)
        result.assert_outcomes(errors=1)
        assert "api_key_env" in result.stdout.str()
        monkeypatch.setenv("BENCH_KEY", "sk-very-secret")
        result = bench(f"--vllm-url={server.base_url}", "-v", **ONE, api_key_env="BENCH_KEY", tape="keep")
    result.assert_outcomes(passed=1)
    assert "sk-very-secret" not in result.stdout.str()
    for path in (pytester.path / "results").rglob("*"):
        if path.is_file():
            assert b"sk-very-secret" not in path.read_bytes(), path


@pytest.mark.parametrize("first", [0, 4], ids=["before the load", "under load"])
def test_a_server_that_sends_the_key_back(
    bench: Bench, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, first: int
) -> None:
    """Its words are kept without the key: on the screen, in every file, on the tape."""
    key = "sk-very-secret"
    faults = script(tmp_path, {"fault": f"status code=400 message=not_with_{key}!", "from": first})
    monkeypatch.setenv("BENCH_KEY", key)
    with simulator.start(SimulatorOptions(faults=faults)) as server:
        result = bench(f"--vllm-url={server.base_url}", "-v", **ONE, api_key_env="BENCH_KEY", tape="keep")
    assert key not in result.stdout.str() + result.stderr.str()
    assert "not with ***!" in result.stdout.str()
    for path in pytester.path.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert key.encode() not in path.read_bytes(), path
    if first:
        assert saved(pytester)["first_error"] == "not with ***!"
        assert list((pytester.path / "results").rglob("*.tape"))


def test_a_wrong_path_and_a_wrong_port_speak_clearly(bench: Bench) -> None:
    with simulator.start() as server:
        result = bench(f"--vllm-url={server.base_url}", **ONE, endpoint="/v1/nowhere")
        result.assert_outcomes(errors=1)
        assert "/v1/nowhere" in result.stdout.str()
        assert "404" in result.stdout.str()


def test_a_second_interruption_ends_at_once(
    bench: Bench, begin: Begin, pytester: pytest.Pytester, tmp_path: Path
) -> None:
    faults = script(tmp_path, {"fault": "stall at=3 seconds=60", "from": 4})
    with simulator.start(SimulatorOptions(faults=faults)) as server:
        bench("--collect-only", f"--vllm-url={server.base_url}", **ONE)
        process = begin(f"--vllm-url={server.base_url}")
        tape = pytester.path / "results" / ".running" / "bench_io64x8_mc2_np30" / "tape"
        deadline, sizes = time.monotonic() + 60, [0]
        while time.monotonic() < deadline and (sizes[-1] < 1000 or sizes[-1] != sizes[0]):  # all stall
            time.sleep(0.1)
            sizes = [*sizes[-10:], sum(path.stat().st_size for path in tape.glob("*"))]
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(1)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output


def test_a_rule_that_cannot_fail_is_refused_and_none_lets_failures_pass(
    bench: Bench, pytester: pytest.Pytester, tmp_path: Path
) -> None:
    """2 of 60 answered was PASS by ``failed >= 0``; an override's own rules leave what is implied in force, aloud."""
    refused = bench(**ONE, sla=["failed >= 0"])
    assert refused.ret == 4
    assert "failed >= 0: this holds whatever the server does" in refused.stdout.str() + refused.stderr.str()
    faults = script(tmp_path, {"fault": "status code=500", "from": 3})
    with simulator.start(SimulatorOptions(faults=faults)) as server:
        keys = {**ONE, "overrides": [{"match": "*", "set": {"sla": ["min_ttft_ms >= 0.001"]}}]}
        result = bench(f"--vllm-url={server.base_url}", sla=["failed_ratio <= 0.99"], **keys)
    result.assert_outcomes(failed=1)
    assert "implied: failed == 0" in result.stdout.str()


def test_a_warm_up_that_fails_throughout_spares_the_load(
    bench: Bench, pytester: pytest.Pytester, tmp_path: Path
) -> None:
    """One or two that fail may be an accident, and are sent again; of more, those that fail are said."""
    some = {"fault": "status code=400 message=not_today", "requests": [1]}
    for count, faults in ((1, {**some, "from": 1, "requests": [1, 2]}), (3, {**some, "requests": [1, 2, 3]})):
        with simulator.start(SimulatorOptions(faults=script(tmp_path, faults))) as server:
            result = bench(f"--vllm-url={server.base_url}", **ONE, warmup=count)
            result.assert_outcomes(failed=1)
            assert "not today" in result.stdout.str()
            assert f"{count} warm-up requests failed" in result.stdout.str()
            counted = asyncio.run(timeline.look(Target(base_url=server.base_url)))
            assert counted is not None
            assert counted.values["vllm:request_success_total"] == 1  # the trial request
    with simulator.start(SimulatorOptions(faults=script(tmp_path, {**some, "requests": [1, 2]}))) as server:
        bench(f"--vllm-url={server.base_url}", **ONE, warmup=3).assert_outcomes(passed=1)
    notes = saved(pytester)["notes"]
    assert any("not today" in str(note) for note in notes), notes


PAGES = ("/v1/models", "/version", "/tokenize", "/metrics")


def test_what_is_read_beside_the_load_never_refuses(bench: Bench, pytester: pytest.Pytester, tmp_path: Path) -> None:
    """A chat server whose pages are shut, or never end: it takes the load's own requests, and what is not told is said
    once.  The template's tokens are those of its own counts."""
    chat = {**ONE, "backend": "vllm-chat", "model": "simulator", "tokenizer": str(SMALL)}
    shut = [{"fault": "status code=401", "path": path} for path in PAGES]
    with simulator.start(SimulatorOptions(faults=script(tmp_path, *shut))) as server:
        result = bench(f"--vllm-url={server.base_url}", **chat)
    result.assert_outcomes(passed=1)
    assert result.stdout.str().count("list of models is done without") == 1
    assert [note for note in saved(pytester)["notes"] if "simulated fault" in str(note)]
    never = [{"fault": "endless", "path": path} for path in PAGES]
    with simulator.start(SimulatorOptions(faults=script(tmp_path, *never))) as server:
        bench(f"--vllm-url={server.base_url}", **chat).assert_outcomes(passed=1)


def test_a_request_that_is_refused_is_refused_before_the_load(bench: Bench, tmp_path: Path) -> None:
    """In the server's words, once; the others of the same shape are spared."""
    picky = script(tmp_path, {"fault": "refuse field=temperature only=1"})
    keys = {**ONE, "concurrency_prompts": [[1, 4], [2, 4]]}
    with simulator.start(SimulatorOptions(faults=picky)) as server:
        result = bench(f"--vllm-url={server.base_url}", "-rs", **keys)
        result.assert_outcomes(errors=1, skipped=1)
        text = result.stdout.str()
        assert "'temperature' does not support 0" in text
        assert "sampling: {temperature: null}" in text
        assert "the server refuses the same request, see io64x8-mc1-np4" in text
        bench(f"--vllm-url={server.base_url}", **keys, sampling={"temperature": None}).assert_outcomes(passed=2)


def test_a_server_that_restarts_is_waited_for(bench: Bench, tmp_path: Path) -> None:
    """The scenario in which it died fails, those after it run."""
    keys = {"input_output": [[64, 8]], "concurrency_prompts": [[2, 60], [4, 8], [8, 8]], "base_url": None}
    dying = SimulatorOptions(faults=script(tmp_path, {"fault": "crash at=3", "from": 20}))
    with contextlib.ExitStack() as stack, simulator.start(dying) as first:
        port = int(first.base_url.rpartition(":")[2])

        def again() -> None:
            first.process.wait()
            stack.enter_context(simulator.start(SimulatorOptions(port=port, ready_after=2)))

        nurse = threading.Thread(target=again)
        nurse.start()
        result = bench(f"--vllm-url={first.base_url}", "--vllm-ready-timeout=60", **keys)
        nurse.join()
    result.assert_outcomes(failed=1, passed=2)


def test_connections_that_this_machine_has_no_room_for_are_not_the_servers_fault(
    bench: Bench, pytester: pytest.Pytester
) -> None:
    """An open loop without a cap: how many are open at once is the server's doing, and known afterwards."""
    with simulator.start(SimulatorOptions(latency=LatencyModel(step_s=0.5))) as server:
        keys = {"base_url": server.base_url, "input_output": [[16, 8]], "concurrency_prompts": [[None, 300]]}
        bench("--collect-only", "-q", **keys, request_rate=[300])
        command = f"ulimit -n 200 && exec {sys.executable} -m pytest cases"
        result = pytester.run("bash", "-c", command, timeout=180)
    result.assert_outcomes(failed=1)
    said = " ".join(result.stdout.str().split())
    assert "INVALID" in said
    assert "this machine, not the server, refused connections ([Errno 24] Too many open files)" in said
