"""The server's face: vLLM's routes, words and errors, and what the scripted faults do to the bytes."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from asking import Post, ask

from pytest_vllm_bench import simulator
from pytest_vllm_bench.cli.simulate import parse
from pytest_vllm_bench.errors import ServerError
from pytest_vllm_bench.simulator.options import arguments

QUICK = simulator.LatencyModel(step_s=0.0005, jitter=0.0)
COMPLETION = {"model": "m", "prompt": "Hello world", "max_tokens": 4, "ignore_eos": True, "stream": True}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4, "stream": True}


def texts(events: list[Any]) -> str:
    return "".join(c.get("text", "") for e in events if isinstance(e, dict) for c in e.get("choices", []))


def test_a_stream_has_an_event_a_token_usage_and_an_end(post: Post) -> None:
    reply = post("/v1/completions", {**COMPLETION, "stream_options": {"include_usage": True}})
    assert reply.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    *tokens, usage, done = reply.events
    assert [t["choices"][0]["finish_reason"] for t in tokens] == [None, None, None, "length"]
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 4
    assert usage["usage"]["prompt_tokens"] == post("/tokenize", {"prompt": "Hello world"}).json["count"]
    assert done == "[DONE]"


def test_a_whole_answer_says_what_a_stream_says(post: Post) -> None:
    whole = post("/v1/completions", {**COMPLETION, "stream": False}).json
    assert whole["choices"][0]["text"] == texts(post("/v1/completions", COMPLETION).events)
    assert whole["usage"]["completion_tokens"] == 4


def test_chat_starts_with_a_role_that_is_no_token(post: Post) -> None:
    role, *tokens, done = post("/v1/chat/completions", {**CHAT, "ignore_eos": True}).events
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert len(tokens) == 4
    assert done == "[DONE]"


def test_token_ids_go_in_and_come_out(post: Post) -> None:
    body = {**COMPLETION, "prompt": list(range(100, 150)), "return_token_ids": True}
    events = post("/v1/completions", {**body, "stream_options": {"include_usage": True}}).events
    ids = [i for e in events[:4] for i in e["choices"][0]["token_ids"]]
    assert len(ids) == 4
    assert events[4]["usage"]["prompt_tokens"] == 50
    assert post("/detokenize", {"tokens": ids}).json["prompt"] == texts(events)


def test_running_usage_rises_by_one(post: Post) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    events = post("/v1/completions", {**COMPLETION, "stream_options": options}).events
    assert [e["usage"]["completion_tokens"] for e in events[:-1]] == [1, 2, 3, 4, 4]


def test_answers_end_by_themselves_unless_told_not_to(post: Post) -> None:
    free = {"prompt": "tell me", "max_tokens": 1500, "min_tokens": 5}
    answers = [post("/v1/completions", {**free, "prompt": f"tell me {i}"}).json for i in range(8)]
    lengths = [a["usage"]["completion_tokens"] for a in answers]
    assert any(a["choices"][0]["finish_reason"] == "stop" for a in answers)
    assert len(set(lengths)) > 1
    assert min(lengths) >= 5
    forced = post("/v1/completions", {**free, "ignore_eos": True}).json
    assert (forced["usage"]["completion_tokens"], forced["choices"][0]["finish_reason"]) == (1500, "length")


def test_the_same_prompt_gets_the_same_answer_and_hits_the_cache(post: Post) -> None:
    body = {**COMPLETION, "prompt": "once upon a time " * 40, "stream": False}
    first, second = (post("/v1/completions", body).json for _ in range(2))
    assert first["choices"] == second["choices"]
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] % 16 == 0
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] > 100


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/v1/completions", {**COMPLETION, "model": "nope"}, 404, "The model `nope` does not exist."),
        ("/v1/completions", {**COMPLETION, "max_tokens": 3000}, 400, "maximum context length is 2048 tokens"),
        ("/v1/completions", {**COMPLETION, "max_tokens": 0}, 400, "max_tokens must be at least 1"),
        ("/v1/completions", {**COMPLETION, "max_tokens": "4"}, 400, "valid integer"),
        ("/v1/completions", {**COMPLETION, "min_tokens": 9}, 400, "min_tokens must be less than or equal"),
        ("/v1/completions", {**COMPLETION, "prompt": ""}, 400, "Either prompt or prompt_embeds"),
        ("/v1/chat/completions", {**CHAT, "messages": []}, 400, "messages: Field required"),
        (
            "/v1/completions",
            {**COMPLETION, "stream": False, "stream_options": {"include_usage": True}},
            400,
            "Stream options can only be defined when `stream=True`",
        ),
        ("/v1/completions", b"{not json", 400, "JSON decode error"),
        ("/v1/completions", [1], 400, "Expected `object`"),
    ],
)
def test_errors_are_worded_as_vllm_words_them(post: Post, path: str, body: Any, status: int, said: str) -> None:
    reply = post(path, body)
    assert reply.status == status
    assert said in reply.json["error"]["message"]
    assert reply.json["error"]["code"] == status


def test_what_is_not_there_is_404(post: Post) -> None:
    assert (post("/v1/nothing", {}).status, post("/v1/nothing", {}).json) == (404, {"detail": "Not Found"})
    assert post("/v1/completions").status == 405


def test_models_are_listed_with_their_room(post: Post) -> None:
    base, lora = post("/v1/models").json["data"]
    assert (base["id"], base["max_model_len"], lora["parent"]) == ("m", 2048, "m")


def test_the_key_is_asked_for_under_v1_only() -> None:
    with simulator.start(simulator.SimulatorOptions(api_key="secret", latency=QUICK)) as running:
        body = {"prompt": "x", "max_tokens": 1}
        assert ask(running.base_url, "/v1/completions", body).json == {"error": "Unauthorized"}
        assert ask(running.base_url, "/v1/completions", body, Authorization="Bearer secret").status == 200
        assert ask(running.base_url, "/health").status == 200


def test_a_profile_goes_nowhere_without_the_key(tmp_path: Path) -> None:
    """SGLang's is written to where the request says."""
    options = simulator.SimulatorOptions(api_key="secret", dialect="sglang", latency=QUICK)
    body = {"output_dir": str(tmp_path / "there")}
    with simulator.start(options) as running:
        for page in ("/start_profile", "/stop_profile"):
            assert ask(running.base_url, page, body).status == 401
        assert not (tmp_path / "there").exists()
        for page in ("/start_profile", "/stop_profile"):
            assert ask(running.base_url, page, body, Authorization="Bearer secret").status == 200
    assert list((tmp_path / "there").iterdir())


