"""Asked lengths → conversations: each next turn comes after a pause, behind the server's real answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from pytest_vllm_bench.model import Message, Prompt
from pytest_vllm_bench.plan.dataset import Dataset, Wanted
from pytest_vllm_bench.plan.datasets.random import lots
from pytest_vllm_bench.plan.options import option
from pytest_vllm_bench.plan.spelling import Draft, drawn, spell

if TYPE_CHECKING:
    from numpy.random import RandomState


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationOptions:
    """``turns``, or evenly between ``turns`` and ``max_turns``; ``think``: mean seconds before a turn.

    ``think_spread``: constant, or exponential with that mean.  ``prefix_len``: a system prompt that all share.
    """

    turns: int = option(4, low=1)
    max_turns: int | None = option(None, low=1)
    think: float = option(0.0, low=0.0)
    think_spread: str = option("constant", one_of=("constant", "exponential"))
    prefix_len: int = option(0, low=0)
    range_ratio: float = option(0.0, low=0.0, high=0.999)


def prompts(wanted: Wanted) -> Iterator[Prompt]:
    """Conversations; ``input_len`` is the length of each user turn, ``output_len`` of each answer."""
    options: ConversationOptions = wanted.options
    spelled = spell(wanted, _drafts(wanted, options))
    pauses = wanted.stream("think")
    for turns in _turn_counts(wanted, options):
        first, *later = islice(spelled, turns)
        yield replace(first, turns=tuple(replace(turn, think_s=_pause(options, pauses)) for turn in later))


def _turn_counts(wanted: Wanted, options: ConversationOptions) -> Iterator[int]:
    """Turns of each conversation, until they make ``n`` requests; the same each time it is asked."""
    draw = wanted.stream("turns")
    left = wanted.n
    while left > 0:
        turns = int(draw.randint(options.turns, (options.max_turns or options.turns) + 1))
        yield turns
        left -= turns


def _pause(options: ConversationOptions, draw: RandomState) -> float:
    if options.think_spread == "constant" or not options.think:
        return options.think
    return round(float(draw.exponential(options.think)), 6)


def _drafts(wanted: Wanted, options: ConversationOptions) -> Iterator[Draft]:
    """The user's turns, one after another; each begins unlike any other, save for the common system prompt."""
    prefix = drawn(wanted.stream("prefix"), wanted.alphabet().size, options.prefix_len)
    shared = len(prefix)
    for own in lots(wanted, options.range_ratio, _turn_counts(wanted, options)):
        for turn, (letters, out) in enumerate(own):
            if turn or not prefix:
                yield Draft(letters=letters, output_len=out)
            else:
                yield Draft(letters=prefix + letters, family=0, common=shared, shared_len=shared, output_len=out)


def problems(options: ConversationOptions) -> list[Message]:
    if options.max_turns is not None and options.max_turns < options.turns:
        return [Message(key="plan.turns_order", values={"turns": options.turns, "max_turns": options.max_turns})]
    return []


DATASET = Dataset(options=ConversationOptions, prompts=prompts, lengths="both", extra=problems)
