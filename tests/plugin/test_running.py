"""Scenarios run for real, against the built-in simulator: verdicts are test outcomes, and what people read is right."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from relay import relay

from pytest_vllm_bench import simulator
from pytest_vllm_bench.cli import main
from pytest_vllm_bench.simulator import SimulatorOptions
from pytest_vllm_bench.store.folder import claimed

pytestmark = pytest.mark.slow  # whole sessions

Bench = Callable[..., pytest.RunResult]
Begin = Callable[..., subprocess.Popen[str]]
ONE = {"input_output": [[64, 8]], "concurrency_prompts": [[2, 8]]}


def saved(pytester: pytest.Pytester, name: str) -> dict[str, Any]:
    """A result file, as left on the disk."""
    found: dict[str, Any] = json.loads((pytester.path / "results" / f"bench_{name}.json").read_text())
    return found


def test_a_matrix_from_config_to_files(bench: Bench, pytester: pytest.Pytester) -> None:
    result = bench()
    result.assert_outcomes(passed=4)
    text = result.stdout.str()
    for name in ("io64x8-mc1-np4", "io64x8-mc4-np12", "io128x8-mc1-np4", "io128x8-mc4-np12"):
        assert name in text
        row = saved(pytester, name.replace("-", "_"))
        assert row["completed"] == row["num_prompts"]
        assert row["total_output_tokens"] == 8 * row["num_prompts"]
        assert row["total_input_tokens"] == row["input_len"] * row["num_prompts"]
        assert row["token_source"] == "usage"
        assert row["complete"] is True
        assert row["simulated"] is True
    assert (pytester.path / "results" / "aggregate_results.csv").is_file()
    assert json.loads((pytester.path / "results" / "verdict.json").read_text())
    assert not (pytester.path / "results" / ".running").exists()


def test_the_servers_counters_are_read_before_and_after_the_load_and_never_between(
    bench: Bench, pytester: pytest.Pytester
) -> None:
    with simulator.start(SimulatorOptions()) as server, relay(server.base_url) as (url, asked):
        keys = {**ONE, "base_url": None, "warmup": 4}
        bench(f"--vllm-url={url}", **keys).assert_outcomes(passed=1)
    looks = [i for i, path in enumerate(asked) if path == "/metrics"]
    before, after = looks[: len(looks) // 2], looks[len(looks) // 2 :]
    assert asked[before[-1] + 1 : after[0]] == ["/v1/completions"] * 8, "the measured requests and nothing else"
    assert asked[: before[0]].count("/v1/completions") >= 4, "the readiness probe and the warm-up came before"
    assert asked[before[0] : before[-1] + 1] + asked[after[0] : after[-1] + 1] == ["/metrics"] * len(looks)
    assert saved(pytester, "io64x8_mc2_np8")["server"]["requests"] == 8


def test_behind_a_load_balancer_the_servers_are_judged_and_their_counters_left_out(
    bench: Bench, pytester: pytest.Pytester
) -> None:
    with simulator.start() as one, simulator.start() as other, relay(one.base_url, other.base_url) as (url, _):
        bench(f"--vllm-url={url}", **{**ONE, "base_url": None}).assert_outcomes(passed=1)
    row = saved(pytester, "io64x8_mc2_np8")
    assert (row["verdict"], row["completed"], row["server"]) == ("PASS", 8, {})
    assert "server.several" in [note["key"] for note in row["notes"]]


def test_a_broken_rule_is_a_failure_with_a_table_and_no_traceback(bench: Bench, pytester: pytest.Pytester) -> None:
    result = bench("--junitxml=out.xml", sla=["p99_ttft_ms <= 0.001"], judge={"mode": "exact"}, **ONE)
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert "p99_ttft_ms <= 0.001" in text
    assert "Traceback" not in text
    assert "await vllm_bench" not in text
    assert saved(pytester, "io64x8_mc2_np8")["verdict"] == "FAIL"
    case = ET.parse(pytester.path / "out.xml").find(".//testcase")
    assert case is not None
    properties = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert float(properties["p99_ttft_ms"] or 0) > 0
    assert properties["verdict"] == "FAIL"
    assert case.find("failure") is not None


def test_goodput_counts_failed_requests_as_misses(bench: Bench, pytester: pytest.Pytester) -> None:
    bench(goodput={"ttft": 0.001}, **ONE).assert_outcomes(failed=1)
    row = saved(pytester, "io64x8_mc2_np8")
    assert row["goodput_ratio"] == 0
    assert row["request_goodput"] == 0


def test_failed_requests_fail_without_any_rule(bench: Bench, pytester: pytest.Pytester) -> None:
    """``failed == 0`` is implied; the server's own words are shown."""
    result = bench(extra_body={"min_tokens": 1000}, **ONE)
    assert result.ret == 1
    assert "min_tokens" in result.stdout.str()


