"""All that watches a server on, beside off, in rounds in turn → by how much the errors of our figures differ."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks import own, rounds
from benchmarks.rounds import Error
from benchmarks.seen import Seen
from benchmarks.truth import Case, Server
from pytest_vllm_bench import simulator
from pytest_vllm_bench.model import Beside, Cell, Scenario, Target, Watching
from pytest_vllm_bench.observe import BESIDES

#: The load of the bound, and by how many ms an error may be larger while all is watched.
CASE = Case(concurrency=256, requests=1024)
BOUND_MS = 0.2
#: Seconds between two looks at the page of metrics: the least that may be asked for.
INTERVAL = 0.34
ERRORS = ("ttft_mean", "ttft_p99", "itl_p50", "itl_p99")
OFF, ON = "unwatched", "watched"


def report(folder: Path, count: int) -> str:
    """Both in turn; the page of metrics is a real one (the idle simulator's), the card is one that was recorded."""
    sys.path.append(str(Path(__file__).parents[1] / "tests" / "observe"))
    import nvidia_smi

    before = os.environ["PATH"]
    os.environ["PATH"] = nvidia_smi.install(folder / "bin")
    try:
        with simulator.start() as elsewhere:
            everything = partial(watchers, f"{elsewhere.base_url}/metrics")
            found = rounds.run([CASE], {OFF: client(lambda _: ()), ON: client(everything)}, count, folder)
    finally:
        os.environ["PATH"] = before
    return rounds.table(found, {**rounds.COMPARED, **rounds.INSIDE}) + "\n\n" + differences(found)


def watchers(metrics_url: str, target: Target) -> Sequence[Beside]:
    """What a run with everything on has beside its load."""
    watching = Watching(interval=INTERVAL, urls=(metrics_url,), accelerators="nvidia")
    asked = Scenario(cell=Cell(place="watched"), target=target, backend="vllm", watching=watching)
    return [beside for make in BESIDES.values() if (beside := make(asked)) is not None]


def client(besides: Callable[[Target], Sequence[Beside]]) -> Callable[[Case, Server, Path], Seen]:
    """What measures alone, with these beside it."""
    return lambda case, server, folder: own.measured(case, server, folder, own.How(besides=besides)).seen


def differences(errors: Sequence[Error]) -> str:
    """Of the rounds' pairs, the median of how much further from the truth the watched one was."""
    lines = []
    for name in ERRORS:
        pairs = [
            abs(getattr(on, name)) - abs(getattr(off, name))
            for on in errors
            for off in errors
            if (on.client, off.client) == (ON, OFF) and on.round == off.round
        ]
        if pairs:
            middle = statistics.median(pairs)
            within = "within" if middle <= BOUND_MS else "BEYOND"
            told = f"{middle:+.3f} ms ({min(pairs):+.3f} … {max(pairs):+.3f})"
            lines.append(f"- {name}: the error is {told} larger while all is watched: {within} {BOUND_MS} ms")
    return "\n".join(lines)
