"""JSON dicts → ``report.html``: one file that needs no network, in two languages."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_vllm_bench.metric_table import ROWS
from pytest_vllm_bench.model import Message, Verdict
from pytest_vllm_bench.report import baseline, compare, words
from pytest_vllm_bench.report.artifacts import Row
from pytest_vllm_bench.report.chart import Chart, ChartWords, spoken, to_json
from pytest_vllm_bench.report.charts.detail import detail
from pytest_vllm_bench.report.charts.overview import overview
from pytest_vllm_bench.report.charts.trend import trend
from pytest_vllm_bench.report.compare import SideBySide
from pytest_vllm_bench.report.findings import Finding, findings
from pytest_vllm_bench.report.folder import latest, make, order, records_of, write_text, writing
from pytest_vllm_bench.report.page.facts import facts, settings
from pytest_vllm_bench.report.samples import read as read_samples
from pytest_vllm_bench.report.verdict import Roll, measured, missing, of_test, outcome, overall, tally
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
    "completed",
    "failed",
    "request_throughput",
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
    "mean_connect_ms",
    "round_trip_ms",
)
FINDINGS = 4  # on the first screen
LISTED = 300  # lines of a table at most, where each scenario has several
SETTINGS = 40  # scenarios whose own settings are listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """What a report may show besides its rows."""

    history: Sequence[Row] = ()  # all sessions, for the trend
    compared: SideBySide | None = None
    folder: Path | None = None  # where records lie of rows that were not read from files
    roll: Roll = Roll()  # how the session ended


def write(rows: Sequence[Row], folder: Path, *, lang: str = "en", extra: Extra = Extra(), name: str = NAME) -> Path:
    """Write the page; BenchError where the folder cannot be written."""
    text = page(rows, lang=lang, extra=replace(extra, folder=extra.folder or folder))
    with writing(make(folder)):
        return write_text(folder / name, text)


def page(rows: Sequence[Row], *, lang: str = "en", extra: Extra = Extra()) -> str:
    """The page's HTML; it opens in ``lang`` and holds both languages."""
    everything = latest(rows)
    rows = sorted(measured(everything), key=order)
    listed = findings(everything)
    return _template().render(
        lang=lang,
        rows=rows,
        columns=[key for key in COLUMNS if any(row.get(key) is not None for row in rows)],
        verdict=overall(everything),
        verdict_said="not_run" if missing(everything) else overall(everything),
        tally=[tally(everything, one) for one in LANGUAGES],
        outcome=outcome(everything, extra.roll),
        taints=list(zip(*(words.taints(rows, one) for one in LANGUAGES), strict=True)),
        steady=any(rule.get("window") == "steady" for row in rows for rule in row.get("verdicts") or []),
        facts=facts(rows),
        first=listed[:FINDINGS],
        rest=listed[FINDINGS:LISTED],
        compared=extra.compared,
        compared_notes=[compare.notes(extra.compared, one) for one in LANGUAGES] if extra.compared else [],
        baselines=_baselines(rows)[:LISTED],
        **_rules(rows),
        errors=_errors(rows),
        notes=_notes(rows),
        models=_parts(rows, "by_model"),
        turns=[part for part in _parts(rows, "by_turn") if part[1] != "conversation"],
        server=_server(rows),
        trees=settings(rows, SETTINGS),
        definitions=[(m.id, m.unit) for m in ROWS.values() if f"definitions.meaning.{m.id}" in table()],
        data=embedded(_data(rows, lang, extra)),
        css=_resource("page.css"),
        js=_resource("page.js"),
        plotly=_plotly(),
    )


