"""The table of metrics, and the names and rules written with them.

A name is ``[whole_|steady_][statistic_]id[_ms]``: ``p99_ttft_ms``, ``steady_output_throughput``,
``slo_attainment.ttft``.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Literal, get_args

from pytest_vllm_bench import suggest
from pytest_vllm_bench.model import OURS, Backend, ErrorKind, FrontierGate, Message, Rule, Scenario

Better = Literal["lower", "higher", "neither"]
Per = Literal["request", "gap", "token", "run"]
Unit = Literal[
    "ms", "tok/s", "req/s", "1/s", "x", "ratio", "count", "tokens", "s", "J", "J/tok", "J/req", "tok/J", "W", "price"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.  ``per`` request, gap or token: it has statistics; ``needs``: what backend and load must offer."""

    id: str
    unit: Unit
    better: Better
    formula: str
    per: Per = "request"
    needs: frozenset[str] = frozenset()  # a key of ``judge.lacks``: stream, counts (of tokens), open_loop, accelerators


def _rows(*rows: Metric) -> dict[str, Metric]:
    return {row.id: row for row in rows}


def _latency(id: str, formula: str, *needs: str, per: Per = "request") -> Metric:
    return Metric(id=id, unit="ms", better="lower", formula=formula, per=per, needs=frozenset(needs))


def _run(id: str, unit: Unit, better: Better, formula: str, *needs: str) -> Metric:
    return Metric(id=id, unit=unit, better=better, formula=formula, per="run", needs=frozenset(needs))


#: Metrics with statistics (mean, median, std, min, max, percentiles), in the order in which they are shown.
SAMPLED = _rows(
    _latency("ttft", "first_token − sent", "stream", "generates"),
    _latency("tpot", "(last_token − first_token) / (output_tokens − tokens of the first arrival)", "stream", "counts"),
    _latency("itl", "gap between reads that brought tokens", "stream", "generates", per="gap"),
    _latency("e2el", "last_token − sent; without a stream done − sent"),
    _latency("itl_token", "gap ÷ tokens of the later arrival, once per token", "stream", "counts", per="token"),
    _latency("max_gap", "the largest itl of the request", "stream", "generates"),
    _latency("ttfo", "first_output − sent", "stream", "generates"),
    _latency("first_chunk", "first_chunk − sent", "stream", "generates"),
    _latency("response_ttft", "first_token − due", "stream", "generates", "open_loop"),
    _latency("response_ttfo", "first_output − due", "stream", "generates", "open_loop"),
    _latency("response_e2el", "last_token − due; without a stream done − due", "open_loop"),
    _latency("server_queue", "time in the server's queue, by its own word", "generates"),
    _latency("server_prefill", "from being scheduled to the first token, by the server's own word", "generates"),
    _latency("server_decode", "from the first token to the last, by the server's own word", "generates"),
    _latency("outside_first", "ttft − server_queue − server_prefill", "stream", "generates"),
    _latency("outside_stream", "last_token − first_token − server_decode", "stream", "generates"),
    _latency("connect", "time to open the connection, apart from every other figure"),
    _latency("send_lag", "sent − ready"),
    _latency("slot_wait", "ready − due", "open_loop"),
    Metric(id="output_tps_per_user", unit="tok/s", better="higher", formula="1 / tpot",
           needs=frozenset({"stream", "counts"})),
)  # fmt: skip

#: Counts per kind of error: ``failed_timeout``, ``failed_rejected``, ...
ERROR_COUNTS = tuple(kind for kind in get_args(ErrorKind) if kind not in OURS)

