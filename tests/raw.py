"""A server that answers whatever a test says, byte for byte, where the simulator is too well-behaved."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Number of the request to this path (from 0), its body → what is written; the connection is closed after it.
Answer = Callable[[int, bytes], "bytes | Iterable[bytes]"]


@dataclass
class Raw:
    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)  # path → requests
    bodies: list[dict[str, Any]] = field(default_factory=list)  # of the posts to /v1/…


def page(body: Any = b"", status: int = 200, **headers: str) -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = {"Content-Type": "application/json", "Content-Length": str(len(raw)), "Connection": "close"}
    head |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} So", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    return "\r\n".join(lines).encode() + raw


def html(status: int = 200, **headers: str) -> bytes:
    return page(b"<html><title>Please wait</title></html>", status, Content_Type="text/html", **headers)


def error(status: int, message: str, **headers: str) -> bytes:
    return page({"error": {"message": message}}, status, **headers)


def models(*names: Any, **more: Any) -> bytes:
    return page({"object": "list", "data": [{"id": name, **more} for name in names]})


def events(*payloads: Any) -> bytes:
    said = [p if isinstance(p, bytes) else json.dumps(p).encode() for p in payloads]
    return page(b"".join(b"data: %s\n\n" % p for p in said), Content_Type="text/event-stream")


def answer(tokens: int = 8, prompt: int = 10) -> bytes:
    """A chat answer, whole."""
    chunk = {"choices": [{"index": 0, "delta": {"content": "w "}}]}
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}
    counts = {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": tokens}}
    return events(*[chunk] * tokens, last, counts, b"[DONE]")


def works(number: int, body: bytes) -> bytes:
    """A chat answer of as many tokens as were asked for."""
    asked = json.loads(body)
    words = sum(len(str(m["content"]).split()) for m in asked["messages"])
    return answer(asked.get("max_completion_tokens", 8), words + 5)


@contextlib.contextmanager
def serving(answers: Mapping[str, Answer | bytes], port: int = 0) -> Iterator[Raw]:
    """Paths that are not there close without a byte; so does an answer that is empty."""
    raw, lock = Raw(), threading.Lock()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.one()

        def one(self) -> None:
            path = [*self.rfile.readline().split(), b"", b""][1].decode()
            head = dict(line.decode().lower().split(":", 1) for line in iter(self.rfile.readline, b"\r\n") if line)
            body = self.rfile.read(int(head.get("content-length", "0")))
            with lock:
                number, raw.asked[path] = raw.asked[path], raw.asked[path] + 1
                if path.startswith("/v1/") and body:
                    raw.bodies.append(json.loads(body))
            said = answers.get(path, b"")
            parts = said if isinstance(said, bytes) else said(number, body)
            for part in [parts] if isinstance(parts, bytes) else parts:
                self.wfile.write(part)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address, daemon_threads, request_queue_size = True, True, 256

    with Server(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        raw.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield raw
        finally:
            server.shutdown()
            thread.join()
