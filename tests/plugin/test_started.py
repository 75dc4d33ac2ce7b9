"""Servers that the test starts: each setting on one of its own, whatever they do, and nothing of them left behind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_vllm_bench.model import ServerCommand
from pytest_vllm_bench.plugin.servers import beside
from pytest_vllm_bench.serve import facts, room
from pytest_vllm_bench.serve.start import RunningServer
from pytest_vllm_bench.tokenizer import SMALL

pytestmark = pytest.mark.slow  # whole sessions

Bench = Callable[..., pytest.RunResult]
Begin = Callable[..., subprocess.Popen[str]]
SCRIPTED = Path(__file__).parent.parent / "serve" / "scripted.py"
NVIDIA = Path(__file__).parent.parent / "observe" / "nvidia_smi.py"
ONE: dict[str, Any] = {
    "base_url": None, "model": "m", "tokenizer": str(SMALL), "input_output": [[16, 4]], "concurrency_prompts": [[2, 6]],
}  # fmt: skip


SEARCHES = """
import pytest

@pytest.mark.asyncio
async def test_it(scenario, vllm_bench):
    await vllm_bench(scenario)
"""


def server(manner: str = "", *words: str, **keys: Any) -> dict[str, Any]:
    command = [sys.executable, str(SCRIPTED), "--manner", manner, *words]
    return {"command": command, "stop": {"grace": 0.5}, **keys}


def left(pytester: pytest.Pytester) -> list[str]:
    """Servers, their workers and guardians of this test, which run in its config's folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode()
            zombie = path.with_name("stat").read_text().rpartition(")")[2].split()[0] in "ZX"
            here = os.readlink(path.with_name("cwd")) == str(pytester.path / "cases")
        except OSError:
            continue
        if here and not zombie:
            found.append(words)
    return found


