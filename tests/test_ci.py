"""What CI runs is what the README tells people to run."""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_ci_calls_the_readmes_test_command(readme: str) -> None:
    (command,) = re.findall(r"^python3 -m venv .*\[test\].*$", (ROOT / readme).read_text("utf-8"), re.MULTILINE)
    assert command.replace(".venv", ".venv-ci") in (ROOT / ".ci" / "run").read_text("utf-8")


def test_ci_and_the_pages_call_sessions_that_there_are() -> None:
    """And leave out none but those of single moments."""
    there = set(re.findall(r"^@nox\.session.*\ndef (\w+)", (ROOT / "noxfile.py").read_text("utf-8"), re.MULTILINE))
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    (looped,) = re.findall(r"for session in (.*); do", ci)
    called = {*re.findall(r"nox -s (\w+)", ci), *looped.split()}
    assert called == there - {"fast", "long"}
    for page in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "RELEASING.md", ".github/pull_request_template.md"):
        named = re.findall(r"nox -s ((?:\w+ ?)+)", (ROOT / page).read_text("utf-8"))
        assert named
        assert {name for names in named for name in names.split()} - {"and"} <= there, page


def test_ci_is_a_script_that_bash_can_read() -> None:
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True, timeout=30)


def test_in_ci_a_leg_may_lack_only_what_the_machine_does_not_permit(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it finds wrong fails it anywhere."""
    monkeypatch.syspath_prepend(str(ROOT / "ci"))
    leg = importlib.import_module("leg")

    def ends(exception: Exception | None, ci: str) -> int:
        def checks(findings: Any) -> None:
            findings.check("it holds", holds=exception is not None)
            if exception:
                raise exception

        monkeypatch.setenv("CI", ci)
        return int(leg.run("a leg", checks))

    cases = {"a check": None, "had": leg.Unavailable("x"), "permitted": leg.Forbidden("x"), "broken": RuntimeError("x")}
    found = {name: (ends(exception, "true"), ends(exception, "false")) for name, exception in cases.items()}
    assert found == {"a check": (1, 1), "had": (1, 0), "permitted": (0, 0), "broken": (1, 1)}
