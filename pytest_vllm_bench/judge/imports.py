"""Other tools' result JSON → figures under our names, the requests where they are there, and what is lacking.

Each reader knows one tool's keys: vLLM's ``bench serve`` and what descends from it (SGLang, TensorRT-LLM), GuideLLM,
genai-perf with its successor AIPerf, evalscope.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import msgspec

from pytest_vllm_bench.metric_table import SAMPLED, as_ours, parse_name, percentile_label, sampled_key
from pytest_vllm_bench.model import MOST_TOKENS, Message, Record, Sample

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignResult:
    """One result.  ``figures``: metrics by our names; ``records``: empty where only a summary was saved."""

    source: str
    name: str
    figures: Mapping[str, float | int | None]
    records: tuple[Record, ...] = ()
    concurrency: int | None = None
    request_rate: float = math.inf
    model: str = ""
    has_gaps: bool = True  # False: the records' arrivals between first and last token are not known
    has_starts: bool = True  # False: when its requests were sent is not known, only their order
    complete: bool = True  # False: it was cut short
    lacks: tuple[Message, ...] = ()

    def known_part(self, sample: Sample) -> Sample:
        """The sample of these records, without what the tool did not save; a rule on it then has no data."""
        if not self.has_starts:
            nowhere = sample.counted & False
            sample = replace(sample, steady=None, in_steady=nowhere, tallies={}, begin=None, end=None)
        if self.has_gaps:
            return sample
        values = {id: column for id, column in sample.values.items() if id != "max_gap"}
        nothing = {id: (ended[:0], gaps[:0]) for id, (ended, gaps) in sample.gaps.items()}
        return replace(sample, gaps=nothing, values=values, odd={})


def read(data: Any, name: str) -> list[ForeignResult] | Message:
    """Results of a parsed JSON file (GuideLLM keeps several in one); a Message if no reader knows it.

    ValueError where something in it is not what the tool writes.
    """
    try:
        for knows, reader in READERS.values():
            if knows(data):
                return list(reader(data, name))
    except (ArithmeticError, AttributeError, LookupError, TypeError, msgspec.ValidationError) as error:
        raise ValueError(str(error)) from None
    return Message(key="judge.import.unknown")


def _number(value: Any) -> float | None:
    """A finite number or None; true and false are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def _missing(what: str) -> Message:
    return Message(key=f"judge.import.lacks_{what}")


def _summary_only(*more: Message) -> tuple[Message, ...]:
    return (_missing("requests"), _missing("client"), *more)


def _made(figures: Mapping[str, float | int | None]) -> dict[str, float | int | None]:
    """Figures that are there, with the ratio of failures that they imply."""
    found = {key: value for key, value in figures.items() if value is not None}
    completed, failed = found.get("completed"), found.get("failed")
    if completed is not None and failed is not None and completed + failed > 0:
        found["failed_ratio"] = failed / (completed + failed)
    return dict(found)


# ------------------------------------------------------- vllm bench serve, SGLang's and TensorRT-LLM's bench_serving


class Details(msgspec.Struct):
    """What they save of each request, in the order of sending."""

    start_times: list[float] | None = None
    ttfts: list[float] | None = None
    itls: list[list[float]] | None = None
    input_lens: list[int | None] | None = None
    output_lens: list[int | None] | None = None
    errors: list[Any] | None = None


def _is_vllm(data: Any) -> bool:
    throughput = isinstance(data, Mapping) and data.keys() & {"request_throughput", "output_throughput"}
    return bool(throughput) and {"completed", "duration"} <= data.keys()


