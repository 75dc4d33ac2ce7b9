"""Odd but legal answers, of every backend: no odd field loses an event, every wording of an error is read, and counts
are not taken at their word.  The events are those of the transcripts, so that a new backend is held to it too."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from every import every
from hypothesis import given, settings
from hypothesis import strategies as st
from tapes import decode, facts, plain, response
from transcripts import OPENAI, Transcript
from transcripts_captured import CAPTURED
from transcripts_native import NATIVE

from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.backends.complaints import of_body
from pytest_vllm_bench.framing import Events
from pytest_vllm_bench.http import Response
from pytest_vllm_bench.model import Backend, Ending, Record

#: Whole answers without an error; per backend those that were streamed come first.
GOOD = [t for t in (*OPENAI, *NATIVE, *CAPTURED) if t.facts.get("error", "") is None and t.ending == Ending.COMPLETE]


def events(backend: Backend, transcript: Transcript) -> tuple[str, list[Any]]:
    """How the transcript is framed, and its payloads: decoded JSON, or the bytes of what is none."""
    body = Response().feed(transcript.data)
    whole = backend.framing == "sse" and body.lstrip()[:1] in (b"{", b"[")
    framing = "json" if whole else backend.framing
    found = Events(framing)
    return framing, [_json(payload) for payload in [*found.feed(body), *found.flush()]]


def _json(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload


def framed(framing: str, payloads: Sequence[Any]) -> bytes:
    bodies = [payload if isinstance(payload, bytes) else json.dumps(payload).encode() for payload in payloads]
    if framing == "json":
        return plain(bodies[0])
    return response(*((b"data: %s\n\n" if framing == "sse" else b"%s\n") % body for body in bodies))


def read(backend: Backend, framing: str, payloads: Sequence[Any]) -> Record:
    return decode(backend, [framed(framing, payloads)])


def one(backend: Backend) -> tuple[str, list[Any]]:
    """The backend's first transcript that can be read as Unicode JSON, streamed if there is such a one."""
    found = [events(backend, t) for t in GOOD if backend.name in t.backends]
    return next((pair for pair in found if pair[0] != "json"), found[0])


#: A test over every backend.
of_each = every("backend", BACKENDS.values(), ids=BACKENDS)


#: How servers word an error, and what of it must be shown.
ERRORS: list[tuple[Any, str]] = [
    ({"choices": None, "error_type": "overloaded", "error_message": "boom"}, "boom"),
    ({"error": {"message": "boom", "type": "x", "code": 5}}, "boom"),
    ({"error": "boom"}, "boom"),
    ({"error": {"error": {"message": "boom"}}}, "boom"),
    ({"error": True, "message": "boom"}, "boom"),
    ({"error": {"code": "boom"}}, "boom"),
    ({"Error": "boom"}, "boom"),
    ({"err": "boom"}, "boom"),
    ({"errors": [{"message": "boom"}]}, "boom"),
    ({"errors": ["boom"]}, "boom"),
    ({"errorMessage": "boom"}, "boom"),
    ({"errcode": 17, "errmsg": "boom"}, "boom"),
    ({"error_code": 110, "error_msg": "boom"}, "boom"),
    ({"message": "boom", "code": 500}, "boom"),
    ({"message": "boom"}, "boom"),
    ({"code": 500, "msg": "boom"}, "boom"),
    ({"code": "1301", "msg": "boom"}, "boom"),
    ({"code": -1, "msg": "boom", "data": None}, "boom"),
    ({"code": "InvalidParameter", "message": "boom", "request_id": "1"}, "boom"),
    ({"status": 500, "title": "boom"}, "boom"),
    ({"status": "error"}, "error"),
    ({"status": "failed", "reason": "boom"}, "boom"),
    ({"success": False, "message": "boom"}, "boom"),
    ({"success": False}, "success"),
    ({"detail": [{"msg": "boom"}]}, "boom"),
    ({"detail": "boom"}, "boom"),
    ({"type": "error", "error": {"type": "overloaded_error", "message": "boom"}}, "boom"),
    ({"object": "error", "message": "boom", "code": 400}, "boom"),
    ({"exception": "boom"}, "boom"),
    ({"base_resp": {"status_code": 1002, "status_msg": "boom"}}, "boom"),
    ({"response": {"error": {"message": "boom"}}}, "boom"),
    ([{"error": {"code": 429, "message": "boom"}}], "boom"),
]
NOTHING: list[Any] = [None, "", {}, [], False, 0, {"code": 0, "message": ""}, {"message": None}]
#: What says that nothing is wrong, or has nothing to do with it.
FINE: list[dict[str, Any]] = [
    *({"error": nothing} for nothing in NOTHING),
    {"errors": [], "error_code": 0, "error_msg": "success", "err": None},
    {"code": 0, "message": "ok"},
    {"code": 200, "msg": "success"},
    {"success": True, "status_code": 200},
    {"base_resp": {"status_code": 0, "status_msg": ""}},
    {"x_message": "an error in words", "detail": None, "warning": "error"},
]
#: Payloads that carry nothing.
NOTHING = [b"null", b"true", b"[]", b'""', b"17", b'{"type":"ping"}', b'{"x":[{"y":null}]}', b'{"code":0,"msg":"ok"}']


