"""A recorded conversation, however it is spelled → what was asked and what was answered, by who said it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_vllm_bench.plan import tables
from pytest_vllm_bench.plan.dataset import Wanted

#: Columns that hold conversations: a list of turns, lists of those, or a text of "Human: … Assistant: …".
COLUMNS = ("conversations", "conversation", "messages", "dialog", "dialogue", "conversation_a", "chat", "turns")
#: Columns that may, where nothing else asks anything.
MAYBE = ("history", "data", "chosen")
#: Where plain texts are all the user's (MT-Bench); in the other columns the speakers of plain texts take turns.
QUESTIONS = ("turns", "prompt", "prompts", "question", "questions")
_WHO = ("from", "role", "speaker", "author", "sender", "name")
_WHAT = ("value", "content", "text", "message", "utterance", "body")
_ROLES = {
    "user": "user human prompter customer client person questioner usr instruction question query prompt 用户 人类",
    "assistant": "assistant model bot chatbot ai agent answer response output completion functioncall toolcall "
    "助手 机器人",
    "system": "system sys developer systemprompt 系统",
    "tool": "tool tools function observation ipython environment toolresponse functionresponse toolresult tooloutput "
    "工具",
}
_ROLE = {name: role for role, names in _ROLES.items() for name in names.split()}
_MODELS = re.compile("(chat)?gpt|claude|gemini|bard|bing|copilot|palm|llama|vicuna|qwen|deepseek|mistral|grok|kimi|glm")
_SPOKEN = re.compile(r"(?:^|\n)[ \t]*(?:#+ *|\[|<\|)?([A-Za-z][A-Za-z_ ]{1,17})(?:\]|\|>)?:[ \t]*")
_CARRIERS = ("image_url", "image", "audio_url", "input_audio", "audio", "video_url", "video", "file")


@dataclass(frozen=True, slots=True)
class Talk:
    """``pairs``: (asked, answered) of each turn; ``left``: the last words, where nobody has answered them."""

    system: str = ""
    pairs: tuple[tuple[str, str], ...] = ()
    left: str = ""


def of(row: Mapping[str, Any], wanted: Wanted, columns: Sequence[str] = COLUMNS + MAYBE) -> Talk:
    """The conversation in a row, by its roles; one without a question is empty, and counted.

    Turns of one side that follow one another are one; an answer before the first question is left out, and a tool's
    result is put to the model as the user's words: both are counted, as is a conversation whose speakers are not known.
    """
    column = tables.column(row, columns)
    system, pairs = list[str](), list[tuple[str, str]]()
    asked, answered, odd = list[str](), list[str](), set[str]()

    def exchanged() -> None:
        if asked and answered:
            pairs.append(("\n\n".join(asked), "\n\n".join(answered)))
            asked.clear()
            answered.clear()

    for who, what in _turns(row.get(column), column.lower() in QUESTIONS, odd):
        if who == "assistant":
            (answered.append if asked else lambda _: odd.add("plan.talk_answer_first"))(what)
        elif who == "system" and not (asked or pairs):
            system.append(what)
        else:
            exchanged()
            if asked:
                odd.add("plan.talk_joined")
            asked.append(what)
    exchanged()
    if not pairs and not asked:
        odd = odd & {"plan.talk_strangers"} or {"plan.talk_no_question"}
    elif "plan.talk_strangers" in odd:
        odd, pairs, asked = {"plan.talk_strangers"}, [], []
    for key in odd:
        wanted.count(key)
    return Talk("\n\n".join(system), tuple(pairs), "\n\n".join(asked))


def messages(talk: Talk) -> list[Mapping[str, Any]]:
    """The conversation up to its last question, as chat servers take it."""
    said = [("system", talk.system)] if talk.system else []
    said += [turn for asked, answered in talk.pairs for turn in (("user", asked), ("assistant", answered))]
    said = [*said, ("user", talk.left)] if talk.left else said[:-1]
    return [{"role": role, "content": content} for role, content in said]


def role(who: Any) -> str:
    """user, assistant, system or tool; "" for a speaker of another name."""
    if isinstance(who, Mapping):
        who = who.get("role", who.get("name"))
    name = re.sub(r"[\W_]+", "", str(who).lower())
    return _ROLE.get(name) or ("assistant" if _MODELS.match(name) else "")


def text(content: Any) -> str:
    """The words of a message's content: a text, or parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        return next((said for key in (*_WHAT, "parts") if (said := text(content.get(key)))), "")
    if isinstance(content, Sequence) and not isinstance(content, bytes):
        return "\n".join(said for part in content if (said := text(part)))
    return ""


def _turns(value: Any, asks: bool, odd: set[str]) -> Iterator[tuple[str, str]]:
    """(role, words) of each turn that has any."""
    if isinstance(value, str):
        value = parsed(value)
    if isinstance(value, str):
        yield from _spoken(value)
        return
    if isinstance(value, Mapping):  # a table of columns: {"from": […], "value": […]}, or one turn
        lists = {key: column for key, column in value.items() if key in _WHO + _WHAT and isinstance(column, list)}
        table = [dict(zip(lists, turn, strict=True)) for turn in zip(*lists.values(), strict=False)]
        value = table if len(lists) > 1 else [value]
    for number, turn in enumerate(value if isinstance(value, list) else ()):
        if isinstance(turn, str):
            yield ("user" if asks or number % 2 == 0 else "assistant"), turn
            if asks:
                yield "assistant", ""  # whatever it was
        elif isinstance(turn, list):
            yield from _turns(turn, asks, odd)
        elif isinstance(turn, Mapping):
            yield from _said(turn, odd)


def _said(turn: Mapping[str, Any], odd: set[str]) -> Iterator[tuple[str, str]]:
    who = next((turn[key] for key in _WHO if turn.get(key)), None)
    if who is None:  # {"human": …, "assistant": …}
        yield from ((role(key), said) for key, value in turn.items() if role(key) and (said := text(value)))
        return
    content = next((turn[key] for key in (*_WHAT, "parts") if turn.get(key)), None)
    if isinstance(content, list) and any(isinstance(p, Mapping) and any(map(p.get, _CARRIERS)) for p in content):
        odd.add("plan.talk_media")
    if who := role(who):
        if who == "tool":
            odd.add("plan.talk_tool")
        calls = turn.get("tool_calls") or turn.get("function_call")
        if words := text(content) or (json.dumps(calls, ensure_ascii=False, default=str) if calls else ""):
            yield who, words
    else:
        odd.add("plan.talk_strangers")


def parsed(value: str) -> Any:
    """A list or an object that stands in a table's cell as JSON; any other text as it is."""
    if not value.lstrip().startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _spoken(value: str) -> Iterator[tuple[str, str]]:
    """The turns of a text in which each begins with its speaker and a colon."""
    found = [match for match in _SPOKEN.finditer(value) if role(match[1])]
    ends = [*(match.start() for match in found[1:]), len(value)]
    for match, end in zip(found, ends, strict=False):
        if words := value[match.end() : end].strip():
            yield role(match[1]), words