#: Metrics of a whole run or window: one figure each.
SCALAR = _rows(
    _run("completed", "count", "higher", "requests answered without an error"),
    _run("failed", "count", "lower", "requests with an error (those that we stopped are not among them)"),
    _run("unsent", "count", "neither", "requests cancelled or never sent because the run was stopped"),
    _run("failed_ratio", "ratio", "lower", "failed ÷ requests of the sample"),
    *(_run(f"failed_{kind}", "count", "lower", f"requests with the error '{kind}'") for kind in ERROR_COUNTS),
    _run("reconnected", "count", "lower", "requests sent again, as their open connection was dead at once"),
    _run("duration", "s", "neither", "first sent to last done"),
    _run("total_input_tokens", "tokens", "neither", "prompt tokens of completed requests"),
    _run("total_output_tokens", "tokens", "neither", "output tokens of completed requests", "counts"),
    _run("request_throughput", "req/s", "higher", "completed ÷ duration"),
    _run("input_throughput", "tok/s", "higher", "prompt tokens ÷ duration, counted at first_token"),
    _run("output_throughput", "tok/s", "higher", "output tokens ÷ duration", "counts"),
    _run("total_token_throughput", "tok/s", "higher", "(prompt + output tokens) ÷ duration"),
    _run("input_sequence_throughput", "1/s", "higher", "input sequences of completed requests ÷ duration", "pooling"),
    _run("request_goodput", "req/s", "higher", "requests that met every SLO ÷ duration", "goodput"),
    _run("good_output_throughput", "tok/s", "higher", "output tokens of good requests ÷ duration", "goodput", "counts"),
    _run("goodput_ratio", "ratio", "higher", "good requests ÷ requests of the sample", "goodput"),
    _run("output_throughput_per_accelerator", "tok/s", "higher", "output_throughput ÷ accelerators", "deployment",
         "counts"),
    _run("cost_per_million_output_tokens", "price", "lower", "price_per_hour ÷ 3600 ÷ output_throughput × 10⁶", "price",
         "counts"),
    _run("max_output_tokens_per_s", "tok/s", "higher", "most output tokens in a sliding second", "counts"),
    _run("max_concurrent_requests", "count", "neither", "most requests in [sent, done) at once"),
    _run("mean_concurrency", "count", "neither", "∫ requests in [sent, done) dt ÷ duration"),
    _run("cap_bound", "ratio", "lower", "share of requests that waited for a slot", "open_loop"),
    _run("rtfx", "x", "higher", "audio seconds ÷ duration", "audio"),
    _run("energy_j", "J", "lower", "∫ power of all accelerators dt, or what their counters rose by", "accelerators"),
    _run("joules_per_output_token", "J/tok", "lower", "energy_j ÷ output tokens", "accelerators", "counts"),
    _run("joules_per_request", "J/req", "lower", "energy_j ÷ completed", "accelerators"),
    _run("tokens_per_joule", "tok/J", "higher", "output tokens ÷ energy_j", "accelerators", "counts"),
    _run("power_mean_w", "W", "lower", "energy_j ÷ duration", "accelerators"),
    _run("power_max_w", "W", "lower", "the highest sum of all accelerators' power", "accelerators"),
)  # fmt: skip

ROWS: Mapping[str, Metric] = SAMPLED | SCALAR
#: What ``goodput:`` may limit, and what ``slo_attainment.x`` may be asked of.
SLO_IDS = ("ttft", "ttfo", "tpot", "e2el", "max_gap")
#: Read from ``due`` instead of ``sent`` where requests come at a finite rate.
FROM_DUE: Mapping[str, str] = {"ttft": "response_ttft", "ttfo": "response_ttfo", "e2el": "response_e2el"}
#: The throughputs, whose evidence is blocks of equal time.
THROUGHPUTS = tuple(row.id for row in SCALAR.values() if row.unit in ("tok/s", "req/s", "1/s", "x")
                    and row.id != "max_output_tokens_per_s")  # fmt: skip
