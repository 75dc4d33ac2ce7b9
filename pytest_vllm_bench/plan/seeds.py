"""Names → independent, reproducible streams of random numbers."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import RandomState


def stream(*names: object) -> RandomState:
    """The stream of these names: the same on every machine and in every session, unrelated to any other's.

    ``RandomState`` and not ``Generator``: its sequences are frozen, and a plan's digest must outlive numpy releases.
    """
    import numpy as np

    digest = hashlib.blake2b("\0".join(map(str, names)).encode(), digest_size=32).digest()
    return np.random.RandomState(np.frombuffer(digest, dtype="<u4"))