@of_each
def test_every_wording_of_an_error_is_read(backend: Backend) -> None:
    """After the first event, or instead of the whole one; and as an HTTP error's body."""
    framing, payloads = one(backend)
    wrong = []
    for error, words in ERRORS:
        begun = payloads[:1] if framing != "json" else []
        record = read(backend, framing, [*begun, error])
        if record.error not in ("in_stream", "rejected") or words not in record.error_detail:
            wrong.append((error, record.error, record.error_detail))
        refused = decode(backend, [plain(json.dumps(error).encode(), 400)])
        if refused.error != "http" or words not in refused.error_detail:
            wrong.append((error, refused.error, refused.error_detail))
    assert wrong == []


#: Events of progress, whose states and codes sound like errors.
PROGRESS: list[dict[str, Any]] = [
    {"message": "queued"},
    {"detail": "3 requests before yours"},
    {"code": 1001, "queue_position": 4},
    {"code": -1, "msg": "waiting"},
    {"status": "failover: trying the next provider"},
    {"object": "moderation", "status": "failed_open"},
    {"event": "progress", "status": "no errors so far"},
]


@of_each
def test_what_only_hints_at_an_error_is_none_where_the_answer_goes_on(backend: Backend) -> None:
    framing, payloads = one(backend)
    if framing != "json":
        usual = facts(read(backend, framing, payloads))
        for hint in PROGRESS:
            found = facts(read(backend, framing, [hint, payloads[0], hint, *payloads[1:]]))
            assert {**found, "bytes_in": 0} == {**usual, "bytes_in": 0}, hint


@of_each
def test_what_says_that_nothing_is_wrong_is_no_error(backend: Backend) -> None:
    framing, payloads = one(backend)
    usual = facts(read(backend, framing, payloads))
    for more in FINE:
        said = [{**more, **payload} if isinstance(payload, dict) else payload for payload in payloads]
        found = facts(read(backend, framing, said))
        assert {**found, "bytes_in": 0} == {**usual, "bytes_in": 0}, more


@of_each
def test_what_carries_nothing_is_passed_over(backend: Backend) -> None:
    framing, payloads = one(backend)
    if framing != "json":
        usual = facts(read(backend, framing, payloads))
        found = facts(read(backend, framing, [*NOTHING, payloads[0], *NOTHING, *payloads[1:]]))
        assert {**found, "bytes_in": 0} == {**usual, "bytes_in": 0}


@of_each
def test_an_event_that_is_named_an_error(backend: Backend) -> None:
    """In plain text, as any JSON, and with nothing at all; under names with and without a prefix."""
    framing, payloads = one(backend)
    if framing != "sse":
        return
    for block, words in [
        (b"event: error\ndata: boom\n\n", "boom"),
        (b'data: {"message":"boom","request_id":"7"}\nevent:error\n\n', "boom"),
        (b'event: response.error\ndata: "boom"\n\n', "boom"),
        (b"event: error\ndata: {}\n\n", "error"),
        (b"event: exception\n\n", "exception"),
    ]:
        first = framed("sse", payloads[:1]).removesuffix(b"0\r\n\r\n")
        record = decode(backend, [first, b"%x\r\n%s\r\n0\r\n\r\n" % (len(block), block)])
        assert record.error == "in_stream", block
        assert words in record.error_detail


ODD: list[Any] = [None, [], {}, "", True, -3, 32.5, "many", 10**400, [[]], {"x": None}, "\ud83d", float("nan")]
#: Keys by which a backend tells what an event is, or which hold an answer's text.
TELLING = {"type", "object", "done", "stop", "special", "delta", "choices", "generated_text", "status", "error"}


