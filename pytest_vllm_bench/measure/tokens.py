"""What a server counted, and what it did not → an answer's output tokens, in all and for each arrival."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Literal

from pytest_vllm_bench.measure.answer import Answer

Counter = Callable[[list[str]], list[int]]  # texts → tokens of each


def count(answer: Answer, counter: Counter | None, own: Literal["usage", "counter"]) -> None:
    """Fill in the record's ``output_tokens``, ``token_source`` and the tokens of its arrivals.

    ``own``: what the backend's own totals are called.  A total of 0 beside text is a server that does not count; of two
    that contradict one another in one usage, what came decides, and what any other count says is kept as ``disputed``.
    """
    record = answer.record
    said = answer.usage or answer.total
    if said and answer.other:
        said = _likelier(answer, counter, said, answer.other)
    if said:
        record.output_tokens, record.token_source = said, own
        ahead = answer.total if answer.total and answer.total > said else None  # behind is no contradiction
        others = (answer.usage, answer.other, ahead, answer.ids)
        record.disputed = next((told for told in others if told and told != said), None)
    elif answer.ids:
        record.output_tokens, record.token_source = answer.ids, "ids"
    elif not answer.spoke:
        record.output_tokens = answer.usage
        return
    elif counter is not None and answer.text is not None:
        record.output_tokens, record.token_source = counter([answer.text.getvalue()])[0], "tokenizer"
    elif answer.streamed:
        record.output_tokens, record.token_source = answer.events, "events"
    told = answer.counted and sum(record.arrival_tokens) == record.output_tokens
    if answer.events and not told and record.output_tokens is not None:
        exact = record.output_tokens == answer.events and record.token_source != "events"
        record.tokens_per_event = "exact" if exact else "estimated"
        record.arrival_tokens = share(record.output_tokens, record.arrival_events, answer.sizes)


def _likelier(answer: Answer, counter: Counter | None, said: int, other: int) -> int:
    """The one that is nearer to what came; events alone only tell that it was no less."""
    came = answer.ids or (sum(answer.record.arrival_tokens) if answer.counted else 0)
    if not came and counter is not None and answer.text is not None:
        came = counter([answer.text.getvalue()])[0]
    if came:
        return min(said, other, key=lambda told: abs(told - came))
    return other if said < answer.events <= other else said


def share(tokens: int, events: Sequence[int], sizes: Sequence[int]) -> array[int]:
    """``tokens`` over the arrivals: one an event if they suffice, the rest by length of text; the sum is exact."""
    least = list(events) if tokens >= sum(events) else [0] * len(events)
    rest = tokens - sum(least)
    weights = sizes if any(sizes) else events
    whole, so_far, given = sum(weights), 0, 0
    shares = array("i")
    for minimum, weight in zip(least, weights, strict=True):
        so_far += weight
        upto = (2 * rest * so_far + whole) // (2 * whole)  # rounded; at the end so_far == whole, so all is given
        shares.append(minimum + upto - given)
        given = upto
    return shares
