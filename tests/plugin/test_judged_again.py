"""Saved results judged again, without a server: the verdicts are those of the run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from quiet import NOT_ASKED
from runs import closed, opened, request, scenario

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judging import judge
from pytest_vllm_bench.model import (
    Cell,
    Measurement,
    Plan,
    Record,
    Repeats,
    Result,
    Scenario,
    ValiditySettings,
    Verdict,
)
from pytest_vllm_bench.rejudge import Criteria, parsed, results
from pytest_vllm_bench.store import measurement
from pytest_vllm_bench.store.folder import write
from pytest_vllm_bench.store.row import to_json
from pytest_vllm_bench.text import say

Bench = Callable[..., pytest.RunResult]
ONE = {"input_output": [[64, 8]], "concurrency_prompts": [[8, 80]]}
REPEATED = {"repeats": 3, "sla": ["p90_ttft_ms <= 60000", "mean_tpot_ms <= 60000"]}
RUNS: dict[str, dict[str, Any]] = {
    "two workers": {"concurrency_prompts": [[16, 96]], "workers": 2, "sla": ["p50_ttft_ms <= 60000"]},
    "rates in stages": {
        "concurrency_prompts": None,
        "stages": [{"rate": 40, "for": "1s"}, {"rate": 80, "for": "1s"}],
        "sla": ["p90_ttft_ms <= 60000", "request_throughput >= 1"],
    },
    "exact, of a warm cache": {"cache": "warm", "judge": {"mode": "exact"}, "sla": ["p99_ttft_ms <= 60000"]},
}
GATES: dict[str, dict[str, Any]] = {
    "a search that holds too little": {"search": {"over": "concurrency", "max": 4, "at_least": 4}, "sla": [
        "output_throughput <= 300"]},
    "a rule that stopped the run": {"concurrency_prompts": [[8, 4000]], "sla": ["p99_ttft_ms <= 0.001"],
                                    "judge": {"mode": "evidence"}},
}  # fmt: skip


def told(result: Result) -> list[tuple[Any, ...]]:
    return [(v.rule.text, str(v.verdict), v.observed, v.window, v.n, v.n_eff, v.tau) for v in result.verdicts]


def saved(path: Path) -> list[tuple[Any, ...]]:
    names = ("rule", "verdict", "observed", "window", "n", "n_eff", "tau")
    return [tuple(verdict[name] for name in names) for verdict in json.loads(path.read_text())["verdicts"]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of three repeats that were judged together."""
    folder = tmp_path_factory.mktemp("finished")
    config = {"base_url": "simulator", "warmup": 0, "validity": NOT_ASKED, **ONE, **REPEATED}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "pytest_vllm_bench", "batch", "config.yaml"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=180)
    return folder / "results"


@pytest.fixture
def repeats(finished: Path, tmp_path: Path) -> list[Path]:
    """A copy of them, in order."""
    shutil.copytree(finished, tmp_path / "results")
    return sorted((tmp_path / "results").glob("bench_*.json"))


def as_before(path: Path) -> None:
    """Leave of a result what versions wrote that kept no measurement."""
    path.with_suffix(".measurement.gz").unlink()


def judged_as_it_was(path: Path) -> None:
    (made,) = results(path, Criteria())
    assert told(made) == saved(path)
    assert str(made.verdict) == json.loads(path.read_text())["verdict"]


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS)
def test_the_verdict_is_that_of_the_run(bench: Bench, pytester: pytest.Pytester, run: str) -> None:
    bench(**{**ONE, **RUNS[run]})
    (path,) = (pytester.path / "results").glob("bench_*.json")
    judged_as_it_was(path)


@pytest.mark.slow
def test_repeats_are_judged_together_as_in_the_run(repeats: list[Path]) -> None:
    assert len(repeats) == 3
    for path in repeats:
        judged_as_it_was(path)
    for path in repeats:
        as_before(path)
    for path in repeats:
        judged_as_it_was(path)


