"""What accelerators used while load ran: a recorded session of a real card, played through the whole plugin."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_vllm_bench.store import measurement

sys.path.insert(0, str(Path(__file__).parent.parent / "observe"))
import nvidia_smi

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