def places(value: Any, keep: Callable[[Any], bool], path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values that may be changed."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if keep(inner) and key not in TELLING:
            yield (*path, key)
        yield from places(inner, keep, (*path, key))


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    changed = deepcopy(value)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = new
    return changed


def has_text(value: Any) -> bool:
    if isinstance(value, (dict, list)):
        return any(map(has_text, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and value != ""


def kept(text: str | None, found: str | None) -> bool:
    """All of the text is there; thinking may come before the rest of an event, and more may be."""
    return not Counter(text or "") - Counter(found or "")


@of_each
def test_a_field_of_an_odd_type_loses_itself_and_not_the_event(backend: Backend) -> None:
    """Each value that is no text, in turn, becomes each of many things; an object also a list that holds only it."""
    framing, payloads = one(backend)
    usual = read(backend, framing, payloads)
    lost = []
    for i, payload in enumerate(payloads):
        for path in places(payload, lambda value: not has_text(value)):
            for odd in ODD:
                record = read(backend, framing, [*payloads[:i], put(payload, path, odd), *payloads[i + 1 :]])
                if not kept(usual.text, record.text) or record.error not in (None, "truncated", "empty"):
                    lost.append((i, path, odd, record.error, record.error_detail, record.text))
                if usual.sequences is not None and record.sequences is None:
                    lost.append((i, path, odd, record.error, record.error_detail, record.sequences))
    assert lost == []


def parts(text: str) -> list[Any]:
    return [
        [{"type": "text", "text": text}],
        [text[:1], {"type": "output_text", "text": text[1:]}],
        {"type": "text", "text": {"value": text, "annotations": []}},
        [[{"text": text}], {"type": "image_url", "image_url": {"url": "x"}}],
        [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}],
    ]


#: What the events of some backends call their text, where it is not of these.
TEXTS = ("text", "content", "response", "text_output", "reasoning", "reasoning_content", "delta", "generated_text")


@of_each
def test_text_in_parts(backend: Backend) -> None:
    """Where a text stands, a list of parts may."""
    if not backend.generates:
        return
    framing, payloads = one(backend)
    usual = read(backend, framing, payloads)
    found = 0
    for i, payload in enumerate(payloads):
        for path, text in texts(payload):
            for odd in parts(text):
                record = read(backend, framing, [*payloads[:i], put(payload, path, odd), *payloads[i + 1 :]])
                assert kept(usual.text, record.text), (path, odd)
                assert record.error is None
                found += 1
    assert found


def texts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if isinstance(inner, str) and inner and (key in TEXTS or path[-1:] == ("text",)):
            yield (*path, key), inner
        yield from texts(inner, (*path, key))


JSON = st.recursive(
    st.sampled_from(ODD) | st.text(max_size=4) | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_any_change_of_an_answer_is_survived(data: st.DataObject) -> None:
    """Types swapped, fields dropped and added, at any depth: a Record comes of it that can be written down."""
    transcript = data.draw(st.sampled_from(GOOD))
    backend = BACKENDS[data.draw(st.sampled_from(transcript.backends))]
    framing, payloads = events(backend, transcript)
    for _ in range(data.draw(st.integers(1, 4))):
        i = data.draw(st.integers(0, len(payloads) - 1))
        paths = [(), *places(payloads[i], lambda value: True)] if not isinstance(payloads[i], bytes) else [()]
        path, new = data.draw(st.sampled_from(paths)), data.draw(JSON)
        payloads[i] = put(payloads[i], path, new) if path else new
    record = read(backend, framing, payloads)
    msgspec.json.encode(record, enc_hook=list)


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_text_that_is_still_there_is_not_lost(data: st.DataObject) -> None:
    """Whatever becomes of the values around it, what is added beside it, and the parts that it comes in.

    Where a count alone tells deltas from all the text so far, equal deltas without it are the latter.
    """
    some = [t for t in GOOD if t.name != "SGLang told to send deltas" and BACKENDS[t.backends[0]].generates]
    transcript = data.draw(st.sampled_from(some))
    backend = BACKENDS[data.draw(st.sampled_from(transcript.backends))]
    framing, payloads = events(backend, transcript)
    usual = read(backend, framing, payloads)
    for _ in range(data.draw(st.integers(1, 5))):
        i = data.draw(st.integers(0, len(payloads) - 1))
        # what a tool is given is text only as the JSON that it is
        around = [path for path in places(payloads[i], lambda value: not has_text(value)) if "input" not in path]
        objects = [path for path in places(payloads[i], lambda value: isinstance(value, dict)) if "input" not in path]
        said = dict(texts(payloads[i]))
        kind = data.draw(st.sampled_from(["odd", "add", "wrap", "parts"]))
        if kind == "odd" and around:
            payloads[i] = put(payloads[i], data.draw(st.sampled_from(around)), data.draw(st.sampled_from(ODD)))
        elif kind == "add" and isinstance(payloads[i], dict):
            payloads[i] = {**payloads[i], data.draw(st.sampled_from(["x", "usage_x", "metrics"])): data.draw(JSON)}
        elif kind == "wrap" and objects:
            path = data.draw(st.sampled_from(objects))
            payloads[i] = put(payloads[i], path, [at(payloads[i], path)])
        elif kind == "parts" and said:
            path = data.draw(st.sampled_from([*said]))
            payloads[i] = put(payloads[i], path, data.draw(st.sampled_from(parts(said[path]))))
    record = read(backend, framing, payloads)
    assert kept(usual.text, record.text)
    assert record.error in (None, "truncated", "empty")


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


DEEP = b"[" * 900 + b"]" * 900


@of_each
def test_however_deep(backend: Backend) -> None:
    """In an unknown field, in place of a known one, as the words of an error, and beyond what any parser takes."""
    for payload in (
        b'{"x":%s}' % DEEP,
        b'{"choices":[{"delta":{"content":%s,"tool_calls":%s}}]}' % (DEEP, DEEP),
        b'{"response":%s,"text":%s,"content":%s,"text_output":%s,"delta":%s}' % ((DEEP,) * 5),
        b'{"error":%s}' % DEEP,
        b'{"error":' * 900 + b"1" + b"}" * 900,
        b"[" * 200_000,
    ):
        backend.read(payload)
        of_body(payload)


def chat(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def counted(prompt: Any, completion: Any, total: Any = None, **more: Any) -> dict[str, Any]:
    told = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **more}
    return {"usage": {key: value for key, value in told.items() if value is not None}}


DONE = b"[DONE]"
WORDS = [chat({"content": "w "})] * 5
CHAT = BACKENDS["openai-chat"]


def streamed(*payloads: Any) -> Record:
    """Each in a read of its own, every 0.1 s."""
    bodies = [p if isinstance(p, bytes) else json.dumps(p).encode() for p in payloads]
    pieces = [b"data: %s\n\n" % body for body in bodies]
    reads = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    return decode(CHAT, [response().removesuffix(b"0\r\n\r\n"), *reads[:-1], reads[-1] + b"0\r\n\r\n"])


@every(
    ("delta", "text", "has_output"),
    [
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm "}]}]}, "hm ", False),
        ({"content": [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "a"}]}, "hma", True),
        ({"content": None, "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}, "hm", False),
        ({"content": "a", "reasoning": "h", "reasoning_details": [{"text": "h"}]}, "ha", True),
        ({"content": "a", "thinking": "hm"}, "hma", True),
        ({"reasoning": {"content": "hm"}}, "hm", False),
        ({"reasoning_text": "hm"}, "hm", False),
        ({"refusal": "no"}, "no", True),
        ({"audio": {"id": "x", "transcript": "said", "data": "UklGRg=="}}, "said", True),
        ({"text": "a"}, "a", True),
        ("a", "a", True),
        ([{"type": "text", "text": "a"}], "a", True),
        ({"tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]}, '{"x":1}', False),
        ({"tool_calls": {"function": {"arguments": "{}"}}}, "{}", False),
        ({"tool_calls": [{"type": "custom", "custom": {"input": "ls"}}]}, "ls", False),
        ({"function_call": {"name": "f", "arguments": "{}"}}, "{}", False),
    ],
)
def test_what_a_delta_says(delta: Any, text: str, has_output: bool) -> None:
    """Thinking or calls of tools have no ``first_output``."""
    for choice in ({"delta": delta}, {"delta": None, "message": delta}, {"delta": {}, "message": delta}):
        record = streamed({"choices": [choice]}, chat({}, "stop"), DONE)
        assert (record.error, record.text, record.first_output is not None) == (None, text, has_output)


def test_a_response_that_has_an_empty_error_or_was_cancelled() -> None:
    item = {"type": "message", "content": [{"type": "output_text", "text": "w "}]}
    over = {"object": "response", "status": "completed", "output": [item], "error": {"code": 0, "message": ""}}
    for changed, error in (
        ({}, None),
        ({"status": "cancelled"}, "in_stream"),
        ({"error": {"message": "x"}}, "in_stream"),
    ):
        record = decode(BACKENDS["openai-responses"], [plain(json.dumps({**over, **changed}).encode())])
        assert (record.error, record.text) == (error, "" if error else "w ")


def test_choices_of_every_shape() -> None:
    two = [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}}]
    for choices, text in [(two, "ab"), ({"0": two[0]}, "a"), (two[1], "b"), ([{"delta": {}}, two[1]], "b"),
                          ([{"delta": {}, "text": "c"}], "c"), (["d"], "d")]:  # fmt: skip
        assert streamed({"choices": choices}, chat({}, "stop"), DONE).text == text, choices


def test_a_last_event_that_repeats_the_whole_answer_brings_nothing_new() -> None:
    """Its text is the answer's where none came before."""
    said = {"object": "chat.completion", "choices": [{"message": {"content": "w w "}, "finish_reason": "stop"}]}
    item = {"type": "message", "content": [{"type": "output_text", "text": "w w "}]}
    over = {"type": "response.completed", "response": {"status": "completed", "output": [item]}}
    audio = {"type": "transcript.text.done", "text": "w w "}
    for name, piece, last in [
        ("openai-chat", chat({"content": "w "}), said),
        ("openai-responses", {"type": "response.output_text.delta", "delta": "w "}, over),
        ("openai-audio", {"type": "transcript.text.delta", "delta": "w "}, audio),
    ]:
        for before in ([piece, piece], []):
            record = read(BACKENDS[name], "sse", [*before, last])
            assert (record.error, record.text, sum(record.arrival_events)) == (None, "w w ", len(before) or 1), name


@every(
    ("reason", "error"),
    [
        *((fine, None) for fine in ("stop", "length", "content_filter", "tool_calls", {"type": "stop"}, ["length"])),
        ("model_context_window_exceeded", None),
        *((failed, "in_stream") for failed in ("error", "ABORTED", "cancelled", "network_error", {"type": "abort"})),
        *((shed, "rejected") for shed in ("insufficient_system_resource", "engine_overloaded")),
    ],
)
def test_finish_reasons_that_tell_of_a_failure(reason: Any, error: str | None) -> None:
    assert streamed(*WORDS, chat({}, reason), DONE).error == error


NO_COUNT = ["events", 5]
THOUGHT = {"reasoning_tokens": 90}
NOUGHTS, ENDLESS = (
    counted(0, 0, 0),
    b'{"choices":[],"usage":{"prompt_tokens":1e400,"completion_tokens":%s}}' % (b"9" * 5000),
)


def end(*told: Any, **more: Any) -> dict[str, Any]:
    """The last chunk with choices, and usage beside them."""
    return chat({}, "stop", **(counted(*told, **more) if told else more))


#: No counts, though they stand where counts do.
NUMBERS: list[Any] = [[], True, -3, 32.5, "x", {}, ""]
#: What is told, how it comes, [token_source, output_tokens], prompt_tokens.
USAGES: list[tuple[str, list[Any], list[Any], int | None]] = [
    ("noughts, then the truth", [*[chat({"content": "w "}, **NOUGHTS)] * 5, end(7, 9, 16)], ["usage", 9], 7),
    ("the prompt's at first", [chat({"content": "w "}, **counted(7, None)), *WORDS[1:], end(0, 0, 0)], NO_COUNT, 7),
    ("thinking apart", [*WORDS, end(5, 10, 105, completion_tokens_details=THOUGHT)], ["usage", 100], 5),
    ("thinking apart, no sum", [*WORDS, end(5, 10, None, **THOUGHT)], ["usage", 100], 5),
    ("thinking within", [*WORDS, end(5, 100, 105, completion_tokens_details=THOUGHT)], ["usage", 100], 5),
    ("only the sum", [*WORDS, end(5, 0, 15)], ["usage", 10], 5),
    ("the sum is right, as far as came", [*WORDS, end(5, 2, 10)], ["usage", 5], 5),
    ("under other names", [*WORDS, end(usage={"input_tokens": 5, "output_tokens": 9})], ["usage", 9], 5),
    ("elsewhere", [*WORDS, end(usage=None, x_groq=counted(5, 9))], ["usage", 9], 5),
    ("alone and elsewhere", [*WORDS, end(), {"metadata": counted(5, 9)}], ["usage", 9], 5),
    *[(f"{odd!r}", [*WORDS, end(odd, odd)], NO_COUNT, None) for odd in NUMBERS],
    *[(f"{odd!r}", [*WORDS, end(odd, odd)], ["usage", 32], 32) for odd in (32.0, "32", "32.0")],
    *[(f"{odd!r}", [*WORDS, end(usage=odd)], NO_COUNT, None) for odd in ([1], "32", None, 7)],
    ("endless", [*WORDS, ENDLESS], NO_COUNT, None),
]


@every(("payloads", "output", "prompt"), [u[1:] for u in USAGES], ids=[u[0] for u in USAGES])
def test_counts_are_not_taken_at_their_word(payloads: list[Any], output: list[Any], prompt: int | None) -> None:
    """Whatever is told of them, tokens came when they came."""
    record = streamed(*payloads, DONE)
    assert record.error in (None, "truncated")
    assert ([record.token_source, record.output_tokens], record.prompt_tokens) == (output, prompt)
    assert list(record.arrival_times) == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.6])
    assert sum(record.arrival_tokens) == record.output_tokens
    assert min(record.arrival_tokens) >= 1


@every("running", [[0] * 5, [1, 2, 1, 2, 3], [5] * 5, [0, 1, 2, 3, 4], [None] * 5, ["1", 2.0, [], 4, 5]])
def test_running_counts_that_fall_jump_lag_or_are_none(running: list[Any]) -> None:
    pieces = [chat({"content": "w "}, **counted(5, n, 5 + n if isinstance(n, int) else None)) for n in running]
    record = streamed(*pieces, chat({}, "stop"), {"choices": [], **counted(5, 5, 10)}, DONE)
    assert (record.error, record.output_tokens, list(record.arrival_tokens)) == (None, 5, [1] * 5)


@every(
    ("usage", "prompt", "cached"),
    [
        ({"prompt_tokens": 50, "prompt_tokens_details": {"cached_tokens": None}}, 50, None),
        ({"prompt_tokens": 50, "prompt_tokens_details": {"cached_tokens": "48"}}, 50, 48),
        ({"prompt_tokens": 50, "prompt_cache_hit_tokens": 48, "prompt_cache_miss_tokens": 2}, 50, 48),
        ({"prompt_tokens": 50, "prompt_cache_hit_tokens": 0}, 50, 0),
        ({"prompt_tokens": 50, "cached_tokens": 48}, 50, 48),
        ({"input_tokens": 5, "cache_read_input_tokens": 95}, 100, 95),
        ({"prompt_tokens": 5, "total_tokens": 109, "prompt_tokens_details": {"cached_tokens": 95}}, 100, 95),
        ({"prompt_tokens": 5, "total_tokens": 14, "prompt_tokens_details": {"cached_tokens": 95}}, 5, None),
        ({"input_tokens": 50, "input_tokens_details": {"cached_tokens": 48}}, 50, 48),
    ],
)
def test_every_cache_counts(usage: dict[str, Any], prompt: int, cached: int | None) -> None:
    record = streamed(*WORDS, chat({}, "stop", usage={**usage, "completion_tokens": 9}), DONE)
    assert (record.prompt_tokens, record.cached_tokens, record.output_tokens) == (prompt, cached, 9)


def test_two_counts_that_differ_are_both_kept() -> None:
    """The sum's, the ids', and a running one that was ahead; one that lagged is no other count."""
    vllm = BACKENDS["vllm"]
    pieces = [{"choices": [{"index": 0, "text": "w ", "token_ids": [1, 2]}]}] * 5
    last = {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}], **counted(5, 32)}
    record = read(vllm, "sse", [*pieces, last, DONE])
    assert (record.output_tokens, record.disputed, sum(record.arrival_tokens)) == (32, 10, 32)
    assert streamed(*WORDS, chat({}, "stop", **counted(5, 9, 30)), DONE).disputed == 25
    ahead = [chat({"content": "w "}, **counted(5, 40)), *WORDS[1:]]
    assert streamed(*ahead, chat({}, "stop"), {"choices": [], **counted(5, 5)}, DONE).disputed == 40
    behind = [chat({"content": "w "}, **counted(5, 4)), *WORDS[1:]]
    assert streamed(*behind, chat({}, "stop"), {"choices": [], **counted(5, 5)}, DONE).disputed is None
