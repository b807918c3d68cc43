"""Calls to the engine on the event loop itself, over connections that are kept: for the three that every box needs.

All others are made with docker-py. It blocks, so each of its calls takes a thread, and the thread and the event loop
take the interpreter from each other: for each box that is more work than the whole rest of the executor has with it.
Wire format: Docker Engine API over HTTP/1.1.
"""

import asyncio
from typing import cast
from urllib.parse import urlsplit

import httptools

_MAX_ANSWER = 1024 * 1024


async def connect(docker_host: str, protocol: type[asyncio.Protocol]) -> asyncio.BaseProtocol:
    """Open a connection to `unix://…` or `tcp://…`, spoken to by a new `protocol`, and give that. Raises OSError."""
    loop = asyncio.get_running_loop()
    address = urlsplit(docker_host)
    if address.scheme == "unix":
        return (await loop.create_unix_connection(protocol, address.path))[1]
    return (await loop.create_connection(protocol, address.hostname or "", address.port or 2375))[1]


class _Connection(asyncio.Protocol):
    """One connection: a request at a time."""

    def __init__(self) -> None:
        self.reusable = True
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._body = bytearray()

    async def request(self, data: bytes) -> tuple[int, bytes]:
        """Send a request, give the status and the body of its answer. Raises OSError."""
        assert self._transport is not None
        self._parser = httptools.HttpResponseParser(self)
        self._body.clear()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return await self._answer

    def close(self) -> None:
        """Cut the connection."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio's callback)."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by what it does, not by its class

    def data_received(self, data: bytes) -> None:
        """Take what has come (asyncio's callback)."""
        try:
            if self._parser is None:
                raise httptools.HttpParserError("nothing was asked")
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("the engine did not answer in HTTP")

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end (asyncio's callback)."""
        del exc
        self._fail("the engine closed the connection")

    def on_body(self, body: bytes) -> None:
        """Take a part of the body (the parser's callback)."""
        self._body += body
        if len(self._body) > _MAX_ANSWER:
            self._fail("the engine answered with more than is taken")

    def on_message_complete(self) -> None:
        """Hand the answer over (the parser's callback)."""
        assert self._parser is not None
        self.reusable = self.reusable and self._parser.should_keep_alive()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((self._parser.get_status_code(), bytes(self._body)))
        self._parser = None

    def _fail(self, why: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(why))
        self.close()


class EngineHttp:
    """Requests to the engine at `docker_host`, as many at a time as are made."""

    def __init__(self, docker_host: str) -> None:
        self._host = docker_host
        self._idle: list[_Connection] = []

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Ask, and give the status and the body of the answer. Raises OSError; cancelled, it cuts its connection."""
        connection = await self._take()
        try:
            answer = await connection.request(_write(method, path, body))
        except BaseException:
            connection.close()
            raise
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Let go of the connections that are kept."""
        while self._idle:
            self._idle.pop().close()

    async def _take(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
        return cast(_Connection, await connect(self._host, _Connection))


def _write(method: str, path: str, body: bytes) -> bytes:
    kind = "Content-Type: application/json\r\n" if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: docker\r\n{kind}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
