"""A word that nobody knows → the known ones that are near, or all there are."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from pytest_vllm_bench.model import Message


def near(word: str, known: Iterable[str], most: int = 1) -> list[str]:
    """The known words that may be meant, whatever their case."""
    lower = {name.lower(): name for name in known}
    return [lower[name] for name in get_close_matches(word.lower(), lower, n=most, cutoff=0.6)]


def suggestion(word: str, known: Iterable[str]) -> Message:
    """ "did you mean X?", or what there is."""
    words = [str(name) for name in known]
    if found := near(word, words):
        return meant(found)
    return Message(key="suggest.known", values={"known": ", ".join(words) or "–"})


def meant(names: Iterable[str]) -> Message:
    return Message(key="suggest.near", values={"near": ", ".join(names)})
