"""YAML text → plain values with the line each of them stands on.

Scalars follow YAML 1.2 (``on`` and ``yes`` are words, ``1e3`` is a number, ``10:30`` is text), because a benchmark's
``token_detail: on`` must not become ``True``.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from pytest_vllm_bench.model import Message, Problem

#: More nodes than any config needs; aliases that multiply ("a billion laughs") end here.
MAX_NODES = 100_000
MAX_DEPTH = 40
#: Digits; no key takes a longer number, and not every reader of JSON does.
MAX_DIGITS = 25
MERGE = "tag:yaml.org,2002:merge"
PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "map", "seq")}
#: What a Chinese keyboard writes → what YAML reads; of the others of their kind (letters, digits) each has its own.
HALF_WIDTH = {"、": ",", "【": "[", "】": "]", "“": '"', "”": '"', "‘": "'", "’": "'", "≤": "<=", "≥": ">="}
_FULL_WIDTH = re.compile("[\uff01-\uff5e" + "".join(HALF_WIDTH) + "]|^\\s*\u3000")
#: A key whose colon has no space behind it, which makes text of the line; an address has two strokes there.
_CLOSE = re.compile(r"[\s-]*([A-Za-z_][\w.-]{0,40}):[^\s/:]", re.ASCII)
#: A key and the colon of a Chinese keyboard.
_KEY = re.compile(r"\s*(?:-\s+)?[\"']?([A-Za-z_][\w.-]{0,40})[\"']?\s*：", re.ASCII)
#: What YAML's own words mean, by a part of them.
_MEANS = {"flow ": "bracket", "mapping values are not allowed": "colon", "could not find expected ':'": "no_colon",
          "quoted scalar": "quote", "block": "indent"}  # fmt: skip


class _Loader(yaml.SafeLoader):
    """A SafeLoader that knows YAML 1.2's scalars only."""


_Loader.yaml_implicit_resolvers = {}


