"""What came, as it lies on disk: the Entries of a tape."""

from __future__ import annotations

from typing import NamedTuple


class EntryKind:
    """The kinds of tape entry (one byte on disk)."""

    SENT = 1  # time = sent; data = struct SENT_FIELDS
    READ = 2  # time = when the read returned; data = the bytes, as they came from the socket (after TLS)
    END = 3  # time = when the end was noticed; data = one byte Ending, then UTF-8 words of the system or library


#: SENT: ready (f64), due (f64, absolute, NaN in a closed loop's refill), connect_s (f64, NaN if not connected for this
#: request), connection (u32), flags (u32: 1 reused, 2 reconnected).
SENT_FIELDS = "<dddII"


class Ending:
    """How a response ended, as the wire saw it (the first byte of an END entry's data)."""

    COMPLETE = 0  # HTTP says the message is whole
    EOF = 1  # the server closed; HTTP decides in decoding whether that was a legal end
    RESET = 2
    CONNECT = 3  # no connection
    TIMEOUT_CONNECT = 4
    TIMEOUT_FIRST = 5
    TIMEOUT_BETWEEN = 6
    TIMEOUT_TOTAL = 7
    CANCELLED = 8  # the run was stopped
    NOT_SENT = 9  # the run's own end came first
    PROTOCOL = 10  # not HTTP, or without an end
    CONTENT = 11  # the content says that the message is whole; HTTP does not yet


class Entry(NamedTuple):
    """One entry of a tape."""

    kind: int
    request: int  # the plan's row
    time: float  # absolute, seconds on the monotonic clock
    data: bytes
