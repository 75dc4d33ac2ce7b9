"""Other tools' files as they are really written: several results in one, any encoding, packed, under any name."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from results_made import SGLANG, VLLM

from pytest_vllm_bench import files
from pytest_vllm_bench.cli import main
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Problem
from pytest_vllm_bench.store import folder
from pytest_vllm_bench.text import say

Capture = pytest.CaptureFixture[str]
EXACT = ("--mode", "exact", "--rule", "p99_ttft_ms <= 500")


def command(capsys: Capture, *args: object, code: int = 0) -> str:
    assert main(["--lang", "en", *map(str, args)]) == code
    said = capsys.readouterr()
    return said.out + said.err


def vllm(**more: Any) -> dict[str, Any]:
    """A summary, as ``--save-result`` alone writes it."""
    return {key: value for key, value in VLLM.items() if not isinstance(value, list)} | more


@pytest.mark.parametrize("between", ["\n", "", "  \r\n\n"], ids=["a line each", "nothing", "blanks"])
def test_results_that_were_appended_to_one_file(tmp_path: Path, capsys: Capture, between: str) -> None:
    one, other = vllm(), vllm(max_concurrency=16, num_prompts=9, date="20261123-052605", p99_ttft_ms=900.0)
    (tmp_path / "all.json").write_text(between.join(map(json.dumps, (one, other))))
    text = command(capsys, "judge", tmp_path / "all.json", *EXACT, code=1)
    assert "all[0]: FAIL" in text, "one of four failed"
    assert "all[1]: FAIL" in text
    assert [one.id for one in folder.read(tmp_path)] == ["all-mc2-np4", "all-mc16-np9"]
    assert "all-mc16-np9" in command(capsys, "aggregate", tmp_path)
    report = command(capsys, "report", tmp_path)
    assert "left out" not in report


def test_lines_of_sglang(tmp_path: Path, capsys: Capture) -> None:
    lines = [SGLANG | {"max_concurrency": n, "request_rate": float("inf")} for n in (2, 8)]
    (tmp_path / "sglang.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = command(capsys, "judge", tmp_path, "--mode", "exact", "--rule", "p99_e2el_ms <= 98", code=1)
    assert text.count("p99_e2el_ms") >= 2
    assert "--output-details" in text
    assert "--save-detailed" not in text
    assert [(one.id, one.total_token_throughput) for one in folder.read(tmp_path)] == [
        ("sglang-mc2", 155.0), ("sglang-mc8", 155.0)]  # fmt: skip
    (tmp_path / "sglang.jsonl").write_text((json.dumps(SGLANG) + "\n") * 2)
    problems: list[Problem] = []
    assert len(folder.read(tmp_path, problems=problems)) == 1
    assert ["the later one counts" in say(problem.message) for problem in problems] == [True]


def test_a_part_that_is_odd_costs_that_part(tmp_path: Path, capsys: Capture) -> None:
    """A trace that is replayed has no rate, and SGLang says so where a number belongs."""
    (tmp_path / "trace.json").write_text(json.dumps(SGLANG | {"request_rate": "trace"}))
    text = command(capsys, "report", tmp_path)
    assert 'used without a part of it: its request_rate is "trace"' in text
    assert "trace" in (tmp_path / "aggregate_results.csv").read_text()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_any_encoding_packed_or_not(tmp_path: Path, capsys: Capture, encoding: str, packed: bool) -> None:
    data = json.dumps(vllm(model_id="模型", p99_ttft_ms=float("nan")), ensure_ascii=False).encode(encoding)
    path = tmp_path / ("x.json.gz" if packed else "x.json")
    path.write_bytes(gzip.compress(data) if packed else data)
    command(capsys, "judge", path, "--mode", "exact", "--rule", "mean_ttft_ms <= 60", "failed <= 1")
    command(capsys, "report", tmp_path)
    assert "模型" in (tmp_path / "aggregate_results.csv").read_text("utf-8")


def test_names_that_carry_the_time_of_day_are_the_same_scenario(tmp_path: Path, capsys: Capture) -> None:
    lacking = {key: value for key, value in vllm().items() if key not in ("max_concurrency", "request_rate", "date")}
    for when, tokens in (("20260101-000000", 5.0), ("20260202-000000-2", 6.0)):
        for name, load in (("openai-infqps", 16), ("vllm-2.5qps", 8)):
            place = tmp_path / when[:8]
            place.mkdir(exist_ok=True)
            made = lacking | {"output_throughput": tokens, "request_goodput:": 1.25}
            (place / f"{name}-concurrency{load}-m-{when}.json").write_text(json.dumps(made))
    text = command(capsys, "compare", tmp_path / "20260101", tmp_path / "20260202")
    assert "+20.0%" in text
    assert "only" not in text
    found = folder.read(tmp_path / "20260202")
    assert [folder.session_of(one) for one in found] == ["20260202-000000"] * 2
    assert {(one.id, one.scenario.concurrency, one.request_rate, one.request_goodput) for one in found} == {
        ("openai-infqps-concurrency16-m", 16, None, 1.25), ("vllm-2.5qps-concurrency8-m", 8, 2.5, 1.25)}  # fmt: skip
    (path,) = (tmp_path / "20260202").glob("openai*")
    command(capsys, "judge", path, "--mode", "exact", "--rule", "request_goodput >= 1", "failed <= 1")


def test_a_file_of_any_name_and_kind(tmp_path: Path, capsys: Capture) -> None:
    """What is readable is read under its name, what is not costs a sentence with its name."""
    text = json.dumps(vllm())
    good = ["运行 🚀", "运行 😀", "a\nb", "x" * 240, "--x", "half\udcff", ".."]
    for name in good:
        (tmp_path / f"{name}.json").write_text(text)
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "broken.json").symlink_to("nowhere")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    (tmp_path / "torn.json.gz").write_bytes(gzip.compress(text.encode())[:-9])
    said = command(capsys, "report", tmp_path, "--formats", "html", "csv", "verdict", "markdown", "jsonl", "pytorch")
    for name in ("pipe", "folder", "broken", "zero", "torn"):
        assert f"{name}.json" in said
    assert said.count("left out") == 5
    assert len(folder.read(tmp_path)) == len(good) == len([*tmp_path.glob("*.pytorch.json")])
    for path in (tmp_path / f"{name}.json" for name in good):
        command(capsys, "judge", path, *EXACT, code=1)
    for missing in ("x" * 300, "y" * 300 + "/z.json"):
        for verb in ("judge", "report", "aggregate"):
            assert "x" * 9 in command(capsys, verb, missing, code=2).replace("y", "x")
        command(capsys, "compare", missing, missing, code=2)


def test_no_file_is_read_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(files, "MOST", 1 << 20)
    bomb = tmp_path / "bomb.json.gz"
    bomb.write_bytes(gzip.compress(b'{"a": "' + b"x" * (2 << 20)))
    with pytest.raises(BenchError) as error:
        files.documents(bomb)
    assert say(error.value.message) == "is longer than the 1 MB that are read of a file"
    assert "bomb.json.gz" in command(capsys, "judge", bomb, code=2)
