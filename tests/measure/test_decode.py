"""Tape → Records: times, arrivals, counts and the closed set of errors."""

# A tuple with an approx in it is compared with one of numbers, which mypy takes for unlike.
# mypy: disable-error-code=comparison-overlap

from __future__ import annotations

import itertools
import json
import math
import struct
from dataclasses import replace
from functools import partial

import pytest
from every import every
from hypothesis import given, settings
from hypothesis import strategies as st
from tapes import chunked, cut, decode, entries, head, plain, plan, response, row, sent

from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.measure.answer import Answer
from pytest_vllm_bench.measure.decode import Decoder
from pytest_vllm_bench.measure.metrics import metrics
from pytest_vllm_bench.measure.settings import MetricSettings
from pytest_vllm_bench.measure.tokens import share
from pytest_vllm_bench.model import SENT_FIELDS, Delta, Ending, Entry, EntryKind, Record

VLLM, CHAT = BACKENDS["vllm"], BACKENDS["openai-chat"]
DONE = b"data: [DONE]\n\n"


def text(words: str, finish: str = "null", more: str = "") -> bytes:
    return f'data: {{"choices":[{{"index":0,"text":"{words}","finish_reason":{finish}{more}}}]}}\n\n'.encode()


def delta(fields: str, finish: str = "null") -> bytes:
    return f'data: {{"choices":[{{"index":0,"delta":{{{fields}}},"finish_reason":{finish}}}]}}\n\n'.encode()


def usage(output: int, prompt: int = 5) -> bytes:
    return f'data: {{"choices":[],"usage":{{"prompt_tokens":{prompt},"completion_tokens":{output}}}}}\n\n'.encode()


def reads(*bodies: bytes) -> list[bytes]:
    """The headers in a read of their own, then one HTTP chunk a read."""
    pieces = [chunked(body, end=False) for body in bodies]
    return [head(), *pieces[:-1], pieces[-1] + b"0\r\n\r\n"]


def test_neither_headers_nor_roles_nor_pings_nor_usage_are_the_first_token() -> None:
    record = decode(
        CHAT,
        reads(
            delta('"role":"assistant","content":""'),  # 0.2
            b": keep-alive\n\n",  # 0.3
            delta('"reasoning":"hm"'),  # 0.4
            delta('"content":"4"'),  # 0.5
            delta("", '"stop"'),  # 0.6
            usage(2) + DONE,  # 0.7
        ),
    )
    assert record.error is None
    assert (record.sent, record.first_chunk, record.first_token, record.first_output) == pytest.approx(
        (0, 0.2, 0.4, 0.5)
    )
    assert (record.last_token, record.done) == pytest.approx((0.5, 0.7))
    assert list(record.arrival_times) == pytest.approx([0.4, 0.5])
    assert (record.reads, record.output_tokens, record.finish_reason) == (7, 2, "stop")


def test_several_events_in_one_read_are_one_arrival() -> None:
    record = decode(VLLM, reads(text("a"), text("b") + text("c") + text("d"), text("e", '"length"'), usage(5), DONE))
    assert list(record.arrival_times) == pytest.approx([0.2, 0.3, 0.4])
    assert list(record.arrival_events) == [1, 3, 1]
    assert list(record.arrival_tokens) == [1, 3, 1]
    assert (record.token_source, record.tokens_per_event) == ("usage", "exact")


def test_an_event_split_between_reads_arrives_with_its_last_byte() -> None:
    stream = text("a") + text("b", '"length"') + usage(2) + DONE
    record = decode(VLLM, reads(stream[:30], stream[30 : len(text("a")) + 9], stream[len(text("a")) + 9 :]))
    assert list(record.arrival_times) == pytest.approx([0.3, 0.4])


def test_tokens_of_an_event_by_ids() -> None:
    body = [
        text("a", more=',"token_ids":[1]'),
        text("", more=',"token_ids":[2]'),
        text("b", '"length"', ',"token_ids":[3,4,5]'),
    ]
    record = decode(VLLM, reads(*body, DONE))
    assert list(record.arrival_tokens) == [1, 1, 3]
    assert (record.output_tokens, record.token_source, record.tokens_per_event) == (5, "ids", "exact")


