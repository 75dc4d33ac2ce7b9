"""Results → ``report.html``: one file that needs no network, in two languages."""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pytest_vllm_bench.metric_table import ROWS, STARTUP
from pytest_vllm_bench.model import Comparison, Message, Result, Verdict
from pytest_vllm_bench.report import baseline, compare, culprit, frontier, shown, words
from pytest_vllm_bench.report.chart import Chart, ChartWords, spoken, to_json
from pytest_vllm_bench.report.charts.detail import detail
from pytest_vllm_bench.report.charts.overview import overview
from pytest_vllm_bench.report.charts.trend import trend
from pytest_vllm_bench.report.compare import SideBySide
from pytest_vllm_bench.report.failure import observed
from pytest_vllm_bench.report.findings import Finding, findings
from pytest_vllm_bench.report.page.facts import facts, settings, total
from pytest_vllm_bench.report.samples import read as read_samples
from pytest_vllm_bench.report.trend import charts as over_time
from pytest_vllm_bench.report.verdict import Roll, coloured, of_test, outcome, overall, part_of, tally
from pytest_vllm_bench.store.folder import latest, make, records_of, stem, write_text, writing
from pytest_vllm_bench.text import LANGUAGES, say, table

if TYPE_CHECKING:
    import jinja2

NAME = "report.html"
#: Points of all scenarios' own charts together; with many scenarios each gets fewer.
POINTS = 24_000
#: What they may take of the page.
DETAIL_BYTES = 2_000_000
#: The table's columns; a column without any value is left out.
COLUMNS = (
    "output_throughput",
    "goodput_ratio",
    "mean_ttft_ms",
    "p99_ttft_ms",
    "mean_tpot_ms",
    "p99_tpot_ms",
    "mean_itl_ms",
    "p99_itl_ms",
    "mean_e2el_ms",
    "p99_e2el_ms",
    "request_throughput",
    "completed",
    "failed",
    "mean_connect_ms",
    "round_trip_ms",
    *STARTUP,
)
#: Figures that stand under one head: "TTFT ms: mean | p99".
_STATISTIC = re.compile(r"(mean|median|p\d+)_(ttft|tpot|itl|e2el)_ms")
FINDINGS, RULES = 4, 12  # on the first screen
#: Figures of a timeline that stand beside their mean and maximum, in the file alone.
SELDOM = ("_p95", "_last", "_p90", "_p50")
LISTED = 300  # lines of a table at most, where each scenario has several
SETTINGS = 40  # scenarios whose own settings are listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """What a report may show besides its results."""

    history: Sequence[Result] = ()  # all sessions, for the trend
    compared: SideBySide | None = None
    folder: Path | None = None  # where records lie of results that were not read from files
    roll: Roll = Roll()  # how the session ended


def write(results: Sequence[Result], folder: Path, *, lang: str = "en", extra: Extra = Extra()) -> Path:
    """Write the page; BenchError where the folder cannot be written."""
    beside = extra.folder or folder  # each result's file, also where repeats become one that has none
    results = [replace(one, path=one.path or beside / f"{stem(one.id)}.json") for one in results]
    text = page(results, lang=lang, extra=replace(extra, folder=beside))
    with writing(make(folder)):
        return write_text(folder / NAME, text)


def page(results: Sequence[Result], *, lang: str = "en", extra: Extra = Extra()) -> str:
    """The page's HTML; it opens in ``lang`` and holds both languages."""
    tested, roll = latest(results), extra.roll
    results = shown.worst_first(shown.pooled(tested))
    listed = findings(results, roll)
    table_columns = columns(results)
    return _template().render(
        lang=lang,
        results=results,
        columns=table_columns,
        heads=_heads(table_columns),
        chips=_chips(results),
        judged=shown.rules(results)[:RULES],
        verdict=overall(tested, roll),
        verdict_said=_said(tested, roll),
        tally=[tally(results, roll, one) for one in LANGUAGES],
        outcome=outcome(tested, roll),
        of_all=set(tested[0].taints).intersection(*(one.taints for one in tested)) if tested else (),
        taints=list(zip(*(words.taints(results, one) for one in LANGUAGES), strict=True)),
        part=part_of(tested, roll),
        steady=any(judged.window == "steady" for one in results for judged in one.verdicts),
        facts=facts(results),
        total=total(tested),
        first=listed[:FINDINGS],
        rest=listed[FINDINGS:LISTED],
        compared=extra.compared,
        compared_notes=[compare.notes(extra.compared, one) for one in LANGUAGES] if extra.compared else [],
        baselines=_baselines(results)[:LISTED],
        widest=_widest(results),
        held=", ".join(dict.fromkeys(one.baseline.reference for one in results if one.baseline)),
        **_rules(results),
        errors=_errors(results),
        notes=_notes(results),
        positions=[
            (one.id, name, of) for one in results if len(one.by_position) > 1 for name, of in one.by_position.items()
        ],
        traces=[(one.id, [_linked(path, one, extra.folder) for path in one.traces]) for one in results if one.traces],
        models=[(one.id, name, of) for one in results for name, of in one.by_model.items()],
        stages=[(one.id, stage, of, share) for one in results for stage, of, share in shown.stages(one)][:LISTED],
        turns=[(one.id, name, of) for one in results for name, of in one.by_turn.items() if name != "conversation"],
        server=_server(results),
        carried=list(zip(*(frontier.tables(tested, one) for one in LANGUAGES), strict=True)),
        trees=settings(results, SETTINGS),
        definitions=[(m.id, m.unit) for m in ROWS.values() if f"definitions.meaning.{m.id}" in table()],
        data=embedded(_data(results, lang, extra)),
        css=_resource("page.css"),
        js=_resource("panels.js") + _resource("page.js"),
        plotly=_plotly(),
    )


