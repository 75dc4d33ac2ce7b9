"""Letters that a dataset has drawn → prompts of exactly that many tokens, salted, distinct and proven."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Message, Prompt
from pytest_vllm_bench.plan.alphabet import Alphabet, Proof
from pytest_vllm_bench.plan.dataset import Wanted
from pytest_vllm_bench.plan.seeds import stream

if TYPE_CHECKING:
    import numpy as np

#: Run-specific tokens in front of each prompt under ``cache: cold``; a prefix cache is keyed from the first block on.
SALT = 8
#: Tokens that are spelled, and confirmed by the tokenizer, in one go.
BATCH_TOKENS = 1 << 18
#: Beyond this many tokens the tokenizer confirms a sample only: at 0.5 million tokens/s, eight seconds' worth.
PROVEN_TOKENS = 1 << 22


@dataclass(frozen=True, slots=True)
class Draft:
    """A prompt as letters, before it is text.

    Drafts of one ``family`` begin with the same ``common`` letters; ``shared_len`` of a prompt's first letters are
    expected in the server's prefix cache.
    """

    letters: np.ndarray
    family: int | None = None
    common: int = 0
    shared_len: int = 0
    output_len: int | None = None
    due: float | None = None
    group: str = ""
    row: int | None = None


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
        known = prover.known(batch)
        salted = [heads.put(draft) for draft in batch]
        if alphabet.ids:
            yield from (_prompt(d, wanted, token_ids=alphabet.tokens(d.letters.tolist())) for d in salted)
            continue
        texts = [alphabet.text(draft.letters.tolist()) for draft in salted]
        texts = prover.prove(salted, texts, known)
        yield from (_prompt(d, wanted, text=text) for d, text in zip(salted, texts, strict=True))


def _prompt(draft: Draft, wanted: Wanted, *, text: str | None = None, token_ids: list[int] | None = None) -> Prompt:
    # Token ids reach the model as they are: no template, no BOS.
    added = 0 if token_ids is not None else wanted.added_tokens
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
        if tokens >= BATCH_TOKENS or len(batch) >= 4096:
            break
    return batch


class Heads:
    """The first tokens: run-specific under ``cache: cold``, different in every prompt that is not meant to share."""

    def __init__(self, wanted: Wanted, alphabet: Alphabet) -> None:
        self._size = alphabet.size
        self._salt = wanted.salt
        self._names = (wanted.salt, *wanted.seed, "salt")
        self._stream = stream(*self._names)
        self._seen: set[bytes] = set()
        self._families: dict[int, np.ndarray] = {}
        self._n = wanted.n

    def put(self, draft: Draft) -> Draft:
        """The draft with its final first tokens."""
        if draft.family is not None:
            head = min(SALT, draft.common, len(draft.letters))
            return self._with(draft, self._family(draft.family, head)) if self._salt else draft
        head = min(SALT, len(draft.letters))
        letters = self._draw(head) if self._salt else draft.letters[:head]
        # Eight of 4,096 words never collide; a handful of words may.
        if self._size**head < 1_000_000 * self._n**2:
            for _ in range(64):
                if letters.tobytes() not in self._seen:
                    break
                letters = self._draw(head)
            else:
                raise DataError("plan.cannot_differ", n=self._n, tokens=head, words=self._size)
            self._seen.add(letters.tobytes())
        return self._with(draft, letters)

    def _draw(self, head: int) -> np.ndarray:
        import numpy as np

        return self._stream.randint(0, self._size, head, dtype=np.uint16)

    def _family(self, family: int, head: int) -> np.ndarray:
        import numpy as np

        if family not in self._families:
            drawn = stream(*self._names, "family", family).randint(0, self._size, SALT, dtype=np.uint16)
            self._families[family] = drawn
        return self._families[family][:head]

    @staticmethod
    def _with(draft: Draft, head: np.ndarray) -> Draft:
        letters = draft.letters.copy()
        letters[: len(head)] = head
        return replace(draft, letters=letters)


class Prover:
    """One batch encode is the proof that lengths are exact; what was proven once is remembered on disk."""

    def __init__(self, wanted: Wanted, alphabet: Alphabet) -> None:
        self._tokenizer = wanted.tokenizer
        self._alphabet = alphabet
        self._digest = alphabet.digest()
        self._proof = Proof(wanted.tokenizer, wanted.cache_dir) if wanted.tokenizer else None
        self._note = wanted.note
        self._proven = 0
        self._noted = False

    def known(self, batch: list[Draft]) -> str:
        """The key under which this batch's proof is remembered: of its letters before they are salted."""
        digest = hashlib.blake2b(self._digest, digest_size=12)
        for draft in batch:
            digest.update(draft.letters[SALT:].tobytes())
            digest.update(b"|")
        return digest.hexdigest()

    def prove(self, batch: list[Draft], texts: list[str], key: str) -> list[str]:
        """The texts, each of exactly as many tokens as its draft has letters."""
        tokenizer = self._tokenizer
        if tokenizer is None or self._proof is None:
            return texts
        if self._proof.has(key):
            # The run-specific tokens are new in every run, so the joint behind them is confirmed each time.
            heads = [self._alphabet.text(d.letters[: 2 * SALT].tolist()) for d in batch]
            if all(n == min(2 * SALT, len(d.letters)) for n, d in zip(tokenizer.count(heads), batch, strict=True)):
                return texts
        every = 1 + self._proven // PROVEN_TOKENS * 16
        if every > 1 and not self._noted:
            self._noted = True
            self._note(Message(key="plan.proof_sampled", values={"tokens": PROVEN_TOKENS}))
        sample = range(0, len(batch), every)
        self._proven += sum(len(batch[i].letters) for i in sample)
        counts = tokenizer.count([texts[i] for i in sample])
        wrong = [i for i, n in zip(sample, counts, strict=True) if n != len(batch[i].letters)]
        for i in wrong:
            texts[i] = self._mended(texts[i], len(batch[i].letters))
        if every == 1 and not wrong:
            self._proof.add(key)
        return texts

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
