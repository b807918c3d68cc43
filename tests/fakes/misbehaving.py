"""A server of raw bytes, scripted per test: it can do everything that a real one should not.

async def script(peer: Peer) -> None:           # once per connection; the connection is closed at its end
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\\r\\ncontent-le", b"ngth: 2\\r\\n\\r\\nok")     # each part in a packet of its own

async with misbehaving(script) as server:
    ... server.url, server.connections, server.requests
"""

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.pacing import PATIENCE

OK = b"HTTP/1.1 200 OK\r\n"


@dataclass(frozen=True)
class Received:
    """One request as it came, with the frames of a chunked body taken off."""

    head: bytes
    body: bytes


class Peer:
    """The server's end of one connection; `number` counts connections from 1."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: "Server"):
        self.number = number
        self._reader = reader
        self._writer = writer
        self._server = server

    async def head(self) -> bytes:
        """Read the head of a request, and leave its body where it is; EOFError if the client has left."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        self._server.requests.append(Received(head, b""))
        return head

    async def request(self) -> Received:
        """Read a whole request."""
        head = await self.head()
        length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
        if length:
            body = await self._reader.readexactly(int(length[1]))
        elif re.search(rb"\r\ntransfer-encoding: chunked", head, re.IGNORECASE):
            body = await self._chunks()
        else:
            body = b""
        self._server.requests[-1] = Received(head, body)
        return self._server.requests[-1]

    async def _chunks(self) -> bytes:
        pieces = []
        while piece := await self.chunk():
            pieces.append(piece)
        return b"".join(pieces)

    async def chunk(self) -> bytes:
        """Read one chunk of a chunked body; empty at its end."""
        size = int(await self._reader.readline(), 16)
        piece = await self._reader.readexactly(size)
        assert await self._reader.readexactly(2) == b"\r\n"
        return piece

    async def send(self, *parts: bytes) -> None:
        """Write each part by itself and give the client a chance to see it so."""
        for part in parts:
            if self._writer.transport.is_closing():
                raise ConnectionResetError
            self._writer.write(part)
            await self._writer.drain()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def answer(self, body: bytes, *, status: str = "200 OK", headers: str = "") -> None:
        """Write a well-behaved answer; `headers` are lines that end with CR LF."""
        await self.send(f"HTTP/1.1 {status}\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body)

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        with suppress(ConnectionError):
            while await self._reader.read(65536):
                pass

    def half_close(self) -> None:
        """Say that no more is sent, and go on listening."""
        self._writer.write_eof()

    def reset(self) -> None:
        """End the connection with a reset instead of a proper end."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        """End the connection."""
        self._writer.close()


@dataclass
class Server:
    """What the fake has seen; `open` counts the connections that are open now."""

    url: str = ""
    port: int = 0
    connections: int = 0
    open: int = 0
    requests: list[Received] = field(default_factory=list)

    async def settle(self, count: int) -> None:
        """Wait until this many connections are open here, and give the other end a chance to see it too."""
        async with asyncio.timeout(PATIENCE):
            while self.open != count:
                await asyncio.sleep(0.005)
        for _ in range(5):
            await asyncio.sleep(0)


Script = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def misbehaving(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Serve `script` on loopback; a script's failed assertion fails the test."""
    state = Server()
    running: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
    failures: list[BaseException] = []

    async def run(peer: Peer, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(EOFError, ConnectionError):
                await script(peer)
            writer.close()
            with suppress(ConnectionError, TimeoutError, ssl.SSLError):
                await writer.wait_closed()
        except AssertionError as failure:
            failures.append(failure)
            writer.transport.abort()
        finally:
            state.open -= 1

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        state.open += 1
        task = asyncio.ensure_future(run(Peer(state.connections, reader, writer, state), writer))
        running[task] = writer
        task.add_done_callback(running.pop)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    state.port = server.sockets[0].getsockname()[1]
    state.url = f"{'https' if tls else 'http'}://127.0.0.1:{state.port}"
    try:
        yield state
    finally:
        server.close()
        for task, writer in list(running.items()):
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    if failures:
        raise failures[0]
