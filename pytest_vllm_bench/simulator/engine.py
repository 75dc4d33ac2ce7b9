"""Requests with lengths → the moments at which a continuous-batching engine would make their tokens.

The model, one step of the engine at a time:

* Every running sequence that has finished its prefill makes one token a step.  What is left of the step's token budget
  (``max_batched_tokens``) goes to prefills, oldest first, in chunks.
* A waiting request is admitted, first come first served, while fewer than ``max_num_seqs`` run, budget is left, and
  the KV cache has blocks for its prompt.
* A step takes ``step_s + decode_s · sequences decoding + context_s · their context tokens + prefill tokens ÷
  prefill_tokens_per_s`` seconds, times a log-normal factor of spread ``jitter``.
* The KV cache has ``kv_tokens ÷ block`` blocks.  A sequence that cannot grow preempts the youngest one, which gives up
  its blocks and prefills again later.  Blocks of finished sequences stay until they are needed (least recently used
  goes first); a request whose leading blocks are still there skips their prefill, all but the last token.

Nothing here reads a clock or opens a socket: ``simulate`` plays in virtual time, the server plays the same steps
against the wall.  Times are seconds.
"""

from __future__ import annotations

import math
import random
from array import array
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import accumulate, cycle
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyModel:
    """The engine's speed and room; the defaults are quick, so that a demonstration is over soon."""

    prefill_tokens_per_s: float = 100_000.0
    step_s: float = 0.003  # reading the weights, whatever the batch
    decode_s: float = 0.00002  # each sequence that decodes
    context_s: float = 0.0  # each token of context that a decoding sequence attends to
    max_batched_tokens: int = 2048
    max_num_seqs: int = 256
    kv_tokens: int = 1_000_000
    block: int = 16
    prefix_cache: bool = True
    jitter: float = 0.02  # standard deviation of ln(step time)
    front_s: float = 0.0  # between a request's coming and its reaching the engine: HTTP, tokenizing
    # Of that, the share that is done for one request after another: with any, an engine with nothing to do begins with
    # the first alone of those that are sent together, as vLLM does behind its event loop.
    serial: float = 0.0


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """One request inside the engine.  ``hashes``: one a full block of prompt and answer, equal where both blocks and
    everything before them are equal; empty = shares nothing with anyone."""

    prompt_len: int
    output_len: int
    hashes: Sequence[int] = ()
    generated: int = 0
    computed: int = 0  # tokens whose keys and values are in the cache
    blocks: int = 0  # held, shared ones included
    registered: int = 0  # leading blocks held under their hash
    cached: int = 0  # prompt tokens that the prefix cache spared, at the first admission
    preemptions: int = 0

    @property
    def done(self) -> bool:
        return self.generated >= self.output_len

    @property
    def target(self) -> int:
        """Tokens to compute before the next one can be made."""
        return self.prompt_len + self.generated

    @property
    def decoding(self) -> bool:
        return self.generated > 0 and self.computed == self.target - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step did: how long it took, and which jobs made a token at its end."""

    seconds: float
    made: list[Job]
    admitted: list[Job]  # that began in it, some of them again


class _Blocks:
    """The KV cache's blocks: free, held, or idle under their hash until somebody needs the room."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self.users: dict[int, int] = {}
        self.idle: OrderedDict[int, None] = OrderedDict()

    @property
    def available(self) -> int:
        return self.free + len(self.idle)

    def known(self, hashes: Sequence[int]) -> int:
        """How many leading ``hashes`` are in the cache."""
        hits = 0
        for h in hashes:
            if h not in self.users and h not in self.idle:
                break
            hits += 1
        return hits

    def share(self, hashes: Sequence[int]) -> None:
        for h in hashes:
            self.idle.pop(h, None)
            self.users[h] = self.users.get(h, 0) + 1

    def take(self, n: int) -> None:
        """Take ``n`` of the ``available`` ones, free ones first."""
        spare = min(n, self.free)
        self.free -= spare
        for _ in range(n - spare):
            self.idle.popitem(last=False)

    def register(self, h: int) -> bool:
        """Put a held block under its hash; False: another block already is, and this one stays private."""
        if h in self.users or h in self.idle:
            return False
        self.users[h] = 1
        return True

    def release(self, hashes: Sequence[int], private: int) -> None:
        """Give back, deepest block first, so that a prefix outlives what follows it."""
        self.free += private
        for h in reversed(hashes):
            self.users[h] -= 1
            if not self.users[h]:
                del self.users[h]
                self.idle[h] = None


