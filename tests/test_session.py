"""Whether a server is measured: one request of the scenario's own shape decides, and nothing else does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from raw import Answer, error, events, html, models, page, serving, works

from pytest_vllm_bench import config
from pytest_vllm_bench.errors import NotReady, ServerError
from pytest_vllm_bench.model import Message, Scenario, Target
from pytest_vllm_bench.observe import pages, ready, trial
from pytest_vllm_bench.registry import builtin
from pytest_vllm_bench.session import Session
from pytest_vllm_bench.text import say
from pytest_vllm_bench.tokenizer import SMALL
from pytest_vllm_bench.world import World

CHAT = "/v1/chat/completions"
Open = Callable[..., World]


@pytest.fixture
def scenarios(tmp_path: Path) -> Callable[..., tuple[Session, list[Scenario]]]:
    def make(url: str, **keys: Any) -> tuple[Session, list[Scenario]]:
        cells = {"input_output": [[16, 8]], "concurrency_prompts": [[1, 4]], "tokenizer": str(SMALL)}
        written = {"base_url": url, "backend": "openai-chat", "model": "m", **cells, **keys}
        (tmp_path / "config.yaml").write_text(json.dumps({k: v for k, v in written.items() if v is not None}))
        read = config.read(tmp_path / "config.yaml", config.Overrides(), builtin())
        found = config.matrix(read)
        return Session(read, builtin(), found, tmp_path), list(found)

    return make


@pytest.fixture
def opened(scenarios: Callable[..., tuple[Session, list[Scenario]]]) -> Open:
    """``opened(url, patience=…, said=[…], **config)``: a scenario's world, its server having been found to be there."""

    def run(url: str, patience: float = 0, said: list[Message] | None = None, **keys: Any) -> World:
        session, (first, *_) = scenarios(url, **keys)
        heard = said if said is not None else []
        return asyncio.run(asyncio.wait_for(session.open(first, patience, heard.append), 60))

    return run


def refused(open_: Open, *args: Any, **keys: Any) -> Message:
    with pytest.raises(ServerError) as caught:
        open_(*args, **keys)
    return caught.value.message


def endless(start: bytes, more: bytes) -> Answer:
    def write(number: int, body: bytes) -> Iterator[bytes]:
        yield start
        while True:
            yield more

    return write


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
DEEP = b"[" * 100_000
#: Answers that nobody hopes for, to what only informs.
ODD: dict[str, bytes | Answer] = {
    **{f"status {code}": error(code, "no") for code in (400, 401, 403, 404, 405, 409, 422, 429, 500, 501, 502, 503)},
    "login": page(b"", 302, Location="/login"),
    "starting": html(307, Location="/starting"),
    "html": html(),
    "blank": page(b""),
    "closed": b"",
    "garbage": b"SSH-2.0-OpenSSH_9.9\r\n",
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    "five": page({"data": 5}),
    "null": page(b"null"),
    "list": page([1, 2]),
    "deep": page(DEEP),
    "deeper": page(b'{"data": ' + DEEP),
    "digits": page(b'{"data": [{"id": "m", "max_model_len": ' + b"9" * 5000 + b"}]}"),
    "latin": page(b'{"data": [{"id": "\xe9"}]}'),
    "half": page(b'{"data": [{"id": "m\\ud800", "root": "\\udfff"}]}'),
    "ids": page({"data": [{"id": 5}, None, {"id": ""}, 7, {}]}),
    "tokens": page({"tokens": "x", "count": 1e400}),
    "counts": page(b'{"count": NaN, "tokens": [[1]]}'),
    "endless": endless(HEAD, b" " * 65536),
}


@pytest.mark.slow
def test_what_only_informs_never_refuses(opened: Open) -> None:
    wrong = []
    for name, odd in ODD.items():
        with serving({CHAT: works, **dict.fromkeys(("/v1/models", "/version", "/tokenize", "/metrics"), odd)}) as raw:
            said: list[Message] = []
            world = opened(raw.url, said=said)
        told = [note for note in world.notes if note.key in ("server.not_told", "server.not_listed")]
        if len(told) != 1 or said != list(world.notes):
            wrong.append((name, world.notes))
        assert all(say(note, lang) for note in world.notes for lang in ("en", "zh"))
        assert (world.models, world.template_tokens, raw.asked[CHAT]) == (("m",), None, 1), name
    assert not wrong


