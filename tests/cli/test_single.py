"""``single`` as people come to it from ``vllm bench serve``: their flags, their command lines, their result file."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from every import every
from quiet import NOT_ASKED
from test_commands import ran

from pytest_vllm_bench import simulator
from pytest_vllm_bench.cli import main, parser, single
from pytest_vllm_bench.cli.flags import FLAGS
from pytest_vllm_bench.config import Overrides, matrix, read
from pytest_vllm_bench.errors import BenchError, ConfigError
from pytest_vllm_bench.model import Message, Scenario
from pytest_vllm_bench.registry import builtin
from pytest_vllm_bench.text import say
from pytest_vllm_bench.tokenizer import SMALL

HERE = Path(__file__).parent / "vllm"
HELP = (HERE / "help_serve.txt").read_text()
RELAXED = ("--validity", *(f"{name}={value}" for name, value in NOT_ASKED.items()))
LINES = [line for line in (HERE / "commands.txt").read_text().splitlines() if line and not line.startswith("#")]
#: Files that the published lines name.
ASKED = [{"prompt": "What is the capital of India?", "output_tokens": 10}]
SAID = ("human", "What is the capital of India?"), ("gpt", "New Delhi is the capital of India, a city in the north.")
SHAREGPT = [{"conversations": [{"from": who, "value": words} for who, words in SAID]}]
DATA: dict[str, list[Any]] = {
    "ShareGPT_V3_unfiltered_cleaned_split.json": SHAREGPT,
    "sharegpt4v_instruct_gpt4-vision_cap100k.json": SHAREGPT,
    "data.jsonl": ASKED,
    "audio_data.jsonl": ASKED,
    "image_data.jsonl": ASKED,
    "4-8K_throughput.jsonl": ASKED * 5,
    "data/spec_bench/question.jsonl": [
        {"category": ("summarization", "qa")[n % 2], "turns": [f"Summarise {n}."]} for n in range(14)
    ],
    "conversation_trace.jsonl": [
        {"timestamp": 27 * n, "input_length": 600, "output_length": 5, "hash_ids": [n, n + 1]} for n in range(120)
    ],
}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with what the published lines name."""
    monkeypatch.chdir(tmp_path)
    for name, rows in DATA.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(map(json.dumps, rows)) if path.suffix == ".jsonl" else json.dumps(rows))
    (tmp_path / "Qwen3.5-27B").mkdir()
    shutil.copy(SMALL, tmp_path / "Qwen3.5-27B" / "tokenizer.json")
    return tmp_path


def parsed(*words: str) -> argparse.Namespace:
    args, rest = parser("en", "single").parse_known_args(single.spelled(["single", *words]))
    assert rest == []
    return args


def asked(*words: str) -> tuple[dict[str, Any], list[str]]:
    """What a command line becomes, and what is said of it."""
    told: list[Message] = []
    return single.as_config(parsed(*words), told), [say(message) for message in told]


def scenario(folder: Path, made: dict[str, Any]) -> Scenario:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(made))
    (one,) = matrix(read(path, Overrides(), builtin()))
    return one


def test_every_flag_of_theirs_is_one_of_ours() -> None:
    theirs = set(re.findall(r"^  (?:-h, )?--([a-z-]+)", HELP, re.MULTILINE)) - {"help"} | {"no-self-timed"}
    # and sonnet's, which main has too: as many as its own list names (rust/src/bench/tests/python_serve_flags.txt)
    main = theirs | {f"sonnet-{of}-len" for of in ("input", "output", "prefix")}
    assert (len(theirs), len(main)) == (102, 105)
    assert main - FLAGS.keys() == set()
    switches = set(re.findall(r"\[--([a-z-]+)(?:\]| \|)", HELP)) | {"no-self-timed"}
    assert {name for name in theirs if FLAGS[name].kind in ("on", "off")} == switches


