"""What is wanted of a dataset → its prompts: the two nouns between the plan and every dataset."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_vllm_bench import files
from pytest_vllm_bench.model import Backend, Message, Prompt
from pytest_vllm_bench.plan.alphabet import Alphabet
from pytest_vllm_bench.plan.seeds import stream
from pytest_vllm_bench.plan.source import FileReading
from pytest_vllm_bench.tokenizer import Tokenizer

if TYPE_CHECKING:
    from numpy.random import RandomState


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a plan asks of a dataset, and what the dataset may use to answer."""

    n: int  # requests; a dataset of conversations yields as many of those as make so many
    at_most: bool = False  # fewer will do: the run is bounded by time and ``n`` is only its ceiling
    input_len: int | None
    output_len: int | None
    options: Any  # an instance of the dataset's own options class
    backend: Backend
    tokenizer: Tokenizer | None
    alphabet: Callable[[], Alphabet] = field(repr=False)  # raises DataError where no exact length can be had
    seed: tuple[object, ...]  # of everything but prompt text: the seed, the repeat, what the plan is for
    salt: str  # run-specific; "" under ``cache: warm``
    added_tokens: int = 0  # what the server puts around each prompt: the chat template, BOS
    until: float = math.inf  # seconds after which nothing is sent
    paced: bool = False  # by the config, whatever times the dataset has
    base_dir: Path = Path()
    cache_dir: Path | None = None
    note: Callable[[Message], None] = field(repr=False, default=lambda _: None)
    tally: Counter[tuple[str, str]] = field(repr=False, default_factory=Counter)  # of rows; told when the plan is whole
    alive: Callable[[], None] = field(repr=False, default=lambda: None)  # called often; what it raises ends the build

    def count(self, key: str, n: int = 1, *, what: str = "") -> None:
        """``n`` more rows that are left out, or read otherwise than they stand there; "" for those read at all."""
        self.alive()
        if n:
            self.tally[key, what] += n

    @property
    def reading(self) -> FileReading:
        return FileReading(note=self.note, alive=self.alive)

    def told(self) -> tuple[Message, ...]:
        """What became of the rows, a sentence each."""
        of = f"{self.tally['', '']:,}"
        return tuple(
            Message(key=key, values={"n": f"{n:,}", "of": of, "what": what})
            for (key, what), n in self.tally.items()
            if key
        )

    def stream(self, name: str) -> RandomState:
        """Random numbers for one purpose ("lengths", "order", "prompts"), the same in every session."""
        return stream(*self.seed, name)

    def path(self, written: str) -> Path:
        """A path as the config means it: relative to the config's own folder."""
        return self.base_dir / files.path(written)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A source of prompts: its options class and a function that yields at least ``Wanted.n`` requests' worth.

    ``lengths``: what it takes from ``input_output``: it needs both, has defaults for both, an output length may
    replace its own, or nothing.  ``times``: its prompts carry ``due``.  ``extra``: problems between its options.
    ``foresee`` notes what the load comes to, for a dry run.
    """

    options: type[Any]
    prompts: Callable[[Wanted], Iterator[Prompt]]
    lengths: Literal["both", "optional", "output", "none"] = "output"
    times: bool = False
    extra: Callable[[Any], list[Message]] | None = None
    foresee: Callable[[Wanted], object] | None = None
