"""Keys, credentials and header values stay where they are needed."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator

import pytest
from config_made import Read, Wrong
from every import every

from pytest_vllm_bench.config import Overrides, matrix
from pytest_vllm_bench.config.urls import address, redacted
from pytest_vllm_bench.text import say

SECRET = "hunter2-0123456789"
VARIABLE = "PYTEST_VLLM_BENCH_TEST_KEY"


@pytest.fixture
def variable() -> Iterator[str]:
    os.environ[VARIABLE] = SECRET
    yield VARIABLE
    del os.environ[VARIABLE]


def test_a_key_becomes_a_header_and_nothing_else(config: Read, variable: str) -> None:
    found = config(f"api_key_env: {variable}\nheaders: {{X-Team: {SECRET}}}\n")
    [scenario] = matrix(found)
    assert scenario.target.headers == {"X-Team": SECRET, "Authorization": f"Bearer {SECRET}"}
    for shown in (repr(found), repr(scenario), repr(found.written), repr(found.in_force), repr(found.settings)):
        assert SECRET not in shown
    assert found.written["headers"] == {"X-Team": "***"}
    assert found.written["api_key_env"] == variable


def test_credentials_in_a_url_become_a_header(config: Read) -> None:
    found = config("", Overrides(url=(f"http://me:{SECRET}@h:1/v1", "--vllm-url")))
    [scenario] = matrix(found)
    pair = base64.b64encode(f"me:{SECRET}".encode()).decode()
    assert scenario.target.headers == {"Authorization": f"Basic {pair}"}
    assert scenario.target.base_url == "http://h:1"
    for shown in (repr(found), repr(scenario), repr(found.written), repr(found.in_force)):
        assert SECRET not in shown
        assert pair not in shown


@every(
    "text",
    [
        f"api_key_env: sk-{SECRET}\n",
        f"api_key_env: {SECRET} x\n",
        "api_key_env: Ab12Cd34Ef56Gh78Ij90Kl\n",
        f"base_url: http://me:{SECRET}@h:99999\n",
        f"base_url: me:{SECRET}@h\n",
        f"base_url: http://me:{SECRET}@h/?a\n",
        f"base_url: http://me:{SECRET}@h/v1/completions\n",
        f"base_url: ftp://me:{SECRET}@h\n",
        f"headers: {{X: [{SECRET}]}}\n",
        f"headers: {{X: {SECRET}, 'bad name': {SECRET}}}\n",
    ],
)
def test_no_problem_repeats_a_secret(wrong: Wrong, text: str) -> None:
    lines = "input_output: [[8, 8]]\nconcurrency_prompts: [[2, 20]]\n"
    lines += text if "base_url" in text else "base_url: http://h\n" + text
    for problem in wrong(lines, short=False):
        for words in (say(problem.message, "en"), say(problem.message, "zh"), repr(problem)):
            assert SECRET not in words
            assert "Ab12Cd34" not in words


def test_a_key_with_a_line_break_is_told(wrong: Wrong, variable: str) -> None:
    os.environ[variable] = "a b"
    [problem] = wrong(f"api_key_env: {variable}\n")
    assert problem.message.key == "config.key_characters"


@every(
    ("url", "address_", "simulated"),
    [
        ("simulator", "simulator", True),
        ("http://h", "http://h", False),
        ("http://h/", "http://h", False),
        (" http://h:8000/v1 ", "http://h:8000", False),
        ("HTTPS://h/v1/", "https://h", False),
        ("https://h/deep/er/v1", "https://h/deep/er", False),
        ("http://[::1]:8000/v1", "http://[::1]:8000", False),
        ("unix:///run/x.sock", "unix:///run/x.sock", False),
    ],
)
def test_urls_come_to_one_form(url: str, address_: str, simulated: bool) -> None:
    found = address(url)
    assert (found.url, found.simulated, found.problem) == (address_, simulated, None)


def test_redaction_needs_no_valid_url() -> None:
    assert redacted("http://a:b@c@h/p?x@y") == "http://***@h/p?x@y"
    assert redacted("a:b@h") == "***@h"
    assert redacted("http://h/p@q") == "http://h/p@q"


@every(
    "url",
    [
        "http://me:hun/ter2@h", "http://me:1/hunter2@h", "http://me:hun?ter2@h:1", "http://me:hun#ter2@h",
        "//me:hunter2@h",
        "http:/me:hunter2@h", "https//me:hunter2@h", "http://me:hunter2@[::1", "http://me:hunter2@@h:x",
        "unix://me:hunter2@x",
        "http://h/p?token=hunter2", "http://h/#hunter2", "http://me:hunter2＠h", "http://me:hunter2%40h",
        "http:\\\\me:hunter2@h",
        "http://me:hunter2@h\n::add-mask::x", "http://me:hunter2@h/v1/completions",
    ],
)  # fmt: skip
def test_an_address_that_does_not_parse_hides_what_may_be_a_password(url: str) -> None:
    found = address(url)
    assert found.problem is not None
    for lang in ("en", "zh"):
        words = say(found.problem, lang)
        assert "ter2" not in words
        assert "\n" not in words


def test_keys_in_a_query_or_a_body_are_secrets(config: Read) -> None:
    text = "endpoint: /v1/x?api_key=query-secret&v=1\nextra_body: {user: me, auth: {api_key: body-secret}}\n"
    found = config(text + "overrides: [{match: '*', set: {extra_body: {token: other-secret}}}]\n")
    [scenario] = matrix(found)
    assert scenario.endpoint == "/v1/x?api_key=query-secret&v=1"
    assert scenario.target.discreet("query-secret body-secret other-secret me") == "*** *** *** me"
    for shown in (repr(found), repr(scenario)):
        assert "-secret" not in shown
