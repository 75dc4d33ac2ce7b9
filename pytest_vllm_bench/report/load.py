"""Results → lines of rising load."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pytest_vllm_bench.model import Result
from pytest_vllm_bench.store.folder import order


def rate(result: Result) -> float | None:
    return result.request_rate


def concurrency(result: Result) -> float | None:
    """The cap of a closed loop; without a cap and a rate everything came at once."""
    if rate(result) is not None:
        return None
    cap = result.scenario.concurrency
    return cap if cap is not None else result.metrics.get("max_concurrent_requests")


LOADS: dict[str, Callable[[Result], float | None]] = {"concurrency": concurrency, "rate": rate}


def either(result: Result) -> float | None:
    return concurrency(result) or rate(result)


def shape(result: Result) -> str:
    """What results of one line share: target, dataset, lengths."""
    asked = result.scenario
    return _named(result, asked.target.name, _dataset(result), asked.cell.search) or asked.cell.key


def work(result: Result) -> str:
    """What results share whose servers did the same: dataset and lengths."""
    return _named(result, _dataset(result))


def _dataset(result: Result) -> str:
    return result.scenario.dataset.label or result.scenario.dataset.name


def _named(result: Result, *names: str) -> str:
    asked, parts = result.scenario, [name for name in names if name not in ("", "random")]
    if asked.input_len is not None or asked.output_len is not None:
        parts.append(f"{_length(asked.input_len)}→{_length(asked.output_len)}")
    return " ".join(parts)


def _length(value: int | None) -> str:
    return "?" if value is None else str(value)


def by_shape(results: Iterable[Result], load: Callable[[Result], float | None]) -> dict[str, list[Result]]:
    """Results that have this kind of load, in lines of rising load; a search's answer repeats one of its probes, and a
    start is no load."""
    lines: dict[str, list[Result]] = {}
    for result in sorted(results, key=order):
        if not (result.capacity or result.scenario.of_start) and load(result) is not None:
            lines.setdefault(shape(result), []).append(result)
    return {name: sorted(line, key=lambda result: load(result) or 0) for name, line in lines.items()}
