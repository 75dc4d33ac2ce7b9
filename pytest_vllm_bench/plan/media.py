"""Media files → what a request carries of them: bytes, type, duration; broken ones are told by name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Media
from pytest_vllm_bench.plan.source import regular

IMAGES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif"}
SOUNDS = {".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".m4a": "audio/mp4"}
FILMS = {".mp4": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime", ".mkv": "video/x-matroska"}
#: Bytes; a request carries the whole file.
LARGEST = 1 << 30
KINDS = {"image": IMAGES, "audio": SOUNDS, "video": FILMS}


def load(path: Path, kind: str) -> Media:
    """The file as it is, checked so far as its kind can be; DataError names it where it is broken."""
    if regular(path) > LARGEST:
        raise DataError("plan.media_broken", path=str(path), error=f"> {LARGEST >> 20} MiB")
    return from_bytes(path.read_bytes(), kind, name=str(path))


def from_bytes(data: bytes, kind: str, *, name: str) -> Media:
    """``name`` is what people know the bytes by: a path, or a dataset's row."""
    suffix = Path(name).suffix.lower()
    if kind == "image":
        return Media(kind="image", data=data, mime=_image_type(data, name))
    if kind == "audio":
        seconds = _seconds(data, name)
        return Media(kind="audio", data=data, mime=SOUNDS.get(suffix, "audio/wav"), seconds=seconds)
    if not data:
        raise DataError("plan.media_broken", path=name, error="0 bytes")
    return Media(kind="video", data=data, mime=FILMS.get(suffix, "video/mp4"))


def _image_type(data: bytes, name: str) -> str:
    image = pillow(name)
    try:
        with image.open(io.BytesIO(data)) as opened:
            kind = str(opened.get_format_mimetype() or "image/png")
            opened.load()  # verify() lets a file through that is cut short
    except Exception as error:  # of a broken picture Pillow raises whatever its decoder stumbled on
        raise DataError("plan.media_broken", path=name, error=str(error)) from error
    return kind


def _seconds(data: bytes, name: str) -> float:
    try:
        import soundfile
    except ImportError as error:
        raise DataError("plan.extra_missing", extra="media", path=name) from error
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            return float(sound.frames / sound.samplerate)
    except (soundfile.SoundFileError, RuntimeError, ArithmeticError, TypeError, ValueError) as error:
        raise DataError("plan.media_broken", path=name, error=str(error)) from error


def pillow(name: str) -> Any:
    """Pillow's Image module; DataError says which extra brings it."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("plan.extra_missing", extra="media", path=name) from error
    return Image


def listed(folder: Path, kind: str) -> list[Path]:
    """The folder's files of that kind, by name; DataError where there are none."""
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in KINDS[kind])
    if not found:
        raise DataError("plan.media_none", path=str(folder), kinds=" ".join(KINDS[kind]))
    return found
