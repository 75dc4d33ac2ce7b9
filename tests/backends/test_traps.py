"""The traps that clients of these servers fell into: wrong numbers, lost events, failures called success."""

# A tuple with an approx in it is compared with one of numbers, which mypy takes for unlike.
# mypy: disable-error-code=comparison-overlap

from __future__ import annotations

import json
import math
import re

import pytest
from every import every
from runs import scenario
from tapes import chunked, cut, decode, facts, head, plain, response
from transcripts import DONE, chat, event, vllm

from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.framing import Events
from pytest_vllm_bench.measure.columns import sample, settings_of
from pytest_vllm_bench.model import Ask, Ending, Media, Prompt, Record

VLLM, CHAT, RESPONSES = BACKENDS["vllm"], BACKENDS["openai-chat"], BACKENDS["openai-responses"]


def read_by_read(name: str, *bodies: bytes, ending: int = Ending.COMPLETE, end: bool = True) -> Record:
    """The headers at 0.1 s, then each body in a read of its own."""
    pieces = [chunked(body, end=False) for body in bodies]
    if end:
        pieces[-1] += b"0\r\n\r\n"
    return decode(BACKENDS[name], [head(), *pieces], ending)


@every(
    ("name", "before"),
    [
        ("openai-chat", [chat('{"role":"assistant","content":""}')]),
        ("openai-chat", [chat('{"role":"assistant","content":null}')]),
        ("openai-chat", [chat('{"role":"assistant"}')]),
        ("openai-chat", [b": keep-alive\n\n"]),
        ("openai-chat", [event('{"choices":[{"index":0,"delta":{"role":"assistant","content":null}}],'
                               '"prompt_progress":{"total":9,"processed":3}}')]),
        ("openai-responses", [b'event: response.created\ndata: {"type":"response.created","response":{}}\n\n',
                              b'event: response.in_progress\ndata: {"type":"response.in_progress","response":{}}\n\n']),
    ],
    ids=["empty role", "null role", "bare role", "keep-alive", "progress", "response.created"],
)  # fmt: skip
def test_01_the_first_token_is_none_of_these(name: str, before: list[bytes]) -> None:
    token = {
        "openai-chat": chat('{"content":"a"}', '"stop"') + DONE,
        "openai-responses": event('{"type":"response.output_text.delta","delta":"a"}')
        + event('{"type":"response.completed","response":{"status":"completed"}}'),
    }
    record = read_by_read(name, *before, token[name])
    assert record.error is None
    assert record.first_token == pytest.approx(0.1 * (len(before) + 2))


