"""Letters that a dataset has drawn → prompts of exactly that many tokens, salted, distinct and proven."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Message, Prompt
from pytest_vllm_bench.plan.alphabet import Alphabet, Proof
from pytest_vllm_bench.plan.dataset import Wanted
from pytest_vllm_bench.plan.seeds import stream

if TYPE_CHECKING:
    from numpy.random import RandomState

#: Run-specific tokens in front of each prompt under ``cache: cold``; a prefix cache is keyed from the first block on.
SALT = 8
#: Tokens that are drawn in one go.
BATCH_TOKENS = 1 << 18
#: Tokens that are spelled, and confirmed by the tokenizer, in one go: a tenth of a second, in which nobody is heard.
PROOF_TOKENS = 1 << 16
#: Beyond this many tokens (eight seconds' worth) the tokenizer confirms one prompt in ``SAMPLED``.
PROVEN_TOKENS, SAMPLED = 1 << 22, 64


@dataclass(frozen=True, slots=True)
class Draft:
    """A prompt as letters, before it is text.

    Drafts of one ``family`` begin with the same ``common`` letters; ``shared_len`` of a prompt's first letters are
    expected in the server's prefix cache.
    """

    letters: list[int]
    family: int | None = None
    common: int = 0
    shared_len: int = 0
    output_len: int | None = None
    due: float | None = None
    group: str = ""
    row: int | None = None


def drawn(draw: RandomState, size: int, n: int) -> list[int]:
    """``n`` letters; many at once, since a call costs as much as a hundred of them."""
    import numpy as np

    letters: list[int] = draw.randint(0, size, n, dtype=np.uint16).tolist()
    return letters


def spell(wanted: Wanted, drafts: Iterable[Draft]) -> Iterator[Prompt]:
    """One prompt a draft, in the same order.

    Raises DataError where prompts this short cannot all differ, or where the tokenizer cannot give exact lengths.
    """
    alphabet = wanted.alphabet()
    if alphabet.ids and not wanted.backend.takes_token_ids:
        raise DataError("plan.ids_not_taken", backend=wanted.backend.name)
    heads = Heads(wanted, alphabet)
    prover = Prover(wanted, alphabet)
    source = iter(drafts)
    while batch := _batch(source):
        wanted.alive()
        salted = [heads.put(draft) for draft in batch]
        if alphabet.ids:
            for draft, letters in zip(batch, salted, strict=True):
                yield _prompt(draft, 0, token_ids=alphabet.tokens(letters))
            continue
        for draft, text in zip(batch, prover.prove(batch, salted), strict=True):
            yield _prompt(draft, wanted.added_tokens, text=text)


def _prompt(draft: Draft, added: int, *, text: str | None = None, token_ids: list[int] | None = None) -> Prompt:
    """``added``: what the server puts around text; token ids reach the model as they are."""
    return Prompt(
        text=text,
        token_ids=token_ids,
        input_len=len(draft.letters) + added,
        output_len=draft.output_len,
        due=draft.due,
        shared_len=draft.shared_len,
        group=draft.group,
        row=draft.row,
    )


def _batch(source: Iterator[Draft]) -> list[Draft]:
    batch: list[Draft] = []
    tokens = 0
    for draft in source:
        batch.append(draft)
        tokens += len(draft.letters)
        if tokens >= PROOF_TOKENS or len(batch) >= 4096:
            break
    return batch


class Heads:
    """The first tokens: run-specific under ``cache: cold``, different in every prompt that is not meant to share."""

    def __init__(self, wanted: Wanted, alphabet: Alphabet) -> None:
        self._size, self._n = alphabet.size, wanted.n
        self._salted = bool(wanted.salt)
        self._names = (wanted.salt, *wanted.seed, "salt")
        self._fresh = self._endless()
        self._seen: set[tuple[int, ...]] = set()
        self._families: dict[int, list[int]] = {}
        # Eight of 4,096 words never collide; a handful of words may.
        self._rare = next(k for k in range(1, 200) if self._size**k >= 1_000_000 * self._n**2)

    def put(self, draft: Draft) -> list[int]:
        """The draft's letters with their final beginning."""
        letters = draft.letters
        if draft.family is not None:
            if not self._salted:
                return letters
            head = self._family(draft.family)[: min(draft.common, len(letters))]
            return head + letters[len(head) :]
        length = min(SALT, len(letters))
        head = next(self._fresh)[:length] if self._salted else letters[:length]
        if length < self._rare:
            head = self._distinct(head)
        return head + letters[length:]

    def _distinct(self, head: list[int]) -> list[int]:
        for _ in range(64):
            if tuple(head) not in self._seen:
                self._seen.add(tuple(head))
                return head
            head = next(self._fresh)[: len(head)]
        raise DataError("plan.cannot_differ", n=self._n, tokens=len(head), words=self._size)

    def _endless(self) -> Iterator[list[int]]:
        draw = stream(*self._names)
        while True:
            letters = drawn(draw, self._size, 1024 * SALT)
            yield from (letters[i : i + SALT] for i in range(0, len(letters), SALT))

    def _family(self, family: int) -> list[int]:
        if family not in self._families:
            self._families[family] = drawn(stream(*self._names, "family", family), self._size, SALT)
        return self._families[family]


