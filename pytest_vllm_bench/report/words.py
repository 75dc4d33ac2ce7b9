"""Keys, numbers and messages → words in English or Chinese."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from pytest_vllm_bench.model import AbsentResult, Message, Metrics, Result, RuleVerdict, Verdict
from pytest_vllm_bench.text import LANGUAGES, safe, say, table

#: ``steady_p99_response_ttft_ms`` → window, statistic, from due, quantity.
_LATENCY = re.compile(
    r"(?P<window>steady_|whole_)?(?P<stat>mean|median|std|min|max|p\d+(?:\.\d+)?)_(?P<base>[a-z0-9_]+?)(?P<unit>_ms|_s)?"
)


def label(key: str, lang: str) -> str:
    """A metric's or column's name without unit: ``p99_ttft_ms`` → "P99 TTFT", "P99 首 token 时延 TTFT"."""
    found = table().get(f"report.key.{key}")
    if found:
        return found[LANGUAGES.index(lang)]
    if key.startswith("steady_"):
        return say("report.steady_of", lang, quantity=label(key.removeprefix("steady_"), lang))
    if f"report.key.{key.removesuffix('_ms')}" in table():
        return label(key.removesuffix("_ms"), lang)
    match = _LATENCY.fullmatch(key)
    if match and f"report.key.{match['base']}" in table():
        stat = match["stat"]
        named = say(f"report.stat.{stat}", lang) if f"report.stat.{stat}" in table() else stat.upper()
        base = label(match["base"], lang)
        return f"{named} {base}" if named.isascii() or base[0].isascii() else named + base
    return key


def unit(key: str) -> str:
    """The unit that the name carries."""
    for ending, named in _UNITS:
        if key.endswith(ending):
            return named
    return ""


_UNITS = (
    ("_ms", "ms"),
    ("tokens_per_s", "tok/s"),
    ("request_throughput", "req/s"),
    ("request_goodput", "req/s"),
    ("_throughput", "tok/s"),
    ("tps_per_user", "tok/s"),
    ("duration", "s"),
    ("joules_per_output_token", "J/tok"),
    ("joules_per_request", "J/req"),
    ("tokens_per_joule", "tok/J"),
    ("energy_j", "J"),
    ("_w", "W"),
    ("_gib", "GiB"),
    ("_s", "s"),
)


def with_unit(key: str, lang: str) -> str:
    return f"{label(key, lang)} ({unit(key)})" if unit(key) else label(key, lang)


def number(value: Any) -> str:
    """Three or four digits that matter: 12,345 · 523 · 52.3 · 5.23 · 0.523; — for no value."""
    if value is None or isinstance(value, bool):
        return "—" if value is None else str(value)
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return str(value)
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 100:
        return f"{value:.1f}"
    if size >= 0.995:
        return f"{value:.2f}" if size < 10 else f"{value:.1f}"
    return f"{value:.3g}"


def lasting(seconds: float) -> str:
    """A time in the unit that it is counted in: 6.5 s · 3.2 min · 2.1 h."""
    size, name = next((unit for unit in ((3600, "h"), (60, "min")) if seconds >= 2 * unit[0]), (1, "s"))
    return f"{number(seconds / size)} {name}"


def figure(key: str, value: Any) -> str:
    """A figure that stands alone, with its unit: 28.6 ms · 97.6%."""
    if not isinstance(value, int | float):
        return number(value)
    return shown({key: value}, key) + (f" {unit(key)}" if unit(key) else "")


def checked(id: str, value: float | None) -> str:
    """What a check saw, or its limit: lags in ms, counts as they are, the others are shares."""
    if value is None or id in ("worker", "flags"):
        return number(value)
    return f"{number(1000 * value)} ms" if id.endswith("_lag") else f"{number(100 * value)}%"


def shown(metrics: Metrics, key: str) -> str:
    """A figure as tables show it: shares in percent."""
    value = metrics.get(key)
    if key.endswith("_ratio") and isinstance(value, int | float):
        return f"{100 * value:.1f}%"
    return number(value)


def said(message: Message | None, lang: str) -> str:
    """A message in ``lang``; where another version wrote it and its values do not fit, the figures that it is about, or
    the English that its file has."""
    if message is None:
        return ""
    try:
        return say(message, lang)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError):
        figures = {key: message.values.get(key) for key in ("observed", "limit")}
        if lang != "en" and None not in figures.values():
            return say("judge.compared", lang, **figures)
        return safe(message.text or message.key)


def why(absent: AbsentResult, lang: str) -> str:
    """Why a scenario did not run, as it was said then, or in a word."""
    return absent.said or said(reason(absent), lang)


def reason(absent: AbsentResult) -> Message:
    """The word for why a scenario did not run."""
    return Message(key=f"report.why.{absent.why or 'unknown'}")


def trusted(metrics: Metrics, key: str) -> bool:
    """Whether a percentile stands on enough samples: at least 1/(1−p); every other figure does."""
    match = re.match(r"(steady_)?p(\d+(?:\.\d+)?)_(.+?)(_ms)?$", key)
    if not match or metrics.get(key) is None:
        return True
    share = float(match[2]) / 100
    n = samples(metrics, match[3], steady=bool(match[1]))
    return n is None or share >= 1 or n * (1 - share) >= 1 - 1e-9


def samples(metrics: Metrics, quantity: str, *, steady: bool = False) -> float | None:
    """How many values a statistic of ``quantity`` stands on; None where the result does not say."""
    done = _count(metrics, "steady_completed" if steady else "completed")
    if quantity in ("itl", "itl_token"):
        tokens = _count(metrics, "steady_total_output_tokens" if steady else "total_output_tokens")
        return None if tokens is None or done is None else max(0, tokens - done)
    return done


def _count(metrics: Metrics, key: str) -> float | None:
    """None too where a damaged file has something else there."""
    return found if isinstance(found := metrics.get(key), (int, float)) else None


def taints(results: Sequence[Result], lang: str) -> list[str]:
    """What a reader must know of where figures come from: a line for each taint, with names where it is not of all."""
    found: dict[str, list[str]] = {}
    for result in results:
        for taint in result.taints:
            found.setdefault(taint, []).append(result.id)
    lines = []
    for taint, names in found.items():
        said = tainted(taint, lang)
        some = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
        lines.append(said if len(names) == len(results) else say("report.taint.some", lang, said=said, names=some))
    return lines


def tainted(taint: str, lang: str, key: str = "report.taint") -> str:
    """A taint in a sentence; ``key`` "report.mark": in a word.  One of a later version is shown as it is written."""
    return say(f"{key}.{taint}", lang) if f"{key}.{taint}" in table() else safe(taint)


def marks(results: Sequence[Result], lang: str) -> dict[str, str]:
    """Their taints, each once, in a word."""
    return {taint: tainted(taint, lang, "report.mark") for result in results for taint in result.taints}


def ruled(judged: RuleVerdict, lang: str, *, metric: bool = False) -> str:
    """A rule, or its metric alone; one that nobody wrote is called so where it does not pass."""
    rule, told = judged.rule, judged.rule.implied and judged.verdict is not Verdict.PASS
    shown = safe(rule.metric if metric else rule.text)
    return say("report.short.implied", lang, metric=shown) if told else shown


def kinds(counts: Mapping[str, int]) -> Message:
    """Kinds of failed requests, the most frequent first."""
    told = [Message(key="report.kind_count", values={"kind": Message(key=f"page.error.{kind}"), "n": n})
            for kind, n in sorted(counts.items(), key=lambda item: -item[1])]  # fmt: skip
    return reduce(lambda a, b: Message(key="report.short.listed", values={"first": a, "then": b}), told)


def detail(told: str, lang: str) -> str:
    """What a failed request was told, in the server's words; what we say ourselves is said in ``lang``."""
    ours = {pair[0]: pair for key, pair in table().items() if key.startswith("measure.detail.")}
    return ours[told][LANGUAGES.index(lang)] if told in ours else told


