"""Real vLLM (chat that thinks, responses, pooling, audio) and transformers serve → the backends held to them.

python ci/leg_backends.py
"""

from __future__ import annotations

import io
import math
import struct
import subprocess
import sys
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

from leg import ROOT, Findings, cache, main
from models import llama
from servers import free_port, serving
from vllm_server import installed, vllm

sys.path.append(str(ROOT / "tests"))  # for the tests' own means of asking

from exchange import ask, exchange

from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.model import Media, Prompt, Record

N = 10


def leg(findings: Findings) -> None:
    python = installed()
    generating(findings, python, llama())
    dying(findings, python, llama("tiny-llama-dies", hidden_size=64, head_dim=16))
    pooling(findings, python, llama())
    speech(findings, python)
    transformers(findings, python)


def seen(findings: Findings, what: str, record: Record, **expected: Any) -> None:
    """One check: these fields of the record, and no error unless one is expected."""
    expected = {"error": None, **expected}
    found = {name: getattr(record, name) for name in expected}
    words = f" ({record.error_detail})" if record.error else ""
    told = ", ".join(f"{name} {list(v) if hasattr(v, 'typecode') else v}" for name, v in found.items())
    findings.check(f"{what}: {told}{words}", holds=found == expected)


def generating(findings: Findings, python: Path, model: Path) -> None:
    """Four tokens an event, an answer that only thinks, and errors of every kind."""
    options = ["--max-model-len", "512", "--stream-interval", "4", "--reasoning-parser", "deepseek_r1"]
    forced = ask("Tell me about the sea.", N, force_length=True)
    detailed = replace(forced, token_detail=True)
    options += ["--sse-keep-alive-interval", "1", "--enable-prompt-tokens-details"]
    with vllm(python, model, *options) as url:
        record = exchange(url, BACKENDS["vllm"], detailed)
        tokens = list(record.arrival_tokens)
        seen(findings, "completions, ids", record, output_tokens=N, token_source="usage", tokens_per_event="exact")
        findings.check(f"tokens of each read: {tokens}", holds=sum(tokens) == N and max(tokens) == 4)
        record = exchange(url, BACKENDS["openai"], forced)
        seen(findings, "completions", record, output_tokens=N, finish_reason="length", prompt_tokens=6)
        ids = ask(output_len=N, prompt=Prompt(token_ids=list(range(100, 150))))
        seen(findings, "completions of ids", exchange(url, BACKENDS["vllm"], ids), prompt_tokens=50)
        for name in ("vllm-chat", "openai-chat", "openai-responses"):
            record = exchange(url, BACKENDS[name], detailed)
            seen(findings, name, record, output_tokens=N, finish_reason="length", first_output=None)
            order = [record.sent, record.first_chunk, record.first_token, record.last_token, record.done]
            known = [moment for moment in order if moment is not None]
            findings.check(f"{name}: times in order", holds=order == sorted(known))
            whole = exchange(url, BACKENDS[name], replace(forced, stream=False))
            seen(findings, f"{name}, not streamed", whole, output_tokens=N, first_token=None)
        messages(findings, url)
        errors(findings, url)


def messages(findings: Findings, url: str) -> None:
    """Anthropic's interface: a model that only thinks, the prompt's tokens whole although its cache is apart."""
    backend = BACKENDS["anthropic-messages"]
    talk = [{"role": "system", "content": "Be brief. " * 60}, {"role": "user", "content": "Tell me about the sea."}]
    asked = ask(output_len=N, prompt=Prompt(messages=talk))
    for n in (1, 2):  # the second finds the first's prompt
        record = exchange(url, backend, asked)
        expected = {"finish_reason": "length", "output_tokens": N, "token_source": "usage", "first_output": None}
        seen(findings, f"messages, {n}", record, **expected)
        chat = exchange(url, BACKENDS["vllm-chat"], replace(asked, force_length=True))
        findings.check(
            f"messages, {n}: {record.prompt_tokens} prompt tokens, {record.cached_tokens} cached",
            holds=record.prompt_tokens == chat.prompt_tokens,
        )
    whole = exchange(url, backend, replace(asked, stream=False))
    seen(findings, "messages, not streamed", whole, output_tokens=N, first_token=None, finish_reason="length")
    unknown = exchange(url, backend, replace(asked, model="nope"))
    findings.check(f"messages, {unknown.error_detail}", holds=(unknown.error, unknown.status) == ("http", 404))


def errors(findings: Findings, url: str) -> None:
    cases = {
        "unknown model": (ask(model="nope"), "http", 404, "nope"),
        "too long": (ask("word " * 2000, N), "http", 400, "512"),
        "inside the stream": (ask(extra_body={"logprobs": 1000}), "in_stream", 200, "logprobs"),
    }
    for what, (asked, error, status, word) in cases.items():
        record = exchange(url, BACKENDS["vllm"], asked)
        holds = (record.error, record.status) == (error, status) and word in record.error_detail
        findings.check(f"{what}: {record.error} {record.status} {record.error_detail!r}", holds=holds)


