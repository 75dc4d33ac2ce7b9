"""A session's rows → every file that covers the whole session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_vllm_bench.report import csv, github, page, verdict
from pytest_vllm_bench.report.artifacts import Row
from pytest_vllm_bench.report.folder import read


def write(
    rows: Sequence[Row], folder: Path, environ: Mapping[str, str], *, lang: str = "en", headers: str = "en"
) -> tuple[Path, ...]:
    """CSV, verdict and page of ``rows`` into ``folder``, where their own files lie already; → paths.

    Under GitLab its metrics report too.  ``headers`` are the CSV's: "en", "zh" or "both".  BenchError where the folder
    cannot be written.
    """
    paths = [*csv.write(rows, folder, lang=headers), verdict.write(rows, folder)]
    if environ.get("GITLAB_CI"):
        paths.append(github.gitlab_metrics(rows, folder))
    history = read(folder, history=True)
    return (*paths, page.write(rows, folder, lang=lang, extra=page.Extra(history=history)))


def load_libraries() -> None:
    """Import what writing takes over half a second to import; to be called while load runs, in a thread."""
    import jinja2  # noqa: F401
    import pandas  # noqa: F401


def tell(rows: Sequence[Row], environ: Mapping[str, str], lang: str = "en") -> list[str]:
    """Under GitHub Actions: append to the step's summary, and give the lines that become annotations."""
    if environ.get("GITHUB_ACTIONS") != "true":
        return []
    if environ.get("GITHUB_STEP_SUMMARY"):
        github.append_summary(rows, Path(environ["GITHUB_STEP_SUMMARY"]), lang)
    return github.workflow_commands(rows, lang)
