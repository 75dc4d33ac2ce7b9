"""Tables of results, ours of any version and language and those of a sweep, are read back; what cannot be is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from every import every
from results_made import result

from pytest_vllm_bench.cli import main
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judge.baseline import KEPT
from pytest_vllm_bench.model import Problem, Result
from pytest_vllm_bench.report import csv, rebuild, sheet
from pytest_vllm_bench.store import folder, history
from pytest_vllm_bench.text import say

HERE = Path(__file__).parent


def night(n: int, slower: float = 1.0) -> list[Result]:
    """Two scenarios of one night of a real server."""
    when = f"2026-{1 + n // 28:02}-{1 + n % 28:02}T02:00:00Z"
    made = []
    for concurrency in (1, 4):
        one = result(concurrency=concurrency)
        moved = {key: value * slower * (1 + 0.001 * (n % 5)) if key.endswith("_ms") and value else value
                 for key, value in one.metrics.items()}  # fmt: skip
        made.append(replace(one, metrics=moved, date=when, session=when, checks=(), taints=()))
    return made


@every("headers, encoding", [("en", "utf-8"), ("zh", "utf-8-sig"), ("both", "utf-8-sig"), ("zh", "gb18030")])
def test_our_tables_come_back_in_every_language(headers: str, encoding: str, tmp_path: Path) -> None:
    one, two = night(3)
    made = [replace(one, taints=("simulated", "resumed")), two]
    path = csv.write(made, tmp_path, lang=headers)[-1]
    path.write_text(path.read_text("utf-8-sig"), encoding)
    problems: list[Problem] = []
    read = sheet.read(path, problems)
    assert [say(one.message) for one in problems] == (["is not UTF-8: read as GB18030"] if "gb" in encoding else [])
    assert [(one.id, one.scenario.cell.key, one.session, one.verdict, one.model, one.taints) for one in read] == [
        (one.id, one.scenario.cell.key, one.session, one.verdict, one.model, one.taints) for one in made
    ]
    for old, new in zip(made, read, strict=True):
        shown = {key: old.metrics[key] for key in KEPT if key in csv.COLUMNS and old.metrics.get(key) is not None}
        assert len(shown) > 8
        assert {key: new.metrics.get(key) for key in shown} == pytest.approx(shown, rel=1e-5)


def test_a_table_of_an_earlier_version_is_read() -> None:
    """Repeats are one session's, a probe is no scenario of its own, and a search holds what it found."""
    problems: list[Problem] = []
    one, two, found, probe = sheet.read(HERE / "results_of_0_1" / "aggregate_results.csv", problems)
    assert problems == []
    assert (len(one.per_repeat), len(two.per_repeat), two.scenario.repeat) == (0, 2, 2)
    assert found.capacity is not None
    assert probe.scenario.probe_of == "io32x4-capacity"
    made = [replace(each, taints=()) for each in (one, two, found, probe)]
    (point,) = [point for point in history.points(made, []) if point.metric == "mean_ttft_ms"]
    assert point.value == pytest.approx((6.1948 + 6.4116) / 2, rel=1e-4)
    assert {each.scenario for each in history.points(made, [])} == {"io32x4-mc2"}


def sweep(tmp_path: Path, stamp: str, slower: float = 1.0) -> Path:
    """What ``vllm bench sweep serve`` leaves: a folder a combination with a file a run, and a table of all."""
    everything = []
    experiment = tmp_path / stamp
    for seqs in (8, 64):
        for concurrency in (4, 16):
            comb = experiment / f"SERVE--max_num_seqs={seqs}-BENCH--max_concurrency={concurrency}"
            comb.mkdir(parents=True)
            runs = []
            for run in (-1, 0, 1):
                row = {
                    "date": f"{stamp}-0{run + 2}0000", "endpoint_type": "openai", "backend": "openai", "label": None,
                    "model_id": "m", "tokenizer_id": "m", "num_prompts": 80, "request_rate": "inf", "burstiness": 1.0,
                    "max_concurrency": concurrency, "duration": 5.0, "completed": 80, "total_input_tokens": 80 * 256,
                    "total_output_tokens": 80 * 64, "request_throughput": 16.0, "request_goodput": None,
                    "output_throughput": 1024 / slower, "total_token_throughput": 5120.0, "mean_ttft_ms": 50.0,
                    "mean_tpot_ms": 10 * slower * (1 + 0.001 * run), "run_number": run, "max_num_seqs": seqs,
                }  # fmt: skip
                name = "warmup.json" if run < 0 else f"run={run}.json"
                (comb / name).write_text(json.dumps(row, indent=4))
                runs += [row] if run >= 0 else []
            (comb / "summary.json").write_text(json.dumps(runs, indent=4))
            everything += runs
    pd.DataFrame.from_records(everything).to_csv(experiment / "summary.csv")
    return experiment


def test_a_sweep_is_read_from_its_table_and_from_its_folders(tmp_path: Path) -> None:
    experiment = sweep(tmp_path, "20261101")
    problems: list[Problem] = []
    table, files = sheet.read(experiment / "summary.csv", problems), rebuild.gather([experiment], problems)
    assert problems == []
    for read in (table, files):
        assert len(read) == 8, "without the warm-up"
        assert len({(one.id, one.date) for one in read}) == 8
        assert len({one.scenario.cell.key for one in read}) == 4, "what the server was told is part of the name"
        found = history.points(read, [])
        assert {(one.metric, one.plan, one.date[:10]) for one in found} >= {("mean_tpot_ms", "np80", "2026-11-01")}
    assert {one.scenario.concurrency for one in table} == {4, 16}


