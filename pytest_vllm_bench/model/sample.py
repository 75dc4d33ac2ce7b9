"""What it comes to: one run as columns, and what was watched meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: A numpy array of one axis (numpy is not imported here).
Column = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One thing that was watched while load ran, of one device: values over time."""

    name: str  # power_w, energy_j (a counter), ...
    device: str = ""
    bound: str = ""  # of a bucket of a histogram: its upper bound
    every: float = 0.0  # seconds from one value to the next, as asked for
    times: tuple[float, ...] = ()  # absolute, on the measuring clock
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run's records as columns of one length (its requests, sorted by index), in seconds; NaN = it did not happen.

    The formulas of the metrics are applied here, once; the judge and the summary only select and count.
    """

    repeat: int = 1
    open_loop: bool = False
    complete: bool = True
    sent: Column  # float
    due: Column
    ready: Column
    done: Column
    tried: Column  # sent; where no connection was had, when that was given up; never sent: due
    chain: Column  # int
    ok: Column  # bool: answered without an error
    counted: Column  # bool: a sample of the server, so neither stopped by us nor left unsent by us
    reconnected: Column  # bool: sent again, as its open connection was dead at once
    steady: tuple[float, float] | None = None  # the steady window
    in_steady: Column = None  # bool: counted and sent in the steady window (or waiting for the cap when it closed)
    values: Mapping[str, Column] = field(default_factory=dict)  # metric id → value per request
    one_token: Column = None  # bool: an answer of one token, which has no gaps
    met: Mapping[str, Column] = field(default_factory=dict)  # goodput SLO → bool
    good: Column = None  # bool: met every SLO; None where there is no ``goodput:``
    gaps: Mapping[str, tuple[Column, Column]] = field(default_factory=dict)  # itl, itl_token → (when it ended, gap)
    tallies: Mapping[str, tuple[Column, Column]] = field(default_factory=dict)  # throughput → (when, how much)
    errors: Mapping[str, int] = field(default_factory=dict)  # kind of error → how many
    tokens: Mapping[str, Column] = field(
        default_factory=dict
    )  # prompt, asked_input, output, asked_output, cached, shared
    odd: Mapping[str, Column] = field(default_factory=dict)  # what is unlike what was asked (``measure.oddities``)
    token_sources: Mapping[str, int] = field(default_factory=dict)  # token_source → requests that were answered
    begin: float | None = None  # first sent
    end: float | None = None  # last done
    tracks: Sequence[Track] = ()  # what was watched meanwhile, on the same clock

    @property
    def judged(self) -> tuple[float, float] | None:
        """The window that rules are judged in: the steady one, or the whole run; None where nothing came to an end."""
        whole = None if self.begin is None or self.end is None else (self.begin, self.end)
        return self.steady or whole