def test_counters_count_what_was_sent() -> None:
    with simulator.start(simulator.SimulatorOptions(latency=QUICK)) as running:
        for i in range(3):
            body = {"prompt": [i + 5] * 40, "max_tokens": 7, "ignore_eos": True}
            assert ask(running.base_url, "/v1/completions", body).status == 200
        page = ask(running.base_url, "/metrics").body.decode()
    value = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line[0] != "#"}
    labels = '{engine="0",model_name="simulator"}'
    assert value[f"vllm:generation_tokens_total{labels}"] == 21
    assert value[f"vllm:prompt_tokens_total{labels}"] == 120
    assert value[f"vllm:time_to_first_token_seconds_count{labels}"] == 3
    assert value[f"vllm:inter_token_latency_seconds_count{labels}"] == 18
    assert value[f"vllm:e2e_request_latency_seconds_count{labels}"] == 3
    assert value[f"vllm:num_requests_running{labels}"] == 0
    assert value["process_start_time_seconds"] > 0
    assert 'vllm:request_success_total{engine="0",model_name="simulator",finished_reason="length"} 3' in page


def test_a_small_kv_cache_refuses_what_can_never_fit_and_makes_the_rest_wait() -> None:
    small = simulator.LatencyModel(step_s=0.0005, kv_tokens=256)
    with simulator.start(simulator.SimulatorOptions(latency=small)) as running:
        body = {"prompt": [7] * 100, "max_tokens": 100, "ignore_eos": True}
        assert ask(running.base_url, "/v1/completions", {**body, "max_tokens": 200}).status == 400
        with ThreadPoolExecutor(4) as pool:
            replies = list(pool.map(lambda i: ask(running.base_url, "/v1/completions", body), range(4)))
        assert [r.json["usage"]["completion_tokens"] for r in replies] == [100] * 4


def test_pooling_makes_no_tokens() -> None:
    with simulator.start(simulator.SimulatorOptions(latency=QUICK)) as running:
        assert ask(running.base_url, "/v1/embeddings", {"input": ["a", "b"]}).status == 200
        page = ask(running.base_url, "/metrics").body.decode()
    assert 'vllm:generation_tokens_total{engine="0",model_name="simulator"} 0' in page


def test_reasoning_comes_before_content() -> None:
    with simulator.start(simulator.SimulatorOptions(reasoning=0.5, latency=QUICK)) as running:
        chat = {**CHAT, "model": None, "ignore_eos": True, "max_tokens": 10}
        events = ask(
            running.base_url, "/v1/chat/completions", {**chat, "stream_options": {"include_usage": True}}
        ).events
    deltas = [e["choices"][0]["delta"] for e in events[1:-2]]
    assert ["reasoning" in d for d in deltas] == [True] * 5 + [False] * 5
    assert events[-2]["usage"]["completion_tokens_details"]["reasoning_tokens"] == 5


