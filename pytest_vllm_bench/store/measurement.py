"""Measurement → ``{name}.measurement.gz`` beside its records and tracks, and back, equal."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any, get_type_hints, overload

import msgspec

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Measurement, Record, read_cell
from pytest_vllm_bench.store import folder, records, tracks

SUFFIX = ".measurement.gz"
#: Raised when a field changes its meaning; a later version's file is not read, an earlier one's is brought up to it.
VERSION = 2
#: More than any measurement holds: a day of lags, one a 10 ms, is 80 MB.
MOST_BYTES = 1 << 30


#: Fields that lie in a file of their own, or are made anew.
ELSEWHERE = ("records", "samples")


class RecordsOnDisk(Sequence[Record]):
    """Records that are read when somebody asks for them; BenchError where the file is damaged."""

    def __init__(self, path: Path, n: int) -> None:
        self.path, self._n = path, n

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[Record]:
        try:
            if not self.path.stat().st_size:  # what a full disk left; to gzip it is a file without requests
                raise EOFError("0 bytes")
            yield from records.read(self.path)
        except records.DAMAGED as error:
            raise BenchError("report.damaged", name=self.path.name, why=str(error)) from None

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        return list(self)[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


def dump(measurement: Measurement) -> bytes:
    """Everything but records and tracks, and the samples that are made of them, as MessagePack: it knows infinities."""
    kept = {name: getattr(measurement, name) for name in _FIELDS}
    kept["observed"] = replace(measurement.observed, tracks=())
    plan = measurement.plan and replace(measurement.plan, folder=Path())
    return gzip.compress(
        _ENCODER.encode(_Saved(**{**kept, "plan": plan, "version": VERSION, "n": len(measurement.records)})), 1
    )


def save(measurement: Measurement, stem: Path) -> Measurement:
    """Write ``{stem}.measurement.gz``; → the measurement, its records on disk if they were written there."""
    lines = stem.with_name(stem.name + records.SUFFIX)
    with folder.writing(stem.parent):
        tracks.save(measurement.observed.tracks, stem)
        folder.write_bytes(
            stem.with_name(stem.name + SUFFIX), dump(measurement)
        )  # last: by it a load is known as whole
    if not lines.exists():
        return measurement
    return replace(measurement, records=RecordsOnDisk(lines, len(measurement.records)))


def load(path: Path) -> Measurement:
    """A saved measurement, its records still on disk beside it; BenchError says what is wrong with the file."""
    try:
        with gzip.open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f"> {MOST_BYTES >> 20} MB")
        if (version := msgspec.msgpack.decode(content, type=_Version).version) > VERSION:
            raise ValueError(f"version {version}")
        saved = _DECODER.decode(content if version == VERSION else upgraded(content))
    except (*records.DAMAGED, LookupError, TypeError) as error:
        raise BenchError("report.damaged", name=path.name, why=str(error)) from None
    stem = path.with_name(path.name.removesuffix(SUFFIX))
    lines = stem.with_name(stem.name + records.SUFFIX)
    saved.observed = replace(saved.observed, tracks=tracks.load(stem) or saved.observed.tracks)
    there: Sequence[Record] = RecordsOnDisk(lines, saved.n) if lines.exists() else ()
    return Measurement(records=there, **{name: getattr(saved, name) for name in _FIELDS})


def upgraded(content: bytes) -> bytes:
    """What the first version wrote: a scenario was called by its id, and by its parts elsewhere."""
    was = msgspec.msgpack.decode(content)
    scenario = was["scenario"]
    names = {key: scenario.pop(key) for key in ("id", "key", "repeat", "probe_of")}
    scenario["cell"] = read_cell(**names, target=scenario["target"]["name"])
    return _ENCODER.encode(was)


def found(stem: Path) -> Measurement | None:
    """The measurement saved as ``{stem}.measurement.gz``, if it is there and whole."""
    path = stem.with_name(stem.name + SUFFIX)
    try:
        return load(path) if path.is_file() else None
    except BenchError:
        return None


def _encode(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):  # a numpy scalar
        return value.item()
    raise TypeError(f"a measurement cannot hold {type(value).__name__}")


def _decode(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise TypeError(f"a measurement cannot hold {kind.__name__}")


class _Version(msgspec.Struct):
    version: int


_FIELDS = {name: kind for name, kind in get_type_hints(Measurement).items() if name not in ELSEWHERE}
#: What a file of an earlier version lacks is what it is where nobody says.
_DEFAULTS: dict[str, dict[str, Any]] = {
    part.name: {"default": part.default} if part.default is not MISSING else {"default_factory": part.default_factory}
    for part in fields(Measurement)
    if (part.default, part.default_factory) != (MISSING, MISSING)
}
_KNOWN = [(name, kind, msgspec.field(**_DEFAULTS.get(name, {}))) for name, kind in _FIELDS.items()]
_Saved: Any = msgspec.defstruct("Saved", [("version", int), ("n", int), *_KNOWN], kw_only=True)
_ENCODER = msgspec.msgpack.Encoder(enc_hook=_encode)
_DECODER = msgspec.msgpack.Decoder(_Saved, dec_hook=_decode)
