"""The commands that people and CI share: ``nox -s fast``, ``nox -s check``; ``nox -l`` lists them.

They run in the environment that nox itself is in (``pip install -e '.[test]'``), but for ``docs`` and ``wheel``.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.options.default_venv_backend = "none"
nox.options.sessions = ["check", "fast"]


def python(session: nox.Session, *command: str) -> None:
    """With the interpreter that nox runs in, whether or not it is the first on the path."""
    session.run(sys.executable, *command)


@nox.session
def check(session: nox.Session) -> None:
    """Lint, format and types."""
    python(session, "-m", "ruff", "check", ".")
    python(session, "-m", "ruff", "format", "--check", ".")
    python(session, "-m", "mypy")
    # mypy knows a module by its name: files that share theirs are read one at a time.
    scripts = [path for folder in ("tests", "ci") for path in sorted(Path(folder).rglob("*.py"))]
    names = Counter(path.name for path in scripts)
    for path in scripts:
        if names[path.name] > 1:
            python(session, "-m", "mypy", str(path))


@nox.session
def test(session: nox.Session) -> None:
    """All tests but the heaviest and what pages say to run; what fails is run once more, alone, and must pass.

    Three at a time, as many wait.  Shared machines stall now and then, and many tests drive real processes.
    """
    tried("not pages and not heavy", session)


@nox.session
def heavy(session: nox.Session) -> None:
    """The tests that take half a minute and more each: sessions that are killed, all examples, searches in full."""
    tried("heavy", session)


def tried(only: str, session: nox.Session) -> None:
    try:
        python(session, "-m", "pytest", "-n", "3", "--dist", "worksteal", "-m", only, *session.posargs)
    except CommandFailed:
        python(session, "-m", "pytest", "--lf", "-m", only, *session.posargs)


@nox.session
def long(session: nox.Session) -> None:
    """Tests that try at random, simulate or kill do so about ten times as often: a night's work."""
    session.env["LONG"] = "1"
    tests = [str(path) for path in sorted(Path("tests").rglob("test_*.py")) if "from long import" in path.read_text()]
    python(session, "-m", "pytest", *(session.posargs or tests))


@nox.session
def fast(session: nox.Session) -> None:
    """The tests that take no patience."""
    only = "not slow"
    python(session, "-m", "pytest", "-n", "3", "--dist", "worksteal", "-q", "-m", only, *session.posargs)


@nox.session
def legs(session: nox.Session) -> None:
    """The plugin against real servers (vLLM, Triton, PostgreSQL) and a Ray cluster; each leg gets a second try.

    In CI what cannot be had is a failure; ``CI=false`` lets the legs skip it.
    """
    session.env.setdefault("CI", os.environ.get("CI", "true"))
    for leg in sorted(Path("ci").glob("leg_*.py")):
        try:
            python(session, str(leg))
        except CommandFailed:
            python(session, str(leg))


@nox.session(venv_backend="venv")
def docs(session: nox.Session) -> None:
    """The site, in both languages; a link that leads nowhere is an error.  Then everything that a page says to run."""
    session.install("-q", "-e", ".[docs]")
    session.run("mkdocs", "build", "--strict", "--quiet")
    tried("pages", session)


@nox.session(venv_backend="venv")
def wheel(session: nox.Session) -> None:
    """Build what is released, install it in a fresh environment, and run the main job from it, far from this folder."""
    shutil.rmtree("dist", ignore_errors=True)
    session.env["PYTHONPATH"] = None
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
