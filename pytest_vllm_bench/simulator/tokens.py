"""Text ↔ token ids, and the made-up answers: words that a tokenizer reads back as the very tokens they were."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_vllm_bench import tokenizer as tokenizers

ODD = (" 你好", " 😀", " naïve", "，世界", " “x”", "\u2028", " 数据", " é")
CANDIDATES = 3000


@dataclass(frozen=True, slots=True)
class Word:
    """A word of answers: its ids, and the text that appears with the last of them."""

    ids: tuple[int, ...]
    text: str


class WordVocabulary:
    """A tokenizer as the simulator needs it: both directions, and words to answer with."""

    def __init__(self, path: Path | None = None, *, odd_share: float = 0.03) -> None:
        self.tokenizer = tokenizers.from_file(path) if path else tokenizers.load("simulator", "")
        self.eos = min(self.tokenizer.special_ids, default=0)
        plain, odd = self._stable(self._candidates()), self._stable(ODD)
        self._plain = [word for word in plain if len(word.ids) == 1] or plain or odd
        self._odd = odd
        self._odd_share = odd_share if odd else 0.0

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode_batch([text])[0]

    def decode(self, ids: Sequence[int]) -> str:
        known = [i for i in ids if i < self.tokenizer.vocab_size]
        return self.tokenizer.decode_batch([known])[0]

    def answer(self, length: int, seed: int) -> list[tuple[int, str]]:
        """Exactly ``length`` tokens, each with the text that becomes whole with it."""
        draw = random.Random(seed)
        tokens: list[tuple[int, str]] = []
        for word in draw.choices(self._plain, k=length):
            if draw.random() < self._odd_share:
                word = draw.choice(self._odd)
            tokens += [(i, "") for i in word.ids[:-1]]
            tokens.append((word.ids[-1], word.text))
            if len(tokens) >= length:
                break
        return tokens[:length]

    def _candidates(self) -> list[str]:
        """Plain words in the vocabulary, as text with a space in front."""
        vocabulary = self.tokenizer.vocabulary() if self.tokenizer.vocabulary else {}
        words = sorted(
            w for token in vocabulary if (w := re.sub("^[Ġ▁]", " ", token)) and re.fullmatch(" [a-z]{2,9}", w)
        )
        return words[:: max(1, len(words) // CANDIDATES)]

    def _stable(self, texts: Sequence[str]) -> list[Word]:
        """Those whose ids decode to the same text."""
        if not texts:
            return []
        ids = self.tokenizer.encode_batch(texts)
        back = self.tokenizer.decode_batch(ids)
        return [Word(tuple(i), text) for i, text, b in zip(ids, texts, back, strict=True) if i and b == text]
