from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from every import every
from results_made import record, result, results
from runs import scenario

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Cell, Measurement, Problem, Record, Result, Target, Verdict
from pytest_vllm_bench.store import folder, foreign, measurement, records
from pytest_vllm_bench.store.schema import schema

NAME = "bench_io1024x256_mc16_np160"


def bare(**more: Any) -> Result:
    return result(**more, records=())


def names(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir())


@every(
    ("scenario_id", "name"),
    [
        ("io256x256-mc1-np10", "bench_io256x256_mc1_np10"),
        ("a-sharegpt-mc4-rr2.5-d60", "bench_a_sharegpt_mc4_rr2.5_d60"),
        ("../../etc/passwd", "bench__.._etc_passwd"),
        ("数据-mc1-np1", "bench_数据_mc1_np1"),
        ("🚀-mc1", "bench___mc1_838b5f8f"),
        ("😀-mc1", "bench___mc1_ce43fe84"),
        ("x" * 300, f"bench_{'x' * 185}_1b432d13"),
        ("服务" * 100, f"bench_{'服务' * 30}服_00219cf5"),
    ],
)
def test_a_file_is_named_after_its_scenario(scenario_id: str, name: str) -> None:
    assert folder.stem(scenario_id) == name
    assert Path(name).name == name


def test_a_result_lies_beside_its_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVE_TO_PYTORCH_BENCHMARK_FORMAT", "1")
    made = result(n=20)
    paths = folder.write(made, tmp_path / "new" / "results")
    assert names(tmp_path / "new" / "results") == sorted(p.name for p in paths)
    assert [p.name.removeprefix("bench_io1024x256_mc16_np20") for p in paths] == [
        ".json",
        ".records.jsonl.gz",
        ".pytorch.json",
    ]
    assert list(records.read(paths[1])) == list(made.records)


def test_records_of_another_version_are_read(tmp_path: Path) -> None:
    path = tmp_path / f"x{records.SUFFIX}"
    with gzip.open(path, "wt") as out:
        out.write('{"index": 3, "sent": 1.5, "colour": "blue"}\n')
    (only,) = records.read(path)
    assert (only.index, only.sent, list(only.arrival_times)) == (3, 1.5, [])


def test_a_measurement_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    one = Measurement(scenario=scenario())
    measurement.save(one, tmp_path / "x")
    path = tmp_path / f"x{measurement.SUFFIX}"
    saved = msgspec.msgpack.decode(gzip.decompress(path.read_bytes()))
    few = {name: saved[name] for name in ("version", "n", "scenario")}
    path.write_bytes(gzip.compress(msgspec.msgpack.encode(few)))
    assert measurement.load(path) == one


REPEAT = Cell(place="io8x8-mc1", bound="np9", repeat=2)
PROBE = Cell(target="a", place="io8x8", search="capacity", level="mc4", bound="np60")


@every("cell", [REPEAT, PROBE])
def test_the_first_version_called_a_scenario_by_its_id(cell: Cell, tmp_path: Path) -> None:
    asked = replace(scenario(), cell=cell, target=Target(name=cell.target))
    one = Measurement(scenario=asked, session="s")
    was = msgspec.msgpack.decode(gzip.decompress(measurement.dump(one))) | {"version": 1}
    del was["scenario"]["cell"]
    was["scenario"] |= {"id": cell.id, "key": cell.key, "repeat": asked.repeat, "probe_of": asked.probe_of}
    path = tmp_path / f"x{measurement.SUFFIX}"
    path.write_bytes(gzip.compress(msgspec.msgpack.encode(was)))
    assert measurement.load(path) == one
    del was["scenario"]["id"]
    path.write_bytes(gzip.compress(msgspec.msgpack.encode(was)))
    with pytest.raises(BenchError) as caught:
        measurement.load(path)
    assert caught.value.message.key == "report.damaged"


def test_records_cut_short_leave_no_file(tmp_path: Path) -> None:
    def broken() -> Iterator[Record]:
        yield record(0, 3)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        records.write(broken(), tmp_path / "x.gz")
    assert names(tmp_path) == []


