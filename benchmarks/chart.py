"""Errors of rounds → a picture: reported against true TTFT over concurrency, for every client."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks.chinese import chinese
from benchmarks.rounds import Error
from pytest_vllm_bench.report.pictures import chinese_font

WORDS = {
    "reported": ("{client}: reported", "{client}：报告值"),
    "truth": ("what the server did", "服务端真实值"),
    "x": ("concurrent streams", "并发流数"),
    "y": ("mean TTFT (ms)", "平均 TTFT (ms)"),
    "title": ("Reported against true time to first token", "报告的与真实的首 token 时延"),
}


def save(errors: Sequence[Error], path: Path, lang: str = "en") -> None:
    """Write a PNG; only the standard case has more than one concurrency."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    said = {key: pair[lang == "zh"] for key, pair in WORDS.items()}
    pyplot.rcParams["font.family"] = [*filter(None, [chinese_font() if lang == "zh" else None]), "DejaVu Sans"]
    shown = [error for error in errors if error.case.name == "standard"]
    levels = sorted({error.case.concurrency for error in shown})
    figure, axes = pyplot.subplots(figsize=(8, 5), dpi=150)
    for client in dict.fromkeys(error.client for error in shown):
        medians = [
            statistics.median(values)
            for level in levels
            if (values := [e.reported_ttft for e in shown if e.client == client and e.case.concurrency == level])
        ]
        called = chinese(f"| {client}").removeprefix("| ") if lang == "zh" else client
        axes.plot(levels[: len(medians)], medians, marker="o", label=said["reported"].format(client=called))
    truth = [statistics.median(e.true_ttft for e in shown if e.case.concurrency == level) for level in levels]
    axes.plot(levels, truth, color="black", linestyle="--", label=said["truth"])
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.set_xticks(levels, [str(level) for level in levels])
    axes.set_xlabel(said["x"])
    axes.set_ylabel(said["y"])
    axes.set_title(said["title"])
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