def _parts(rows: Sequence[Row], key: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Scenario, part, figures: of each model or turn that a scenario's requests are told apart by."""
    return [(row["scenario_id"], name, of) for row in rows for name, of in (row.get(key) or {}).items()]


def _baselines(rows: Sequence[Row]) -> list[tuple[str, Row]]:
    """Comparisons of all scenarios; what failed comes first and is the last to be left out."""
    found = [(row["scenario_id"], one) for row in rows for one in baseline.comparisons(row)]
    return sorted(found, key=lambda pair: pair[1].get("verdict") != "FAIL")


def _rules(rows: Sequence[Row]) -> dict[str, Any]:
    """Rules and failed checks of all scenarios; those that did not pass come first and are the last to be left out."""
    rules = [(row["scenario_id"], rule) for row in rows for rule in row.get("verdicts") or []]
    rules.sort(key=lambda pair: pair[1].get("verdict") == "PASS")
    checks = [(row["scenario_id"], check) for row in rows for check in row.get("validity") or []]
    checks.sort(key=lambda pair: bool(pair[1].get("ok")))
    return {
        "rules": rules[:LISTED],
        "checks": checks[:LISTED],
        "rules_left": len(rules) > LISTED or len(checks) > LISTED,
    }


def _notes(rows: Sequence[Row]) -> list[tuple[list[str], Any]]:
    """Each note once, with the scenarios that carry it."""
    found: dict[str, tuple[list[str], Any]] = {}
    for row in rows:
        for note in row.get("notes") or []:
            found.setdefault(json.dumps(note, sort_keys=True), ([], note))[0].append(row["scenario_id"])
    return list(found.values())[:LISTED]


def _errors(rows: Sequence[Row]) -> list[tuple[str, str, int, str]]:
    found = [
        (row["scenario_id"], kind, n, row.get("first_error") or "")
        for row in rows
        for kind, n in (row.get("error_counts") or {}).items()
    ]
    return sorted(found, key=lambda line: -line[2])[:LISTED]


# ------------------------------------------------------------------------------------------------ data


def _data(rows: Sequence[Row], lang: str, extra: Extra) -> dict[str, Any]:
    """What the page's script draws from."""
    index = {row["scenario_id"]: k for k, row in enumerate(rows)}
    say_it = ChartWords()
    charts = [to_json(chart, say_it, index) for chart in (*overview(rows), *trend(extra.history))]
    return {
        "lang": lang,
        "names": list(index),
        "verdicts": [row.get("verdict") for row in rows],
        "charts": charts,
        "details": _details(rows, extra, say_it),
        "words": say_it.table,
        "texts": {lang: _script_texts(lang) for lang in LANGUAGES},
    }


def _details(rows: Sequence[Row], extra: Extra, say_it: ChartWords) -> dict[str, list[dict[str, Any]]]:
    """Scenarios' own charts by position: all of them while they fit, else those that did not pass first."""
    points = max(24, min(400, POINTS // max(1, len(rows))))
    left = DETAIL_BYTES
    made: dict[str, list[dict[str, Any]]] = {}
    for k in sorted(range(len(rows)), key=lambda k: (-_rank(rows[k]), k)):
        row = rows[k]
        charts = [to_json(chart, say_it, {}) for chart in _own_charts(row, records_of(row, extra.folder), points)]
        left -= len(json.dumps(charts, separators=(",", ":")))
        if left < 0:
            break
        made[str(k)] = charts
    return made


def _rank(row: Row) -> int:
    """INVALID > FAIL > INCONCLUSIVE > PASS; a result without a verdict comes last."""
    return Verdict(row["verdict"]).rank if row.get("verdict") in list(Verdict) else -1


def _own_charts(row: Row, path: Path | None, points: int) -> list[Chart]:
    if path is None:
        return []
    columns = read_samples(path, row.get("num_prompts") or 0, row.get("total_output_tokens") or 0)
    return detail(row, columns, points) if columns is not None else []


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


def _server(rows: Sequence[Row]) -> dict[str, Any] | None:
    """The server's own counters as a table; None without any."""
    told = [row for row in rows if row.get("server")][:LISTED]
    keys = list({key: None for row in told for key in row["server"]})
    lines = [(row["scenario_id"], [row["server"].get(key) for key in keys]) for row in told]
    return {"counters": keys, "lines": lines} if told else None


# -------------------------------------------------------------------------------------------- template


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
        "Message": Message,
        "LANGUAGES": LANGUAGES,
        "finding_text": finding_text,
        "change_text": compare.change_text,
        "interval_text": compare.interval_text,
        "amount": baseline.amount,
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