def test_last_failed_runs_only_what_failed(bench: Bench) -> None:
    keys = {
        "sla": ["p99_ttft_ms <= 60000"],
        "judge": {"mode": "exact"},
        "overrides": [{"match": "io128*mc4*", "set": {"sla": ["p99_ttft_ms <= 0.001"]}}],
    }
    bench(**keys).assert_outcomes(passed=3, failed=1)
    result = bench("--lf", "-v", **keys)
    result.assert_outcomes(failed=1)
    assert "io128x8-mc4-np12" in result.stdout.str()


GROUPED = ("-n", "2", "--dist", "loadgroup")


@pytest.mark.parametrize(("first", "again"), [(GROUPED, ()), ((), GROUPED)])
def test_last_failed_with_and_without_xdist(
    bench: Bench, pytester: pytest.Pytester, first: tuple[str, ...], again: tuple[str, ...]
) -> None:
    """The group that xdist's scheduler reads off an id is no part of what the cache and JUnit call it: what is noted is
    the same, whoever noted it."""
    never = [{"match": "*-mc1-np4", "set": {"sla": ["mean_e2el_ms <= 0.001"]}}]
    keys = {"overrides": never, "judge": {"mode": "exact"}, "input_output": [[64, 8]]}
    bench(*first, "--junitxml=j.xml", **keys).assert_outcomes(passed=1, failed=1)
    assert "@vllm_bench" not in (pytester.path / "j.xml").read_text()
    noted = json.loads((pytester.path / ".pytest_cache/v/cache/lastfailed").read_text())
    assert noted == {"cases/test_cases.py::test_serving[io64x8-mc1-np4]": True}
    result = bench("--lf", *again, **keys)
    result.assert_outcomes(failed=1)
    assert "io64x8-mc1-np4" in result.stdout.str()


def test_exitfirst_and_xfail_and_skip(bench: Bench, pytester: pytest.Pytester) -> None:
    never = {"sla": ["p99_ttft_ms <= 0.001"], "judge": {"mode": "exact"}}
    bench("-x", "-k", "io64", **never).assert_outcomes(failed=1)
    overrides = [{"match": "io64*", "xfail": "slow"}, {"match": "io128*", "skip": "later"}]
    bench(**never, overrides=overrides).assert_outcomes(xfailed=2, skipped=2)
    said = json.loads((pytester.path / "results" / "verdict.json").read_text())
    assert (said["verdict"], said["complete"], said["counts"]) == (None, True, {"not_run": 2})
    assert {(s["verdict"], s.get("xfail") or s["said"]) for s in said["scenarios"]} == {
        ("FAIL", "slow"),
        ("not_run", "later"),
    }
    assert main(["judge", str(pytester.path / "results")]) == 0
    assert main(["judge", *map(str, (pytester.path / "results").glob("bench_*.json"))]) == 1


def test_the_users_own_asserts(bench: Bench) -> None:
    test = """
import pytest

@pytest.mark.asyncio
async def test_own(scenario, vllm_bench):
    result = await vllm_bench.measure(scenario)
    assert result.mean_ttft_ms > 0
    assert result.completed == scenario.num_prompts
    assert result.verdict == "FAIL"
    with pytest.raises(AttributeError):
        result.no_such_metric
"""
    bench(test=test, sla=["p99_ttft_ms <= 0.001"], judge={"mode": "exact"}, **ONE).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9", ["127.0.0.1:9", "--vllm-ready-timeout"]),
        ("http://no-such-host.invalid", ["no-such-host.invalid", "base_url"]),
        ("https://127.0.0.1:9", ["127.0.0.1:9"]),
    ],
)
def test_a_server_that_is_not_there(bench: Bench, url: str, words: list[str]) -> None:
    """The first scenario is an error in its setup, the others are skipped; one clear message, no traceback."""
    result = bench(f"--vllm-url={url}", "--vllm-ready-timeout=0.2", "-rs")
    result.assert_outcomes(errors=1, skipped=3)
    assert result.ret == 1
    text = result.stdout.str()
    for word in words:
        assert word in text
    assert "Traceback" not in text
    assert "During handling" not in text
    assert "server not there, see io64x8-mc1-np4" in text


def test_a_model_that_is_not_served(bench: Bench) -> None:
    result = bench("--vllm-model=other", **ONE)
    result.assert_outcomes(errors=1)
    assert "'other'" in result.stdout.str()
    assert "simulator" in result.stdout.str()


def test_a_window_that_is_too_small(bench: Bench) -> None:
    result = bench(input_output=[[64, 8], [900_000, 8]], concurrency_prompts=[[1, 2]])
    assert result.ret == 1
    assert "900008" in result.stdout.str().replace(",", "")


def test_strict_refuses_a_simulated_server(bench: Bench) -> None:
    result = bench("--vllm-strict", **ONE)
    result.assert_outcomes(failed=1)
    assert "--vllm-url" in result.stdout.str()