def test_a_measurement_is_loaded_back_equal_and_judged_the_same(repeats: list[Path]) -> None:
    """Also its validity, which no other file holds what it takes for."""
    loaded = [measurement.load(path.with_suffix(".measurement.gz")) for path in repeats]
    saved = [measurement.save(one, path.with_suffix("")) for one, path in zip(loaded, repeats, strict=True)]
    assert saved == loaded == [measurement.load(path.with_suffix(".measurement.gz")) for path in repeats]
    result = judge(loaded[-1].scenario, loaded)
    row = json.loads(repeats[-1].read_text())
    assert to_json(result) == row
    assert {"send_lag", "sentinel_lag", "cpu", "worker"} <= {check.id for check in result.checks}
    void = replace(loaded[-1].scenario, validity=ValiditySettings(cpu=0.0))
    assert judge(void, loaded).verdict is Verdict.INVALID


@pytest.mark.slow
@pytest.mark.parametrize("run", GATES)
def test_what_failed_beside_its_figures_stays_failed(bench: Bench, pytester: pytest.Pytester, run: str) -> None:
    keys = {**ONE, "concurrency_prompts": None, "judge": {"mode": "exact"}, **GATES[run]}
    bench(**keys).assert_outcomes(failed=1)
    for path in sorted((pytester.path / "results").glob("bench_*.json")):
        row = json.loads(path.read_text())
        (made,) = results(path, Criteria())
        assert str(made.verdict) == row["verdict"]
        assert [say(note) for note in made.notes] == [note["text"] for note in row["notes"]]


def test_what_is_worse_than_a_reference_stays_failed(repeats: list[Path]) -> None:
    """It is not held against it again; by other rules it may pass."""
    path = repeats[0]
    row = json.loads(path.read_text())
    lost = {"key": "judge.target_missing", "values": {"target": "before"}, "text": ""}
    gate = {"reference": "before", "comparisons": [], "notes": [lost], "refused": True}
    path.write_text(json.dumps(row | {"verdict": "FAIL", "baseline": gate}))
    (made,) = results(path, Criteria())
    assert (str(made.verdict), [note.key for note in made.notes][-1]) == ("FAIL", "judge.target_missing")
    (other,) = results(path, Criteria(rules=parsed(["failed <= 1"])))
    assert (str(other.verdict), other.notes) == ("PASS", ())
    as_before(path)
    path.write_text(json.dumps(row | {"notes": [{"key": "server.restarted", "values": {}, "text": ""}]}))
    (anew,) = results(path, Criteria(rules=parsed(["failed <= 1"])))
    assert str(anew.verdict) == "FAIL"


def test_repeats_that_are_not_beside_it_are_said(repeats: list[Path]) -> None:
    first, second, last = repeats
    (made,) = results(first, Criteria(settings={"mode": "exact"}))
    assert [v.rule.text for v in made.verdicts] == ["failed == 0"], "an earlier one was not judged by rules"
    (pooled,) = results(last, Criteria())
    assert pooled.verdicts[0].n == sum(n for *_, n, _, _ in saved(last)[:1])
    row = json.loads(second.read_text())
    second.write_text(json.dumps(row | {"session": "another"}))
    (alone,) = results(last, Criteria())
    assert "judge.not_pooled" in [note.key for note in alone.notes]
    assert alone.verdicts[-1].n == 80
    last.with_suffix(".records.jsonl.gz").write_bytes(b"")
    with pytest.raises(BenchError) as caught:
        list(results(last, Criteria()))
    assert caught.value.message.key == "report.damaged"