def test_several_tokens_an_event() -> None:
    with simulator.start(simulator.SimulatorOptions(stream_interval=4, latency=QUICK)) as running:
        body = {**COMPLETION, "model": None, "max_tokens": 10, "return_token_ids": True}
        events = ask(running.base_url, "/v1/completions", body).events
    assert [len(e["choices"][0]["token_ids"]) for e in events[:-1]] == [1, 4, 4, 1]


def test_a_server_that_is_not_ready_says_503() -> None:
    with simulator.start(simulator.SimulatorOptions(ready_after=3600)) as running:
        assert ask(running.base_url, "/health").status == 503


# ------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("fault", "tokens", "broken"),
    [
        ("reset at=2", 0, "ConnectionResetError"),
        ("cut at=2", 2, "IncompleteRead"),
        ("garbage", 0, "BadStatusLine"),
        ("blank", 0, ""),
        ("end at=2", 2, ""),
        ("short at=2", 2, ""),
        ("silent", 1, ""),
        ("stall at=1 seconds=0.01", 4, ""),
        ("delay seconds=0.01; headers seconds=0.01; late", 4, ""),
        ("coalesce events=3", 4, ""),
        ("close", 4, ""),
        ("split bytes=5; crlf; tight; comments", 4, ""),
    ],
)
def test_a_fault_leaves_what_it_says(post: Post, fault: str, tokens: int, broken: str) -> None:
    reply = post("/v1/completions", COMPLETION, fault)
    assert reply.broken == broken
    if broken != "ConnectionResetError":
        assert sum("choices" in e for e in reply.events if isinstance(e, dict)) == tokens


def test_the_terminal_sign_can_be_missing_double_or_followed(post: Post) -> None:
    ends = {f: post("/v1/completions", COMPLETION, f).events[3:] for f in ("undone", "twice", "more", "end at=4")}
    assert [len(e) for e in ends.values()] == [1, 3, 3, 2]
    assert ends["twice"][1:] == ["[DONE]", "[DONE]"]


def test_an_error_inside_a_stream(post: Post) -> None:
    *_, error, done = post("/v1/completions", COMPLETION, "error at=1 message=engine_dead").events
    assert error["error"]["message"] == "engine dead"
    assert done == "[DONE]"


def test_a_refusal_has_its_status_and_retry_after(post: Post) -> None:
    reply = post("/v1/completions", COMPLETION, "status code=429 retry_after=2")
    assert (reply.status, reply.headers["Retry-After"], reply.json["error"]["code"]) == (429, "2", 429)
    assert post("/v1/completions", COMPLETION, "status code=502 text=1 message=Bad_Gateway").body == b"Bad Gateway"


def test_an_event_that_is_not_json(post: Post) -> None:
    assert post("/v1/completions", COMPLETION, "malformed at=1").body.endswith(b'"te\n\n')


def test_a_fault_that_nobody_knows_is_said(post: Post) -> None:
    reply = post("/v1/completions", COMPLETION, "stal at=5")
    assert reply.status == 400
    assert "no simulated fault 'stal'" in reply.json["error"]["message"]


def test_usage_can_be_withheld(post: Post) -> None:
    body = {**COMPLETION, "stream_options": {"include_usage": True}}
    assert not any("usage" in e for e in post("/v1/completions", body, "uncounted").events if isinstance(e, dict))


def test_a_crash_takes_the_process_with_it() -> None:
    with simulator.start(simulator.SimulatorOptions(latency=QUICK)) as running:
        assert ask(running.base_url, "/v1/completions", {**COMPLETION, "model": None}, "crash at=2").broken
        assert running.process.wait(10) == 70
        assert ask(running.base_url, "/health").broken == "ConnectionRefusedError"


# ------------------------------------------------------------------------------------- the process


def test_options_survive_the_command_line() -> None:
    options = simulator.SimulatorOptions(
        models=("a", "b"), dialect="tgi", latency=simulator.LatencyModel(step_s=0.25, prefix_cache=False)
    )
    assert parse(arguments(options)) == (options, False)
    assert arguments(simulator.SimulatorOptions()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a Unix thing")
def test_the_server_dies_with_its_parent() -> None:
    code = (
        "import time; from pytest_vllm_bench import simulator\n"
        "with simulator.start() as s: print(s.base_url, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        assert ask(url, "/health").status == 200
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while not ask(url, "/health").broken:
        assert time.monotonic() < deadline, "the simulator outlived its parent"
        time.sleep(0.02)


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(ServerError) as caught, simulator.start(simulator.SimulatorOptions(host="256.0.0.1")):
        pass
    assert caught.value.message.values["detail"]


@pytest.mark.parametrize("port", ["65536", "-1"])
def test_a_port_that_there_is_not(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--port", port])
    assert caught.value.code == 2
    assert f"--port {port} is not a number from 0 to 65535" in capsys.readouterr().err
