"""The flags of ``vllm bench serve`` (0.32, its main branch, and those that it once had) → what each becomes here."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.text import say, table


@dataclass(frozen=True, slots=True)
class Flag:
    """``place``: in config.yaml; ``of``: the datasets that it is of (none: any); ``aloud``: it is answered by its note.

    ``default``: what stands there where the flag is not given, for its own datasets.
    """

    place: str = ""
    kind: Callable[[str], Any] | str = str  # a type, or: "on", "off" (it takes nothing), "list"
    of: tuple[str, ...] = ()
    default: Any = None
    note: str = ""  # of a text, cli.single.…
    aloud: bool = False

    def counts(self, dataset: str) -> bool:
        return not self.of or dataset in self.of


def ratio(text: str) -> float | dict[str, float]:
    """One for all lengths, or {"input": 0.3, "output": 0.5}."""
    found = json.loads(text)
    return {str(key): float(value) for key, value in found.items()} if isinstance(found, dict) else float(found)


def json_object(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(text)
    return found


def length(text: str) -> int | None:
    """-1: the data say."""
    return None if int(text) == -1 else int(text)


IN, OUT = "input_output[0][0]", "input_output[0][1]"
MADE = ("random", "random-mm", "random-rerank", "random_mm", "conversation", "generated_shared_prefix")
CUSTOM = ("custom", "custom_image", "custom_mm", "custom_audio", "image", "audio", "video")
HUB = ("hf", "spec_bench", "speed_bench")
LISTED = ("sharegpt", *CUSTOM, *HUB)
TIMED = ("timed_trace", "burstgpt", "azure", "mooncake", "trace")
#: What they call a dataset or a backend that has another name here.
DATASETS = {"random-mm": "random_mm", "random-rerank": "random", "timed_trace": "trace", "custom_image": "image",
            "custom_mm": "image", "custom_audio": "audio", "spec_bench": "hf", "speed_bench": "hf"}  # fmt: skip
BACKENDS = {"infinity-embeddings": "infinity", "infinity-embeddings-clip": "infinity",
            "openai-embeddings-chat": "openai-embeddings", "openai-embeddings-clip": "openai-embeddings",
            "openai-embeddings-vlm2vec": "openai-embeddings"}  # fmt: skip
#: Data sets whose usual split is another than train.
SPLITS = {"openai/openai_humaneval": "test", "openai/gsm8k": "test", "yale-nlp/MMVU": "validation",
          "Lin-Chen/MMStar": "val"}  # fmt: skip

#: What a trace's times are multiplied by → their unit.
UNITS = {1.0: "s", 1e-3: "ms", 1e-6: "us", 1e-9: "ns"}
ROWS = Flag(note="rows", aloud=True)
#: Each flag, in the order of their --help.
FLAGS: dict[str, Flag] = {
    "trust-remote-code": Flag(kind="on", note="trust_remote_code", aloud=True),
    "seed": Flag("seed", int),
    "num-prompts": Flag("concurrency_prompts[0][1]", int, default=1000),
    "dataset-name": Flag("dataset.name", default="random"),
    "no-stream": Flag("dataset.streaming", "off", HUB),
    "dataset-path": Flag("dataset.path"),
    "no-oversample": Flag("dataset.oversample", "off", LISTED, True),
    "skip-chat-template": Flag(kind="on", note="skip_chat_template"),
    "enable-multimodal-chat": Flag(kind="on", note="multimodal_chat", aloud=True),
    "disable-shuffle": Flag("dataset.shuffle", "off", LISTED, True),
    "custom-output-len": Flag(OUT, length, CUSTOM, 256),
    "custom-ensure-client-side-data": Flag(kind="on", note="client_side_data", aloud=True),
    "spec-bench-output-len": Flag(OUT, int, ("spec_bench",), 256),
    "spec-bench-category": Flag("dataset.where.category", of=("spec_bench",)),
    "sharegpt-output-len": Flag(OUT, int, ("sharegpt",)),
    "timed-trace-chunk-hash-size": Flag("dataset.block", int, ("timed_trace",), 16),
    "timed-trace-sec-multiplier": Flag(kind=float, of=("timed_trace",), note="multiplier"),
    "timed-trace-label-timestamp": Flag(note="labels", aloud=True),
    "timed-trace-label-input-length": Flag(note="labels", aloud=True),
    "timed-trace-label-output-length": Flag(note="labels", aloud=True),
    "timed-trace-label-hash-ids": Flag(note="labels", aloud=True),
    "blazedit-min-distance": ROWS,
    "blazedit-max-distance": ROWS,
    "asr-max-audio-len-sec": ROWS,
    "asr-min-audio-len-sec": ROWS,
    "random-input-len": Flag(IN, int, MADE, 1024),
    "random-output-len": Flag(OUT, int, MADE, 128),
    "random-range-ratio": Flag("dataset.range_ratio", ratio, MADE),
    "random-prefix-len": Flag("dataset.prefix_len", int, MADE),
    "random-batch-size": Flag("dataset.batch", int, MADE[:3]),
    "no-reranker": Flag(kind="on", note="no_reranker", aloud=True),
    "random-mm-base-items-per-request": Flag("dataset.images", int, ("random-mm", "random_mm")),
    "random-mm-num-mm-items-range-ratio": Flag(note="as_many_items", aloud=True),
    "random-mm-limit-mm-per-prompt": Flag(note="as_many_items", aloud=True),
    "random-mm-bucket-config": Flag(of=("random-mm", "random_mm"), note="bucket"),
    "hf-subset": Flag("dataset.subset", of=HUB),
    "hf-split": Flag("dataset.split", of=HUB),
    "hf-name": Flag(of=HUB, note="hf_name"),
    "hf-output-len": Flag(OUT, int, ("hf",)),
    "bfcl-categories": ROWS,
    "prefix-repetition-prefix-len": Flag("dataset.prefix_len", int, ("prefix_repetition",), 256),
    "prefix-repetition-suffix-len": Flag(IN, int, ("prefix_repetition",), 256),
    "prefix-repetition-num-prefixes": Flag("dataset.prefixes", int, ("prefix_repetition",), 10),
    "prefix-repetition-output-len": Flag(OUT, int, ("prefix_repetition",), 128),
    "speed-bench-dataset-subset": ROWS,
    "speed-bench-output-len": Flag(OUT, int, ("speed_bench",), 4096),
    "speed-bench-category": Flag("dataset.where.category", of=("speed_bench",)),
    "label": Flag(note="label"),
    "backend": Flag("backend", default="vllm"),
    "base-url": Flag("base_url"),
    "host": Flag(note="host"),
    "port": Flag(kind=int, note="host"),
    "endpoint": Flag("endpoint"),
    "header": Flag("headers", "list"),
    "max-concurrency": Flag("concurrency_prompts[0][0]", int),
    "model": Flag("model"),
    "input-len": Flag(IN, int, (*MADE, "prefix_repetition", "sonnet")),
    "output-len": Flag(OUT, int, (*MADE, *LISTED, "prefix_repetition", "sonnet")),
    "tokenizer": Flag("tokenizer"),
    "tokenizer-mode": Flag(note="tokenizer_mode", aloud=True),
    "use-beam-search": Flag(kind="on", note="beam_search", aloud=True),
    "logprobs": Flag(kind=int, note="logprobs"),
    "request-rate": Flag("request_rate", float),
    "burstiness": Flag("burstiness", float),
    "probe-request-rate": Flag(note="probes", aloud=True),
    "disable-tqdm": Flag(kind="on", note="tqdm", aloud=True),
    "num-warmups": Flag("warmup", int),
    "profile": Flag("profile", "on"),
    "save-result": Flag(kind="on", note="save_result"),
    "save-detailed": Flag("keep_text", "on", note="save_detailed"),
    "append-result": Flag(kind="on", note="append_result"),
    "metadata": Flag(kind="list", note="metadata"),
    "result-dir": Flag("results_dir"),
    "result-filename": Flag(note="result_filename"),
    "ignore-eos": Flag("ignore_eos", "on"),
    "self-timed": Flag("dataset.times", "on", TIMED),
    "no-self-timed": Flag("dataset.times", "off", TIMED),
    "percentile-metrics": Flag(note="percentile_metrics"),
    "metric-percentiles": Flag("percentiles"),
    "goodput": Flag("goodput", "list"),
    "request-id-prefix": Flag("request_id_prefix"),
    "top-p": Flag("sampling.top_p", float),
    "top-k": Flag("sampling.top_k", int),
    "min-p": Flag("sampling.min_p", float),
    "temperature": Flag("sampling.temperature", float),
    "frequency-penalty": Flag("sampling.frequency_penalty", float),
    "presence-penalty": Flag("sampling.presence_penalty", float),
    "repetition-penalty": Flag("sampling.repetition_penalty", float),
    "served-model-name": Flag(note="served_model_name"),
    "lora-modules": Flag(kind="list", note="lora"),
    "lora-assignment": Flag("model_choice"),
    "ramp-up-strategy": Flag("ramp_up.shape"),
    "ramp-up-start-rps": Flag("ramp_up.start", float),
    "ramp-up-end-rps": Flag("request_rate", float),
    "ready-check-timeout-sec": Flag(kind=int, note="ready"),
    "chat-template-kwargs": Flag("extra_body.chat_template_kwargs", json_object),
    "extra-body": Flag("extra_body", json_object),
    "skip-tokenizer-init": Flag(kind="on", note="skip_tokenizer"),
    "insecure": Flag("tls.verify", "off"),
    "plot-timeline": Flag(kind="on", note="plot"),
    "timeline-itl-thresholds": Flag(note="thresholds", aloud=True),
    "plot-dataset-stats": Flag(kind="on", note="plot"),
    # What earlier versions had.
    "endpoint-type": Flag("backend"),
    "dataset": Flag("dataset.path"),
    "sonnet-input-len": Flag(IN, int, ("sonnet",), 550),
    "sonnet-output-len": Flag(OUT, int, ("sonnet",), 150),
    "sonnet-prefix-len": Flag("dataset.prefix_len", int, ("sonnet",), 200),
    "best-of": Flag(note="beam_search", aloud=True),
}


@cache
def own() -> tuple[str, ...]:
    """Keys of config.yaml that stand in no flag of theirs: each is a flag too."""
    from pytest_vllm_bench.config.schema import File

    theirs = {flag.place.partition(".")[0].partition("[")[0] for flag in FLAGS.values()}
    whole = {flag.place for flag in FLAGS.values()}
    split = {key for key in theirs - whole if key not in ("tls", "sampling", "ramp_up", "observe")}
    return tuple(key for key in File.model_fields if key not in whole | split | {"targets", "overrides"})


def dashed(key: str) -> str:
    return key.replace("_", "-")


def names() -> list[str]:
    return [*FLAGS, *map(dashed, own())]


def full_names(argv: Sequence[str]) -> list[str]:
    """Each flag under its full name: underscores, abbreviations of theirs, and ``--extra-body.key value`` as JSON."""
    known, made = names(), list[str]()
    nested: dict[str, dict[str, Any]] = {}
    words = iter(argv)
    for word in words:
        if not word.startswith("--") or word == "--":
            made.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        head, dot, inner = name.partition(".")
        full = expanded(dashed(head), known) or head
        if not dot or full not in ("extra-body", "chat-template-kwargs"):
            made.append(f"--{full}{dot}{inner}{equals}{value}")
            continue
        value = value if equals else next(words, "")
        into = nested.setdefault(full, {})
        *folders, last = inner.split(".")
        for folder in folders:
            into = into.setdefault(folder, {})
        if last.endswith("+"):
            into.setdefault(last[:-1], []).extend(map(_json, value.split(",")))
        else:
            into[last] = _json(value)
    return [*made, *(word for name, value in nested.items() for word in (f"--{name}", json.dumps(value)))]


def expanded(name: str, known: Sequence[str]) -> str | None:
    """The flag that this is, or is the beginning of; None where there is none."""
    if name in known or not name:
        return name or None
    begun = [flag for flag in FLAGS if flag.startswith(name)]
    if len(begun) > 1:
        raise BenchError("cli.single.ambiguous", name=f"--{name}", flags=", ".join(f"--{flag}" for flag in begun))
    return begun[0] if begun else None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def shown(name: str, lang: str, *, meaning: bool = False) -> str:
    """What a flag becomes, in words: its place in config.yaml, what that means, and its note."""
    flag = FLAGS[name]
    place = flag.place + {"on": ": true", "off": ": false"}.get(str(flag.kind), "") if flag.place else ""
    usual = f" ({flag.default:,})" if flag.default not in (None, True) and not isinstance(flag.default, str) else ""
    parts = [f"`{place}`{usual}" if place else "", meant(flag.place, lang) if meaning else ""]
    parts.append(say(f"cli.single.{flag.note}", lang) if flag.note else "")
    return "; ".join(filter(None, parts)) if lang == "en" else "；".join(filter(None, parts))


def meant(place: str, lang: str) -> str:
    """What the reference says of a key of config.yaml."""
    return say(key, lang).rstrip(".。") if (key := f"reference.{place}") in table() else ""


def problem_of(path: str, dataset: str) -> str:
    """The flag behind a place of config.yaml where something is wrong."""
    path = path.replace("dataset[0]", "dataset")
    theirs = [name for name, flag in FLAGS.items() if flag.place and flag.counts(dataset)]
    for here in (path, path.rpartition(".")[0], path.rpartition("[")[0], path.split("[")[0].split(".")[0]):
        found = [name for name in theirs if FLAGS[name].place == here]
        if here and found:
            return f"--{found[0]}"
    return f"--{dashed(path.partition('[')[0])}"


def pair(text: str, flag: str) -> tuple[str, str]:
    """ "KEY=VALUE" → its two parts."""
    key, equals, value = text.partition("=")
    if not equals:
        raise BenchError("cli.single.no_pair", flag=f"--{flag}", text=text)
    return key.strip(), value.strip()
