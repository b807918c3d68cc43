"""Server-sent events as the HTML standard has them, lines of JSON, both cut anywhere and both bounded."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import UnusableAnswer
from gateway.providers.framing import NdjsonDecoder, SseDecoder


def events_of(*pieces: bytes) -> list[tuple[str, str]]:
    decoder = SseDecoder()
    return [tuple(event) for piece in pieces for event in decoder.feed(piece)]


def feed_all(decoder: SseDecoder, pieces: list[bytes]) -> None:
    for piece in pieces:
        decoder.feed(piece)


# The examples of the standard's section "Interpreting an event stream", and the rules around them.
@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10")]),
        (b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event", None),
        (b"data\n\ndata\ndata\n\ndata:", [("message", ""), ("message", "\n")]),
        (b"data:test\n\ndata: test\n\n", [("message", "test"), ("message", "test")]),
        (b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n", [("add", "73857293"), ("remove", "2153")]),
        (b"event: ping\n\ndata: x\n\n", [("message", "x")]),
        (b"retry: 10\nfoo: bar\n:\ndata: x\n\n", [("message", "x")]),
        (b"data: a\rdata: b\r\r", [("message", "a\nb")]),
        (b"data: a\r\ndata: b\r\n\r\n", [("message", "a\nb")]),
        (b"\xef\xbb\xbfdata: bom\n\n", [("message", "bom")]),
        (b"data: \xff\n\n", [("message", "�")]),
        (b"data: x: y\n\n", [("message", "x: y")]),
        (b"\n\n\n", []),
    ],
)
def test_a_stream_is_read_as_the_standard_says(stream: bytes, events: list[tuple[str, str]] | None):
    expected = [("message", "first event"), ("message", "second event")] if events is None else events
    assert events_of(stream) == expected
    for cut in range(len(stream) + 1):
        assert events_of(stream[:cut], stream[cut:]) == expected
    assert events_of(*(bytes([byte]) for byte in stream)) == expected


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20), max_size=5),
    st.sampled_from([b"\n", b"\r", b"\r\n"]),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_what_is_written_is_read_wherever_it_is_cut(texts: list[str], end: bytes, cuts: list[int]):
    stream = b"".join(b": hush" + end + b"data: " + text.encode() + end + end for text in texts)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:stop] for start, stop in pairwise(places)]
    assert events_of(*pieces) == [("message", text) for text in texts]


def test_an_event_without_its_last_blank_line_is_given_by_the_flush():
    decoder = SseDecoder()
    assert decoder.feed(b"data: [DONE]") == []
    assert decoder.flush() == [("message", "[DONE]")]
    assert decoder.flush() == []


def test_an_event_over_the_limit_is_refused_however_it_comes():
    for stream in (b"data: " + b"x" * 200, b"data: xxxxxxxx\n" * 30):
        for size in (1, 7, 500):
            pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
            with pytest.raises(UnusableAnswer):
                feed_all(SseDecoder(limit=100), pieces)
    assert len(SseDecoder(limit=100).feed(b"data: xxxxxxxx\n\n" * 30)) == 30


def test_lines_are_read_wherever_they_are_cut():
    stream = '{"a": "żółć"}\r\n\n  \n{"b": 2}\n{"c": 3}'.encode()
    for cut in range(len(stream) + 1):
        decoder = NdjsonDecoder()
        lines = decoder.feed(stream[:cut]) + decoder.feed(stream[cut:])
        assert lines == ['{"a": "żółć"}', '{"b": 2}']
        assert decoder.flush() == ['{"c": 3}']


def test_a_line_over_the_limit_is_refused():
    with pytest.raises(UnusableAnswer):
        NdjsonDecoder(limit=100).feed(b"x" * 101)
    assert len(NdjsonDecoder(limit=100).feed(b"x" * 99 + b"\n" + b"y" * 99 + b"\n")) == 2
