"""Plans read back from disk, and files that installed packages carry."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytest_vllm_bench import plan
from pytest_vllm_bench.model import Plan


def packaged(package: str, *inside: str) -> Path:
    """A file that an installed package carries."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], *inside)


class Built:
    """A plan read back: its rows, and its bodies as the server would see them."""

    def __init__(self, made: Plan) -> None:
        self.plan = made
        self.rows = plan.index(made)
        raw = (made.folder / "bodies.bin").read_bytes()
        ends = (self.rows["offset"] + self.rows["length"]).tolist()
        self.raw = [raw[a:b] for a, b in zip(self.rows["offset"].tolist(), ends, strict=True)]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.raw]

    @property
    def prompts(self) -> list[Any]:
        return [body.get("prompt", body.get("messages")) for body in self.bodies]

    @property
    def texts(self) -> list[str]:
        """Each request's text, of chat bodies the joined contents."""
        return [p if isinstance(p, str) else "\n".join(text_of(m["content"]) for m in p) for p in self.prompts]


def text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)
