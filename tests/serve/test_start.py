"""Starting a server, without a session around it: what its log tells, and a port that was taken in between."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from pytest_vllm_bench.model import Cell, Message, Scenario, ServerCommand, Target
from pytest_vllm_bench.serve import log
from pytest_vllm_bench.serve.launcher import Launcher
from pytest_vllm_bench.serve.start import contained

SCRIPTED = Path(__file__).parent / "scripted.py"
#: Lines of real logs: vLLM on a GPU and on a CPU, SGLang.
REAL = """\
(APIServer pid=1) INFO 11-27 03:52:46 [compilation.py:317] Enabled custom fusions: norm_quant, act_quant
(Worker_TP0 pid=2) INFO 11-27 [default_loader.py:268] Loading weights took 31.27 seconds
(Worker_TP1 pid=3) INFO 11-27 [default_loader.py:268] Loading weights took 29.90 seconds
INFO 11-27 [gpu_model_runner.py:2392] Model loading took 74.08 GiB memory and 35.61 seconds
INFO 11-27 [monitor.py:34] torch.compile takes 14.67 s in total
(Worker_TP0 pid=2) INFO 11-27 [gpu_worker.py:298] Available KV cache memory: 32.08 GiB
(Worker_TP1 pid=3) INFO 11-27 [gpu_worker.py:298] Available KV cache memory: 31.95 GiB
\x1b[1;36m(EngineCore pid=4)\x1b[0;0m INFO [kv_cache_utils.py:1087] GPU KV cache size: 90,841 tokens
INFO 11-27 [kv_cache_utils.py:1091] Maximum concurrency for 4,096 tokens per request: 22.18x
INFO 11-27 [gpu_model_runner.py:3122] Graph capturing finished in 8 secs, took 0.31 GiB
INFO 11-27 [core.py:218] init engine (profile, create kv cache, warmup model) took 2.58 s
"""


def scenario(launch: ServerCommand) -> Scenario:
    return Scenario(cell=Cell(place="x"), target=Target(launch=launch), backend="vllm")


def test_figures_of_real_logs(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text(REAL)
    assert log.figures(file) == {
        "weights_s": 31.27, "compile_s": 14.67, "kv_gib": 31.95, "kv_tokens": 90841, "max_concurrency": 22.18,
        "graphs_s": 8, "engine_s": 2.58,
    }  # fmt: skip
    cpu = "CPU KV cache size: 1,048,576 tokens, Maximum concurrency for 4,096 tokens per request: 256.00x\n"
    sglang = "max_total_num_tokens=441024, chunked_prefill_size=8192\nCapture cuda graph end. Time elapsed: 4.21 s\n"
    for text, told in ((cpu, {"kv_tokens": 1048576, "max_concurrency": 256}),
                       (sglang, {"kv_tokens": 441024, "graphs_s": 4.21}), ("", {})):  # fmt: skip
        file.write_text(text)
        assert log.figures(file) == told
    assert log.figures(tmp_path / "none") == {}
    file.write_bytes(b"\xff\xfe\n" + b"x" * 1_000_000 + b"\r\n\r 45%|##\r 46%|##\n\n")
    assert log.lines(file) == ["x" * log.LETTERS, " 46%|##".rstrip()]


WORDS = {
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB": "memory",
    "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`": "kv_cache",
    "ValueError: To serve at least one request with the models's max seq len (40960), 5.00 GiB KV cache is needed":
        "kv_cache",
    "OSError: [Errno 98] Address already in use": "port",
    "OSError: org/none is not a local folder and is not a valid model identifier listed on 'https://huggingface.co'":
        "model",
    "User-specified max_model_len (99999) is greater than the derived max_model_len": "length",
    "api_server.py: error: unrecognized arguments: --max-num-sequences": "flag",
    "error: invalid argument: --foo": "flag",
    "huggingface_hub.errors.GatedRepoError: 401 Client Error": "access",
    "ModuleNotFoundError: No module named 'vllm'": "package",
}  # fmt: skip


def test_last_words_are_understood() -> None:
    found = {words: log.diagnosis(["INFO starting", words, "Traceback ends"]) for words in WORDS}
    assert {words: why.key if why else "" for words, why in found.items()} == {
        words: f"serve.why.{name}" for words, name in WORDS.items()
    }
    assert log.diagnosis(["INFO all is well"]) is None


def test_a_port_that_was_taken_in_between_is_chosen_again(tmp_path: Path) -> None:
    words = ("--manner", "taken", "--note", str(tmp_path / "note"), "--port", "{port}")
    said: list[Message] = []
    launcher = Launcher()
    try:
        asked = scenario(ServerCommand(command=(sys.executable, str(SCRIPTED), *words)))
        running = asyncio.run(launcher.reach(asked, tmp_path, tmp_path, said.append))
        assert running.death() is None
    finally:
        launcher.stop()
    assert [message.key for message in said] == ["serve.starting", "serve.starting"]
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {"server.log", "server-2.log"}


@pytest.mark.parametrize(
    ("command", "made", "removed"),
    [
        ("docker run image", "docker run --name N image", "docker rm -f N"),
        (
            "/usr/bin/podman run --name mine image",
            "/usr/bin/podman run --name mine image",
            "/usr/bin/podman rm -f mine",
        ),
        ("docker run --name=mine image", "docker run --name=mine image", "docker rm -f mine"),
        ("vllm serve run", "vllm serve run", ""),
    ],
)
def test_containers_have_names(command: str, made: str, removed: str) -> None:
    assert [" ".join(words) for words in contained(command.split(), "N")] == [made, removed]


def test_a_container_is_told_of_variables() -> None:
    made, _ = contained(["docker", "run", "--rm", "image", "--model", "m"], "N", {"A": "1", "B": "2"})
    assert " ".join(made) == "docker run --name N -e A -e B --rm image --model m"
    assert contained(["vllm", "serve"], "N", {"A": "1"})[0] == ["vllm", "serve"]
