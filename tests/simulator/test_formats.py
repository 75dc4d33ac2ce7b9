"""Every server's language with its quirks: what a naive client stumbles over is really on the wire."""

import io
import json
import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest
from asking import Reply, ask

from pytest_vllm_bench import simulator
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.simulator import formats
from pytest_vllm_bench.simulator.formats.dialects import DIALECTS

Speak = Callable[..., Reply]
PROMPT = "Tell me something about the sea"
COMPLETION = {"prompt": PROMPT, "max_tokens": 12, "ignore_eos": True, "stream": True}
CHAT = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 12, "ignore_eos": True, "stream": True}
USAGE = {"stream_options": {"include_usage": True}}


@pytest.fixture(scope="module")
def servers() -> Iterator[Callable[[str], str]]:
    """Dialect → URL of a simulator that speaks it; a third of its words are odd (several tokens, not ASCII)."""
    running: dict[str, str] = {}
    with ExitStack() as stack:

        def server(dialect: str) -> str:
            if dialect not in running:
                quick = simulator.LatencyModel(step_s=0.0005, jitter=0.0)
                options = simulator.SimulatorOptions(dialect=dialect, latency=quick, odd_share=0.3, models=("m",))
                running[dialect] = stack.enter_context(simulator.start(options)).base_url
            return running[dialect]

        yield server


@pytest.fixture
def speak(servers: Callable[[str], str]) -> Speak:
    def to(dialect: str, path: str, body: Any = None, fault: str = "", **headers: str) -> Reply:
        return ask(servers(dialect), path, body, fault, **headers)

    return to


def objects(reply: Reply) -> list[Any]:
    return [event for event in reply.events if isinstance(event, dict)]


def reasons(reply: Reply) -> list[Any]:
    return [c.get("finish_reason", "absent") for e in objects(reply) for c in e["choices"]]


def test_an_unknown_dialect_is_named_with_the_known_ones() -> None:
    with pytest.raises(BenchError) as caught:
        formats.routes("klingon")
    assert "llama.cpp" in caught.value.message.values["known"]


@pytest.mark.parametrize("dialect", formats.NAMES)
def test_every_dialect_streams_what_it_says_at_once(speak: Speak, dialect: str) -> None:
    for path, body in (("/v1/completions", COMPLETION), ("/v1/chat/completions", CHAT)):
        known = {
            k: v
            for k, v in body.items()
            if k != "ignore_eos" or DIALECTS[formats.SAME_AS.get(dialect, dialect)].ignores_eos
        }
        streamed = objects(speak(dialect, path, known))
        choices = [c for e in streamed for c in e["choices"]]
        text = "".join(c.get("text") or (c.get("delta") or {}).get("content") or "" for c in choices)
        whole = speak(dialect, path, {**known, "stream": False}).json
        answer = whole["choices"][0]
        assert text == (answer.get("text") or answer["message"]["content"])
        assert [c["finish_reason"] for c in choices if c.get("finish_reason")] == [answer["finish_reason"]]


# ------------------------------------------------------------------------------------ OpenAI dialects


@pytest.mark.parametrize(
    ("dialect", "first"),
    [
        ("vllm", {"role": "assistant", "content": ""}),
        ("llama.cpp", {"role": "assistant", "content": None}),
        ("trtllm", {"role": "assistant"}),
        ("mii", {"role": "assistant"}),
    ],
)
def test_the_role_comes_without_a_token(speak: Speak, dialect: str, first: dict[str, Any]) -> None:
    body = {k: v for k, v in CHAT.items() if dialect != "mii" or k != "ignore_eos"}
    assert objects(speak(dialect, "/v1/chat/completions", body))[0]["choices"][0]["delta"] == first


def test_trtllm_serve_pads_its_role_refuses_strangers_and_ends_twice_after_errors(speak: Speak) -> None:
    assert b"} \n\n" in speak("trtllm", "/v1/chat/completions", CHAT).body.split(b"data: ")[1]
    reply = speak("trtllm", "/v1/completions", {**COMPLETION, "return_token_ids": True})
    assert (reply.status, reply.json["message"]) == (400, "return_token_ids: Extra inputs are not permitted")
    assert speak("trtllm", "/v1/completions", COMPLETION, "error at=1").events[-2:] == ["[DONE]", "[DONE]"]
    asked = speak("trtllm", "/v1/completions", {**COMPLETION, "stream_options": {"continuous_usage_stats": True}})
    assert objects(asked)[-1]["choices"] == []  # include_usage is true inside the object


