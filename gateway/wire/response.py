"""An answer on the wire: its head, and its body as it comes in."""

import asyncio
from collections.abc import Awaitable
from typing import Protocol

import httpx


class Source(Protocol):
    """What an answer needs of the connection it comes in on."""

    def now(self) -> float:
        """Give the loop's clock, in seconds."""
        ...

    def wait(self, deadline: float, late: type[httpx.TimeoutException]) -> Awaitable[None]:
        """Give what is done when something has come in or the connection is lost; it raises `late` at `deadline`."""
        ...

    def resume(self) -> None:
        """Read on, if reading was held back."""
        ...

    def abort(self) -> None:
        """Close the connection at once."""
        ...


class ServerDisconnected(httpx.RemoteProtocolError):
    """The server closed the connection without a byte of an answer."""


class BodyTooLarge(httpx.RemoteProtocolError):
    """A whole body was asked for and is larger than the limit."""


class WireResponse:
    """Status, headers as received, and the body, piece by piece or whole.

    The connection fills it in; once `complete`, it holds no connection any more. What was buffered when the
    connection broke is still given out before the error is raised. `buffered` is in bytes.
    """

    __slots__ = ("_pieces", "_read_seconds", "_source", "buffered", "complete", "error", "headers", "status")

    def __init__(self, source: Source, read_seconds: float) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.buffered = 0
        self.complete = False
        self.error: BaseException | None = None
        self._pieces: list[bytes] = []
        self._source: Source = source
        self._read_seconds = read_seconds

    def push(self, piece: bytes) -> None:
        """Take the next bytes of the body."""
        self._pieces.append(piece)
        self.buffered += len(piece)

    def __aiter__(self) -> "WireResponse":
        return self

    async def __anext__(self) -> bytes:
        """Give what has come in, joined; waits at most the read time-out for more."""
        if not self._pieces:
            await self._more(self._source.now() + self._read_seconds)
            if not self._pieces:
                raise StopAsyncIteration
        return self._take()

    async def read(self, limit: int, *, deadline: float | None = None) -> bytes:
        """Give the whole body; `BodyTooLarge` past `limit` bytes.

        `deadline` is on the loop's clock and bounds all of it; without one, the read time-out bounds each wait.
        """
        whole: list[bytes] = []
        size = 0
        while True:
            if self._pieces:
                size += self.buffered
                if size > limit:
                    self.close()
                    raise BodyTooLarge(f"the body is larger than {limit} bytes")
                whole.append(self._take())
            if self.complete:
                return whole[0] if len(whole) == 1 else b"".join(whole)
            await self._more(self._source.now() + self._read_seconds if deadline is None else deadline)

    def close(self) -> None:
        """Give up the rest; a connection that still has some of it to bring is closed at once."""
        self._pieces.clear()
        self.buffered = 0
        if not self.complete and self.error is None:
            self.error = httpx.ReadError("the answer was closed")
            self._source.abort()

    async def aclose(self) -> None:
        """Close, for whoever has to await that."""
        self.close()

    def _take(self) -> bytes:
        pieces = self._pieces
        taken = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.buffered = 0
        if not self.complete:
            self._source.resume()
        return taken

    async def _more(self, deadline: float) -> None:
        while not self._pieces and not self.complete:
            if self.error is not None:
                raise self.error
            try:
                await self._source.wait(deadline, httpx.ReadTimeout)
            except (httpx.TimeoutException, asyncio.CancelledError):
                self.close()
                raise