def test_tokens_of_an_event_by_length_of_text_where_nothing_tells() -> None:
    record = decode(VLLM, reads(text("a"), text("aaaaaaa"), text("aa", '"length"'), usage(13), DONE))
    assert list(record.arrival_tokens) == [2, 8, 3]
    assert (record.output_tokens, record.tokens_per_event) == (13, "estimated")


@every(
    ("header", "canned"),
    [
        ("X-Cache: HIT", True),
        ("x-cache: Hit from cloudfront", True),
        ("CF-AIG-Cache-Status: HIT", True),
        ("x-portkey-cache-status: hit", True),
        ("helicone-cache: HIT", True),
        ("x-semantic-cache-hit: true", True),
        ("X-Cache: MISS", False),
        ("cache-control: hit", False),
        ("x-prefix-cache-hit: true", False),  # of prompts, which the server itself keeps
        ("x-kv-cache: hit", False),
        ("x-cache-status: hitherto", False),
    ],
)
def test_a_cache_of_answers_says_so_itself(header: str, canned: bool) -> None:
    body = b'{"choices":[{"text":"a","finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
    assert decode(VLLM, [plain(body, 200, extra=f"{header}\r\n")], streamed=False).from_cache is canned


def test_without_usage_the_tokenizer_counts_and_without_that_events_do() -> None:
    body = reads(text("one two"), text(" three", '"length"'), DONE)
    counted = decode(VLLM, body, counter=lambda texts: [len(t.split()) for t in texts])
    assert (counted.output_tokens, counted.token_source, list(counted.arrival_tokens)) == (3, "tokenizer", [2, 1])
    guessed = decode(VLLM, body)
    assert (guessed.output_tokens, guessed.token_source, guessed.tokens_per_event) == (2, "events", "estimated")


def test_usage_of_zero_beside_text_is_no_count() -> None:
    assert decode(VLLM, reads(text("a", '"stop"'), usage(0), DONE)).token_source == "events"


@pytest.mark.parametrize("number", [-5, 3_000_000_000, 10**12, 10**400])
def test_a_number_that_no_answer_can_have_is_no_count(number: int) -> None:
    """Neither in the usage at the end nor in a count that runs along: the events are counted, and figures are there."""
    said = decode(VLLM, reads(text("a"), text("b", '"length"'), usage(number, prompt=number), DONE))
    assert (said.output_tokens, said.token_source, list(said.arrival_tokens)) == (2, "events", [1, 1])
    assert said.prompt_tokens is None
    most = decode(VLLM, reads(text("a", '"length"'), usage(1, prompt=10_000_000), DONE))
    assert most.prompt_tokens == 10_000_000
    running = decode(BACKENDS["sglang"], reads(*(
        b'data: {"text":"%s","meta_info":{"completion_tokens":%d}}\n\n' % event
        for event in ((b"a", 1), (b"ab", number), (b"abc", 3))
    ), DONE))  # fmt: skip
    assert (running.output_tokens, running.token_source) == (3, "counter")
    assert list(running.arrival_tokens) == [1, 1, 1]
    found = metrics([said, running], settings=MetricSettings(goodput={"tpot": 5.0}))
    assert (found["completed"], found["total_output_tokens"], found["total_input_tokens"]) == (2, 5, None)


def test_what_an_interim_answer_says_is_no_answer() -> None:
    """It should have no body at all; the answer behind it counts, and without one the connection was cut."""
    interim = head(199) + chunked(text("no", '"stop"'))
    alone = decode(VLLM, [interim], Ending.EOF)
    assert (alone.error, alone.first_token, alone.text) == ("reset", None, "")
    both = decode(VLLM, [interim, *reads(text("yes", '"stop"'), DONE)])
    assert (both.error, both.first_token, both.text) == (None, pytest.approx(0.3), "yes")


