"""Cases and clients → rounds, each client in turn; figures minus the truth, as medians with their ranges."""

from __future__ import annotations

import statistics
import subprocess
import sys
import urllib.error
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from benchmarks.clients import Client
from benchmarks.seen import Seen
from benchmarks.truth import Case, Truth, serving


@dataclass(frozen=True, kw_only=True)
class Error:
    """One client in one round: its figures minus what happened, in ms; throughput as a share of the ideal."""

    client: str
    case: Case
    round: int
    ttft_mean: float
    ttft_p99: float
    itl_p50: float | None
    itl_p99: float | None
    throughput: float
    reported_ttft: float
    true_ttft: float
    seen: Seen


def against(client: str, case: Case, number: int, seen: Seen, truth: Truth) -> Error:
    """Hold what a client says against the truth."""
    ttft = sorted(truth.ttft)
    mean = statistics.fmean(ttft)
    return Error(
        client=client,
        case=case,
        round=number,
        ttft_mean=seen.ttft_mean - mean,
        ttft_p99=seen.ttft_p99 - quantile(ttft, 0.99),
        itl_p50=None if seen.itl_p50 is None else seen.itl_p50 - truth.itl_p50,
        itl_p99=None if seen.itl_p99 is None else seen.itl_p99 - truth.itl_p99,
        throughput=seen.throughput / case.ideal,
        reported_ttft=seen.ttft_mean,
        true_ttft=mean,
        seen=seen,
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Linear interpolation, as the clients do it."""
    place = (len(ordered) - 1) * share
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def run(cases: Iterable[Case], clients: Mapping[str, Client], rounds: int, folder: Path) -> list[Error]:
    """Every case, ``rounds`` times, the clients in turn (and in the other order in every second round)."""
    errors: list[Error] = []
    for case in cases:
        for number in range(rounds):
            order = list(clients.items())
            for name, client in order if number % 2 == 0 else reversed(order):
                error = one(name, client, case, number, folder)
                if error is not None:
                    errors.append(error)
                    print(line(error), file=sys.stderr, flush=True)
    return errors


def one(name: str, client: Client, case: Case, number: int, folder: Path) -> Error | None:
    """One client, one round, against a server of its own; None if the client failed."""
    try:
        with serving(case, folder) as server:
            seen = client(case, server, folder)
            truth = server.truth()
    except (subprocess.CalledProcessError, urllib.error.URLError) as error:
        print(f"{case.name}, {name}: {error}", file=sys.stderr)
        return None
    return against(name, case, number, seen, truth)


def line(e: Error) -> str:
    """One round of one client, for who watches."""
    return (
        f"{e.case.name} C={e.case.concurrency} round {e.round + 1}, {e.client}: TTFT {e.ttft_mean:+.2f} "
        f"(p99 {e.ttft_p99:+.2f}) ms, throughput {e.throughput:.3f} of the ideal"
    )


COMPARED = {
    "TTFT error": ("ttft_mean", "{:+.2f}"),
    "p99 TTFT error": ("ttft_p99", "{:+.2f}"),
    "ITL p50 error": ("itl_p50", "{:+.3f}"),
    "ITL p99 error": ("itl_p99", "{:+.2f}"),
    "÷ ideal": ("throughput", "{:.3f}"),
    "CPU µs/event": ("cpu_us", "{:.1f}"),
    "s beyond the load": ("beyond_s", "{:.1f}"),
}
#: Of ours alone.
INSIDE = {
    "decode µs/event": ("decode_us", "{:.1f}"),
    "metrics µs/request": ("metrics_us", "{:.1f}"),
    "memory MB": ("memory_mb", "{:.0f}"),
    "lag p99 ms": ("lag_p99_ms", "{:.2f}"),
}
_OWN = {field.name for field in fields(Error)}


def table(errors: Sequence[Error], columns: Mapping[str, tuple[str, str]] = COMPARED) -> str:
    """Markdown: one row for each case and client, medians with (lowest … highest)."""
    rows = [["case", "C", "client", "rounds", *columns]]
    groups: dict[tuple[str, int, str], list[Error]] = {}
    for error in errors:
        groups.setdefault((error.case.name, error.case.concurrency, error.client), []).append(error)
    for (case, concurrency, client), group in groups.items():
        cells = [_cell(group, name, form) for name, form in columns.values()]
        rows.append([case, str(concurrency), client, str(len(group)), *cells])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in rows)


def _cell(group: Sequence[Error], name: str, form: str) -> str:
    found = [getattr(error if name in _OWN else error.seen, name) for error in group]
    values = sorted(value for value in found if value is not None)
    if not values:
        return "–"
    middle = form.format(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({form.format(values[0])} … {form.format(values[-1])})"
