"""The files of ``init``."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_vllm_bench.config import Overrides, matrix, read, write_starter
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.registry import builtin
from pytest_vllm_bench.text import say

SHIPPED = Path(__file__).parent.parent.parent / "bench_cases"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_starter_is_complete(tmp_path: Path, lang: str) -> None:
    config, test = write_starter(tmp_path / "bench", lang, {"base_url": "http://localhost:8000"})
    found = read(config, Overrides(), builtin())
    assert found.targets[0].base_url == "http://localhost:8000"
    assert len(matrix(found)) == 4
    assert "async def test_serving(scenario, vllm_bench)" in test.read_text(encoding="utf-8")
    text = config.read_text(encoding="utf-8")
    assert f"pytest {(tmp_path / 'bench').as_posix()}" in text
    uncommented = "\n".join(
        line[2:] if line.startswith("#   -") or line == "# overrides:" else line for line in text.splitlines()
    )
    config.write_text(uncommented, encoding="utf-8")
    assert [len(s.rules) for s in matrix(read(config, Overrides(), builtin()))] == [2, 2, 2, 3]


def test_both_languages_say_the_same() -> None:
    folder = Path(read.__code__.co_filename).parent / "starter"
    bare = [
        [line for line in (folder / f"config.{lang}.yaml").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
        for lang in ("en", "zh")
    ]
    assert bare[0] == bare[1]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "test_serving.py").write_text("mine")
    with pytest.raises(BenchError) as caught:
        write_starter(tmp_path)
    assert str(tmp_path / "test_serving.py") in say(caught.value.message, "en")
    assert say(caught.value.message, "zh")
    assert not (tmp_path / "config.yaml").exists()
    assert (tmp_path / "test_serving.py").read_text() == "mine"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError) as caught:
        write_starter(tmp_path / "file" / "bench")
    assert say(caught.value.message)
