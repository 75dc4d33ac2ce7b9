"""Whatever a server's pages are: what is read of them is sound, or one clear error."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.errors import ServerError
from pytest_vllm_bench.model import Target
from pytest_vllm_bench.observe import pages, ready, tokenize, trial
from pytest_vllm_bench.text import say

TARGET = Target(base_url="http://h")
NAMES = st.sampled_from(["data", "id", "root", "max_model_len", "error", "message", "code", "type", "status", "detail",
                         "tokens", "count", "version", "choices", "usage"])  # fmt: skip
WORDS = st.text(st.characters(codec=None), max_size=8) | st.sampled_from(["m", "400", "1e999", "{x}", "\ud800"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | WORDS
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4))
BODIES = st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode())


def sound(error: ServerError) -> None:
    for lang in ("en", "zh"):
        say(error.message, lang).encode()


@settings(deadline=None)
@given(body=BODIES, status=st.sampled_from([200, 200, 302, 400, 401, 404, 429, 500]), to=st.text(max_size=12))
def test_any_page(body: bytes, status: int, to: str) -> None:
    page = pages.Page(status=status, headers={"Location": to, "Retry-After": to}, body=body)
    try:
        for entry in ready.models_of(TARGET, page):
            entry["id"].encode()
            assert (ready.window(entry.get("max_model_len")) or 1) >= 1
    except ServerError as error:
        sound(error)
    asked = trial.Trial(backend=BACKENDS["openai-chat"], path="/v1/chat/completions", body=b"{}", model="m")
    server = ready.Server(target=TARGET, models=("other",))
    sound(trial.unfit(server, asked, page))
    with contextlib.suppress(ServerError):
        trial.enough(server, asked, trial.TrialAnswer(), [body])
    sound(trial.complained(server, asked, body, "said"))


@settings(deadline=None)
@given(answer=st.dictionaries(NAMES, JSON, max_size=4))
def test_any_answer_of_a_tokenizer(answer: dict[str, Any]) -> None:
    for kind in (list, str):
        try:
            found = tokenize._said(TARGET, "/tokenize", answer, kind)
        except ServerError as error:
            sound(error)
        else:
            assert isinstance(found, kind)