def test_text_is_kept_only_as_long_as_somebody_needs_it() -> None:
    """For the record where that was asked for, else for the tokenizer, until the wire turns out to count."""

    def words(texts: list[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def nobody(texts: list[str]) -> list[int]:
        raise AssertionError(texts)

    body = reads(text("one two"), text(" three", '"length"'), DONE)
    counted = decode(VLLM, body, counter=words, keep_text=False)
    assert (counted.output_tokens, counted.token_source, counted.text) == (3, "tokenizer", None)
    ids = reads(text("one", more=',"token_ids":[1]'), text(" two", '"length"', ',"token_ids":[2,3]'), DONE)
    by_wire = decode(VLLM, ids, counter=nobody, keep_text=False)
    assert (by_wire.output_tokens, by_wire.token_source, by_wire.text) == (3, "ids", None)
    assert decode(VLLM, ids, counter=nobody).text == "one two"
    assert Answer(counted, VLLM, True, keep_text=False, may_count=False).text is None
    plain_decoder = Decoder(plan(), VLLM, [row()])
    assert [record.text for entry in entries(body) if (record := plain_decoder.feed(entry))] == [None]


def test_thoughts_and_calls_of_tools_take_their_share_of_the_tokens() -> None:
    """18 tokens, one to each of three events; the other 15 by length: 5 characters came first, then 10."""
    call = delta('"tool_calls":[{"index":0,"function":{"arguments":"bbb"}}]')
    record = decode(
        CHAT, reads(delta('"content":"aa"') + call, delta('"reasoning":"cccccccccc"'), delta("", '"stop"'), usage(18))
    )
    assert list(record.arrival_events) == [2, 1]
    assert list(record.arrival_tokens) == [7, 11]
    assert record.text == "aabbbcccccccccc"


def test_a_running_count_is_known_although_the_end_never_came() -> None:
    running = ',"usage":{"prompt_tokens":7,"completion_tokens":%d}'
    events = [f'data: {{"choices":[{{"text":"a"}}]{running % n}}}\n\n'.encode() for n in (1, 4)]
    record = decode(VLLM, [head(), *(chunked(event, end=False) for event in events)], Ending.EOF)
    assert (record.error, record.prompt_tokens, record.output_tokens) == ("reset", 7, 4)
    assert list(record.arrival_tokens) == [1, 3]


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (["a", "a b", "a b c"], "a b c"),
        (["a X\ufffd", "a X\u00e9!"], "a X\ufffd\u00e9!"),
        (["a b c", " d", " d"], "a b c d d"),
        (["abc", "xyz", "xyzw"], "abcxyzw"),
    ],
    ids=["everything so far", "half a character becomes whole", "deltas after all", "something else of equal length"],
)
def test_what_is_new_in_a_text_that_should_hold_everything_so_far(said: list[str], text: str) -> None:
    events = [b"data: " + json.dumps({"text_output": words}).encode() + b"\n\n" for words in said]
    record = decode(BACKENDS["tensorrt-llm-llmapi"], reads(*events))
    assert record.text == text
    assert list(record.arrival_events) == [1, 1, 1][: len(said)]


def test_a_token_that_left_no_text_is_no_empty_answer() -> None:
    record = decode(VLLM, reads(text("", '"length"'), usage(1), DONE))
    assert (record.error, record.output_tokens, record.first_token) == (None, 1, None)


def test_an_answer_without_any_token_is_empty() -> None:
    record = decode(VLLM, reads(text("", '"stop"'), usage(0), DONE))
    assert (record.error, record.output_tokens) == ("empty", 0)


def test_usage_after_the_finish_reason_beside_choices_is_no_rise() -> None:
    late = b'data: {"choices":[{"index":0,"delta":{}}],"usage":{"prompt_tokens":5,"completion_tokens":9}}\n\n'
    record = decode(CHAT, reads(delta('"content":"abc"', '"stop"'), late, DONE))
    assert list(record.arrival_times) == pytest.approx([0.2])
    assert (record.output_tokens, list(record.arrival_tokens)) == (9, [9])


