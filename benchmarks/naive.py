"""``python -m benchmarks.naive URL C N TOKENS OUT``: the client that is usually written, for comparison."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import aiohttp
import numpy as np


async def run(url: str, concurrency: int, requests: int, tokens: int) -> tuple[list[float], list[float], int, float]:
    """First-token times and gaps (seconds), tokens, duration."""
    body = {"model": "truth", "prompt": "hello " * 32, "max_tokens": tokens, "stream": True, "ignore_eos": True}
    firsts: list[float] = []
    gaps: list[float] = []
    tickets, count = iter(range(requests)), 0
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:

        async def user() -> None:
            nonlocal count
            for _ in tickets:
                sent = last = time.perf_counter()
                first = True
                async with session.post(f"{url}/v1/completions", json=body) as answer:
                    async for line in answer.content:
                        if not line.startswith(b"data: {"):
                            continue
                        now = time.perf_counter()
                        if json.loads(line[6:])["choices"][0]["text"]:
                            count += 1
                            (firsts if first else gaps).append(now - (sent if first else last))
                            first, last = False, now

        began = time.perf_counter()
        await asyncio.gather(*(user() for _ in range(concurrency)))
    return firsts, gaps, count, time.perf_counter() - began


def main() -> None:
    url, concurrency, requests, tokens, out = sys.argv[1:]
    cpu = time.process_time()
    firsts, gaps, count, took = asyncio.run(run(url, int(concurrency), int(requests), int(tokens)))
    cpu = time.process_time() - cpu
    ttft, itl = np.array(firsts) * 1e3, np.array(gaps) * 1e3
    seen = {"ttft_mean": ttft.mean(), "ttft_p99": np.percentile(ttft, 99), "throughput": count / took}
    seen |= {"itl_p50": np.percentile(itl, 50), "itl_p99": np.percentile(itl, 99), "cpu_us": cpu / count * 1e6}
    Path(out).write_text(json.dumps(seen))


main()
