"""What a person writes in YAML ("30s", "10x", "1%", inf) → numbers, or what to write instead."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from typing import Any

from pydantic_core import PydanticCustomError

from pytest_vllm_bench.config.urls import address, hidden
from pytest_vllm_bench.model import Message, Warmup

_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)"
_DURATION = re.compile(rf"({_NUMBER})\s*(ms|s|sec|m|min|h)", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_MULTIPLE = re.compile(rf"({_NUMBER})\s*[xX×]", re.ASCII)
_PERCENT = re.compile(rf"([-+]?{_NUMBER})\s*%", re.ASCII)
_INFINITE = {"inf", "+inf", "infinity", ".inf", "unlimited"}
#: More than this is a slip of the hand, and would cost what its text says (``config.cost.*``).
MOST_PROMPTS = 10_000_000
MOST_SLOTS, MOST_REPEATS, MOST_WORKERS, MOST_RUNS = 65_535, 1000, 256, 1000
MOST_MACHINES = 1000
MOST_RATE, LEAST_RATE = 1e6, 1e-3  # requests/s
MOST_SECONDS = 30 * 86400.0
ACCELERATORS = ("auto", "off", "nvidia", "amd", "hygon", "ascend")
LEAST_INTERVAL = 0.33
MOST_LETTERS = 60  # of a name that becomes part of ids, which become names of files
_UNSAID = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def wrong(key: str, **values: Any) -> PydanticCustomError:
    """The error that a field's validator raises; ``key`` is a message key without its area."""
    return PydanticCustomError(f"config.{key}", key, values)


