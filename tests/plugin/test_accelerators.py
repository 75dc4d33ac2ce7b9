"""What accelerators used while load ran: a recorded session of a real card, played through the whole plugin."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pytest_vllm_bench.store import measurement

sys.path.insert(0, str(Path(__file__).parent.parent / "observe"))
import devices
import nvidia_smi

pytestmark = pytest.mark.slow  # whole sessions

Bench = Callable[..., pytest.RunResult]
#: Two seconds of load: four samples.
ONE = {"input_output": [[64, 8]], "concurrency_prompts": [[None, 40]], "request_rate": 20}
NAME = "bench_io64x8_rr20_np40"


@pytest.fixture
def run(
    bench: Bench, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[pytest.RunResult, dict[str, Any]]]:
    def made(behaviour: str, **keys: Any) -> tuple[pytest.RunResult, dict[str, Any]]:
        monkeypatch.setenv("PATH", nvidia_smi.install(pytester.path / "bin", behaviour))
        result = bench(**{**ONE, "observe": {"accelerators": "nvidia"}, **keys})
        return result, json.loads((pytester.path / "results" / f"{NAME}.json").read_text())

    return made


def test_a_real_cards_session_is_rules_figures_and_environment(run: Any, pytester: pytest.Pytester) -> None:
    rules = ["joules_per_output_token <= 1000", "power_max_w <= 1500", "whole_energy_j <= 100000"]
    result, row = run("has two", sla=rules)
    result.assert_outcomes(passed=1)
    assert [device["name"] for device in row["environment"]["accelerators"]] == ["NVIDIA H200"] * 2
    assert 800 < row["power_mean_w"] <= row["power_max_w"] < 1400
    assert row["energy_j"] == pytest.approx(row["power_mean_w"] * row["duration"])
    assert row["joules_per_request"] == pytest.approx(row["energy_j"] / row["completed"])
    assert row["joules_per_output_token"] == pytest.approx(row["energy_j"] / row["total_output_tokens"])
    assert row["tokens_per_joule"] == pytest.approx(1 / row["joules_per_output_token"])
    kept = measurement.load(pytester.path / "results" / f"{NAME}.measurement.gz")
    tracks = {(track.device, track.name): track for track in kept.observed.tracks}
    assert len(tracks["1", "power_w"].values) == len(tracks["1", "power_w"].times) >= 4


def test_what_is_not_seen_fails_its_rule_and_never_the_run(run: Any) -> None:
    result, row = run("dies", sla=["energy_j <= 1e6"])
    result.assert_outcomes(failed=1)
    assert row["completed"] == 40
    assert (row["energy_j"], row["power_mean_w"], row["joules_per_request"]) == (None, None, None)
    keys = {note["key"] for note in row["notes"]}
    assert "observe.nvidia.ended" in keys
    assert keys & {"judge.energy.no_samples", "judge.energy.window_not_bracketed"}
    assert [v["verdict"] for v in row["verdicts"] if v["metric"] == "energy_j"] == ["FAIL"]
    result.stdout.fnmatch_lines(["*GPU is lost*"])


def test_energy_of_a_server_that_nobody_watches_is_no_rule(bench: Bench) -> None:
    result = bench(**{**ONE, "sla": ["energy_j <= 1e6"]})
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*observe: {accelerators: nvidia}*"])


#: Four seconds of load, for commands that are asked every second.
LONG = {**ONE, "request_rate": 10}
COMMANDS = {
    "hygon": {"hy_smi": {"--showuse": devices.HY_JSON}},
    "amd": {"rocm_smi": {"--showuse": devices.ROCM_6}},
    "ascend": {"npu_smi": devices.NPU},
}


@pytest.mark.parametrize("maker", [*COMMANDS, "exporter"])
def test_other_makers_through_the_whole_plugin(
    bench: Bench, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, maker: str
) -> None:
    """Two cards of 111 and 75 W, seen by their command or by an exporter's page."""
    with served(devices.DCU_EXPORTER) as url:
        if maker in COMMANDS:
            monkeypatch.setenv("PATH", devices.install(pytester.path / "bin", **COMMANDS[maker]))
        paid = {"accelerators": 2, "price_per_hour": 3.6}
        named = {"accelerators": maker if maker in COMMANDS else url}
        rules = ["whole_power_mean_w <= 200", "whole_joules_per_request <= 100", "server.utilization_pct_mean >= 30"]
        bench(
            **LONG, observe=named, deployment=paid, sla=[*rules, "cost_per_million_output_tokens <= 1e6"]
        ).assert_outcomes(passed=1)
    row = json.loads((pytester.path / "results" / "bench_io64x8_rr10_np40.json").read_text())
    assert row["power_mean_w"] == pytest.approx(186)
    assert row["energy_j"] == pytest.approx(186 * row["duration"])
    assert row["output_throughput_per_accelerator"] == pytest.approx(row["output_throughput"] / 2)
    assert row["cost_per_million_output_tokens"] == pytest.approx(1e3 / row["output_throughput"])
    assert len(row["environment"]["accelerators"]) == 2
    assert row["server"]["utilization_pct_mean"] == pytest.approx(44, abs=0.5)


@contextlib.contextmanager
def served(page: str) -> Iterator[str]:
    """An exporter that always says the same."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/metrics"
        server.shutdown()
