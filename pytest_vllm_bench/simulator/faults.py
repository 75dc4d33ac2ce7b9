"""A script of faults → what goes wrong with which request.

A fault is written ``name key=value …``; several are joined by ``;``.  They come in the request's header
``X-Simulator-Fault``, or from a JSON file for requests by their number (from 0, in order of arrival, over the posts to
all formats' paths):

    [{"fault": "stall at=5 seconds=3", "requests": [0, 4]},
     {"fault": "status code=429 retry_after=2", "every": 10},
     {"fault": "crash at=3", "from": 50, "path": "/v1/completions"}]

What is read beside the load (``/v1/models``, ``/version``, ``/tokenize``, ``/metrics``) is struck by rules that name
its ``path``; its requests are numbered by themselves.

``at`` counts tokens: the fault strikes before that token is sent (0 = before the first).

========== ======================== =======================================================================
name       keys (default)           what happens
========== ======================== =======================================================================
delay      seconds (1)              the request is held before the engine hears of it
headers    seconds (1)              the status line is held back; the engine works meanwhile
late       –                        the status line comes with the first token
stall      at (0), seconds (3600)   the stream pauses
status     code (500), retry_after, this status with an error body instead of an answer; ``text`` 1: plain text
           text, message
error      at (0), message, shape   an error inside the stream, as the format has it; or its ``shape`` is named (the
                                    event), flat, code, nested, list
idle       at (0), seconds (3600),  instead of the next token: every so often bytes without one, by ``kind``:
           every (0.1), kind        comment, blank, ping, role, empty
reset      at (0)                   the connection is reset
cut        at (0)                   the connection is closed inside the chunked body
drop       seconds (0)              the connection is reset without an answer, after so long
end        at (0)                   the body ends properly, with neither finish reason nor terminal sign
undone     –                        only the terminal sign is missing
twice      –                        the terminal sign comes twice
more       –                        an event follows the terminal sign
overload   –                        the engine refuses: its queue is full, in the format's own way
finish     reason (abort)           another finish reason
rewrite    –                        the last event changes the text so far, where text is cumulative
short      at (1)                   the answer is over after so many tokens, finish reason "length"
field      name (max_tokens),       only this field of the body limits the answer; without it there are ``default``
           default (16), refuse     tokens; ``refuse`` 1: another such field is refused with 400
refuse     field, only, least       400 where that field of the body is there and is not ``only``, or is below
                                    ``least``; without either of them: where it is not there
html       code (200)               a web page instead of an answer
redirect   to (/login), code (302)  another address instead of an answer
endless    –                        a body that never ends
malformed  at (0)                   an event that is not JSON
garbage    –                        the answer is not HTTP
blank      –                        status 200 and an empty body
silent     –                        an answer with every event but no token
crash      at (0)                   the server process dies
role       seconds (0.3)            the role-only delta comes this long before the first token
comments   –                        a keep-alive comment before every event
coalesce   events (4), once (0)     so many events a write; ``once`` 1: only the first ones of an answer
split      bytes (7), seconds (0)   every write is cut into pieces, with a pause after each
crlf       –                        lines end with CR LF
tight      –                        no space after ``data:``
lines      –                        an event's JSON in two ``data:`` lines
named      –                        ``event:``, ``id:`` and ``retry:`` lines before the data
odd        shape (parts)            events of another legal shape: parts (text as a list of parts), noughts (usage of 0
                                    in every chunk but those that have one), apart (thinking is left out of the output
                                    tokens), spelled (counts as "7" and 7.0), strange (events that carry nothing)
uncounted  –                        no usage, though it was asked for
canned     –                        a header says that a cache of answers gave it
unstreamed –                        one piece, though a stream was asked for
open       –                        all is said, but HTTP's own end never comes, and the connection stays open
close      –                        no Content-Length or chunks: the end of the connection ends the body
restart    –                        of ``/metrics``: from then on it counts from nought, as a server started anew
========== ======================== =======================================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_vllm_bench.errors import BenchError

Value = float | str
DEFAULTS: Mapping[str, Mapping[str, Value]] = {
    "delay": {"seconds": 1.0},
    "headers": {"seconds": 1.0},
    "late": {},
    "stall": {"at": 0, "seconds": 3600.0},
    "status": {"code": 500, "retry_after": "", "text": 0, "message": "simulated fault"},
    "error": {"at": 0, "message": "simulated fault", "shape": ""},
    "idle": {"at": 0, "seconds": 3600.0, "every": 0.1, "kind": "comment"},
    "reset": {"at": 0},
    "cut": {"at": 0},
    "drop": {"seconds": 0.0},
    "end": {"at": 0},
    "undone": {},
    "twice": {},
    "more": {},
    "overload": {},
    "finish": {"reason": "abort"},
    "rewrite": {},
    "short": {"at": 1},
    "field": {"name": "max_tokens", "default": 16, "refuse": 0},
    "refuse": {"field": "temperature", "only": "", "least": ""},
    "html": {"code": 200},
    "redirect": {"to": "/login", "code": 302},
    "endless": {},
    "malformed": {"at": 0},
    "garbage": {},
    "blank": {},
    "silent": {},
    "crash": {"at": 0},
    "role": {"seconds": 0.3},
    "comments": {},
    "coalesce": {"events": 4, "once": 0},
    "split": {"bytes": 7, "seconds": 0.0},
    "crlf": {},
    "tight": {},
    "lines": {},
    "named": {},
    "odd": {"shape": "parts"},
    "uncounted": {},
    "canned": {},
    "unstreamed": {},
    "open": {},
    "close": {},
    "restart": {},
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong; ``values`` has every key of its kind."""

    name: str
    values: Mapping[str, Value]

    def number(self, key: str) -> float:
        return float(self.values[key])