def because(subject: str, reason: str, lang: str) -> str:
    """What is spoken of, and what is said of it."""
    return say("report.because", lang, subject=subject, reason=reason)


#: Where a line may not break: inside a word, after an opening bracket, before what closes a clause.
PIECE = re.compile(r"[（《]*(?:[\u3000-\u9fff\uff00-\uffef]|[^\s\u3000-\u9fff\uff00-\uffef]+)[，。；：、！？）》]*|\s+")


def fold(line: str, width: int, indent: str = "    ") -> list[str]:
    """Break at spaces, or anywhere in Chinese, so that no line is wider than ``width`` cells."""
    from rich.cells import cell_len

    lead = line[: len(line) - len(line.lstrip())]
    lines, current = [], lead
    for piece in PIECE.findall(line[len(lead) :]):
        if cell_len(current + piece.rstrip()) > width and current.strip():
            lines.append(current.rstrip())
            current = indent + piece.lstrip()
        else:
            current += piece
    return [*lines, current.rstrip()]


def aligned(body: Sequence[Sequence[str]], *, right: set[int]) -> list[str]:
    """Cells in columns, by the width a terminal gives them (Chinese takes two)."""
    from rich.cells import cell_len

    widths = [max(cell_len(line[i]) for line in body) for i in range(len(body[0]))]
    lines = []
    for line in body:
        cells = [
            " " * (size - cell_len(text)) + text if i in right else text + " " * (size - cell_len(text))
            for i, (text, size) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return lines
