from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from every import every
from hypothesis import given
from hypothesis import strategies as st
from results_made import record, result, scenario

from pytest_vllm_bench.measure import brief
from pytest_vllm_bench.model import Message, Record, Result, Spread, Verdict
from pytest_vllm_bench.report import words
from pytest_vllm_bench.store import folder
from pytest_vllm_bench.store.row import plain, to_json
from pytest_vllm_bench.store.schema import schema

SCHEMA = schema()

#: What ``vllm bench serve --save-result`` writes, by its exact names.
VLLM_KEYS = {
    "date",
    "endpoint_type",
    "backend",
    "label",
    "model_id",
    "tokenizer_id",
    "num_prompts",
    "request_rate",
    "burstiness",
    "max_concurrency",
    "duration",
    "completed",
    "failed",
    "total_input_tokens",
    "total_output_tokens",
    "request_throughput",
    "request_goodput",
    "output_throughput",
    "total_token_throughput",
    "max_output_tokens_per_s",
    "max_concurrent_requests",
    "rtfx",
    "mean_ttft_ms",
    "median_ttft_ms",
    "std_ttft_ms",
    "p99_ttft_ms",
    "mean_tpot_ms",
    "median_tpot_ms",
    "std_tpot_ms",
    "p99_tpot_ms",
    "mean_itl_ms",
    "median_itl_ms",
    "std_itl_ms",
    "p99_itl_ms",
    "mean_e2el_ms",
    "median_e2el_ms",
    "std_e2el_ms",
    "p99_e2el_ms",
}


def parsed(made: Result) -> dict[str, Any]:
    """Through the text on disk, by a reader that knows nothing but standard JSON."""

    def no_literal(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    read: dict[str, Any] = json.loads(folder.dump(made), parse_constant=no_literal)
    return read


@every("verdict", list(Verdict))
def test_every_result_keeps_to_the_schema(verdict: Verdict) -> None:
    row = parsed(result(verdict=verdict, failed=2))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(row, SCHEMA)
    assert row.keys() >= VLLM_KEYS


def test_the_schema_refuses_what_is_wrong() -> None:
    row = parsed(result())
    for key, value in [("verdict", "GREEN"), ("p99_ttft_ms", "fast"), ("failed", -1), ("request_rate", "infinite")]:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**row, key: value}, SCHEMA)


def test_a_result_without_any_answer_keeps_to_the_schema() -> None:
    bare = Result(
        scenario=scenario(8, 8, 1, 1),
        verdict=Verdict.INVALID,
        complete=False,
        metrics={"completed": 0, "failed": 0},  # as the judge makes them of no requests
        error=Message(key="report.no_data"),
    )
    row = parsed(bare)
    jsonschema.validate(row, SCHEMA)
    assert row["completed"] == row["failed"] == 0
    assert row["token_source"] is None
    assert words.said(Message(**row["error"]), "zh") == "无数据"


def test_vllm_spells_the_date_and_the_rate_so() -> None:
    row = to_json(result())
    assert (row["date"], row["date_utc"]) == ("20261123-052505", "2026-11-23T05:25:05+00:00")
    assert row["request_rate"] == "inf"


def test_evenly_spaced_arrivals_keep_to_the_schema() -> None:
    """``burstiness: inf`` is a config like any other; JSON has no number for it."""
    row = parsed(result(scenario={"request_rate": 20.0, "burstiness": math.inf}))
    jsonschema.validate(row, SCHEMA)
    assert row["burstiness"] == "inf"


def test_header_values_never_leave_the_process() -> None:
    assert "secret" not in folder.dump(result())
    assert to_json(result())["config"]["target"]["headers"] == ["Authorization"]


def test_implied_rules_are_told_from_written_ones() -> None:
    config = to_json(result())["config"]
    assert (config["rules"], config["implied_rules"]) == (["p99_ttft_ms <= 500"], ["failed == 0"])


def test_the_weakest_witness_of_token_counts_is_named() -> None:
    records = [record(0, 3), record(1, 3)]
    records[1].token_source = "events"
    assert brief.requests(records).token_source == "events"
    assert brief.requests(records[:1]).token_source == "usage"


def test_a_message_survives_the_file_in_both_languages() -> None:
    message = Message(key="report.inf", values={"n": 12})
    saved = Message(**json.loads(json.dumps(plain(message))))
    assert saved.text == "inf (12 failed)"
    assert [words.said(saved, lang) for lang in ("en", "zh")] == ["inf (12 failed)", "inf（12 个失败）"]
    assert words.said(replace(saved, key="a.key.of.tomorrow"), "zh") == "inf (12 failed)"


NUMBERS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals(allow_nan=False)


@given(st.recursive(NUMBERS, lambda x: st.lists(x) | st.dictionaries(st.text(), x) | st.tuples(x, x), max_leaves=20))
def test_anything_becomes_standard_json(value: Any) -> None:
    json.dumps(plain(value), allow_nan=False)


def test_numbers_that_json_has_not() -> None:
    assert plain([math.inf, -math.inf, math.nan]) == ["inf", "-inf", None]


def test_lengths_asked_and_counted_are_carried() -> None:
    asked = [Record(index=k, asked_input=100, prompt_tokens=100 + k, asked_output=8) for k in range(11)]
    spread = brief.requests(asked).lengths
    assert spread["asked_input"] == Spread(n=11, min=100, mean=100, p50=100, p90=100, max=100)
    counted = spread["prompt_tokens"]
    assert counted is not None
    assert (counted.p50, counted.max) == (105, 110)
    assert spread["output_tokens"] is None