def test_a_page_that_drips_is_given_up() -> None:
    def drip(number: int, body: bytes) -> Iterator[bytes]:
        yield HEAD
        while True:
            time.sleep(0.05)
            yield b" "

    with serving({"/metrics": drip, "/v1/models": drip}) as raw, pytest.raises(NotReady) as caught:
        asyncio.run(asyncio.wait_for(pages.fetch(Target(base_url=raw.url), "/metrics", 0.3), 30))
    assert caught.value.message.key == "server.silent"


def test_windows_are_numbers_of_tokens_or_not_told(opened: Open) -> None:
    for odd in (b"1e999", b"NaN", b"-Infinity", b'"many"', b"-1", b"0", b"[1]", b"{}", b"null", b"1e300", b"true"):
        with serving({"/v1/models": page(b'{"data":[{"id":"m","max_model_len":%s}]}' % odd), CHAT: works}) as raw:
            assert opened(raw.url).max_model_len is None, odd
    for good in (b"4096", b"4096.0", b'"4096"'):
        with serving({"/v1/models": page(b'{"data":[{"id":"m","max_model_len":%s}]}' % good), CHAT: works}) as raw:
            assert opened(raw.url).max_model_len == 4096


def test_a_window_that_is_not_so_is_not_used(opened: Open) -> None:
    """What fits is the server's to say: in its own words, where it does not."""
    with serving({"/v1/models": models("m", max_model_len=20), CHAT: works}) as raw:
        world = opened(raw.url)
    assert world.max_model_len is None
    assert [note.key for note in world.notes] == ["server.window"]
    with serving({"/v1/models": models("m", max_model_len=20), CHAT: error(400, "too long for me")}) as raw:
        message = refused(opened, raw.url)
    assert (message.key, message.values["said"]) == ("server.context", "too long for me")


@pytest.mark.parametrize("name", ["status 401", "status 403", "login", "status 404", "five", "null", "half"])
def test_without_a_list_the_model_must_be_named(opened: Open, name: str) -> None:
    with serving({CHAT: works, "/v1/models": ODD[name]}) as raw:
        message = refused(opened, raw.url, model=None, patience=30)
    assert message.key == "server.model_unknown"
    assert "model:" in say(message, "en")


def test_a_long_list_is_named_in_part(opened: Open) -> None:
    many = [f"model-{n}" for n in range(20_000)]
    with serving({CHAT: error(404, "The model m does not exist"), "/v1/models": models(*many)}) as raw:
        for keys in ({"model": None}, {"model": "m"}):
            message = refused(opened, raw.url, **keys)
            assert "model-9 … (+19,990)" in say(message, "en")
            assert len(say(message, "zh")) < 1000


def test_names_that_no_list_has_are_tried(opened: Open) -> None:
    with serving({CHAT: works, "/v1/models": models("base", "other")}) as raw:
        world = opened(raw.url, model=["alias", "lora"])
    assert [note.key for note in world.notes] == ["server.not_listed"]
    assert [body["model"] for body in raw.bodies] == ["alias", "lora"]