@every("line", LINES)
def test_published_lines_are_read(line: str, data: Path) -> None:
    """Each gives a config without problems; a model's name, hub or not, needs no look-up for that."""
    words = shlex.split(line)
    args = parsed(*words)
    if args.num_prompts == 99999999:  # all there are, on a hub
        with pytest.raises(BenchError, match="all_rows"):
            asked(*words)
        return
    made, told = asked(*words)
    one = scenario(data, made)
    assert one.models == (args.served_model_name or args.model,)
    if args.no_oversample is None and args.num_prompts != -1:
        assert one.num_prompts == (args.num_prompts or 1000)
    if args.max_concurrency:
        assert one.concurrency == min(args.max_concurrency, one.num_prompts or 0)
    for name in ("blazedit-min-distance", "probe-request-rate", "trust-remote-code", "tokenizer-mode"):
        assert (f"--{name}" in words) == any(said.startswith(f"--{name}:") for said in told), told


GIVEN = """
    --max_concurrency=8 --num-prompts 4 --request-rate inf --temperature 0.5 --top-p=0.9 --header X-A=b=c
    --extra-body.a.b 3 --extra_body.a.c+=x,y --chat-template-kwargs '{"thinking": true}' --logprobs 2
    --host ::1 --port 9 --goodput ttft:200 e2el:5000 --metric-percentiles 25,99.9 --insecure
    --lora-modules one two --lora-assignment round-robin --model base --request-id-prefix p-
    --validity lag_ms=20 rate=0.9 --workers 2 --tape keep --sla 'p99_ttft_ms<=500' 'failed == 0'
"""


def test_what_flags_become(data: Path) -> None:
    made, told = asked(*shlex.split(GIVEN))
    one = scenario(data, made)
    assert (one.concurrency, one.num_prompts, one.models) == (4, 4, ("one", "two"))
    assert any("--max-concurrency 8" in said for said in told)
    assert one.target.base_url == "http://[::1]:9"
    assert one.target.verify is False
    assert one.target.headers == {"X-A": "b=c"}
    assert one.sampling == {"temperature": 0.5, "top_p": 0.9}
    assert one.extra_body == {
        "logprobs": 2, "a": {"b": 3, "c": ["x", "y"]}, "chat_template_kwargs": {"thinking": True}
    }  # fmt: skip
    assert one.goodput == {"ttft": 200, "e2el": 5000}
    assert one.percentiles == (25, 50, 90, 95, 99, 99.9)
    assert (one.validity.lag_ms, one.validity.rate, one.workers, one.tape) == (20, 0.9, 2, "keep")
    assert [rule.text for rule in one.rules if not rule.implied] == ["p99_ttft_ms <= 500", "failed == 0"]
    assert (one.request_id_prefix, one.tokenizer) == ("p-", "base")
    usual = scenario(data, asked()[0])
    assert (usual.input_len, usual.output_len, usual.num_prompts, usual.concurrency) == (1024, 128, 1000, None)
    assert usual.sampling == {}, "theirs leaves it to the server"


@every(
    "words, option",
    [
        ("--dataset-name sharegpt --dataset-path data.jsonl --sharegpt-output-len 7", ("oversample", True)),
        ("--dataset-name sharegpt --dataset-path data.jsonl --output-len 7 --no-oversample", ("oversample", False)),
        ("--dataset-name custom --dataset-path data.jsonl --custom-output-len 7 --disable-shuffle", ("shuffle", False)),
        ("--dataset-name hf --dataset-path openai/gsm8k --hf-output-len 7", ("split", "test")),
        (
            "--dataset-name hf --dataset-path data --hf-name a/b --hf-split dev --no-stream --hf-output-len 7",
            ("streaming", False),
        ),
        (
            '--dataset-name random --random-range-ratio {"input":0.3,"output":0.3} --random-output-len 7',
            ("range_ratio", 0.3),
        ),
        ("--dataset-name random-mm --random-mm-bucket-config {(1,2,1):0.4,(8,16,1):0.6} --output-len 7", ("width", 16)),
        ("--dataset-name prefix_repetition --prefix-repetition-num-prefixes 3 --output-len 7", ("prefixes", 3)),
        ("--dataset-name speed_bench --dataset-path data --speed-bench-output-len 7", ("oversample", True)),
        ("--dataset-name sonnet --sonnet-prefix-len 9 --sonnet-output-len 7", ("prefix_len", 9)),
    ],
)
def test_flags_of_datasets(words: str, option: tuple[str, Any], data: Path) -> None:
    backend = ["--backend", "openai-chat"] if "random-mm" in words else []
    one = scenario(data, asked(*words.split(), *backend)[0])
    assert one.output_len == 7
    assert one.dataset.options[option[0]] == option[1]