def test_an_unstreamed_answer_has_an_end_and_no_first_token() -> None:
    body = b'{"choices":[{"text":"a b","finish_reason":"length"}],"usage":{"prompt_tokens":2,"completion_tokens":2}}'
    record = decode(VLLM, [plain(body)], streamed=False)
    assert (record.first_chunk, record.first_token, record.first_output, record.last_token) == (None,) * 4
    assert (record.error, record.done, record.output_tokens) == (None, pytest.approx(0.1), 2)
    assert list(record.arrival_times) == []


@pytest.mark.parametrize(
    ("backend", "body", "tokens", "source"),
    [
        ("vllm", '{"choices":[{"text":"a b","token_ids":[5,6,7]}]}', 3, "ids"),
        ("llama.cpp", '{"choices":[{"text":"a b"}],"timings":{"predicted_n":4}}', 4, "usage"),
        ("vllm", '{"choices":[{"text":"a b"}]}', None, None),
    ],
    ids=["ids", "the server's own timings", "nothing"],
)
def test_who_counts_an_unstreamed_answer(backend: str, body: str, tokens: int | None, source: str | None) -> None:
    record = decode(BACKENDS[backend], [plain(body.encode())], streamed=False)
    assert (record.output_tokens, record.token_source) == (tokens, source)


@pytest.mark.parametrize(
    "body",
    [b'{"text":\n\n"a b"}\n\n', b'[{"text":\n\n"a b"}]\n\n', b'\r\n {"text":"a b"}\n\n'],
    ids=["object", "list", "after blanks"],
)
def test_json_where_a_stream_was_asked_for_is_one_answer(body: bytes) -> None:
    """Even if it has lines that would end an event."""
    seen: list[bytes] = []

    def read(payload: bytes) -> Delta:
        seen.append(payload)
        return Delta(text="a b", terminal=True)

    data, said = plain(body), body.lstrip()
    for places in ([], [len(data) - len(said)]):
        record = decode(replace(VLLM, read=read), cut(data, places))
        assert (record.error, record.text, record.first_token) == (None, "a b", None)
    assert seen == [said, said]


def test_the_end_of_the_body_completes_an_event_without_a_blank_line() -> None:
    record = decode(VLLM, reads(text("a"), text("b", '"stop"')[:-1]))
    assert (record.error, record.text) == (None, "ab")
    assert record.last_token == record.done == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("ending", "error", "timeout"),
    [
        (Ending.CONNECT, "connect", None),
        (Ending.TIMEOUT_CONNECT, "timeout", "connect"),
        (Ending.NOT_SENT, "not_sent", None),
    ],
)
def test_ends_without_a_beginning(ending: int, error: str, timeout: str | None) -> None:
    decoder = Decoder(plan(), VLLM, [row(4)], started=10.0)
    record = decoder.feed(Entry(EntryKind.END, 0, 12.0, bytes([ending]) + b"Verbindung verweigert"))
    assert record is not None
    assert (record.error, record.timeout, record.sent, record.done) == (error, timeout, None, 2.0)
    assert record.error_detail == "Verbindung verweigert"
    assert record.asked_output == 4


def test_an_answer_whose_beginning_is_not_on_the_tape() -> None:
    """The oldest parts of a long tape are deleted."""
    decoder = Decoder(plan(), VLLM, [row(4)] * 3, started=10.0)
    assert decoder.feed(Entry(EntryKind.READ, 2, 11.0, chunked(text("a")))) is None
    assert decoder.in_flight == 1
    record = decoder.feed(Entry(EntryKind.END, 2, 12.0, bytes([Ending.COMPLETE])))
    assert record is not None
    assert (record.index, record.error, record.sent, record.done, record.status) == (2, "protocol", None, 2.0, None)
    assert decoder.in_flight == 0


def test_words_that_were_cut_in_the_middle_of_a_character() -> None:
    words = "Zeit\u00fc".encode()[:-1]
    record = Decoder(plan(), VLLM, [row()]).feed(Entry(EntryKind.END, 0, 1.0, bytes([Ending.CONNECT]) + words))
    assert record is not None
    assert record.error_detail == "Zeit\ufffd"


