"""Tracks → ``{name}.tracks.jsonl.gz``, a series a line, and back; thinned for who draws them."""

from __future__ import annotations

import gzip
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Track
from pytest_vllm_bench.store import folder, records

SUFFIX = ".tracks.jsonl.gz"
#: Points of a series that a picture has room for.
DRAWN = 600
_DECODER = msgspec.json.Decoder(Track, strict=False)  # "nan" is a number


def save(tracks: Sequence[Track], stem: Path) -> None:
    """Write them, or see that none of an earlier run are left there."""
    path = stem.with_name(stem.name + SUFFIX)
    if not tracks:
        path.unlink(missing_ok=True)
        return
    folder.write_bytes(path, gzip.compress(b"\n".join(map(_line, tracks)) + b"\n", 1))


def _line(track: Track) -> bytes:
    """With what JSON has no number for, as a watcher of others may have seen it, in a word."""
    line = msgspec.to_builtins(track)
    if not math.isfinite(sum(track.values)):
        line["values"] = [value if math.isfinite(value) else str(value) for value in track.values]
    return msgspec.json.encode(line)


def load(stem: Path) -> tuple[Track, ...]:
    """What lies beside a measurement; BenchError where it is damaged."""
    path = stem.with_name(stem.name + SUFFIX)
    if not path.is_file():
        return ()
    try:
        with gzip.open(path) as file:
            return tuple(_DECODER.decode(line) for line in file)
    except records.DAMAGED as error:
        raise BenchError("report.damaged", name=path.name, why=str(error)) from None


def thinned(track: Track, most: int = DRAWN) -> Track:
    """At most so many of its points: the first, the last, and the lowest and highest of each stretch."""
    n = len(track.times)
    if n <= most:
        return track
    stretches = most // 2 - 1
    kept = {0, n - 1}
    for i in range(stretches):
        part = range(n * i // stretches, n * (i + 1) // stretches)
        kept |= {min(part, key=track.values.__getitem__), max(part, key=track.values.__getitem__)}
    places = sorted(kept)
    times, values = (tuple(column[i] for i in places) for column in (track.times, track.values))
    return replace(track, times=times, values=values)
