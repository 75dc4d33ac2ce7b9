"""A session's results → every file that covers the whole session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pytest_vllm_bench.model import Result
from pytest_vllm_bench.report import csv, github, openmetrics, page, verdict
from pytest_vllm_bench.report.verdict import Roll
from pytest_vllm_bench.store.folder import read


def writers(
    results: Sequence[Result],
    folder: Path,
    environ: Mapping[str, str],
    *,
    lang: str = "en",
    headers: str = "en",
    roll: Roll = Roll(),
) -> Iterator[Callable[[], Sequence[Path]]]:
    """What writes verdict, CSV and page of a session into ``folder``, where its results' files lie already, each by
    itself: one that cannot be written costs no other.

    Under GitLab its metrics report too.  ``headers`` are the CSV's: "en", "zh" or "both".
    """
    yield lambda: [verdict.write(results, folder, roll)]
    if results:  # else the figures of the session before stand, which say whose they are
        yield lambda: csv.write(results, folder, lang=headers)
    if environ.get("GITLAB_CI"):
        yield lambda: [openmetrics.gitlab(results, folder, roll)]
    yield lambda: [
        page.write(results, folder, lang=lang, extra=page.Extra(history=read(folder, history=True), roll=roll))
    ]


def load_libraries() -> None:
    """Import what writing takes over half a second to import; to be called while load runs, in a thread."""
    import jinja2  # noqa: F401
    import pandas  # noqa: F401


def tellers(
    results: Sequence[Result], environ: Mapping[str, str], lang: str = "en", roll: Roll = Roll()
) -> Iterator[Callable[[], Sequence[str]]]:
    """Under GitHub Actions: what appends to the step's summary, and what gives the lines that become annotations."""
    if environ.get("GITHUB_ACTIONS") != "true":
        return
    if summary := environ.get("GITHUB_STEP_SUMMARY"):
        yield lambda: github.append_summary(results, Path(summary), lang, roll)
    yield lambda: github.workflow_commands(results, lang, roll)
