"""The config's schema, its texts and the flags of ``single`` → what is made of them: ``python docs/reference.py``.

That is tables in docs/*/configuration.md and migration.md, and the schemas.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pytest_vllm_bench.cli.flags import FLAGS, shown
from pytest_vllm_bench.config.problems import model_inside
from pytest_vllm_bench.config.read import UNREAD
from pytest_vllm_bench.config.rules import PRESETS
from pytest_vllm_bench.config.schema import File
from pytest_vllm_bench.plugin import OPTIONS
from pytest_vllm_bench.store import schema as result
from pytest_vllm_bench.text import say

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "docs" / "result.schema.json"
SCHEMA = ROOT / "pytest_vllm_bench" / "config" / "config.schema.json"
PAGES = ("configuration.md", "migration.md")
#: The order of the page; every key of the file stands in exactly one section.
SECTIONS: dict[str, tuple[str, ...]] = {
    "server": (
        "base_url", "targets", "server", "servers", "model", "model_choice", "tokenizer", "backend", "chat_template",
        "endpoint", "api_key_env", "headers", "tls", "metrics_url", "profile_urls",
    ),
    "load": (
        "input_output", "concurrency_prompts", "request_rate", "burstiness", "ramp_up", "stages", "duration", "warmup",
        "keep_alive", "request_id_prefix",
    ),
    "requests": ("dataset", "seed", "cache", "ignore_eos", "output_field", "sampling", "extra_body", "timeouts"),
    "verdict": ("goodput", "sla", "judge", "validity"),
    "measuring": ("workers", "worker_cpus", "machines", "token_detail", "percentiles"),
    "more": ("repeats", "search", "frontier", "baseline", "trend", "observe", "profile", "deployment"),
    "results": ("results_dir", "keep_text", "tape"),
    "overrides": ("overrides",),
}  # fmt: skip


def page(text: str, lang: str) -> str:
    """The page with what stands between its marks made anew."""
    made = {
        "flags": flags(lang),
        "keys": "\n\n".join(section(name, lang) for name in SECTIONS),
        "presets": presets(),
        "options": options(lang),
    }
    wanted = re.findall(r"<!-- (\w+): made by docs/reference.py -->\n", text)
    assert wanted, "the page has no place for anything"
    for name in wanted:
        begin, end = f"<!-- {name}: made by docs/reference.py -->\n", f"<!-- {name}: end -->"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        assert found, f"{name} has no end on the page"
        table_ = made[name]
        text = f"{before}{begin}{table_}\n{end}{after}"
    return text


def flags(lang: str) -> str:
    """Each flag of ``vllm bench serve`` and what it becomes."""
    head = ("`vllm bench serve`", "here") if lang == "en" else ("`vllm bench serve`", "这里")
    return table(head, [(f"`--{name}`", shown(name, lang)) for name in FLAGS])


def section(name: str, lang: str) -> str:
    """One section's heading and table."""
    head = ("Key", "Default", "Meaning") if lang == "en" else ("键", "默认值", "含义")
    rows = [row for key in SECTIONS[name] for row in rows_of(File, key, "", lang)]
    return f"### {say(f'reference.section.{name}', lang)}\n\n{table(head, rows)}"


def rows_of(model: type[BaseModel], key: str, prefix: str, lang: str) -> Iterator[tuple[str, str, str]]:
    """A key's row, and those of the keys inside it."""
    field = model.model_fields[key]
    place = prefix + key.rstrip("_")
    inner = model_inside(field.annotation)
    meaning = say(f"reference.{place}", lang)
    schema_ = model.model_json_schema()["properties"][key]
    usual = "" if inner is not None else default(field.get_default())
    if {"const": "auto"} in schema_.get("anyOf", []):
        usual = "`auto`"
    yield f"`{place}`", usual, meaning + choices(schema_.get("enum", []), meaning)
    if inner is not None and not prefix and key != "servers":  # which has the keys of ``server``
        for name in inner.model_fields:
            yield from rows_of(inner, name, f"{place}.", lang)


def choices(words: Sequence[str], meaning: str) -> str:
    """The words that a key may have, where its text does not name them."""
    unsaid = [word for word in words if f"`{word}`" not in meaning]
    return f" {' / '.join(f'`{word}`' for word in words)}" if unsaid else ""