@pytest.mark.parametrize(
    "data",
    [
        b'data:{"choices":[{"text":"a","finish_reason":"stop"}]}\n\ndata:[DONE]\n\n',
        b'data: {"choices":[{"text":"a","finish_reason":"stop"}]} \n\ndata: [DONE] \n\n',
        b'data: {"choices":[{"text":"a","finish_reason":"stop"}]}\r\n\r\ndata: [DONE]\r\n\r\n',
        b': x\n\nevent: y\ndata: {"choices":[{"text":"a","finish_reason":"stop"}]}\n\n:\n\ndata: [DONE]\n\n',
        b'data: {"choices":\ndata: [{"text":"a","finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
        b'\xef\xbb\xbfdata: {"choices":[{"text":"a","finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    ],
    ids=["no space", "space behind", "CRLF", "comments and names", "several data lines", "BOM"],
)
def test_02_the_many_spellings_of_an_event(data: bytes) -> None:
    record = decode(VLLM, [response(data)])
    assert (record.error, record.text, record.finish_reason) == (None, "a", "stop")


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\u000b", "\u001c"])
def test_03_line_ends_of_unicode_are_text(separator: str) -> None:
    text = json.dumps(f"a{separator}b", ensure_ascii=separator < " ")
    record = decode(VLLM, [response(vllm(text, '"stop"'), DONE)])
    assert record.text == f"a{separator}b"


def test_04_any_split_gives_the_same() -> None:
    data = response(vllm('" \u4f60 "'), b": ping\n\n", vllm('" x"', '"stop"'), DONE)
    whole = facts(decode(VLLM, [data]))
    for place in range(1, len(data)):
        assert facts(decode(VLLM, cut(data, [place]))) == whole


def test_05_events_of_one_read_share_its_time() -> None:
    record = read_by_read("vllm", vllm('"a"') * 4, vllm('"b"', '"stop"') + DONE)
    assert list(record.arrival_times) == pytest.approx([0.2, 0.3])
    assert list(record.arrival_events) == [4, 1]


@pytest.mark.parametrize(
    ("events", "output", "arrivals"),
    [
        ([vllm('"abcd"', ids="[1,2,3,4]"), vllm('"e"', '"stop"', ids="[5]")], 5, [4, 1]),
        ([vllm('"a"', ids="[1]"), vllm('""', ids="[2]"), vllm('"b"', '"stop"', ids="[3]")], 3, [1, 1, 1]),
        ([vllm('"a"'), vllm('""'), vllm('"bcd"', '"stop"')], 3, [1, 2]),
        ([vllm('"a"'), vllm('"b"', '"stop"')], 8, [4, 4]),
    ],
    ids=["many tokens in a chunk", "a token without text", "a token without a sign", "usage disagrees with chunks"],
)
def test_06_a_chunk_is_not_a_token(events: list[bytes], output: int, arrivals: list[int]) -> None:
    usage = event(f'{{"choices":[],"usage":{{"prompt_tokens":1,"completion_tokens":{output}}}}}')
    record = read_by_read("vllm", *events, usage + DONE)
    assert record.output_tokens == output
    assert list(record.arrival_tokens) == arrivals


@pytest.mark.parametrize(
    ("name", "data", "error", "status"),
    [
        ("vllm", response(event('{"error":{"message":"boom","code":400}}'), DONE), "in_stream", 200),
        ("vllm", response(vllm('"a"'), event('{"error":{"message":"boom","code":500}}'), DONE), "in_stream", 200),
        ("tensorrt-llm", response(event('{"error":"boom"}'), status=400), "http", 400),
        ("scalellm", response(vllm('"a"'), b'{"error":{"message":"boom","code":13}}'), "in_stream", 200),
        ("tensorrt-llm", plain(b'{"error":"boom"}'), "in_stream", 200),
    ],
    ids=["first event", "later event", "400 in SSE framing", "naked JSON", "200 and JSON"],
)
def test_07_errors_wherever_they_hide(name: str, data: bytes, error: str, status: int) -> None:
    record = decode(BACKENDS[name], [data])
    assert (record.error, record.error_detail, record.status) == (error, "boom", status)


@pytest.mark.parametrize("name", ["vllm", "tensorrt-llm", "openai-chat", "tgi", "ollama"])
def test_07_an_empty_body_is_no_success(name: str) -> None:
    assert decode(BACKENDS[name], [response()]).error == "empty"


ENDS = {
    "vllm": vllm('"a"'),
    "openai-chat": chat('{"content":"a"}'),
    "openai-responses": event('{"type":"response.output_text.delta","delta":"a"}'),
    "tgi": event('{"index":1,"token":{"id":8,"text":"a","special":false},"generated_text":null,"details":null}'),
    "sglang": event('{"text":"a","output_ids":[5],"meta_info":{"finish_reason":null,"completion_tokens":1}}'),
    "llama.cpp-native": event('{"content":"a","tokens":[5],"stop":false,"tokens_predicted":1}'),
    "deepspeed-mii-generate": event('{"text":["a"]}'),
    "ollama": b'{"response":"a","done":false}\n',
    "tensorrt-llm": event('{"text_output":"a"}'),
}


@every("name", ENDS)
def test_08_an_end_without_the_sign_is_a_truncation_where_there_is_one(name: str) -> None:
    record = decode(BACKENDS[name], [response(ENDS[name])])
    assert record.text == "a"
    assert record.error == (None if name == "tensorrt-llm" else "truncated")


def test_08_servers_that_never_say_done_finish_all_the_same() -> None:
    assert decode(CHAT, [response(chat('{"content":"a"}'), chat("{}", '"length"'))]).error is None


def test_09_what_follows_the_end_is_ignored() -> None:
    usage = event('{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}')
    record = decode(VLLM, [response(vllm('"a"', '"stop"'), usage, DONE, DONE, vllm('"zzz"'), event("{broken"))])
    assert (record.error, record.text, record.output_tokens) == (None, "a", 1)


def test_10_a_cut_body_keeps_what_came() -> None:
    """Its first token is a fact; its pace is none, since nobody knows what was to come."""
    record = read_by_read("vllm", vllm('"a"'), vllm('"b"'), ending=Ending.EOF, end=False)
    values = sample([record], settings_of(scenario(), complete=True)).values
    assert math.isnan(values["tpot"][0])
    assert (record.error, record.text, record.output_tokens) == ("reset", "ab", 2)
    assert record.first_token == pytest.approx(0.2)


@pytest.mark.parametrize(
    "usage",
    [
        [event('{"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2}}')],
        [
            event(
                '{"choices":[{"index":0,"text":"","finish_reason":null}],"usage":{"prompt_tokens":4,"completion_tokens":2}}'
            )
        ],
    ],
    ids=["without choices", "with choices"],
)
def test_11_usage_wherever_it_stands(usage: list[bytes]) -> None:
    record = read_by_read("vllm", vllm('"a"'), vllm('"b"', '"stop"'), *usage, DONE)
    assert (record.output_tokens, record.prompt_tokens, record.token_source) == (2, 4, "usage")
    assert list(record.arrival_tokens) == [1, 1]


def test_11_usage_that_is_null_or_missing() -> None:
    with_null = vllm('"a"', '"stop"', usage=',"usage":null')
    assert decode(VLLM, [response(with_null, DONE)]).token_source == "events"


@every(
    ("name", "data", "reason", "error"),
    [
        ("openai-chat", chat('{"content":"a"}', '""') + chat("{}", '"stop"') + DONE, "stop", None),
        ("tensorrt-llm-llmapi", event('{"text_output":"a","finish_reason":"None"}'), None, None),
        ("openai-chat", event('{"choices":[{"delta":{"content":"a"}}]}') + DONE, None, None),
        ("sglang", event('{"text":"a","meta_info":{"finish_reason":{"type":"length"}}}') + DONE, "length", None),
        ("openai-chat", chat('{"content":"a"}', '"abort"') + DONE, "abort", "in_stream"),
        ("openai-chat", chat('{"content":"a"}', '"error"') + DONE, "error", "in_stream"),
        ("vllm", vllm('"a"', '"length"') + DONE, "length", None),
    ],
    ids=["empty", "None as text", "absent", "object", "abort", "error", "beside text"],
)  # fmt: skip
def test_12_finish_reasons_of_every_shape(name: str, data: bytes, reason: str | None, error: str | None) -> None:
    record = decode(BACKENDS[name], [response(data)])
    assert (record.finish_reason, record.error, record.text) == (reason, error, "a")


@pytest.mark.parametrize("key", ["reasoning", "reasoning_content"])
def test_13_an_answer_that_only_thinks_has_a_first_token(key: str) -> None:
    record = read_by_read("openai-chat", chat(f'{{"{key}":"hm","content":null}}'), chat("{}", '"length"') + DONE)
    assert (record.error, record.text) == (None, "hm")
    assert (record.first_token, record.first_output) == (pytest.approx(0.2), None)


def test_14_cumulative_text_is_not_added_up() -> None:
    def so_far(text: str, n: int, finish: str = "null") -> bytes:
        return event(f'{{"text":"{text}","meta_info":{{"completion_tokens":{n},"finish_reason":{finish}}}}}')

    record = read_by_read(
        "sglang", so_far("a", 1), so_far("a b c d", 4), so_far("a b c d e", 5, '{"type":"length"}') + DONE
    )
    assert record.text == "a b c d e"
    assert list(record.arrival_tokens) == [1, 3, 1]


def test_15_strict_servers_get_no_field_that_they_do_not_know() -> None:
    known = {"model", "prompt", "max_tokens", "ignore_eos", "temperature", "stream", "stream_options"}
    asked = Ask(prompt=Prompt(text="x"), model="m", output_len=4, force_length=True, token_detail=True,
                sampling={"temperature": 0})  # fmt: skip
    assert set(json.loads(BACKENDS["trtllm-serve"].body(asked))) <= known
    without = Ask(prompt=Prompt(text="x"), model="m", output_len=4, force_length=False)
    for name in ("openai", "openai-chat", "openai-responses"):
        assert b"ignore_eos" not in BACKENDS[name].body(without)


def test_16_cached_tokens_are_kept() -> None:
    usage = event('{"choices":[],"usage":{"prompt_tokens":64,"completion_tokens":1,"prompt_tokens_details":'
                  '{"cached_tokens":48}}}')  # fmt: skip
    assert decode(VLLM, [response(vllm('"a"', '"stop"'), usage, DONE)]).cached_tokens == 48


@every("name", [b.name for b in BACKENDS.values() if b.generates and b.takes_media != {"audio"}])
def test_17_the_longest_answer_is_always_said(name: str) -> None:
    asked = Ask(prompt=Prompt(text="x"), model="m", output_len=4321, force_length=False, sampling={"temperature": 0})
    assert b"4321" in BACKENDS[name].body(asked)


def test_17_tgi_gets_neither_a_temperature_of_0_nor_a_top_p_of_1() -> None:
    sampling = {"temperature": 0, "top_p": 1.0}
    asked = Ask(prompt=Prompt(text="x"), model="m", output_len=4, force_length=False, sampling=sampling)
    parameters = json.loads(BACKENDS["tgi"].body(asked))["parameters"]
    assert parameters == {"max_new_tokens": 4, "details": True, "do_sample": False}


@pytest.mark.parametrize("name", ["vllm", "openai-chat", "llama.cpp", "trtllm-serve"])
def test_18_stream_options_only_with_a_stream(name: str) -> None:
    asked = Ask(prompt=Prompt(text="x"), model="m", output_len=4, force_length=False, stream=False, token_detail=True)
    assert b"stream_options" not in BACKENDS[name].body(asked)


@every(
    ("body", "words"),
    [
        (b'{"error":"Unauthorized"}', "Unauthorized"),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b'{"detail":[{"msg":"Field required"}]}', '[{"msg": "Field required"}]'),
        (b"Internal Server Error", "Internal Server Error"),
        (b"<html>502</html>", "<html>502</html>"),
        (b"", "HTTP 500"),
        (b"x" * 50_000, "x" * 999 + "…"),
        (b'{"error":"half a \\ud83d"}', "half a ?"),
        (b'{"error":"\\u001b[2Jred\\u0000\\r\\n\\tgone"}', "�[2Jred�\n\tgone"),
    ],
)
def test_19_error_bodies_of_every_shape_are_kept_and_capped(body: bytes, words: str) -> None:
    record = decode(VLLM, [plain(body, 500)])
    assert (record.error, record.error_detail) == ("http", words)


