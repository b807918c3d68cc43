"""Streams cut into frames without touching their bytes."""

import re

from gateway.errors import UnusableAnswer

MAX_FRAME_BYTES = 8 * 1024 * 1024

_SSE_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_NDJSON_END = re.compile(rb"\n")
_DATA = re.compile(rb"^data:[ ]?(.*?)\r?$", re.MULTILINE)
_EVENT = re.compile(rb"^event:[ ]?(.*?)\r?$", re.MULTILINE)


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

    def rest(self) -> bytes:
        """Give what has come without an end."""
        rest, self._held = self._held, b""
        return rest


def sse_cutter() -> FrameCutter:
    """Cut a text/event-stream into events."""
    return FrameCutter(_SSE_END)


def ndjson_cutter() -> FrameCutter:
    """Cut NDJSON into lines."""
    return FrameCutter(_NDJSON_END)


def data_of(frame: bytes) -> bytes:
    """Give the data of an event; empty for comments and blank frames."""
    if frame.startswith(b"data: ") and frame.endswith(b"\n\n") and frame.find(b"\n", 6, -2) < 0:
        return frame[6:-2]
    return b"\n".join(_DATA.findall(frame))


def event_of(frame: bytes) -> bytes:
    """Give the name of an event; empty if it has none."""
    found = _EVENT.search(frame)
    return found[1] if found else b""
