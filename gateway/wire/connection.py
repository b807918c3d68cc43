"""One connection to a provider: HTTP/1.1 (RFC 9112) over an asyncio transport, parsed by httptools.

A connection serves one exchange at a time and gives itself back as soon as the answer is complete. It gives itself
back only if nothing is left over on either side; else it closes. All waiting goes through `wait`: one future, and
one timer that is moved only when a deadline comes nearer, so an exchange costs no timer of its own.
"""

import asyncio
import math
import socket
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import aclosing
from typing import cast

import httptools
import httpx

from gateway.wire.request import SLICE, Timeouts, frame_body, slice_body
from gateway.wire.response import ServerDisconnected, WireResponse

HEAD_LIMIT = 64 * 1024
"""Most bytes of head, interim answers, chunk extensions or trailers that are taken without a byte of body."""
HIGH_WATER = 64 * 1024
"""Bytes of body that may lie unread before the connection stops reading."""


class Connection(asyncio.Protocol):
    """One socket: writes a request, fills in a `WireResponse`.

    `on_idle` is called when it may be used again, `on_lost` when the socket is gone. `answered` says whether a byte
    has come in since the request was written, `exchanges` how many requests it has been used for.
    """

    __slots__ = (
        "_choked", "_deadline", "_dirty", "_drained", "_failure", "_head_request", "_headers", "_interim",
        "_late", "_loop", "_on_idle", "_on_lost", "_overhead", "_parser", "_paused", "_response", "_sender", "_timer",
        "_timer_at", "_transport", "_waiter", "answered", "exchanges", "idle_since", "lost",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_idle: Callable[["Connection"], None],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self._loop = loop
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._transport: asyncio.Transport = asyncio.Transport()
        self._parser: httptools.HttpResponseParser | None = None
        self.exchanges = 0
        self.idle_since = 0.0
        self.lost = False
        # Of the exchange that is going on.
        self.answered = False
        self._response: WireResponse | None = None
        self._headers: list[tuple[bytes, bytes]] | None = None
        self._head_request = False
        self._interim = False
        self._overhead = 0
        self._failure: str | None = None
        self._dirty = False
        # Of the flow in both directions.
        self._sender: asyncio.Task[None] | None = None
        self._choked = False
        self._drained: asyncio.Future[None] | None = None
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = math.inf
        self._late: type[httpx.TimeoutException] = httpx.ReadTimeout
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    @property
    def usable(self) -> bool:
        """Whether a request may be written."""
        return not self._transport.is_closing()

    async def exchange(
        self,
        head: bytes,
        body: bytes | AsyncIterable[bytes],
        *,
        head_request: bool,
        length: int | None,
        timeouts: Timeouts,
    ) -> WireResponse:
        """Write a request and give its answer as soon as the head of it is there.

        `head` ends with the empty line. A streamed body goes out as it is when `length` tells its size, else in
        chunks; it goes on going out beside an answer that comes early, until that answer is complete.
        """
        response = self._begin(head_request=head_request, read_seconds=timeouts.read)
        try:
            if isinstance(body, bytes) and len(body) <= SLICE:
                self._transport.write(head + body)
            else:
                self._transport.write(head)
                pieces = slice_body(body) if isinstance(body, bytes) else frame_body(body, length)
                self._sender = self._loop.create_task(self._send(pieces, timeouts.write))
                self._sender.add_done_callback(self._sent)
            deadline = math.inf  # the time runs from when the request has gone out
            while response.status == 0:
                if response.error is not None:
                    raise response.error
                if self._sender is None and deadline == math.inf:
                    deadline = self._loop.time() + timeouts.read
                await self.wait(deadline, httpx.ReadTimeout)
        except BaseException:
            response.close()
            raise
        return response

    def _begin(self, *, head_request: bool, read_seconds: float) -> WireResponse:
        response = WireResponse(self, read_seconds)
        self._response = response
        self._headers = response.headers
        self._head_request = head_request
        self._interim = False
        self._overhead = 0
        self.answered = False
        self.exchanges += 1
        if self.lost:  # since it was handed over
            raise ServerDisconnected("the server closed the connection without an answer")
        return response

    # Sending.

    async def _send(self, pieces: AsyncGenerator[bytes, None], write_seconds: float) -> None:
        async with aclosing(pieces):
            async for piece in pieces:
                self._transport.write(piece)
                if self._choked:
                    await self._drain(write_seconds)

    async def _drain(self, seconds: float) -> None:
        self._drained = self._loop.create_future()
        try:
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                await self._drained
        except TimeoutError:
            raise httpx.WriteTimeout("the server does not take the request's body") from None

    def _sent(self, sender: asyncio.Task[None]) -> None:
        error = httpx.WriteError("the body's source was cancelled") if sender.cancelled() else sender.exception()
        if sender is not self._sender:
            return
        self._sender = None
        if error is not None:
            self._fail(error)
        self._wake()

    def _stop_sending(self) -> None:
        if self._sender is not None:
            sender, self._sender = self._sender, None
            sender.cancel()

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._choked = True

    def resume_writing(self) -> None:
        """The transport's buffer has room again."""
        self._choked = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # Waiting.

    def now(self) -> float:
        """Give the loop's clock, in seconds."""
        return self._loop.time()

    def wait(self, deadline: float, late: type[httpx.TimeoutException]) -> "asyncio.Future[None]":
        """Give what is done when something has come in or the connection is lost; it raises `late` at `deadline`."""
        self._deadline = deadline
        self._late = late
        if deadline < self._timer_at:
            self._set_timer(deadline)
        waiter = self._waiter = self._loop.create_future()
        return waiter

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._on_timer)
        self._timer_at = when

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        waiter = self._waiter
        if waiter is None or waiter.done() or self._deadline == math.inf:
            return
        if self._deadline - self._loop.time() > 0.001:
            self._set_timer(self._deadline)
        else:
            self._waiter = None
            waiter.set_exception(self._late("the server did not answer in time"))

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    # Receiving: called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; have the kernel notice a peer that is gone (asyncio itself sets TCP_NODELAY)."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are alike, but no descendants
        self._parser = httptools.HttpResponseParser(self)
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)

    def data_received(self, data: bytes) -> None:
        """Parse what came in, then wake whoever waits for it, once."""
        response, parser = self._response, self._parser
        if response is None or parser is None:
            self.abort()  # nobody asked for this
            return
        self.answered = True
        self._overhead += len(data)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._dirty = True
            if not response.complete and self._failure is None:
                self._failure = f"malformed answer: {error}"
        if self._failure is not None:
            self._fail(httpx.RemoteProtocolError(self._failure))
        elif response.complete:
            self._finish()
        elif self._overhead > HEAD_LIMIT:
            self._fail(httpx.RemoteProtocolError("the head of the answer is too large"))
        elif response.buffered:
            if response.buffered > HIGH_WATER and not self._paused:
                self._paused = True
                self._transport.pause_reading()
            self._wake()
        elif response.status:
            self._wake()

    def eof_received(self) -> None:
        """The server sends no more: end the answer, and let the transport close."""
        self._end(None)
        self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone: end the answer, tell the pool."""
        self.lost = True
        self._end(error)
        self._stop_sending()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._parser = None
        self._on_lost(self)

    def resume(self) -> None:
        """Read on, if reading was held back."""
        if self._paused:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def close(self) -> None:
        """Close in good order; what was written still goes out."""
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._stop_sending()
        self._transport.abort()

    # Receiving: called by the parser.

    def on_message_begin(self) -> None:
        """A further message after the answer was complete: the connection is dirty."""
        if self._response is not None and self._response.complete:
            self._dirty = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; trailers are not kept."""
        if self._headers is None:
            return
        value = value.strip(b" \t")
        if len(name) == 17 and name.lower() == b"transfer-encoding" and value.lower() != b"chunked":
            self._failure = "the answer has a transfer coding other than chunked"
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is there: an interim answer is skipped, another one begins the body."""
        response, parser = self._response, self._parser
        if response is None or parser is None or response.complete:
            return
        if (
            self._overhead > HEAD_LIMIT
            and sum(len(name) + len(value) + 4 for name, value in response.headers) > HEAD_LIMIT
        ):
            self._failure = "the head of the answer is too large"
        status = parser.get_status_code()
        if status < 200:
            self._interim = True
            response.headers.clear()
            if status == 101:
                self._failure = "the server switches to a protocol that nobody asked for"
            return
        self._overhead = 0
        self._headers = None
        response.status = status
        if self._head_request:
            # The parser waits for the body that the head announces: so the connection is not used again.
            self._dirty = True
            response.complete = True

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        response = self._response
        if response is None or response.complete:
            self._dirty = True
            return
        self._overhead = 0
        response.push(piece)

    def on_message_complete(self) -> None:
        """The end of an interim answer or of the answer."""
        response, parser = self._response, self._parser
        if self._interim:
            self._interim = False
        elif response is not None and parser is not None and not response.complete:
            response.complete = True
            self._dirty = not parser.should_keep_alive()

    # Ends.

    def _finish(self) -> None:
        """The answer is complete: give the connection back, or close it if anything is left over."""
        self._response = None
        self._wake()
        self.resume()
        if self._dirty or self._sender is not None or self._transport.get_write_buffer_size():
            self.abort()
        elif not self._transport.is_closing():
            self._on_idle(self)

    def _end(self, error: Exception | None) -> None:
        """No more bytes come: that completes an answer that lasts until the close, and cuts short any other."""
        response, self._response = self._response, None
        if response is None or response.error is not None:
            return
        if error is None and response.status and _until_close(response.headers):
            response.complete = True
        elif error is not None:
            response.error = httpx.ReadError(f"the connection broke: {error}")
        elif self.answered:
            response.error = httpx.RemoteProtocolError("the server closed the connection in the middle of its answer")
        else:
            response.error = ServerDisconnected("the server closed the connection without an answer")
        self._wake()

    def _fail(self, error: BaseException) -> None:
        response, self._response = self._response, None
        if response is not None and response.error is None:
            response.error = error
        self.abort()
        self._wake()


def _until_close(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a body with these headers ends with the connection (RFC 9112, 6.3)."""
    return not any(name.lower() in {b"content-length", b"transfer-encoding"} for name, _ in headers)
