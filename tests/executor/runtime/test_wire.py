"""The frames as the supervisor speaks them are those of `executor.sandboxes.frames`."""

import json
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.runtime import wire
from executor.sandboxes import frames

KINDS = st.sampled_from([b"R", b"O", b"V"])


@given(st.lists(st.tuples(KINDS, st.binary(max_size=200)), max_size=8), st.data())
def test_frames_split_anywhere_come_out_whole(sent: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    raw = b"".join(frames.encode(*frame) for frame in sent)
    ours, theirs = wire.Decoder(), frames.FrameDecoder()
    got: list[tuple[bytes, bytes]] = []
    expected: list[tuple[bytes, bytes]] = []
    while raw:
        size = data.draw(st.integers(1, len(raw)))
        got += ours.feed(raw[:size])
        expected += theirs.feed(raw[:size])
        raw = raw[size:]
    assert got == expected == sent


def test_a_frame_beyond_the_limit_is_refused_before_it_is_there() -> None:
    with pytest.raises(wire.Closed):
        wire.Decoder(10).feed(frames.HEAD.pack(b"J", 11))


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5))
def test_json_is_always_valid_utf8(value: object) -> None:
    text = wire.to_json(value).decode()
    json.loads(text)


def test_lone_surrogates_become_replacement_characters() -> None:
    assert json.loads(wire.to_json({"a\ud800": "\udc00b😀"})) == {"a\ufffd": "\ufffdb😀"}


def test_what_cannot_be_written_waits_and_is_not_lost() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        spoken = wire.Wire(outgoing=writer)
        payload = os.urandom(300_000)
        spoken.send(b"O", payload)
        assert spoken.backlog
        decoder = wire.Decoder()
        got: list[tuple[bytes, bytes]] = []
        while not got:
            got += decoder.feed(os.read(reader, 1 << 16))
            spoken.pump()
        assert got == [(b"O", payload)]
        assert not spoken.backlog
    finally:
        os.close(reader)
        os.close(writer)


def test_a_reader_that_does_not_read_is_given_up() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        spoken = wire.Wire(outgoing=writer)
        spoken.send(b"O", bytes(300_000))
        with pytest.raises(wire.Closed):
            spoken.flush(time.monotonic() + 0.05)
    finally:
        os.close(reader)
        os.close(writer)
