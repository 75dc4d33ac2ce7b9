"""A server's metrics pages, read every so often beside the load → its counters' rise, tracks, and when it restarted.

Reading never holds up the run: a look takes one interval at most, what it found is read in a thread, and a page that
takes a fifth of the interval is looked at half as often.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from time import perf_counter
from urllib.parse import urlsplit

import aiohttp

from pytest_vllm_bench.errors import ServerError
from pytest_vllm_bench.model import Beside, Message, Observed, Target, Track, Watching
from pytest_vllm_bench.observe import counters
from pytest_vllm_bench.observe.counters import Snapshot
from pytest_vllm_bench.observe.pages import Page, asked, fetch, read, web

#: Seconds and bytes: a server that takes longer before or after the load to say what it counted, or says more, is done
#: without.
PATIENCE = 3.0
MOST_BYTES = 16 << 20
#: Times that a page is read before and after, each on a connection of its own: behind a load balancer they are not of
#: one server.
LOOKS = 4
#: Of the interval, that a page may take; and the longest interval that this leads to.
SHARE, RAREST = 0.2, 60.0
#: Where a server has its counters; where its ``/metrics`` is JSON.
PATH, OTHER_PATH = "/metrics", "/prometheus/metrics"


@dataclass(slots=True, kw_only=True)
class _Source:
    """One page, and what it has said."""

    target: Target
    path: str
    label: str = ""  # of a page that is not the server's own
    every: float = 1.0
    before: Snapshot | None = None
    last: Snapshot | None = None
    several: bool = False
    fault: tuple[float, Message] | None = None
    slowest: float = 0.0
    looks: int = 0
    missed: int = 0
    seen: dict[tuple[str, str], tuple[list[float], list[float]]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.target.base_url + self.path

    def take(self, at: float, now: Snapshot) -> None:
        """One look: what has changed since the one before, and what it adds to the tracks."""
        if self.last is not None:
            self.several = self.several or counters.several(self.last, now) is not None
            if self.fault is None and (fault := counters.restarted(self.last, now)) is not None:
                self.fault = at, fault
        self.last = now
        for ours, families in (*counters.COUNTERS.items(), *counters.GAUGES.items()):
            if (name := counters.present(families, now)) is not None:
                self._add(ours, "", at, now.values[name])
        for ours, families in counters.HISTOGRAMS.items():
            if (name := next((n for n in families if n in now.buckets), None)) is None:
                continue
            if f"{name}_sum" in now.values:
                self._add(f"{ours}_sum", "", at, now.values[f"{name}_sum"])
            for bound, count in now.buckets[name].items():
                self._add(f"{ours}_bucket", f"{bound:g}", at, count)

    def _add(self, name: str, bound: str, at: float, value: float) -> None:
        times, values = self.seen.setdefault((name, bound), ([], []))
        if bound and len(values) > 1 and values[-1] == values[-2] == value:
            times[-1] = at  # most buckets rest most of the time
        else:
            times.append(at)
            values.append(value)

    def tracks(self) -> list[Track]:
        return [
            Track(name=name, device=self.label, bound=bound, every=self.every, times=tuple(times), values=tuple(values))
            for (name, bound), (times, values) in self.seen.items()
        ]


class MetricsPages(Beside):
    """One load's watcher of the server's own pages, and of those that ``observe: {urls: …}`` adds."""

    def __init__(self, watching: Watching) -> None:
        self._watching = watching
        self._sources: list[_Source] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._notes: list[Message] = []

    async def begin(self, target: Target) -> None:
        sources = sources_of(target, self._watching)
        await asyncio.gather(*(self._first(source) for source in sources))
        self._sources = [source for source in sources if source.before is not None]
        self._tasks = [asyncio.create_task(_sampled(source)) for source in self._sources if not source.several]

    async def _first(self, source: _Source) -> None:
        """Read it before the load; what is not there, or no such page, is done without, which is said where the page
        was asked for or answers."""
        page, found = await several_looks(source)
        if page is not None and "json" in page.headers.get("Content-Type", "") and source.path == PATH:
            source.path = OTHER_PATH
            page, found = await several_looks(source)
        if found is None and (source.label or (page is not None and page.status == 200)):
            self._notes.append(Message(key="observe.no_page", values={"url": source.url}))
        elif found is not None:
            source.several = found.several
            source.before = found
            source.take(perf_counter(), found)

    async def end(self, interrupted: bool) -> Observed:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not interrupted:
            await asyncio.gather(*(self._last(source) for source in self._sources))
        one = [source for source in self._sources if not source.several]
        notes = [*self._notes, *(note for source in one for note in _said(source))]
        if len(one) < len(self._sources):
            notes.append(Message(key="server.several"))
        at, fault = min((s.fault for s in one if s.fault), key=lambda fault: fault[0], default=(None, None))
        complete = not interrupted and all(source.last is not None for source in one)
        known = [(s.before, s.last) for s in one if s.before is not None and s.last is not None]
        counted = counters.deltas(*map(counters.together, zip(*known, strict=True))) if known and complete else {}
        return Observed(
            counters={} if fault else counted,
            fault=fault,
            fault_at=at,
            tracks=tuple(track for source in one for track in source.tracks()),
            notes=tuple(notes),
        )

    async def _last(self, source: _Source) -> None:
        _, found = await several_looks(source)
        if found is None:
            source.last = None
        else:
            source.several = source.several or found.several
            source.take(perf_counter(), found)


def sources_of(target: Target, watching: Watching) -> list[_Source]:
    """The server's own page, which ``metrics_url`` may say to be elsewhere, and those that are added."""
    own, path = _place(target.metrics_url or target.base_url + PATH, target)
    added = [(_place(url, target), urlsplit(url).netloc) for url in watching.urls]
    return [
        _Source(target=own, path=path, every=watching.interval),
        *(_Source(target=at, path=p, label=label, every=watching.interval) for (at, p), label in added),
    ]


