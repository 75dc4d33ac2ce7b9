"""A folder and a language → the first config and test of somebody's own benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pytest_vllm_bench.errors import BenchError

HERE = Path(__file__).parent


#: The load of the first config.
LOAD: Mapping[str, Any] = {"input_output": [[256, 64], [1024, 64]], "concurrency_prompts": [[1, 40], [16, "20x"]]}


def write_starter(
    folder: Path, lang: str = "en", server: Mapping[str, Any] | None = None, load: Mapping[str, Any] = LOAD
) -> tuple[Path, ...]:
    """Write ``config.yaml`` (comments in ``lang``) and ``test_serving.py`` into ``folder``; the files' paths.

    ``server``: the keys that say where it is, or how it is started.  BenchError if one of the files is there already
    (nothing is then written), or the folder cannot be written.
    """
    config = (HERE / f"config.{lang}.yaml").read_text(encoding="utf-8")
    more = {key: value for key, value in load.items() if key not in LOAD}
    parts = {key: json.dumps(load[key]) for key in LOAD}
    parts |= {"server": written(server or {"base_url": "simulator"}), "more": f"{written(more)}\n" if more else ""}
    texts = {
        "config.yaml": config.format(folder=folder.as_posix(), **parts),
        "test_serving.py": (HERE / "test_serving.template").read_text(encoding="utf-8"),
    }
    if there := [name for name in texts if (folder / name).exists()]:
        raise BenchError("config.starter_exists", files=", ".join(str(folder / name) for name in there))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise BenchError("config.starter_unwritable", folder=str(folder), words=error.strerror or str(error)) from error
    return tuple(folder / name for name in texts)


def written(keys: Mapping[str, Any], indent: str = "") -> str:
    """Keys as a person would write them."""
    lines = []
    for key, value in keys.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{key}:", written(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines += [f"{indent}{key}:", *(f"{indent}  - {json.dumps(one)}" for one in value)]
        else:
            plain = yaml.safe_dump(value).split("\n")[0] if isinstance(value, str) else json.dumps(value)
            lines.append(f"{indent}{key}: {plain}")
    return "\n".join(lines)
