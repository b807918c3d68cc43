"""What goes out: bodies whole and streamed, early answers, refused heads. Over our transport and httpx's."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.wire import Origin, Timeouts, Wire
from tests.fakes.misbehaving import OK, Peer, misbehaving

pytestmark = pytest.mark.anyio

LARGE = bytes(range(256)) * 8192  # 2 MiB


async def take_and_say_ok(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.answer(b"ok")


async def in_pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        await asyncio.sleep(0)
        yield body[start : start + size]


@pytest.mark.parametrize("body", [b"", b"{}", LARGE], ids=["empty", "small", "large"])
async def test_a_body_arrives_as_it_is(client: httpx.AsyncClient, body: bytes) -> None:
    async with misbehaving(take_and_say_ok) as server:
        for _ in range(2):
            assert (await client.post(server.url + "/a%20b?c=d", content=body)).content == b"ok"
            assert server.requests[-1].body == body
            assert server.requests[-1].head.startswith(b"POST /a%20b?c=d HTTP/1.1\r\n")
        assert server.connections == 1


@pytest.mark.parametrize("declared", [True, False], ids=["declared length", "chunked"])
async def test_a_streamed_body_arrives_as_it_is(client: httpx.AsyncClient, declared: bool) -> None:
    headers = {"content-length": str(len(LARGE))} if declared else {}
    async with misbehaving(take_and_say_ok) as server:
        for _ in range(2):
            response = await client.post(server.url, content=in_pieces(LARGE, 100_000), headers=headers)
            assert response.content == b"ok"
            assert server.requests[-1].body == LARGE
        assert server.connections == 1


@pytest.mark.parametrize("length", [3, 50])
async def test_a_streamed_body_that_is_not_as_long_as_declared_is_refused(wire: Wire, length: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.gone()

    async with misbehaving(script) as server:
        origin = Origin("http", "127.0.0.1", server.port)
        head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % length
        with pytest.raises(httpx.LocalProtocolError):
            await wire.exchange(origin, head, in_pieces(b"0123456789", 4), length=length)


async def test_an_error_of_the_bodys_source_ends_the_request(client: httpx.AsyncClient) -> None:
    class SourceError(Exception):
        pass

    async def source() -> AsyncIterator[bytes]:
        yield b"some"
        raise SourceError

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.gone()

    async with misbehaving(script) as server:
        with pytest.raises(SourceError):
            await client.post(server.url, content=source())
        await server.settle(0)


async def test_a_connection_answered_before_the_body_was_sent_is_not_used_again() -> None:
    """Httpx sends the whole body first, so this is the wire's alone."""
    hold = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield b"some"
        await hold.wait()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.answer(b"too large", status="413 Content Too Large")
        await peer.gone()

    wire = Wire()
    async with misbehaving(script) as server:
        origin = Origin("http", "127.0.0.1", server.port)
        for _ in range(2):
            response = await wire.exchange(
                origin, b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", source()
            )
            assert (response.status, await response.read(100)) == (413, b"too large")
        assert server.connections == 2
    await wire.aclose()


async def test_a_large_body_answered_before_it_was_read_is_no_hang_and_not_used_again(wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.answer(b"no", status="413 Content Too Large")
        await peer.gone()

    async with misbehaving(script) as server:
        origin = Origin("http", "127.0.0.1", server.port)
        body = LARGE * 8
        for _ in range(2):
            response = await wire.exchange(
                origin, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body), body
            )
            assert (response.status, await response.read(100)) == (413, b"no")
        assert server.connections == 2


async def test_a_server_that_does_not_take_the_body_runs_into_the_write_timeout(wire: Wire) -> None:
    leave = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await leave.wait()

    async with misbehaving(script) as server:
        body = LARGE * 32
        head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body)
        with pytest.raises(httpx.WriteTimeout):
            await wire.exchange(Origin("http", "127.0.0.1", server.port), head, body, timeouts=Timeouts(write=0.2))
        leave.set()


@pytest.mark.parametrize("headers", [[(b"x-a", b"1\r\nx-b: 2")], [(b"x a", b"1")], [(b"", b"1")], [(b"x-a", b"\0")]])
async def test_a_header_that_would_break_out_is_refused(
    client: httpx.AsyncClient, headers: list[tuple[bytes, bytes]]
) -> None:
    async with misbehaving(take_and_say_ok) as server:
        with pytest.raises(httpx.LocalProtocolError):
            await client.get(server.url, headers=headers)


async def test_an_answer_may_stream_while_the_body_is_still_being_sent(wire: Wire) -> None:
    """An echo: each piece goes out only after the one before has come back."""
    echoed: asyncio.Queue[bytes] = asyncio.Queue()

    async def source() -> AsyncIterator[bytes]:
        for piece in (b"one", b"two"):
            yield piece
            assert await echoed.get() == piece

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(OK + b"transfer-encoding: chunked\r\n\r\n")
        while piece := await peer.chunk():
            await peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await peer.send(b"0\r\n\r\n")

    async with misbehaving(script) as server:
        head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        response = await wire.exchange(Origin("http", "127.0.0.1", server.port), head, source())
        got = []
        async for piece in response:
            got.append(piece)
            echoed.put_nowait(piece)
        assert got == [b"one", b"two"]