def test_tgi_has_empty_finish_reasons_and_its_role_everywhere(speak: Speak) -> None:
    body = {"prompt": PROMPT, "max_tokens": 4, "stream": True}
    completion = speak("tgi", "/v1/completions", body)
    assert set(reasons(completion)[:-1]) == {""}
    assert "usage" in objects(completion)[-1]
    chat = speak("tgi", "/v1/chat/completions", {**CHAT, "max_tokens": 4})
    assert all(e["choices"][0]["delta"]["role"] == "assistant" for e in objects(chat))
    broken = speak("tgi", "/v1/completions", body, "error at=0")
    assert objects(broken)[0]["error"]["http_status_code"] == 422


def test_llama_cpp_puts_usage_into_the_last_text_chunk_asked_or_not(speak: Speak) -> None:
    *_, last, done = speak("llama.cpp", "/v1/completions", COMPLETION).events
    assert (last["choices"][0]["text"], last["usage"]["completion_tokens"], done) == ("", 12, "[DONE]")
    chat = speak("llama.cpp", "/v1/chat/completions", {**CHAT, **USAGE}).events
    assert chat[-2]["choices"] == []
    assert chat[-3]["choices"][0]["delta"] == {}


def test_llama_cpp_says_nothing_after_an_error_and_uses_a_status_before_the_first_token(speak: Speak) -> None:
    assert "error" in speak("llama.cpp", "/v1/completions", COMPLETION, "error at=2").events[-1]
    assert speak("llama.cpp", "/v1/completions", COMPLETION, "error at=0").status == 500


def test_llama_cpp_names_a_context_that_is_too_small(speak: Speak) -> None:
    reply = speak("llama.cpp", "/v1/completions", {**COMPLETION, "max_tokens": 200_000})
    assert reply.json["error"]["type"] == "exceed_context_size_error"


def test_scalellm_ends_with_naked_json(speak: Speak) -> None:
    assert speak("scalellm", "/v1/completions", COMPLETION, "error at=2").body.endswith(
        b'\n\n{"error":{"message":"simulated fault","code":500}}'
    )
    first = speak("scalellm", "/v1/completions", COMPLETION, "error at=0")
    assert (first.status, first.headers["Content-Type"]) == (400, "text/event-stream; charset=utf-8")
    assert first.json["error"]["message"] == "simulated fault"
    assert speak("scalellm", "/v1/completions", {**COMPLETION, "prompt": [5, 6]}).status == 422


def test_scalellm_has_a_finish_chunk_and_no_empty_ones(speak: Speak) -> None:
    *tokens, finish, usage, _ = speak("scalellm", "/v1/completions", {**COMPLETION, **USAGE}).events
    assert all(t["choices"][0]["text"] and t["usage"] is None for t in tokens)
    assert len(tokens) < usage["usage"]["completion_tokens"] == 12
    assert finish["choices"][0]["text"] == ""


def test_lmdeploy_drops_nulls_and_escapes(speak: Speak) -> None:
    reply = speak("lmdeploy", "/v1/completions", {**COMPLETION, "max_tokens": 60, **USAGE})
    assert "finish_reason" not in objects(reply)[0]["choices"][0]
    assert objects(reply)[0]["usage"] is None
    assert reply.body.isascii()
    assert b"\\u" in reply.body


def test_mii_has_no_usage_no_eos_switch_and_breaks_off(speak: Speak) -> None:
    reply = speak("mii", "/v1/completions", {**COMPLETION, **USAGE})
    assert not any("usage" in e or "created" in e for e in objects(reply))
    assert speak("mii", "/v1/completions", COMPLETION, "error at=2").broken == "IncompleteRead"
    whole = speak("mii", "/v1/completions", {"prompt": PROMPT, "max_tokens": 3, "min_tokens": 3}).json
    assert whole["usage"]["completion_tokens"] == 6  # a re-tokenization, and wrong
    assert speak("mii", "/v1/completions", {**COMPLETION, "model": "x"}).json["code"] == 40301