def _vllm(data: Json, name: str) -> Iterator[ForeignResult]:
    sglang = "mean_e2e_latency_ms" in data
    data = {as_ours(key): value for key, value in data.items()}
    details = msgspec.convert(data, Details, strict=False)
    figures = _vllm_measured({key: _number(value) for key, value in data.items()})
    if "failed" not in data and (planned := _number(data.get("num_prompts"))) is not None:
        figures["failed"] = int(planned) - int(data["completed"])
    elif "failed" not in data and details.errors is not None:
        figures["failed"] = sum(map(bool, details.errors))
    records = tuple(_vllm_records(details))
    rate = _number(data.get("request_rate"))
    cap = _number(data.get("max_concurrency"))
    lacks = [_missing("client")] if records else list(_summary_only())
    if not records:
        lacks.append(_missing("lists" if details.ttfts else "details_sglang" if sglang else "details"))
    elif not details.start_times:
        lacks.append(_missing("starts"))
    if figures.get("failed") is None:
        lacks.append(_missing("failures"))
    if rate is not None:
        lacks.append(_missing("due"))
    yield ForeignResult(
        source="sglang" if sglang else "vllm",
        name=name,
        figures=_made(figures),
        records=records,
        concurrency=None if cap is None else int(cap),
        request_rate=math.inf if rate is None else rate,
        model=str(data.get("model_id") or ""),
        has_starts=not records or bool(details.start_times),
        lacks=tuple(lacks),
    )


def _vllm_measured(numbers: Mapping[str, float | None]) -> dict[str, float | int | None]:
    """Its metrics; a latency whose mean is 0 had no samples (TPOT of answers of one token), and is no figure."""
    names = {key: name for key in numbers if (name := parse_name(key)) is not None}
    nothing = {id for id in SAMPLED if numbers.get(sampled_key("mean", id)) == 0}
    return {key: numbers[key] for key, name in names.items() if name.row.id not in nothing}


def _vllm_records(found: Details) -> Iterator[Record]:
    """Requests of a detailed result; without start times (vLLM before it kept them, SGLang) one after another."""
    ttfts, itls, starts = found.ttfts or [], found.itls or [], found.start_times
    if not len(ttfts) == len(itls) == len(starts or ttfts):
        return
    inputs, outputs, errors = found.input_lens or (), found.output_lens or (), found.errors or ()
    first, sent = min(starts or [0.0]), 0.0
    for i, (ttft, gaps) in enumerate(zip(ttfts, itls, strict=True)):
        words = str(errors[i]) if i < len(errors) and errors[i] else ""
        yield _request(
            i,
            sent=starts[i] - first if starts else sent,
            gaps=[ttft, *gaps],
            failed=words or ("empty" if not ttft else ""),
            tokens=(inputs[i] if i < len(inputs) else None, outputs[i] if i < len(outputs) else None),
        )
        sent += ttft + math.fsum(gaps)


def _request(
    index: int, *, sent: float, gaps: Sequence[float], failed: str, tokens: tuple[int | None, int | None]
) -> Record:
    """A Record from the gaps before each arrival, the first being TTFT; tokens beyond the arrivals go to the last."""
    times = list(accumulate(gaps, initial=sent))[1:]
    if not all(abs(time) <= 1e9 for time in (sent, *times)):  # seconds; NaN is none either
        raise ValueError("a time is not finite")
    if not all(0 <= count <= MOST_TOKENS for count in tokens if count is not None):
        raise ValueError("a number of tokens is no count")
    output = tokens[1] if tokens[1] is not None else len(times)
    record = Record(index=index, chain=index, due=sent, ready=sent, sent=sent, prompt_tokens=tokens[0])
    if failed:
        record.error, record.error_detail, record.done = "protocol", failed[:500], sent + math.fsum(gaps)
        return record
    counts = [1] * len(times)
    if times:
        counts[-1] = max(1, output - len(times) + 1)
        record.first_chunk = record.first_token = record.first_output = times[0]
        record.last_token = record.done = times[-1]
    record.arrival_times, record.arrival_tokens = array("d", times), array("i", counts)
    record.arrival_events = array("i", [1] * len(times))
    record.output_tokens = output
    return record


# --------------------------------------------------------------------------------------------- GuideLLM

