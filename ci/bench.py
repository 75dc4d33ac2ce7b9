"""A config → ``pytest bench_cases`` against a server → its results and records."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leg import ROOT


@dataclass(frozen=True, slots=True)
class Cell:
    """One scenario's result file, with its records."""

    row: Mapping[str, Any]
    records: list[dict[str, Any]]

    @property
    def id(self) -> str:
        return str(self.row["scenario_id"])


def bench(config: Mapping[str, Any], url: str | None, code: int = 0, kept: Path | None = None) -> list[Cell]:
    """Run the shipped test against ``url`` (None: the config's own server) with ``config``; the cells in the order of
    their names.  ``kept``: the folder where the results stay.

    Raises RuntimeError if pytest does not end with ``code``.
    """
    with tempfile.TemporaryDirectory() as folder:
        path, results = Path(folder) / "config.yaml", kept or Path(folder) / "results"
        path.write_text(json.dumps(config), "utf-8")  # JSON is YAML
        options = [f"--vllm-config={path}", f"--vllm-results={results}", "--vllm-lang=en"]
        options += [f"--vllm-url={url}"] if url else []
        command = [sys.executable, "-m", "pytest", "bench_cases", "-p", "no:cacheprovider", *options]
        done = subprocess.run(command, cwd=ROOT)
        if done.returncode != code:
            raise RuntimeError(f"pytest bench_cases ended with {done.returncode}")
        return list(_cells(results))


def _cells(results: Path) -> Iterator[Cell]:
    for file in sorted(results.glob("bench_*.json")):
        records = gzip.decompress(file.with_suffix("").with_suffix(".records.jsonl.gz").read_bytes())
        yield Cell(json.loads(file.read_text("utf-8")), [json.loads(line) for line in records.splitlines()])