def test_without_requests_the_figures_of_all_repeats_are_judged(repeats: list[Path]) -> None:
    for path in repeats:
        path.with_suffix(".records.jsonl.gz").unlink()
    last = repeats[-1]
    row = json.loads(last.read_text())
    (made,) = results(last, Criteria(rules=parsed(["completed >= 240"]), settings={"mode": "exact"}))
    assert (row["completed"], made.verdicts[0].observed, str(made.verdict)) == (80, 240, "PASS")
    assert not made.notes
    del row["config"]
    last.write_text(json.dumps(row))
    (made,) = results(last, Criteria())
    assert {v.rule.text for v in made.verdicts} == {rule for rule, *_ in saved(last)}, "and no rule is forgotten"


@pytest.mark.parametrize(("key", "value"), [("mode", "guess"), ("confidence", 95.0), ("confidence", float("nan"))])
def test_a_config_that_was_damaged_is_said(repeats: list[Path], key: str, value: Any) -> None:
    path = repeats[0]
    row = json.loads(path.read_text())
    as_before(path)
    row["config"]["judge"][key] = value
    path.write_text(json.dumps(row))
    with pytest.raises(BenchError) as caught:
        list(results(path, Criteria()))
    assert caught.value.message.key == "report.misfit"
    assert caught.value.message.values["name"] == f"config.judge.{key}"


def kept(folder: Path, asked: Scenario, records: list[Record], *, complete: bool = True, **plan: Any) -> Path:
    """What a run of these requests leaves in a folder."""
    made = Plan(scenario_id=asked.id, folder=folder, n=len(records), path="/v1", template_tokens=0, **plan)
    one = Measurement(scenario=asked, plan=made, records=records, complete=complete, session="now")
    return write(judge(asked, [one]), folder)[0]


def test_a_template_that_nobody_knows_is_no_wrong_length(tmp_path: Path) -> None:
    path = kept(tmp_path, scenario(), [request(i, i, prompt_tokens=109) for i in range(40)])
    assert json.loads(path.read_text())["verdict"] == "PASS"
    judged_as_it_was(path)


def test_the_last_repeat_alone_is_judged_by_its_rules(tmp_path: Path) -> None:
    """``--lf`` runs only the one that failed, which is the one that judges."""
    asked = scenario(
        "p90_ttft_ms <= 20", cell=Cell(place="io100x10-mc1", bound="np10", repeat=3), repeats=Repeats(min=3, max=3)
    )
    path = kept(tmp_path, asked, closed([0.05] * 100))
    assert json.loads(path.read_text())["verdict"] == "FAIL"
    judged_as_it_was(path)


def test_figures_alone_are_read_as_the_requests_would_be(tmp_path: Path) -> None:
    """From when requests were due, in the window that the run was judged in; what was cut short passes nothing."""
    late = scenario("p90_ttft_ms <= 500", "steady_p90_ttft_ms <= 500", "p90_service_ttft_ms <= 500", request_rate=10.0)
    path = kept(tmp_path, late, opened([0.05] * 100, late=3.0))
    path.with_suffix(".records.jsonl.gz").unlink()
    (made,) = results(path, Criteria())
    assert [(v.within, v.window) for v in made.verdicts[:3]] == [(False, "steady"), (False, "steady"), (True, "steady")]
    cut = kept(tmp_path, scenario("completed >= 1"), closed([0.05] * 100), complete=False)
    cut.with_suffix(".records.jsonl.gz").unlink()
    (made,) = results(cut, Criteria())
    assert (str(made.verdict), [n.key for n in made.notes]) == ("INCONCLUSIVE", ["judge.interrupted"])


def test_other_goodput_limits_are_not_answered_by_the_old_ones_figures(tmp_path: Path) -> None:
    path = kept(tmp_path, scenario("goodput_ratio >= 0.9", goodput={"ttft": 500.0}), closed([0.05] * 100))
    path.with_suffix(".records.jsonl.gz").unlink()
    (made,) = results(path, Criteria())
    assert made.verdicts[0].observed == 1
    (made,) = results(path, Criteria(goodput={"ttft": 10.0}))
    assert (made.verdicts[0].observed, str(made.verdict)) == (None, "FAIL")