def test_what_a_session_replaces_moves_to_history(tmp_path: Path) -> None:
    first, second = result(session="s1"), result(session="s2")
    folder.write(first, tmp_path)
    folder.write(second, tmp_path)
    assert names(tmp_path) == [f"{NAME}.json", f"{NAME}.records.jsonl.gz", "history"]
    assert names(tmp_path / "history" / "s1") == [f"{NAME}.json", f"{NAME}.records.jsonl.gz"]
    assert [one.session for one in folder.read(tmp_path)] == ["s2"]
    assert [one.session for one in folder.read(tmp_path, history=True)] == ["s1", "s2"]


def test_a_rerun_in_one_session_overwrites(tmp_path: Path) -> None:
    folder.write(bare(session="s1"), tmp_path)
    folder.write(bare(session="s1", verdict=Verdict.FAIL), tmp_path)
    assert names(tmp_path) == [f"{NAME}.json"]
    assert folder.read(tmp_path)[0].verdict is Verdict.FAIL


def test_scenarios_whose_names_begin_alike_do_not_move_together(tmp_path: Path) -> None:
    folder.write(bare(concurrency=1, n=1, session="s1"), tmp_path)
    folder.write(bare(concurrency=1, n=10, session="s1"), tmp_path)
    folder.write(bare(concurrency=1, n=1, session="s2"), tmp_path)
    assert names(tmp_path / "history" / "s1") == ["bench_io1024x256_mc1_np1.json"]


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    path = tmp_path / "tape"
    path.mkdir()
    (path / "w0-000000.tape").write_bytes(b"what came")
    return path


def test_a_tape_is_dropped_when_all_went_well(tmp_path: Path, tape: Path) -> None:
    folder.settle(bare(), tmp_path, tape, "drop")
    assert names(tmp_path) == []


@pytest.mark.parametrize("more", [{"verdict": Verdict.FAIL}, {"verdict": Verdict.INVALID}, {"complete": False}])
def test_a_tape_that_could_explain_is_kept(tmp_path: Path, tape: Path, more: dict[str, Any]) -> None:
    folder.settle(bare(**more), tmp_path, tape, "drop")
    (packed,) = (tmp_path / f"{NAME}.tape").iterdir()
    assert packed.name == "w0-000000.tape.gz"
    assert gzip.decompress(packed.read_bytes()) == b"what came"


def test_a_tape_is_kept_as_it_is(tmp_path: Path, tape: Path) -> None:
    folder.settle(bare(), tmp_path, tape, "keep")
    assert (tmp_path / f"{NAME}.tape" / "w0-000000.tape").read_bytes() == b"what came"


def test_a_folder_that_is_a_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(BenchError) as error:
        folder.write(bare(), tmp_path / "results")
    assert error.value.message.key == "report.cannot_write"
    assert str(tmp_path / "results") in str(error.value.message.values)


def test_two_sessions_do_not_share_a_folder(tmp_path: Path) -> None:
    with folder.claimed(tmp_path / "results"):
        with pytest.raises(BenchError) as error, folder.claimed(tmp_path / "results"):
            pass
        assert error.value.message.key == "report.claimed"


