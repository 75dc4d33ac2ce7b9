"""Rows and bodies → ``bodies.bin`` and ``index.bin``, streaming, with a digest that leaves the text out."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from pytest_vllm_bench.files import private, private_folder, to_disk
from pytest_vllm_bench.model import INDEX_ROW

_DIGESTED = struct.Struct("<IHHddiiif")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRow:
    """One request as the index holds it, less where its body lies and when it is due."""

    turn: int = 0
    model: int = 0
    think: float = 0.0
    input_len: int | None = None
    output_len: int | None = None
    shared_len: int = 0
    audio_s: float = math.nan


class PlanWriter:
    """Writes a plan's two binary files as it is told of chains, in the order of their due times."""

    def __init__(self, folder: Path, *, digest: str) -> None:
        self.n = 0
        self.chains = 0
        self._folder = folder
        self._digest = hashlib.blake2b(digest.encode(), digest_size=16)
        self._pack = struct.Struct(INDEX_ROW).pack
        self._offset = 0
        self._bodies: BinaryIO
        self._index: BinaryIO

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def __enter__(self) -> PlanWriter:
        private_folder(self._folder)
        self._bodies = private(self._folder / "bodies.bin", buffering=1 << 20)
        self._index = private(self._folder / "index.bin", buffering=1 << 20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        to_disk(self._index)  # without it no tape can be read, whatever ends the session
        self._bodies.close()
        self._index.close()

    def add(self, chain: int, due: float, turns: Iterable[tuple[IndexRow, bytes]]) -> None:
        """One chain: a request, or the turns of a conversation; only the first turn has a due time."""
        for row, body in turns:
            fields = (
                chain,
                row.turn,
                row.model,
                # To a microsecond: the last bit of a logarithm is not the same on every machine.
                round(due, 6) if row.turn == 0 else math.nan,
                row.think,
                -1 if row.input_len is None else row.input_len,
                -1 if row.output_len is None else row.output_len,
                row.shared_len,
                row.audio_s,
            )
            self._index.write(self._pack(self._offset, len(body), *fields))
            self._bodies.write(body)
            self._digest.update(_DIGESTED.pack(*fields))
            self._offset += len(body)
            self.n += 1
        self.chains += 1
