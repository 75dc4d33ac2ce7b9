"""What CI runs is what the README tells people to run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_ci_calls_the_readmes_test_command(readme: str) -> None:
    (command,) = re.findall(r"^python3 -m venv .*\[test\].*$", (ROOT / readme).read_text("utf-8"), re.MULTILINE)
    assert command.replace(".venv", ".venv-ci") in (ROOT / ".ci" / "run").read_text("utf-8")


def test_ci_is_a_script_that_bash_can_read() -> None:
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True, timeout=30)
