"""Every text exists in both languages, with the same blanks, and each language keeps to itself."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from every import every

from pytest_vllm_bench.model import Message
from pytest_vllm_bench.plugin import OPTIONS
from pytest_vllm_bench.text import language, safe, say, table
from pytest_vllm_bench.text.glossary import GLOSSARY

ROOT = Path(__file__).parent.parent

HAN = re.compile(r"[\u4e00-\u9fff]")


def blanks(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@every("key", sorted(table()))
def test_both_languages_say_the_same(key: str) -> None:
    english, chinese = table()[key]
    assert english.strip()
    assert chinese.strip()
    assert blanks(english) == blanks(chinese)
    assert not HAN.search(english) or key.startswith(("page.language", "page.switch"))


#: A Chinese character beside half-width punctuation, or code with a half-width colon before Chinese.
HALF_WIDTH = re.compile(r"[\u4e00-\u9fff][,;:!?()]|[,;:!?()][\u4e00-\u9fff]|`: ?[\u4e00-\u9fff]")
#: YAML's own "key: value", and the address of a link.
AS_WRITTEN = re.compile(r"键: 值|`\[[^`]*\]`|\]\([^)]*\)")


@every("key", [k for k in sorted(table()) if not k.startswith("definitions.formula.")])
def test_chinese_sentences_have_full_width_punctuation(key: str) -> None:
    assert HALF_WIDTH.findall(AS_WRITTEN.sub("", table()[key][1])) == []


def test_a_message_in_a_message_is_put_into_words_first() -> None:
    inner = Message(key="plugin.warmup")
    outer = Message(key="server.waiting", values={"seconds": 5, "why": inner})
    assert say(inner, "en") in say(outer, "en")
    assert say(inner, "zh") in say(outer, "zh")


def test_an_unknown_key_is_an_error() -> None:
    with pytest.raises(KeyError):
        say("no.such.key")


@pytest.mark.parametrize(
    ("environment", "asked", "expected"),
    [
        ({"LC_ALL": "zh_CN.UTF-8"}, None, "zh"),
        ({"LC_ALL": "", "LANG": "zh_CN.UTF-8"}, None, "zh"),
        ({"LC_ALL": "C.UTF-8", "LANG": "zh_CN.UTF-8"}, None, "en"),
        ({"LC_ALL": "zh_CN.UTF-8"}, "en", "en"),
        ({"LC_ALL": "C"}, "both", "zh"),
    ],
)
def test_the_language_is_what_was_asked_else_the_locales(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], asked: str | None, expected: str
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert language(asked) == expected


COMMANDS = re.compile(r"(^|[^A-Za-z0-9_])::|##\[|##vso\[|##teamcity\[|section_start:|[\x00-\x1f\x9b\u202e\u200b]")


def test_words_from_elsewhere_command_nobody() -> None:
    """No line of their own, no command of a CI service, nothing that moves a cursor or turns text; the rest stays."""
    for words in ("x\n::add-mask::y", "::set-output name=a::b", "中::stop-commands::t", "a ##[error]b", "##vso[task]",
                  "\r\x1b[0K", "##teamcity[x]", "section_start:17:a", "\u202eb", "\u200bb", "\ud800"):  # fmt: skip
        for said in (safe(words), *(say("config.unreadable", "zh", words=one) for one in (words, [words]))):
            assert not COMMANDS.search(said)
            said.encode()
    for words in (
        "http://[::1]:8000 fe80::1",
        "std::bad_alloc at 0x1",
        "模型：不存在",
        "a: b # c",
        "/v1/chat",
        "café 👩‍💻",
    ):
        assert safe(words) == words


#: What is written as the machine reads it is nobody's word.
CODE = re.compile(r"```.*?```|`[^`]*`|^    .*?$", re.DOTALL | re.MULTILINE)
PAGES = [*sorted(ROOT.glob("docs/zh/*.md")), *sorted(ROOT.glob("*.zh-CN.md"))]


@every(("term", "others"), list(GLOSSARY.values()))
def test_one_thing_has_one_word(term: str, others: tuple[str, ...]) -> None:
    pages = {path.name: CODE.sub("", path.read_text(encoding="utf-8")) for path in PAGES}
    texts = {key: pair[1] for key, pair in table().items()}
    assert term
    for other in others:
        word = re.compile(rf"(?<=\d){other}" if other.startswith(" ") else re.escape(other))
        found = [name for name, text in (pages | texts).items() if word.search(text)]
        assert not found, f"{other} stands for {term} in {found}"


def test_chinese_has_no_space_before_percent() -> None:
    assert "5%" in say(Message(key="judge.check.steal", values={"share": "5 %"}), "zh")
    assert "5 %" in say(Message(key="judge.check.steal", values={"share": "5 %"}), "en")


def test_pytests_help_says_of_each_option_what_the_option_says_itself() -> None:
    assert {name: say(f"plugin.help.{name}") for name in OPTIONS} == {name: text for name, (text, _) in OPTIONS.items()}
