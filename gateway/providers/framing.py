"""Where one event of a byte stream ends and the next begins: server-sent events and lines of JSON.

Bytes may be cut anywhere, within a character or a line end as well. Both decoders are bounded: an event or a line
over the limit is an `UnusableAnswer`, so that an upstream cannot fill our memory.
"""

from typing import NamedTuple

from gateway.errors import UnusableAnswer

MAX_FRAME_BYTES = 8 * 1024 * 1024
"""Largest event or line that is taken; an image in a stream fits, a runaway does not."""

_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One event: its name (`message` when none was given) and its data lines joined by line feeds."""

    event: str
    data: str


class SseDecoder:
    """Server-sent events as the HTML standard defines them (section "Server-sent events", parsing).

    Line ends are CR, LF or CRLF; comments, `id` and `retry` are passed over; invalid UTF-8 is replaced.
    """

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self._limit = limit
        self._line = bytearray()
        self._event = ""
        self._data: list[bytes] = []
        self._size = 0
        self._at_start = True
        self._after_cr = False

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take the next bytes, give the events that are complete with them."""
        if self._after_cr and data[:1] == b"\n":
            data = data[1:]
            self._after_cr = False
        events: list[ServerSentEvent] = []
        if not data:
            return events
        for piece in data.splitlines(keepends=True):
            content = piece.rstrip(b"\r\n")
            if self._line or len(content) == len(piece):
                self._line += content
                self._check_size(len(self._line))
            if len(content) == len(piece):
                break
            line = bytes(self._line) if self._line else content
            self._line.clear()
            event = self._take_line(line)
            if event is not None:
                events.append(event)
        self._after_cr = data[-1:] == b"\r"
        return events

    def flush(self) -> list[ServerSentEvent]:
        """Give the event that lacks its closing blank line, if there is one.

        The standard would discard it; servers that forget the last line feed are too many for that.
        """
        line = bytes(self._line)
        self._line.clear()
        if line:
            self._take_line(line)
        event = self._dispatch()
        return [event] if event is not None else []

    def _take_line(self, line: bytes) -> ServerSentEvent | None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._size += len(value)
            self._check_size(self._size)
            self._data.append(value)
        elif field == b"event":
            self._event = value.decode("utf-8", "replace")
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        name, lines = self._event, self._data
        self._event, self._data, self._size = "", [], 0
        if not lines:
            return None
        data = lines[0] if len(lines) == 1 else b"\n".join(lines)
        return ServerSentEvent(name or "message", data.decode("utf-8", "replace"))

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise UnusableAnswer(f"the provider sent a stream event of more than {self._limit} bytes")


class NdjsonDecoder:
    """Lines of JSON (application/x-ndjson): one value a line, blank lines passed over, invalid UTF-8 replaced."""

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self._limit = limit
        self._line = bytearray()

    def feed(self, data: bytes) -> list[str]:
        """Take the next bytes, give the lines that are complete with them."""
        *complete, rest = data.split(b"\n")
        lines: list[str] = []
        for piece in complete:
            self._extend(piece)
            lines += self.flush()
        self._extend(rest)
        return lines

    def flush(self) -> list[str]:
        """Give the line that lacks its line feed, if there is one."""
        line = self._line.decode("utf-8", "replace").strip()
        self._line.clear()
        return [line] if line else []

    def _extend(self, piece: bytes) -> None:
        self._line += piece
        if len(self._line) > self._limit:
            raise UnusableAnswer(f"the provider sent a line of more than {self._limit} bytes")
