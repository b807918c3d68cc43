"""Streams cut into frames without touching their bytes."""

import re

from gateway.errors import UnusableAnswer

MAX_FRAME_BYTES = 8 * 1024 * 1024

_SSE_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_NDJSON_END = re.compile(rb"\n")


class FrameCutter:
    """Cuts bytes, however they arrive, after each end of a frame; ends are part of their frame."""

    __slots__ = ("_end", "_held")

    def __init__(self, end: re.Pattern[bytes]) -> None:
        self._end = end
        self._held = b""

    def cut(self, data: bytes) -> list[bytes]:
        """Take bytes, give the frames that are complete; `UnusableAnswer` for one without an end in sight."""
        held = self._held + data if self._held else data
        frames = []
        start = 0
        for found in self._end.finditer(held):
            end = found.end()
            frames.append(held[start:end])
            start = end
        self._held = held[start:]
        if len(self._held) > MAX_FRAME_BYTES:
            raise UnusableAnswer("An event of the provider's stream is too large.")
        return frames

    @property
    def is_between(self) -> bool:
        """Whether nothing is held: what comes next begins a frame."""
        return not self._held

    def first(self, held: bytes) -> bytes | None:
        """Give the first frame of `held` that is more than a comment or a blank; None if it is not complete."""
        start = 0
        for end in self._end.finditer(held):
            frame = held[start : end.end()]
            if frame.strip() and not frame.startswith(b":"):
                return frame
            start = end.end()
        if len(held) > MAX_FRAME_BYTES:
            raise UnusableAnswer("An event of the provider's stream is too large.")
        return None

    def complete(self) -> bytes:
        """Give the end that what has come last still lacks; empty if nothing is held."""
        return b"\n\n" if self._held.strip() else b""


def sse_cutter() -> FrameCutter:
    """Cut a text/event-stream into events."""
    return FrameCutter(_SSE_END)


def ndjson_cutter() -> FrameCutter:
    """Cut NDJSON into lines."""
    return FrameCutter(_NDJSON_END)


def plain_data(frame: bytes) -> bytes:
    """Give the data of an event that is one `data: ` line and nothing else; empty for any other."""
    if frame.startswith(b"data: ") and frame.find(b"\n", 6) == len(frame) - 2 and b"\r" not in frame:
        return frame[6:-2]
    return b""


def named_data(frame: bytes) -> tuple[bytes, bytes]:
    """Give name and data of an event that is an `event: ` and a `data: ` line and nothing else; else both empty."""
    middle = frame.find(b"\n")
    if frame.startswith(b"event: ") and frame.startswith(b"data: ", middle + 1) and b"\r" not in frame:
        data = middle + 7
        if frame.find(b"\n", data) == len(frame) - 2:
            return frame[7:middle], frame[data:-2]
    return b"", b""


def read_event(frame: bytes) -> tuple[bytes, bytes]:
    """Give name and data of any event, on one line: in JSON a line break says no more than a space."""
    name = b""
    data = []
    for line in frame.splitlines():
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return name, b" ".join(data)