def test_transformers_never_ends_and_refuses_strangers(speak: Speak) -> None:
    assert speak("transformers", "/v1/completions", COMPLETION).json == {
        "detail": "Unexpected fields in the request: {'ignore_eos'}"
    }
    known = {"prompt": PROMPT, "max_tokens": 5, "stream": True}
    *_, last = speak("transformers", "/v1/completions", known).events
    assert (last["choices"][0]["finish_reason"], last["usage"]["completion_tokens"]) == ("length", 5)


def test_llama_cpp_python_answers_errors_with_nothing(speak: Speak) -> None:
    reply = speak("llama-cpp-python", "/v1/completions", {**COMPLETION, "max_tokens": 200_000})
    assert (reply.status, reply.body) == (200, b"")


# ---------------------------------------------------------------------------------- languages of their own


def test_tgi_sends_one_token_an_event_and_the_whole_text_with_the_last(speak: Speak) -> None:
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 12, "details": True}}
    events = speak("vllm", "/generate_stream", body).events
    *_, last = events
    assert [e["index"] for e in events] == list(range(1, len(events) + 1))
    assert all(e["generated_text"] is None for e in events[:-1])
    assert last["generated_text"] == "".join(e["token"]["text"] for e in events if not e["token"]["special"])
    assert last["details"]["generated_tokens"] == len(events)


@pytest.mark.parametrize("wrong", [{"temperature": 0}, {"top_p": 1.0}, {"top_k": 0}])
def test_tgi_refuses_inside_a_stream_with_status_200(speak: Speak, wrong: dict[str, Any]) -> None:
    reply = speak("vllm", "/generate_stream", {"inputs": PROMPT, "parameters": wrong})
    assert (reply.status, reply.events[0]["error_type"]) == (200, "validation")
    assert speak("tgi", "/generate", {"inputs": PROMPT, "parameters": wrong}).status == 422


def test_tgi_overloaded_and_unreadable(speak: Speak) -> None:
    assert speak("vllm", "/generate_stream", {"inputs": PROMPT}, "overload").events[0]["error_type"] == "overloaded"
    reply = speak("vllm", "/generate_stream", b"{")
    assert (reply.status, reply.headers["Content-Type"]) == (422, "text/plain; charset=utf-8")


def test_triton_ensemble_sends_deltas_and_nothing_at_the_end(speak: Speak) -> None:
    body = {"text_input": PROMPT, "max_tokens": 6, "min_tokens": 6, "stream": True, "id": "r42"}
    reply = speak("vllm", "/v2/models/ensemble/generate_stream", body)
    assert len(reply.events) == 6
    assert list(reply.events[0]) == sorted(reply.events[0])
    assert reply.events[0]["id"] == "r42"
    assert not any("finish_reason" in e or "usage" in e for e in reply.events)


def test_triton_llmapi_sends_all_the_text_so_far(speak: Speak) -> None:
    body = {"text_input": PROMPT, "streaming": True, "sampling_param_max_tokens": 5, "return_finish_reason": True}
    events = speak("vllm", "/v2/models/tensorrt_llm/generate_stream", body).events
    texts = [e["text_output"] for e in events]
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert texts[0].startswith(PROMPT)
    assert {e["finish_reason"] for e in events[:-1]} == {"None"}


def test_triton_words_its_errors_in_its_own_way(speak: Speak) -> None:
    path, body = "/v2/models/ensemble/generate_stream", {"text_input": PROMPT, "max_tokens": 4, "stream": True}
    first = speak("vllm", path, body, "error at=0")
    assert (first.status, first.headers["Content-Type"]) == (400, "text/event-stream; charset=utf-8")
    assert first.body == b'data: {"error":"simulated fault"}\n\n'
    assert speak("vllm", path, body, "error at=2").events[-1] == {"error": "simulated fault"}
    assert speak("vllm", path, b"{").status == 500
    assert speak("vllm", path, {**body, "max_tokens": "x"}).status == 500
    assert "missing required input(s) ['max_tokens']" in speak("vllm", path, {"text_input": "x"}).json["error"]
    assert speak("vllm", path, {**body, "foo": None}).status == 400
    assert speak("vllm", path, {**body, "accumulate_tokens": True}).status == 200  # silently ignored
    assert speak("vllm", "/v2/models/nope/generate_stream", body).status == 404


def test_triton_tells_its_inputs(speak: Speak) -> None:
    inputs = speak("vllm", "/v2/models/tensorrt_llm").json["inputs"]
    assert "streaming" in [i["name"] for i in inputs]


