"""``sla:`` entries → rules, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_vllm_bench.metric_table import parse_rule
from pytest_vllm_bench.model import Message, Rule

#: MLPerf inference's limits for servers: p99 TTFT and p99 TPOT in ms, from the scheduled time.
PRESETS: dict[str, tuple[int, int]] = {
    "llama-2-70b": (2000, 200),
    "llama-2-70b-interactive": (450, 40),
    "llama-3.1-8b": (2000, 100),
    "llama-3.1-8b-interactive": (500, 30),
    "llama-3.1-405b": (6000, 175),
    "llama-3.1-405b-interactive": (4500, 80),
    "deepseek-r1": (2000, 80),
    "deepseek-r1-interactive": (1500, 15),
}


def parsed(entries: Sequence[str], lines: Sequence[int | None]) -> Iterator[tuple[int, Rule | Message]]:
    """Each entry's rules with the entry's position; ``preset:NAME`` gives two, a rule that stands there twice one."""
    seen: set[str] = set()
    for position, (entry, line) in enumerate(zip(entries, lines, strict=True)):
        for rule in _rules(entry, line):
            text = rule.text if isinstance(rule, Rule) else ""
            if not text or text not in seen:
                seen.add(text)
                yield position, rule


def gate_rules(at: str | None, metric: str, at_least: float) -> list[Rule]:
    """What a gate on the best setting asks for, as rules: what a scenario cannot have is said as of those."""
    found = (parse_rule(text) for text in (at, f"{metric} >= {at_least}") if text)
    return [rule for rule in found if isinstance(rule, Rule)]


def _rules(entry: str, line: int | None) -> list[Rule | Message]:
    if not entry.startswith("preset:"):
        return [parse_rule(entry, line)]
    name = entry.removeprefix("preset:").strip().lower()
    if name not in PRESETS:
        return [Message(key="config.preset", values={"name": name, "known": ", ".join(PRESETS)})]
    ttft, tpot = PRESETS[name]
    return [parse_rule(f"p99_ttft_ms <= {ttft}", line), parse_rule(f"p99_tpot_ms <= {tpot}", line)]