def test_20_transcriptions_may_finish_several_times() -> None:
    def window(text: str) -> bytes:
        return event(f'{{"choices":[{{"delta":{{"content":"{text}"}},"finish_reason":"stop"}}]}}')

    usage = event('{"choices":[],"usage":{"prompt_tokens":208,"completion_tokens":5}}')
    record = decode(BACKENDS["openai-audio"], [response(window("a"), window("b"), usage, DONE)])
    assert (record.error, record.text, record.output_tokens, record.prompt_tokens) == (None, "ab", 5, 208)


def test_21_ollama_leaves_out_zeros_and_may_end_in_silence() -> None:
    ollama = BACKENDS["ollama"]
    whole = decode(ollama, [response(b'{"response":"a","done":false}\n', b'{"done":true,"done_reason":"stop"}\n')])
    assert (whole.error, whole.output_tokens, whole.token_source) == (None, 1, "events")
    assert decode(ollama, [response(b'{"response":"a","done":false}\n' * 31)]).error == "truncated"


@pytest.mark.parametrize("name", ["ollama", "llama.cpp-native"])
def test_21_22_a_last_event_of_many_kilobytes(name: str) -> None:
    context = b"[" + b",".join(b"12345" for _ in range(50_000)) + b"]"
    last = {
        "ollama": b'{"response":"","done":true,"done_reason":"length","context":%s,"eval_count":1}\n',
        "llama.cpp-native": b'data: {"content":"","stop":true,"stop_type":"limit","tokens_predicted":1,"x":%s}\n\n',
    }
    data = response(ENDS[name], last[name] % context)
    record = decode(BACKENDS[name], cut(data, range(0, len(data), 1460)))
    assert (record.error, record.output_tokens) == (None, 1)