def test_mii_gateway_answers_whole(speak: Speak) -> None:
    body = {"prompts": [PROMPT], "max_new_tokens": 5, "ignore_eos": True}
    (answer,) = speak("vllm", "/mii/dep", body).json
    assert (answer["generated_length"], answer["finish_reason"]) == (5, "length")
    assert speak("vllm", "/mii/dep", {}).json == {"message": "Internal Server Error"}


def test_mii_generate_has_no_counts(speak: Speak) -> None:
    body = {"prompt": PROMPT, "max_tokens": 4, "min_tokens": 4, "stream": True}
    *tokens, done = speak("vllm", "/generate", body).events
    assert [list(t) for t in tokens] == [["text"]] * 4
    assert done == "[DONE]"


SGLANG = {"text": PROMPT, "sampling_params": {"max_new_tokens": 12, "ignore_eos": True}, "stream": True}


def test_sglang_is_cumulative_and_counts_in_every_event(speak: Speak) -> None:
    *events, done = speak("vllm", "/generate", SGLANG).events
    counts = [e["meta_info"]["completion_tokens"] for e in events]
    assert counts == sorted(counts)
    assert counts[-1] == len(events[-1]["output_ids"]) == 12
    assert events[-1]["meta_info"]["finish_reason"] == {"type": "length", "length": 12}
    assert done == "[DONE]"


def test_sglang_can_rewrite_what_it_said(speak: Speak) -> None:
    *events, _ = speak("vllm", "/generate", SGLANG, "rewrite").events
    assert not events[-1]["text"].startswith(events[-2]["text"])


def test_sglang_sends_deltas_if_told_to(speak: Speak) -> None:
    *events, _ = speak("sglang-deltas", "/generate", SGLANG).events
    assert sum(len(e["output_ids"]) for e in events) == 12


def test_sglang_refuses_with_status_200_and_aborts_as_an_event(speak: Speak) -> None:
    long = {**SGLANG, "sampling_params": {"max_new_tokens": 200_000}}
    reply = speak("vllm", "/generate", long)
    assert (reply.status, reply.events[0]["error"]["code"], reply.events[1]) == (200, 400, "[DONE]")
    assert speak("vllm", "/generate", {**long, "stream": False}).status == 400
    event, _ = speak("vllm", "/generate", SGLANG, "overload").events
    assert event["meta_info"]["finish_reason"]["type"] == "abort"


def test_lmdeploy_has_the_same_shape_with_deltas(speak: Speak) -> None:
    *events, done = speak("lmdeploy", "/generate", COMPLETION).events
    text = speak("lmdeploy", "/generate", {**COMPLETION, "stream": False}).json["text"]
    assert "".join(e["text"] for e in events) == text
    assert done == "[DONE]"


def test_llama_cpp_holds_back_what_is_not_whole(speak: Speak) -> None:
    body = {"prompt": PROMPT, "n_predict": 30, "ignore_eos": True, "stream": True}
    *events, last = speak("vllm", "/completion", body).events
    counts = [e["tokens_predicted"] for e in events]
    assert any(later - earlier > 1 for earlier, later in pairwise(counts))
    assert all(e["content"] for e in events)
    assert (last["stop"], last["stop_type"], last["tokens_predicted"]) == (True, "limit", 30)
    assert len(json.dumps(last)) > 1000


def test_ollama_sends_lines_and_leaves_out_zeros(speak: Speak) -> None:
    body = {"model": "m", "prompt": PROMPT, "options": {"num_predict": 5}}
    reply = speak("vllm", "/api/generate", body)
    *_, last = [json.loads(line) for line in reply.body.splitlines()]
    assert reply.headers["Content-Type"] == "application/x-ndjson"
    assert (last["done"], last["done_reason"], last["eval_count"]) == (True, "length", 5)
    assert "load_duration" not in last
    assert len(last["context"]) == last["prompt_eval_count"] + 5
    assert "context" not in speak("vllm", "/api/generate", {**body, "raw": True, "stream": False}).json