#: What a rule that says how much may fail is called; without one ``failed == 0`` is implied.
FAILURE_METRICS = frozenset({"failed", "failed_ratio", "goodput_ratio"})
GOODPUT_METRICS = frozenset({"goodput_ratio", "request_goodput", "good_output_throughput"})
STATISTICS = ("mean", "median", "std", "min", "max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A metric's name, taken apart.  ``percent`` is exact (99.9); ``slo``: the x of ``slo_attainment.x``."""

    text: str  # without the window's prefix
    window: Literal["auto", "whole", "steady"]
    row: Metric
    statistic: str = ""  # mean, median, std, min, max, p, or "" for a run's one figure
    percent: Decimal | None = None
    slo: str = ""
    service: bool = False  # service_ttft: from sent, whatever the load

    @property
    def averages(self) -> bool:
        """Judged by an interval around a mean: means and throughputs."""
        return self.statistic == "mean" or self.row.id in THROUGHPUTS


_ATTAINMENT = _run("slo_attainment", "ratio", "higher", "requests that met the SLO ÷ requests of the sample", "goodput")
_SERVER = _run("server", "count", "neither", "a figure of the server's own, over the measured span")


def _startup(name: str, unit: Unit, better: Better, formula: str, *needs: str) -> tuple[str, Metric]:
    found = {"started", *needs}
    return f"startup.{name}", replace(_SERVER, unit=unit, better=better, formula=formula, needs=frozenset(found))


#: Figures of its start, of a server that the test started.
STARTUP = dict(
    (
        _startup("ready_s", "s", "lower", "from the command to the first answer of its readiness page"),
        _startup("first_token_s", "s", "lower", "from the command to the first request that was answered"),
        _startup("weights_s", "s", "lower", "loading of the weights, as its log says; the slowest worker"),
        _startup("compile_s", "s", "lower", "compilation, as its log says"),
        _startup("graphs_s", "s", "lower", "capture of graphs, as its log says"),
        _startup("engine_s", "s", "lower", "initialization of the engine, as its log says"),
        _startup("kv_gib", "count", "higher", "memory for the KV cache, as its log says; the smallest worker's"),
        _startup("kv_tokens", "tokens", "higher", "tokens that the KV cache holds, as its log says"),
        _startup("max_concurrency", "x", "higher", "requests of the longest kind that the KV cache holds"),
        _startup("wake_s", "s", "lower", "from /wake_up, after /sleep?level=1, to being awake", "start_alone"),
    )
)
#: What a twin has learnt of an engine, in seconds; a history alone has these, from ``calibrate --history``.
TWIN = {
    f"twin.{name}": replace(_SERVER, unit="s", better="lower", formula=formula, needs=frozenset({"history"}))
    for name, formula in {
        "step_s": "a step, whatever is in it",
        "decode_s": "each sequence that decodes in it",
        "context_s": "each token of their context",
        "prefill_s": "each prompt token that is prefilled",
        "front_s": "from the client into the engine",
    }.items()
}
_SERVER_SHARE = re.compile(r"server\.(\w+_rate|(kv_usage|hit_rate)_\w+)")
_STATISTIC = re.compile(r"(mean|median|std|min|max|p(\d{1,2}(?:\.\d+)?|100))_(.+)")
_RULE = re.compile(r"\s*([A-Za-z_][\w.:]*)\s*(<=|>=|==|!=|<|>)\s*(\S+)\s*")
_TIMED = {"ttft": "first_token", "ttfo": "total", "e2el": "total", "first_chunk": "first_token", "connect": "connect",
          **dict.fromkeys(("max_gap", "itl", "itl_token"), "between_tokens")}  # fmt: skip
#: Whose history is looked at where nobody says.
TREND_METRICS = ("output_throughput", "mean_ttft_ms", "p99_ttft_ms", "mean_tpot_ms", "mean_e2el_ms")
COMPARE = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt,
           "==": operator.eq, "!=": operator.ne}  # fmt: skip


def as_ours(key: str) -> str:
    """A figure's key as vLLM (whose ``request_goodput:`` had a colon) and SGLang write it → ours."""
    key = key.removesuffix(":").replace("_e2e_latency_ms", "_e2el_ms")
    return "total_token_throughput" if key == "total_throughput" else key


def parse_name(text: str) -> Name | None:
    """Take a metric's name apart; None if there is no such metric."""
    window: Literal["auto", "whole", "steady"] = "auto"
    if text.startswith("whole_"):
        window, text = "whole", text[6:]
    elif text.startswith("steady_"):
        window, text = "steady", text[7:]
    if text in SCALAR:
        return Name(text=text, window=window, row=SCALAR[text])
    prefix, dot, rest = text.partition(".")
    if dot and prefix == "slo_attainment" and rest in SLO_IDS:
        return Name(text=text, window=window, row=_ATTAINMENT, slo=rest)
    if row := STARTUP.get(text) or TWIN.get(text):
        return Name(text=text, window=window, row=row)
    if dot and prefix == "server" and rest:
        return Name(text=text, window=window, row=_SERVER)
    return _sampled_name(text, window)


