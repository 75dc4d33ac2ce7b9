"""What the server counted itself, under one set of names."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request, urlopen

import pytest
from every import every
from hypothesis import given
from hypothesis import strategies as st

from pytest_vllm_bench import simulator
from pytest_vllm_bench.model import Message, Target
from pytest_vllm_bench.observe import counters, timeline
from pytest_vllm_bench.text import say


def rise(before: str, after: str) -> dict[str, float]:
    return counters.deltas(counters.parse(before), counters.parse(after))


def test_the_simulator_s_counters_agree_with_what_was_asked() -> None:
    with simulator.start(simulator.SimulatorOptions()) as running:
        target = Target(base_url=running.base_url)
        before = asyncio.run(timeline.look(target))
        body = json.dumps({"model": "simulator", "prompt": [5] * 64, "max_tokens": 7, "ignore_eos": True}).encode()
        for _ in range(3):
            urlopen(Request(f"{running.base_url}/v1/completions", body, {"Content-Type": "application/json"})).read()
        found = counters.deltas(before, asyncio.run(timeline.look(target)))
    assert found["requests"] == 3
    assert found["prompt_tokens"] == 3 * 64
    assert found["generation_tokens"] == 3 * 7
    assert found["preemptions"] == 0
    assert found["prefix_cache_hit_rate"] == found["prefix_cache_hits"] / found["prefix_cache_queries"] > 0
    assert found["mean_ttft_ms"] > 0
    assert found["mean_itl_ms"] > 0


def test_no_page_is_no_figure() -> None:
    assert asyncio.run(timeline.look(Target(base_url="http://127.0.0.1:9"))) is None
    assert counters.deltas(None, None) == {}
    assert counters.parse("<html>not found</html>") is None


def test_engines_and_models_are_summed_and_buckets_kept_apart() -> None:
    page = """
