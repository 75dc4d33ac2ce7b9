"""Results → ``aggregate_results.csv``, by pandas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_vllm_bench.metric_table import STARTUP
from pytest_vllm_bench.model import Result
from pytest_vllm_bench.report import words
from pytest_vllm_bench.report.shown import pooled, spread, started
from pytest_vllm_bench.store.folder import order, write_text, writing
from pytest_vllm_bench.store.row import flat, vllm_date

if TYPE_CHECKING:
    import pandas as pd

LATENCIES = ("ttft", "tpot", "itl", "e2el")

#: Always there, in this order; ``columns`` appends what the rows have besides.
COLUMNS = (
    "scenario_id",
    "input_len",
    "output_len",
    "max_concurrency",
    "request_rate",
    "num_prompts",
    "completed",
    "failed",
    "duration",
    "total_input_tokens",
    "total_output_tokens",
    "request_throughput",
    "output_throughput",
    "total_token_throughput",
    "request_goodput",
    "goodput_ratio",
    "max_concurrent_requests",
    *(f"{stat}_{quantity}_ms" for quantity in LATENCIES for stat in ("mean", "median", "p99")),
    "verdict",
)
#: How far repeats lie apart, where a row is of several: (largest − smallest) ÷ mean.
SPREADS = tuple(f"spread_{key}" for key in ("output_throughput", "mean_ttft_ms", "mean_tpot_ms", "mean_e2el_ms"))
#: Shown where some row has a value.
OPTIONAL = (
    "few_samples",
    "capacity_held",
    "capacity_held_proven",
    "capacity_broken",
    "capacity_broken_proven",
    "probe_of",
    "target",
    "dataset",
    "repeat",
    "repeats",
    *SPREADS,
    *STARTUP,
    "model_id",
    "date",
    "session",
    "outcome",
    "taints",
    "simulated",
    "complete",
)


def columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The fixed columns, other percentiles that were asked for, then facts that tell rows apart."""
    asked = [key for key in _percentiles(rows) if key not in COLUMNS]
    facts = [key for key in OPTIONAL if any(row.get(key) not in (None, "") for row in rows)]
    return [*COLUMNS[:-1], *asked, "verdict", *facts]


def _percentiles(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    found = {
        key: None
        for row in rows
        for key in row
        if key.startswith("p") and key.endswith("_ms") and key.split("_")[0][1:].replace(".", "").isdigit()
    }
    return [key for q in LATENCIES for key in found if key.split("_", 1)[1] == f"{q}_ms"]


def frame(results: Sequence[Result]) -> pd.DataFrame:
    """One row a scenario, sorted by input, output, concurrency; whole numbers stay whole beside missing ones."""
    import pandas as pd

    rows = [_row(result) for result in sorted(results, key=order)]
    for row in rows:  # which of its percentiles stand on too few: they are there for those who look for them
        row["few_samples"] = " ".join(key for key in columns([row]) if not words.trusted(row, key))
    data = {key: [row.get(key) for row in rows] for key in columns(rows)}
    table = pd.DataFrame(data, dtype=object)
    for key in table.columns:
        present = [v for v in data[key] if v is not None]
        if present and all(isinstance(v, int) and not isinstance(v, bool) for v in present):
            table[key] = table[key].astype("Int64")
    return table


def _row(result: Result) -> dict[str, Any]:
    """A result's figures; where repeats were pooled how many, and how far they lie apart."""
    row = {**flat(result), **started(result)}
    if len(result.per_repeat) > 1 and result.scenario.cell.repeat is None:
        row |= {"repeat": None, "repeats": len(result.per_repeat)}
        for name in SPREADS:
            key = name.removeprefix("spread_")
            if (ends := spread(result, key)) and (mean := row.get(key)):
                row[name] = (ends[1] - ends[0]) / mean
    return row


def headers(keys: Iterable[str], lang: str) -> list[str]:
    """English: the JSON's keys, units included; "zh": Chinese with units; "both": the two beside each other."""
    if lang == "en":
        return list(keys)
    if lang == "zh":
        return [words.with_unit(key, "zh") for key in keys]
    return [f"{key} {words.with_unit(key, 'zh')}" for key in keys]


def write(
    results: Sequence[Result], folder: Path, *, day: str = "", lang: str = "en", repeats: bool = False
) -> tuple[Path, ...]:
    """Write ``aggregate_results_{day}.csv`` and the latest under its plain name; ``day`` is YYYYMMDD (UTC).

    Without a day it is that of the newest result.  ``lang`` is "en", "zh" or "both"; with Chinese a byte order mark
    tells Excel that this is UTF-8.  ``repeats``: a row each, instead of one that holds them all.
    """
    table = frame(results if repeats else pooled(results))
    table.columns = headers(list(table.columns), lang)
    text = table.to_csv(index=False, lineterminator="\n", float_format="%.6g")
    day = day or max((vllm_date(result.date)[:8] for result in results), default="")
    names = ["aggregate_results.csv"]
    if day.isdigit():
        names.insert(0, f"aggregate_results_{day}.csv")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        encoding = "utf-8" if lang == "en" else "utf-8-sig"
        return tuple(write_text(folder / name, text, encoding=encoding) for name in names)
