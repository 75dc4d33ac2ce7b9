"""A result of ours → the file that ``vllm bench serve --save-result`` writes: where it is expected, with its keys."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from pytest_vllm_bench import files
from pytest_vllm_bench.cli.flags import pair
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.metric_table import SAMPLED, percentile_label
from pytest_vllm_bench.model import Record, Result
from pytest_vllm_bench.store import folder, records
from pytest_vllm_bench.store.row import to_json, vllm_date

#: What their file says of a run before --metadata is added, and may be replaced by it.
SETUP = ("date", "endpoint_type", "backend", "label", "model_id", "tokenizer_id", "num_prompts")
#: Latencies that have another name there.
THEIRS = {"client_queue_time": "slot_wait", "e2el_including_client_queue": "response_e2el"}


def unknown(text: str) -> list[str]:
    """Names among --percentile-metrics that are no latencies."""
    return [id for id in latencies(text) if THEIRS.get(id, id) not in SAMPLED]


def latencies(text: str) -> list[str]:
    return list(filter(None, map(str.strip, text.split(","))))


def percents(text: str) -> list[float]:
    """ "25,50,99.9" → its numbers."""
    try:
        found = [float(word) for word in text.split(",") if word.strip()]
    except ValueError:
        raise BenchError("cli.single.bad_percentiles", text=text) from None
    if not all(0 <= percent <= 100 for percent in found):
        raise BenchError("cli.single.bad_percentiles", text=text)
    return found


def save(args: argparse.Namespace, began: str) -> Iterator[Path]:
    """Write what was asked for of each result of this run; → the files."""
    if not (args.save_result or args.append_result or args.plot_timeline or args.plot_dataset_stats):
        return
    found = folder.read(args.results) if args.results.is_dir() else []
    for number, result in enumerate(one for one in found if one.session >= began):
        name = named(args, result)
        path = args.results / name if args.result_dir else files.path(name)
        if number and not args.append_result:
            path = path.with_stem(f"{path.stem}-{number + 1}")
        page = args.results / "report.html"
        with folder.writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            if args.save_result or args.append_result:
                _write(path, theirs(args, result), append=bool(args.append_result), secret=bool(args.save_detailed))
                yield path
            if (args.plot_timeline or args.plot_dataset_stats) and page.is_file():
                yield Path(shutil.copyfile(page, path.with_suffix(".timeline.html" if args.plot_timeline else ".html")))


def named(args: argparse.Namespace, result: Result) -> str:
    """The file's name: as asked, or as theirs."""
    if args.result_filename:
        return str(args.result_filename)
    rate = f"{args.request_rate if args.request_rate is not None else float('inf')}qps"
    if args.ramp_up_strategy:
        rate = f"ramp-up-{args.ramp_up_strategy}-{args.ramp_up_start_rps:g}qps-{args.ramp_up_end_rps:g}qps"
    cap = f"-concurrency{args.max_concurrency}" if args.max_concurrency else ""
    model = str(args.model or result.model).split("/")[-1]
    kind = args.label or args.backend or result.scenario.backend
    return f"{kind}-{rate}{cap}-{model}-{vllm_date(result.date)}.json"


def _write(path: Path, found: Mapping[str, Any], *, append: bool, secret: bool) -> None:
    """One object a line where it is appended, as there; with answers in it, it is its owner's alone."""
    with (files.private if secret else open)(path, "ab" if append else "wb") as file:
        if append and file.tell():
            file.write(b"\n")
        file.write(json.dumps(found).encode())


def theirs(args: argparse.Namespace, result: Result) -> dict[str, Any]:
    """Our result, which has their keys, with what they add: the label, metadata, the percentiles asked for, arrays."""
    row = to_json(result)
    setup = {key: row.get(key) for key in SETUP} | {"label": args.label}
    added = dict(pair(text, "metadata") for text in args.metadata or ())
    rest = {key: value for key, value in row.items() if key not in SETUP}
    made = {**setup, **added, **rest}
    if args.ramp_up_strategy:
        made |= {f"ramp_up_{key}": getattr(args, f"ramp_up_{key}") for key in ("strategy", "start_rps", "end_rps")}
    for id in latencies(args.percentile_metrics or ""):
        for statistic in ("mean", "median", "std", *map(percentile_label, percents(args.metric_percentiles or "99"))):
            ours = {"p0": "min", "p100": "max"}.get(statistic, statistic)
            if (value := row.get(f"{ours}_{THEIRS.get(id, id)}_ms")) is not None:
                made[f"{statistic}_{id}_ms"] = value
    return made | (arrays(folder.records_of(result)) if args.save_detailed else {})


def arrays(path: Path | None) -> dict[str, list[Any]]:
    """What --save-detailed adds, an entry a request in the order of sending; a failed one has no times, as there."""
    found = sorted(records.read(path), key=lambda r: (r.sent is None, r.sent, r.index)) if path else []
    return {
        "input_lens": [r.prompt_tokens if r.prompt_tokens is not None else r.asked_input or 0 for r in found],
        "output_lens": [0 if r.error else r.output_tokens or 0 for r in found],
        "start_times": [r.sent for r in found],
        "latencies": [0.0 if r.error or r.sent is None or r.done is None else r.done - r.sent for r in found],
        "queue_times": [max(0.0, r.sent - r.due) if r.sent is not None and r.due is not None else 0.0 for r in found],
        "ttfts": [_gaps(r)[0] for r in found],
        "itls": [_gaps(r)[1:] for r in found],
        "generated_texts": [r.text or "" for r in found],
        "errors": [": ".join(filter(None, (r.error, r.error_detail))) for r in found],
    }


def _gaps(record: Record) -> list[float]:
    """From the sending to the first token, then from read to read."""
    if record.error or record.sent is None or record.first_token is None:
        return [0.0]
    return [after - before for before, after in pairwise([record.sent, *record.arrival_times])]
