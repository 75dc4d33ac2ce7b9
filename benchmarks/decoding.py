"""A made tape → what decoding costs: ``python -m benchmarks.decoding``.

Standard streams of vLLM (500 open requests, 128 events each, one event a read), from the tape's bytes to Records: HTTP,
framing, JSON, arrivals, counts.  The time is CPU time of this process; quote it from an idle machine.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from time import process_time

from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.measure.decode import Decoder
from pytest_vllm_bench.model import SENT_FIELDS, Ending, Entry, EntryKind, Plan

OPEN, EVENTS, WAVES, ROUNDS = 500, 128, 4, 5
HEAD = (
    b"HTTP/1.1 200 OK\r\ndate: Mon, 23 Nov 2026 05:00:00 GMT\r\nserver: uvicorn\r\n"
    b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
EVENT = (
    'data: {"id":"cmpl-8f1234567890abcdef","object":"text_completion","created":1795339485,"model":"tiny","choices":[{'
    '"index":0,"text":" word%d","logprobs":null,"finish_reason":%s,"stop_reason":null,"prompt_token_ids":null,'
    '"token_ids":%s}]}\n\n'
)
USAGE = (
    'data: {"id":"cmpl-8f1234567890abcdef","object":"text_completion","created":1795339485,"model":"tiny","choices":[],'
    '"usage":{"prompt_tokens":8,"total_tokens":136,"completion_tokens":128}}\n\n'
)


def chunk(text: str) -> bytes:
    return f"{len(text.encode()):x}\r\n{text}\r\n".encode()


def tape(ids: str) -> Iterator[Entry]:
    """Requests in waves of ``OPEN``, their reads interleaved as they come from a server."""
    finish = ["null"] * (EVENTS - 1) + ['"length"']
    events = [chunk(EVENT % (i, end, ids)) for i, end in enumerate(finish)]
    end = chunk(USAGE) + chunk("data: [DONE]\n\n") + b"0\r\n\r\n"
    sent = struct.pack(SENT_FIELDS, 0.0, math.nan, math.nan, 0, 1)
    for wave in range(WAVES):
        requests = range(wave * OPEN, (wave + 1) * OPEN)
        reads = [HEAD, *events, end]
        yield from (Entry(EntryKind.SENT, request, 0.0, sent) for request in requests)
        for number, data in enumerate(reads):
            yield from (Entry(EntryKind.READ, request, 0.05 + number * 0.01, data) for request in requests)
        yield from (Entry(EntryKind.END, request, 2.0, bytes([Ending.COMPLETE])) for request in requests)


def cost(ids: str) -> float:
    """µs of CPU an event, the least of some rounds."""
    entries = list(tape(ids))
    n = OPEN * WAVES
    plan = Plan(scenario_id="decoding", folder=Path(), n=n, path="/")
    rows = [(0, 0, 0, 0, 0, 0.0, math.nan, 8, EVENTS, 0, math.nan)] * n
    costs = []
    for _ in range(ROUNDS):
        decoder = Decoder(plan, BACKENDS["vllm"], rows, count_tokens=lambda texts: [0], started=0.0)
        began = process_time()
        done = [record for entry in entries if (record := decoder.feed(entry)) is not None]
        costs.append((process_time() - began) / (n * EVENTS) * 1e6)
        assert all(record.error is None and record.output_tokens == EVENTS for record in done)
    return min(costs)


if __name__ == "__main__":
    print(f"text alone     {cost('null'):.2f} µs an event")
    print(f"with token ids {cost('[63749]'):.2f} µs an event")