def test_strict_can_be_switched_off_from_outside(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_VLLM_STRICT", "false")
    bench(**ONE).assert_outcomes(passed=1)


def test_xdist_with_loadgroup(bench: Bench, pytester: pytest.Pytester) -> None:
    result = bench("-n", "2", "--dist", "loadgroup", "-v")
    result.assert_outcomes(passed=4)
    assert len({line[:5] for line in result.outlines if line.startswith("[gw")}) == 1  # one after another
    assert "io128x8-mc4-np12" in result.stdout.str()
    workers = [line.split()[0] for line in result.outlines if "PASSED" in line]
    assert len(workers) == 4
    assert len(set(workers)) == 1
    csv = (pytester.path / "results" / "aggregate_results.csv").read_text()
    assert len(csv.splitlines()) == 5


def test_in_chinese(bench: Bench, pytester: pytest.Pytester) -> None:
    result = bench("--vllm-lang=zh", sla=["p99_ttft_ms <= 0.001"], judge={"mode": "exact"}, **ONE)
    result.assert_outcomes(failed=1)
    assert "压测" in result.stdout.str()
    header = (pytester.path / "results" / "aggregate_results.csv").read_bytes()
    assert header.startswith(b"\xef\xbb\xbf")


def test_a_terminal_that_cannot_spell_it_still_gets_lines(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    result = bench("--vllm-lang=zh", alone=True, **ONE)
    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines([r"io64x8-\S+ +\\u901a\\u8fc7 .*"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_results_folder_that_cannot_be_written(bench: Bench, pytester: pytest.Pytester) -> None:
    folder = pytester.path / "results"
    folder.mkdir()
    folder.chmod(0o500)
    result = bench(**ONE)
    result.assert_outcomes(errors=1)
    assert "results" in result.stdout.str()


def test_a_results_folder_that_is_a_file(bench: Bench, pytester: pytest.Pytester) -> None:
    (pytester.path / "results").write_text("in the way")
    result = bench(**ONE)
    result.assert_outcomes(errors=1)
    assert "Traceback" not in result.stdout.str()


def test_a_disk_that_is_full_before_any_load(bench: Bench, pytester: pytest.Pytester) -> None:
    """A limit on the size of files stands for the disk: the plan does not fit."""
    limit = "import resource\n\nresource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
    pytester.makeconftest(limit)
    result = bench(alone=True, **{**ONE, "concurrency_prompts": [[2, 2000]]})
    result.assert_outcomes(failed=1)
    assert "Free some space" in result.stdout.str()
    assert "Error" not in result.stdout.str()
    assert not (pytester.path / "results" / ".running").exists()


def test_a_results_folder_that_another_session_is_writing_to(bench: Bench, pytester: pytest.Pytester) -> None:
    with claimed(pytester.path / "results"):
        result = bench(**ONE)
    result.assert_outcomes(errors=1)
    assert "another session is measuring into" in result.stdout.str()


def test_quiet_and_without_a_terminal(bench: Bench, pytester: pytest.Pytester) -> None:
    bench("-q", "-s", **ONE).assert_outcomes(passed=1)
    assert bench("-p", "no:terminal", **{**ONE, "seed": 1}).ret == 0
    assert saved(pytester, "io64x8_mc2_np8")["completed"] == 8


def test_an_interruption_while_reports_are_written(bench: Bench, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from pytest_vllm_bench.report import page

        def write(*args, **more):
            raise KeyboardInterrupt

        page.write = write
        """
    )
    result = bench(alone=True, **ONE)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "pytest-vllm-bench report" in result.stdout.str()
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert saved(pytester, "io64x8_mc2_np8")["completed"] == 8


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interruption_keeps_what_was_measured(
    bench: Bench, begin: Begin, pytester: pytest.Pytester, by: signal.Signals
) -> None:
    """The load drains, a partial result is written and shown, and pytest ends as interrupted (exit 2)."""
    bench("--collect-only", input_output=[[64, 400]], concurrency_prompts=[[2, 400]])
    process = begin()
    tape = pytester.path / "results" / ".running" / "bench_io64x400_mc2_np400" / "tape"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and sum(p.stat().st_size for p in tape.glob("*")) < 300_000:
        time.sleep(0.1)
    if by is signal.SIGINT:
        os.killpg(process.pid, by)  # as a terminal does: to everybody in the foreground
    else:
        process.send_signal(by)  # as CI does
    output, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert output.count("stopping: requests under way") == 1
    row = saved(pytester, "io64x400_mc2_np400")
    assert row["complete"] is False
    assert row["verdict"] != "PASS"
    assert 0 < row["completed"] < 400
    assert "io64x400-mc2-np400" in output
    assert Path(pytester.path / "results" / "aggregate_results.csv").is_file()