def _place(url: str, target: Target) -> tuple[Target, str]:
    """A page's server and path; another server than the one under load is not told the headers of that one."""
    if url.startswith(target.base_url + "/"):
        return target, url.removeprefix(target.base_url)
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    same = origin == "{0.scheme}://{0.netloc}".format(urlsplit(target.base_url))
    return replace(target, base_url=origin, headers=target.headers if same else {}), parts.path or PATH


async def several_looks(source: _Source) -> tuple[Page | None, Snapshot | None]:
    """Read the page, more than once to see whose it is; None where there is none, or it cannot be read in time."""
    seen: list[Snapshot] = []
    page: Page | None = None
    with contextlib.suppress(ServerError, TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while len(seen) < LOOKS:
                page = await fetch(source.target, source.path, PATIENCE, most=MOST_BYTES)
                if (found := await understood(page)) is None:
                    break
                seen.append(found)
    several = any(one.started != other.started or counters.fallen(one, other) for one, other in pairwise(seen))
    return page, replace(seen[-1], several=several) if seen else None


async def look(target: Target) -> Snapshot | None:
    """What the server's own page says now."""
    return (await several_looks(sources_of(target, Watching())[0]))[1]


async def understood(page: Page) -> Snapshot | None:
    if page.status != 200 or not page.whole:
        return None
    return await asyncio.to_thread(counters.parse, page.body.decode("utf-8", errors="replace"))


async def _sampled(source: _Source) -> None:
    """Look at the page every so often, on a connection of its own, until cancelled."""
    async with web(source.target, source.every) as session:
        due = perf_counter() + source.every
        while True:
            await asyncio.sleep(due - perf_counter())
            began = perf_counter()
            found = await _looked(session, source)
            ended = perf_counter()
            source.looks += 1
            source.missed += found is None
            if found is not None:
                await _taken(source, *found)
            if ended - began > SHARE * source.every and source.every < RAREST:
                source.every *= 2
                source.slowest = max(source.slowest, ended - began)
            due = max(due + source.every, perf_counter())


async def _taken(source: _Source, at: float, now: Snapshot) -> None:
    """A server that seems to have been started anew may be another one behind a load balancer."""
    source.take(at, now)
    if source.fault is not None and source.fault[0] == at:
        _, again = await several_looks(source)
        source.several = again is not None and (again.several or again.started != now.started)


async def _looked(session: aiohttp.ClientSession, source: _Source) -> tuple[float, Snapshot] | None:
    """When the page was, which is the middle between request and answer, and what it said; None: it could not be had,
    for whatever reason."""
    try:
        async with asyncio.timeout(source.every):
            began = perf_counter()
            async with asked(session, source.target, source.path) as response:
                page = await read(response, MOST_BYTES)
            middle = (began + perf_counter()) / 2
        found = await understood(page)
    except Exception:  # of the network, of what is on the page, or a mistake of ours: not the run's concern
        return None
    return None if found is None else (middle, found)


def _said(source: _Source) -> Sequence[Message]:
    values: Mapping[str, object] = {"url": source.url, "missed": source.missed, "looks": source.looks}
    notes = []
    if source.missed:
        notes.append(Message(key="observe.page_missed", values=values))
    if source.slowest:
        slow = {"url": source.url, "took": f"{source.slowest:.1f}", "every": f"{source.every:g}"}
        notes.append(Message(key="observe.page_slow", values=slow))
    return notes