@every(
    ("ending", "error", "timeout"),
    [
        (Ending.RESET, "reset", None),
        (Ending.EOF, "reset", None),
        (Ending.TIMEOUT_FIRST, "timeout", "first_token"),
        (Ending.TIMEOUT_BETWEEN, "timeout", "between_tokens"),
        (Ending.TIMEOUT_TOTAL, "timeout", "total"),
        (Ending.CANCELLED, "cancelled", None),
    ],
)
def test_what_was_cut_keeps_what_had_come(ending: int, error: str, timeout: str | None) -> None:
    record = decode(VLLM, [head(), chunked(text("a") + text("b"), end=False), chunked(text("c"))[:40]], ending)
    assert (record.error, record.timeout) == (error, timeout)
    assert record.first_token == pytest.approx(0.2)
    assert record.text == "ab"
    assert record.output_tokens == 2


_USAGE_3 = text("a b c", '"stop"') + usage(3) + DONE
_IDS_3 = text("a b c", '"stop"', ',"token_ids":[1,2,3]') + DONE
_TEXT_3 = text("a") + text(" b") + text(" c", '"stop"') + DONE
_TGI_3 = (
    b'data: {"token":{"text":"a"},"generated_text":"a","details":{"generated_tokens":3,"finish_reason":"stop"}}\n\n'
)


@every(
    ("backend", "body", "forced", "asked", "error", "detail"),
    [
        ("vllm", _USAGE_3, True, 4, "short", "3 < 4"),
        ("vllm", _IDS_3, True, 4, "short", "3 < 4"),
        ("tgi", _TGI_3, True, 4, "short", "3 < 4"),
        ("vllm", _USAGE_3, True, 3, None, ""),
        ("vllm", _USAGE_3, True, 2, None, ""),
        ("vllm", _USAGE_3, True, -1, None, ""),
        ("vllm", _USAGE_3, False, 4, None, ""),
        ("vllm", _TEXT_3, True, 4, None, ""),
        ("vllm", text("a"), False, -1, "truncated", ""),
        ("vllm", DONE, False, -1, "empty", ""),
        ("vllm", text("a", '"abort"') + DONE, False, -1, "in_stream", "finish_reason: abort"),
        ("openai-embeddings", b'{"data":[{}]}', False, -1, None, ""),
        ("openai-embeddings", b"", False, -1, "empty", ""),
    ],
    ids=[
        "short by usage", "short by ids", "short by its counter", "as long as asked", "longer", "nothing asked",
        "not forced", "events are no tokens", "no sign of the end", "nothing but the sign", "aborted", "pooled",
        "nothing pooled",
    ],
)  # fmt: skip
def test_what_a_whole_answer_lacks(
    backend: str, body: bytes, forced: bool, asked: int, error: str | None, detail: str
) -> None:
    record = decode(BACKENDS[backend], [response(body)], asked=asked, force_length=forced)
    assert (record.error, record.error_detail) == (error, detail)


def test_a_tokenizer_of_ours_proves_no_answer_short() -> None:
    record = decode(VLLM, [response(_TEXT_3)], asked=4, force_length=True, counter=lambda texts: [3] * len(texts))
    assert (record.error, record.output_tokens, record.token_source) == (None, 3, "tokenizer")


def test_the_answer_failed_before_the_time_ran_out() -> None:
    half = head(500, "text/plain") + chunked(b"out of", b" memory", end=False)
    record = decode(VLLM, [half], Ending.TIMEOUT_TOTAL, words="600 s")
    assert (record.error, record.error_detail, record.timeout) == ("http", "out of memory", None)


def test_the_servers_words_say_more_than_the_reset_that_follows() -> None:
    body = head() + chunked(b'data: {"error":{"message":"out of memory","code":500}}\n\n', end=False)
    record = decode(VLLM, [body], Ending.RESET, words="Connection reset by peer")
    assert (record.error, record.error_detail) == ("in_stream", "out of memory")
    assert decode(VLLM, [head()], Ending.RESET, words="Connection reset by peer").error_detail == (
        "Connection reset by peer"
    )