_GUIDELLM = {"time_to_first_token_ms": ("ttft", 1.0), "inter_token_latency_ms": ("tpot", 1.0),
             "request_latency": ("e2el", 1000.0)}  # fmt: skip
_GUIDELLM_RATES = {"requests_per_second": "request_throughput", "output_tokens_per_second": "output_throughput",
                   "tokens_per_second": "total_token_throughput"}  # fmt: skip
_GUIDELLM_PERCENTILES = {"p01": 1.0, "p05": 5.0, "p10": 10.0, "p25": 25.0, "p50": 50.0, "p75": 75.0, "p90": 90.0,
                         "p95": 95.0, "p99": 99.0, "p999": 99.9}  # fmt: skip


def _is_guidellm(data: Any) -> bool:
    runs = data.get("benchmarks") if isinstance(data, Mapping) else None
    if not runs or not isinstance(runs, Sequence):
        return False
    return all(isinstance(run, Mapping) and "request_totals" in (run.get("metrics") or ()) for run in runs)


def _guidellm(data: Json, name: str) -> Iterator[ForeignResult]:
    """What it calls inter-token latency is one figure a request, which is our TPOT; its TPOT counts the first token."""
    for i, run in enumerate(data["benchmarks"]):
        metrics = run["metrics"]
        totals = metrics["request_totals"]
        figures: dict[str, float | int | None] = {
            "completed": totals.get("successful"),
            "failed": totals.get("errored"),
            "unsent": totals.get("incomplete"),
            "duration": _number(run.get("duration")),
        }
        for theirs, (ours, scale) in _GUIDELLM.items():
            figures |= _guidellm_latency(ours, _successes(metrics, theirs), scale)
        for theirs, ours in _GUIDELLM_RATES.items():
            figures[ours] = _number(_successes(metrics, theirs).get("mean"))
        records = tuple(_guidellm_records(run.get("requests"), totals))
        lacks = (_missing("client"), _missing("gaps")) if records else _summary_only(_missing("gaps"))
        yield ForeignResult(source="guidellm", name=f"{name}[{i}]" if len(data["benchmarks"]) > 1 else name,
                       figures=_made(figures), records=records, has_gaps=False, lacks=lacks)  # fmt: skip


def _successes(metrics: Json, key: str) -> Json:
    found = (metrics.get(key) or {}).get("successful")
    return found if isinstance(found, Mapping) else {}


def _guidellm_latency(id: str, found: Json, scale: float) -> dict[str, float | int | None]:
    if found.get("count") == 0:
        return {}
    values = {"mean": found.get("mean"), "median": found.get("median"), "std": found.get("std_dev"),
              "min": found.get("min"), "max": found.get("max")}  # fmt: skip
    for label, percent in _GUIDELLM_PERCENTILES.items():
        values[percentile_label(percent)] = (found.get("percentiles") or {}).get(label)
    return {sampled_key(s, id): v * scale for s, value in values.items() if (v := _number(value)) is not None}


def _guidellm_records(requests: Any, totals: Json) -> Iterator[Record]:
    """Requests with start, first token and end; when the tokens in between came is not saved.

    It can keep a few of each kind, which are no sample of the run.
    """
    if not isinstance(requests, Mapping):
        return
    good, bad = requests.get("successful") or (), requests.get("errored") or ()
    if any(len(kept) != (totals.get(kind) or 0) for kept, kind in ((good, "successful"), (bad, "errored"))):
        return
    known = [r for r in (*good, *bad) if _number(r.get("request_start_time")) is not None]
    if len(known) < len(good) + len(bad) or not known:
        return
    first = min(r["request_start_time"] for r in known)
    failed = {id(r) for r in bad}
    for i, request in enumerate(sorted(known, key=lambda r: float(r["request_start_time"]))):
        ends, ttft = _number(request.get("request_end_time")), _number(request.get("time_to_first_token_ms"))
        start = request["request_start_time"]
        whole = (ends if ends is not None else start) - start
        gaps = [ttft / 1000, whole - ttft / 1000] if ttft is not None else [whole]
        tokens = (request.get("prompt_tokens"), request.get("output_tokens"))
        record = _request(i, sent=start - first, gaps=gaps, failed="errored" if id(request) in failed else "",
                          tokens=tokens)  # fmt: skip
        if ttft is None:
            record.first_token = record.first_chunk = record.first_output = None
        yield record