def _sampled_name(text: str, window: Literal["auto", "whole", "steady"]) -> Name | None:
    found = _STATISTIC.fullmatch(text)
    if not found:
        return None
    statistic, percent, id = found[1], found[2], found[3]
    service = id.startswith("service_")
    id = id.removeprefix("service_")
    row = SAMPLED.get(id.removesuffix("_ms"))
    if row is None or (row.unit == "ms") != id.endswith("_ms") or (service and row.id not in FROM_DUE):
        return None
    percentile = Decimal(percent) if percent else Decimal(50) if statistic == "median" else None
    if percent and not 0 < Decimal(percent) <= 100:
        return None
    statistic = "p" if percent else statistic
    return Name(text=text, window=window, row=row, statistic=statistic, percent=percentile, service=service)


def sampled_key(statistic: str, id: str) -> str:
    """The key of a sampled metric's figure: ("p99", "ttft") → "p99_ttft_ms"."""
    return f"{statistic}_{id}_ms" if SAMPLED[id].unit == "ms" else f"{statistic}_{id}"


def percentile_label(percent: float | Decimal) -> str:
    """99 → "p99", 99.9 → "p99.9"."""
    return f"p{int(percent)}" if int(percent) == percent else f"p{float(percent)}"


def all_names(percentiles: Iterable[float] = (50, 90, 95, 99)) -> list[str]:
    """Every name there is, without window prefixes and ``server.*``; for completion and "did you mean"."""
    statistics = [*STATISTICS, *(percentile_label(p) for p in percentiles)]
    names = [sampled_key(s, row.id) for row in SAMPLED.values() for s in statistics]
    return [*names, *(f"slo_attainment.{id}" for id in SLO_IDS), *SCALAR, *STARTUP]


def unknown(name: str) -> Message:
    """That there is no such metric, and which may be meant."""
    prefix = next((p for p in ("whole_", "steady_") if name.startswith(p)), "")
    bare = name.removeprefix(prefix)
    if (id := bare.removesuffix("_ms")) in SAMPLED:  # without a statistic
        near = [sampled_key(statistic, id) for statistic in ("p99", "mean", "median")]
    else:
        near = suggest.near(bare, all_names(), most=3)
    hint = suggest.meant(prefix + n for n in near) if near else Message(key="judge.metrics_look_like")
    return Message(key="judge.unknown_metric", values={"metric": name, "hint": hint})


def parse_rule(text: str, line: int | None = None) -> Rule | Message:
    """Read "metric op number"; a Message says what is wrong with it and what to write instead."""
    found = _RULE.fullmatch(str(text))
    if not found:
        return Message(key="judge.not_a_rule", values={"text": str(text)})
    metric, op, number = found.groups()
    try:
        limit = Decimal(number)
    except InvalidOperation:
        limit = Decimal("NaN")
    if not limit.is_finite():
        return Message(key="judge.not_a_number", values={"text": str(text).strip(), "number": number})
    name = parse_name(metric)
    if name is None:
        return unknown(metric)
    rule = Rule(text=f"{metric} {op} {number}", metric=name.text, op=op, limit=limit, window=name.window, line=line)  # type: ignore[arg-type]
    return _hopeless(rule, name) or rule


def frontier_gate(at: str | None, metric: str, at_least: float, config_file: str = "") -> FrontierGate:
    """The gate whose limit is written so; where that is no rule, the problem has been told."""
    rule = parse_rule(at) if at else None
    limit = rule if isinstance(rule, Rule) else None
    return FrontierGate(at=limit, metric=metric, at_least=at_least, config_file=config_file)


def _hopeless(rule: Rule, name: Name) -> Message | None:
    """A rule that holds, or breaks, whatever is measured."""
    if name.row.unit == "ratio" and not 0 <= rule.limit <= 1:
        return Message(key="judge.ratio_limit", values={"rule": rule.text})
    if rule.limit < 0 and name.row.id != "server":
        return Message(key="judge.negative_limit", values={"rule": rule.text})
    return None