def test_traces_and_ramps(data: Path) -> None:
    trace = "--dataset-name timed_trace --dataset-path conversation_trace.jsonl --timed-trace-sec-multiplier"
    one = scenario(data, asked(*trace.split(), "0.001", "--timed-trace-chunk-hash-size", "512")[0])
    assert dict(one.dataset.options) | {"path": ""} == {"path": "", "block": 512, "unit": "ms"}
    half = scenario(data, asked(*trace.split(), "0.5", "--no-self-timed")[0])
    assert (half.dataset.options["speed"], half.dataset.options["times"]) == (2, False)
    burst = scenario(data, asked("--dataset-name", "burstgpt", "--dataset-path", "conversation_trace.jsonl")[0])
    assert burst.dataset.options["times"] is False, "they send it at the rate that is asked for"
    ramp = "--ramp-up-strategy exponential --ramp-up-start-rps 2 --ramp-up-end-rps 50 --num-prompts 100"
    one = scenario(data, asked(*ramp.split())[0])
    assert one.ramp_up is not None
    assert (one.request_rate, one.ramp_up.start, one.ramp_up.over, one.ramp_up.shape) == (50, 2, None, "exponential")


def test_a_ramp_over_the_requests_needs_their_number(data: Path) -> None:
    made, _ = asked("--ramp-up", "over=requests", "--request-rate", "4", "--duration", "9s")
    with pytest.raises(ConfigError) as found:
        scenario(data, made)
    (problem,) = found.value.problems
    assert (problem.message.key, problem.path) == ("config.ramp_unbounded", "ramp_up.over")


@every(
    "words, says",
    [
        ("--header a", "--header 'a'"),
        ("--metadata a", "--metadata 'a'"),
        ("--goodput ttft=200", "--goodput 'ttft=200'"),
        ("--metric-percentiles 50,x", "--metric-percentiles '50,x'"),
        ("--ramp-up-strategy linear", "--ramp-up-start-rps"),
        ("--ramp-up-strategy linear --ramp-up-start-rps 1 --ramp-up-end-rps 2 --request-rate 3", "--request-rate"),
        ("--dataset-name custom --dataset-path nowhere.jsonl", "--dataset-path nowhere.jsonl"),
        ("--dataset-name hf --dataset-path a/b --num-prompts -1", "--num-prompts -1"),
        ("--random-mm-bucket-config x --dataset-name random-mm", "--random-mm-bucket-config 'x'"),
        ("--num 3", "--num-prompts, --num-warmups"),
        ("--config nowhere.yaml", "--config nowhere.yaml"),
    ],
)
def test_what_is_wrong_is_said_of_the_flag(words: str, says: str, data: Path) -> None:
    with pytest.raises(BenchError) as found:
        asked(*words.split())
    for lang in ("en", "zh"):
        assert says in say(found.value.message, lang)


