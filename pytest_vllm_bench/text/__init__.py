"""Message → words, in English or Chinese.

One module an area, each with ``TEXTS``: key → (English, Chinese), side by side so that neither can be forgotten.
Values are filled in with ``str.format``; a value that is itself a Message is put into words first,
a tuple of them one a line.
"""

from __future__ import annotations

import locale
import os
import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from pytest_vllm_bench.model import Message

AREAS = (
    "reference",
    "config",
    "plan",
    "load",
    "machines",
    "backends",
    "measure",
    "judge",
    "watching",
    "server",
    "serve",
    "simulator",
    "twin",
    "files",
    "report",
    "page",
    "definitions",
    "plugin",
    "cli",
)
LANGUAGES = ("en", "zh")


@cache
def table() -> Mapping[str, tuple[str, str]]:
    """Every text of every area; a key defined twice is a mistake."""
    texts: dict[str, tuple[str, str]] = {}
    for area in AREAS:
        for key, pair in import_module(f"pytest_vllm_bench.text.{area}").TEXTS.items():
            if key in texts:
                raise ValueError(f"text {key!r} is defined twice")
            texts[key] = pair
    return texts


#: Controls, marks that turn or hide text, half characters.
_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
#: How CI services are commanded: GitHub (``::x::`` at the start of a line, ``##[x]`` anywhere), Azure, TeamCity, GitLab.
_COMMAND = re.compile(r"(?<![A-Za-z0-9_\[]):(?=:[A-Za-z-])|#(?=#(?:\[|vso\[|teamcity\[))|section_(?=(?:start|end):\d)")


def safe(words: str) -> str:
    """Words from elsewhere (a server's, a file's, a name) as mere text of one line, which commands nobody and moves no
    cursor.  Everything that is said passes through here, as a value of ``say``."""
    words = words.replace("\r\n", "\\n").replace("\n", "\\n").replace("\r", "\\r").replace("\t", " ")
    return _COMMAND.sub(r"\g<0> ", _UNSEEN.sub("�", words))


#: Between a number and its percent sign Chinese has no space.
_SPACED = re.compile(r"(?<=\d) %")


def say(what: Message | str, lang: str = "en", **values: Any) -> str:
    """Put ``what`` into words; ``lang`` is "en" or "zh" (see ``language``).  An unknown key is a KeyError."""
    key = what
    if isinstance(what, Message):
        key, values = what.key, {**what.values, **values}
    filled = {k: _filled(v, lang) for k, v in values.items()}
    said = table()[str(key)][LANGUAGES.index(lang)].format(**filled)
    return _SPACED.sub("%", said) if lang == "zh" else said


def _filled(value: Any, lang: str) -> Any:
    """A Message in words, a tuple of them one a line, words from elsewhere as mere text, anything else as it is."""
    if isinstance(value, tuple) and value and all(isinstance(v, Message) for v in value):
        return "\n".join("  " + say(v, lang) for v in value)
    if isinstance(value, str | list | tuple):
        return safe(value) if isinstance(value, str) else [_filled(v, lang) for v in value]
    return say(value, lang) if isinstance(value, Message) else value


def language(asked: str | None = None) -> str:
    """Either "en" or "zh": what was asked for, else the locale's; "both" (CSV headers) counts as Chinese."""
    if asked in (*LANGUAGES, "both"):
        return "en" if asked == "en" else "zh"
    named = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    if not named:
        named = locale.getlocale()[0] or ""
    return "zh" if named.lower().startswith(("zh", "chinese")) else "en"