def dying(findings: Findings, python: Path, model: Path) -> None:
    """A size of head that the CPU has no attention for: the engine dies of the first request.  Others need a key."""
    with vllm(python, model, "--max-model-len", "512", "--api-key", "sk-leg") as url:
        refused = exchange(url, BACKENDS["vllm"], ask())
        holds = (refused.error, refused.status, refused.error_detail) == ("http", 401, "Unauthorized")
        findings.check(f"no key: {refused.error} {refused.status} {refused.error_detail!r}", holds=holds)
        record = exchange(url, BACKENDS["vllm"], ask(), headers="authorization: Bearer sk-leg\r\n")
        told = f"{record.error} {record.status} {record.error_detail!r}"
        findings.check(f"engine dead: {told}", holds=record.error in ("in_stream", "http") and "Engine" in told)


def pooling(findings: Findings, python: Path, model: Path) -> None:
    batch = ask(prompt=Prompt(inputs=["one", "two of them", "three"]))
    pairs = ask(prompt=Prompt(text="what is it?", inputs=["a bear", "an animal"]))
    with vllm(python, model, "--max-model-len", "512", "--runner", "pooling", "--convert", "embed") as url:
        for name in ("openai-embeddings", "vllm-pooling"):
            record = exchange(url, BACKENDS[name], batch)
            seen(findings, name, record, sequences=3, output_tokens=None, first_token=None)
            findings.check(f"{name}: {record.prompt_tokens} tokens", holds=bool(record.prompt_tokens))
        seen(findings, "vllm-rerank", exchange(url, BACKENDS["vllm-rerank"], pairs), sequences=2)


def speech(findings: Findings, python: Path) -> None:
    model = made(python, "whisper")
    clip = Prompt(media=(Media(kind="audio", data=tone(2.0), mime="audio/wav", seconds=2.0),))
    options = ("--dtype", "float32", "--max-num-seqs", "2", "--max-num-batched-tokens", "2048")
    with vllm(python, model, *options) as url:
        for name in ("openai-audio", "openai-audio-translations"):
            record = exchange(url, BACKENDS[name], ask(prompt=clip, output_len=4))
            seen(findings, name, record, output_tokens=4, token_source="usage")
            findings.check(f"{name}: {record.prompt_tokens} prompt tokens", holds=bool(record.prompt_tokens))
            whole = exchange(url, BACKENDS[name], ask(prompt=clip, output_len=4, stream=False))
            seen(findings, f"{name}, not streamed", whole, first_token=None)


def transformers(findings: Findings, python: Path) -> None:
    """No [DONE], usage beside the finish reason, and every field refused that is not known."""
    model = made(python, "llama")
    port = free_port()
    program = "import sys; from transformers.cli.transformers import main; sys.argv[0] = 'transformers'; main()"
    command = [str(python), "-c", program, "serve", str(model), "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with serving([*command, "--device", "cpu"], f"{url}/health", environ={"HF_HUB_OFFLINE": "1"}):
        plain = ask("Tell me.", N, model=str(model), sampling={})
        for name in ("openai-chat", "openai-responses"):
            record = exchange(url, BACKENDS[name], replace(plain, extra_body=LENIENT[name]))
            seen(findings, f"transformers serve, {name}", record, token_source="usage")
            findings.check(f"{name}: {record.output_tokens} tokens", holds=bool(record.first_token))
        text = exchange(url, BACKENDS["openai"], replace(plain, extra_body={"stream_options": None}))
        seen(findings, "transformers serve, openai", text, finish_reason="length", output_tokens=N)
        refused = exchange(url, BACKENDS["openai-chat"], replace(plain, force_length=True))
        findings.check(f"refused: {refused.error_detail}", holds=(refused.error, refused.status) == ("http", 422))


#: What this server does not know of what we send, taken away as a user would.
LENIENT: dict[str, dict[str, Any]] = {
    "openai-chat": {"max_completion_tokens": None, "max_tokens": N, "stream_options": None},
    "openai-responses": {"store": None},
}


def made(python: Path, kind: str) -> Path:
    folder = cache() / f"tiny-{kind}-made"
    if not (folder / "config.json").exists():
        done = subprocess.run([str(python), str(ROOT / "ci" / "make_model.py"), kind, str(folder)], capture_output=True)
        if done.returncode:
            raise RuntimeError(f"no model: {done.stderr.decode()[-2000:]}")
    return folder


def tone(seconds: float) -> bytes:
    """A WAV file that hums."""
    rate, file = 16_000, io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        waves = (int(8000 * math.sin(i * 2 * math.pi * 220 / rate)) for i in range(int(seconds * rate)))
        sound.writeframes(b"".join(struct.pack("<h", w) for w in waves))
    return file.getvalue()


if __name__ == "__main__":
    main("backends", leg)