def test_ollama_words_its_errors_and_ends_in_silence(speak: Speak) -> None:
    body = {"model": "m", "prompt": PROMPT, "options": {"num_predict": 12}}
    assert speak("vllm", "/api/generate", {**body, "model": "x"}).json == {"error": "model 'x' not found"}
    assert speak("vllm", "/api/generate", body, "error at=9").body.endswith(b'{"error":"simulated fault"}\n')
    assert b'"done":true' not in speak("vllm", "/api/generate", body, "end at=2").body
    assert speak("vllm", "/api/generate", body, "overload").status == 503


def test_responses_begin_before_prefill_and_end_without_done(speak: Speak) -> None:
    body = {"model": "m", "input": PROMPT, "max_output_tokens": 6, "ignore_eos": True, "stream": True}
    reply = speak("vllm", "/v1/responses", body)
    kinds = [e["type"] for e in reply.events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert [e["sequence_number"] for e in reply.events] == list(range(len(kinds)))
    last = reply.events[-1]["response"]
    assert (kinds[-1], last["status"], last["usage"]["output_tokens"]) == ("response.completed", "incomplete", 6)
    assert b"event: response.created\ndata: " in reply.body
    assert "event:" not in speak("transformers", "/v1/responses", {"input": PROMPT, "stream": True}).body.decode()
    assert speak("llama.cpp", "/v1/responses", body).events[-1]["response"]["status"] == "completed"
    assert speak("openai", "/v1/responses", body, "error at=1").events[-1]["type"] == "response.failed"


def clip(seconds: float) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(8000)
        w.writeframes(bytes(int(16000 * seconds)))
    return out.getvalue()


def form(audio: bytes, **fields: str) -> tuple[bytes, dict[str, str]]:
    parts = [f'--B\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
    parts.append(
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + audio + b"\r\n--B--\r\n"
    )
    return b"".join(parts), {"Content-Type": "multipart/form-data; boundary=B"}


def test_audio_is_counted_and_long_audio_finishes_more_than_once(speak: Speak) -> None:
    body, head = form(clip(65), model="m", stream="true", stream_include_usage="true", max_completion_tokens="90")
    reply = speak("vllm", "/v1/audio/transcriptions", body, **head)
    choices = [c for e in objects(reply) for c in e["choices"]]
    assert sum("finish_reason" in c for c in choices) == 3
    assert all("index" not in c for c in choices)
    usage = objects(reply)[-1]["usage"]
    assert usage["prompt_tokens"] > 50 * 65
    assert len(choices) < usage["completion_tokens"] == 90  # tokens without text are no chunk
    whole = speak("vllm", "/v1/audio/translations", form(clip(2), model="m")[0], **head).json
    assert whole["usage"] == {"type": "duration", "seconds": 2}


def test_audio_elsewhere(speak: Speak) -> None:
    body, head = form(clip(2), model="m", stream="true", max_completion_tokens="5")
    kinds = [e["type"] for e in speak("openai", "/v1/audio/transcriptions", body, **head).events]
    assert (kinds[0], kinds[-1]) == ("transcript.text.delta", "transcript.text.done")
    assert not objects(speak("transformers", "/v1/audio/transcriptions", body, **head))


def test_embeddings_and_their_counts(speak: Speak) -> None:
    batch = {"model": "m", "input": ["one", "two", [5, 6, 7]]}
    reply = speak("vllm", "/v1/embeddings", batch).json
    assert [d["index"] for d in reply["data"]] == [0, 1, 2]
    assert reply["usage"]["total_tokens"] >= 5
    assert speak("vllm", "/v1/embeddings", batch).json["data"] == reply["data"]
    assert isinstance(
        speak("vllm", "/embeddings", {**batch, "encoding_format": "base64"}).json["data"][0]["embedding"], str
    )
    assert speak("vllm", "/pooling", batch).json["data"][0]["object"] == "pooling"
    assert speak("vllm", "/v1/embeddings", {"model": "m"}).status == 400


def test_rerank_is_sorted_by_score(speak: Speak) -> None:
    body = {"model": "m", "query": "sea", "documents": ["a", "b", "c", "d"]}
    results = speak("vllm", "/v1/rerank", body).json["results"]
    scores = [r["relevance_score"] for r in results]
    assert scores == sorted(scores, reverse=True)
    assert sorted(r["index"] for r in results) == [0, 1, 2, 3]
    assert results[0]["document"]["text"] == body["documents"][results[0]["index"]]
    assert "document" not in speak("llama.cpp", "/v1/rerank", body).json["results"][0]
