"""Every backend against the simulator, which speaks its server's language with that server's quirks and faults."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from every import every
from exchange import DIALECTS, ask, exchange, prompt

from pytest_vllm_bench import simulator
from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.model import Backend, Prompt, Record

N = 12  # tokens asked for
QUICK = simulator.LatencyModel(step_s=0.0005, jitter=0.0)
Send = Callable[..., Record]


@pytest.fixture(scope="module")
def simulators() -> Iterator[Callable[[str], str]]:
    """Dialect → the URL of a simulator that speaks it; started when first asked for."""
    with contextlib.ExitStack() as stack:
        running: dict[str, str] = {}

        def url(dialect: str) -> str:
            if dialect not in running:
                options = simulator.SimulatorOptions(
                    dialect=dialect, models=("tiny", "tiny-lora"), latency=QUICK, max_model_len=2048
                )
                running[dialect] = stack.enter_context(simulator.start(options)).base_url
            return running[dialect]

        yield url


#: A test over every backend.
of_each = every("backend", BACKENDS.values(), ids=BACKENDS)


@pytest.fixture(scope="module")
def send(simulators: Callable[[str], str]) -> Send:
    def to(backend: Backend, fault: str = "", **changed: Any) -> Record:
        url = simulators(DIALECTS.get(backend.name, "vllm"))
        asked = {"prompt": prompt(backend), "output_len": N, "force_length": backend.forces_length, **changed}
        headers = f"x-simulator-fault: {fault}\r\n" if fault else ""
        return exchange(url, backend, ask(**asked), headers=headers, counter=lambda texts: [len(t) for t in texts])

    return to


def streams(backend: Backend) -> bool:
    return backend.generates and backend.framing != "json"


@pytest.mark.slow
@of_each
def test_an_answer(send: Send, backend: Backend) -> None:
    record = send(backend)
    assert (record.error, record.error_detail, record.status) == (None, "", 200)
    if not backend.generates:
        assert (record.sequences, record.output_tokens, record.first_token) == (3, None, None)
        assert record.prompt_tokens
        return
    assert record.output_tokens
    if backend.forces_length and record.token_source in ("usage", "counter", "ids"):
        assert record.output_tokens == N
    if streams(backend):
        assert record.sent is not None
        assert record.done is not None
        assert record.first_token is not None
        assert record.last_token is not None
        assert record.sent < record.first_token <= record.last_token <= record.done
        assert sum(record.arrival_tokens) == record.output_tokens
    else:
        assert (record.first_chunk, record.first_token, record.last_token) == (None, None, None)


@of_each
def test_the_same_answer_in_pieces_and_with_other_line_ends(send: Send, backend: Backend) -> None:
    plain = send(backend)
    for fault in ("split bytes=3", "coalesce events=4", "comments", "crlf", "tight"):
        if backend.framing != "sse" and fault in ("comments", "crlf", "tight"):
            continue
        other = send(backend, fault)
        assert (other.error, other.text, other.output_tokens) == (None, plain.text, plain.output_tokens), fault


@of_each
def test_whole_answers(send: Send, backend: Backend) -> None:
    record = send(backend, stream=False)
    assert record.error is None
    if "generate_stream" not in backend.path:  # which streams whatever is asked
        assert (record.first_chunk, record.first_token, record.last_token) == (None, None, None)


@of_each
def test_token_detail_makes_tokens_of_events_exact(send: Send, backend: Backend) -> None:
    if backend.token_detail:
        record = send(backend, "coalesce events=3", token_detail=True)
        assert (record.error, record.tokens_per_event) == (None, "exact")
        assert sum(record.arrival_tokens) == record.output_tokens


@of_each
def test_it_shed_load(send: Send, backend: Backend) -> None:
    """With the status and in the words that this server has for it."""
    record = send(backend, "status code=429 retry_after=2 message=slow_down")
    assert (record.error, record.retry_after) == ("rejected", 2.0)
    assert record.status in (429, 503)
    assert record.error_detail


@of_each
def test_it_failed_with_words(send: Send, backend: Backend) -> None:
    record = send(backend, "status code=500 text=1 message=no_more_memory")
    assert record.error == "http"
    assert record.status is not None
    assert record.status >= 400
    assert "no more memory" in record.error_detail


@of_each
def test_it_failed_inside_the_stream(send: Send, backend: Backend) -> None:
    if streams(backend):
        record = send(backend, "error at=4 message=engine_dead")
        assert record.error in ("in_stream", "reset")  # DeepSpeed-MII cuts the connection instead
        assert record.error == "reset" or "engine dead" in record.error_detail
        assert record.first_token is not None


@of_each
def test_an_error_inside_the_stream_in_other_words(send: Send, backend: Backend) -> None:
    """None of its server's own, but of some gateway before it."""
    for shape in ("named", "flat", "code", "nested", "list"):
        if streams(backend) and not (shape == "named" and backend.framing == "ndjson"):
            record = send(backend, f"error at=4 message=engine_dead shape={shape}")
            assert record.error in ("in_stream", "reset"), shape
            assert record.error == "reset" or "engine dead" in record.error_detail, shape


