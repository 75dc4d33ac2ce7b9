"""Saved results judged again, without a server: the verdicts are those of the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Result
from pytest_vllm_bench.rejudge import Asked, results

Bench = Callable[..., pytest.RunResult]
ONE = {"input_output": [[64, 8]], "concurrency_prompts": [[8, 80]]}
RUNS: dict[str, dict[str, Any]] = {
    "repeats pooled": {"repeats": 3, "sla": ["p90_ttft_ms <= 60000", "mean_tpot_ms <= 60000"]},
    "two workers": {"concurrency_prompts": [[16, 96]], "workers": 2, "sla": ["p50_ttft_ms <= 60000"]},
    "rates in stages": {
        "concurrency_prompts": None,
        "stages": [{"rate": 40, "for": "1s"}, {"rate": 80, "for": "1s"}],
        "sla": ["p90_ttft_ms <= 60000", "request_throughput >= 1"],
    },
    "exact, of a warm cache": {"cache": "warm", "judge": {"mode": "exact"}, "sla": ["p99_ttft_ms <= 60000"]},
}


def told(result: Result) -> list[tuple[Any, ...]]:
    return [(v.rule.text, str(v.verdict), v.observed, v.window, v.n, v.n_eff, v.tau) for v in result.verdicts]


def saved(path: Path) -> list[tuple[Any, ...]]:
    names = ("rule", "verdict", "observed", "window", "n", "n_eff", "tau")
    return [tuple(verdict[name] for name in names) for verdict in json.loads(path.read_text())["verdicts"]]


@pytest.mark.parametrize("run", RUNS)
def test_the_verdicts_are_those_of_the_run(bench: Bench, pytester: pytest.Pytester, run: str) -> None:
    bench(**{**ONE, **RUNS[run]})
    paths = sorted((pytester.path / "results").glob("bench_*.json"))
    assert len(paths) == RUNS[run].get("repeats", 1)
    for path in paths:
        (made,) = results(path, Asked())
        assert told(made) == saved(path)
        assert str(made.verdict) == json.loads(path.read_text())["verdict"]


def test_repeats_that_are_not_beside_it_are_said(bench: Bench, pytester: pytest.Pytester) -> None:
    bench(**{**ONE, **RUNS["repeats pooled"]})
    first, second, last = sorted((pytester.path / "results").glob("bench_*.json"))
    (made,) = results(first, Asked(settings={"mode": "exact"}))
    assert [v.rule.text for v in made.verdicts] == ["failed == 0"], "an earlier one was not judged by rules"
    (pooled,) = results(last, Asked())
    assert pooled.verdicts[0].n == sum(n for *_, n, _, _ in saved(last)[:1])
    row = json.loads(second.read_text())
    second.write_text(json.dumps(row | {"session": "another"}))
    (alone,) = results(last, Asked())
    assert "judge.not_pooled" in [note.key for note in alone.notes]
    assert alone.verdicts[-1].n == 80


@pytest.mark.parametrize(("key", "value"), [("mode", "guess"), ("confidence", 95.0), ("confidence", float("nan"))])
def test_a_config_that_was_damaged_is_said(bench: Bench, pytester: pytest.Pytester, key: str, value: Any) -> None:
    bench(**ONE)
    (path,) = (pytester.path / "results").glob("bench_*.json")
    row = json.loads(path.read_text())
    row["config"]["judge"][key] = value
    path.write_text(json.dumps(row))
    with pytest.raises(BenchError) as caught:
        list(results(path, Asked()))
    assert caught.value.message.key == "report.damaged"
    assert key in str(caught.value.message.values["why"])
