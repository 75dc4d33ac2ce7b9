"""A session's rows → every file that covers the whole session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pytest_vllm_bench.report import csv, github, page, verdict
from pytest_vllm_bench.report.artifacts import Row
from pytest_vllm_bench.report.folder import read
from pytest_vllm_bench.report.verdict import Roll, measured


def writers(
    rows: Sequence[Row],
    folder: Path,
    environ: Mapping[str, str],
    *,
    lang: str = "en",
    headers: str = "en",
    roll: Roll = Roll(),
) -> Iterator[Callable[[], Sequence[Path]]]:
    """What writes verdict, CSV and page of ``rows`` into ``folder``, where their own files lie already, each by itself:
    one that cannot be written costs no other.

    Under GitLab its metrics report too.  ``headers`` are the CSV's: "en", "zh" or "both".
    """
    yield lambda: [verdict.write(rows, folder, roll)]
    if done := measured(rows):  # else the figures of the session before stand, which say whose they are
        yield lambda: csv.write(done, folder, lang=headers)
    if environ.get("GITLAB_CI"):
        yield lambda: [github.gitlab_metrics(rows, folder)]
    yield lambda: [page.write(rows, folder, lang=lang, extra=page.Extra(history=read(folder, history=True), roll=roll))]


def load_libraries() -> None:
    """Import what writing takes over half a second to import; to be called while load runs, in a thread."""
    import jinja2  # noqa: F401
    import pandas  # noqa: F401


def tellers(
    rows: Sequence[Row], environ: Mapping[str, str], lang: str = "en", roll: Roll = Roll()
) -> Iterator[Callable[[], Sequence[str]]]:
    """Under GitHub Actions: what appends to the step's summary, and what gives the lines that become annotations."""
    if environ.get("GITHUB_ACTIONS") != "true":
        return
    if summary := environ.get("GITHUB_STEP_SUMMARY"):
        yield lambda: github.append_summary(rows, Path(summary), lang, roll)
    yield lambda: github.workflow_commands(rows, lang)
