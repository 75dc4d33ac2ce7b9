"""``serve_llama.py MODEL [thinks] [embeds] [ranks] [counts] [slow] [--port N]``: the real llama.cpp server, until its
input closes; with a port until it is told to end."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import xllamacpp
from tiny_gguf import CONTEXT, SLOW, TINY, make

from pytest_vllm_bench.tokenizer import SMALL

SLOTS = 4


def main() -> None:
    model, *wishes = sys.argv[1:]
    size = SLOW if "slow" in wishes else TINY
    make(Path(model), thinks="thinks" in wishes, tokenizer=SMALL if "counts" in wishes else None, size=size)
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx = CONTEXT * SLOTS
    params.n_parallel = SLOTS
    params.hostnames = ["127.0.0.1"]
    port = int(wishes[-1]) if "--port" in wishes else 0
    params.port = port
    params.warmup = False
    params.cpuparams.n_threads = 1
    params.use_jinja = True
    if "embeds" in wishes or "ranks" in wishes:
        params.embedding = True
        pooling = xllamacpp.llama_pooling_type
        params.pooling_type = pooling.LLAMA_POOLING_TYPE_RANK if "ranks" in wishes else pooling.LLAMA_POOLING_TYPE_MEAN
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    if port:
        signal.pause()
    sys.stdin.read()


main()
