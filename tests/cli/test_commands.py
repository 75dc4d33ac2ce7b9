"""The commands as a shell runs them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from quiet import NOT_ASKED
from raw import Answer, error, html, serving, works

from pytest_vllm_bench import simulator
from pytest_vllm_bench.cli import COMMANDS, main
from pytest_vllm_bench.config import Overrides, matrix, read
from pytest_vllm_bench.registry import builtin
from pytest_vllm_bench.tokenizer import SMALL

GOLDEN = Path(__file__).parent / "golden"
OF_0_1 = Path(__file__).parents[1] / "report" / "results_of_0_1"
QUIET = f"validity: {json.dumps(NOT_ASKED)}\n"


def shell(*args: str, cwd: Path, code: int = 0, **more: str) -> str:
    """Run a command → what it printed; ``more``: of its environment."""
    done = ran(*args, cwd=cwd, **more)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def ran(*args: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own where it runs pytest, or Python's start matters; the pages' commands are a shell's."""
    env = {"COLUMNS": "100", "LC_ALL": "C.UTF-8", "NO_COLOR": "1", **more}
    if {"single", "batch"} & set(args) or "PYTHONIOENCODING" in more:
        command = [sys.executable, "-m", "pytest_vllm_bench", *args]
        return subprocess.run(command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=240)
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as here, redirect_stdout(out), redirect_stderr(err):
        here.chdir(cwd)
        for name, value in env.items():
            here.setenv(name, value)
        try:
            code = main(args)
        except SystemExit as end:  # argparse's own
            code = int(str(end.code))
    return subprocess.CompletedProcess(args, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with simulator.start() as running:
        yield running.base_url


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A folder with results of two scenarios."""
    folder = tmp_path_factory.mktemp("finished")
    cells = "input_output: [[64, 8]]\nconcurrency_prompts: [[1, 30], [2, 40]]\nwarmup: 0\n"
    (folder / "config.yaml").write_text(f"base_url: {server}\n{cells}sla: ['p90_ttft_ms <= 60000']\n{QUIET}")
    shell("batch", "config.yaml", cwd=folder)
    return folder


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command: str, lang: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What people read first; UPDATE_GOLDEN=1 writes the files anew, to be looked at."""
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as end:
        main(["--lang", lang, *([command] if command else []), "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    path = GOLDEN / f"help_{command or 'all'}.{lang}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    # argparse itself words its headings a little differently from one Python to the next.
    assert text.split() == path.read_text(encoding="utf-8").split()


@pytest.mark.slow
def test_single_is_a_config_of_one_cell(tmp_path: Path, server: str) -> None:
    args = ["--random-input-len", "64", "--random-output-len", "8", "--num-prompts", "20", "--max-concurrency", "2"]
    args += ["--goodput", "ttft:60000", "--num-warmups", "0"]
    done = ran("single", "--base-url", server, *args, cwd=tmp_path)
    row = json.loads((tmp_path / "results" / "bench_io64x8_mc2_np20.json").read_text())
    assert row["completed"] == 20
    assert row["goodput_ratio"] == 1.0
    broken = {check["check"] for check in row["validity"] if not check["ok"]}
    assert broken <= {"sentinel_lag", "send_lag", "cpu", "steal"}, "only a machine that is too busy may spoil it"
    assert (done.returncode, row["verdict"] == "INVALID") == (int(bool(broken)), bool(broken)), done.stdout


def test_single_says_what_is_wrong(tmp_path: Path) -> None:
    assert "ttft:200" in shell("single", "--goodput", "ttft=200", cwd=tmp_path, code=2)
    assert "--no-such-flag" in shell("aggregate", "--no-such-flag", cwd=tmp_path, code=2)


def test_aggregate(finished: Path) -> None:
    text = shell("aggregate", "results", cwd=finished)
    assert "io64x8-mc2-np40" in text
    csv = (finished / "results" / "aggregate_results.csv").read_text().splitlines()
    assert len(csv) == 3
    row = dict(zip(*(line.split(",") for line in csv[:2]), strict=True))
    assert float(row["p99_ttft_ms"]) > 0, "what scripts look for is there"
    assert "p99_ttft_ms" in row["few_samples"].split()


def test_headers_of_files_are_english_unless_asked_otherwise(finished: Path) -> None:
    plain = finished / "results" / "aggregate_results.csv"
    cases: list[tuple[list[str], dict[str, str], str]] = [
        ([], {}, "scenario_id,input_len"),
        (["--lang", "zh"], {}, "场景,"),
        ([], {"PYTEST_VLLM_LANG": "zh"}, "场景,"),
        (["--csv-lang", "both"], {}, "scenario_id 场景,"),
        (["--lang", "zh", "--csv-lang", "en"], {}, "scenario_id,input_len"),
    ]
    for words, more, begins in cases:
        shown = ran("aggregate", "results", *words, cwd=finished, LC_ALL="zh_CN.UTF-8", **more).stdout
        assert "已写入" in shown, "the screen follows the locale"
        assert plain.read_text("utf-8-sig").startswith(begins)
    shell("report", "results", "--formats", "csv", cwd=finished, LC_ALL="zh_CN.UTF-8")
    assert plain.read_text().startswith("scenario_id,")


def test_report_and_its_alias(finished: Path, tmp_path: Path) -> None:
    shell("report", "results", "--out", str(tmp_path / "a"), "--formats", "html", "markdown", cwd=finished)
    assert (tmp_path / "a" / "report.html").stat().st_size > 1_000_000
    shell("visualize", "results", "--out", str(tmp_path / "b"), "--formats", "svg", cwd=finished)
    assert list((tmp_path / "b").rglob("*.svg"))


def test_compare(finished: Path) -> None:
    assert "io64x8-mc1" in shell("compare", "results", "results", cwd=finished)
    assert "|" in shell("compare", "results", "results", "--format", "markdown", cwd=finished)
    compared: Any = json.loads(shell("compare", "results", "results", "--format", "json", cwd=finished))
    assert compared


def test_compare_three_folders(finished: Path, tmp_path: Path) -> None:
    """Each table says which two folders it is of, and what is only in one of them."""
    for name in ("a", "b", "c"):
        shutil.copytree(finished / "results", tmp_path / name)
    for gone in (tmp_path / "c").glob("*mc1*"):
        gone.unlink()
    for form, titles in (("text", ["a → b", "a → c"]), ("markdown", ["**a → b**", "**a → c**"])):
        text = shell("compare", "a", "b", "c", "--format", form, cwd=tmp_path)
        assert [line for line in text.splitlines() if "→" in line] == titles
        assert "only before: io64x8-mc1" in text.split("a → c")[1]
    made: Any = json.loads(shell("compare", "a", "b", "c", "--format", "json", cwd=tmp_path))
    assert [(one["before"], one["after"]) for one in made] == [("a", "b"), ("a", "c")]


def test_compare_says_what_is_wrong(finished: Path, tmp_path: Path) -> None:
    assert "only results" in shell("compare", "results", cwd=finished, code=2)
    assert "nowhere" in shell("compare", "results", "nowhere", cwd=finished, code=2)
    assert "no results" in shell("compare", "results", str(tmp_path), cwd=finished, code=2)


def test_judge_again_without_a_server(finished: Path) -> None:
    assert "PASS" in shell("judge", "results", "--rule", "p90_ttft_ms <= 60000", cwd=finished)
    assert "FAIL" in shell("judge", "results", "--rule", "p90_ttft_ms <= 0.001", cwd=finished, code=1)
    assert "p99_ttft_ms" in shell("judge", "results", "--rule", "p99_tft_ms <= 5", cwd=finished, code=2)


@pytest.mark.slow
def test_judge_the_results_of_others(tmp_path: Path) -> None:
    theirs = {
        "backend": "vllm",
        "model_id": "m",
        "num_prompts": 100,
        "max_concurrency": 8,
        "request_rate": "inf",
        "duration": 10.0,
        "completed": 100,
        "request_throughput": 10.0,
        "output_throughput": 1280.0,
        "total_token_throughput": 2560.0,
        "mean_ttft_ms": 120.0,
        "p99_ttft_ms": 300.0,
    }
    (tmp_path / "theirs.json").write_text(json.dumps(theirs))
    shell("judge", "theirs.json", "--rule", "p99_ttft_ms <= 500", "--mode", "exact", cwd=tmp_path)
    shell("judge", "theirs.json", "--rule", "p99_ttft_ms <= 200", "--mode", "exact", cwd=tmp_path, code=1)
    text = shell("judge", "theirs.json", "--rule", "p99_ttft_ms <= 500", cwd=tmp_path)
    assert "INCONCLUSIVE" in text
    for lack in ("every single request", "whether the client kept up", "--save-detailed"):
        assert text.count(lack) == 1, "what a file lacks is said once"
    (tmp_path / "nobodys.json").write_text("{}")
    (tmp_path / "broken.json").write_text("{")
    for confidence in ("95", "-1", "0.4", "1", "nan"):
        said = shell("judge", "theirs.json", "--confidence", confidence, cwd=tmp_path, code=2)
        assert "confidence lies from 0.5 to below 1" in said
    for limit in ("latency:5", "ttft:0", "ttft:-1", "ttft:nan", "ttft:inf"):
        said = shell("judge", "theirs.json", "--goodput", limit, cwd=tmp_path, code=2)
        assert "limits are of ttft, ttfo, tpot, e2el, max_gap" in said
    odd = theirs | {"start_times": [1.0], "ttfts": ["soon"], "itls": [[]]}
    (tmp_path / "odd.json").write_text(json.dumps(odd))
    reasons = {"nobodys": "no result of", "broken": "as JSON", "missing": "cannot be read: No such file",
               "odd": "cannot be read: Expected `float`, got `str` - at `$.ttfts[0]`"}  # fmt: skip
    for name, why in reasons.items():
        assert why in shell("judge", f"{name}.json", "--rule", "p99_ttft_ms <= 200", cwd=tmp_path, code=2)


def test_judge_says_which_file_it_cannot_read_and_goes_on(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "results", tmp_path / "results")
    (tmp_path / "results" / "bench_broken.json").write_text("{")
    (tmp_path / "results" / "bench_alien.json").write_text("{}")
    (packed,) = (tmp_path / "results").glob("*mc1*.records.jsonl.gz")
    packed.write_bytes(packed.read_bytes()[:100])
    text = shell("judge", "results", "--rule", "p90_ttft_ms <= 60000", cwd=tmp_path, code=2)
    for name in ("bench_broken.json", "bench_alien.json", packed.name):
        assert name in text
    assert "PASS" in text
    shell("judge", "results", "--rule", "p90_ttft_ms <= 0.001", cwd=tmp_path, code=1)


def test_a_probe_that_breaks_is_part_of_its_search(finished: Path, tmp_path: Path) -> None:
    """In a folder only the search's answer counts; a probe that is named is what is asked about."""
    shutil.copytree(finished / "results", tmp_path / "results")
    for path in (tmp_path / "results").glob("bench_*.json"):
        row = json.loads(path.read_text().replace('"io64x8-mc', '"io64x8-capacity-mc'))
        del row["config"]["cell"]  # as an earlier version leaves it
        row["probe_of"] = "io64x8-capacity"
        path.write_text(json.dumps(row))
        path.with_suffix(".measurement.gz").unlink()
    rule = ("--rule", "p90_ttft_ms <= 0.001")
    assert "FAIL" in shell("judge", "results", *rule, cwd=tmp_path)
    shell("judge", str(path.relative_to(tmp_path)), *rule, cwd=tmp_path, code=1)


def test_judging_nothing_is_no_pass(tmp_path: Path) -> None:
    assert "no results" in shell("judge", ".", "--rule", "p90_ttft_ms <= 1", cwd=tmp_path, code=2)


def test_init_takes_over_a_sweep(tmp_path: Path) -> None:
    """vLLM's files: each setting a server, each load a scenario, and none that the axes alone would add."""
    serve = [{"max_num_seqs": 64}, {"max_num_seqs": 256, "_benchmark_name": "wide"}]
    loads = {"a": {"random_input_len": 64, "random_output_len": 8, "max_concurrency": 1, "num_prompts": 4},
             "b": {"random-input-len": 128, "random-output-len": 8, "max-concurrency": 4, "num-prompts": 12,
                   "burstiness": 0.5}}  # fmt: skip
    (tmp_path / "serve.json").write_text(json.dumps(serve))
    (tmp_path / "loads.json").write_text(json.dumps(loads))
    sweep = ("--serve-params", "serve.json", "--bench-params", "loads.json")
    said = shell("init", "mine", "--server", "simulator", *sweep, cwd=tmp_path)
    assert "not taken over, write keys of config.yaml for them: burstiness" in said
    assert "pytest mine --collect-only" in said
    found = read(tmp_path / "mine" / "config.yaml", Overrides(), builtin())
    ran = [s.id for s in matrix(found) if not s.skip]
    assert ran == [f"{name}-io{n}" for name in ("mns64", "wide") for n in ("64x8-mc1-np4", "128x8-mc4-np12")]


def test_init_gives_what_runs(tmp_path: Path) -> None:
    shell("init", "mine", cwd=tmp_path)
    assert {p.name for p in (tmp_path / "mine").iterdir()} == {"config.yaml", "test_serving.py"}
    shell("init", "mine", cwd=tmp_path, code=2)  # nothing of the user's is overwritten
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "mine", "--collect-only", "-q"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "next: pytest 'of mine' " in shell("init", "of mine", cwd=tmp_path)


def test_doctor(tmp_path: Path, server: str) -> None:
    text = shell("doctor", "--base-url", server, cwd=tmp_path)
    assert "simulator" in text
    assert "server.kv_usage_max" in text
    assert "server.p99_queue_ms" in text
    assert "BAD" in shell("doctor", "--base-url", "http://127.0.0.1:9", cwd=tmp_path, code=1)


def test_doctor_tries_what_a_config_would_send(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A request of each shape, and all that is noticed on the way, once each."""
    cells = {"input_output": [[16, 8], [16, 16]], "concurrency_prompts": [[1, 2], [2, 4]], "sampling": {"min_p": 0.1}}
    config = {"base_url": "http://unused", "backend": "openai-chat", "model": "m", "tokenizer": str(SMALL), **cells}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    few: Answer = lambda n, body: works(n, body) if b'_tokens":16' in body else error(400, "16 at least")  # noqa: E731
    with serving({"/v1/chat/completions": few, "/v1/models": html(), "/tokenize": error(422, "no")}) as raw:
        assert main(["doctor", "--config", str(tmp_path / "config.yaml"), "--base-url", raw.url]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "clock" not in line]
    assert [line for line in lines if line.startswith("BAD") and "16 at least" in line and "temperature: 0" in line]
    assert len(raw.bodies) == 2
    for word in ("as io16x16-", "list of models is done without", "chat template adds", "/metrics"):
        assert len([line for line in lines if word in line and not line.startswith("BAD")]) == 1, word


def test_in_chinese(tmp_path: Path) -> None:
    assert "时钟" in shell("--lang", "zh", "doctor", cwd=tmp_path)
    assert "时钟" in shell("doctor", "--lang", "zh", cwd=tmp_path)
    text = shell("batch", "nowhere.yaml", "--lang", "zh", cwd=tmp_path, code=4)
    assert "没有这个文件" in text
    assert "warning" not in text


def test_a_terminal_that_cannot_spell_it(finished: Path) -> None:
    rule = ["--rule", "p90_ttft_ms <= 60000"]
    assert "\\u901a\\u8fc7" in shell(
        "--lang", "zh", "judge", ".", *rule, cwd=finished / "results", PYTHONIOENCODING="ascii"
    )


@pytest.mark.parametrize(
    ("line", "expected"), [("pytest-vllm-bench agg", "aggregate"), ("pytest-vllm-bench judge --conf", "--confidence")]
)
def test_shell_completion(tmp_path: Path, line: str, expected: str) -> None:
    out = tmp_path / "completions"
    env = {**os.environ, "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": " ", "_ARGCOMPLETE_STDOUT_FILENAME": str(out)}
    env |= {"COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9"}
    command = [sys.executable, "-m", "pytest_vllm_bench"]
    subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, timeout=60)
    assert expected in out.read_text()


@pytest.mark.slow
def test_results_of_an_earlier_version_are_taken_as_before(tmp_path: Path) -> None:
    """A folder as 0.1 left it: two repeats, a search and its probe; no measurements beside them."""
    shutil.copytree(OF_0_1, tmp_path / "results")
    text = shell("judge", "results", cwd=tmp_path, code=1)
    verdicts = dict(re.findall(r"^(io\S+): (\w+)$", text, re.MULTILINE))
    assert verdicts == {
        "io32x4-capacity": "PASS",
        "io32x4-capacity-mc2-np60": "PASS",
        "io32x4-mc2-np12-r1": "PASS",
        "io32x4-mc2-np12-r2": "FAIL",
    }
    shown = " ".join(text.split())
    assert "proven to be broken: 6.187 to 6.72 at 95 % (observed 6.454, asked <= 0.001)" in shown
    assert "the rules are judged on all of them together" in shown
    shell("judge", "results", "--strict", "--rule", "failed == 0", cwd=tmp_path)
    table = shell("aggregate", "results", "--repeats", cwd=tmp_path)
    assert "capacity (concurrency): 2 held (proven)" in " ".join(table.split())
    tables = [(at / "aggregate_results.csv").read_text().splitlines() for at in (OF_0_1, tmp_path / "results")]
    before, now = ([*csv.DictReader(lines)] for lines in tables)
    assert len(before) == len(now)
    for was, one in zip(before, now, strict=True):  # today's table says more: figures of few requests, and outcomes
        assert {name: one[name] for name, value in was.items() if value} == {k: v for k, v in was.items() if v}
    shell("report", "results", cwd=tmp_path)
    assert json.loads((tmp_path / "results" / "verdict.json").read_text())["verdict"] == "FAIL"
    assert (tmp_path / "results" / "report.html").stat().st_size > 1 << 20
    compared = shell("compare", "results", str(OF_0_1), cwd=tmp_path)
    assert re.search(r"io32x4-mc2 +Mean TTFT \(ms\) +6.45 +6.45 +\+0.0%", compared)


def test_what_argparse_says_itself_is_said_in_the_language_too(capsys: pytest.CaptureFixture[str]) -> None:
    for args, zh, en in (
        (["report", "--no-such"], "错误：无法识别的参数：--no-such", "error: unrecognized arguments: --no-such"),
        (["simulate", "--port"], "参数 --port：需要一个值", "argument --port: expected one argument"),
        (["--lang", "xx", "report"], "", "invalid choice: 'xx'"),
    ):
        for lang, said in (("zh", zh), ("en", en)):
            with pytest.raises(SystemExit):
                main(["--lang", lang, *args] if args[0] != "--lang" else args)
            assert said in capsys.readouterr().err
            if args[0] == "--lang":
                break
