"""What is known while load runs → one line, for a terminal or for a log."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytest_vllm_bench.model import OURS, Record
from pytest_vllm_bench.report import words
from pytest_vllm_bench.text import say


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressState:
    """How far one scenario is; seconds since its start."""

    scenario_id: str
    total: int | None = None  # requests planned; None where ``seconds`` bounds the run
    seconds: float | None = None  # planned duration
    done: int = 0  # ended, well or not
    failed: int = 0
    output_tokens: int = 0
    elapsed: float = 0.0
    ttft_sum: float = 0.0  # seconds, over ``ttft_n`` requests
    ttft_n: int = 0


def advance(state: ProgressState, record: Record, elapsed: float) -> ProgressState:
    """The state after one more finished request."""
    if record.error in OURS:
        return replace(state, elapsed=elapsed)
    seen = record.sent is not None and record.first_token is not None
    ttft = record.first_token - record.sent if record.sent is not None and record.first_token is not None else 0.0
    return replace(
        state,
        done=state.done + 1,
        failed=state.failed + (record.error is not None),
        output_tokens=state.output_tokens + (record.output_tokens or 0 if record.error is None else 0),
        elapsed=elapsed,
        ttft_sum=state.ttft_sum + ttft,
        ttft_n=state.ttft_n + seen,
    )


def share(state: ProgressState) -> float:
    """How much of the plan is over, 0..1."""
    parts = []
    if state.total:
        parts.append(state.done / state.total)
    if state.seconds:
        parts.append(state.elapsed / state.seconds)
    return min(1.0, max(parts, default=0.0))


def time_left(state: ProgressState) -> float | None:
    """Seconds until the end at the pace so far; None before there is a pace."""
    part = share(state)
    return state.elapsed * (1 - part) / part if part > 0 and state.elapsed > 0 else None


def line(state: ProgressState, lang: str = "en", *, width: int = 80) -> str:
    """One line that is redrawn in place: name, bar, figures; what does not fit is left out from the right."""
    from rich.cells import cell_len, set_cell_size

    parts = _figures(state, lang)
    name = state.scenario_id
    while parts and cell_len("  ".join([name, *parts])) > width - 1:
        parts.pop()
    text = "  ".join([name, *parts])
    room = width - 1 - cell_len(text) - 2
    if room >= 8:
        text = "  ".join([name, _bar(share(state), min(room, 30)), *parts])
    return set_cell_size(text, width - 1) if cell_len(text) > width - 1 else text


def log_line(state: ProgressState, lang: str = "en") -> str:
    """One line for a log: the same figures, nothing that moves."""
    return "  ".join([state.scenario_id, f"{100 * share(state):.0f}%", *_figures(state, lang)])


def _figures(state: ProgressState, lang: str) -> list[str]:
    """The parts of a line, the most important first."""
    parts = [f"{state.done}/{state.total}" if state.total is not None else str(state.done)]
    if state.failed:
        parts.append(say("report.progress.failed", lang, n=state.failed))
    left = time_left(state)
    if left is not None:
        parts.append(say("report.progress.left", lang, time=clock(left)))
    if state.elapsed > 0 and state.output_tokens:
        parts.append(f"{words.number(round(state.output_tokens / state.elapsed))} tok/s")
    if state.ttft_n:
        parts.append(f"TTFT {words.number(1e3 * state.ttft_sum / state.ttft_n)} ms")
    return parts


def _bar(part: float, width: int) -> str:
    """``━━━━╸──────``: as wide as asked."""
    full = int(part * width)
    return "━" * full + "─" * (width - full)


def clock(seconds: float) -> str:
    """12s, 3m05s, 1h02m."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"
