"""What servers say of one request's time, in every one's words, and what was outside of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from every import every
from exchange import ask, exchange
from runs import closed, request, scenario

from pytest_vllm_bench import simulator
from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.http import Response
from pytest_vllm_bench.judging import judge
from pytest_vllm_bench.measure.columns import sample, settings_of
from pytest_vllm_bench.measure.findings import GRAIN, findings
from pytest_vllm_bench.metric_table import parse_rule
from pytest_vllm_bench.model import Measurement, Record, Rule
from pytest_vllm_bench.simulator import SimulatorOptions
from pytest_vllm_bench.text import say

VLLM = {"time_to_first_token_ms": 37.0, "generation_time_ms": 51.3, "queue_time_ms": 0.045, "mean_itl_ms": 17.1,
        "tokens_per_second": 45.3}  # fmt: skip
USAGE = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
ALL = {"server_queue": 0.000045, "server_prefill": 0.037, "server_decode": 0.0513}
CASES: dict[str, tuple[str, Any, dict[str, float]]] = {
    "vLLM's last usage chunk": ("vllm", {"choices": [], "usage": USAGE, "metrics": VLLM}, ALL),
    "of chat": ("vllm-chat", {"choices": [], "usage": USAGE, "metrics": VLLM}, ALL),
    "without usage": ("vllm", {"choices": [], "metrics": VLLM}, ALL),
    "a whole answer": (
        "vllm", {"choices": [{"text": "a", "finish_reason": "stop"}], "usage": USAGE, "metrics": VLLM}, ALL,
    ),
    "of chat, whole": (
        "vllm-chat",
        {"object": "chat.completion", "metrics": VLLM,
         "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]},
        ALL,
    ),
    "Responses": (
        "openai-responses",
        {"type": "response.completed", "response": {"status": "completed", "usage": USAGE, "metrics": VLLM}},
        ALL,
    ),
    "several answers": ("vllm", {"choices": [], "usage": USAGE, "metrics": None}, {}),
    "other metrics": ("vllm", {"choices": [], "usage": USAGE, "metrics": [1, 2]}, {}),
    "wrong ones": (
        "vllm",
        {"choices": [], "usage": USAGE,
         "metrics": {"queue_time_ms": -1, "time_to_first_token_ms": "soon", "generation_time_ms": True}},
        {},
    ),
    "llama.cpp": (
        "llama.cpp-native",
        {"content": "", "stop": True, "tokens_predicted": 4, "timings": {"prompt_ms": 37, "predicted_ms": 51.3}},
        {"server_prefill": 0.037, "server_decode": 0.0513},
    ),
    "llama.cpp, like OpenAI": (
        "llama.cpp",
        {"choices": [], "usage": USAGE, "timings": {"prompt_ms": 37, "predicted_ms": 51.3}},
        {"server_prefill": 0.037, "server_decode": 0.0513},
    ),
    "Ollama": (
        "ollama",
        {"response": "", "done": True, "prompt_eval_duration": 37_000_000, "eval_duration": 51_300_000},
        {"server_prefill": 0.037, "server_decode": 0.0513},
    ),
    "SGLang": (
        "sglang",
        {"text": "a", "meta_info": {"completion_tokens": 4, "finish_reason": {"type": "stop"}, "e2e_latency": 0.1,
                                    "queue_time": 0.02}},
        {"server_queue": 0.02},
    ),
}  # fmt: skip


@every("case", CASES)
def test_every_servers_words(case: str) -> None:
    backend, payload, stages = CASES[case]
    told = request(0, 0.0, ttft=0.1, gaps=[0.05], server=BACKENDS[backend].read(json.dumps(payload).encode()).server)
    values = sample([told], settings_of(scenario())).values
    found = {id: float(values[id][0]) for id in values if id.startswith("server_")}
    assert found == pytest.approx(stages)
    assert ("outside_first" in values) is (found.keys() >= {"server_queue", "server_prefill"})


def test_tgi_says_it_in_headers() -> None:
    response = Response()
    response.feed(b"HTTP/1.1 200 OK\r\nX-Queue-Time: 20\r\nx-inference-time: 88\r\nx-compute-type: gpu\r\n\r\n")
    assert response.times == {"x-queue-time": "20", "x-inference-time": "88"}
    values = sample([request(0, 0.0, ttft=0.1, server=response.times)], settings_of(scenario())).values
    assert values["server_queue"][0] == pytest.approx(0.02)


def told(n: int, queue: float = 10.0, prefill: float = 60.0, decode: float = 40.0) -> list[Record]:
    """A closed loop of requests with TTFT 100 ms and a gap of 50 ms."""
    server = {"queue_time_ms": queue, "time_to_first_token_ms": prefill, "generation_time_ms": decode}
    return [request(i, 0.2 * i, ttft=0.1, gaps=[0.05], server=server) for i in range(n)]


def rules(*texts: str) -> tuple[Rule, ...]:
    made = [parse_rule(text) for text in texts]
    assert all(isinstance(rule, Rule) for rule in made)
    return tuple(made)  # type: ignore[arg-type]


def test_stages_are_metrics_with_rules() -> None:
    asked = replace(
        scenario(),
        rules=rules("p99_server_queue_ms <= 5", "p90_outside_first_ms <= 31", "mean_outside_stream_ms <= 20"),
    )
    result = judge(asked, [Measurement(scenario=asked, records=told(100))])
    assert result.mean_server_queue_ms == pytest.approx(10)
    assert result.mean_outside_first_ms == pytest.approx(30)
    assert result.p99_outside_stream_ms == pytest.approx(10)
    assert [v.verdict for v in result.verdicts[:3]] == ["FAIL", "PASS", "PASS"]
    untold = judge(asked, [Measurement(scenario=asked, records=closed([0.1] * 100))])
    assert untold.mean_server_queue_ms is None
    assert [(v.verdict, v.observed) for v in untold.verdicts[:3]] == [("FAIL", None)] * 3


def said(records: list[Record]) -> list[str]:
    return [say(message) for message in findings(sample(records, settings_of(scenario())))]


def test_findings_about_what_was_outside() -> None:
    assert said(told(20, prefill=75)) == []
    (words,) = said(told(20))
    assert words.startswith("30% of TTFT (median 30.0 ms) passed outside of the engine")
    assert said(told(20, prefill=91.9)) == [], "clocks may disagree by a little"
    (words,) = said([*told(20, prefill=85), *told(3, prefill=95)])
    assert "longer than what was seen of 3 requests" in words


SIMULATED = {"vllm": "vllm", "vllm-chat": "vllm", "sglang": "sglang", "llama.cpp-native": "llama.cpp",
             "ollama": "vllm"}  # fmt: skip


@pytest.mark.slow
def test_the_simulators_own_times_lie_within_what_was_seen() -> None:
    for name, dialect in SIMULATED.items():
        with simulator.start(SimulatorOptions(dialect=dialect, models=("tiny",), request_metrics=True)) as running:
            record = exchange(running.base_url, BACKENDS[name], ask(force_length=True))
        values = sample([record], settings_of(scenario())).values
        there = {id for id in values if id.startswith("server_")}
        assert there, name
        assert all(math.isfinite(values[id][0]) and values[id][0] >= 0 for id in there), (name, values)
        assert ("outside_first" in values) is (there == {"server_queue", "server_prefill", "server_decode"})
        assert values.get("outside_first", [0])[0] >= -GRAIN, name