def test_the_trial_has_the_shape_of_the_load(opened: Open) -> None:
    keys = {"sampling": {"top_p": 0.5}, "extra_body": {"safety_identifier": "ci"}, "input_output": [[40, 24]]}
    with serving({CHAT: works}) as raw:
        opened(raw.url, **keys)
    (body,) = raw.bodies
    words = body.pop("messages")[0]["content"]
    assert 10 < len(words.split()) <= 40
    assert body == {
        "model": "m",
        "max_completion_tokens": 24,
        "ignore_eos": True,
        "temperature": 0,
        "top_p": 0.5,
        "safety_identifier": "ci",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def least(number: int, body: bytes) -> bytes:
    asked = json.loads(body)
    if asked["max_completion_tokens"] < 16:
        return error(400, "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16")
    if asked.get("temperature", 1) != 1:
        return error(400, "Unsupported value: 'temperature' does not support 0 with this model. Only 1 is supported.")
    return works(number, body) if asked.get("safety_identifier") else error(400, "Missing: safety_identifier")


def test_servers_that_want_something_of_a_request(opened: Open) -> None:
    """Fine where the scenario has it; else refused before the load, with the way out."""
    good: dict[str, Any] = {
        "sampling": {"temperature": None},
        "extra_body": {"safety_identifier": "ci"},
        "input_output": [[16, 16]],
    }
    with serving({CHAT: least}) as raw:
        opened(raw.url, **good)
        assert "temperature" not in raw.bodies[0]
        for bad, word in (({"input_output": [[16, 8]]}, ">= 16"), ({"extra_body": {}}, "safety_identifier")):
            assert word in say(refused(opened, raw.url, **good | bad), "en")
        message = refused(opened, raw.url, **good | {"sampling": {}})
        for lang in ("en", "zh"):
            assert "does not support 0" in say(message, lang)
            assert "temperature: 0" in say(message, lang)  # what was sent
            assert "sampling: {temperature: null}" in say(message, lang)


def test_only_a_tokenizer_asked_for_may_refuse(opened: Open) -> None:
    with serving({CHAT: works, "/tokenize": error(403, "not for you")}) as raw:
        assert "not for you" in say(refused(opened, raw.url, tokenizer="server"), "en")
    with serving({CHAT: works, "/tokenize": page({"tokens": [1, "x"]})}) as raw:
        assert refused(opened, raw.url, tokenizer="server").key == "server.odd_tokenize"


def test_a_long_answer_is_left_after_its_first_token(opened: Open) -> None:
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"w "}}]}\n\n'
    role = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    with serving({CHAT: endless(HEAD + role, chunk)}) as raw:
        opened(raw.url, input_output=[[16, 4096]])
        assert raw.bodies[0]["max_completion_tokens"] == 4096


def test_an_answer_without_a_token_or_with_an_error_is_none(opened: Open) -> None:
    finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}
    chunk = {"choices": [{"index": 0, "delta": {"content": "w "}}]}
    sent = {
        "server.no_token": events(finish, b"[DONE]"),
        "server.empty": page(b"hello, what do you want?"),
        "server.shape": events(chunk, {"error": {"message": "temperature must be 1", "code": 400}}),
        "server.auth": events({"error": {"message": "who are you", "code": "401"}}),
        "server.path": error(404, "Not Found"),
    }
    found = {}
    for key, said in sent.items():
        with serving({CHAT: said}) as raw:
            found[key] = refused(opened, raw.url, patience=30).key
    assert found == {key: key for key in sent}


