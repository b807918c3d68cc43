"""What the wire's tests ask with."""

from typing import Any

from gateway.wire import Origin, Wire
from tests.fakes.misbehaving import OK, Peer, Server

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


def origin_of(server: Server) -> Origin:
    return Origin("http", "127.0.0.1", server.port)


async def fetch(wire: Wire, server: Server, **options: Any) -> bytes:
    """GET, and the whole body."""
    response = await wire.exchange(origin_of(server), GET, **options)
    return await response.read(1 << 20)


async def say_ok(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.answer(b"ok")
