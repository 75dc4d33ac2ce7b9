"""A tokenizer → words that stay one token each wherever they stand, so that prompts have exact lengths."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.tokenizer import Tokenizer, common_words

#: More words than this add no entropy that matters: eight of them are 2^96 prompts.
MOST = 4096
#: A word behind a space, as byte-level and SentencePiece vocabularies write it.
_WORD = re.compile(r"[Ġ▁]([a-z]{2,12})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alphabet:
    """What exact-length prompts are spelled with; a letter is one token: a word, or a bare token id."""

    words: tuple[str, ...] = field(default=(), repr=False)
    ids: tuple[int, ...] = field(default=(), repr=False)

    @property
    def size(self) -> int:
        return len(self.words) or len(self.ids)

    def digest(self) -> bytes:
        """Of the letters in their order; the same letters spell the same prompts."""
        return hashlib.blake2b("\n".join(self.words or map(str, self.ids)).encode(), digest_size=16).digest()

    def text(self, letters: Sequence[int]) -> str:
        """Words with one space between and none in front: templates and tokenizers trim or add leading spaces."""
        words = self.words
        return " ".join([words[i] for i in letters])

    def tokens(self, letters: Sequence[int]) -> list[int]:
        ids = self.ids
        return [ids[i] for i in letters]


def alphabet(tokenizer: Tokenizer, cache_dir: Path | None) -> Alphabet:
    """The letters of ``tokenizer``; what was found once is kept under its digest.

    Raises DataError where fewer than two words are stable: prompts could not differ.
    """
    if not tokenizer.takes_text:
        ids = tuple(i for i in range(tokenizer.vocab_size) if i not in tokenizer.special_ids)
        return Alphabet(ids=ids)
    kept = cache_dir / "words" / f"{tokenizer.digest}.txt" if cache_dir else None
    words = _known(kept)
    if not words:
        words = _stable(tokenizer)
        if kept is not None and len(words) > 1:
            _keep(kept, words)
    if len(words) < 2:
        raise DataError("plan.no_stable_words", source=tokenizer.source)
    return Alphabet(words=words)


def _known(kept: Path | None) -> tuple[str, ...]:
    """What an earlier session kept; empty where there is nothing, or nothing that may be read."""
    try:
        return tuple(kept.read_text("utf-8").split()) if kept else ()
    except OSError:
        return ()


def _keep(path: Path, words: Sequence[str]) -> None:
    """Whole or not at all, as other sessions read it meanwhile; a home that may not be written is done without."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        part.write_text("\n".join(words) + "\n", "utf-8")
        part.replace(path)


def _stable(tokenizer: Tokenizer) -> tuple[str, ...]:
    """Words that are one token at the start of a text and after another word."""
    candidates = _candidates(tokenizer)
    if tokenizer.vocabulary is None:
        return _stable_unlisted(tokenizer, candidates)
    alone = tokenizer.count(candidates)
    after = tokenizer.count([f"{word} {word}" for word in candidates])
    stable = [w for w, one, two in zip(candidates, alone, after, strict=True) if one == 1 and two == 2]
    step = max(1, len(stable) // MOST)
    return tuple(stable[::step][:MOST])


def _candidates(tokenizer: Tokenizer) -> list[str]:
    if tokenizer.vocabulary is None:
        return list(common_words())
    listed = [(i, m[1]) for token, i in tokenizer.vocabulary().items() if (m := _WORD.fullmatch(token))]
    found = [word for _, word in sorted(listed)]
    # A quarter of them prove stable; trying all of a large vocabulary's would take longer than any prompt needs.
    return found[:: max(1, len(found) // (2 * MOST))] or list(common_words())


def _stable_unlisted(tokenizer: Tokenizer, candidates: list[str]) -> tuple[str, ...]:
    """The same where each question costs a round trip: whole runs of words are asked about, and split on a no."""
    stable: list[str] = []
    open_runs = [candidates]
    while open_runs:
        # Doubled, so that the run's first word is also seen after another one.
        counts = tokenizer.count([" ".join(run + run) for run in open_runs])
        halves: list[list[str]] = []
        for run, count in zip(open_runs, counts, strict=True):
            if count == 2 * len(run):
                stable += run
            elif len(run) > 1:
                halves += [run[: len(run) // 2], run[len(run) // 2 :]]
        open_runs = halves
    return tuple(sorted(stable, key=candidates.index))


class Proof:
    """Remembers which exact-length texts a tokenizer has already confirmed, so that a second run need not ask again."""

    def __init__(self, tokenizer: Tokenizer, cache_dir: Path | None) -> None:
        self._file = cache_dir / "proofs" / f"{tokenizer.digest}.txt" if cache_dir else None
        self._known = set(_known(self._file))

    def has(self, key: str) -> bool:
        return key in self._known

    def add(self, key: str) -> None:
        self._known.add(key)
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.parent.mkdir(0o700, parents=True, exist_ok=True)
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(key + "\n")