def _said(delta: Delta, payload: bytes) -> Delta:
    return delta


def test_an_error_is_one_in_the_stream_unless_the_backend_says_otherwise() -> None:
    said = [Delta(error="full"), Delta(error="full", error_kind="rejected")]
    found = [decode(replace(VLLM, read=partial(_said, delta)), [response(DONE)]) for delta in said]
    assert [(record.error, record.error_detail) for record in found] == [("in_stream", "full"), ("rejected", "full")]


@pytest.mark.parametrize(("status", "error"), [(200, None), (299, None), (300, "http"), (429, "rejected")])
def test_which_status_is_an_answer(status: int, error: str | None) -> None:
    body = b'{"choices":[{"text":"a b","finish_reason":"length"}],"usage":{"completion_tokens":2}}'
    record = decode(VLLM, [plain(body, status, extra="retry-after: 7\r\n")], streamed=False)
    assert (record.status, record.error, record.retry_after) == (status, error, 7.0 if error else None)
    assert record.error_detail == (body.decode() if error else "")


def test_an_error_body_in_pieces() -> None:
    pieces = [chunked(b" out of", end=False), chunked(b" ", b"memory ", end=False), chunked()]
    assert decode(VLLM, [head(500, "text/plain"), *pieces]).error_detail == "out of memory"


@pytest.mark.parametrize("apart", [False, True], ids=["in one read", "in a read of its own"])
def test_what_follows_a_whole_response_is_ignored(apart: bool) -> None:
    body = b'{"choices":[{"text":"a","finish_reason":"stop"}],"usage":{"completion_tokens":1}}'
    other = plain(body, 503, extra="retry-after: 7\r\ncontent-encoding: gzip\r\n")
    for first, error in ((plain(body), None), (plain(b"busy", 429), "rejected")):
        data = [first, other] if apart else [first + other]
        record = decode(VLLM, data, streamed=False)
        assert (record.error, record.retry_after) == (error, None)
        assert (record.text, record.error_detail) == (("", "busy") if error else ("a", ""))
        assert (record.reads, record.bytes_in) == (len(data), len(first + other))


@pytest.mark.parametrize(
    "data",
    [b"SSH-2.0-OpenSSH_9.2\r\n", head() + b"zz\r\nno chunk\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"],
)
def test_what_is_not_http(data: bytes) -> None:
    record = decode(VLLM, [data], Ending.PROTOCOL, words="not HTTP")
    assert record.error == "protocol"
    assert record.error_detail


@pytest.mark.parametrize("ending", [Ending.PROTOCOL, Ending.EOF, Ending.RESET])
def test_where_it_stops_being_http(ending: int) -> None:
    """Told in the parser's words, however the connection ended; what came before is kept, what follows is not read."""
    before, broken = chunked(text("a"), end=False), b"zz\r\nno chunk\r\n"
    record = decode(VLLM, [head(), before, broken, chunked(text("b"))], ending, words="words of the system")
    assert (record.error, record.text, record.reads) == ("protocol", "a", 4)
    assert record.error_detail == "Invalid character in chunk size"


def test_what_only_the_load_found_wrong() -> None:
    record = decode(VLLM, [head()], Ending.PROTOCOL, words="too much")
    assert (record.error, record.error_detail) == ("protocol", "too much")


def test_compression_that_nobody_asked_for() -> None:
    data = head(extra="transfer-encoding: chunked\r\ncontent-encoding: gzip\r\n") + chunked(b"\x1f\x8b\x08")
    record = decode(VLLM, [data])
    assert (record.error, record.error_detail) == ("protocol", "content-encoding: gzip")


def test_a_server_that_changes_the_protocol_says_so() -> None:
    switching = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"
    record = decode(VLLM, [switching], Ending.PROTOCOL, words="71")
    assert (record.error, record.error_detail) == ("protocol", "101 Switching Protocols")