@pytest.mark.slow
@every(
    "words, says",
    [
        ("--max-concurency 3", "--max-concurency is no flag of single, nor of pytest; did you mean --max-concurrency?"),
        ("--dataset-name sharegpt", "--dataset-path: dataset sharegpt needs the option path"),
        ("--dataset-name sharegp", "--dataset-name: dataset 'sharegp' is unknown; did you mean sharegpt?"),
        ("--backend vlm", '--backend: unknown backend "vlm"'),
        ("--request-rate -1", "--request-rate: -1.0 is too small"),
        ("--num-prompts 0", "--num-prompts: 0 is too small"),
        ("--max-concurrency 0", "--max-concurrency: 0 is too small"),
        ("--random-range-ratio 2", "--random-range-ratio: "),
        ("--validity lagms=3", '--validity.lagms: unknown key "lagms"'),
        ("--sla p99_tft_ms<=3", "--sla: there is no metric"),
        ("--workers none", "--workers: "),
    ],
)
def test_neither_a_file_nor_yaml_is_spoken_of(
    words: str, says: str, capfd: pytest.CaptureFixture[str], data: Path
) -> None:
    assert main(["single", *words.split(), "--base-url", "simulator"]) == pytest.ExitCode.USAGE_ERROR
    shown = "".join(capfd.readouterr())
    assert says in " ".join(shown.split())
    assert "yaml" not in shown
    assert "/tmp" not in shown
    assert not (data / "results").exists()


def test_a_file_of_flags(data: Path) -> None:
    (data / "flags.yaml").write_text("num_prompts: 7\nignore-eos: true\nsave-result: false\ngoodput: ['ttft:5']\n")
    args = parsed("--num-prompts", "8", "--config", "flags.yaml")
    assert (args.num_prompts, args.ignore_eos, args.save_result, args.goodput) == (8, True, None, ["ttft:5"])


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A simulator that serves every model of the published lines."""
    lines = [parsed(*shlex.split(line)) for line in LINES]
    models = tuple(dict.fromkeys(args.served_model_name or args.model for args in lines))
    with simulator.start(simulator.SimulatorOptions(models=models)) as running:
        yield running.base_url


@pytest.mark.slow
@pytest.mark.parametrize(
    "has",
    ["10 --plot", "conversation_trace", "Qwen3.8-27B-FP8", "result_sla", "4-8K", "spec_bench", "--top-k 10"],
)
def test_published_lines_are_run(has: str, server: str, data: Path) -> None:
    """Unchanged but for the server's address."""
    (line, *_) = [line for line in LINES if has.removeprefix("10 ") in line]
    port = server.rpartition(":")[2]
    words = shlex.split(re.sub(r"--port \d+|(?<=127.0.0.1:)\d+", lambda m: m[0].replace(m[0].split()[-1], port), line))
    done = ran("single", *words, *RELAXED, cwd=data, PYTEST_VLLM_URL=server, PYTEST_VLLM_TOKENIZER=str(SMALL))
    (row,) = [json.loads(path.read_text()) for path in data.rglob("bench_*.json")]
    assert row["completed"] == row["num_prompts"] > 0, done.stdout + done.stderr
    assert "/vllm-bench-" not in done.stdout, "the folder that was made for it is nobody's business"
    assert done.returncode == 0, done.stdout + done.stderr
    if "--save-result" in words:
        (saved,) = found(data, parsed(*words))
        assert saved.keys() >= {"mean_ttft_ms", "p99_ttft_ms", "completed", "request_throughput", "duration"}