@pytest.mark.slow
def test_trend_reads_each_directly_and_takes_each_into_a_history(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eighteen nights, the last five 20 % slower: as folders, as what lies in history/, as tables, as sweeps."""
    nights, tables, sweeps = tmp_path / "results", tmp_path / "tables", tmp_path / "sweeps"
    for n in range(18):
        made = night(n, 1.2 if n >= 13 else 1)
        for one in made:
            folder.write(one, nights)
        day = made[0].session[:10].replace("-", "")
        csv.write(made, tables, day=day, lang=("en", "zh", "both")[n % 3])
        sweep(sweeps, day, 1.2 if n >= 13 else 1)
    (tables / "aggregate_results.csv").unlink()
    for n in (17, 18):  # the newest night lies in history/ too
        for one in night(n, 1.2):
            folder.write(one, nights)
    asked = {
        "folders": [nights],
        "history": [nights / "history"],
        "tables": sorted(tables.iterdir()),
        "sweeps": sorted(sweeps.iterdir()),
        "their tables": sorted(sweeps.glob("*/summary.csv")),
    }
    for what, paths in asked.items():
        words = ["trend", *map(str, paths), "--metrics", "mean_tpot_ms"]
        assert main(words) == 1, what
        out, err = capsys.readouterr()
        assert (out.count("worse: fails"), err) == (4 if paths[0].is_relative_to(sweeps) else 2, ""), what
        store = ["--history", str(tmp_path / f"{what}.db")]
        assert main([*words, *store]) == 1, what
        assert capsys.readouterr().out == out, what
        assert main([*words, *store]) == 1, what
        assert capsys.readouterr().err.startswith("0 figures added"), what


def test_a_file_may_be_named_where_a_folder_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For a trend, a comparison, and reports, which lie beside it."""
    rows = [
        {"date": f"202601{n + 1:02}-020000", "num_prompts": 9, "completed": 9, "mean_tpot_ms": 10.0 + n % 3 / 10,
         "max_concurrency": 4, "request_rate": "inf", "request_throughput": 2.0}
        for n in range(14)
    ]  # fmt: skip
    lines, table = tmp_path / "openai.jsonl", csv.write(night(1), tmp_path / "old")[0]
    lines.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert main(["trend", str(lines), "--metrics", "mean_tpot_ms"]) == 0
    assert "1 series of up to 14 sessions" in capsys.readouterr().out
    assert main(["compare", str(table), str(table)]) == 0
    for file in (lines, table):
        assert main(["report", str(file), "--formats", "markdown"]) == 0
        assert (file.parent / "results.md").exists()
    assert main(["trend", str(tmp_path / "none.jsonl")]) == 2
    assert main(["trend", str(tmp_path / "none.csv")]) == 2
    assert "none.csv" in capsys.readouterr().err.splitlines()[-1]


@every("head, body, said", [
    ("scenario_id,date,mean_ttft_ms\n", "a,20261101-020000,5\nb,20261101-020000,fast\nc,20261101-020000,slow\n",
     "{path}:3: mean_ttft_ms: used without a part of it: fast is no number (such cells in this column: 2)"),
    ("scenario_id,mean_ttft_ms\n", "a,5\nb,6,7\n", "{path}:3: left out, {not_read}: 3 fields, and the head has 2"),
    ("scenario_id,verdict\n", "a,PASS\nb,SOSO\n", '{path}:3: left out, {not_read}: its verdict is "SOSO", where'),
    ("scenario_id,num_prompts\n", "a,5\n\nb,x\n", '{path}:4: left out, {not_read}: its num_prompts is "x", where'),
    ("scenario_id;mean_ttft_ms\n", 'a;5,5\nb;"6\n', "{path}:3: left out, {not_read}: unexpected end"),
])  # fmt: skip
def test_what_is_wrong_with_a_table_is_told_by_line_and_column(
    head: str, body: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "old.csv"
    path.write_text(head + body)
    main(["trend", str(path), "--metrics", "mean_ttft_ms"])
    expected = said.format(path=path, not_read="not a result that can be read")
    assert capsys.readouterr().err.startswith(expected)


@every("text", ["", "\n", "time,commit,a.mean_ttft_ms\n1,c,5\n", "just words\n", "\0\0\0"])
def test_a_table_of_something_else_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text(text)
    with pytest.raises(BenchError) as refused:
        rebuild.gather([path])
    assert refused.value.message.key == "report.no_table"


def test_numbers_are_read_as_people_write_them(tmp_path: Path) -> None:
    path = tmp_path / "excel.csv"
    path.write_text("scenario_id;simulated;request_rate;mean_ttft_ms;note\n123;FALSE;inf;1,5;x\nb;TRUE;2;1.5E+02;\n")
    one, two = sheet.read(path)
    assert (one.id, one.metrics["mean_ttft_ms"], one.taints, one.request_rate) == ("123", 1.5, (), None)
    assert (two.id, two.metrics["mean_ttft_ms"], two.taints, two.request_rate) == ("b", 150, ("simulated",), 2)