def test_23_headers_that_come_with_the_first_token() -> None:
    """Nothing is known before; nothing is made of the silence."""
    record = decode(VLLM, [response(vllm('"a"', '"stop"'), DONE)])
    assert (record.status, record.first_token) == (200, pytest.approx(0.1))
    silent = decode(VLLM, [], Ending.TIMEOUT_FIRST, words="no first token for 300 s")
    assert (silent.error, silent.timeout, silent.status) == ("timeout", "first_token", None)


def test_reads_are_not_stripped_before_framing() -> None:
    events = Events("sse")
    assert events.feed(b'data: {"a": "x ') == []
    assert events.feed(b' y"}\n') == []
    assert events.feed(b"\n: ping\n\n") == [b'{"a": "x  y"}']


def test_11_a_whole_answer_of_mii_counts_its_text_again_and_a_stream_nothing() -> None:
    """Its streams have no usage: the tokenizer counts them, and nothing wrong is taken over."""
    mii = BACKENDS["deepspeed-mii-openai"]
    data = response(vllm('" t0"'), vllm('" t1"', '"length"'), DONE)
    record = decode(mii, [data], counter=lambda texts: [len(text.split()) for text in texts])
    assert (record.output_tokens, record.token_source) == (2, "tokenizer")


def test_15_asked_and_produced_lengths_stand_side_by_side() -> None:
    """Ended early: seen in the record, and a failure only where the length was forced."""
    data = response(vllm('"a"', '"stop"', ids="[7]"), DONE)
    free, forced = decode(VLLM, [data], asked=8), decode(VLLM, [data], asked=8, force_length=True)
    assert (free.asked_output, free.output_tokens, free.finish_reason, free.error) == (8, 1, "stop", None)
    assert (forced.error, forced.error_detail) == ("short", "1 < 8")