class Prover:
    """One batch encode is the proof that lengths are exact; what was proven once is remembered on disk."""

    def __init__(self, wanted: Wanted, alphabet: Alphabet) -> None:
        self._tokenizer = wanted.tokenizer
        self._alphabet = alphabet
        self._digest = alphabet.digest()
        self._proof = Proof(wanted.tokenizer, wanted.cache_dir) if wanted.tokenizer else None
        self._note = wanted.note
        self._proven = 0
        self._every = 1

    def prove(self, batch: list[Draft], salted: list[list[int]]) -> list[str]:
        """The texts of ``salted``, each of exactly as many tokens as it has letters."""
        tokenizer = self._tokenizer
        texts = [self._alphabet.text(letters) for letters in salted]
        if tokenizer is None or self._proof is None:
            return texts
        key = self._key(batch)
        if self._proof.has(key) and self._joined(salted):
            self._count(sum(map(len, salted)))
            return texts
        sample = range(0, len(batch), self._every)
        counts = tokenizer.count([texts[i] for i in sample])
        wrong = [i for i, n in zip(sample, counts, strict=True) if n != len(salted[i])]
        for i in wrong:
            texts[i] = self._mended(texts[i], len(salted[i]))
        if self._every == 1 and not wrong:
            self._proof.add(key)
        self._count(sum(counts))
        return texts

    def _count(self, tokens: int) -> None:
        """What is proven; from some number on, a sample has to do."""
        self._proven += tokens
        if self._every == 1 and self._proven > PROVEN_TOKENS:
            self._every = SAMPLED
            self._note(Message(key="plan.proof_sampled", values={"tokens": self._proven, "one_in": SAMPLED}))

    def _key(self, batch: list[Draft]) -> str:
        """The key under which a batch's proof is remembered: of its letters before they are salted."""
        digest = hashlib.blake2b(self._digest, digest_size=12)
        for draft in batch:
            digest.update(array("H", draft.letters[SALT:]).tobytes())
            digest.update(b"|")
        return digest.hexdigest()

    def _joined(self, salted: Sequence[list[int]]) -> bool:
        """Whether the run-specific tokens, new in every run, are exact too, with the joint behind them."""
        assert self._tokenizer is not None
        heads = [letters[: 2 * SALT] for letters in salted]
        counts = self._tokenizer.count([self._alphabet.text(head) for head in heads])
        return counts == [len(head) for head in heads]

    def _mended(self, text: str, length: int) -> str:
        """Some tokenizers join words; a word more or less at the end makes up for it."""
        assert self._tokenizer is not None
        words = text.split(" ")
        for spare in range(32):
            off = self._tokenizer.count([" ".join(words)])[0] - length
            if off == 0:
                return " ".join(words)
            if off > 0:
                del words[-1:]
            else:
                words.append(self._alphabet.words[(spare * 7919) % len(self._alphabet.words)])
        raise DataError("plan.length_not_exact", source=self._tokenizer.source, length=length)
