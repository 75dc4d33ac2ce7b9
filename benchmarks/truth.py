"""A case → a server that answers with its timing, and afterwards tells what happened."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("truthserver.c")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A load and the timing of the server that answers it."""

    name: str = "standard"
    ttft_ms: float = 50.0
    itl_ms: float = 10.0  # 0: as fast as the socket takes it
    concurrency: int = 16
    requests: int = 64
    output_len: int = 128
    input_len: int = 32  # words of the prompt
    tokens: int = 1  # in each event
    events: int = 1  # in each write
    chat: bool = False
    secure: bool = False

    @property
    def ideal(self) -> float:
        """Tokens a second if neither server nor client nor network took any time."""
        writes = (self.output_len - 1) / self.tokens
        seconds = self.requests / self.concurrency * (self.ttft_ms + writes * self.itl_ms) / 1e3
        return self.requests * self.output_len / seconds if seconds else float("inf")


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What happened, in ms."""

    ttft: Sequence[float]
    itl_mean: float
    itl_p50: float
    itl_p99: float
    tokens: int
    events: int
    peak_active: int
    began: float  # seconds on the monotonic clock: the first request arrived
    ended: float


class Server:
    """A running truth server."""

    def __init__(self, process: subprocess.Popen[str], secure: bool, certificate: Path | None) -> None:
        assert process.stdout is not None
        self.port = int(process.stdout.readline())
        self.certificate = certificate
        self.url = f"{'https://localhost' if secure else 'http://127.0.0.1'}:{self.port}"

    def truth(self) -> Truth:
        """What has happened since the last time."""
        context = None
        if self.certificate is not None:
            import ssl

            context = ssl.create_default_context(cafile=str(self.certificate))
        with urllib.request.urlopen(f"{self.url}/truth", context=context) as answer:
            told = json.load(answer)
        requests = told["requests"]
        return Truth(
            ttft=[(first - arrived) / 1e6 for arrived, first, *_ in requests],
            itl_mean=told["itl_ms"]["mean"],
            itl_p50=told["itl_ms"]["p50"],
            itl_p99=told["itl_ms"]["p99"],
            tokens=sum(tokens for *_, tokens in requests),
            events=told["events"],
            peak_active=told["peak_active"],
            began=min((arrived for arrived, *_ in requests), default=0) / 1e9,
            ended=max((last for _, _, last, _ in requests), default=0) / 1e9,
        )


def build(folder: Path, *, secure: bool = False) -> Path:
    """Compile the server into ``folder``; raises FileNotFoundError without a compiler."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        raise FileNotFoundError("the truth server needs Linux and a C compiler (apt install gcc)")
    program = folder / ("truthserver-tls" if secure else "truthserver")
    extra = ["-DWITH_TLS", "-lssl", "-lcrypto"] if secure else []
    subprocess.run([compiler, "-O2", "-o", program, SOURCE, *extra], check=True)
    return program


def certificate(folder: Path) -> Path:
    """A certificate for localhost and its key, in one file that is its own CA."""
    both, key = folder / "localhost.pem", folder / "key.pem"
    if not both.exists():
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", *subject]
        subprocess.run([*command, "-keyout", key, "-out", both], check=True, capture_output=True)
        both.write_text(both.read_text() + key.read_text())
    return both


@contextmanager
def serving(case: Case, folder: Path) -> Iterator[Server]:
    """A truth server for ``case``, built into ``folder`` if it is not there yet."""
    program = folder / ("truthserver-tls" if case.secure else "truthserver")
    if not program.exists():
        build(folder, secure=case.secure)
    pem = certificate(folder) if case.secure else None
    timing = ["--ttft", str(case.ttft_ms), "--itl", str(case.itl_ms)]
    shape = ["--tokens", str(case.tokens), "--events", str(case.events)]
    command = [str(program), *timing, *shape, *(["--tls", str(pem)] if pem else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Server(process, case.secure, pem)
        finally:
            process.kill()