def show(value: Any) -> str:
    """A value as it would stand in YAML, cut to a readable length, without the credentials of a URL."""
    if value is None:
        return "null"
    if isinstance(value, float) and not math.isfinite(value):
        return "inf" if value > 0 else "-inf" if value < 0 else "nan"
    text = re.sub(r"(?<=//)[^\s\"]*@", "***@", json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= 60 else text[:57] + "..."


def too_much(got: Any, most: float, cost: str) -> PydanticCustomError:
    """More than can be borne; ``cost``: of what, as a message key."""
    return wrong("too_much", got=show(got), most=f"{most:,.12g}", why=Message(key=f"config.cost.{cost}"))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def text(value: Any) -> str:
    """Words that say something: numbers are not taken for text, since ``model: 7`` is most likely a slip."""
    if not isinstance(value, str):
        raise wrong("want_text", got=show(value))
    if not value.strip():
        raise wrong("empty_text")
    if found := _UNSAID.search(value.strip()):
        raise wrong("control_character", code=f"U+{ord(found[0]):04X}")
    return value.strip()


def page(value: Any) -> str:
    """The address of a page of metrics; without credentials, for it is kept and shown."""
    url = text(value)
    found = address(url)
    if found.problem is not None:
        raise PydanticCustomError(found.problem.key, "url", dict(found.problem.values))
    if found.simulated or found.twin or found.authorization or found.url.startswith("unix:"):
        raise wrong("page", url=hidden(url))
    return found.url


def host_port(value: Any, least: int = 1) -> tuple[str, int]:
    """ "a:7001", "[::1]:7001"."""
    host, _, port = text(value).rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if (
        not host
        or not port.isdecimal()
        or not least <= int(port) < 1 << 16
        or ("/" in host)
        or (":" in host) != bracketed
    ):
        raise wrong("host_port", got=show(value))
    return host.strip("[]"), int(port)


def accelerators(value: Any) -> str:
    """A word, or an exporter's address."""
    return page(value) if isinstance(value, str) and "://" in value else one_of(*ACCELERATORS)(value)


def boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise wrong("want_bool", got=show(value))


def cpu(value: Any) -> int:
    """The number of a processor that this process may use."""
    number = whole(0)(value)
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if number not in usable:
        raise wrong("cpu", got=number, usable=", ".join(map(str, usable)) or "–")
    return number


def whole(least: int, most: int | None = None, cost: str = "") -> Callable[[Any], int]:
    """A whole number of at least ``least``; more than ``most`` would ``cost`` too much."""

    def check(value: Any) -> int:
        if not is_number(value) or not math.isfinite(value) or value != int(value):
            raise wrong("want_integer", got=show(value))
        if value < least:
            raise wrong("too_small", got=show(value), least=least)
        if most is not None and value > most:
            raise too_much(value, most, cost) if cost else wrong("too_large", got=show(value), most=most)
        return int(value)

    return check


def number(
    *, above: float | None = None, least: float | None = None, most: float = 1e9, infinite: bool = False
) -> Callable[[Any], float]:
    """A number; ``infinite`` allows ``inf`` and ``.inf``."""

    def check(value: Any) -> float:
        if isinstance(value, str) and value.strip().lower() in _INFINITE:
            value = math.inf
        if not is_number(value):
            raise wrong("want_number", got=show(value))
        if not infinite and math.isinf(value):
            raise wrong("want_finite", got=show(value))
        if above is not None and value <= above:
            raise wrong("not_above", got=show(value), above=show(above))
        if least is not None and value < least:
            raise wrong("too_small", got=show(value), least=show(least))
        if most < value < math.inf:
            raise wrong("too_large", got=show(value), most=f"{most:,.12g}")
        return float(value)

    return check


def duration(value: Any) -> float:
    """30, "30s", "5m", "1h30m", "250ms" → seconds above 0."""
    seconds: float | None = None
    if is_number(value):
        seconds = float(value)
    elif isinstance(value, str) and (compact := value.replace(" ", "")):
        if re.fullmatch(_NUMBER, compact):
            seconds = float(compact)
        elif re.fullmatch(rf"(?:{_DURATION.pattern})+", compact):
            seconds = math.fsum(float(n) * _UNITS[unit] for n, unit in _DURATION.findall(compact))
    if seconds is None:
        raise wrong("want_duration", got=show(value))
    if not 0 < seconds < math.inf:
        raise wrong("duration_range", got=show(value))
    return seconds


def lasting(value: Any) -> float:
    """A duration that can be waited for."""
    if (seconds := duration(value)) > MOST_SECONDS:
        raise wrong("duration_range", got=show(value))
    return seconds


def interval(value: Any) -> float:
    """How often a server is asked: a third of a second at the least."""
    if (seconds := lasting(value)) < LEAST_INTERVAL:
        raise wrong("interval", got=show(value), least=f"{LEAST_INTERVAL:g}s")
    return seconds


def percent(value: Any) -> float | None:
    """ "5%" → 0.05, exactly as near as a float can be; None where there is no percent sign."""
    if isinstance(value, str) and (found := _PERCENT.fullmatch(value.strip())):
        return float(found[1]) / 100
    return None


def share(value: Any) -> float:
    """0.05 or "5%" → 0.05, between 0 and 1."""
    number_ = percent(value)
    if number_ is None:
        if not is_number(value):
            raise wrong("want_share", got=show(value))
        number_ = float(value)
    if not 0 <= number_ <= 1:
        raise wrong("share_range", got=show(value), instead=f"{number_:g}%" if 1 < number_ <= 100 else "0.05")
    return number_


def multiple(value: Any) -> float | None:
    """ "10x" → 10.0; None if it is no multiple."""
    if isinstance(value, str) and (found := _MULTIPLE.fullmatch(value.strip())):
        return float(found[1])
    return None


def prompts(value: Any) -> int | str | None:
    """The second of ``[concurrency, prompts]``: a number, "10x", or null."""
    if value is None:
        return None
    factor = multiple(value)
    if factor is not None:
        if factor < 1:
            raise wrong("multiple_small", got=show(value))
        if factor > MOST_PROMPTS:
            raise too_much(value, MOST_PROMPTS, "prompts")
        return f"{factor:g}x"
    if isinstance(value, str):
        raise wrong("want_prompts", got=show(value))
    return whole(1, MOST_PROMPTS, "prompts")(value)


def warmup(value: Any) -> Warmup:
    """0 | 20 (requests, in quotes too) | "2x" the concurrency | "30s"."""
    factor = multiple(value)
    if factor is not None:
        if factor > MOST_PROMPTS:
            raise too_much(value, MOST_PROMPTS, "prompts")
        return Warmup(multiple=factor) if factor > 0 else Warmup()
    if isinstance(value, str) and re.fullmatch(_NUMBER, value.strip(), re.ASCII):
        value = float(value)
    if isinstance(value, str):
        try:
            return Warmup(seconds=lasting(value))
        except PydanticCustomError as error:
            raise error if error.type == "config.duration_range" else wrong("want_warmup", got=show(value)) from None
    return Warmup(requests=n) if (n := whole(0, MOST_PROMPTS, "prompts")(value)) else Warmup()


def tolerance(value: Any) -> str | float:
    """How much worse is accepted: "5%" (relative) or 10 (in the metric's unit); kept as written."""
    if (relative := percent(value)) is not None and abs(relative) <= 10:
        return str(value).replace(" ", "")
    if not is_number(value) or abs(value) > 1e9:
        raise wrong("want_tolerance", got=show(value))
    return float(value)


def percentile(value: Any) -> float:
    if not is_number(value):
        raise wrong("want_number", got=show(value))
    if not 1 <= value < 100:
        instead = f"{value * 100:g}" if 0 < value < 1 else "99"
        raise wrong("percentile_range", got=show(value), instead=instead)
    return value  # type: ignore[no-any-return]  # 99 stays 99: it becomes part of a name, p99


def one_of(*words: str) -> Callable[[Any], str]:
    """One of a few words; a near miss is named."""

    def check(value: Any) -> str:
        value = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
        if not isinstance(value, str) or value not in words:
            raise wrong("want_one_of", got=show(value), word=value if isinstance(value, str) else "", known=words)
        return value

    return check


def or_word(word: str, check: Callable[[Any], Any], meaning: Any = None) -> Callable[[Any], Any]:
    """``auto`` (which means ``meaning``), or what ``check`` takes."""

    def either(value: Any) -> Any:
        if isinstance(value, str) and value.strip().lower() == word:
            return meaning
        return check(value)

    return either


def chance(value: Any) -> float:
    """How likely something is by chance, to be told from it: above 0, and no more than 5 %."""
    found = number(above=0)(value)
    if found > 0.05:
        raise wrong("chance", got=show(value))
    return found


def moment(value: Any) -> str:
    """A date, or a commit, which may look like a number."""
    return text(str(value) if is_number(value) and float(value).is_integer() else value)


def optional(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """null, or what ``check`` takes."""
    return lambda value: None if value is None else check(value)


def confidence(value: Any) -> float:
    """0.95 or "95%": at least a coin's and below certainty."""
    number_ = share(value)
    if not 0.5 <= number_ < 1:
        raise wrong("confidence_range", got=show(value))
    return number_
