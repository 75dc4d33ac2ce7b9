"""What people read: a Message is a key and its values, and a Problem says where in the input it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something a person will read, as a key and its values; ``text.say`` turns it into words."""

    key: str
    values: Mapping[str, Any] = field(default_factory=dict)
    text: str = field(default="", compare=False)  # in English, as a file has it: for a key that is no longer known

    def __post_init__(self) -> None:
        """What was read from a file is what was written there: messages within messages, tuples."""
        object.__setattr__(self, "values", {key: _said(value) for key, value in self.values.items()})


def _said(value: Any) -> Any:
    if isinstance(value, Mapping) and isinstance(value.get("key"), str) and isinstance(value.get("values"), Mapping):
        return Message(key=value["key"], values=value["values"], text=str(value.get("text") or ""))
    if value in ("inf", "-inf"):  # as JSON has it
        return float(value)
    return tuple(map(_said, value)) if isinstance(value, list | tuple) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with the user's input: what, where, and (inside the message) what to write instead."""

    message: Message
    file: str = ""
    path: str = ""  # YAML path, "concurrency_prompts[1][0]"
    line: int | None = None  # 1-based
