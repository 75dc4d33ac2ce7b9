"""The shape of config.yaml, key by key → checked values.

Descriptions for people are texts (``config.key.*``), in both languages; what is required beyond one key's own value
is in ``checks``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from pytest_vllm_bench.config import servers
from pytest_vllm_bench.config import values as v
from pytest_vllm_bench.metric_table import TREND_METRICS
from pytest_vllm_bench.model import MOST_TOKENS, Warmup

_NUMBER = {"type": "number"}
_DURATION = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": r"^\s*([0-9.]+\s*(ms|s|sec|m|min|h)?\s*)+$"},
    ]
}
_SHARE = {
    "anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": r"^\s*[0-9.]+\s*%\s*$"}]
}
_MULTIPLE = {"type": "string", "pattern": r"^\s*[0-9.]+\s*[xX×]\s*$"}
_INFINITE = {"type": "string", "enum": ["inf", ".inf", "infinity"]}
_RATE = {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, _INFINITE]}
_COUNT = {"type": "integer", "minimum": 1}
_NULL = {"type": "null"}


def _field(check: Any, schema: Mapping[str, Any]) -> tuple[PlainValidator, WithJsonSchema]:
    return PlainValidator(check), WithJsonSchema(dict(schema))


def _words(*words: str) -> tuple[PlainValidator, WithJsonSchema]:
    return _field(v.one_of(*words), {"type": "string", "enum": list(words)})


def _listed(value: Any) -> Any:
    """One of something stands for a list of one."""
    return value if isinstance(value, list) else [value]


def _pairs(value: Any) -> Any:
    """``[256, 256]`` where ``[[256, 256]]`` is meant is the usual slip; it is named, not guessed."""
    if isinstance(value, list) and len(value) == 2 and not any(isinstance(item, list) for item in value):
        raise v.wrong("pairs_not_nested", instead=v.show([value]))
    if isinstance(value, list) and not value:
        raise v.wrong("empty_list")
    return value


def _reachable(pair: tuple[int | None, int | str | None]) -> tuple[int | None, int | str | None]:
    """Fewer requests than the concurrency never reach it."""
    concurrency, prompts = pair
    if concurrency is None and isinstance(prompts, str):
        raise v.wrong("multiple_of_nothing", multiple=prompts)
    if concurrency is not None and isinstance(prompts, str) and concurrency * float(prompts[:-1]) > v.MOST_PROMPTS:
        raise v.too_much(prompts, v.MOST_PROMPTS, "prompts")
    if concurrency is not None and isinstance(prompts, int) and prompts < concurrency:
        instead = f"[{concurrency}, {concurrency * 10}]"
        raise v.wrong("prompts_below_concurrency", prompts=prompts, concurrency=concurrency, instead=instead)
    return pair


def _not_empty(value: Any) -> Any:
    if isinstance(value, list) and not value:
        raise v.wrong("empty_list")
    return value


def _few(value: Any) -> Any:
    """A list that is gone through for every scenario, and a mapping of such."""
    if isinstance(value, list | dict) and len(value) > 1000:
        raise v.wrong("too_many", got=len(value), most=1000)
    return value


def _json(value: Any) -> Any:
    """What a request's body can carry: JSON has no infinity, and no number beyond 64 bits that all servers read."""
    if isinstance(value, float) and not math.isfinite(value):
        raise v.wrong("want_finite", got=v.show(value))
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _json(inner)
    return value


def _endpoint(value: Any) -> str:
    path = v.text(value)
    if "://" in path or not path.startswith("/"):
        raise v.wrong("endpoint_path", got=v.show(value), instead="/" + path.split("://")[-1].partition("/")[2])
    return path


def _label(value: Any) -> str:
    label = v.text(value)
    if not all(c.isalnum() or c in "_.-" for c in label) or len(label) > v.MOST_LETTERS:
        raise v.wrong("label", got=v.show(value), most=v.MOST_LETTERS)
    return label


def _models(value: Any) -> tuple[str, ...]:
    return tuple(v.text(item) for item in (_few(_not_empty(value)) if isinstance(value, list) else [value]))


