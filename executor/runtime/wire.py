"""The frames of `executor.sandboxes.frames`, spoken from inside the box without ever blocking on the other end."""

from __future__ import annotations

import json
import os
import select
import struct
import time
from collections import deque
from itertools import islice

TYPE_CHECKING = False  # for types only: see `executor.runtime`
if TYPE_CHECKING:
    from typing import Any

HEAD = struct.Struct(">cI")
# Larger than any request the executor takes, smaller than what a frame may hold.
MAX_PAYLOAD = 64 * 1024 * 1024
_READ = 256 * 1024
_PIECES = 16


class Closed(Exception):
    """The executor has let go of the box, or does not speak the protocol."""


class Decoder:
    """Cuts bytes, however they are split, into (kind, payload) pairs; `Closed` on a frame over `limit` bytes."""

    def __init__(self, limit: int = MAX_PAYLOAD) -> None:
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Take bytes, give the frames that are complete."""
        buffer = self._buffer
        buffer += data
        frames = []
        start = 0
        while len(buffer) - start >= HEAD.size:
            kind, length = HEAD.unpack_from(buffer, start)
            if length > self._limit:
                raise Closed(f"a frame of {length} bytes")
            end = start + HEAD.size + length
            if len(buffer) < end:
                break
            frames.append((kind, bytes(buffer[start + HEAD.size : end])))
            start = end
        del buffer[:start]
        return frames


def to_json(value: Any) -> bytes:
    """Write JSON in valid UTF-8: lone surrogates, which JSON text can carry and UTF-8 cannot, become U+FFFD."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


class Wire:
    """The conversation with the executor. What cannot be written at once waits in memory.

    The amount that can wait is bounded by the caps of the job, since everything sent is.
    """

    def __init__(self, incoming: int = 0, outgoing: int = 1) -> None:
        self.incoming = incoming
        self.outgoing = outgoing
        self._decoder = Decoder()
        self._waiting: deque[memoryview] = deque()

    @property
    def backlog(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._waiting)

    def receive(self) -> list[tuple[bytes, bytes]]:
        """Read once, blocking if nothing is there; give the frames that are complete. `Closed` at the end."""
        data = os.read(self.incoming, _READ)
        if not data:
            raise Closed("the executor closed the stream")
        return self._decoder.feed(data)

    def send(self, kind: bytes, value: Any, *, more: bool = False) -> None:
        """Send an object as JSON, or bytes as they are; `more` follows at once, and can go in the same write."""
        payload = value if isinstance(value, bytes) else to_json(value)
        self._waiting.append(memoryview(HEAD.pack(kind, len(payload)) + payload))
        if not more:
            self.pump()

    def send_pieces(self, kind: bytes, length: int, pieces: Any, *, deadline: float) -> None:
        """Send one frame of `length` bytes from an iterable of bytes, never holding more than one piece."""
        self._queue(HEAD.pack(kind, length))
        for piece in pieces:
            self._queue(piece)
            self.flush(deadline)

    def pump(self) -> None:
        """Write what can be written now. `Closed` if nobody reads any more."""
        while self._waiting:
            try:
                written = os.writev(self.outgoing, list(islice(self._waiting, _PIECES)))
            except BlockingIOError:
                return
            except OSError as error:
                raise Closed("the executor does not read") from error
            while self._waiting and written >= len(self._waiting[0]):
                written -= len(self._waiting.popleft())
            if written:
                self._waiting[0] = self._waiting[0][written:]

    def flush(self, deadline: float) -> None:
        """Write all that waits; `Closed` if that takes past `deadline` (monotonic)."""
        self.pump()
        poll = select.poll()
        poll.register(self.outgoing, select.POLLOUT)
        while self._waiting:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Closed("the executor does not read")
            poll.poll(left * 1000)
            self.pump()

    def _queue(self, data: bytes) -> None:
        self._waiting.append(memoryview(data))
        self.pump()