def saved(pytester: pytest.Pytester, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((pytester.path / "results" / f"bench_{name}.json").read_text())
    return found


def told(result: pytest.RunResult) -> str:
    return str(result.stdout)


def test_each_setting_runs_on_a_server_of_its_own(bench: Bench, pytester: pytest.Pytester) -> None:
    """The built-in server as a launcher; the order of the tests, ids, logs, and what the dry run says."""
    started = {"command": "simulator --step-s 0.002", "args": {"max-model-len": [4096, 8192]}}
    keys = {"base_url": None, "server": started}
    dry = bench("--collect-only", "-q", **keys)
    ids = re.findall(r"\[(.*)\]", told(dry))
    assert ids == [f"mml{n}-io{i}x8-mc{c}" for n in (4096, 8192) for i in (64, 128) for c in ("1-np4", "4-np12")]
    assert "simulator --step-s 0.002 --max-model-len 4096 --port {port}" in told(dry)
    assert "starts: 2" in told(dry)
    result = bench("-k", "io64", **keys)
    result.assert_outcomes(passed=4, deselected=4)
    assert told(result).count("Starting the server") == 2
    assert {path.name for path in (pytester.path / "results" / "logs").iterdir()} == {
        "server-mml4096.log", "server-mml8192.log"
    }  # fmt: skip


def test_a_setting_that_cannot_start_is_an_error_of_its_own(bench: Bench, pytester: pytest.Pytester) -> None:
    args = [
        {"label": "dies", "manner": "dies", "says": "ValueError: No available memory for the cache blocks.", "code": 3},
        {"label": "works"},
        {"label": "typo", "max-num-sequences": 4},
        {"label": "unhealthy", "manner": "unhealthy"},
        {"label": "daemon", "manner": "leaves"},
        {"label": "mute", "manner": "waits", "says": "\x1b[31mloading\x1b[0m shards: 3%\rloading shards: 4%"},
    ]
    keys = {"server": server(args=args, ready={"timeout": 3}), "concurrency_prompts": [[1, 3], [2, 6]]}
    result = bench("-rs", **ONE | keys)
    result.assert_outcomes(passed=4, errors=4, skipped=4)
    words = told(result)
    assert "The command must stay in the foreground" in words
    assert "was not ready after 3 s" in words
    assert "Its log says: loading shards: 4%" in words or "  loading shards: 4%" in words
    assert not left(pytester)
    assert "ended by itself (3). The memory left beside the model" in words
    assert "ValueError: No available memory for the cache blocks." in words
    assert "It does not know one of its flags" in words
    assert "unrecognized arguments: --max-num-sequences" in words
    assert "server not there, see dies-io16x4-mc1-np3" in words


def test_what_is_known_of_a_start_and_of_a_server(bench: Bench, pytester: pytest.Pytester) -> None:
    """Its words are held against its flags; caches are emptied before each load; figures of the start have rules."""
    log = "Loading weights took 31.27 seconds\\nCPU KV cache size: 1,048,576 tokens, Maximum concurrency for 4,096"
    note = pytester.path / "note"
    keys = {
        "concurrency_prompts": [[1, 3], [2, 6]],
        "sla": ["startup.kv_tokens >= 1000", "startup.weights_s <= 20", "startup.ready_s <= 600"],
        "server": server("resets", "--says", log, "--note", str(note), args={"max-num-seqs": 64}),
    }
    result = bench(**ONE | keys)
    result.assert_outcomes(failed=2)
    found = saved(pytester, "io16x4_mc2_np6")
    assert found["server"]["startup.weights_s"] == 31.27
    assert {v["rule"]: v["verdict"] for v in found["verdicts"] if "startup" in v["rule"]} == {
        "startup.kv_tokens >= 1000": "PASS", "startup.weights_s <= 20": "FAIL", "startup.ready_s <= 600": "PASS"
    }  # fmt: skip
    assert found["environment"]["launch"]["settings"] == {"max_num_seqs": [64]}
    assert note.read_text().split("\n")[:3] == ["start 64", "reset 64", "reset 64"]
    assert "no page that empties" not in told(result)


def test_starts_are_measured_cold_and_warm(bench: Bench, pytester: pytest.Pytester) -> None:
    """Each on a server of its own; what is compiled by one is found by those that are warm alone; the worst counts."""
    note = pytester.path / "note"
    env = {"VLLM_CACHE_ROOT": str(pytester.path / "cache")}
    keys: dict[str, Any] = {
        "server": server("", "--note", str(note), env=env, startup={"cold": 2, "warm": 2}),
        "sla": ["startup.compile_s <= 1", "mean_ttft_ms <= 60000"],
    }
    assert "starts: 5" in told(bench("--collect-only", "-q", **ONE | keys))
    assert "starts: 3" in told(bench("--collect-only", "-q", "-k", "warm", **ONE | keys))
    by_load = told(bench("--collect-only", "-q", "-m", "vllm_bench(input_len=16)", **ONE | keys))
    assert "[io16x4-mc2-np6]" in by_load
    assert "start-r1]" not in by_load
    result = bench("-k", "start", **ONE | keys)
    result.assert_outcomes(passed=2, failed=2, deselected=1)
    assert note.read_text().count("start") == 5
    assert "a start for that comes first" in told(result)
    cold, warm = saved(pytester, "cold_start_r2"), saved(pytester, "warm_start_r2")
    assert [one["server"]["startup.compile_s"] for one in (cold, warm)] == [9.5, 0.5]
    assert [one["startup.compile_s"] for one in cold["per_repeat"]] == [9.5, 9.5]
    assert "startup.wake_s" not in cold["server"]
    assert "cold-start ×2" in told(result)
    assert "Compilation" in told(result)
    lines = (pytester.path / "results" / "aggregate_results.csv").read_text().splitlines()
    rows = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    assert {row["scenario_id"]: row["startup.compile_s"] for row in rows} == {"cold-start": "9.5", "warm-start": "0.5"}
    assert not left(pytester)


def test_a_start_that_is_measured_ends_with_a_sleep(bench: Bench, pytester: pytest.Pytester) -> None:
    keys = {"server": {"command": "simulator --wake-s 0.05 --ready-after 1", "startup": {"warm": 1}}}
    result = bench(**{**ONE, "model": None, "tokenizer": None} | keys | {"sla": ["startup.wake_s <= 60"]})
    result.assert_outcomes(passed=2)
    found = saved(pytester, "warm_start")["server"]
    assert found["startup.wake_s"] >= 0.05
    assert found["startup.first_token_s"] >= found["startup.ready_s"] >= 1


def test_a_model_that_takes_long_to_wake_costs_no_figure(
    bench: Bench, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than other watchers are given."""
    monkeypatch.setattr(facts, "PATIENCE", 0.5)
    keys = {"server": {"command": "simulator --wake-s 1", "startup": {"warm": 1}}}
    bench("-k", "warm", **{**ONE, "model": None, "tokenizer": None} | keys | {"sla": ["startup.wake_s <= 60"]})
    assert saved(pytester, "warm_start")["server"]["startup.wake_s"] >= 1


@pytest.mark.heavy
def test_the_best_setting_is_a_gate_of_the_session(bench: Bench, pytester: pytest.Pytester) -> None:
    """All tests pass, and the session fails in a line of its own; with workers of xdist too.  Accelerators are those
    that flags ask for."""
    args = [{"label": f"tp{n}", "note": f"{pytester.path}/note"} for n in (1, 2)]
    keys: dict[str, Any] = {
        "server": server(args=args), "deployment": {"accelerators": 2},
        "frontier": {"at": "p99_e2el_ms <= 59000", "at_least": 1e9},
    }  # fmt: skip
    for options in ((), ("-n", "2", "--dist", "loadgroup")):
        result = bench(*options, **ONE | keys)
        result.assert_outcomes(passed=2, failed=1)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert "FAILED cases/config.yaml::frontier - " in told(result)
        assert "FAIL: frontier: Output throughput per accelerator of the best within" in told(result)
        kept = json.loads((pytester.path / "results" / "verdict.json").read_text())
        assert (kept["outcome"], kept["frontier"][0]["outcomes"][0]["verdict"]) == ("fail", "FAIL")
        assert "per accelerator of the best within" in kept["failed"][0]
    result = bench("-k", "tp1", **ONE | keys)
    assert result.ret == pytest.ExitCode.OK
    assert "INCONCLUSIVE: frontier" in told(result)
    result = bench(**ONE | keys | {"frontier": {"at_least": 0.001}})
    assert result.ret == pytest.ExitCode.OK
    assert "PASS: frontier: Output throughput per accelerator of the best within the" in told(result)
    assert "Within the rules the best is tp" in told(result)


def test_flags_that_the_server_has_not_got_make_a_run_invalid(bench: Bench) -> None:
    result = bench(**ONE | {"server": server("resets+stuck+differs", args={"max-num-seqs": 64})})
    result.assert_outcomes(failed=1)
    assert "INVALID" in told(result)
    assert "max_num_seqs: 65" in told(result)
    assert "/reset_prefix_cache did not empty" in told(result)


def test_one_that_dies_under_load_says_why_and_is_started_again(bench: Bench, pytester: pytest.Pytester) -> None:
    keys = {"concurrency_prompts": [[1, 20], [2, 6]], "server": server("", "--after", "8", "--code", "9")}
    result = bench(**ONE | keys)
    result.assert_outcomes(failed=1, passed=1)
    assert "ended by itself (9). It ran out of memory" in told(result)
    assert {path.name for path in (pytester.path / "results" / "logs").iterdir()} == {"server.log", "server-2.log"}
    assert not left(pytester)


def test_however_it_clings_to_life_nothing_is_left(bench: Bench, pytester: pytest.Pytester) -> None:
    result = bench(**ONE | {"server": server("stubborn+workers+floods", args={"note": ["a", "b"]})})
    result.assert_outcomes(passed=2)
    assert "3 of its processes were killed" in told(result)
    assert not left(pytester)


def until(held: Callable[[], object]) -> None:
    while not held():
        time.sleep(0.05)


def test_neither_an_interruption_nor_a_kill_leaves_a_server(
    bench: Bench, begin: Begin, pytester: pytest.Pytester
) -> None:
    """In the middle of a start, and of a load."""
    for manner, how in (("waits", signal.SIGINT), ("waits+workers", signal.SIGKILL), ("", signal.SIGKILL)):
        bench("--collect-only", **ONE | {"server": server(manner), "concurrency_prompts": [[1, 100_000]]})
        log, sign = pytester.path / "results" / "logs" / "server.log", pytester.path / "results" / ".running"
        process = begin()
        until(log.exists)
        until(lambda: manner or any(sign.glob("*/tape")))  # noqa: B023
        while "workers" in manner and log.read_text().count("worker") < 2:
            time.sleep(0.05)
        ports = {int(port) for words in left(pytester) for port in re.findall(r"--port (\d+)", words)}
        process.send_signal(how)
        assert process.wait() == (2 if how == signal.SIGINT else -9)
        until(lambda: not left(pytester))
        assert ports
        for port in ports:
            with socket.socket() as free:
                free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                free.bind(("127.0.0.1", port))
        log.unlink()


def test_llama_cpp_is_started_like_any_other(bench: Bench, pytester: pytest.Pytester) -> None:
    pytest.importorskip("xllamacpp")
    pytest.importorskip("gguf")
    script = Path(__file__).parent.parent / "servers" / "serve_llama.py"
    command = f"{sys.executable} {script} {pytester.path}/tiny.gguf counts"
    keys = {"base_url": None, "tokenizer": "simulator", "input_output": [[16, 8]], "concurrency_prompts": [[2, 6]]}
    result = bench(**keys, server=command, backend="llama.cpp")
    result.assert_outcomes(passed=1)
    assert saved(pytester, "io16x8_mc2_np6")["server"]["startup.first_token_s"] > 0


OWN = """
import asyncio
import urllib.request

import pytest

def seqs(server):
    with urllib.request.urlopen(f"{server.url}/server_info?config_format=json") as page:
        return page.read().decode()

def test_own(vllm_server):
    with vllm_server(args={"max-num-seqs": 7}) as server:
        assert '"max_num_seqs": 7' in seqs(server)
        url, log = server.url, server.log
        server.restart()
        assert server.url != url and server.log != log and log.exists()
        assert '"max_num_seqs": 7' in seqs(server)

@pytest.mark.asyncio
async def test_in_a_loop(vllm_server):
    with vllm_server(args={"manner": "stubborn"}) as server:
        await asyncio.to_thread(seqs, server)

def test_dies(vllm_server):
    with vllm_server(args={"manner": "dies", "says": "RuntimeError: no", "code": 4}) as server:
        raise AssertionError("is not there")

def test_other(vllm_server):
    with vllm_server(command="/no/such/server") as server:
        raise AssertionError("is not there")
"""


def test_a_server_for_a_test_of_ones_own(bench: Bench, pytester: pytest.Pytester) -> None:
    result = bench(test=OWN, **ONE | {"server": server()})
    result.assert_outcomes(passed=2, failed=2)
    assert "ended by itself (4)" in told(result)
    assert "RuntimeError: no" in told(result)
    assert "/no/such/server: No such file or directory" in told(result)
    assert not left(pytester)


CARD = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
import nvidia_smi

def told(row, field, behaviour, known=nvidia_smi.told):
    running = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\\0")
        except OSError:
            continue
        running += any(word.endswith(b"scripted.py") for word in words[1:2]) and {note!r}.encode() in words
    kept = {left} * Path({note!r}).exists()
    values = {{"memory.used": {before} + {each} * running + kept, "memory.total": 80000}}
    return str(values[field]) if field in values else known(row, field, behaviour)

nvidia_smi.told = told
if any("compute-apps=pid" in word for word in sys.argv):
    print("4711, python3, 70000 MiB")
else:
    sys.exit(nvidia_smi.main("plays", *sys.argv[1:]))
"""


@pytest.fixture
def card(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """``card(before=, each=, left=)``: an accelerator of 80,000 MiB, so many of them in use before any server of this
    test's, by each of those that run, and for good after the first one; → the note that makes them this test's."""
    note = pytester.path / "note"
    monkeypatch.setattr(room, "PATIENCE", 0.5)

    def install(before: int = 0, each: int = 0, left: int = 0) -> Path:
        note.unlink(missing_ok=True)
        fake = pytester.path / "bin" / "nvidia-smi"
        fake.parent.mkdir(exist_ok=True)
        words = CARD.format(folder=str(NVIDIA.parent), note=str(note), before=before, each=each, left=left)
        fake.write_text(f"#!{sys.executable}\n" + words)
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
        return note

    return install


def test_what_holds_the_accelerators_is_waited_for_and_named(bench: Bench, card: Callable[..., Path]) -> None:
    card(before=20_000)
    result = bench(**ONE | {"server": server()})
    result.assert_outcomes(errors=1)
    assert "No server is started: 20,000 of 80,000 MiB of the accelerator 0 are in use" in told(result)
    assert "4711, python3, 70000 MiB" in told(result)
    bench(**ONE | {"server": server(free_memory="100%")}).assert_outcomes(passed=1)


def test_what_a_server_held_must_come_back(bench: Bench, card: Callable[..., Path]) -> None:
    """Also after the last one has been stopped: an error of the test that it was stopped after."""
    note = card(before=1_000, each=30_000, left=3_000)
    keys = {"server": server("", "--note", str(note))}
    bench(**ONE | keys).assert_outcomes(passed=1)  # within 5 %
    for option in ("-v", "-x"):
        card(before=1_000, each=30_000, left=6_000)
        result = bench(option, **ONE | keys)
        assert "memory did not come back within 0.5 s after the server (server) was stopped." in told(result)
        assert "7,000 of 80,000 MiB" in told(result)
        assert "4711, python3, 70000 MiB" in told(result)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.assert_outcomes(passed=1, errors=1)


@pytest.mark.heavy
def test_what_is_compared_runs_side_by_side_where_both_fit(
    bench: Bench, card: Callable[..., Path], pytester: pytest.Pytester
) -> None:
    """Else in turn, each round on servers started anew; so many starts are the note's lines."""

    def starts(each: int, beside: str = "5", **keys: Any) -> str:
        note = card(each=each)
        servers = {name: server("", "--note", str(note), args={"max-num-seqs": n}, **keys)
                   for name, n in (("a", 1), ("b", 2))}  # fmt: skip
        asked = {"servers": servers, "baseline": {"target": "a"}, "repeats": 5, "concurrency_prompts": [[2, 20]]}
        dry = told(bench("--collect-only", "-q", **ONE | asked))
        assert f"starts: {10 if beside == '5' else 2}" in dry
        assert ("2 starts where" in dry) is (beside == "5")
        result = bench(**ONE | asked)
        assert result.parseoutcomes().get("passed", 0) + result.parseoutcomes().get("failed", 0) == 10
        assert "b-io16x4-mc2" in told(result)
        launch = saved(pytester, "b_io16x4_mc2_np20_r2")["environment"]["launch"]
        assert launch.get("beside", 0) == (each < 40_000)
        return " ".join(note.read_text().replace("start ", "").split())

    assert starts(30_000) == "1 2"
    assert starts(50_000) == "1 2 2 1 1 2 2 1 1 2"
    assert starts(0, "1", restarts=1) == "1 2"


@pytest.mark.heavy
def test_a_branch_that_is_slower_than_main_fails_in_the_same_session(bench: Bench, pytester: pytest.Pytester) -> None:
    """AB, BA over five rounds, each on servers started anew, as nobody tells what fits; the last round judges."""
    keys: dict[str, Any] = {
        "base_url": None, "baseline": {"target": "main"}, "repeats": 5, "input_output": [[32, 8]],
        "servers": {"branch": "simulator --step-s 0.03", "main": "simulator --step-s 0.003"},
        "concurrency_prompts": [[4, 24]],
    }  # fmt: skip
    result = bench("-v", **keys)
    result.assert_outcomes(passed=9, failed=1)
    assert list(dict.fromkeys(re.findall(r"\[(\w+-io32x8-mc4-np24-r\d)\]", told(result))))[:4] == [
        f"{name}-io32x8-mc4-np24-r{n}" for name, n in (("main", 1), ("branch", 1), ("branch", 2), ("main", 2))
    ]  # fmt: skip
    assert told(result).count("Starting the server") == 10
    found = saved(pytester, "branch_io32x8_mc4_np24_r5")["baseline"]["comparisons"]
    assert {one["metric"]: one["verdict"] for one in found if one["gated"]}["mean_tpot_ms"] == "FAIL"
    assert not left(pytester)


@pytest.mark.heavy
def test_servers_take_turns_and_start_only_for_what_runs(bench: Bench, pytester: pytest.Pytester) -> None:
    """AB, BA with a start each; with workers of xdist, with --lf and -x."""
    note = pytester.path / "note"

    def starts(*options: str, **keys: Any) -> str:
        note.unlink(missing_ok=True)
        bench(*options, **ONE | keys)
        return " ".join(note.read_text().replace("start ", "").split()) if note.exists() else ""

    each = {name: server("", "--note", str(note), args={"max-num-seqs": n}) for name, n in (("a", 1), ("b", 2))}
    again = {name: one | {"restarts": 2} for name, one in each.items()}
    assert starts(servers=again, repeats=2) == "1 2 2 1"
    assert starts("-n", "2", "--dist", "loadgroup", servers=each) == "1 2"
    broken = each | {"c": server("dies", "--note", str(note), args={"max-num-seqs": 3})}
    assert starts("-x", "-p", "cacheprovider", servers={"A": broken["c"], **each}) == "3"  # the first by name
    assert starts("-p", "cacheprovider", servers=broken) == "1 2 3"
    assert starts("--lf", "-p", "cacheprovider", servers=broken) == "3"
    assert not left(pytester)


def test_what_was_measured_needs_no_server_when_a_session_is_resumed(bench: Bench, pytester: pytest.Pytester) -> None:
    note = pytester.path / "note"

    def starts(*options: str, **keys: Any) -> str:
        note.unlink(missing_ok=True)
        result = bench(*options, test=SEARCHES, **ONE | keys)
        assert result.ret == pytest.ExitCode.OK, told(result)
        return " ".join(note.read_text().replace("start ", "").split()) if note.exists() else ""

    keys: dict[str, Any] = {"server": server("", "--note", str(note), args={"max-num-seqs": [1, 2]})}
    assert starts("-k", "mns1", **keys) == "1"
    assert starts("--vllm-resume", **keys) == "2"
    assert starts("--vllm-resume", **keys) == ""
    kept = json.loads((pytester.path / "results" / "verdict.json").read_text())
    assert kept["counts"] == {"PASS": 2}
    assert starts("--vllm-resume", **keys, seed=3) == "1 2"  # another load
    keys |= {"search": {"over": "concurrency", "max": 2, "runs": 3}, "concurrency_prompts": None}
    assert starts("-k", "mns1", **keys) == "1"
    assert starts("--vllm-resume", **keys) == "2"
    assert starts("--vllm-resume", **keys) == ""


DOCKER = """
import os, subprocess, sys
words = sys.argv[1:]
with open({note!r}, "a") as file:
    file.write(" ".join(words) + "\\n")
if words[0] == "run":  # the container is not a child of the client's
    name, port = words[words.index("--name") + 1], words[words.index("-p") + 1].partition(":")[0]
    pid = subprocess.Popen([sys.executable, {script!r}, "--port", port], start_new_session=True).pid
    with open({note!r} + name, "w") as file:
        file.write(str(pid))
    os.waitpid(pid, 0)
elif words[0] == "rm":
    os.kill(int(open({note!r} + words[-1]).read()), 9)
"""


def test_a_container_is_removed_by_its_name(bench: Bench, pytester: pytest.Pytester) -> None:
    note, docker = str(pytester.path / "note"), pytester.path / "docker"
    docker.write_text(f"#!{sys.executable}\n" + DOCKER.format(note=note, script=str(SCRIPTED)))
    docker.chmod(0o755)
    command = f"{docker} run --rm -p {{port}}:8000 -v {{fresh}}:/cache image"
    bench(**ONE | {"server": {"command": command, "stop": {"grace": 0.5}}}).assert_outcomes(passed=1)
    run, removed = Path(note).read_text().splitlines()
    name = run.split()[2]
    assert run.startswith(f"run --name {name} --rm -p ")
    assert removed == f"rm -f {name}"
    fresh = run.split(" -v ")[1].partition(":")[0]
    assert Path(fresh).is_absolute()
    assert not Path(fresh).exists()
    assert not left(pytester)


def test_one_whose_guardian_was_killed_ends_with_the_session(tmp_path: Path) -> None:
    command = ServerCommand(command=(sys.executable, str(SCRIPTED), "--port", "{port}"))
    running = RunningServer(command, "m", tmp_path / "log", tmp_path)
    try:
        until(lambda: "began" in running.told())
        os.kill(running._guardian.pid, signal.SIGKILL)
        until(running.death)
    finally:
        running.stop()
    with pytest.raises(ProcessLookupError):
        until(lambda: os.killpg(int(running.told()["began"]), 0))


def test_an_interruption_ends_the_wait_for_a_server() -> None:
    """Which has a session of its own, and hears nothing of it."""
    ended = list[str]()

    async def waits() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    with pytest.raises(KeyboardInterrupt):
        beside(waits())
    assert ended == ["cancelled"]