def test_what_a_killed_session_measured_is_put_aside_and_the_rest_goes(tmp_path: Path) -> None:
    for place in (f"{NAME}/tape", "bench_planned/plan", "bench_sent_nothing/tape", "trial-1"):
        (tmp_path / folder.RUNNING / place).mkdir(parents=True)
        (tmp_path / folder.RUNNING / place / "w0-000000.tape").write_bytes(b"read" if NAME in place else b"")
    (tmp_path / folder.RUNNING / "bench_planned" / "begun.tracks.jsonl.gz").write_bytes(b"of a result that is saved")
    (tmp_path / "verdict.json").write_text("{}")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for part in (f".{ended.pid}.part", f".{NAME}.records.jsonl.gz.part", f".{os.getpid()}.part"):
        (tmp_path / part).write_text("half of")
    with folder.claimed(tmp_path):
        assert names(tmp_path / folder.RUNNING) == []
    assert names(tmp_path) == [f".{os.getpid()}.part", folder.KEPT, "verdict.json"]
    assert names(tmp_path / folder.KEPT) == [NAME]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_says_what_to_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(BenchError) as error:
        folder.write(bare(), tmp_path)
    assert error.value.message.key == "report.not_writable"


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes")
def test_a_full_disk_leaves_the_old_file_and_no_half_one(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the write begins and cannot end."""
    (tmp_path / "verdict.json").write_text("old")
    code = f"""
import resource, pathlib
from pytest_vllm_bench.store import folder
from pytest_vllm_bench.errors import BenchError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
path = pathlib.Path({str(tmp_path)!r})
try:
    with folder.writing(path):
        folder.write_text(path / "verdict.json", "new" * 1000)
except BenchError as error:
    print(error.message.key)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "report.disk_full\n"
    assert names(tmp_path) == ["verdict.json"]
    assert (tmp_path / "verdict.json").read_text() == "old"


def test_old_results_are_completed_from_their_names(tmp_path: Path) -> None:
    old = {
        "date": "20250102-030405",
        "num_prompts": 80,
        "completed": 80,
        "request_throughput": 1.5,
        "mean_ttft_ms": float("nan"),
    }
    (tmp_path / "bench_io512x256_mc8_np80.json").write_text(json.dumps(old))
    (found,) = folder.read(tmp_path)
    assert (found.id, found.scenario.input_len, found.scenario.output_len) == ("io512x256-mc8-np80", 512, 256)
    assert (found.scenario.concurrency, found.scenario.cell.key, found.verdict) == (8, "io512x256-mc8", None)
    assert found.mean_ttft_ms is None


def test_a_foreign_name_gives_the_mean_lengths(tmp_path: Path) -> None:
    old = {
        "completed": 2,
        "num_prompts": 2,
        "total_input_tokens": 200,
        "total_output_tokens": 64,
        "request_throughput": 1,
    }
    (tmp_path / "vllm-infqps-concurrency4-model-20250102.json").write_text(json.dumps(old))
    (found,) = folder.read(tmp_path)
    asked = found.scenario
    assert (asked.input_len, asked.output_len, asked.concurrency) == (100, 32, 4)


def test_what_another_tools_user_wrote_is_not_ours(tmp_path: Path) -> None:
    """``vllm bench serve --metadata verdict=PASS server=h100``: words under keys that mean something here."""
    theirs = {"completed": 2, "num_prompts": 2, "request_throughput": 1.5, "mean_ttft_ms": 20.0}
    said = {"verdict": "PASS", "server": "h100", "repeat": "2", "config": "a.yaml", "session": "7", "note": "x"}
    (tmp_path / "bench_io512x256_mc8_np2.json").write_text(json.dumps(theirs | said))
    problems: list[Problem] = []
    (found,) = folder.read(tmp_path, problems=problems)
    assert (problems, found.verdict, found.session, found.mean_ttft_ms) == ([], None, "", 20.0)
    assert (found.server, found.scenario.repeat, found.other) == ({}, 1, {"note": "x"})


def test_what_is_dropped_of_another_tools_file_is_no_figure() -> None:
    made = schema()["properties"]
    assert {*made} >= foreign.OURS
    nested = {key for key, of in made.items() if any(word in str(of) for word in ("object", "$ref"))}
    assert nested <= foreign.OURS, "readers look into these"


def test_files_that_are_no_results_are_passed_over_aloud(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"scenario_id": ')
    (tmp_path / "other.json").write_text('{"a": 1}')
    (tmp_path / "list.json").write_text("[]")
    folder.write(bare(), tmp_path)
    problems: list[Problem] = []
    assert [one.id for one in folder.read(tmp_path, problems=problems)] == ["io1024x256-mc16-np160"]
    assert [Path(p.file).name for p in problems] == ["half.json"]


def test_no_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(BenchError) as error:
        folder.read(tmp_path / "nowhere")
    assert "nowhere" in str(error.value.message.values)


def test_results_come_by_input_output_concurrency(tmp_path: Path) -> None:
    for each in results():
        folder.write(each, tmp_path)
    assert [one.scenario.concurrency for one in folder.read(tmp_path)] == [1, 4, 16, 64]


def test_the_latest_of_each_scenario() -> None:
    old, new, other = bare(session="s1"), bare(session="s2"), bare(concurrency=1, n=10, session="s1")
    assert folder.latest([new, other, old]) == [other, new]


def test_pytorch_has_a_record_a_metric(tmp_path: Path) -> None:
    path = folder.write_pytorch(bare(), tmp_path)
    listed = json.loads(path.read_text())
    by_name = {entry["metric"]["name"]: entry for entry in listed}
    assert by_name["mean_ttft_ms"]["metric"]["benchmark_values"] == [72.0]
    assert by_name["mean_ttft_ms"]["benchmark"]["extra_info"]["args"]["request_rate"] == "inf"
    assert by_name["mean_ttft_ms"]["model"] == {"name": "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B"}
    assert "schema_version" not in by_name
