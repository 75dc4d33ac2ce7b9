"""What does not fit in a result's file is said: where it is, what is there, what belongs there."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from every import every
from hypothesis import given, settings
from hypothesis import strategies as st
from results_made import result

from pytest_vllm_bench.cli import main
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Message
from pytest_vllm_bench.report.rebuild import FORMATS
from pytest_vllm_bench.store.row import from_json, to_json
from pytest_vllm_bench.store.schema import schema
from pytest_vllm_bench.text import say

ROW: dict[str, Any] = json.loads(json.dumps(to_json(result(failed=2)))) | {
    **{"ttfts": [0.1, 0.0], "itls": [[0.1], []], "input_lens": [8, 8], "output_lens": [2, 0], "errors": ["", "http"]},
    "baseline": {
        "reference": "main",
        "comparisons": [
            {
                "metric": "mean_tpot_ms",
                "gated": True,
                "verdict": "PASS",
                "reason": {"key": "judge.same", "values": {}, "text": ""},
                "reference": 10.0,
                "observed": 10.1,
                "change": 0.01,
                "interval": [-0.01, "inf"],
                "tolerance": 0.1,
                "detectable": 0.1,
                "sessions": 2,
                "relative": True,
            }
        ],
        "notes": [],
        "refused": False,
    },
    "capacity": {
        "held": 3,
        "broken": None,
        "stopped": "max",
        "levels": [{"level": 3, "held": True, "decided": True, "proven": False, "multiple": 1, "result": "x"}],
        "runs": 1,
        "seconds": 2.5,
    },
    "per_repeat": [{"mean_ttft_ms": 1.0, "plan_digest": "d"}],
    "pooled": {"mean_ttft_ms": 1.0},
}
FIGURE = 'number | "-inf" | "inf" | null'
OTHERS: tuple[Any, ...] = ("abc", "inf", -1, 2.5, 3.0, True, None, [], [1], {}, {"a": 1})
JUDGE = jsonschema.Draft202012Validator(schema())


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, part in parts:
        yield from paths(part, (*path, key))


def damaged(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """ROW with ``value`` at ``path``, or without what is there (...)."""
    row = copy.deepcopy(ROW)
    inner: Any = row
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return row


def misfit(row: dict[str, Any]) -> Message | None:
    """What is said where it is read."""
    try:
        from_json(row)
    except BenchError as error:
        return error.message
    return None


def test_a_result_of_ours_fits() -> None:
    assert misfit(ROW) is None
    JUDGE.validate(ROW)


@given(st.sampled_from(sorted(paths(ROW), key=str)), st.sampled_from((*OTHERS, ...)))
def test_what_the_schema_accepts_is_read(path: tuple[Any, ...], value: Any) -> None:
    """What it refuses may be read too: reading is lenient.  Of the config it says nothing."""
    row = damaged(path, value)
    if path[0] != "config" and JUDGE.is_valid(row):
        assert misfit(row) is None


@every(
    ("path", "value", "said"),
    [
        (("mean_ttft_ms",), "fast", f'its mean_ttft_ms is "fast", where {FIGURE} belongs'),
        (("verdicts", 0, "n"), [], "its verdicts[0].n is [], where integer belongs"),
        (
            ("verdict",),
            "GREEN",
            'its verdict is "GREEN", where "PASS" | "PREDICTED" | "INCONCLUSIVE" | "FAIL" | "INVALID" | null belongs',
        ),
        (("baseline", "comparisons", 0, "metric"), ..., "it lacks baseline.comparisons[0].metric"),
        (("request_rate",), [], f"its request_rate is [], where {FIGURE} belongs"),
        (("config", "cache"), "hot", 'its config.cache is "hot", where "cold" | "warm" belongs'),
        (("config", "rules"), [3], "its config.rules[0] is 3, where string belongs"),
        (("verdicts", 0, "interval"), [1], "its verdicts[0].interval is [1], where array of 2 | null belongs"),
        (("lengths", "asked_input", "p50"), "x", 'its lengths.asked_input.p50 is "x", where integer belongs'),
        (("error",), {"key": 1, "values": {}, "text": ""}, "its error.key is 1, where string belongs"),
        (("simulated",), "x" * 99, f'its simulated is "{"x" * 39}…, where boolean belongs'),
        (("error_counts",), {"timeout": 2, "bored": "x"}, 'its error_counts.bored is "x", where integer belongs'),
    ],
)
def test_what_is_wrong_where_and_what_belongs_there(path: tuple[Any, ...], value: Any, said: str) -> None:
    found = misfit(damaged(path, value))
    assert found is not None
    assert say(found).startswith(said)


@settings(max_examples=50, deadline=None)
@given(path=st.sampled_from(sorted(paths(ROW), key=str)), value=st.sampled_from((*OTHERS, ...)))
def test_no_damage_is_a_traceback(tmp_path_factory: pytest.TempPathFactory, path: tuple[Any, ...], value: Any) -> None:
    """Either it is said, or the result is judged and shown."""
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "bench_one.json").write_text(json.dumps(damaged(path, value)))
    fits = misfit(damaged(path, value)) is None
    assert main(["judge", str(folder)]) in ((0, 1, 2) if fits else (2,))
    assert main(["report", str(folder)]) == (0 if fits else 2)


def test_the_file_is_named_and_the_others_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bench_good.json").write_text(json.dumps(ROW))
    (tmp_path / "bench_bad.json").write_text(json.dumps(damaged(("mean_ttft_ms",), "fast")))
    assert main(["--lang", "zh", "report", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "bench_bad.json" in said.out + said.err
    assert (
        '已跳过，无法作为结果读取：其中 mean_ttft_ms 为 "fast"，应为 number | "-inf" | "inf" | null'
        in said.out + said.err
    )
    assert main(["judge", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert 'bench_bad.json: its mean_ttft_ms is "fast"' in " ".join((said.out + said.err).split())


@pytest.mark.parametrize("number", ["1e999", "9" * 400, "9" * 30, "NaN"])
def test_a_number_beyond_all_that_are_counted(tmp_path: Path, number: str) -> None:
    text = json.dumps(damaged(("mean_ttft_ms",), "HERE")).replace('"HERE"', number)
    (tmp_path / "bench_one.json").write_text(text)
    assert main(["report", str(tmp_path), "--formats", *(f for f in FORMATS if f != "png")]) == 0
    assert main(["aggregate", str(tmp_path)]) == 0
    assert main(["judge", str(tmp_path)]) in (0, 1)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000], ids=["lists", "objects"])
def test_a_file_nested_beyond_reading(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bench_one.json").write_text(text)
    assert main(["report", str(tmp_path)]) == 2
    assert main(["judge", str(tmp_path)]) == 2
    assert "bench_one.json: cannot be read as JSON: nested too deeply" in capsys.readouterr().err


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "bench_one.json").write_text(json.dumps(ROW), encoding="utf-8-sig")
    assert main(["report", str(tmp_path)]) == 0
    assert main(["judge", str(tmp_path)]) in (0, 1)


@pytest.mark.parametrize("odd", ["\x1b[31m\x00", "half a \ud83d"], ids=["control", "surrogate"])
def test_characters_that_not_every_form_can_hold(tmp_path: Path, odd: str) -> None:
    (tmp_path / "bench_one.json").write_text(json.dumps(damaged(("scenario_id",), f"io1x1-{odd}")))
    assert main(["report", str(tmp_path), "--formats", "html", "csv", "excel", "jsonl", "markdown"]) == 0
    assert main(["aggregate", str(tmp_path)]) == 0


def test_a_result_without_figures_has_every_form(tmp_path: Path) -> None:
    (tmp_path / "bench_one.json").write_text('{"schema_version": 1, "scenario_id": "a", "verdict": "PASS"}')
    assert main(["report", str(tmp_path), "--formats", *(f for f in FORMATS if f != "png")]) == 0
