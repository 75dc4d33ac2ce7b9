"""A dict out of anybody's result file → Result: what it lacks is in the file's name, what does not fit is left out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_vllm_bench import files
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.metric_table import as_ours
from pytest_vllm_bench.model import Message, Result
from pytest_vllm_bench.store.row import CAPACITY, KEYS, from_json
from pytest_vllm_bench.text import safe

#: Keys that another tool's result has too; all others of ours no tool writes by itself.
SHARED = {
    "date", "endpoint_type", "backend", "label", "model_id", "tokenizer_id", "num_prompts", "request_rate",
    "burstiness", "max_concurrency",
}  # fmt: skip
OURS = KEYS - SHARED | {f"capacity_{name}" for name in CAPACITY}
#: What no result of ``vllm bench serve`` or of SGLang is without.
THEIRS = ({"completed", "num_prompts"}, {"completed", "output_throughput"})

_LENGTHS = re.compile(r"io(\d+)x(\d+)")
_CAP = re.compile(r"(?:^|_)mc(\d+)(?:_|$)|(?:^|-)concurrency(\d+)(?:-|$)")
_RATE = re.compile(r"(?:^|-)(inf|\d+(?:\.\d+)?)qps(?:-|$)")
#: How vLLM ends the names of its files, so that runs of one kind differ in it.
_WHEN = re.compile(r"-(\d{8}-\d{6})(?:-\d+)?$")
_RUN = re.compile(r"run=\d+")
_PROMPTS = re.compile(r"(?:^|_)np(\d+)(?:_|$)")


def is_result(row: Mapping[str, Any]) -> bool:
    """A result of ours, or of ``vllm bench serve``: not a baseline, a plan, or another tool's file."""
    if row.get("run_number") == -1:  # the warm-up of ``vllm bench sweep``
        return False
    return is_ours(row) or "request_throughput" in row or any(kind <= row.keys() for kind in THEIRS)


def is_ours(row: Mapping[str, Any]) -> bool:
    return {"schema_version", "scenario_id"} <= row.keys()


def session_of(row: Mapping[str, Any]) -> str:
    """The session that a result's dict says it is of; for another tool's its date."""
    return str(row.get("session") or row.get("date") or "")


def understood(row: dict[str, Any], path: Path, among: int = 1) -> tuple[Result, list[Message]]:
    """The result, and what of another tool's cannot be what its key says; BenchError where one of ours is damaged.

    ``among``: how many results the file holds.
    """
    if is_ours(row):
        return from_json(completed(row, path, among), path), []
    # What its user wrote into it (vLLM's --metadata verdict=good) is not what the key is here.
    row = {mine: value for key, value in row.items() if (mine := as_ours(key)) not in OURS}
    row, odd = completed(row, path, among), list[Message]()
    while True:
        try:
            return from_json(row, path), odd
        except BenchError as error:
            wrong = re.split(r"[.\[]", str(error.message.values["name"]))[0]
            if wrong not in row:
                raise
            del row[wrong]
            odd.append(error.message)


def completed(row: Mapping[str, Any], path: Path, among: int = 1) -> dict[str, Any]:
    """With what a foreign or older result lacks; the name of a file that holds several is not that of one of them."""
    name, row = files.shown(path), dict(row)
    if _RUN.fullmatch(name):  # of a sweep, whose folders say what it varied
        name = path.parent.name
    when, lengths, rate = _WHEN.search(name), _LENGTHS.search(name), _RATE.search(name)
    found: dict[str, Any] = {
        "date": when[1] if when else None,
        "input_len": int(lengths[1]) if lengths else _mean(row, "total_input_tokens"),
        "output_len": int(lengths[2]) if lengths else _mean(row, "total_output_tokens"),
        "max_concurrency": _number(_CAP, name),
        "num_prompts": _number(_PROMPTS, name),
        "request_rate": None if rate is None or rate[1] == "inf" else float(rate[1]) or None,
    }
    row |= {key: value for key, value in found.items() if row.get(key) is None and value is not None}
    load = {"mc": "max_concurrency", "rr": "request_rate", "np": "num_prompts"} if among > 1 else {}
    parts = [f"{short}{row[key]:g}" for short, key in load.items() if isinstance(row.get(key), int | float)]
    id = "-".join([_WHEN.sub("", name).removeprefix("bench_").replace("_", "-"), *parts])
    row.setdefault("scenario_id", id)
    for key in ("scenario_id", "scenario_key"):  # as all tables name it
        if isinstance(row.get(key), str):
            row[key] = safe(row[key])
    return row


def _number(pattern: re.Pattern[str], name: str) -> int | None:
    found = pattern.search(name)
    return int(next(filter(None, found.groups()))) if found else None


def _mean(row: Mapping[str, Any], total: str) -> int | None:
    done, tokens = row.get("completed"), row.get(total)
    if not isinstance(done, int | float) or not isinstance(tokens, int | float) or not done:
        return None
    mean = tokens / done
    return round(mean) if math.isfinite(mean) and abs(mean) < 1 << 53 else None