def _headers(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise v.wrong("want_mapping", got=type(value).__name__)
    for name, content in value.items():
        if not name or any(c in '()<>@,;:\\"/[]?={} \t\r\n' or ord(c) > 126 for c in name):
            raise v.wrong("header_name", got=v.show(name))
        if not isinstance(content, str) or any((ord(c) < 32 and c != "\t") or ord(c) == 127 for c in content):
            raise v.wrong("header_value", name=name)  # nor a number: 010 would be sent as 10
    return {name: content.strip() for name, content in value.items()}


def _dataset(value: Any) -> dict[str, Any]:
    """A name, or a mapping with one; the options are the dataset's to check."""
    if isinstance(value, str):
        return {"name": v.text(value)}
    if not isinstance(value, dict):
        raise v.wrong("want_dataset", got=v.show(value))
    if not isinstance(value.get("name"), str):
        raise v.wrong("dataset_name")
    if "label" in value:
        _label(value["label"])
    return value


def _model_choice(value: Any) -> str | tuple[float, ...]:
    if isinstance(value, list):
        return tuple(v.number(above=0)(item) for item in value)
    return v.one_of("round_robin", "random")(value)


def _reset(value: Any) -> str:
    return value if value in ("auto", "none") else _endpoint(value)


Page = Annotated[str, *_field(v.page, {"type": "string", "pattern": "^https?://"})]
Text = Annotated[str, *_field(v.text, {"type": "string", "minLength": 1})]
Boolean = Annotated[bool, *_field(v.boolean, {"type": "boolean"})]
Count = Annotated[int, *_field(v.whole(1), _COUNT)]
Number = Annotated[float, *_field(v.number(), _NUMBER)]
Length = Annotated[int | None, *_field(v.optional(v.whole(1, MOST_TOKENS, "tokens")), {"anyOf": [_COUNT, _NULL]})]
Slots = Annotated[int, *_field(v.whole(1, v.MOST_SLOTS * v.MOST_MACHINES, "slots"), _COUNT)]
Repeated = Annotated[int, *_field(v.whole(1, v.MOST_REPEATS, "repeats"), _COUNT)]
Starts = Annotated[int, *_field(v.whole(0, v.MOST_REPEATS, "repeats"), {"type": "integer", "minimum": 0})]
Runs = Annotated[int, *_field(v.whole(1, v.MOST_RUNS, "runs"), _COUNT)]
Positive = Annotated[float, *_field(v.number(above=0), {"type": "number", "exclusiveMinimum": 0})]
Rate = Annotated[float, *_field(v.number(above=0, least=v.LEAST_RATE, most=v.MOST_RATE, infinite=True), _RATE)]
Finite = Annotated[float, *_field(v.number(above=0, least=v.LEAST_RATE, most=v.MOST_RATE), dict(_RATE["anyOf"][0]))]
Body = Annotated[dict[str, Any], BeforeValidator(_json)]
Duration = Annotated[float, *_field(v.lasting, _DURATION)]
Share = Annotated[float, *_field(v.share, _SHARE)]
Label = Annotated[str, *_field(_label, {"type": "string", "pattern": r"^[\w.-]+$"})]
Tolerance = Annotated[str | float, *_field(v.tolerance, {"anyOf": [_NUMBER, {"type": "string", "pattern": "%"}]})]


class Strict(BaseModel):
    """No key that we do not know, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TlsFile(Strict):
    verify: Boolean = True
    ca: Text | None = None


class TargetFile(Strict):
    base_url: Text
    api_key_env: Text | None = None
    headers: Annotated[dict[str, str], *_field(_headers, {"type": "object"})] = {}
    tls: TlsFile = TlsFile()
    metrics_url: Page | None = None
    profile_urls: Annotated[list[Page], BeforeValidator(_few), BeforeValidator(_listed)] = []

    @model_validator(mode="before")
    @classmethod
    def _url_alone(cls, value: Any) -> Any:
        return {"base_url": value} if isinstance(value, str) else value


class ReadyFile(Strict):
    path: Annotated[str | None, *_field(_endpoint, {"type": "string", "pattern": "^/"})] = None
    timeout: Duration = 1800.0


class StopFile(Strict):
    grace: Duration = 30.0


class StartupFile(Strict):
    cold: Starts = 0
    warm: Starts = 0


class ServerFile(Strict):
    command: Annotated[
        list[str],
        *_field(
            servers.command, {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": ["string", "number"]}}]}
        ),
    ]
    args: Annotated[Any, *_field(servers.args, {"type": ["object", "array", "string"]})] = {}
    env: Annotated[dict[str, str], *_field(servers.environment, {"type": "object"})] = {}
    ready: ReadyFile = ReadyFile()
    stop: StopFile = StopFile()
    reset: Annotated[str, *_field(_reset, {"type": "string"})] = "auto"
    free_memory: Share = 0.1
    restarts: Repeated | None = None
    startup: StartupFile = StartupFile()

    @model_validator(mode="before")
    @classmethod
    def _command_alone(cls, value: Any) -> Any:
        return {"command": value} if isinstance(value, str) else value


class RampUpFile(Strict):
    over: Annotated[
        float | None, *_field(v.or_word("requests", v.lasting), {"anyOf": [{"const": "requests"}, _DURATION]})
    ]
    start: Annotated[float, *_field(v.number(least=0, most=v.MOST_RATE), {"type": "number", "minimum": 0})] = 0.0
    shape: Annotated[Literal["linear", "exponential"], *_words("linear", "exponential")] = "linear"


class StageFile(Strict):
    rate: Finite | None = None
    concurrency: Slots | None = None
    for_: Duration | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_of_each(cls, value: Any) -> Any:
        if isinstance(value, dict):
            if ("rate" in value) == ("concurrency" in value):
                raise v.wrong("stage_load")
            if "for" not in value:
                raise v.wrong("stage_for")
            return {("for_" if key == "for" else key): item for key, item in value.items()}
        return value


class TimeoutsFile(Strict):
    connect: Duration = 10.0
    first_token: Duration = 300.0
    between_tokens: Duration = 60.0
    total: Duration = 3600.0


class GoodputFile(Strict):
    ttft: Positive | None = None
    ttfo: Positive | None = None
    tpot: Positive | None = None
    e2el: Positive | None = None
    max_gap: Positive | None = None


class JudgeFile(Strict):
    mode: Annotated[Literal["evidence", "exact"], *_words("evidence", "exact")] = "evidence"
    confidence: Annotated[float, *_field(v.confidence, {"type": "number", "minimum": 0.5, "exclusiveMaximum": 1})] = (
        0.95
    )
    inconclusive: Annotated[Literal["lean", "fail", "pass", "skip"], *_words("lean", "fail", "pass", "skip")] = "lean"


class ValidityFile(Strict):
    lag_ms: Annotated[
        float | None,
        *_field(v.or_word("auto", v.number(above=0)), {"anyOf": [{"const": "auto"}, {"type": "number"}]}),
    ] = None
    rate: Share = 0.98
    concurrency: Share = 0.95
    cpu: Share = 0.9
    steal: Share = 0.05
    reconnected: Share = 0.05
    length: Share = 0.01
    cache: Share = 0.02
    skew: Duration = 0.005
    throttle: Share | None = None


class RepeatsFile(Strict):
    min: Repeated = 1
    max: Repeated | None = None
    until: Annotated[
        float | Literal["decided"] | None,
        *_field(v.or_word("decided", v.share, "decided"), {"anyOf": [{"const": "decided"}, *_SHARE["anyOf"]]}),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _number_alone(cls, value: Any) -> Any:
        return {"min": value} if not isinstance(value, dict) else value


class TierFile(Strict):
    at_least: Positive | None = None
    sla: Annotated[list[Text], BeforeValidator(_few), BeforeValidator(_listed)] = []
    goodput: GoodputFile = GoodputFile()


class SearchFile(Strict):
    over: Annotated[Literal["concurrency", "request_rate"], *_words("concurrency", "request_rate")]
    at_least: Positive | None = None
    max: Finite
    runs: Runs = 12
    time: Duration = 1200.0
    tiers: dict[Label, TierFile] = {}


class ObserveFile(Strict):
    interval: Annotated[float, *_field(v.interval, _DURATION)] = 1.0
    urls: Annotated[list[Page], BeforeValidator(_few), BeforeValidator(_listed)] = []
    accelerators: Annotated[
        str, *_field(v.accelerators, {"anyOf": [{"enum": list(v.ACCELERATORS)}, {"pattern": "^https?://"}]})
    ] = "auto"


class ProfileFile(Strict):
    scenarios: Text = "*"
    requests: Count = 32
    steps: Count = 20
    flush: Duration = 1200.0
    folder: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _which_alone(cls, value: Any) -> Any:
        return {"scenarios": "*" if value is True else value} if isinstance(value, str) or value is True else value


class MachinesFile(Strict):
    hosts: Annotated[
        list[Annotated[tuple[str, int], *_field(v.host_port, {"type": "string", "pattern": r":\d+$"})]],
        BeforeValidator(_few),
        BeforeValidator(_not_empty),
        BeforeValidator(_listed),
    ] = []
    token_env: Text | None = None
    tls: TlsFile | None = None
    plain_text: Boolean = False
    ray: Text | None = None
    nodes: Count | None = None
    per_node: Annotated[int | None, *_field(v.or_word("auto", v.whole(1)), {"anyOf": [{"const": "auto"}, _COUNT]})] = (
        None
    )
    beside_server: Boolean = False


class DeploymentFile(Strict):
    accelerators: Count | None = None
    price_per_hour: Positive | None = None


class FrontierFile(Strict):
    at: Text | None = None
    metric: Text = "output_throughput_per_accelerator"
    at_least: Positive


class BaselineFile(Strict):
    tolerance: dict[str, Tolerance] = {}
    noise: dict[str, Share] = {}
    keep: Runs = 5
    again: Repeated = 4
    absent: Annotated[Literal["pass", "fail"], *_words("pass", "fail")] = "pass"
    target: Label | None = None
    other_environment: Annotated[Literal["warn", "refuse"], *_words("warn", "refuse")] = "warn"


class AcknowledgementFile(Strict):
    metric: Text
    after: Annotated[str, *_field(v.moment, {"type": ["string", "integer"]})]
    why: Text


class TrendFile(Strict):
    metrics: Annotated[list[Text], BeforeValidator(_few), BeforeValidator(_not_empty), BeforeValidator(_listed)] = [
        *TREND_METRICS
    ]
    min_change: Share = 0.02
    p: Annotated[float, *_field(v.chance, {"type": "number", "exclusiveMinimum": 0, "maximum": 0.05})] = 0.001
    window: Annotated[int, *_field(v.whole(24), {"type": "integer", "minimum": 24})] = 50
    fail_on: Count = 14
    acknowledged: Annotated[list[AcknowledgementFile], BeforeValidator(_few)] = []


class CellFile(Strict):
    """What may differ from scenario to scenario: keys of the file, and of ``overrides: set``."""

    burstiness: Rate = 1.0
    ramp_up: RampUpFile | None = None
    warmup: Annotated[
        Warmup,
        *_field(v.warmup, {"anyOf": [{"type": "integer", "minimum": 0}, _MULTIPLE, _DURATION]}),
    ] = Warmup(multiple=1.0)
    seed: Annotated[int, *_field(v.whole(0, 2**63 - 1), {"type": "integer", "minimum": 0})] = 0
    cache: Annotated[Literal["cold", "warm"], *_words("cold", "warm")] = "cold"
    ignore_eos: Annotated[
        bool | None,
        *_field(v.or_word("auto", v.boolean), {"anyOf": [{"const": "auto"}, {"type": "boolean"}]}),
    ] = None
    output_field: Text | None = None
    sampling: Body = {"temperature": 0}
    extra_body: Body = {}
    timeouts: TimeoutsFile = TimeoutsFile()
    keep_alive: Boolean = True
    request_id_prefix: Text | None = None
    workers: Annotated[
        int | None,
        *_field(v.or_word("auto", v.whole(1, v.MOST_WORKERS, "workers")), {"anyOf": [{"const": "auto"}, _COUNT]}),
    ] = None
    worker_cpus: list[Annotated[int, *_field(v.cpu, {"type": "integer", "minimum": 0})]] = []
    goodput: GoodputFile = GoodputFile()
    sla: Annotated[list[Text], BeforeValidator(_few), BeforeValidator(_listed)] = []
    judge: JudgeFile = JudgeFile()
    validity: ValidityFile = ValidityFile()
    token_detail: Annotated[Literal["auto", "on", "off"], *_words("auto", "on", "off")] = "auto"
    percentiles: Annotated[
        list[
            Annotated[
                float,
                *_field(v.percentile, {"type": "number", "minimum": 1, "exclusiveMaximum": 100}),
            ]
        ],
        BeforeValidator(_few),
        BeforeValidator(_not_empty),
    ] = [50, 90, 95, 99]
    keep_text: Boolean = False
    tape: Annotated[Literal["keep", "compress", "drop"], *_words("keep", "compress", "drop")] = "drop"


class OverrideFile(Strict):
    match: Text
    set: dict[str, Any] = {}
    xfail: Text | None = None
    skip: Text | None = None


_InputOutput = tuple[Length, Length]
_Concurrency = Annotated[
    tuple[
        Annotated[
            int | None,
            *_field(v.optional(v.whole(1, v.MOST_SLOTS * v.MOST_MACHINES, "slots")), {"anyOf": [_COUNT, _NULL]}),
        ],
        Annotated[int | str | None, *_field(v.prompts, {"anyOf": [_COUNT, _MULTIPLE, _NULL]})],
    ],
    AfterValidator(_reachable),
]


class File(CellFile):
    """All of config.yaml."""

    model: Annotated[
        tuple[str, ...],
        *_field(_models, {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ] = ()
    model_choice: Annotated[
        str | tuple[float, ...],
        *_field(_model_choice, {"anyOf": [{"enum": ["round_robin", "random"]}, {"type": "array", "items": _NUMBER}]}),
    ] = "round_robin"
    base_url: Text | None = None
    tls: TlsFile = TlsFile()
    metrics_url: Page | None = None
    profile_urls: Annotated[list[Page], BeforeValidator(_few), BeforeValidator(_listed)] = []
    tokenizer: Text | None = None
    backend: Text = "vllm"
    endpoint: Annotated[str | None, *_field(_endpoint, {"type": "string", "pattern": "^/"})] = None
    chat_template: Annotated[Literal["server", "client"], *_words("server", "client")] = "server"
    api_key_env: Text | None = None
    headers: Annotated[dict[str, str], *_field(_headers, {"type": "object"})] = {}
    input_output: Annotated[list[_InputOutput], BeforeValidator(_pairs)] | None = None
    concurrency_prompts: Annotated[list[_Concurrency], BeforeValidator(_pairs)] | None = None
    request_rate: Annotated[list[Rate], BeforeValidator(_not_empty), BeforeValidator(_listed)] = [float("inf")]
    dataset: Annotated[
        list[
            Annotated[
                dict[str, Any],
                *_field(
                    _dataset,
                    {"anyOf": [{"type": "string"}, {"type": "object", "required": ["name"]}]},
                ),
            ]
        ],
        BeforeValidator(_not_empty),
        BeforeValidator(_listed),
    ] = [{"name": "random"}]
    targets: dict[Label, TargetFile] = {}
    server: ServerFile | None = None
    servers: dict[Label, ServerFile] = {}
    stages: Annotated[list[StageFile], BeforeValidator(_few), BeforeValidator(_not_empty)] = []
    duration: Duration | None = None
    repeats: RepeatsFile = RepeatsFile()
    search: SearchFile | None = None
    baseline: BaselineFile = BaselineFile()
    frontier: FrontierFile | None = None
    trend: TrendFile | None = None
    observe: ObserveFile = ObserveFile()
    profile: ProfileFile | None = None
    deployment: DeploymentFile = DeploymentFile()
    machines: MachinesFile | None = None
    results_dir: Text = "results"
    overrides: Annotated[list[OverrideFile], BeforeValidator(_few)] = []