def _settled(rule: Rule, name: Name, planned: int | None = None) -> bool | None:
    """Whether the rule holds (or breaks) whatever is measured; None: that depends.  ``planned``: requests at most."""
    share = name.row.unit == "ratio" or (name.row.id == "server" and _SERVER_SHARE.fullmatch(name.text) is not None)
    low, high = 0, 1 if share else math.inf
    counted = name.row.unit == "count" and name.row.id != "server"
    if planned is not None and name.row.id.startswith(("completed", "failed")) and counted:
        high = planned
    if rule.op in ("==", "!="):
        possible = low <= rule.limit <= high and not (counted and name.row.id != "mean_concurrency" and rule.limit % 1)
        return None if possible else rule.op == "!="
    ends = {bool(COMPARE[rule.op](end, rule.limit)) for end in (low, high)}
    return ends.pop() if len(ends) == 1 else None


def _bounds(rule: Rule, planned: int | None = None) -> bool:
    """Whether the rule can be broken by what is worse: only then it says how bad a thing may be."""
    name = parse_name(rule.metric)
    if name is None or name.row.better == "neither":
        return False
    at_most = name.row.better == "lower"
    op = {"==": "<=" if at_most else ">="}.get(rule.op, rule.op)
    if op == "!=":  # not the worst there is
        return rule.limit == at_most and (name.row.unit == "ratio" or not at_most)
    return op in (("<", "<=") if at_most else (">", ">=")) and _settled(replace(rule, op=op), name, planned) is None  # type: ignore[arg-type]


def purposeless(rules: Sequence[Rule], planned: int | None = None) -> Iterator[tuple[Rule, Message]]:
    """Rules that no gate can mean, and what is wrong with them: they hold, or break, whatever the server does, or ask
    for the worse side alone."""
    turned = list(backwards(rules))
    for rule in rules:
        if (name := parse_name(rule.metric)) is None:
            continue
        values = {"rule": rule.text, "instead": _meant(rule, name)}
        if (settled := _settled(rule, name)) is not None:
            yield rule, Message(key="judge.always_holds" if settled else "judge.never_holds", values=values)
        elif planned is not None and (settled := _settled(rule, name, planned)) is not None:
            key = "judge.always_of_planned" if settled else "judge.never_of_planned"
            yield rule, Message(key=key, values={**values, "n": planned})
        elif rule in turned and name.row.id not in THROUGHPUTS:  # a quota can be meant
            yield rule, Message(key="judge.backwards", values=values)


def backwards(rules: Sequence[Rule]) -> Iterator[Rule]:
    """Those that ask for the worse side alone: no rule on the same thing limits its better one, as a range does."""
    bounded = {_thing(rule.metric) for rule in rules if _bounds(rule)}
    for rule in rules:
        if (name := parse_name(rule.metric)) is None or name.row.better == "neither":
            continue
        plausible = name.statistic == ("min" if name.row.better == "lower" else "max")  # no sooner, no more than that
        if not plausible and not _bounds(rule) and _thing(rule.metric) not in bounded:
            yield rule


def _thing(metric: str) -> str:
    """What a rule is about: all counts and shares of failures are about one thing."""
    return "failed" if metric.startswith("failed") else metric


def _meant(rule: Rule, name: Name) -> str:
    """What is likely meant instead: the same limit from the other side, else one of a usual size."""
    op = {"lower": "<=", "higher": ">="}.get(name.row.better, rule.op)
    turned = replace(rule, op=op)  # type: ignore[arg-type]
    if name.row.better != "neither" and rule.limit and _bounds(turned):
        return f"{rule.text.split()[0]} {op} {rule.limit}"
    usual = {"ms": "500", "ratio": "0.01" if op == "<=" else "0.99", "count": "0" if op == "<=" else "100"}
    return f"{rule.text.split()[0]} {op} {usual.get(name.row.unit, '100')}"


def implied_rules(rules: Sequence[Rule], goodput: Mapping[str, float], planned: int | None = None) -> tuple[Rule, ...]:
    """The rules that hold although nobody wrote them; nothing is added to rules that already have them.

    They give way to a rule that limits the same thing, and of which it can be seen that it can break: a share or number
    of failures below all of the ``planned`` requests; of good requests a share or rate, or a share for each SLO.
    """
    metrics = {rule.metric for rule in rules if not rule.implied and _bounds(rule, planned)}
    already = {rule.text for rule in rules}
    implied = []
    if not metrics & FAILURE_METRICS:
        implied.append("failed == 0")
    if goodput and not metrics & GOODPUT_METRICS and not {f"slo_attainment.{id}" for id in goodput} <= metrics:
        implied.append("goodput_ratio >= 0.99")
    made = [parse_rule(text) for text in implied if text not in already]
    return tuple(replace(rule, implied=True) for rule in made if isinstance(rule, Rule))


