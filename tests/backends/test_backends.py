"""What must hold for every backend, ours or a third party's: run over the dict, so an addition is tested by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.parser import BytesParser
from typing import Any

import msgspec
from every import every
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_vllm_bench.backends import BACKENDS, knows, notes
from pytest_vllm_bench.model import Ask, Backend, Cell, Delta, Media, Prompt, Scenario, Target
from pytest_vllm_bench.text import LANGUAGES, say

SAMPLING = {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "seed": 7, "stop": ["\n\n"]}
CLIP = Media(kind="audio", data=b"RIFF\x00\xff\r\n--", mime="audio/wav", seconds=1.0)


def prompt(backend: Backend) -> Prompt:
    return Prompt(text="Hello", media=(CLIP,) if backend.takes_media == {"audio"} else ())


def ask(backend: Backend, **changed: Any) -> Ask:
    values: dict[str, Any] = {"prompt": prompt(backend), "model": "m", "output_len": 9, "force_length": True}
    return Ask(**{**values, **changed})


def fields(backend: Backend, **changed: Any) -> dict[str, Any]:
    """A request's fields, of JSON or of a form."""
    body = backend.body(ask(backend, **changed))
    if backend.content_type == "application/json":
        found = json.loads(body)
        assert isinstance(found, dict)
        return found
    form = BytesParser().parsebytes(f"content-type: {backend.content_type}\r\n\r\n".encode() + body)
    parts = [part for part in form.walk() if not part.is_multipart()]
    return {str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True) for part in parts}


def leaves(value: Any) -> set[str]:
    """All scalars below, as text."""
    if isinstance(value, Mapping):
        return set().union(*map(leaves, value.values()))
    if isinstance(value, list):
        return set().union(*map(leaves, value))
    return {value.decode(errors="replace") if isinstance(value, bytes) else str(value)}


#: A test over every backend.
of_each = every("backend", BACKENDS.values(), ids=BACKENDS)


@of_each
def test_the_dict_is_keyed_by_name(backend: Backend) -> None:
    assert BACKENDS[backend.name] is backend
    assert backend.path.startswith("/")


@of_each
def test_its_quirks_are_said_in_both_languages(backend: Backend) -> None:
    for lang in LANGUAGES:
        assert say(f"backends.about.{backend.name}", lang)


@of_each
def test_the_same_ask_gives_the_same_body(backend: Backend) -> None:
    assert backend.body(ask(backend)) == backend.body(ask(backend))


@of_each
def test_the_prompt_and_the_longest_answer_are_sent(backend: Backend) -> None:
    sent = leaves(fields(backend))
    assert "Hello" in sent
    if backend.generates:
        assert "9" in sent


@of_each
def test_forcing_the_length_changes_the_body_where_it_is_possible(backend: Backend) -> None:
    changed = fields(backend, force_length=True) != fields(backend, force_length=False)
    assert changed == backend.forces_length


@of_each
def test_without_a_length_none_is_sent(backend: Backend) -> None:
    sent = fields(backend, output_len=None, force_length=False)
    if backend.name == "anthropic-messages":  # which takes no request without
        assert sent.pop("max_tokens") > 0
    assert not [key for key in sent if "max_" in key and "length" not in key]


@of_each
def test_token_detail_is_asked_for_where_it_has_to_be(backend: Backend) -> None:
    if not backend.token_detail:
        assert fields(backend, token_detail=True) == fields(backend, token_detail=False)


@of_each
def test_sampling_is_sent_or_said_to_be_left_out(backend: Backend) -> None:
    if not backend.generates:
        return
    for key, value in SAMPLING.items():
        known = backend.samples is None or key in backend.samples
        changed = fields(backend, sampling={key: value}) != fields(backend, sampling={})
        assert changed == known, key


#: Backend → what its server calls the least number of tokens; the others cannot be told one.
LEAST = {
    **dict.fromkeys(
        ["vllm", "vllm-chat", "openai", "openai-chat", "sglang-oai", "trtllm-serve", "tensorrt-llm",
         "deepspeed-mii-generate", "deepspeed-mii-openai"], "min_tokens",
    ),
    "sglang": "min_new_tokens",
    "deepspeed-mii": "min_new_tokens",
}  # fmt: skip


@of_each
def test_a_least_number_of_tokens_is_translated_or_said_to_be_left_out(backend: Backend) -> None:
    asked = {"temperature": 0, "min_tokens": 7}
    if not backend.generates:
        return
    if backend.name in LEAST:
        sent = fields(backend, sampling=asked, force_length=False)
        assert sent.get("sampling_params", sent)[LEAST[backend.name]] == 7
        assert knows(backend, "min_tokens")
        forced = fields(backend, sampling=asked)  # of all that is forced, none may be undone
        assert (
            forced.get("ignore_eos")
            or forced.get("sampling_params", forced).get("ignore_eos")
            or "9" in {str(forced[LEAST[backend.name]])}
        )
        return
    said = [m.values["names"] for m in notes(backend, scenario(sampling=asked)) if m.key.endswith("left_out")]
    assert said == ["min_tokens"]


@of_each
def test_greedy_is_understood(backend: Backend) -> None:
    """A temperature of 0 is an error for some: they are told to be greedy in their own way."""
    if backend.generates and (backend.samples is None or "temperature" in backend.samples):
        assert fields(backend, sampling={"temperature": 0}) != fields(backend, sampling={"temperature": 1})