Faults = Mapping[str, Fault]  # by name
NONE: Faults = {}


def parse(text: str) -> Faults:
    """``stall at=5 seconds=3; crlf`` → the faults by name.  Raises BenchError for an unknown name, key or number."""
    faults: dict[str, Fault] = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        name, *pairs = part.split(" ")
        if name not in DEFAULTS:
            raise BenchError("simulator.unknown_fault", name=name, known=", ".join(DEFAULTS))
        values = dict(DEFAULTS[name])
        for key, _, value in (pair.partition("=") for pair in pairs if pair):
            if key not in values:
                raise BenchError("simulator.unknown_key", option=key, name=name, known=", ".join(values) or "-")
            values[key] = _value(name, key, value, values[key])
        faults[name] = Fault(name, values)
    return faults


def _value(name: str, key: str, text: str, default: Value) -> Value:
    if isinstance(default, str):
        return text.replace("_", " ") if key == "message" else text
    try:
        return float(text)
    except ValueError as error:
        raise BenchError("simulator.not_a_number", option=key, name=name, value=text) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """Which requests a script's faults strike."""

    faults: Faults
    requests: frozenset[int] | None = None
    every: int = 1
    start: int = 0
    path: str = ""

    def strikes(self, number: int, path: str) -> bool:
        if self.path and self.path != path:
            return False
        if self.requests is not None:
            return number in self.requests
        return number >= self.start and (number - self.start) % self.every == 0


def read(path: Path) -> tuple[FaultRule, ...]:
    """The rules of a script file.  Raises BenchError with what is wrong and in which rule."""
    try:
        rules = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError("simulator.script", file=str(path), error=str(error)) from error
    if not isinstance(rules, list):
        raise BenchError("simulator.script", file=str(path), error="not a list of rules")
    return tuple(_rule(path, position, rule) for position, rule in enumerate(rules))


def _rule(path: Path, position: int, rule: Any) -> FaultRule:
    known = {"fault", "requests", "every", "from", "path"}
    if not isinstance(rule, dict) or "fault" not in rule or rule.keys() - known:
        raise BenchError("simulator.rule", file=str(path), position=position, known=", ".join(sorted(known)))
    requests = rule.get("requests")
    return FaultRule(
        faults=parse(str(rule["fault"])),
        requests=None if requests is None else frozenset(requests),
        every=max(1, int(rule.get("every", 1))),
        start=int(rule.get("from", 0)),
        path=str(rule.get("path", "")),
    )


def strike(rules: Sequence[FaultRule], number: int, path: str, header: str | None) -> Faults:
    """The faults of one request: all rules that strike it, and its own header."""
    if not rules and not header:
        return NONE
    faults: dict[str, Fault] = {}
    for rule in rules:
        if rule.strikes(number, path):
            faults.update(rule.faults)
    return {**faults, **parse(header)} if header else faults
