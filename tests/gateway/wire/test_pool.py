"""Which connection serves a request: reuse, stale connections, a bounded number."""

import asyncio
import socket

import httpx
import pytest

from gateway.wire import Origin, ServerDisconnected, Timeouts, Wire
from tests.fakes.misbehaving import OK, Peer, misbehaving
from tests.gateway.wire.fetching import GET, POST, fetch, origin_of, say_ok

pytestmark = pytest.mark.anyio


def say_ok_when(event: asyncio.Event):
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await event.wait()
            await peer.answer(b"ok")

    return script


async def test_connections_are_kept_and_the_one_used_last_is_used_first(wire: Wire) -> None:
    release = asyncio.Event()
    numbers = []

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            numbers.append(peer.number)
            await release.wait()
            await peer.answer(b"ok")

    async with misbehaving(script) as server:
        together = [asyncio.create_task(fetch(wire, server)) for _ in range(3)]
        await server.settle(3)
        release.set()
        assert await asyncio.gather(*together) == [b"ok"] * 3
        for _ in range(4):
            await fetch(wire, server)
        assert server.connections == 3
        assert len(set(numbers[3:])) == 1


async def test_small_writes_are_not_held_back(wire: Wire) -> None:
    async with misbehaving(say_ok) as server:
        response = await wire.exchange(origin_of(server), GET)
        raw = wire._pools[origin_of(server)].take_idle()._transport.get_extra_info("socket")
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert await response.read(10) == b"ok"


async def test_a_connection_that_the_server_closed_while_idle_is_not_tried(wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"ok")

    async with misbehaving(script) as server:
        for _ in range(3):
            assert await fetch(wire, server) == b"ok"
            await server.settle(0)
        assert len(server.requests) == server.connections == 3


@pytest.mark.parametrize("ending", ["close", "reset"])
async def test_a_request_caught_by_the_servers_idle_close_is_sent_once_more(wire: Wire, ending: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"ok")
        if peer.number == 1:
            await peer.request()  # and closes on it without a word
            getattr(peer, ending)()
        else:
            await peer.gone()

    async with misbehaving(script) as server:
        assert await fetch(wire, server) == b"ok"
        response = await wire.exchange(origin_of(server), POST, b"{}")
        assert await response.read(10) == b"ok"
        assert server.connections == 2
        assert [received.body for received in server.requests] == [b"", b"{}", b"{}"]


async def test_a_request_is_sent_once_more_only_once(wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number == 1:
            await peer.answer(b"ok")
            await peer.request()

    async with misbehaving(script) as server:
        assert await fetch(wire, server) == b"ok"
        with pytest.raises(ServerDisconnected):
            await fetch(wire, server)
        assert len(server.requests) == 3


async def test_a_request_on_a_new_connection_is_never_sent_again(wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()

    async with misbehaving(script) as server:
        with pytest.raises(ServerDisconnected):
            await fetch(wire, server)
        assert len(server.requests) == 1


@pytest.mark.parametrize("part", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", OK + b"content-length: 5\r\n\r\nhel"])
@pytest.mark.parametrize("ending", ["close", "reset"])
async def test_a_request_that_has_been_partly_answered_is_never_sent_again(
    wire: Wire, part: bytes, ending: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"ok")
        await peer.request()
        await peer.send(part)
        await asyncio.sleep(0.02)
        getattr(peer, ending)()

    async with misbehaving(script) as server:
        assert await fetch(wire, server) == b"ok"
        with pytest.raises(httpx.RemoteProtocolError if ending == "close" else httpx.ReadError):
            await (await wire.exchange(origin_of(server), POST, b"{}")).read(100)
        assert len(server.requests) == 2


async def test_a_streamed_body_is_never_sent_again(wire: Wire) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"ok")
        await peer.request()

    async def source():
        yield b"{}"

    async with misbehaving(script) as server:
        assert await fetch(wire, server) == b"ok"
        with pytest.raises(ServerDisconnected):
            await wire.exchange(origin_of(server), POST, source(), length=2)
        assert len(server.requests) == 2


async def test_who_finds_no_connection_waits_in_line_and_gets_the_next(anyio_backend: object) -> None:
    release = asyncio.Event()
    wire = Wire(max_connections=2)
    async with misbehaving(say_ok_when(release)) as server:
        tasks = [asyncio.create_task(fetch(wire, server)) for _ in range(6)]
        await server.settle(2)
        await asyncio.sleep(0.02)
        release.set()
        assert await asyncio.gather(*tasks) == [b"ok"] * 6
        assert server.connections == 2
    await wire.aclose()


async def test_the_wait_in_line_is_bounded_and_leaves_nothing_behind(anyio_backend: object) -> None:
    release = asyncio.Event()
    wire = Wire(max_connections=1)
    async with misbehaving(say_ok_when(release)) as server:
        first = asyncio.create_task(fetch(wire, server))
        await server.settle(1)
        cancelled = asyncio.create_task(fetch(wire, server))
        with pytest.raises(httpx.PoolTimeout):
            await fetch(wire, server, timeouts=Timeouts(pool=0.05))
        cancelled.cancel()
        release.set()
        assert await first == b"ok"
        assert await fetch(wire, server) == b"ok"
        assert server.connections == 1
    await wire.aclose()


async def test_a_lost_connection_gives_its_place_to_who_waits(anyio_backend: object) -> None:
    in_line = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await in_line.wait()
        if peer.number == 1:
            peer.reset()
        else:
            await peer.answer(b"ok")

    wire = Wire(max_connections=1)
    async with misbehaving(script) as server:
        first = asyncio.create_task(fetch(wire, server))
        await server.settle(1)
        second = asyncio.create_task(fetch(wire, server))
        await asyncio.sleep(0.02)
        in_line.set()
        assert await second == b"ok"
        with pytest.raises(httpx.ReadError):
            await first
    await wire.aclose()


async def test_who_cannot_connect_gives_the_place_back(anyio_backend: object) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        wire = Wire(max_connections=1)
        for _ in range(3):
            with pytest.raises(httpx.ConnectError):
                await wire.exchange(Origin("http", "127.0.0.1", nobody.getsockname()[1]), GET)
    await wire.aclose()


async def test_a_name_that_leads_nowhere_is_a_connect_error(wire: Wire) -> None:
    with pytest.raises(httpx.ConnectError):
        await wire.exchange(Origin("http", "no such host", 80), GET)


async def test_a_connection_that_is_not_accepted_runs_into_the_connect_timeout(wire: Wire) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = []
        for _ in range(4):  # until the backlog is full
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            fillers.append(filler)
        with pytest.raises(httpx.ConnectTimeout):
            await wire.exchange(Origin("http", *address), GET, timeouts=Timeouts(connect=0.1))
        for filler in fillers:
            filler.close()


async def test_idle_connections_are_closed_after_a_while(anyio_backend: object) -> None:
    wire = Wire(idle_seconds=0.05)
    async with misbehaving(say_ok) as server:
        await asyncio.gather(*(fetch(wire, server) for _ in range(3)))
        await server.settle(0)
        assert await fetch(wire, server) == b"ok"
    await wire.aclose()


async def test_closing_the_client_closes_everything_and_ends_who_is_waiting(anyio_backend: object) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    wire = Wire()
    async with misbehaving(script) as server:
        waiting = asyncio.create_task(fetch(wire, server))
        await server.settle(1)
        await wire.aclose()
        with pytest.raises(httpx.TransportError):
            await waiting
        await server.settle(0)
