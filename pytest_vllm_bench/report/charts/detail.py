"""One scenario's requests → Charts of it: distributions, and what happened when."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_vllm_bench.model import Result
from pytest_vllm_bench.report.chart import Axis, Chart, ChartSeries, Label, Limit, message, quantity
from pytest_vllm_bench.report.charts.tracks import with_tracks

if TYPE_CHECKING:
    from pytest_vllm_bench.report.samples import ChartColumns, Floats

#: Tokens that a bin should hold at least: fewer, and the curve shows the bins instead of the speed.
BIN_TOKENS = 30

TIME = Axis(label=message("page.axis.time"))


def detail(result: Result, columns: ChartColumns, points: int, records: Path | None = None) -> list[Chart]:
    """The charts of one scenario with about ``points`` points each; ``records``: beside which lies what was watched."""
    made = [
        distributions(result, columns, points),
        with_tracks(timeline(columns, points), records, points),
        concurrency(columns, points),
        speed(columns, points),
        ttft_over_time(columns, points),
        lag(columns, points),
    ]
    return [chart for chart in made if not chart.empty]


def distributions(result: Result, columns: ChartColumns, points: int) -> Chart:
    """The share of requests (gaps, for ITL) that were at least so quick."""
    import numpy as np

    good = ~columns.failed
    sent, first, last = (columns.column(name)[good] for name in ("sent", "first_token", "last_token"))
    tokens = columns.tokens[good]
    with np.errstate(invalid="ignore", divide="ignore"):
        tpot = (last - first) / np.where(tokens > 1, tokens - 1, np.nan)
    values = {"ttft": first - sent, "tpot": tpot, "itl": columns.gaps, "e2el": last - sent}
    drawn = []
    for k, (name, seconds) in enumerate(values.items()):
        ms = 1e3 * seconds[np.isfinite(seconds)]
        if len(ms):
            shares = np.linspace(0, 1, min(points, max(2, len(ms))))
            x = np.quantile(ms, shares)
            drawn.append(ChartSeries(name=quantity(name), x=x.tolist(), y=(100 * shares).tolist(), colour=k))
    limits = tuple(
        Limit(axis="x", value=ms, label=f"{name.upper()} ≤ {ms:g} ms")
        for name, ms in result.scenario.goodput.items()
        if name in values
    )
    return Chart(
        id="cdf",
        title=message("page.chart.cdf"),
        x=Axis(label=message("page.axis.ms"), log=True),
        y=Axis(label=message("page.axis.share")),
        series=tuple(drawn),
        limits=limits,
    )


def timeline(columns: ChartColumns, points: int) -> Chart:
    """Requests as bars from the moment they were due: waiting, what the server tells of the way to the first token,
    decode."""
    import numpy as np

    order = np.argsort(columns.column("sent"), kind="stable")
    shown = order[np.unique(np.linspace(0, columns.n - 1, min(points, columns.n)).astype(int))]
    due, ready, sent, first, last, done = columns.times[shown].T
    start = np.fmin(np.where(np.isfinite(due), due, sent), np.where(np.isfinite(ready), ready, sent))
    end = np.where(np.isfinite(last), last, np.where(np.isfinite(done), done, sent))
    first = np.where(np.isfinite(first), first, end)
    bad = columns.failed[shown]
    rows = np.arange(len(shown), dtype=float)
    outside = np.fmax(first - sent - columns.told[shown].sum(axis=1), 0)  # what is left, where both are told
    begun = np.fmin(sent + np.nan_to_num(outside), first)
    queued = np.fmin(np.nan_to_num(columns.told[shown, 0]), first - begun)
    seen = 0.0005 * np.nanmax(end)  # what is shorter has no pixel
    parts = [
        ("queue", start, sent - start, np.ones(len(shown), bool), 7),
        ("outside", sent, begun - sent, ~bad & (begun - sent > seen), 4),
        ("server_queue", begun, queued, ~bad & (queued > seen), 3),
        ("prefill", begun + queued, first - begun - queued, ~bad, 1),
        ("decode", first, end - first, ~bad, 2),
        ("failed", sent, np.fmax(end, np.where(np.isfinite(done), done, end)) - sent, bad, 5),
    ]
    drawn = [_spans(f"page.part.{name}", x, y, rows, keep & (y > 0), colour) for name, x, y, keep, colour in parts]
    note = message("page.note.some", shown=len(shown), n=columns.n * columns.stride) if len(shown) < columns.n else None
    return Chart(
        id="timeline",
        title=message("page.chart.timeline"),
        x=TIME,
        y=Axis(label=message("page.axis.request")),
        series=tuple(s for s in drawn if len(s.x)),
        note=note,
    )


def _spans(key: str, x: Floats, width: Floats, rows: Floats, keep: Floats, colour: int) -> ChartSeries:
    chosen = [values[keep].tolist() for values in (x, width, rows)]
    return ChartSeries(name=message(key), x=chosen[0], width=chosen[1], y=chosen[2], kind="spans", colour=colour)


def _edges(columns: ChartColumns, points: int) -> Floats:
    import numpy as np

    last = np.nanmax(columns.times)
    first = float(np.nanmin(columns.column("sent")))
    return np.linspace(first, max(last, first + 1e-3), points + 1)


def concurrency(columns: ChartColumns, points: int) -> Chart:
    """Requests in flight, exact at each point."""
    import numpy as np

    at = _edges(columns, points)
    done = columns.column("done")
    begun = np.searchsorted(np.sort(columns.column("sent")), at, side="right")
    ended = np.searchsorted(np.sort(done[np.isfinite(done)]), at, side="right")
    one = ChartSeries(
        name=message("page.in_flight"), x=at.tolist(), y=(columns.stride * (begun - ended)).tolist(), kind="steps"
    )
    return _over_time("concurrency", one, message("page.axis.requests"), _sampled(columns.stride))


def _sampled(every: int) -> Label | None:
    """How few requests stand for all, where they do."""
    return message("page.note.every", every=every) if every > 1 else None


def speed(columns: ChartColumns, points: int) -> Chart:
    """Output tokens a second, by the moment they arrived."""
    import numpy as np

    edges = _edges(columns, min(points, max(10, int(columns.arrival_tokens.sum()) // BIN_TOKENS)))
    counts, _ = np.histogram(columns.arrival_times, edges, weights=columns.arrival_tokens)
    y = counts * columns.every / np.diff(edges)
    used = len(columns.arrival_times) > 0
    one = ChartSeries(
        name=quantity("output_throughput", unit=False),
        x=edges[:-1].tolist() if used else [],
        y=y.tolist(),
        kind="steps",
        colour=2,
    )
    note = _sampled(columns.every)
    return _over_time("speed", one, message("page.axis.tokens_per_s"), note)


def _binned(x: Floats, y: Floats, edges: Floats, how: str) -> tuple[list[float], list[float]]:
    """The largest or the mean value in each bin that has one, at the bin's middle."""
    import numpy as np

    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    bins = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)
    middles = (edges[:-1] + edges[1:]) / 2
    if how == "max":
        top = np.full(len(middles), -np.inf)
        np.maximum.at(top, bins, y)
        used = np.isfinite(top)
        return middles[used].tolist(), top[used].tolist()
    count = np.bincount(bins, minlength=len(middles))
    total = np.bincount(bins, weights=y, minlength=len(middles))
    used = count > 0
    return middles[used].tolist(), (total[used] / count[used]).tolist()


def ttft_over_time(columns: ChartColumns, points: int) -> Chart:
    """TTFT by the moment of sending: does it rise while the run goes on?"""
    sent = columns.column("sent")
    x, y = _binned(sent, 1e3 * (columns.column("first_token") - sent), _edges(columns, points), "mean")
    return _over_time(
        "ttft-time", ChartSeries(name=quantity("mean_ttft_ms", unit=False), x=x, y=y, colour=1), quantity("ttft_ms")
    )


def lag(columns: ChartColumns, points: int) -> Chart:
    """How late the client itself was; the largest in each span of time."""
    sent = columns.column("sent")
    x, y = _binned(sent, 1e3 * (sent - columns.column("ready")), _edges(columns, points), "max")
    return _over_time(
        "lag",
        ChartSeries(name=quantity("send_lag"), x=x, y=y, colour=5),
        quantity("send_lag_ms"),
        message("page.note.max"),
    )


def _over_time(name: str, one: ChartSeries, label: Label, note: Label | None = None) -> Chart:
    return Chart(id=name, title=message(f"page.chart.{name}"), x=TIME, y=Axis(label=label), series=(one,), note=note)
