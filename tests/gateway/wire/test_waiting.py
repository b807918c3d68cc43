"""Waiting is bounded and can be given up: deadlines, slow readers, cancellation."""

import asyncio
import time

import httpx
import pytest

from gateway.wire import BodyTooLarge, Timeouts, Wire, WireResponse
from tests.fakes.misbehaving import OK, Peer, misbehaving
from tests.gateway.wire.fetching import CHUNKED, GET, fetch, origin_of, say_ok
from tests.pacing import at_some_pace

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("when", ["before the first byte", "in the head", "in the body"])
async def test_who_stops_waiting_closes_the_connection_at_once(wire: Wire, when: str) -> None:
    left: asyncio.Future[float]
    ready = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if when != "before the first byte":
            await peer.send(OK)
        if when == "in the body":
            await peer.send(b"content-length: 10\r\n\r\nhello")
        ready.set()
        await peer.gone()
        left.set_result(time.monotonic())

    async def leave(_pace: float) -> None:
        nonlocal left
        left = asyncio.get_running_loop().create_future()
        ready.clear()
        async with misbehaving(script) as server:
            task = asyncio.create_task(fetch(wire, server))
            await ready.wait()
            await asyncio.sleep(0.01)
            cancelled = time.monotonic()
            task.cancel()
            async with asyncio.timeout(2):
                assert await left - cancelled < 0.1
            with pytest.raises(asyncio.CancelledError):
                await task

    await at_some_pace(leave)


async def test_who_stops_waiting_while_connecting_leaves_no_connection(wire: Wire) -> None:
    async with misbehaving(say_ok) as server:
        for _ in range(5):
            task = asyncio.create_task(fetch(wire, server))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await server.settle(0)
        assert await fetch(wire, server) == b"ok"


async def test_a_slow_reader_holds_the_server_back(wire: Wire) -> None:
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(CHUNKED)
        for _ in range(640):
            await peer.send(b"10000\r\n" + bytes(65536) + b"\r\n")
            sent += 65536
        await peer.send(b"0\r\n\r\n")
        await peer.request()
        await peer.answer(b"ok")

    async with misbehaving(script) as server:
        response = await wire.exchange(origin_of(server), GET)
        held_at = -1
        while held_at != sent or not sent:
            held_at = sent
            await asyncio.sleep(0.2)
        assert response.buffered < 1 << 20
        assert held_at < 640 * 65536
        size = 0
        async for piece in response:
            assert len(piece) < 1 << 20
            size += len(piece)
        assert size == 640 * 65536
        assert await fetch(wire, server) == b"ok"
        assert server.connections == 1


async def test_a_whole_body_over_the_limit_is_refused_and_the_connection_closed(wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"content-length: 1000000\r\n\r\n")
        while True:
            await peer.send(bytes(10_000))

    async with misbehaving(script) as server:
        response = await wire.exchange(origin_of(server), GET)
        with pytest.raises(BodyTooLarge):
            await response.read(50_000)
        await server.settle(0)


async def test_a_deadline_bounds_a_whole_answer_that_drips(wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        while True:
            await asyncio.sleep(0.02)
            await peer.send(b"1\r\nx\r\n")

    async with misbehaving(script) as server:
        response: WireResponse = await wire.exchange(origin_of(server), GET)
        begun = time.monotonic()
        with pytest.raises(httpx.ReadTimeout):
            await response.read(1000, deadline=asyncio.get_running_loop().time() + 0.2)
        assert 0.15 < time.monotonic() - begun < 10


async def test_a_deadline_of_one_exchange_does_not_end_the_next(wire: Wire) -> None:
    """The timer is shared by all exchanges of a connection: a near deadline that is over must not strike later."""

    async def ask_twice(pace: float) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.answer(b"ok")
            await peer.request()
            await asyncio.sleep(0.3 * pace)
            await peer.answer(b"late")

        async with misbehaving(script) as server:
            assert await fetch(wire, server, timeouts=Timeouts(read=0.15 * pace)) == b"ok"
            assert await fetch(wire, server, timeouts=Timeouts(read=30)) == b"late"
            assert server.connections == 1

    await at_some_pace(ask_twice)