class Engine:
    """The engine's state.  ``submit`` jobs, then call ``step`` as long as it is ``busy``."""

    def __init__(self, model: LatencyModel = LatencyModel(), seed: int = 0) -> None:
        self.model = model
        self.waiting: deque[Job] = deque()
        self.running: list[Job] = []
        self.preemptions = 0
        self.cache_queries = 0  # prompt tokens looked up
        self.cache_hits = 0
        self._blocks = _Blocks(max(1, model.kv_tokens // model.block))
        self._random = random.Random(seed)

    @property
    def busy(self) -> bool:
        return bool(self.running or self.waiting)

    @property
    def kv_usage(self) -> float:
        """Share of the KV cache that running sequences hold, 0..1."""
        return 1 - self._blocks.available / self._blocks.total

    def forget(self) -> bool:
        """Empty the prefix cache; False: sequences hold some of it."""
        if self._blocks.users:
            return False
        self._blocks = _Blocks(self._blocks.total)
        return True

    def fits(self, tokens: int) -> bool:
        """Whether a sequence of so many tokens can ever run."""
        return self._blocks_of(tokens) <= self._blocks.total

    def submit(self, job: Job) -> None:
        """Queue a job; one that could never fit is a ValueError."""
        if job.prompt_len < 1 or job.output_len < 1 or not self.fits(job.prompt_len + job.output_len):
            raise ValueError(f"{job.prompt_len} + {job.output_len} tokens cannot run in this KV cache")
        self.waiting.append(job)

    def cancel(self, job: Job) -> None:
        """Forget a job, wherever it is."""
        if job in self.running:
            self.running.remove(job)
            self._give_back(job)
        elif job in self.waiting:
            self.waiting.remove(job)

    def step(self) -> Step:
        """Advance by one step; jobs that are done have left when it returns."""
        before = self.preemptions
        scheduled = self._continue(self.model.max_batched_tokens)
        began = len(scheduled)
        if self.preemptions == before:
            scheduled += self._admit(self.model.max_batched_tokens - sum(tokens for _, tokens in scheduled))
        admitted = [job for job, _ in scheduled[began:]]
        decoding = prefilled = context = 0
        made = []
        for job, tokens in scheduled:
            if job.generated and tokens == 1:
                decoding += 1
                context += job.computed
            else:
                prefilled += tokens
            job.computed += tokens
            if job.computed == job.target:
                made.append(job)
        for job in made:
            self._make(job)
        return Step(seconds=self._seconds(decoding, context, prefilled), made=made, admitted=admitted)

    def stretch(self, within: float = math.inf) -> tuple[list[float], list[Job]]:
        """Many steps at once while nothing but decoding happens: their seconds, and the jobs that made a token in each.

        Stops with the step in which a job ends, or the first that ends ``within`` seconds from now or later.  Empty
        where the next step is of another kind.  The outcome is that of the same number of calls of ``step``.
        """
        jobs = list(self.running)
        if not jobs or len(jobs) > self.model.max_batched_tokens or any(not j.decoding for j in jobs):
            return [], []
        if self.waiting and len(jobs) < self.model.max_batched_tokens and self._admissible(self.waiting[0]):
            return [], []
        most = min(job.output_len - job.generated for job in jobs)
        if sum(self._blocks_of(job.computed + most) - job.blocks for job in jobs) > self._blocks.available:
            return [], []
        context, total = sum(job.computed for job in jobs), 0.0
        seconds: list[float] = []
        while len(seconds) < most and total < within:
            seconds.append(self._seconds(len(jobs), context, 0))
            total += seconds[-1]
            context += len(jobs)
        for job in jobs:
            self._room(job, job.computed + len(seconds))
            job.computed += len(seconds)
            job.generated += len(seconds) - 1
        for job in jobs:
            self._make(job)
        return seconds, jobs

    def _blocks_of(self, tokens: int) -> int:
        return -(-tokens // self.model.block)

    def _seconds(self, decoding: int, context: int, prefilled: int) -> float:
        m = self.model
        plain = m.step_s + m.decode_s * decoding + m.context_s * context + prefilled / m.prefill_tokens_per_s
        return plain * math.exp(self._random.gauss(0.0, m.jitter)) if m.jitter else plain

    def _continue(self, budget: int) -> list[tuple[Job, int]]:
        """Running jobs with the tokens each computes now, within ``budget``."""
        scheduled: list[tuple[Job, int]] = []
        position = 0
        while position < len(self.running) and budget:
            job = self.running[position]
            tokens = min(job.target - job.computed, budget)
            if not self._room(job, job.computed + tokens):
                break
            self._register(job, job.computed + tokens)
            scheduled.append((job, tokens))
            budget -= tokens
            position += 1
        return scheduled

    def _admit(self, budget: int) -> list[tuple[Job, int]]:
        """Waiting jobs that come in now, with the tokens each computes in this step."""
        scheduled: list[tuple[Job, int]] = []
        while budget and self.waiting and self._admissible(self.waiting[0]):
            job = self.waiting.popleft()
            hits = self._hits(job)
            self._blocks.share(job.hashes[:hits])
            self._blocks.take(self._blocks_of(job.target) - hits)
            job.registered, job.blocks, job.computed = hits, self._blocks_of(job.target), hits * self.model.block
            if not job.preemptions:
                job.cached = job.computed
                self.cache_queries += job.prompt_len
                self.cache_hits += job.cached
            self.running.append(job)
            tokens = min(job.target - job.computed, budget)
            self._register(job, job.computed + tokens)
            scheduled.append((job, tokens))
            budget -= tokens
        return scheduled

    def _hits(self, job: Job) -> int:
        """Leading blocks of ``job`` that need no prefill; at least one token is always computed."""
        if not self.model.prefix_cache:
            return 0
        return self._blocks.known(job.hashes[: (job.target - 1) // self.model.block])

    def _admissible(self, job: Job) -> bool:
        if len(self.running) >= self.model.max_num_seqs:
            return False
        hits = self._hits(job)
        revived = sum(h in self._blocks.idle for h in job.hashes[:hits])
        return self._blocks_of(job.target) - hits <= self._blocks.available - revived

    def _room(self, job: Job, tokens: int) -> bool:
        """Give ``job`` blocks for so many tokens, preempting the youngest as needed; False: it was that one itself."""
        while (needed := self._blocks_of(tokens) - job.blocks) > self._blocks.available:
            victim = self.running.pop()
            self._give_back(victim)
            victim.preemptions += 1
            self.preemptions += 1
            self.waiting.appendleft(victim)
            if victim is job:
                return False
        if needed > 0:
            self._blocks.take(needed)
            job.blocks += needed
        return True

    def _register(self, job: Job, tokens: int) -> None:
        """So many of its tokens can be shared from now on: with what comes into the same step, too."""
        full = min(tokens // self.model.block, len(job.hashes))
        while self.model.prefix_cache and job.registered < full and self._blocks.register(job.hashes[job.registered]):
            job.registered += 1

    def _make(self, job: Job) -> None:
        """One token more for ``job``; when done it leaves."""
        self._register(job, job.computed)
        job.generated += 1
        if job.done:
            self.running.remove(job)
            self._give_back(job)

    def _give_back(self, job: Job) -> None:
        self._blocks.release(job.hashes[: job.registered], job.blocks - job.registered)
        job.blocks = job.registered = job.computed = 0


# ------------------------------------------------------------------------------------- virtual time


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request of a virtual load: when it is due (seconds), its lengths (tokens), its blocks' hashes.

    ``after``: the position of the request whose answer it waits for; it is due ``due`` seconds after that.
    """

    due: float = 0.0
    prompt_len: int
    output_len: int
    hashes: Sequence[int] = ()
    after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What a perfect client would see of one request, in seconds from the start; one time a token."""

    due: float
    sent: float
    tokens: array[float]
    cached: int  # prompt tokens that the prefix cache spared
    number: int = 0  # position among the arrivals

    @property
    def ttft(self) -> float:
        return self.tokens[0] - self.sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Equal servers behind a router, which gives each request to the next one in turn or to the one with the fewest."""

    replicas: int = 1
    route: Literal["round_robin", "least_loaded"] = "round_robin"


class _Replica:
    """An engine, how far it has been played, and the requests that are on their way to it."""

    def __init__(self, model: LatencyModel, seed: int) -> None:
        self.engine = Engine(model, seed)
        self.at = self.taken = 0.0  # ``taken``: when its front end had taken in the last request
        self.coming: deque[tuple[float, Job]] = deque()
        self.load = 0  # requests that it was given and has not answered

    @property
    def clock(self) -> float:
        """When its next step begins; inf: it has nothing to do."""
        if self.engine.busy:
            return self.at
        return max(self.at, self.coming[0][0]) if self.coming else math.inf

    def play(self, until: float) -> tuple[array[float], list[Job]]:
        """A step, or many alike up to the first that ends at ``until`` or later → their ends, and who made a token."""
        now = self.clock
        while self.coming and self.coming[0][0] <= now:
            self.engine.submit(self.coming.popleft()[1])
        until = min(until, self.coming[0][0]) if self.coming else until
        seconds, made = self.engine.stretch(until - now)
        if not seconds:
            step = self.engine.step()
            seconds, made = [step.seconds], step.made
        ends = array("d", accumulate(seconds, initial=now))[1:]
        self.at = ends[-1]
        return ends, made


def simulate(
    arrivals: Sequence[Arrival],
    *,
    model: LatencyModel = LatencyModel(),
    concurrency: int | None = None,
    seed: int = 0,
    fleet: Fleet = Fleet(),
    until: float = math.inf,
) -> list[Timeline]:
    """Play a load in virtual time; the result is in the order of ``arrivals``, without those that were not sent.

    ``concurrency`` caps the requests in flight: the next one due is sent the moment an answer ends.  Nothing is sent
    at ``until`` or later.
    """
    replicas = [_Replica(model, seed + number) for number in range(fleet.replicas)]
    due = [(arrival.due, number) for number, arrival in enumerate(arrivals) if arrival.after is None]
    heapify(due)
    followers: dict[int, list[int]] = {}
    for number, arrival in enumerate(arrivals):
        if arrival.after is not None:
            followers.setdefault(arrival.after, []).append(number)
    free = [0.0] * min(len(arrivals), concurrency or len(arrivals))  # since when each slot is
    turn, numbers, told = cycle(replicas), dict[Job, tuple[int, _Replica]](), dict[int, tuple[float, float]]()
    tokens: dict[int, array[float]] = {}
    while True:
        send = max(due[0][0], free[0]) if due and free else math.inf
        one = min(replicas, key=lambda replica: replica.clock)
        if send >= until and one.clock == math.inf:
            break
        if send <= one.clock and send < until:
            (when, number), chosen = heappop(due), next(turn)
            heappop(free)
            if fleet.route == "least_loaded":
                chosen = min(replicas, key=lambda replica: replica.load)
            arrival = arrivals[number]
            job = Job(prompt_len=arrival.prompt_len, output_len=arrival.output_len, hashes=arrival.hashes)
            chosen.taken = max(send, chosen.taken) + model.serial * model.front_s
            chosen.coming.append((chosen.taken + (1 - model.serial) * model.front_s, job))
            chosen.load += 1
            numbers[job], told[number], tokens[number] = (number, chosen), (when, send), array("d")
            continue
        others = math.inf
        if followers or concurrency:  # whatever ends elsewhere may send something here
            others = min((other.clock for other in replicas if other is not one), default=math.inf)
        ends, made = one.play(min(send + model.front_s, others))
        for job in made:
            number = numbers[job][0]
            tokens[number].extend(ends)
            if job.done:
                one.load -= 1
                heappush(free, ends[-1])
                for follower in followers.get(number, ()):
                    heappush(due, (ends[-1] + arrivals[follower].due, follower))
    cached = {number: job.cached for job, (number, _) in numbers.items()}
    return [
        Timeline(number=number, due=told[number][0], sent=told[number][1], tokens=tokens[number], cached=cached[number])
        for number in sorted(told)
    ]
