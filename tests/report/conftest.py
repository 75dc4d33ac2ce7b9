"""Golden files: what people read is compared with what was read and found good.

``WRITE_GOLDEN=1 pytest tests/report`` writes them anew; look at the diff.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from results_made import edited, result

from pytest_vllm_bench.report import page
from pytest_vllm_bench.store import folder

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """``golden(name, text)`` fails where ``text`` is not what lies in ``tests/golden/{name}``."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("WRITE_GOLDEN"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture(scope="session")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 250 lengths × 4 loads, all with the same figures and requests."""
    folder_made = tmp_path_factory.mktemp("thousand")
    one = result(n=20, tokens=32, failed=1)
    path, *_ = folder.write(one, folder_made)
    made = [
        edited(one, path, scenario_id=f"io{16 * i}x256-mc{c}-np20", input_len=16 * i, max_concurrency=c)
        for i in range(1, 251)
        for c in (1, 2, 3, 4)
    ]
    return page.write(made, folder_made)
