"""A connection on which anything is left over, or out of order, is never used again."""

import asyncio

import httpx
import pytest

from gateway.wire import Wire
from tests.fakes.misbehaving import OK, Peer, misbehaving
from tests.gateway.wire.fetching import CHUNKED, fetch, origin_of

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "leftover",
    [b"x", b"H", OK + b"content-length: 6\r\n\r\nstolen", b"HTTP/1.1 100 Continue\r\n\r\n", b"0\r\n\r\n"],
    ids=["x", "H", "answer", "interim", "chunk"],
)
@pytest.mark.parametrize("late", [False, True], ids=["same packet", "later"])
async def test_a_connection_with_bytes_left_over_is_never_used_again(wire: Wire, leftover: bytes, late: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        answer = OK + b"content-length: 2\r\n\r\nok"
        if late:
            await peer.send(answer)
            await asyncio.sleep(0.01)
            await peer.send(leftover)
        else:
            await peer.send(answer + leftover)
        await peer.gone()

    async with misbehaving(script) as server:
        for _ in range(3):
            assert await fetch(wire, server) == b"ok"
            await server.settle(0)
        assert server.connections == 3
        await server.settle(0)


async def test_a_body_behind_an_answer_to_head_is_never_taken_for_an_answer(wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"content-length: 44\r\n\r\n" + OK + b"content-length: 6\r\n\r\nstolen")
        await peer.gone()

    async with misbehaving(script) as server:
        for _ in range(2):
            response = await wire.exchange(origin_of(server), b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n", head_request=True)
            assert await response.read(100) == b""
        assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
async def test_a_switch_of_protocols_is_refused(wire: Wire, answer: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        await peer.gone()

    async with misbehaving(script) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await fetch(wire, server)
        await server.settle(0)


@pytest.mark.parametrize(
    "flood",
    [b"x-more: and more\r\n" * 1000, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000],
    ids=["head", "interim answers"],
)
async def test_a_head_without_end_is_an_error(wire: Wire, flood: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if flood.startswith(b"x"):
            await peer.send(OK)
        while True:
            await peer.send(flood)

    async with misbehaving(script) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await fetch(wire, server)


@pytest.mark.parametrize("flood", [b"x-more: and more\r\n" * 1000, b"1;" + b"x" * 9000], ids=["trailers", "extension"])
async def test_trailers_and_extensions_without_end_are_an_error(wire: Wire, flood: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, b"2\r\nok\r\n")
        if flood.startswith(b"x"):
            await peer.send(b"0\r\n")
        else:
            await peer.send(b"1;")
        while True:
            await peer.send(flood.replace(b"1;", b""))

    async with misbehaving(script) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await fetch(wire, server)
