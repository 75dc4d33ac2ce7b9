"""What is pushed to a Pushgateway is read by Prometheus' own parsers, of OpenMetrics and of the older text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from results_made import result, results

from pytest_vllm_bench.model import AbsentResult, BaselineOutcome, Cell, Comparison, Message, Result, Verdict
from pytest_vllm_bench.report import openmetrics
from pytest_vllm_bench.report.verdict import Roll

STRANGE = 'a "quoted" \\ back\nslash, {brace}=é 🚀'


def everything() -> list[Result]:
    """All kinds of verdict, a strange name and model, an endless figure, repeats, a comparison."""
    odd = result(model=STRANGE, scenario={"cell": Cell(place=STRANGE)}, taints=("simulated",), verdict=Verdict.INVALID)
    odd = replace(odd, metrics={**odd.metrics, "mean_ttft_ms": float("inf"), "p99.9_e2el_ms": 5.0, "odd": 3.0})
    worse = Comparison(metric="mean_tpot_ms", reference=10.0, observed=11.0, change=0.1, interval=(0.05, 0.15),
                       tolerance=0.05, detectable=0.04, verdict=Verdict.FAIL, gated=True, sessions=3,
                       reason=Message(key="report.unsaid"))  # fmt: skip
    held = replace(result(n=80), baseline=BaselineOutcome(reference="main", comparisons=(worse,)))
    return [*results(), odd, held, replace(result(n=20), date="")]


def test_prometheus_own_parsers_read_it(tmp_path: Path) -> None:
    parser = pytest.importorskip("prometheus_client.openmetrics.parser", reason="pip install prometheus-client")
    from prometheus_client.parser import text_string_to_metric_families as older

    made = everything()
    roll = Roll(rest=(AbsentResult(id="gone", session="s", why="error"),))
    text = openmetrics.pushed(made, tmp_path, roll).read_text("utf-8")
    families = {one.name: one for one in parser.text_string_to_metric_families(text)}
    assert [one.name for one in older(text)] == list(families)
    prefix = openmetrics.PREFIX
    ttft = families[f"{prefix}mean_ttft_seconds"]
    assert (ttft.type, ttft.unit) == ("gauge", "seconds")
    assert ttft.documentation == "Mean TTFT: first_token − sent"
    by_scenario = {one.labels["scenario"]: one for one in ttft.samples}
    assert by_scenario["io1024x256-mc16-np160"].value == pytest.approx(0.072)
    assert by_scenario[STRANGE].value == float("inf")
    assert by_scenario[STRANGE].labels["model"] == STRANGE
    found = {name.removeprefix(prefix): len(one.samples) for name, one in families.items()}
    scenarios = len({one.id for one in made})
    assert found["verdict"] == len(Verdict) * scenarios
    assert (found["tainted"], found["baseline_change_ratio"], found["not_run"]) == (1, 1, 1)
    assert found["measured_timestamp_seconds"] == scenarios - 1, "one has no date"
    assert {"output_throughput_tokens_per_second", "goodput_ratio", "duration_seconds", "p99_9_e2el_seconds"} <= set(
        found
    )
    failed = {one.labels["scenario"]: one.value for one in families[f"{prefix}test_failed"].samples}
    assert failed["gone"] == 1
    assert [one.value for one in families[f"{prefix}session_failed"].samples] == [1]
    stamps = [one.timestamp for family in families.values() for one in family.samples]
    assert set(stamps) == {None}, "a Pushgateway refuses time stamps"


def test_what_other_tools_wrote_is_of_utc_and_memory_is_in_bytes(tmp_path: Path) -> None:
    made = result(date="2026-01-01T02:00:00")
    made = replace(made, metrics={**made.metrics, "startup.kv_gib": 1.5})
    text = openmetrics.pushed([made], tmp_path).read_text("utf-8")
    (memory,) = (line for line in text.splitlines() if line.startswith(f"{openmetrics.PREFIX}startup_kv_"))
    assert memory.startswith(f"{openmetrics.PREFIX}startup_kv_bytes{{")
    assert memory.endswith(" 1.61061274e+09")
    (when,) = (line for line in text.splitlines() if line.startswith(f"{openmetrics.PREFIX}measured_timestamp_s"))
    assert when.endswith(" 1.7672328e+09")


def test_a_session_that_fails_as_a_whole_is_red_although_no_test_failed(tmp_path: Path) -> None:
    whole = Roll(failed=("all scenarios together are worse",))
    for write, name in ((openmetrics.pushed, openmetrics.PREFIX), (openmetrics.gitlab, "")):
        for roll, red in ((whole, 1), (Roll(), 0)):
            lines = write([result()], tmp_path, roll).read_text("utf-8").splitlines()
            assert f"{name}session_failed {red}" in lines
            assert [line[-1] for line in lines if line.startswith(f"{name}test_failed")] == ["0"]


def test_nothing_is_said_twice_or_without_a_session(tmp_path: Path) -> None:
    """A Pushgateway refuses the whole where two lines are of one name; a session of nothing is text all the same."""
    for made in (everything() * 2, []):
        lines = openmetrics.pushed(made, tmp_path).read_text("utf-8").splitlines()
        names = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
        assert len(names) == len(set(names))
        assert lines[-1] == "# EOF"
        assert lines.count("# EOF") == 1
