"""The commands that people and CI share: ``nox -s fast``, ``nox -s check``; ``nox -l`` lists them.

They run in the environment that nox itself is in (``pip install -e '.[test]'``), but for ``docs`` and ``wheel``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["check", "fast"]

PYTHON = os.environ.get("PYTHON", "python")


@nox.session
def check(session: nox.Session) -> None:
    """Lint, format and types."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def test(session: nox.Session) -> None:
    """All tests, three at a time on two cores, as many wait; what fails is run once more, alone, and must pass.

    Shared machines stall now and then, and many tests drive real processes.
    """
    session.run("pytest", "-n", "3", "--dist", "worksteal", *session.posargs, success_codes=[0, 1])
    session.run("pytest", "--lf", "--lfnf=none", success_codes=[0, 5])


@nox.session
def fast(session: nox.Session) -> None:
    """The tests that take no process of ours, no browser and no patience."""
    session.run("pytest", "-n", "3", "-q", "-m", "not slow and not process and not browser", *session.posargs)


@nox.session
def legs(session: nox.Session) -> None:
    """The plugin against real servers (vLLM's CPU build, Triton); each leg gets a second try."""
    for leg in sorted(Path("ci").glob("leg_*.py")):
        if session.run(PYTHON, str(leg), success_codes=[0, 1]) is False:
            session.run(PYTHON, str(leg))


@nox.session(venv_backend="venv")
def docs(session: nox.Session) -> None:
    """The site, in both languages; a link that leads nowhere is an error."""
    session.install("-q", "-e", ".[docs]")
    session.run("mkdocs", "build", "--strict", "--quiet", *session.posargs)


@nox.session(venv_backend="venv")
def wheel(session: nox.Session) -> None:
    """Build what is released, install it in a fresh environment, and run the main job from it, far from this folder."""
    shutil.rmtree("dist", ignore_errors=True)
    session.install("-q", "build", "twine")
    session.run("python", "-m", "build", "--outdir", "dist", silent=True)
    session.run("twine", "check", "--strict", *map(str, Path("dist").iterdir()))
    session.run("pip", "uninstall", "-q", "-y", "build", "twine", silent=True)
    (built,) = Path("dist").resolve().glob("*.whl")
    session.install("-q", str(built))
    cases = Path("bench_cases").resolve()
    with tempfile.TemporaryDirectory() as elsewhere, session.chdir(elsewhere):
        shutil.copytree(cases, "bench_cases")
        session.run("pytest", "bench_cases", "-q", "-k", "io256")
        session.run("pytest-vllm-bench", "report", "results")