@of_each
def test_events_of_other_legal_shapes(send: Send, backend: Backend) -> None:
    """The text, its tokens and when they came are the same."""
    if streams(backend):
        plain = send(backend)
        for shape in ("parts", "noughts", "apart", "spelled", "strange"):
            other = send(backend, f"odd shape={shape}")
            assert (other.error, other.text, other.output_tokens) == (None, plain.text, plain.output_tokens), shape
            assert sum(other.arrival_events) == sum(plain.arrival_events), shape
            assert sum(other.arrival_tokens) == sum(plain.arrival_tokens), shape


@of_each
def test_a_clean_end_without_any_sign(send: Send, backend: Backend) -> None:
    if streams(backend):
        assert send(backend, "end at=4").error == (None if backend.terminal == "end" else "truncated")


@of_each
@every("fault", ["cut at=4", "reset at=4"])
def test_the_connection_broke(send: Send, backend: Backend, fault: str) -> None:
    if streams(backend):
        record = send(backend, fault)
        assert record.error == "reset"
        assert record.first_token is not None


@of_each
def test_nothing_came(send: Send, backend: Backend) -> None:
    assert send(backend, "blank").error == "empty"


@of_each
def test_it_was_not_the_format(send: Send, backend: Backend) -> None:
    if streams(backend):
        assert send(backend, "malformed at=2").error == "protocol"


@of_each
def test_it_was_not_http(send: Send, backend: Backend) -> None:
    assert send(backend, "garbage").error == "protocol"


@of_each
def test_end_signs_twice_and_events_behind_them(send: Send, backend: Backend) -> None:
    if streams(backend) and backend.terminal == "sign":
        plain = send(backend)
        for fault in ("twice", "more"):
            other = send(backend, fault)
            assert (other.error, other.text) == (None, plain.text), fault


@of_each
def test_fewer_tokens_than_forced(send: Send, backend: Backend) -> None:
    if streams(backend) and backend.forces_length:
        record = send(backend, "short at=5")
        counted = record.token_source in ("usage", "counter", "ids")
        assert record.error == ("short" if counted else None)


@of_each
def test_an_unknown_model(send: Send, backend: Backend) -> None:
    if backend.names_model:
        record = send(backend, model="nobody")
        assert record.error in ("http", "in_stream")
        assert "nobody" in record.error_detail


@of_each
def test_another_model_of_the_server(send: Send, backend: Backend) -> None:
    if backend.names_model:
        assert send(backend, model="tiny-lora").error is None


#: Backend → a field of the wrong type, in its own words.
WRONG: dict[str, dict[str, Any]] = {
    **{
        name: {"max_completion_tokens": "many"}
        for name in ("openai-chat", "vllm-chat", "openai-audio", "openai-audio-translations")
    },
    "openai-responses": {"max_output_tokens": "many"},
    "sglang": {"sampling_params": {"max_new_tokens": "many"}},
    "tgi": {"parameters": {"max_new_tokens": "many"}},
    "tensorrt-llm-llmapi": {"sampling_param_max_tokens": "many"},
    "deepspeed-mii": {"max_new_tokens": "many"},
    "llama.cpp-native": {"n_predict": "many"},
    "ollama": {"options": {"num_predict": "many"}},
}  # fmt: skip


@of_each
def test_a_field_of_the_wrong_type(send: Send, backend: Backend) -> None:
    """Whatever the status and the shape: one kind of failure, and what the server says of it."""
    if backend.generates:
        record = send(backend, extra_body=WRONG.get(backend.name, {"max_tokens": "many"}))
        assert (record.error, record.status) in [("http", 400), ("http", 500), ("in_stream", 200)]
        assert "integer" in record.error_detail or "INT32" in record.error_detail


@of_each
def test_no_prompt_at_all(send: Send, backend: Backend) -> None:
    if backend.takes_media != {"audio"}:  # whose prompt is a file
        names = ["prompt", "messages", "input", "text", "inputs", "text_input", "prompts", "query", "documents"]
        record = send(backend, extra_body=dict.fromkeys(names))
        assert record.error in ("http", "in_stream")
        assert record.error_detail


@of_each
def test_a_context_that_is_too_short(send: Send, backend: Backend) -> None:
    if backend.generates and backend.takes_media != {"audio"}:
        record = send(backend, prompt=Prompt(text="word " * 4000))
        assert record.error in ("http", "in_stream")
        assert "context" in record.error_detail