for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^(?:[-+]?[0-9]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+.0123456789"),
    ),
    ("merge", r"^<<$", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    """``010`` is ten, not eight."""
    text = str(loader.construct_scalar(node))
    if len(text) > MAX_DIGITS:
        raise ValueError
    return int(text, 16) if text.startswith("0x") else int(text)


def _real(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    text = str(loader.construct_scalar(node)).lower()
    found = float(text.replace(".inf", "inf").replace(".nan", "nan"))
    if math.isinf(found) and "inf" not in text:  # 1e999 is a slip, and would be "without a limit"
        raise ValueError
    return found


def _text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    """A character that is escaped as two halves, as JSON does, is one; a half alone is none."""
    return str(loader.construct_scalar(node)).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_Loader.add_constructor("tag:yaml.org,2002:str", _text)
_Loader.add_constructor("tag:yaml.org,2002:int", _number)
_Loader.add_constructor("tag:yaml.org,2002:float", _real)


class _Endless(Exception):
    """An alias that contains itself, or more nodes than ``MAX_NODES``."""


@dataclass(slots=True)
class Document:
    """``lines``: YAML path ("concurrency_prompts[1][0]") → 1-based line."""

    value: Any = None
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    nodes: int = 0
    rows: Sequence[str] = ()

    def room(self, nodes: int) -> bool:
        """Count so many more; whether there is still room for them."""
        self.nodes += nodes
        return self.nodes <= MAX_NODES

    def add(self, what: str, line: int | None, path: str = "", /, **values: Any) -> None:
        self.problems.append(Problem(message=Message(key=what, values=values), path=path, line=line))


def join(parts: tuple[str | int, ...]) -> str:
    """``("sla", 0)`` → ``sla[0]``."""
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def line_of(lines: Mapping[str, int], parts: tuple[str | int, ...]) -> int | None:
    """The line of the nearest thing that exists: a missing key has its parent's."""
    for length in range(len(parts), 0, -1):
        if (found := lines.get(join(parts[:length]))) is not None:
            return found
    return None


def parse(text: str) -> Document:
    """Read ``text``; what is wrong with it as YAML is in ``problems``."""
    document = Document(rows=text.splitlines())
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            document.value = _value(loader, node, (), document, ())
    except _Endless:
        document.value = None
    except RecursionError:
        document.add("config.yaml_deep", None)
    except yaml.MarkedYAMLError as error:
        _syntax(document, error, text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        document.add("config.yaml_character", line, code=f"U+{int(error.character):04X}")
    return document


def full_width(document: Document, problems: Sequence[Problem]) -> Iterator[Problem]:
    """The likely cause of problems: a line with the punctuation of a Chinese keyboard, which YAML takes for text.

    A colon of that kind after a key is looked for in every line: YAML trips over the next one.
    """
    told = {p.line for p in problems}
    for line, written in enumerate(document.rows if told else (), 1):
        row = re.sub(r"(^|\s)#.*", "", written)
        seen = _FULL_WIDTH.search(row) if line in told else None
        if found := "：" if _KEY.match(row) else seen and seen[0]:
            instead = HALF_WIDTH.get(found) or unicodedata.normalize("NFKC", found)
            shown = {"found": found, "instead": instead} if found.strip() else {"found": "U+3000", "instead": "U+0020"}
            yield Problem(message=Message(key="config.full_width", values=shown), line=line)


def consequences(problems: Sequence[Problem]) -> list[Problem]:
    """The problems without YAML's own words on what a full-width colon has made of the file."""
    cause = any(p.message.key == "config.full_width" and p.message.values["found"] == "：" for p in problems)
    return [p for p in problems if not (cause and p.message.key in ("config.yaml_syntax", "config.file_not_mapping"))]


def _syntax(document: Document, error: yaml.MarkedYAMLError, text: str) -> None:
    rows = text.splitlines()
    mark = error.problem_mark or error.context_mark
    if mark is not None and mark.line >= len(rows) and error.context_mark is not None:
        mark = error.context_mark  # what is open at the end is told where it was opened
    line = mark.line + 1 if mark else None
    row = rows[line - 1] if line and line <= len(rows) else ""
    if "\t" in row[: len(row) - len(row.lstrip())]:
        document.add("config.yaml_tab", line)
    elif "expected a single document" in str(error):
        document.add("config.yaml_documents", line)
    elif close := next(
        ((n, key) for n in (line or 0, (line or 0) - 1) if n > 0 and (key := _CLOSE.match(rows[n - 1]))), None
    ):
        document.add("config.yaml_space", close[0], key=close[1][1])
    else:
        words = ", ".join(w for w in (error.context, error.problem) if w)
        key = re.match(r"[\s-]*([\w.-]{1,40})\s*:", row)  # not its value: it may be a key or a password
        meant = next((name for part, name in _MEANS.items() if part in words), "other")
        means = Message(key=f"config.yaml_means.{meant}")
        document.add("config.yaml_syntax", line, words=words, means=means, row=f"{key[1]}: ..." if key else "...")


def _value(
    loader: _Loader, node: yaml.Node, parts: tuple[str | int, ...], document: Document, above: tuple[int, ...]
) -> Any:
    line = node.start_mark.line + 1
    if parts and isinstance(parts[-1], int):  # a key's line is set where the key is read
        document.lines[join(parts)] = line
    if len(above) > MAX_DEPTH:
        document.add("config.yaml_deep", line)
        raise _Endless
    if id(node) in above or not document.room(1):
        document.add("config.yaml_endless", line, join(parts))
        raise _Endless
    scalar = isinstance(node, yaml.ScalarNode)
    if node.tag not in PLAIN and (
        not scalar or node.tag in loader.yaml_constructors
    ):  # what nobody knows is told below
        document.add("config.yaml_tag", line, join(parts), tag=node.tag.replace("tag:yaml.org,2002:", "!!"))
        return None
    below = (*above, id(node))
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, (*parts, i), document, below) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return dict(_pairs(loader, node, parts, document, below))
    try:
        return loader.construct_object(node, deep=True)
    except (ValueError, KeyError, TypeError):
        text = str(node.value)
        document.add("config.yaml_scalar", line, join(parts), text=text if len(text) <= 40 else text[:37] + "...")
        return None


def _pairs(
    loader: _Loader, node: yaml.MappingNode, parts: tuple[str | int, ...], document: Document, above: tuple[int, ...]
) -> Iterator[tuple[str, Any]]:
    seen: dict[str, int] = {}
    for key_node, _ in node.value:
        if key_node.tag == MERGE:
            continue
        key, line = str(getattr(key_node, "value", "")), key_node.start_mark.line + 1
        if key in seen:
            document.add("config.duplicate_key", line, join((*parts, key)), key=key, first=seen[key])
        seen.setdefault(key, line)
    for key_node, value_node in _merged(node, document, above):
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            document.add("config.key_not_text", line, join(parts))
            continue
        inner = (*parts, str(key_node.value))
        document.lines[join(inner)] = line
        yield str(key_node.value), _value(loader, value_node, inner, document, above)


def _merged(node: yaml.MappingNode, document: Document, above: tuple[int, ...]) -> list[tuple[yaml.Node, yaml.Node]]:
    """A mapping's own pairs after those that ``<<`` brings in, of which the first named ones win."""
    brought: list[tuple[yaml.Node, yaml.Node]] = []
    own = [(key, value) for key, value in node.value if key.tag != MERGE]
    for key, value in node.value:
        if key.tag != MERGE:
            continue
        for other in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            line = key.start_mark.line + 1
            if not isinstance(other, yaml.MappingNode):
                document.add("config.yaml_merge", line)
            elif id(other) in above or len(above) > MAX_DEPTH or not document.room(1 + len(other.value)):
                document.add("config.yaml_endless", line)
                raise _Endless
            else:
                brought = [*_merged(other, document, (*above, id(other))), *brought]
    return [*brought, *own]
