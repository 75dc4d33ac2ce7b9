"""Prometheus' text format (and OpenMetrics') → its samples."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

_NAME = re.compile(r"[A-Za-z_:][\w:]*")
_SAMPLE = re.compile(r'([A-Za-z_:][\w:]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?\s+(\S+)(?:\s+[-+.\deE]+)?(?:\s+#.*)?')
_LABEL = re.compile(r'([A-Za-z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"')

#: A family's name, its labels as they are written, and its value.
PageSample = tuple[str, str, float]


def samples(page: str, wanted: Callable[[str], bool] = lambda _: True) -> Iterator[PageSample]:
    """The finite samples of the families that are ``wanted``; a long page of others costs little."""
    for line in page.splitlines():
        line = line.strip()
        name = _NAME.match(line)
        if name is None or not wanted(name[0]) or not (found := _SAMPLE.fullmatch(line)):
            continue
        if (value := _number(found[3])) is not None:
            yield found[1], found[2] or "", value


def labels(written: str) -> dict[str, str]:
    return {name: re.sub(r"\\(.)", r"\1", value) for name, value in _LABEL.findall(written)}


def is_page(page: str) -> bool:
    """Whether there is a single sample on it."""
    return next(samples(page), None) is not None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