def found(folder: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    """What --save-result wrote, where it was told to."""
    paths = (folder / (args.result_dir or "")).glob(args.result_filename or "*qps*.json")
    return [json.loads(text) for path in paths for text in path.read_text().splitlines()]


@pytest.mark.slow
def test_the_saved_file_has_what_theirs_has(server: str, data: Path) -> None:
    """Where it was asked for, under their keys: metadata, percentiles, an entry a request; appended as a line."""
    line = """
        --num-prompts 12 --max-concurrency 3 --random-input-len 32 --random-output-len 6 --seed 3 --model Qwen3.5-27B
        --save-result --save-detailed --append-result --result-dir out --result-filename all.jsonl --label mine
        --metadata tp=8 date=then completed=99
        --percentile-metrics 'ttft, e2el,client_queue_time,e2el_including_client_queue'
        --metric-percentiles 0,25,99.9,100 --request-rate 200 --goodput ttft:60000 --plot-timeline --disable-tqdm
        --profile
    """
    for n in (1, 2):
        done = ran("single", *shlex.split(line), *RELAXED, cwd=data, PYTEST_VLLM_URL=server)
        assert done.returncode == 0, done.stdout + done.stderr
        rows = found(data, parsed(*shlex.split(line)))
        assert len(rows) == n, "a line a run"
    assert "--disable-tqdm: progress" in done.stderr
    row = rows[-1]
    assert row["taints"] == [], "what was profiled is a second load"
    assert "server.no_profiler" in [note["key"] for note in row["notes"]]
    assert (row["label"], row["tp"], row["date"], row["completed"]) == ("mine", "8", "then", 12)
    assert row["p0_ttft_ms"] == row["min_ttft_ms"] <= row["p25_ttft_ms"] <= row["p100_ttft_ms"] == row["max_ttft_ms"]
    for metric in ("ttft", "e2el", "client_queue_time", "e2el_including_client_queue"):
        assert {f"{statistic}_{metric}_ms" for statistic in ("mean", "median", "std", "p25", "p99.9")} <= row.keys()
    for key in (
        "input_lens",
        "output_lens",
        "start_times",
        "ttfts",
        "itls",
        "latencies",
        "queue_times",
        "generated_texts",
        "errors",
    ):
        assert len(row[key]) == 12
    assert row["start_times"] == sorted(row["start_times"])
    assert (set(row["output_lens"]), set(row["input_lens"]), set(row["errors"])) == ({6}, {32}, {""})
    assert all(row["generated_texts"])
    assert sum(row["ttfts"]) / 12 == pytest.approx(row["mean_ttft_ms"] / 1000)
    whole = [ttft + sum(gaps) for ttft, gaps in zip(row["ttfts"], row["itls"], strict=True)]
    assert sum(whole) / 12 == pytest.approx(row["mean_e2el_ms"] / 1000)
    assert (data / "out" / "all.timeline.html").stat().st_size > 1 << 20
    assert ran("judge", "out/all.jsonl", "--rule", "failed == 0", cwd=data).returncode == 0
    assert "io32x6" in ran("aggregate", "out", cwd=data).stdout


@pytest.mark.slow
def test_a_file_that_cannot_be_written_is_said(data: Path, server: str) -> None:
    (data / "taken").write_text("")
    line = "--num-prompts 3 --random-input-len 8 --random-output-len 4 --model Qwen3.5-27B --save-result"
    done = ran("single", *line.split(), "--result-filename", "taken/x.json", cwd=data, PYTEST_VLLM_URL=server)
    assert done.returncode == 2
    assert "taken" in done.stderr
    assert "Traceback" not in done.stderr


@every("lang", ["en", "zh"])
def test_a_result_of_an_older_vllm_is_read_and_not_asked_for_flags_that_were_given(
    lang: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """vLLM 0.8 with --save-detailed: requests, but neither when they were sent nor how many failed."""
    n = 100
    old = {
        "date": "20250501-101010", "backend": "vllm", "model_id": "m", "num_prompts": n, "request_rate": "inf",
        "max_concurrency": 4, "duration": 5.0, "completed": n, "request_throughput": 20.0, "output_throughput": 60.0,
        "request_goodput:": None, "input_lens": [8] * n, "output_lens": [3] * n, "errors": [""] * n,
        "ttfts": [0.05 + 0.0001 * (i * 37 % 101) for i in range(n)], "itls": [[0.01, 0.01]] * n,
        "generated_texts": ["a b c"] * n, "mean_ttft_ms": 55.0, "p99_ttft_ms": 60.0,
    }  # fmt: skip
    (data / "old.json").write_text(json.dumps(old))
    assert main(["--lang", lang, "judge", "old.json", "--rule", "p90_ttft_ms <= 500", "failed == 0"]) == 0
    said = "".join(capsys.readouterr())
    assert "PASS" in said or "通过" in said
    assert "start_times" in said
    assert "--save-detailed" not in said
