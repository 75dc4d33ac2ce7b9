"""A plan → one machine's part of it, as it travels, and the rows of such a part."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from pytest_vllm_bench.model import Plan
from pytest_vllm_bench.plan import index

#: Bytes that travel at once.
PIECE = 1 << 20


def cut(plan: Plan, machine: int, machines: int) -> Iterator[tuple[str, bytes]]:
    """Every ``machines``-th chain, beginning with chain ``machine``, as the content of files, piece by piece.

    ``numbers.bin`` holds what each row is called in the whole plan (u32).
    """
    whole = index(plan)
    numbers = np.flatnonzero(whole["chain"] % machines == machine)
    rows = whole[numbers]
    begins, lengths = rows["offset"].tolist(), rows["length"].tolist()
    rows["offset"] = np.cumsum(rows["length"], dtype=np.uint64) - rows["length"]
    whole_files = {"index.bin": rows.tobytes(), "numbers.bin": numbers.astype("<u4").tobytes()}
    if (turns := plan.folder / "turns.json").exists():
        whole_files[turns.name] = turns.read_bytes()
    for name, content in whole_files.items():
        for begin in range(0, len(content), PIECE):
            yield name, content[begin : begin + PIECE]
    bodies, piece = os.open(plan.folder / "bodies.bin", os.O_RDONLY), bytearray()
    try:
        for begin, length in zip(begins, lengths, strict=True):
            piece += os.pread(bodies, length, begin)
            if len(piece) >= PIECE:
                yield "bodies.bin", bytes(piece)
                piece.clear()
    finally:
        os.close(bodies)
    yield "bodies.bin", bytes(piece)


def is_closed(plan: Plan) -> bool:
    """All of it is due at once."""
    due = index(plan)["due"]
    return not np.nanmax(due, initial=0.0)


class ShardRows:
    """The rows of a part of a plan, by their numbers in the whole."""

    def __init__(self, plan: Plan) -> None:
        self._numbers = np.fromfile(plan.folder / "numbers.bin", "<u4")
        self._rows = index(plan)

    def __getitem__(self, number: int) -> Any:
        return self._rows[np.searchsorted(self._numbers, number)]
