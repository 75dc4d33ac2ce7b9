"""What a request asks for → its whole answer, decided before the engine hears of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from pytest_vllm_bench import files
from pytest_vllm_bench.simulator import faults as fault_scripts
from pytest_vllm_bench.simulator import prometheus
from pytest_vllm_bench.simulator.engine import Engine, Job
from pytest_vllm_bench.simulator.formats.shape import ErrorReply, Finish, Reply, SimulatedRequest
from pytest_vllm_bench.simulator.live import Live
from pytest_vllm_bench.simulator.options import SimulatorOptions
from pytest_vllm_bench.simulator.tokens import WordVocabulary


@dataclass(slots=True, kw_only=True)
class ServicePlan:
    """An answer that has not begun: every token with the text it completes, and the engine's job."""

    answer: Reply
    tokens: list[tuple[int, str]]
    finish: Finish
    job: Job


class Service:
    """What all requests share: the engine, the words, the counts."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self.words = WordVocabulary(
            files.path(options.tokenizer) if options.tokenizer else None, odd_share=options.odd_share
        )
        self.engine = Engine(options.latency, options.seed)
        self.live = Live(self.engine)
        self.rules = fault_scripts.read(files.path(options.faults)) if options.faults else ()
        self.counts = prometheus.Counts(perf_counter())
        self.requests = 0
        self.asleep = False
        self.recording: dict[str, Any] | None = None  # a profile, since when and where to
        self.pages = Counter[str]()  # requests of what is read beside the load, by path

    def plan(self, asked: SimulatedRequest, number: int) -> ServicePlan:
        """Decide the whole answer, before its first token is due.  Raises Refused."""
        prompts = [list(p) if isinstance(p, tuple) else self.words.encode(p) for p in asked.prompts]
        lens = [max(1, len(p)) + asked.extra_tokens for p in prompts]
        self._check(asked, lens)
        length, finish = self._length(asked, sum(lens), prompts)
        tokens = self.words.answer(length, _digest(prompts, self.options.seed)) if asked.kind == "generate" else []
        if finish == "stop" and tokens:
            tokens[-1] = (self.words.eos, "")
        ids = [i for p in prompts for i in p] + [i for i, _ in tokens]
        hashes = _hashes(ids, self.options.latency.block) if asked.kind == "generate" and not asked.extra_tokens else ()
        answer = Reply(
            id=f"{number:08x}",
            asked=asked,
            model=asked.model or self.options.models[0],
            prompt_lens=lens,
            tells=self.options.request_metrics,
        )
        job = Job(prompt_len=sum(lens), output_len=max(1, length), hashes=hashes)
        return ServicePlan(answer=answer, tokens=tokens, finish=finish, job=job)

    def _check(self, asked: SimulatedRequest, lens: Sequence[int]) -> None:
        """The model is served, and every prompt fits.  Raises Refused in vLLM's words."""
        options = self.options
        if asked.model and asked.model not in options.models:
            words = f"The model `{asked.model}` does not exist. Valid aliases: {', '.join(options.models)}."
            raise ErrorReply(404, words, kind="NotFoundError", param="model")
        limit = 1 if asked.kind == "pool" else (asked.max_tokens or 1)
        longest = max(lens) if asked.kind == "pool" else sum(lens)
        if longest + limit > options.max_model_len:
            raise ErrorReply(400, _too_long(options.max_model_len, limit, longest), param="input_tokens")
        if not self.engine.fits(sum(lens) + limit):
            raise ErrorReply(400, _too_long(options.latency.kv_tokens, limit, sum(lens)), param="input_tokens")

    def _length(self, asked: SimulatedRequest, prompt_len: int, prompts: Sequence[Sequence[int]]) -> tuple[int, Finish]:
        """Tokens of the answer, and why it ends there."""
        if asked.kind == "pool":
            return 1, "stop"
        room = min(self.options.max_model_len, self.options.latency.kv_tokens) - prompt_len
        limit = asked.max_tokens or room
        if asked.ignore_eos:
            return limit, "length"
        draw = random.Random(_digest(prompts, self.options.seed + 1))
        natural = max(asked.min_tokens + 1, 1 + int(draw.expovariate(1 / self.options.eos_mean)))
        return (natural, "stop") if natural < limit else (limit, "length")

    def page(self) -> str:
        """The text of /metrics."""
        engine = self.engine
        gauges = {
            "num_requests_running": float(len(engine.running)),
            "num_requests_waiting": float(len(engine.waiting)),
            "kv_cache_usage_perc": engine.kv_usage,
        }
        counters = {
            "prefix_cache_queries": engine.cache_queries,
            "prefix_cache_hits": engine.cache_hits,
            "num_preemptions": engine.preemptions,
        }
        return prometheus.text(self.counts, gauges, counters, self.options.models[0])


def _too_long(room: int, asked: int, prompt: int) -> str:
    return (
        f"This model's maximum context length is {room} tokens. However, you requested {asked} output tokens "
        f"and your prompt contains at least {prompt} input tokens, for a total of at least "
        f"{asked + prompt} tokens. Please reduce the length of the input prompt or the number of requested "
        "output tokens."
    )


def _digest(prompts: Sequence[Sequence[int]], seed: int) -> int:
    """The same for the same prompt, in every process (the hash of a tuple of whole numbers is not salted)."""
    return hash((seed, *map(tuple, prompts)))


def _hashes(ids: Sequence[int], block: int) -> list[int]:
    """One number a full block, which stands for the block and all before it."""
    hashes, before = [], 0
    for start in range(0, len(ids) - block + 1, block):
        before = hash((before, *ids[start : start + block]))
        hashes.append(before)
    return hashes
