"""Prompts that a user gave → counted, salted and bounded, as every dataset of real text needs them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Protocol

from pytest_vllm_bench.model import Message, Prompt
from pytest_vllm_bench.plan import tables
from pytest_vllm_bench.plan.dataset import Wanted
from pytest_vllm_bench.plan.seeds import stream
from pytest_vllm_bench.plan.spelling import SALT


class Sampling(Protocol):
    """The options that every dataset of given rows has."""

    @property
    def shuffle(self) -> bool: ...
    @property
    def oversample(self) -> bool: ...


def sampled(
    wanted: Wanted, rows: int, options: Sampling, lap: Callable[[Iterator[int]], Iterator[Prompt]]
) -> Iterator[Prompt]:
    """What ``lap`` makes of the row numbers, in order or shuffled; with ``oversample`` again and again, and noted."""
    import numpy as np

    draw = wanted.stream("order")
    for turn in count():
        numbers = np.arange(rows, dtype=np.uint32)
        if options.shuffle:
            draw.shuffle(numbers)
        made = False
        for prompt in lap(map(int, numbers)):
            made = True
            yield prompt
        if not options.oversample or not made:
            return
        if turn == 0:
            wanted.note(Message(key="plan.oversampled", values={"rows": rows, "n": wanted.n}))


class Salter:
    """Puts run-specific tokens in front of given prompts, and counts them in."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._stream = stream(wanted.salt, *wanted.seed, "salt")
        self._families: dict[str, str] = {}

    def _fresh(self) -> str:
        alphabet = self._wanted.alphabet()
        return alphabet.text(self._stream.randint(0, alphabet.size, SALT).tolist()) + "\n"

    @property
    def _text(self) -> bool:
        tokenizer = self._wanted.tokenizer
        return tokenizer is not None and tokenizer.takes_text

    def count(self, texts: Sequence[str]) -> list[int] | None:
        """Tokens of each as it will be sent; None without a tokenizer.  The salt's own words make no difference."""
        if not self._text:
            return None
        assert self._wanted.tokenizer is not None
        if self._wanted.salt:
            alphabet = self._wanted.alphabet()
            front = alphabet.text([0] * SALT) + "\n"
            texts = [front + text for text in texts]
        return [n + self._wanted.added_tokens for n in self._wanted.tokenizer.count(texts)]

    def measured(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Each with its length as it will be sent, where that is known here."""
        counts = self.count([p.text if p.text is not None else words_of(p.messages or ()) for p in prompts])
        # What a template on the server puts around several messages, and what a medium comes to, is the model's affair.
        known = [not p.media and (p.messages is None or len(p.messages) == 1) for p in prompts]
        return [replace(p, input_len=counts[i] if counts and known[i] else None) for i, p in enumerate(prompts)]

    def salted(self, prompt: Prompt) -> Prompt:
        """With tokens in front that no other prompt has; prompts of one ``group`` with ``shared_len`` share them."""
        if not self._wanted.salt or not self._text:
            return prompt
        front = self._family(prompt.group) if prompt.shared_len else self._fresh()
        if prompt.text is not None:
            return replace(prompt, text=front + prompt.text)
        if prompt.messages:
            return replace(prompt, messages=salted_messages(prompt.messages, front))
        return prompt

    def _family(self, group: str) -> str:
        if group not in self._families:
            alphabet = self._wanted.alphabet()
            draw = stream(self._wanted.salt, *self._wanted.seed, "salt", group)
            self._families[group] = alphabet.text(draw.randint(0, alphabet.size, SALT).tolist()) + "\n"
        return self._families[group]


def salted_messages(messages: Sequence[Mapping[str, Any]], front: str) -> list[Mapping[str, Any]]:
    """``front`` before the first text there is, the system's or the user's."""
    done, result = False, []
    for message in messages:
        content = message.get("content")
        if not done and isinstance(content, str):
            message, done = {**message, "content": front + content}, True
        elif not done and isinstance(content, list):
            message, done = {**message, "content": [{"type": "text", "text": front}, *content]}, True
        result.append(message)
    return result


def opening(system: str, asked: str, wanted: Wanted) -> Prompt:
    """The first turn of a conversation; a system prompt is one where the backend knows roles, else it stands before."""
    if not system:
        return Prompt(text=asked)
    if not wanted.backend.takes_messages:
        return Prompt(text=f"{system}\n\n{asked}")
    return Prompt(messages=({"role": "system", "content": system}, {"role": "user", "content": asked}))


#: What a row calls the length of its answer, where the config does not say.
LENGTHS = ("output_tokens", "output_len", "output_length", "max_tokens", "max_output_tokens", "max_completion_tokens")


def asked_length(row: Mapping[str, Any], column: str, wanted: Wanted) -> int | None:
    """Tokens to ask for: the config's, else the row's own.  ValueError: what stands there is no such number."""
    name = tables.column(row, LENGTHS if column == LENGTHS[0] else (column,))
    if wanted.output_len is not None:
        return wanted.output_len
    if (length := tables.whole(row.get(name))) == 0:
        raise ValueError("0")
    return length


#: Columns that text alone leaves behind.
_BESIDE = ("image", "images", "audio", "video", "videos", "tools", "functions", "function")


def beside(row: Mapping[str, Any], wanted: Wanted, sent: Container[str] = ()) -> None:
    """Count what a row has and is not sent."""
    for column in _BESIDE:
        if row.get(column) not in (None, "", []) and column not in sent:
            wanted.count("plan.not_sent", what=column)


def words_of(messages: Iterable[Mapping[str, Any]]) -> str:
    """All the text of chat messages, for counting."""
    parts: list[str] = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            parts.append(content)
        elif isinstance(content, list):
            parts += [str(p.get("text", "")) for p in content if isinstance(p, Mapping)]
    return "\n".join(parts)


def batches(numbers: Iterable[int], size: int = 64) -> Iterator[list[int]]:
    batch: list[int] = []
    for number in numbers:
        batch.append(number)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
