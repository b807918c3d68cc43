"""The server side of HTTP/1.1: Sanic's, with a straight way through for what nearly all requests and answers look like.

A head that has come in whole and asks for nothing special, and an answer that goes out whole, are read and written
here in one go. Whatever else there is, Sanic's own code takes, which also finds the words for what is wrong: the
straight way declines before it has changed anything.
"""

import asyncio
from http import HTTPStatus
from typing import Any

from sanic.compat import Header
from sanic.http import Http, Stage
from sanic.server import HttpProtocol

from gateway.api.replies import Reply

_WITH_BODY = frozenset(status.value for status in HTTPStatus if status >= 200) - {204, 304}


class QuickHttp(Http):
    """One connection's requests, one after the other."""

    async def http1_request_header(self) -> None:
        """Take the next request's head."""
        buffer: bytearray = self.recv_buffer
        end = buffer.find(b"\r\n\r\n")
        if not 0 < end < self.HEADER_MAX_SIZE or not self._take_head(bytes(buffer[:end])):
            await super().http1_request_header()  # type: ignore[no-untyped-call]  # Sanic has no hints here

    def _take_head(self, head: bytes) -> bool:
        """Make a request of a plain head; False, with nothing changed, for any other."""
        if not head.isascii():
            return False
        first, *lines = head.decode("ascii").split("\r\n")
        line = first.split(" ")
        pairs = []
        for text in lines:
            name, colon, value = text.partition(":")
            if not colon:
                return False
            pairs.append((name.lower(), value.lstrip()))
        headers = Header(pairs)
        lengths = headers.getall("content-length", ())
        if len(line) != 3 or line[2] != "HTTP/1.1" or line[0].upper() == "HEAD" or len(lengths) > 1:
            return False
        if "connection" in headers and any(value.lower() != "keep-alive" for value in headers.getall("connection")):
            return False
        if "transfer-encoding" in headers or "upgrade" in headers or "expect" in headers:
            return False
        if lengths and not lengths[0].isdigit():
            return False
        protocol: Any = self.protocol
        request = protocol.request_class(
            url_bytes=line[1].encode("ascii"),
            headers=headers,
            head=head,
            version="1.1",
            method=line[0],
            transport=protocol.transport,
            app=protocol.app,
        )
        protocol.request_class._current.set(request)
        self.url = line[1]
        self.keep_alive, self.head_only = True, False
        self.request_bytes_left = self.request_bytes = int(lengths[0]) if lengths else 0
        self.request_body = True if lengths else None  # type: ignore[assignment]  # that is what Sanic keeps in it
        del self.recv_buffer[: len(head) + 4]
        self.request, request.stream = request, self
        protocol.state["requests_count"] += 1
        return True

    async def http1_response_header(self, data: bytes, end_stream: bool) -> None:  # noqa: FBT001  # as Sanic has it
        """Begin to answer; a plain answer with a body goes out whole."""
        reply = self.response
        if (
            type(reply) is not Reply
            or data
            or not end_stream
            or not reply.body
            or self.head_only
            or self.expecting_continue
            or reply.status not in _WITH_BODY
        ):
            await super().http1_response_header(data, end_stream)
            return
        self.response_func = None  # type: ignore[assignment]  # as Sanic marks the end of an answer
        self.response_size = len(reply.body)
        await self._send(reply.write(keep_alive=self.keep_alive))
        self.stage = Stage.IDLE


class QuickHttpProtocol(HttpProtocol):
    """A connection that is served by `QuickHttp`."""

    __slots__ = ()

    HTTP_CLASS = QuickHttp

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._data_received: Any = _Bell(self.loop)


class _Bell:
    """What Sanic uses of an `asyncio.Event`, for the one task of a connection: that more has come in."""

    __slots__ = ("_loop", "_rung", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None

    def clear(self) -> None:
        self._rung = False

    def set(self) -> None:
        self._rung = True
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def wait(self) -> "asyncio.Future[None]":
        waiter = self._loop.create_future()
        if self._rung:
            waiter.set_result(None)
        else:
            self._waiter = waiter
        return waiter