def default(value: Any) -> str:
    """A default as it would stand in YAML; empty where there is none."""
    if type(value).__name__ == "PydanticUndefinedType" or value is None or value in ((), [], {}, ""):
        return ""
    if is_dataclass(value) and not isinstance(value, type):
        return "`1x`" if asdict(value).get("multiple") == 1 else ""
    if isinstance(value, list) and len(value) == 1:
        return default(value[0])
    if isinstance(value, dict) and set(value) == {"name"}:
        return f"`{value['name']}`"
    if isinstance(value, float):
        return "`inf`" if math.isinf(value) else f"`{value:g}`"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`".replace('"', "")


def presets() -> str:
    rows = [(f"`preset:{name}`", str(ttft), str(tpot)) for name, (ttft, tpot) in PRESETS.items()]
    return table(("sla", "p99 TTFT (ms)", "p99 TPOT (ms)"), rows)


def options(lang: str) -> str:
    """Option, variable and ini key, which say the same."""
    head = ("Option", "Variable", "ini") if lang == "en" else ("命令行选项", "环境变量", "ini 项")
    names = [(name, name.replace("-", "_")) for name in OPTIONS]
    return table(head, [(f"`--vllm-{n}`", f"`PYTEST_VLLM_{u.upper()}`", f"`vllm_{u}`") for n, u in names])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("|" + "|".join(f" {cell} " if cell else " " for cell in line) + "|" for line in lines)


def schema() -> str:
    """The JSON schema for editors, with every key explained."""
    made: dict[str, Any] = File.model_json_schema()
    made["title"] = "config.yaml of pytest-vllm-bench"
    made["patternProperties"] = {f"^{UNREAD}": {}}
    made.pop("description", None)
    explain(made, File, "")
    for name, (model, prefix) in inner_models().items():
        made["$defs"][name].pop("description", None)
        explain(made["$defs"][name], model, prefix)
    shorthands(made)
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}
    text = json.dumps(plain(made), indent=2, ensure_ascii=False, allow_nan=False)
    return text.replace('"for_"', '"for"') + "\n"


def shorthands(made: dict[str, Any]) -> None:
    """What may be written shorter than its full form: one thing for a list of one, a number for ``repeats``."""
    keys = made["properties"]
    for name in ("sla", "request_rate", "dataset"):
        keys[name] = {"anyOf": [keys[name]["items"], {k: v for k, v in keys[name].items() if k != "description"}],
                      "description": keys[name]["description"]}  # fmt: skip
    keys["repeats"] = {
        "anyOf": [{"type": "integer", "minimum": 1}, {"$ref": keys["repeats"]["$ref"]}],
        "description": keys["repeats"]["description"],
    }
    for key in ("targets", "servers"):
        for pattern, server in keys[key]["patternProperties"].items():
            keys[key]["patternProperties"][pattern] = {"anyOf": [{"type": "string"}, server]}
    keys["server"]["anyOf"] = [{"type": "string"}, *keys["server"]["anyOf"]]


def inner_models() -> dict[str, tuple[type[BaseModel], str]]:
    """Name of an inner model → itself, and the path of a key that has it."""
    found: dict[str, tuple[type[BaseModel], str]] = {}
    waiting: list[tuple[type[BaseModel], str]] = [(File, "")]
    for model, prefix in waiting:
        for key, field in model.model_fields.items():
            if (inner := model_inside(field.annotation)) is not None and inner.__name__ not in found:
                found[inner.__name__] = (inner, f"{prefix}{key}.")
                waiting.append(found[inner.__name__])
    return found


def explain(node: dict[str, Any], model: type[BaseModel], prefix: str) -> None:
    """Descriptions from the texts, without Markdown; defaults that follow from keys inside go."""
    for key in model.model_fields:
        entry = node["properties"][key]
        entry.pop("title", None)
        if entry.get("default") in ({}, None) or isinstance(entry.get("default"), dict):
            entry.pop("default", None)
        words = say(f"reference.{prefix}{key.rstrip('_')}", "en")
        entry["description"] = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", words).replace("`", "")


def plain(value: Any) -> Any:
    """Infinity as the config writes it."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return "inf" if isinstance(value, float) and math.isinf(value) else value


def main() -> None:
    for lang, name in itertools.product(("en", "zh"), PAGES):
        path = ROOT / "docs" / lang / name
        path.write_text(page(path.read_text(encoding="utf-8"), lang), encoding="utf-8")
    SCHEMA.write_text(schema(), encoding="utf-8")
    RESULT.write_text(json.dumps(result.schema(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
