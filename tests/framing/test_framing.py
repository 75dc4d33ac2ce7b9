"""Bytes → events: whatever the split, whatever the line ends."""

from __future__ import annotations

import itertools

import pytest
from every import every
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_vllm_bench.framing import MOST_BYTES, Events, Framing, TooLong


def framed(data: bytes, framing: Framing = "sse", places: tuple[int, ...] = ()) -> list[bytes]:
    events = Events(framing)
    bounds = [0, *sorted(set(places)), len(data)]
    payloads = [p for a, b in itertools.pairwise(bounds) for p in events.feed(data[a:b])]
    return payloads + events.flush()


@every(
    ("data", "payloads"),
    [
        (b'data: {"a":1}\n\n', [b'{"a":1}']),
        (b'data:{"a":1}\n\n', [b'{"a":1}']),  # no space: TGI before 2.1
        (b'data: {"a":1} \n\n', [b'{"a":1} ']),  # a space behind: trtllm-serve
        (b"data:  x\n\n", [b" x"]),  # only one space belongs to the framing
        (b'data: {"a":1}\r\n\r\ndata: {"b":2}\r\n\r\n', [b'{"a":1}', b'{"b":2}']),
        (b'data: {"a":1}\r\rdata: {"b":2}\r\r', [b'{"a":1}', b'{"b":2}']),
        (b'data: {"a":\ndata: 1}\n\n', [b'{"a":\n1}']),
        (b'event: x\nid: 7\nretry: 10\ndata: {"a":1}\n\n', [b'{"a":1}']),
        (b": keep-alive\n\n:\n\ndata: 1\n\n: ping\n\n", [b"1"]),
        (b": ping\ndata: 1\n: ping\n\n", [b"1"]),
        (b"data\n\ndata:\n\ndata: \n\n", []),
        (b"event: only\n\n", []),
        (b"event: error\ndata: no\ndata: more\n\n", [b'{"object":"error","error":"no\\nmore"}']),
        (b'data: {"a":1}\nevent:server_error\n\n', [b'{"object":"error","error":{"a":1}}']),
        (b"event: ERROR\n\n", [b'{"object":"error","error":"error"}']),
        (b"\n\n\n\ndata: 1\n\n\n\n\ndata: 2\n\n", [b"1", b"2"]),
        (b"data: 1\n\ndata: 2", [b"1", b"2"]),  # the last blank line left out
        (b"data: 1\n\ndata: 2\n", [b"1", b"2"]),
        (b'data: 1\n\n{"error":"naked"}', [b"1", b'{"error":"naked"}']),  # ScaleLLM
        (b'{"error":\n {"message": "pretty"}\n}\n', [b'{"error":\n {"message": "pretty"}\n}\n']),
        (b"<html>no stream</html>\n\n", [b"<html>no stream</html>"]),
        ("data: a\u2028b\u0085c\n\n".encode(), ["a\u2028b\u0085c".encode()]),
        (b"", []),
        (b" \n\n \n", []),
    ],
)
def test_server_sent_events(data: bytes, payloads: list[bytes]) -> None:
    assert framed(data) == payloads
    for place in range(len(data) + 1):
        assert framed(data, places=(place,)) == payloads
    assert framed(data, places=tuple(range(len(data)))) == payloads


def test_lines_of_json() -> None:
    data = b'{"a":"\xe4\xbd\xa0"}\n\r\n{"b":2}\r\n{"c":3}'
    expected = [b'{"a":"\xe4\xbd\xa0"}', b'{"b":2}\r', b'{"c":3}']
    for place in range(len(data) + 1):
        assert framed(data, "ndjson", (place,)) == expected


def test_one_document() -> None:
    data = b'{"a":\n\n[1,\n2]}\n'
    assert framed(data, "json", (3, 5, 6)) == [data]
    assert framed(b"", "json") == []


_LINES = st.lists(
    st.one_of(
        st.sampled_from([b"", b":", b": ping", b"data", b"event: x", b"id: 1", b"nonsense", b'{"naked":1}']),
        st.text(alphabet='ab {}":\u00e9\u4f60\u2028\u0085', max_size=8).map(lambda t: b"data: " + t.encode()),
        st.text(alphabet='ab {}":\u00e9\u4f60', max_size=8).map(lambda t: b"data:" + t.encode()),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(lines=_LINES, ends=st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), min_size=12, max_size=12), data=st.data())
def test_any_split_gives_the_same_events(lines: list[bytes], ends: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + end for line, end in zip(lines, ends, strict=False))
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    assert framed(stream, places=tuple(places)) == framed(stream)


@settings(deadline=None)
@given(lines=_LINES)
def test_line_ends_do_not_matter(lines: list[bytes]) -> None:
    assert framed(b"".join(line + b"\r\n" for line in lines)) == framed(b"".join(line + b"\n" for line in lines))


@pytest.mark.parametrize(
    ("kind", "begin", "piece", "end"),
    [
        ("sse", b"data: ", b"x" * 1024, b"\n\n"),
        ("sse", b"", b"data: " + b"x" * 1017 + b"\n", b"\n"),  # many lines, and the blank one cut in two
        ("sse", b"", b"data: " + b"x" * 1016 + b"\r\n", b"\r\n"),
        ("sse", b": ", b"x" * 1024, b"\ndata: 1\n\n"),
        ("ndjson", b"", b"x" * 1024, b"\n"),
    ],
)
def test_an_event_of_many_megabytes_in_small_reads_is_linear(
    kind: Framing, begin: bytes, piece: bytes, end: bytes
) -> None:
    """Quadratic joining would take minutes here."""
    events = Events(kind)
    assert events.feed(begin) == []
    for _ in range(16 * 1024):
        assert events.feed(piece) == []
    (payload,) = events.feed(end)
    assert len(payload) == (1 if begin == b": " else len(payload))
    assert events.feed(b"data: 2\n\n" if kind == "sse" else b"2\n") == [b"2"]


@pytest.mark.parametrize("kind", ["sse", "ndjson", "json"])
def test_an_event_without_an_end_is_given_up(kind: Framing) -> None:
    events, piece = Events(kind), b"data: " + b"x" * ((1 << 20) - 6)
    for _ in range(MOST_BYTES >> 20):
        events.feed(piece)
    with pytest.raises(TooLong, match="64 MiB"):
        events.feed(piece)
    assert not events.midway
