"""How often a test tries: what ``.ci/run`` has time for, or ``LONG=1``, which ``nox -s long`` sets."""

from __future__ import annotations

import os

#: Runs, examples and kills are many.
LONG = os.environ.get("LONG", "") not in ("", "0")


def times(ordinarily: int, long: int) -> int:
    return long if LONG else ordinarily
