"""Servers that the test starts: each setting on one of its own, whatever they do, and nothing of them left behind."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_vllm_bench.tokenizer import SMALL

Bench = Callable[..., pytest.RunResult]
Begin = Callable[..., subprocess.Popen[str]]
SCRIPTED = Path(__file__).parent.parent / "serve" / "scripted.py"
ONE: dict[str, Any] = {
    "base_url": None, "model": "m", "tokenizer": str(SMALL), "input_output": [[16, 4]], "concurrency_prompts": [[2, 6]],
}  # fmt: skip


def server(manner: str = "", *words: str, **keys: Any) -> dict[str, Any]:
    command = [sys.executable, str(SCRIPTED), "--manner", manner, *words]
    return {"command": command, "stop": {"grace": 0.5}, **keys}


def left(pytester: pytest.Pytester) -> list[str]:
    """Servers and guardians whose command names this test's folder, and still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode()
            zombie = path.with_name("stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except OSError:
            continue
        if str(pytester.path) in words and not zombie and ("scripted.py" in words or "guardian.py" in words):
            found.append(words)
    return found


def told(result: pytest.RunResult) -> str:
    return str(result.stdout)


def test_each_setting_runs_on_a_server_of_its_own(bench: Bench, pytester: pytest.Pytester) -> None:
    """The built-in server as a launcher; the order of the tests, ids, logs, and what the dry run says."""
    started = {"command": "simulator --step-s 0.002", "args": {"max-model-len": [4096, 8192]}}
    keys = {"base_url": None, "server": started}
    dry = bench("--collect-only", "-q", **keys)
    ids = re.findall(r"\[(.*)\]", told(dry))
    assert ids == [f"mml{n}-io{i}x8-mc{c}" for n in (4096, 8192) for i in (64, 128) for c in ("1-np4", "4-np12")]
    assert "simulator --step-s 0.002 --max-model-len 4096 --port {port}" in told(dry)
    assert "starts: 2" in told(dry)
    result = bench("-k", "io64", **keys)
    result.assert_outcomes(passed=4, deselected=4)
    assert told(result).count("Starting the server") == 2
    assert {path.name for path in (pytester.path / "results" / "logs").iterdir()} == {
        "server-mml4096.log", "server-mml8192.log"
    }  # fmt: skip


def test_a_setting_that_cannot_start_is_an_error_of_its_own(bench: Bench, pytester: pytest.Pytester) -> None:
    args = [
        {"label": "dies", "manner": "dies", "says": "ValueError: No available memory for the cache blocks.", "code": 3},
        {"label": "works"},
        {"label": "typo", "max-num-sequences": 4},
    ]
    result = bench("-rs", **ONE | {"server": server(args=args), "concurrency_prompts": [[1, 3], [2, 6]]})
    result.assert_outcomes(passed=2, errors=2, skipped=2)
    words = told(result)
    assert "ended by itself (3). The memory left beside the model" in words
    assert "ValueError: No available memory for the cache blocks." in words
    assert "It does not know one of its flags" in words
    assert "unrecognized arguments: --max-num-sequences" in words
    assert "server not there, see dies-io16x4-mc1-np3" in words