def planned(scenario: Scenario) -> int | None:
    """The requests that all repeats together send at most; None where no number bounds them."""
    return None if scenario.num_prompts is None else scenario.num_prompts * max(1, scenario.repeats.max)


def effective_rules(scenario: Scenario) -> tuple[Rule, ...]:
    """The scenario's rules and those that are implied."""
    return (*scenario.rules, *implied_rules(scenario.rules, scenario.goodput, planned(scenario)))


def offers(scenario: Scenario, backend: Backend) -> frozenset[str]:
    """What this backend under this load can offer a metric (``Metric.needs``)."""
    found = {"open_loop" if scenario.open_loop else "closed_loop"}
    if backend.generates:
        found |= {"generates", "counts"}
    else:
        found.add("pooling")
    if backend.generates and backend.framing != "json":
        found.add("stream")
    if scenario.goodput:
        found.add("goodput")
    if "audio" in backend.takes_media:
        found.add("audio")
    if scenario.watches_accelerators:
        found |= {"accelerators", "deployment"}
    if scenario.deployment.accelerators:
        found.add("deployment")
    if scenario.deployment.price_per_hour:
        found.add("price")
    if scenario.target.launch:
        found.add("started")
    if scenario.of_start:
        found.add("start_alone")
    return frozenset(found)


def rule_problems(scenario: Scenario, backend: Backend) -> list[tuple[Rule | None, Message]]:
    """What is wrong with a scenario's rules and goodput limits before any load; None = a ``goodput`` limit."""
    written = [rule for rule in scenario.rules if not rule.implied]
    timeless = {rule for rule, _ in purposeless(written)}  # told where they are read
    problems: list[tuple[Rule | None, Message]] = [
        (rule, message) for rule, message in purposeless(written, planned(scenario)) if rule not in timeless
    ]
    offered = offers(scenario, backend)
    for rule in scenario.rules:
        name = parse_name(rule.metric)
        if name is None:
            problems.append((rule, unknown(rule.metric)))
            continue
        lacking = name.row.needs - offered
        if name.slo and name.slo not in scenario.goodput:
            problems.append((rule, Message(key="judge.slo_not_set", values={"rule": rule.text, "slo": name.slo})))
        elif lacking:
            problems.append((rule, _cannot_have(rule.metric, sorted(lacking)[0], backend)))
        elif rule.op in ("<=", "<") and (said := _guarded(name.row.id, float(rule.limit), rule.text, scenario)):
            problems.append((rule, said))
    for id, limit in scenario.goodput.items():
        if id in SAMPLED and (lacking := SAMPLED[id].needs - offered):
            problems.append((None, _cannot_have(f"goodput.{id}", sorted(lacking)[0], backend)))
        elif said := _guarded(id, limit, f"goodput.{id}: {limit:g}", scenario):
            problems.append((None, said))
    return problems


def _cannot_have(metric: str, lacking: str, backend: Backend) -> Message:
    why = Message(key=f"judge.lacks.{lacking}", values={"backend": backend.name})
    return Message(key="judge.cannot_have", values={"metric": metric, "why": why})


def _guarded(id: str, limit_ms: float, text: str, scenario: Scenario) -> Message | None:
    """A limit at or above the timeout that cuts such a request off: the rule could not be broken by a number."""
    guard = _TIMED.get(id.removeprefix("response_"))
    if guard is None or (scenario.open_loop and scenario.concurrency is not None and id in FROM_DUE):
        return None  # from due, a request may wait for its slot for longer than any timeout
    seconds = getattr(scenario.timeouts, guard)
    if limit_ms < seconds * 1000:
        return None
    return Message(key="judge.limit_at_timeout", values={"rule": text, "timeout": guard, "seconds": f"{seconds:g}"})