def test_20_every_request_has_a_form_of_its_own() -> None:
    """No file object that the first request would have read to its end; options of the stream lie flat."""
    clip = Media(kind="audio", data=b"RIFF" + bytes(64), mime="audio/wav", seconds=1)
    asked = Ask(prompt=Prompt(text="", media=(clip,)), model="m", output_len=4, force_length=False)
    bodies = [BACKENDS["openai-audio"].body(asked) for _ in range(2)]
    assert bodies[0] == bodies[1]
    assert clip.data in bodies[1]
    assert b'name="stream_include_usage"' in bodies[0]
    assert b"stream_options" not in bodies[0]


def test_every_trap_has_a_test() -> None:
    numbers = {int(n) for name in globals() if name.startswith("test_") for n in re.findall(r"(?<=_)\d\d(?=_)", name)}
    assert numbers == set(range(1, 24))


@pytest.mark.slow
def test_nesting_without_end_is_no_traceback() -> None:
    """In an answer, an event, an error's body; where a reader looks and where it skips."""
    deep = ("[" * 10**6, '{"a":' * 10**5, "[" * 10**5 + "]" * 10**5)
    wraps = ("%s", '{"error":%s}', '{"choices":%s}', '{"choices":[{"delta":%s}]}', '{"unknown":%s}', '{"usage":%s}')
    found = {}
    for name, backend in BACKENDS.items():
        for text in (wrap % inner for inner in deep for wrap in wraps):
            line = f"{text}\n".encode() if backend.framing != "sse" else event(text)
            for data in (response(line), plain(text.encode()), plain(text.encode(), 500)):
                try:
                    record = decode(backend, [data])
                except RecursionError:
                    found[name, text[:30]] = "raised"
                else:
                    if record.error is None or len(record.error_detail) > 1000:
                        found[name, text[:30]] = str(record.error)
    assert not found


def test_an_event_without_an_end_is_a_protocol_error() -> None:
    piece = chunked(b"data: " + b"x" * ((1 << 20) - 6), end=False)
    record = decode(VLLM, [head(), *[piece] * 66], Ending.TIMEOUT_BETWEEN)
    assert (record.error, record.error_detail) == ("protocol", "an event of more than 64 MiB")
