"""The server side of HTTP/1.1: Sanic's, with a straight way through for what nearly all requests and answers look like.

A head that has come in whole and asks for nothing special, and an answer that goes out whole, are read and written
here in one go. Whatever else there is, Sanic's own code takes, which also finds the words for what is wrong: the
straight way declines before it has changed anything.
"""

import asyncio
import re
from http import HTTPStatus
from typing import Any, NamedTuple, cast

from sanic import Request
from sanic.compat import Header
from sanic.exceptions import BadRequest, PayloadTooLarge, ServerError
from sanic.http import Http, Stage
from sanic.response import BaseHTTPResponse
from sanic.server import HttpProtocol

from gateway.api.guard import NO_LIMIT
from gateway.api.replies import Reply
from gateway.api.services import Findings

_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ?([0-9]{1,18})")
# RFC 9112, 5 and 2.2: a name is a token with the colon right behind it, and no line is folded or holds a bare CR, LF
# or NUL. Who reads such a head otherwise than the server before us did, sees another body, and another next request.
_WELL_FORMED = re.compile(rb"[^\r\n\0]*(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*)*")
_WITH_BODY = frozenset(status.value for status in HTTPStatus if status >= 200) - {204, 304}


class _Head(NamedTuple):
    """A plain head that has been read: what stands before and behind the length of the body, and what it says."""

    before: bytes
    behind: bytes
    method: str
    target: str
    headers: Header
    has_body: bool
    findings: Findings


class QuickHttp(Http):
    """One connection's requests, one after the other."""

    __slots__ = ("_known",)

    def __init__(self, protocol: HttpProtocol) -> None:
        super().__init__(protocol)  # type: ignore[no-untyped-call]  # Sanic has no hints here
        # Clients send the same head again and again, but for the length of the body.
        self._known: _Head | None = None

    async def http1_request_header(self) -> None:
        """Take the next request's head."""
        buffer: bytearray = self.recv_buffer
        end = buffer.find(b"\r\n\r\n")
        if not 0 < end < self.HEADER_MAX_SIZE or not self._take_head(bytes(buffer[:end])):
            try:
                await super().http1_request_header()  # type: ignore[no-untyped-call]  # Sanic has no hints here
            except PayloadTooLarge:
                self.url = _read_target(buffer)  # so that the refusal is in the dialect of the path
                raise
            if _WELL_FORMED.fullmatch(self.request.head) is None:
                raise BadRequest("A header is not well-formed.")

    def _take_head(self, head: bytes) -> bool:
        """Make a request of a plain head; False, with nothing changed, for any other."""
        found, known = _LENGTH.search(head), self._known
        begin, end = found.span(1) if found is not None else (len(head), len(head))
        if known is None or head[:begin] != known.before or head[end:] != known.behind:
            known = self._known = _read_head(head, begin, end)
            if known is None:
                return False
        protocol: Any = self.protocol
        request = protocol.request_class(
            url_bytes=known.target.encode("ascii"),
            headers=known.headers,  # Sanic makes a copy
            head=head,
            version="1.1",
            method=known.method,
            transport=protocol.transport,
            app=protocol.app,
        )
        request.findings = known.findings
        protocol.request_class._current.set(request)
        self.url = known.target
        self.keep_alive, self.head_only = True, False
        size = 0
        if known.has_body:
            length = head[begin:end].decode("ascii")
            request.headers["content-length"] = length
            size = int(length)
        self.request_bytes_left = self.request_bytes = size
        self.request_body = True if known.has_body else None  # type: ignore[assignment]  # what Sanic keeps in it
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


def _read_target(buffer: bytearray) -> str | None:
    """Read what a request is for out of a head that is not there in whole; None where it does not stand there."""
    parts = bytes(buffer.partition(b"\r\n")[0]).split(b" ")
    return parts[1].decode("ascii") if len(parts) == 3 and parts[1].isascii() else None


def _read_head(head: bytes, begin: int, end: int) -> _Head | None:
    """Read a head whose body's length stands from `begin` to `end`; None for one that is not plain."""
    if not head.isascii() or _WELL_FORMED.fullmatch(head) is None:
        return None
    line, *lines = head.decode("ascii").split("\r\n")
    parts = line.split(" ")
    if len(parts) != 3 or parts[2] != "HTTP/1.1" or parts[0].upper() == "HEAD":
        return None
    pairs = []
    for text in lines:
        name, _, value = text.partition(":")
        pairs.append((name.lower(), value.lstrip()))
    headers = Header(pairs)
    if "transfer-encoding" in headers or "upgrade" in headers or "expect" in headers:
        return None
    if any(value.lower() != "keep-alive" for value in headers.getall("connection", ())):
        return None
    lengths = headers.getall("content-length", ())
    if len(lengths) > 1 or (lengths and (begin == end or lengths[0] != head[begin:end].decode("ascii"))):
        return None
    return _Head(head[:begin], head[end:], parts[0], parts[1], headers, bool(lengths), Findings())


class QuickHttpProtocol(HttpProtocol):
    """A connection that is served by `QuickHttp`. Its app's requests need room for `findings`, as ours have."""

    __slots__ = ()

    HTTP_CLASS = QuickHttp

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._data_received: Any = _Bell(self.loop)
        self.request_handler = self._handle

    async def _handle(self, request: Request[Any, Any]) -> None:
        """Have a request answered: what `Sanic.handle_request` comes to without middlewares, signals or websockets."""
        app, stream = self.app, cast(QuickHttp, request.stream)
        try:
            route, handler, matched = app.router.get(request.path, request.method, request.headers.get("host"))
            request.route, request._match_info = route, matched
            if stream.request_body:
                stream.request_max_size = NO_LIMIT  # handlers read for themselves, and count what they read
            response: BaseHTTPResponse | None = await handler(request, **matched)
            if request.responded:
                response = stream.response
            elif response is not None:
                response = await request.respond(response)
            if response is None:
                raise ServerError("The handler gave no answer.")
            await response.send(end_stream=True)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is answered
            await app.handle_exception(request, error, run_middleware=False)


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