#: Faces of "not yet" to the trial request, each while nobody knows better.
NOT_YET: dict[str, bytes] = {
    **{f"status {code}": html(code) for code in (500, 502, 503, 504, 529, 408, 425)},
    "json 500": error(500, "no instances available"),
    "model": error(404, "The model `m` does not exist"),
    "loading": error(400, "Model is still loading"),
    "busy": error(429, "slow down", Retry_After="0"),
    "busy until": error(429, "slow down", Retry_After=(NOW := "Fri, 27 Nov 2026 00:00:00 GMT"), Date=NOW),
    "error in 200": page({"error": "the engine is starting"}),
    "error event": events({"error": {"message": "no healthy upstream", "code": 503}}),
    "closed": b"",
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ndata: {",
    "ended": events({"choices": [{"index": 0, "delta": {"role": "assistant"}}]}),
    "blank": page(b""),
    "start page": html(),
    "to a start page": html(307, Location="/starting"),
    "not so": page({"data": []}, 503),
}


def later(odd: bytes, then: Callable[[int, bytes], bytes]) -> Answer:
    """Twice what is odd, then as it should be."""
    return lambda n, body: odd if n < 2 else then(n, body)


@pytest.mark.slow
def test_not_yet_is_waited_for_in_every_form(opened: Open) -> None:
    wrong = []
    for name, odd in NOT_YET.items():
        with serving({CHAT: later(odd, works)}) as raw:
            try:
                opened(raw.url, patience=30)
            except ServerError as problem:
                wrong.append((name, problem.message))
    assert not wrong


@pytest.mark.slow
def test_a_list_that_is_not_yet_there_is_waited_for(opened: Open) -> None:
    for odd in (page({"object": "list", "data": []}), html(503), html(), page(b""), b"", html(307, Location="/wait")):
        with serving({CHAT: works, "/v1/models": later(odd, lambda n, body: models("m"))}) as raw:
            assert opened(raw.url, patience=30, model=None).models == ("m",)


def test_an_answer_that_never_ends_is_told_from_none(opened: Open) -> None:
    token = b'data: {"choices":[{"index":0,"delta":{"content":"w "}}]}\n\n'

    def begun(number: int, body: bytes) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + token
        time.sleep(3)

    with serving({CHAT: begun}) as raw:
        last = refused(opened, raw.url, patience=0.5, timeouts={"first_token": 1}).values["why"]
    assert (last.key, raw.asked[CHAT]) == ("server.unended", 1)


def test_what_will_not_pass_fails_at_once(opened: Open) -> None:
    lasting = {code: error(code, "no") for code in (400, 401, 403, 404, 405, 413, 422, 501)}
    lasting |= {301: page(b"", 301, Location="https://elsewhere/"), 307: page(b"", 307, Location=f"https://h{CHAT}")}
    lasting |= {302: page(b"", 302, Location="/login?next=/")}
    for status, said in lasting.items():
        with serving({CHAT: said}) as raw:
            assert refused(opened, raw.url, patience=600).values["status"] == status
            assert raw.asked[CHAT] == 1
    with serving({CHAT: page(b"<html><title>Sign in</title>", Content_Type="text/html")}) as raw:
        assert refused(opened, raw.url, patience=600).key == "server.page"
    with serving({CHAT: error(404, "no such model"), "/v1/models": models("other")}) as raw:
        assert refused(opened, raw.url, patience=600).key == "server.model"


@pytest.mark.slow
def test_the_last_words_are_shown_and_the_wait_is_aloud(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "PATIENCE", 0.2)
    said: list[Message] = []
    with serving({CHAT: html(502)}) as raw:
        message = refused(opened, raw.url, patience=1.5, said=said)
    assert message.key == "server.not_ready"
    assert "Please wait" in say(message, "en")
    assert "Please wait" in say(said[-1], "zh")
    held: list[Message] = []
    monkeypatch.setattr(ready, "LEAST", 1)
    monkeypatch.setattr(trial, "MOST_BYTES", 1 << 40)
    with serving({CHAT: endless(HEAD, b": ping\n\n" * 9)}) as raw:
        refused(opened, raw.url, patience=0, said=held)
    assert {m.key for m in held} == {"server.waiting"}  # also while one request is held


def test_retry_after_is_honoured() -> None:
    assert pages.retry_after({"Retry-After": "7"}) == 7
    dates = {"Retry-After": "Fri, 27 Nov 2026 00:00:30 GMT", "Date": "Fri, 27 Nov 2026 00:00:00 GMT"}
    assert pages.retry_after(dates) == 30
    for odd in ("soon", "", "nan, then", "Fri, 27"):
        assert pages.retry_after({"Retry-After": odd}) is None


def test_a_server_that_went_away_is_waited_for_again(scenarios: Callable[..., Any]) -> None:
    """It is asked everything again; only where it stays away the others are spared."""
    with serving({"/v1/models": models("m"), CHAT: works}) as raw:
        session, (first, second, third) = scenarios(raw.url, concurrency_prompts=[[1, 4], [2, 4], [3, 4]])
        asyncio.run(session.open(first, 0, print))
        asyncio.run(session.open(second, 0, print))
        assert raw.asked[CHAT] == 1  # of one shape
        port = int(raw.url.rpartition(":")[2])
    session.servers.went(first)
    with pytest.raises(ServerError) as caught:
        asyncio.run(session.open(second, 0, print))
    assert session.servers.missing(second) is None
    with serving({"/v1/models": lambda n, b: models("m") if n else html(502), CHAT: works}, port) as raw:
        asyncio.run(session.open(second, 30, print))
        assert raw.asked[CHAT] == 1
    session.servers.went(second)
    said = session.servers.failed(third, caught.value)
    assert said is not None
    assert second.id in say(said, "en")
    assert session.servers.missing(third) == said


def test_a_refusal_is_of_one_shape(scenarios: Callable[..., Any]) -> None:
    with serving({CHAT: lambda n, body: works(n, body) if b'tokens":16' in body else error(400, "too few")}) as raw:
        cells = {"input_output": [[16, 8], [16, 16]], "concurrency_prompts": [[1, 4], [2, 4]]}
        session, (few, few_again, enough, _) = scenarios(raw.url, **cells)
        with pytest.raises(ServerError) as caught:
            asyncio.run(session.open(few, 0, print))
        assert session.servers.failed(few, caught.value) is None
        assert few.id in say(session.servers.missing(few_again), "en")
        assert session.servers.missing(enough) is None
        asyncio.run(session.open(enough, 0, print))
