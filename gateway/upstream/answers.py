"""A provider's answer, whichever transport it comes through."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Protocol

import httpx

from gateway.errors import GatewayError
from gateway.upstream.failures import Translation
from gateway.wire import BodyTooLarge

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Largest answer that is read whole."""
_END_SECONDS = 0.2


class Body(Protocol):
    """A body that comes in: the wire's, or one of httpx made alike."""

    complete: bool

    async def aclose(self) -> None:
        """Give up what has not been read."""
        ...

    async def __anext__(self) -> bytes:
        """Give the next piece."""
        ...

    async def read(self, limit: int, *, deadline: float | None = None) -> bytes:
        """Give the whole body, of `limit` bytes at most, until `deadline` on the loop's clock."""
        ...


class HttpxBody:
    """The body of an answer that came through an httpx transport, undecoded."""

    __slots__ = ("_pieces", "_stream", "complete")

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self.complete = False  # httpx wants its streams closed in any case
        self._stream = stream
        self._pieces = aiter(stream)

    async def aclose(self) -> None:
        """Give up what has not been read."""
        await self._stream.aclose()

    async def __anext__(self) -> bytes:
        """Give the next piece."""
        return await anext(self._pieces)

    async def read(self, limit: int, *, deadline: float | None = None) -> bytes:
        """Give the whole body; `BodyTooLarge` past `limit` bytes, `ReadTimeout` at `deadline`."""
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout_at(deadline):
                async for piece in self._pieces:
                    size += len(piece)
                    if size > limit:
                        raise BodyTooLarge(f"the body is larger than {limit} bytes")
                    pieces.append(piece)
        except TimeoutError as error:
            raise httpx.ReadTimeout("the whole answer took too long") from error
        return b"".join(pieces)


class Answer:
    """An answer whose head has arrived; good until it is closed, which whoever asked for it must do.

    `headers` are raw and as received. The body comes either piece by piece (`async for`), each as soon as it is
    there, or whole (`read`), undecoded in both cases.
    """

    __slots__ = ("_body", "_deadline", "_translation", "headers", "status")

    def __init__(
        self,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        body: Body,
        *,
        deadline: float,
        translation: Translation,
    ) -> None:
        self.status = status
        self.headers = headers
        self._body = body
        self._deadline = deadline
        self._translation = translation

    @property
    def complete(self) -> bool:
        """Whether all of the body has come in, so that there is nothing left to close."""
        return self._body.complete

    def header(self, name: str) -> str | None:
        """Give the first header of this lower-case name."""
        wanted, size = name.encode(), len(name)
        for key, value in self.headers:
            if len(key) == size and key.lower() == wanted:
                return value.decode("latin-1")
        return None

    async def read(self, limit: int = MAX_ANSWER_BYTES) -> bytes:
        """Give the whole body.

        `UnusableAnswer` past `limit` bytes; `TimedOut` when request and answer together take longer than the
        provider's time-out.
        """
        with self._translation:
            return await self._body.read(limit, deadline=self._deadline)

    async def drain(self) -> None:
        """Wait a moment for the end behind an end mark, so that the connection can be used again."""
        with suppress(TimeoutError, GatewayError):
            async with asyncio.timeout(_END_SECONDS):
                while await anext(self, None) is not None:
                    pass

    async def aclose(self) -> None:
        """Give up what has not been read, and with it the connection; as often as wanted."""
        with self._translation:
            await self._body.aclose()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Give the next piece; the provider's time-out bounds the wait for it."""
        with self._translation:
            return await self._body.__anext__()
