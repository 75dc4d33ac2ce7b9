"""Records → ``client.trace.json.gz``: each request as spans on the time axis of a server's own traces, for Perfetto."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pytest_vllm_bench.model import Record
from pytest_vllm_bench.store import folder

NAME = "client.trace.json.gz"
#: A number that no process has, so that it stays apart from the server's where traces are opened together.
PROCESS = 1 << 30


def save(records: Sequence[Record], into: Path, started: float, base_ns: int) -> Path:
    """``started``: when the load's clock began, in seconds since 1970; ``base_ns``: from when those traces count."""
    trace = {
        "baseTimeNanoseconds": base_ns,
        "displayTimeUnit": "ms",
        "traceEvents": list(_events(records, started * 1e6 - base_ns / 1e3)),
    }
    with folder.writing(folder.make(into)):
        return folder.write_bytes(into / NAME, gzip.compress(msgspec.json.encode(trace), 6))


def _events(records: Sequence[Record], zero: float) -> Iterator[dict[str, Any]]:
    yield {"ph": "M", "pid": PROCESS, "name": "process_name", "args": {"name": "pytest-vllm-bench: requests"}}
    for one in records:
        here = {"pid": PROCESS, "tid": one.index}
        yield {"ph": "M", **here, "name": "thread_name", "args": {"name": f"request {one.index}"}}
        if one.sent is None:
            continue
        told = {"prompt_tokens": one.prompt_tokens, "output_tokens": one.output_tokens, "error": one.error}
        spans = [("request", one.sent, one.done), ("until the first token", one.sent, one.first_token)]
        for name, begin, end in [*spans, ("stream", one.first_token, one.last_token)]:
            if begin is not None and end is not None:
                yield {"ph": "X", "cat": "client", "name": name, **here, "ts": zero + begin * 1e6,
                       "dur": (end - begin) * 1e6, "args": told if name == "request" else {}}  # fmt: skip
