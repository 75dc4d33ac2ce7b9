"""Real Triton, with Python models that answer like TensorRT-LLM's ensemble and llmapi model → both backends held to it.

python ci/leg_triton.py
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import bench
from environments import environment
from leg import ROOT, Findings, Unavailable, main
from servers import free_port, serving

sys.path.append(str(ROOT / "tests"))  # for the tests' own means of asking

from exchange import ask, exchange

from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.model import Prompt, Record

INSTALLS = (("nvidia-pytriton==0.7.0",),)
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
ENSEMBLE, LLMAPI = BACKENDS["tensorrt-llm"], BACKENDS["tensorrt-llm-llmapi"]


@contextmanager
def triton(python: Path) -> Iterator[str]:
    """The server with the models of ``ci/triton``; the block gets its URL."""
    packages = next((python.parent.parent / "lib").glob("python*/site-packages"))
    ours = packages / "pytriton" / "tritonserver"
    stub = ours / "python_backend_stubs" / VERSION / "triton_python_backend_stub"
    if not stub.exists():
        raise Unavailable(f"this Triton has no Python backend for Python {VERSION}")
    with tempfile.TemporaryDirectory() as folder:
        backends, models = Path(folder) / "backends", Path(folder) / "models"
        shutil.copytree(ours / "backends" / "python", backends / "python")
        shutil.copy(stub, backends / "python")
        shutil.copytree(ROOT / "ci" / "triton", models, ignore=shutil.ignore_patterns("__pycache__"))
        port = free_port()
        command = [str(ours / "bin" / "tritonserver"), f"--model-repository={models}", f"--http-port={port}"]
        command += [f"--backend-directory={backends}", "--http-address=127.0.0.1", "--allow-grpc=false"]
        environ = {
            "LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs"),
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        }
        url = f"http://127.0.0.1:{port}"
        with serving([*command, "--allow-metrics=false"], f"{url}/v2/health/ready", seconds=60, environ=environ):
            yield url


def leg(findings: Findings) -> None:
    with triton(environment("pytriton", INSTALLS)) as url:
        answers(findings, url)
        errors(findings, url)
        scenarios(findings, url)


def words(texts: list[str]) -> list[int]:
    """The models' tokens are words."""
    return [len(text.split()) for text in texts]


def answers(findings: Findings, url: str) -> None:
    def said(record: Record) -> str:
        return f"{record.error or 'answered'} {record.error_detail}, {record.output_tokens} tokens"

    forced = exchange(url, ENSEMBLE, ask("hi", 12, force_length=True), counter=words)
    whole = (forced.error, forced.output_tokens, len(forced.arrival_times)) == (None, 12, 12)
    findings.check(f"ensemble, 12 forced: {said(forced)}", holds=whole and "wörd1" in (forced.text or ""))
    natural = exchange(url, ENSEMBLE, ask("hi", 12), counter=words)
    findings.check(f"ensemble, not forced: {said(natural)}", holds=(natural.error, natural.output_tokens) == (None, 5))
    least = exchange(url, ENSEMBLE, ask("hi", 12, sampling={"temperature": 0, "min_tokens": 8}), counter=words)
    findings.check(f"ensemble, at least 8: {said(least)}", holds=(least.error, least.output_tokens) == (None, 8))
    burst = exchange(url, ENSEMBLE, ask("burst", 40, force_length=True), counter=words)
    findings.check(f"ensemble, all at once: {said(burst)}", holds=burst.output_tokens == 40)
    odd = exchange(url, ENSEMBLE, ask("odd", 3))
    findings.check(f"beams and cut UTF-8: {odd.text!r}", holds=(odd.error, odd.text) == (None, "a\ufffd"))
    llmapi = exchange(url, LLMAPI, ask("hi", 12), counter=words)
    whole = (llmapi.error, llmapi.output_tokens, llmapi.finish_reason) == (None, 12, "length")
    findings.check(f"llmapi: {said(llmapi)}", holds=whole and (llmapi.text or "").startswith(" word0"))


def errors(findings: Findings, url: str) -> None:
    cases = {
        "fails at once": ("http", 400, "no more memory"),
        "fails later": ("in_stream", 200, "no more memory"),
        "nothing": ("empty", 200, ""),
    }
    for prompt, expected in cases.items():
        record = exchange(url, ENSEMBLE, ask(prompt, 6, force_length=True))
        found = (record.error, record.status, record.error_detail)
        findings.check(f"{prompt}: {found}", holds=found == expected)
    nowhere = exchange(url, ENSEMBLE, ask(), path="/v2/models/nope/generate_stream")
    findings.check(f"unknown model: {nowhere.error_detail}", holds=(nowhere.error, nowhere.status) == ("http", 404))
    whole = exchange(url, ENSEMBLE, ask("hi", 3), path="/v2/models/ensemble/generate")
    holds = (whole.error, whole.status) == ("in_stream", 200)
    findings.check(f"generate, of a model that streams: {whole.error_detail}", holds=holds)
    broken = exchange(url, ENSEMBLE, ask(prompt=Prompt(text="x"), extra_body={"max_tokens": "many"}))
    findings.check(f"wrong type: {broken.error_detail}", holds=broken.error == "http" and bool(broken.error_detail))


def scenarios(findings: Findings, url: str) -> None:
    """``pytest bench_cases`` as a user has it."""
    config = {
        "model": "words", "tokenizer": "simulator", "input_output": [[32, 16]], "concurrency_prompts": [[4, 24]],
        "sla": ["failed == 0"], "validity": {"lag_ms": 100, "steal": 0.5},
    }  # fmt: skip
    for name in (ENSEMBLE.name, LLMAPI.name):
        for cell in bench({**config, "backend": name}, url):
            found = f"{cell.row['completed']} done, {cell.row['total_output_tokens']} tokens"
            holds = cell.row["completed"] == 24 and cell.row["mean_ttft_ms"] > 0
            findings.check(f"{name} {cell.id}: {found}", holds=holds)


if __name__ == "__main__":
    main("Triton", leg)