def _said(results: Sequence[Result], roll: Roll) -> str | None:
    """What the headline says of one scenario: of INCONCLUSIVE, whether all that is seen is within its limits."""
    worst = overall(results, roll)
    if roll.missing or worst is not Verdict.INCONCLUSIVE:
        return "not_run" if roll.missing else worst
    unproven = [one for result in results for one in result.verdicts if one.verdict is Verdict.INCONCLUSIVE]
    return "within" if unproven and all(one.within for one in unproven) else worst


def columns(results: Sequence[Result]) -> list[str]:
    """The table's columns that have values; what a rule is on stands there too, and in front where it did not pass."""
    ruled = list(dict.fromkeys(shown.figure_of(judged) for one in results for judged in one.verdicts))
    ahead = [key for key in ruled if not _STATISTIC.fullmatch(key) and any(shown.broken(one, key) for one in results)]
    found = list(dict.fromkeys([COLUMNS[0], *ahead, *COLUMNS]))
    for key in ruled:
        match = _STATISTIC.fullmatch(key)
        if key not in found:
            found.insert(found.index(f"p99_{match[2]}_ms") if match else 1, key)
    return [key for key in found if any(one.metrics.get(key) is not None for one in results)]


def _heads(columns: Sequence[str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Columns under their heads: a latency with its statistics, or "" with a figure that needs none."""
    found: list[tuple[str, list[tuple[str, str]]]] = []
    for key in columns:
        match = _STATISTIC.fullmatch(key)
        head, statistic = (match[2], match[1]) if match else ("", "")
        if not head or not found or found[-1][0] != head:
            found.append((head, []))
        found[-1][1].append((statistic, key))
    return found


def _chips(results: Sequence[Result]) -> list[tuple[str, int]]:
    """What the table can be narrowed to, and how many that are: a verdict, or a search's probes."""
    kinds = Counter("probe" if one.scenario.probe_of else kind_of(one) for one in results)
    order = ("INVALID", "FAIL", "INCONCLUSIVE", "PREDICTED", "PASS", "None", "probe")
    found = [(kind, kinds[kind]) for kind in order if kinds[kind]]
    return [("all", len(results) - kinds["probe"]), *found] if len(found) > 1 else []


def kind_of(result: Result) -> str:
    """The verdict, or what the test made of it."""
    return str(coloured(result.verdict, of_test(result)[0]))


def _widest(results: Sequence[Result]) -> float:
    """How far the plot of changes reaches to both sides, as a share."""
    found = [c for result in results for c in baseline.comparisons(result) if c.relative]
    ends = [abs(end) for c in found for end in (*c.interval, c.change, c.tolerance) if math.isfinite(end)]
    return min(1.0, max(ends, default=0.1))


def forest(one: Comparison, widest: float) -> dict[str, float]:
    """Where a change, its interval and what is accepted lie in a plot 200 wide, whose middle is no change."""

    def at(share: float) -> float:
        return round(100 + 96 * max(-1.0, min(1.0, share / widest)), 1)

    places = {"change": one.change, "low": one.interval[0], "high": one.interval[1]}
    return {name: at(share) for name, share in places.items()} | {"accepted": at(one.tolerance) - 100}


def _baselines(results: Sequence[Result]) -> list[tuple[str, Comparison]]:
    """Comparisons of all scenarios; what failed comes first and is the last to be left out."""
    found = [(result.id, one) for result in results for one in baseline.comparisons(result)]
    return sorted(found, key=lambda pair: pair[1].verdict is not Verdict.FAIL)


def _rules(results: Sequence[Result]) -> dict[str, Any]:
    """Rules and failed checks of all scenarios; those that did not pass come first and are the last to be left out."""
    rules = [(result.id, judged) for result in results for judged in result.verdicts]
    rules.sort(key=lambda pair: pair[1].verdict is Verdict.PASS)
    checks = [(result.id, check) for result in results for check in result.checks]
    checks.sort(key=lambda pair: pair[1].ok)
    return {
        "rules": rules[:LISTED],
        "checks": checks[:LISTED],
        "rules_left": len(rules) > LISTED or len(checks) > LISTED,
    }


def _notes(results: Sequence[Result]) -> list[tuple[list[str], Message]]:
    """Each note once, with the scenarios that carry it."""
    found: dict[str, tuple[list[str], Message]] = {}
    for result in results:
        for note in result.notes:
            found.setdefault(words.said(note, "en"), ([], note))[0].append(result.id)
    return list(found.values())[:LISTED]


def _linked(trace: str, result: Result, folder: Path | None) -> tuple[str, str]:
    """A trace's name, and where it is from the page: as a rule beside its result; one elsewhere is named whole."""
    beside = result.path.parent if result.path else folder or Path()
    path, here = (beside / trace).resolve(), folder.resolve() if folder else None
    if here is not None and path.is_relative_to(here):
        return path.name, quote(path.relative_to(here).as_posix())
    return str(path), path.as_uri()


def _errors(results: Sequence[Result]) -> list[tuple[str, str, int, str]]:
    found = [
        (result.id, kind, n, result.requests.first_error or "")
        for result in results
        for kind, n in result.requests.error_counts.items()
    ]
    return sorted(found, key=lambda line: -line[2])[:LISTED]


# ------------------------------------------------------------------------------------------------ data


def _data(results: Sequence[Result], lang: str, extra: Extra) -> dict[str, Any]:
    """What the page's script draws from."""
    index = {result.id: k for k, result in enumerate(results)}
    say_it = ChartWords()
    drawn = [chart for one in extra.roll.trend for chart in over_time(one)]
    charts = [to_json(chart, say_it, index) for chart in (*overview(results), *drawn, *trend(extra.history))]
    return {
        "lang": lang,
        "names": list(index),
        "verdicts": [result.verdict for result in results],
        "charts": charts,
        "details": _details(results, extra, say_it),
        "words": say_it.table,
        "texts": {lang: _script_texts(lang) for lang in LANGUAGES},
    }


def _details(results: Sequence[Result], extra: Extra, say_it: ChartWords) -> dict[str, list[dict[str, Any]]]:
    """Scenarios' own charts by position: all of them while they fit, else those that did not pass first."""
    points = max(24, min(400, POINTS // max(1, len(results))))
    left = DETAIL_BYTES
    made: dict[str, list[dict[str, Any]]] = {}
    for k, result in enumerate(results):  # the worst first
        own = _own_charts(result, records_of(result, extra.folder), points)
        charts = [to_json(chart, say_it, {}) for chart in own]
        left -= len(json.dumps(charts, separators=(",", ":")))
        if left < 0:
            break
        made[str(k)] = charts
    return made


def _own_charts(result: Result, path: Path | None, points: int) -> list[Chart]:
    if path is None:
        return []
    columns = read_samples(path, result.num_prompts or 0, int(result.metrics.get("total_output_tokens") or 0))
    return detail(result, columns, points, path) if columns is not None else []


def _script_texts(lang: str) -> dict[str, str]:
    """The texts that the script itself sets, with their blanks unfilled."""
    prefix = "page.js."
    return {
        key.removeprefix(prefix): pair[LANGUAGES.index(lang)] for key, pair in table().items() if key.startswith(prefix)
    }


def embedded(data: Any) -> str:
    """JSON that no content can break out of: inside a script element ``<`` is the only dangerous character."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _server(results: Sequence[Result]) -> dict[str, Any] | None:
    """The server's own counters as a table; None without any."""
    told = [result for result in results if result.server][:LISTED]
    keys = list({key: None for result in told for key in result.server if not key.endswith(SELDOM)})
    lines = [(result.id, [result.server.get(key) for key in keys]) for result in told]
    return {"counters": keys, "lines": lines} if told else None


# -------------------------------------------------------------------------------------------- template


@cache
def _template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": words.number, "label": words.label, "unit": words.unit}
    environment.globals |= {
        "say": say,
        "spoken": spoken,
        "said": words.said,
        "tainted": words.tainted,
        "of_test": of_test,
        "trusted": words.trusted,
        "shown": words.shown,
        "figure": words.figure,
        "checked": words.checked,
        "Message": Message,
        "LANGUAGES": LANGUAGES,
        "finding_text": finding_text,
        "change_text": compare.change_text,
        "interval_text": compare.interval_text,
        "amount": baseline.amount,
        "forest": forest,
        "change": baseline.of_figure,
        "kind_of": kind_of,
        "broken": shown.broken,
        "blamed": culprit.told,
        "stage": culprit.stage,
        "spread": shown.spread,
        "observed": observed,
    }
    return environment.from_string(_resource("page.html"))


def finding_text(finding: Finding, lang: str) -> str:
    text = spoken(finding.message, lang)
    more = words.said(finding.saved, lang)
    gap = "" if text.endswith(("：", "。")) else " "  # which are as wide as a sign and its space
    return f"{text}{gap}{more}" if more else text


@cache
def _resource(name: str) -> str:
    return resources.files("pytest_vllm_bench.report.page").joinpath(name).read_text("utf-8")


@cache
def _plotly() -> str:
    """plotly.js out of the Python package, packed; it goes into the page, so that the page needs no network."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), compresslevel=4, mtime=0)).decode()
