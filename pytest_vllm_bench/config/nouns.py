"""What reading a config starts from and what it gives: Overrides and Config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_vllm_bench.config.schema import File
from pytest_vllm_bench.model import Target

if TYPE_CHECKING:
    from pytest_vllm_bench.registry import Registry

#: A value and where it came from, e.g. ("http://localhost:8000", "--vllm-url").
Chosen = tuple[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What options, environment and ini say instead of the file; an empty value is a problem, not an absence."""

    url: Chosen = None
    model: Chosen = None
    tokenizer: Chosen = None
    results: Chosen = None
    profile: Chosen = None


#: Given's names → the file's.
OVERRIDES = {
    "url": "base_url",
    "model": "model",
    "tokenizer": "tokenizer",
    "results": "results_dir",
    "profile": "profile",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A config without problems.  Secrets are in ``targets[].headers`` only.

    ``in_force``: (key, what to show, origin) of what an option, the environment or the ini file may have changed.
    ``base_dir``: the folder that relative paths in the file start from; ``results_dir`` is relative to the rootdir.
    """

    file: Path
    base_dir: Path
    results_dir: Path
    settings: File = field(repr=False)
    targets: tuple[Target, ...]
    registry: Registry = field(repr=False)
    in_force: tuple[tuple[str, str, str], ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict, repr=False)
    written: Mapping[str, Any] = field(default_factory=dict, repr=False)  # the file's own words, secrets hidden

    @property
    def looks(self) -> tuple[int, ...]:
        """After how many repeats it is looked whether all is decided; of several targets where the first is ahead."""
        repeats = self.settings.repeats
        if repeats.until != "decided" or repeats.max is None:
            return ()
        return (*range(repeats.min, repeats.max, 2 if len(self.targets) > 1 else 1), repeats.max)

    @property
    def held_against(self) -> str | None:
        """The target that the others are held against while rounds are taken: ``baseline.target``, else the first
        where rounds end with what they decide."""
        named = self.settings.baseline.target
        return self.targets[0].name if named is None and self.looks and len(self.targets) > 1 else named
