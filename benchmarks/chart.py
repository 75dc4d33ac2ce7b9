"""Errors of rounds → a picture: reported against true TTFT over concurrency, for every client."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rounds import Error


def save(errors: Sequence[Error], path: Path) -> None:
    """Write a PNG; only the standard case has more than one concurrency."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [error for error in errors if error.case.name == "standard"]
    levels = sorted({error.case.concurrency for error in shown})
    figure, axes = pyplot.subplots(figsize=(8, 5), dpi=150)
    for client in dict.fromkeys(error.client for error in shown):
        medians = [
            statistics.median(values)
            for level in levels
            if (values := [e.reported_ttft for e in shown if e.client == client and e.case.concurrency == level])
        ]
        axes.plot(levels[: len(medians)], medians, marker="o", label=f"{client}: reported")
    truth = [statistics.median(e.true_ttft for e in shown if e.case.concurrency == level) for level in levels]
    axes.plot(levels, truth, color="black", linestyle="--", label="what the server did")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.set_xticks(levels, [str(level) for level in levels])
    axes.set_xlabel("concurrent streams")
    axes.set_ylabel("mean TTFT (ms)")
    axes.set_title("Reported against true time to first token")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