# ----------------------------------------------------------------------------------- genai-perf, AIPerf

_NVIDIA = {"time_to_first_token": "ttft", "inter_token_latency": "tpot", "inter_chunk_latency": "itl",
           "request_latency": "e2el", "output_token_throughput_per_user": "output_tps_per_user"}  # fmt: skip
_NVIDIA_STATISTICS = {"avg": ("mean",), "p50": ("median", "p50")}
_NVIDIA_RATES = {"request_throughput": "request_throughput", "output_token_throughput": "output_throughput",
                 "total_token_throughput": "total_token_throughput", "goodput": "request_goodput",
                 "request_goodput": "request_goodput", "request_count": "completed",
                 "error_request_count": "failed", "total_isl": "total_input_tokens",
                 "total_osl": "total_output_tokens"}  # fmt: skip
_MILLISECONDS = {"ms": 1.0, "s": 1000.0, "sec": 1000.0, "seconds": 1000.0, "us": 0.001, "ns": 1e-6}


def _is_nvidia(data: Any) -> bool:
    if isinstance(data, Mapping) and isinstance(data.get("records"), Mapping):
        data = data["records"]  # where AIPerf's first versions kept them
    latency = data.get("request_latency") if isinstance(data, Mapping) else None
    return isinstance(latency, Mapping) and {"unit", "avg"} <= latency.keys()


def _nvidia(data: Json, name: str) -> Iterator[ForeignResult]:
    """What both call inter-token latency is one figure a request, which is our TPOT; chunks are our ITL."""
    data = {**data, **(data.get("records") or {})}
    figures: dict[str, float | int | None] = {}
    for theirs, ours in _NVIDIA.items():
        found = data.get(theirs)
        if isinstance(found, Mapping):
            figures |= _nvidia_statistics(ours, found)
    for theirs, ours in _NVIDIA_RATES.items():
        found = data.get(theirs)
        if isinstance(found, Mapping) and (value := _number(found.get("avg"))) is not None:
            figures[ours] = value
    duration = data.get("benchmark_duration")
    if isinstance(duration, Mapping) and (value := _number(duration.get("avg"))) is not None:
        figures["duration"] = value * _MILLISECONDS.get(str(duration.get("unit")), 1000.0) / 1000
    aiperf = "aiperf_version" in data or "schema_version" in data
    if aiperf and "completed" in figures:
        figures.setdefault("failed", 0)  # it leaves the count out where nothing failed
    lacks = [] if "failed" in figures else [_missing("failures")]
    if "mean_itl_ms" not in figures:
        lacks.append(_missing("gaps"))
    yield ForeignResult(
        source="aiperf" if aiperf else "genai-perf",
        name=name,
        figures=_made(figures),
        complete=not data.get("was_cancelled"),
        lacks=_summary_only(*lacks),
    )


def _nvidia_statistics(id: str, found: Json) -> dict[str, float | int | None]:
    scale = _MILLISECONDS.get(str(found.get("unit")), 1.0)
    figures: dict[str, float | int | None] = {}
    for theirs, value in found.items():
        if (number := _number(value)) is not None and re.fullmatch(r"avg|min|max|std|p\d+(\.\d+)?", theirs):
            for ours in _NVIDIA_STATISTICS.get(theirs, (theirs,)):
                figures[sampled_key(ours, id)] = number * scale
    return figures


# -------------------------------------------------------------------------------------------- evalscope