@of_each
def test_a_sampling_key_of_null_is_not_sent(backend: Backend) -> None:
    nulls = dict.fromkeys(SAMPLING)
    assert fields(backend, sampling=nulls) == fields(backend, sampling={})


@of_each
def test_the_user_has_the_last_word(backend: Backend) -> None:
    plain = fields(backend)
    key = next(iter(plain))
    assert key not in fields(backend, extra_body={key: None})
    added = fields(backend, extra_body={"x_mine": "yes", "deep": {"er": 1}})
    assert set(added) - set(plain) == {"x_mine", "deep"}


@of_each
def test_streaming_follows_from_the_ask(backend: Backend) -> None:
    if backend.framing != "json":
        assert fields(backend, stream=True) != fields(backend, stream=False) or backend.name == "tgi"


@of_each
def test_a_text_with_its_bos_gets_no_other_where_the_server_can_be_told(backend: Backend) -> None:
    assert (fields(backend, templated=True) != fields(backend, templated=False)) == backend.bare_text


@of_each
def test_chat_backends_name_the_one_for_text_of_the_same_server(backend: Backend) -> None:
    if backend.completions:
        other = BACKENDS[backend.completions]
        assert backend.takes_messages
        assert other.generates
        assert not other.takes_messages


@of_each
def test_token_ids_are_sent_as_they_are(backend: Backend) -> None:
    if backend.takes_token_ids:
        sent = backend.body(ask(backend, prompt=Prompt(token_ids=[3, 1, 4])))
        assert b"[3,1,4]" in sent


@settings(max_examples=50, deadline=None)
@given(payload=st.binary(max_size=60))
@every("name", BACKENDS)
def test_reading_never_breaks_on_bytes(name: str, payload: bytes) -> None:
    assert isinstance(BACKENDS[name].read(payload), Delta)


_NAMES = st.sampled_from(
    [
        "choices", "delta", "message", "text", "content", "reasoning", "tool_calls", "function", "arguments", "usage",
        "prompt_tokens", "completion_tokens", "error", "code", "type", "object", "status", "detail", "data", "results",
        "response", "output", "meta_info", "finish_reason", "output_ids", "token", "generated_text", "details", "done",
        "text_output", "stop", "timings", "predicted_n",
    ]
)  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None)
@given(value=_JSON)
@every("name", BACKENDS)
def test_reading_never_breaks_on_json(name: str, value: Any) -> None:
    delta = BACKENDS[name].read(msgspec.json.encode(value))
    assert isinstance(delta, Delta)
    assert delta.error is None or delta.error_kind in ("in_stream", "rejected", "protocol")


@of_each
@every(
    ("error", "words", "kind"),
    [
        ({"error": "out of memory"}, "out of memory", "in_stream"),
        ({"error": {"message": "too long", "code": 400, "type": "BadRequestError"}}, "too long", "in_stream"),
        ({"error": "busy", "error_type": "overloaded"}, "busy", "rejected"),
        ({"error": {"message": "x", "http_status_code": 422}}, "x", "in_stream"),
        ({"error": {"message": "queue full", "code": 503}}, "queue full", "rejected"),
        ({"object": "error", "message": "no such model", "code": 40301}, "no such model", "in_stream"),
        ({"detail": "Not Found"}, "Not Found", "in_stream"),
        ({"detail": [{"loc": ["body"]}]}, '[{"loc": ["body"]}]', "in_stream"),
        ({"message": "Internal Server Error"}, "Internal Server Error", "in_stream"),
    ],
)
def test_errors_in_every_shape(backend: Backend, error: Mapping[str, Any], words: str, kind: str) -> None:
    delta = backend.read(json.dumps(error).encode())
    assert (delta.error, delta.error_kind) == (words, kind)


@of_each
def test_progress_is_no_error(backend: Backend) -> None:
    if backend.generates and backend.framing == "sse":
        assert backend.read(b'{"type":"progress","message":"prefill","done":0.5}').error is None


def scenario(**changed: Any) -> Scenario:
    values: dict[str, Any] = {
        "cell": Cell(place="x"), "target": Target(), "backend": "x", "output_len": 8, "input_len": 8,
    }  # fmt: skip
    return Scenario(**{**values, **changed})


@of_each
def test_what_it_cannot_do_is_said(backend: Backend) -> None:
    asked = scenario(token_detail="on", sampling={"temperature": 0, "strange": 1}, models=("a", "b"))
    found = {message.key.removeprefix("backends.") for message in notes(backend, asked)}
    assert ("cannot_force" in found) == (backend.generates and not backend.forces_length)
    assert ("no_stream" in found) == (backend.generates and backend.framing == "json")
    assert ("no_token_detail" in found) == (backend.generates and not backend.token_detail)
    assert ("sampling_left_out" in found) == (backend.generates and backend.samples is not None)
    assert ("one_model" in found) == (not backend.names_model)
    for message in notes(backend, asked):
        for lang in LANGUAGES:
            assert backend.name in say(message, lang)


def test_nothing_is_said_where_all_will_be_as_asked() -> None:
    assert notes(BACKENDS["vllm"], scenario(token_detail="on")) == ()
    assert notes(BACKENDS["tgi"], scenario(ignore_eos=False)) == ()


def test_a_chat_template_applied_here_is_said() -> None:
    (message,) = notes(BACKENDS["openai"], scenario(chat_template="client"))
    assert message.key == "backends.template_here"