# HELP vllm:generation_tokens_total Number of generation tokens processed.
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="a b} c"} %d
vllm:generation_tokens_total{engine="1",model_name="x"} 10.0 1700000000000
vllm:time_to_first_token_seconds_bucket{le="0.1"} 5
vllm:time_to_first_token_seconds_count 4
vllm:time_to_first_token_seconds_sum %s
"""
    assert rise(page % (1, "1.0"), page % (9, "1.0"))["generation_tokens"] == 8
    snapshot = counters.parse(page % (1, "NaN"))
    assert snapshot is not None
    assert snapshot.values == {"vllm:generation_tokens_total": 11, "vllm:time_to_first_token_seconds_count": 4}
    assert snapshot.buckets == {"vllm:time_to_first_token_seconds": {0.1: 5}}
    assert snapshot.models == {"a b} c", "x"}


SERVERS = {
    "vllm with older names": (
        "vllm:gpu_prefix_cache_queries_total 0\nvllm:gpu_prefix_cache_hits_total 0\n"
        "vllm:time_per_output_token_seconds_count 0\nvllm:time_per_output_token_seconds_sum 0\n",
        "vllm:gpu_prefix_cache_queries_total 100\nvllm:gpu_prefix_cache_hits_total 25\n"
        "vllm:time_per_output_token_seconds_count 10\nvllm:time_per_output_token_seconds_sum 0.2\n",
        {"prefix_cache_queries": 100, "prefix_cache_hits": 25, "prefix_cache_hit_rate": 0.25, "mean_itl_ms": 20},
    ),
    "vllm with a draft model": (
        "vllm:spec_decode_num_draft_tokens_total 10\nvllm:spec_decode_num_accepted_tokens_total 5\n",
        "vllm:spec_decode_num_draft_tokens_total 30\nvllm:spec_decode_num_accepted_tokens_total 20\n",
        {"draft_tokens": 20, "accepted_tokens": 15, "acceptance_rate": 0.75},
    ),
    "sglang": (
        'sglang:prompt_tokens_total{model_name="m"} 0\nsglang:cached_tokens_total{model_name="m"} 0\n',
        'sglang:prompt_tokens_total{model_name="m"} 80\nsglang:cached_tokens_total{model_name="m"} 20\n'
        'sglang:generation_tokens_total{model_name="m"} 7\nsglang:num_requests_total{model_name="m"} 2\n',
        {
            "prompt_tokens": 80,
            "prefix_cache_hits": 20,
            "prefix_cache_queries": 80,
            "prefix_cache_hit_rate": 0.25,
            "generation_tokens": 7,
            "requests": 2,
        },
    ),
    "tgi": (
        "tgi_request_success 1\ntgi_request_generated_tokens_sum 100\ntgi_request_input_length_sum 5\n",
        "tgi_request_success 3\ntgi_request_generated_tokens_sum 300\ntgi_request_input_length_sum 15\n"
        "tgi_request_duration_sum 4\ntgi_request_duration_count 2\n",
        {"requests": 2, "generation_tokens": 200, "prompt_tokens": 10, "mean_e2el_ms": 2000},
    ),
    "llama.cpp": (
        "llamacpp:prompt_tokens_total 1\nllamacpp:tokens_predicted_total 1\n",
        "llamacpp:prompt_tokens_total 11\nllamacpp:tokens_predicted_total 6\n",
        {"prompt_tokens": 10, "generation_tokens": 5},
    ),
    "vllm with caches beyond its own": (
        'vllm:external_prefix_cache_queries_total{engine="0"} 0\nvllm:external_prefix_cache_hits_total{engine="0"} 0\n'
        "vllm:mm_cache_queries_total 1\nvllm:mm_cache_hits_total 1\n",
        'vllm:external_prefix_cache_queries_total{engine="0"} 100\n'
        'vllm:external_prefix_cache_hits_total{engine="0"} 87\n'
        "vllm:mm_cache_queries_total 11\nvllm:mm_cache_hits_total 6\n",
        {
            "external_cache_queries": 100,
            "external_cache_hits": 87,
            "external_cache_hit_rate": 0.87,
            "media_cache_queries": 10,
            "media_cache_hits": 5,
            "media_cache_hit_rate": 0.5,
        },
    ),
    "lmcache": (
        "lmcache:num_requested_tokens_total 0\nlmcache:num_hit_tokens_total 0\n",
        "lmcache:num_requested_tokens_total 10\nlmcache:num_hit_tokens_total 5\n",
        {"external_cache_queries": 10, "external_cache_hits": 5, "external_cache_hit_rate": 0.5},
    ),
    "triton": (
        'nv_inference_request_success{model="ensemble",version="1"} 5\n',
        'nv_inference_request_success{model="ensemble",version="1"} 9\n',
        {"requests": 4},
    ),
}


@every("server", SERVERS)
def test_servers_are_understood(server: str) -> None:
    before, after, expected = SERVERS[server]
    assert rise(before, after) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("process_start_time_seconds 1.0\n", "process_start_time_seconds 2.0\n", "process_start_time_seconds changed"),
        ("vllm:prompt_tokens_total 100\n", "vllm:prompt_tokens_total 7\n", "counter vllm:prompt_tokens_total fell"),
    ],
    ids=["started anew", "a counter fell"],
)
def test_a_restart_is_seen(before: str, after: str, words: str) -> None:
    one, other = counters.parse(before), counters.parse(after)
    told = counters.restarted(one, other)
    assert told is not None
    assert words in say(told)
    assert counters.several(one, other) is None
    assert counters.deltas(one, other) == {}
    assert counters.restarted(one, one) is None
    assert counters.restarted(one, None) is None
    assert counters.several(one, None) is None


def test_a_process_that_was_there_before_is_another_server_and_no_restart() -> None:
    one, other = (counters.parse(f"process_start_time_seconds {at}\nvllm:prompt_tokens_total 5\n") for at in (2.0, 1.0))
    assert counters.restarted(one, other) is None
    assert counters.several(one, other) == Message(key="server.several")
    assert counters.deltas(one, other) == {}


@contextmanager
def balanced(*pages: str) -> Iterator[Target]:
    """A load balancer: each request for /metrics is answered by the next of its servers."""
    turn = itertools.cycle(pages)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = next(turn).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Target(base_url=f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()


@pytest.mark.parametrize(
    "pages",
    [
        ("process_start_time_seconds 1.0\n", "process_start_time_seconds 2.0\n"),
        ("vllm:prompt_tokens_total 100\n", "vllm:prompt_tokens_total 7\n", "vllm:prompt_tokens_total 50\n"),
    ],
)
def test_servers_behind_one_address_are_seen_as_several(pages: tuple[str, ...]) -> None:
    with balanced(*pages) as target:
        before, after = (asyncio.run(timeline.look(target)) for _ in range(2))
    assert counters.several(before, after) == Message(key="server.several")
    assert counters.restarted(before, after) is None
    assert counters.deltas(before, after) == {}
    with balanced(pages[0]) as target:
        before, after = (asyncio.run(timeline.look(target)) for _ in range(2))
    assert counters.several(before, after) is None


@given(st.text())
def test_any_page_can_be_looked_at(page: str) -> None:
    counters.parse(page)