#: Words of a key, without its unit and in lower case → our statistic or figure; its releases have renamed them.
_EVALSCOPE = {
    "avg ttft": "mean_ttft_ms", "average time to first token": "mean_ttft_ms",
    "avg tpot": "mean_tpot_ms", "average time per output token": "mean_tpot_ms",
    "avg itl": "mean_itl_ms", "average inter-token latency": "mean_itl_ms",
    "avg latency": "mean_e2el_ms", "average latency": "mean_e2el_ms",
    "req throughput": "request_throughput", "request throughput": "request_throughput",
    "output throughput": "output_throughput", "output token throughput": "output_throughput",
    "total throughput": "total_token_throughput", "total token throughput": "total_token_throughput",
    "input throughput": "input_throughput",
    "success requests": "completed", "succeed requests": "completed", "failed requests": "failed",
    "test duration": "duration", "time taken for tests": "duration",
}  # fmt: skip
_EVALSCOPE_COLUMNS = {"ttft": "ttft", "itl": "itl", "tpot": "tpot", "latency": "e2el"}


def _is_evalscope(data: Any) -> bool:
    return any(_evalscope_parts(data))


def _evalscope_parts(data: Any) -> tuple[Json, Sequence[Json]]:
    """The summary and the table of percentiles: both, as a run's ``metrics`` and ``percentiles``, or one alone."""
    both = isinstance(data, Mapping) and {"metrics", "percentiles"} <= data.keys()
    summary, rows = (data["metrics"], data["percentiles"]) if both else (data, data)
    is_summary = isinstance(summary, Mapping) and sum(_words(key)[0] in _EVALSCOPE for key in summary) >= 3
    is_table = isinstance(rows, Sequence) and all(isinstance(row, Mapping) and "Percentiles" in row for row in rows)
    return summary if is_summary else {}, rows if is_table else ()


def _words(key: str) -> tuple[str, str]:
    """A key's words in lower case, and its unit."""
    words, _, unit = key.strip().removesuffix(")").partition("(")
    return words.rstrip().lower(), unit.lower()


def _evalscope(data: Any, name: str) -> Iterator[ForeignResult]:
    summary, rows = _evalscope_parts(data)
    figures: dict[str, float | int | None] = {}
    concurrency = None
    for key, value in summary.items():
        words, unit = _words(key)
        number = _number(value)
        if words in ("concurrency", "number of concurrency") and number is not None and number > 0:
            concurrency = int(number)
        if words in _EVALSCOPE and number is not None and number >= 0:  # -1 stands for "not measured"
            ours = _EVALSCOPE[words]
            figures[ours] = number * _MILLISECONDS.get(unit, 1.0) if ours.endswith("_ms") else number
    for row in rows:
        figures |= _evalscope_row(row)
    lacks = [] if "failed" in figures else [_missing("failures")]
    yield ForeignResult(source="evalscope", name=name, figures=_made(figures), concurrency=concurrency,
                   lacks=_summary_only(*lacks))  # fmt: skip


def _evalscope_row(row: Json) -> dict[str, float | int | None]:
    label = str(row["Percentiles"])
    statistic = label if label in ("min", "max") else percentile_label(float(label.removesuffix("%")))
    found: dict[str, float | int | None] = {}
    for key, value in row.items():
        words, unit = _words(key)
        if words in _EVALSCOPE_COLUMNS and (number := _number(value)) is not None:
            scaled = number * _MILLISECONDS.get(unit, 1.0)
            found[sampled_key(statistic, _EVALSCOPE_COLUMNS[words])] = scaled
            if statistic == "p50":
                found[sampled_key("median", _EVALSCOPE_COLUMNS[words])] = scaled
    return found


#: Tool → (does it know the file, what it makes of it); the first that knows it reads it.
READERS: Mapping[str, tuple[Callable[[Any], bool], Callable[[Any, str], Iterator[ForeignResult]]]] = {
    "vllm": (_is_vllm, _vllm),
    "guidellm": (_is_guidellm, _guidellm),
    "nvidia": (_is_nvidia, _nvidia),
    "evalscope": (_is_evalscope, _evalscope),
}