def test_a_body_without_length_ends_with_the_connection() -> None:
    body = text("a", '"length"') + usage(1) + DONE
    data = b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + body
    assert decode(VLLM, [data[:50], data[50:]], Ending.EOF).error is None
    for said, error in ((body, None), (body.removesuffix(DONE), "reset")):  # the content knows better than a length
        length = head(extra=f"content-length: {len(said) + 1}\r\n") + said
        assert decode(VLLM, [length], Ending.EOF).error == error


def test_early_hints_are_passed_over() -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    data = hint + response(text("a", '"stop"'), usage(1), DONE)
    for place in range(1, len(data), 7):
        record = decode(VLLM, [data[:place], data[place:]])
        assert (record.status, record.error, record.output_tokens) == (200, None, 1)


def test_a_long_error_body_is_capped() -> None:
    record = decode(VLLM, [plain(b"x" * 100_000, 500, "text/plain")])
    assert len(record.error_detail) == 1000


def test_a_request_sent_again_starts_again() -> None:
    decoder = Decoder(plan(), VLLM, [row()], started=0.0)
    again = struct.pack(SENT_FIELDS, 3.0, math.nan, 0.25, 7, 2)
    tape = [
        sent(time=1.0),
        Entry(EntryKind.READ, 0, 2.0, head()[:20]),
        Entry(EntryKind.SENT, 0, 3.0, again),
        *[Entry(EntryKind.READ, 0, 4.0 + i, data) for i, data in enumerate(reads(text("a", '"stop"'), DONE))],
        Entry(EntryKind.END, 0, 9.0, b"\0"),
    ]
    record = [decoder.feed(entry) for entry in tape][-1]
    assert record is not None
    assert (record.sent, record.ready, record.due, record.connect_s) == (3.0, 3.0, None, 0.25)
    assert (record.reused, record.reconnected, record.error, record.reads) == (False, True, None, 3)


def test_requests_interleave() -> None:
    decoder = Decoder(plan(n=3), VLLM, [row()] * 3, started=0.0)
    tape = [Entry(e.kind, i, e.time, e.data) for i in range(3) for e in entries(reads(text(f"t{i}", '"stop"'), DONE))]
    tape.sort(key=lambda e: (e.time, e.kind))
    records = [record for entry in tape if (record := decoder.feed(entry)) is not None]
    assert sorted(r.index for r in records) == [0, 1, 2]
    assert all(r.error is None and r.output_tokens == 1 for r in records)


def test_whose_end_is_not_on_the_tape_was_stopped() -> None:
    decoder = Decoder(plan(), VLLM, [row()], started=0.0)
    for entry in entries(reads(text("a"), text("b")))[:-1]:
        decoder.feed(entry)
    (record,) = decoder.rest()
    assert (record.error, record.error_detail, record.done, record.output_tokens) == ("cancelled", "", None, 2)
    assert decoder.rest() == []


def test_the_row_tells_what_was_asked() -> None:
    index = [(0, 0, 4, 2, 1, 1.5, 0.0, 100, 20, 16, 2.5)]
    decoder = Decoder(plan(models=("a", "b")), VLLM, index, started=100.0)
    decoder.feed(Entry(EntryKind.SENT, 0, 102.0, struct.pack(SENT_FIELDS, 101.75, 101.5, math.nan, 0, 0)))
    (record,) = decoder.rest()
    assert (record.chain, record.turn, record.model) == (4, 2, "b")
    assert (record.due, record.ready, record.sent) == (1.5, 1.75, 2.0)
    assert (record.connect_s, record.reused, record.reconnected) == (None, False, False)
    assert (record.asked_input, record.asked_output, record.shared_input, record.audio_s) == (100, 20, 16, 2.5)


def test_the_row_alone_tells_of_what_was_never_sent() -> None:
    nan = math.nan
    index = [(0, 0, 4, 2, 1, 1.5, 0.0, 0, 0, 16, 2.5), (0, 0, 5, 0, 0, nan, 0.0, -1, -1, 0, nan)]

    def not_sent(models: tuple[str, ...], i: int) -> Record:
        decoder = Decoder(plan(models=models), VLLM, index, started=100.0)
        record = decoder.feed(Entry(EntryKind.END, i, 103.0, bytes([Ending.NOT_SENT])))
        assert record is not None
        return record

    first, second = not_sent(("a", "b"), 0), not_sent((), 1)
    assert (first.index, first.chain, first.turn, first.model, first.due) == (0, 4, 2, "b", 1.5)
    assert (first.asked_input, first.asked_output, first.shared_input, first.audio_s) == (0, 0, 16, 2.5)
    assert (second.index, second.chain, second.turn, second.model, second.due) == (1, 5, 0, "", None)
    assert (second.asked_input, second.asked_output, second.shared_input, second.audio_s) == (None, None, 0, None)
    assert (first.status, first.sent, first.done, first.text) == (None, None, 3.0, None)


@pytest.mark.parametrize(("started", "by"), [(100.0, -100.0), (None, 0.0)], ids=["since the start", "absolute"])
def test_times_count_from_the_start_of_the_run(started: float | None, by: float) -> None:
    decoder = Decoder(plan(), VLLM, [row()], started=started)
    tape = [entry._replace(time=entry.time + 101.0) for entry in entries(reads(text("a"), text("b", '"stop"'), DONE))]
    tape[0] = sent(time=101.0)
    record = [decoder.feed(entry) for entry in tape][-1]
    assert record is not None
    assert (record.reused, record.reconnected) == (True, False)
    found = (record.sent, record.ready, record.first_chunk, record.first_token, record.first_output, record.last_token)
    assert [time - by for time in found if time is not None] == pytest.approx([101, 101, 101.2, 101.2, 101.2, 101.3])
    assert record.done == pytest.approx(101.4 + by)
    assert list(record.arrival_times) == pytest.approx([101.2 + by, 101.3 + by])


@pytest.mark.parametrize(
    ("tokens", "events", "sizes", "shares"),
    [(6, [1, 2, 1], [0, 1, 1], [1, 3, 2]),  # one an event, the other two by their length
     (3, [1, 1, 1], [9, 0, 0], [1, 1, 1]),  # just enough for one an event
     (2, [1, 2, 1], [1, 1, 2], [1, 0, 1]),  # fewer than events
     (7, [1, 2], [0, 0], [2, 5])],  # without lengths by events
)  # fmt: skip
def test_how_tokens_are_shared(tokens: int, events: list[int], sizes: list[int], shares: list[int]) -> None:
    assert list(share(tokens, events, sizes)) == shares


@settings(deadline=None)
@given(
    arrivals=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 50)), min_size=1, max_size=30),
    tokens=st.integers(1, 500),
)
def test_shares_sum_to_the_whole(arrivals: list[tuple[int, int]], tokens: int) -> None:
    events, sizes = zip(*arrivals, strict=True)
    shares = share(tokens, events, sizes)
    assert sum(shares) == tokens
    assert min(shares) >= 0
    if tokens >= sum(events):
        assert all(part >= event for part, event in zip(shares, events, strict=True))


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "bb", "", "ccc"]), min_size=1, max_size=20), st.data())
def test_arrivals_never_decrease_and_sum_to_the_answer(words: list[str], data: st.DataObject) -> None:
    events = [text(word) for word in words] + [text("z", '"length"'), usage(len(words) + 1), DONE]
    places = sorted(data.draw(st.sets(st.integers(1, len(events) - 1), max_size=6)))
    groups = [b"".join(events[a:b]) for a, b in itertools.pairwise([0, *places, len(events)])]
    record = decode(VLLM, reads(*groups))
    assert record.error is None
    assert list(record.arrival_times) == sorted(record.arrival_times)
    assert sum(record.arrival_tokens) == record.output_tokens == len(words) + 1
    assert record.first_token == record.arrival_times[0]
    assert record.last_token == record.arrival_times[-1]
