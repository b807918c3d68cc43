"""What comes back: never a wrong byte, never a hang, whatever the server does. Over our transport and httpx's."""

import asyncio

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.misbehaving import OK, Peer, misbehaving
from tests.pacing import PATIENCE, at_some_pace

pytestmark = pytest.mark.anyio

CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


def say(*parts: bytes):
    """A server that answers each request with these packets and then waits for the next."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(*parts)

    return script


def say_and_close(*parts: bytes):
    """A server that answers one request with these packets and closes."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*parts)

    return script


@pytest.mark.parametrize(
    ("parts", "body"),
    [
        pytest.param([OK + b"content-length: 5\r\n\r\nhello"], b"hello", id="one packet"),
        pytest.param([bytes([c]) for c in OK + b"content-length: 5\r\n\r\nhello"], b"hello", id="one byte per packet"),
        pytest.param([OK + b"content-length: 0\r\n\r\n"], b"", id="empty"),
        pytest.param([CHUNKED, b"5\r\nhello\r\n", b"0\r\n\r\n"], b"hello", id="chunked"),
        pytest.param([CHUNKED + b"1", b"0\r", b"\n0123456789", b"abcdef\r", b"\n0", b"\r\n\r", b"\n"],
                     b"0123456789abcdef", id="chunk sizes split"),
        pytest.param([CHUNKED + b'5;name="v;x"\r\nhello\r\n0;last\r\n\r\n'], b"hello", id="chunk extensions"),
        pytest.param([CHUNKED + b"5\r\nhello\r\n0\r\nx-trailer: 1\r\n", b"x-more: 2\r\n\r\n"], b"hello", id="trailers"),
        pytest.param([b"HTTP/1.1 100 Continue\r\n\r\n", OK + b"content-length: 2\r\n\r\nok"], b"ok", id="100 before"),
        pytest.param([b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + OK
                      + b"content-length: 2\r\n\r\nok"], b"ok", id="103 and 102 in the same packet"),
    ],
)  # fmt: skip
async def test_the_body_arrives_as_it_was_sent_and_the_connection_is_used_again(
    client: httpx.AsyncClient, parts: list[bytes], body: bytes
) -> None:
    async with misbehaving(say(*parts)) as server:
        for _ in range(3):
            response = await client.get(server.url)
            assert (response.status_code, response.content) == (200, body)
            assert "link" not in response.headers
        assert server.connections == 1


async def test_headers_come_through_as_they_are(client: httpx.AsyncClient) -> None:
    head = OK + b"X-Two: 1\r\nX-Two: 2\r\nX-Empty:\r\nX-Space: \t a b \t\r\nX-Latin: \xe9\r\ncontent-length: 0\r\n\r\n"
    async with misbehaving(say(head)) as server:
        response = await client.get(server.url)
        assert response.headers.raw == [
            (b"X-Two", b"1"), (b"X-Two", b"2"), (b"X-Empty", b""), (b"X-Space", b"a b"), (b"X-Latin", b"\xe9"),
            (b"content-length", b"0"),
        ]  # fmt: skip


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_an_answer_without_a_body_ends_with_its_head(client: httpx.AsyncClient, status: str) -> None:
    head = f"HTTP/1.1 {status}\r\netag: x\r\n\r\n".encode()
    async with misbehaving(say(head)) as server:
        for _ in range(2):
            response = await client.get(server.url)
            assert (response.status_code, response.content) == (int(status[:3]), b"")
        assert server.connections == 1


async def test_an_answer_to_head_has_no_body_whatever_its_length_says(client: httpx.AsyncClient) -> None:
    async with misbehaving(say(OK + b"content-length: 1000\r\n\r\n")) as server:
        for _ in range(2):
            response = await client.head(server.url)
            assert (response.headers["content-length"], response.content) == ("1000", b"")


@pytest.mark.parametrize("head", [b"", b"connection: close\r\n"])
async def test_a_body_without_a_length_lasts_until_the_close(client: httpx.AsyncClient, head: bytes) -> None:
    async with misbehaving(say_and_close(OK + head + b"\r\n", b"hel", b"lo")) as server:
        for _ in range(2):
            assert (await client.get(server.url)).content == b"hello"
        assert server.connections == 2


async def test_a_server_that_shuts_down_its_half_ends_a_body_without_a_length(client: httpx.AsyncClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"\r\nhello")
        peer.half_close()
        await peer.gone()

    async with misbehaving(script) as server:
        assert (await client.get(server.url)).content == b"hello"


@pytest.mark.parametrize("headers", ["connection: close\r\n", "Connection: Keep-Alive, Close\r\n"])
async def test_a_connection_that_the_server_will_close_is_not_used_again(
    client: httpx.AsyncClient, headers: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"ok", headers=headers)
        await peer.gone()

    async with misbehaving(script) as server:
        for _ in range(2):
            assert (await client.get(server.url)).content == b"ok"
        assert server.connections == 2


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([], id="before the head"),
        pytest.param([b"HTTP/1.1 200 OK\r\nx-a: b"], id="in the head"),
        pytest.param([b"HTTP/1.1 100 Continue\r\n\r\n"], id="after an interim answer"),
        pytest.param([OK + b"content-length: 10\r\n\r\n"], id="before the body"),
        pytest.param([OK + b"content-length: 10\r\n\r\nhello"], id="in the body"),
        pytest.param([CHUNKED + b"5\r\nhel"], id="in a chunk"),
        pytest.param([CHUNKED + b"5\r\nhello\r\n"], id="between chunks"),
        pytest.param([CHUNKED + b"5\r\nhello\r\n0\r\n"], id="before the last empty line"),
    ],
)
async def test_an_answer_cut_short_is_an_error(client: httpx.AsyncClient, parts: list[bytes]) -> None:
    async with misbehaving(say_and_close(*parts)) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(server.url, content=b"{}")


@pytest.mark.parametrize("parts", [[], [OK + b"content-length: 10\r\n\r\nhello"], [CHUNKED + b"5\r\nhello\r\n"]])
async def test_a_reset_is_an_error(client: httpx.AsyncClient, parts: list[bytes]) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*parts)
        await asyncio.sleep(0.02)
        peer.reset()

    async with misbehaving(script) as server:
        with pytest.raises(httpx.ReadError):
            await client.get(server.url)


async def test_what_came_before_the_cut_is_handed_on_before_the_error(client: httpx.AsyncClient) -> None:
    got = []
    async with misbehaving(say_and_close(CHUNKED + b"5\r\nhello\r\n")) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            async with client.stream("GET", server.url) as response:
                got = [piece async for piece in response.aiter_raw()]
        async with client.stream("GET", server.url) as response:
            pieces = response.aiter_raw()
            got.append(await anext(pieces))
            with pytest.raises(httpx.RemoteProtocolError):
                await anext(pieces)
    assert got == [b"hello"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"<html>\r\n\r\n", id="not HTTP"),
        pytest.param(b"HTTP/1.1 abc OK\r\n\r\n", id="no status"),
        pytest.param(OK + b"content-length: ten\r\n\r\n", id="length not a number"),
        pytest.param(OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab", id="two lengths"),
        pytest.param(CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n", id="chunk size not a number"),
        pytest.param(CHUNKED + b"3\r\nhello\r\n0\r\n\r\n", id="chunk longer than its size"),
        pytest.param(OK + b"transfer-encoding: gzip\r\n\r\nhello", id="a transfer coding nobody asked for"),
        pytest.param(OK + b"x-big: " + b"x" * 200_000 + b"\r\ncontent-length: 2\r\n\r\nok", id="oversized header"),
        pytest.param(OK + b"x-many: 1\r\n" * 40_000 + b"content-length: 2\r\n\r\nok", id="oversized head"),
    ],
)
async def test_an_answer_that_is_not_valid_is_an_error(client: httpx.AsyncClient, answer: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        await peer.gone()

    async with misbehaving(script) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(server.url)
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(server.url)
        assert server.connections == 2


async def test_a_connection_whose_answer_was_not_read_to_its_end_is_not_used_again(client: httpx.AsyncClient) -> None:
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"content-length: 10\r\n\r\nhello")
        await peer.gone()
        closed.set()

    async with misbehaving(script) as server:
        for _ in range(2):
            async with client.stream("GET", server.url) as response:
                assert await anext(response.aiter_raw()) == b"hello"
            async with asyncio.timeout(PATIENCE):
                await closed.wait()
            closed.clear()
        assert server.connections == 2


async def test_a_silent_server_runs_into_the_read_timeout(client: httpx.AsyncClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with misbehaving(script) as server:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(server.url, timeout=httpx.Timeout(30, read=0.1))
        await server.settle(0)


async def test_a_stream_that_falls_silent_runs_into_the_read_timeout(client: httpx.AsyncClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, b"5\r\nhello\r\n")
        await peer.gone()

    async def hear_half(pace: float) -> None:
        timeout = httpx.Timeout(30, read=0.1 * pace)
        async with misbehaving(script) as server, client.stream("GET", server.url, timeout=timeout) as response:
            pieces = response.aiter_raw()
            assert await anext(pieces) == b"hello"
            with pytest.raises(httpx.ReadTimeout):
                await anext(pieces)

    await at_some_pace(hear_half)


async def test_a_slow_drip_is_awaited_as_long_as_bytes_come(client: httpx.AsyncClient) -> None:
    async def drip(pace: float) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(CHUNKED)
            for _ in range(8):
                await asyncio.sleep(0.05 * pace)
                await peer.send(b"1\r\nx\r\n")
            await peer.send(b"0\r\n\r\n")

        async with misbehaving(script) as server:
            response = await client.get(server.url, timeout=httpx.Timeout(30, read=0.3 * pace))
            assert response.content == b"x" * 8

    await at_some_pace(drip)


async def test_each_piece_is_handed_on_as_soon_as_it_comes(client: httpx.AsyncClient) -> None:
    seen = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for piece in (b"one", b"two", b"three"):
            await peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await seen.wait()  # the next only when this one has been seen
            seen.clear()
        await peer.send(b"0\r\n\r\n")

    async with misbehaving(script) as server, client.stream("GET", server.url) as response:
        got = []
        async for piece in response.aiter_raw():
            got.append(piece)
            seen.set()
        assert got == [b"one", b"two", b"three"]


@given(
    body=st.binary(max_size=3000),
    sizes=st.lists(st.integers(1, 700), min_size=1, max_size=6),
    cuts=st.lists(st.integers(1, 900), min_size=1, max_size=6),
    framing=st.sampled_from(["chunked", "length", "close"]),
    interim=st.booleans(),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_any_body_in_any_chunks_and_any_packets_arrives_unchanged(
    client: httpx.AsyncClient, body: bytes, sizes: list[int], cuts: list[int], framing: str, interim: bool
) -> None:
    if framing == "chunked":
        answer = CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in cut(body, sizes)) + b"0\r\n\r\n"
    elif framing == "length":
        answer = OK + b"content-length: %d\r\n\r\n" % len(body) + body
    else:
        answer = OK + b"\r\n" + body
    packets = cut((b"HTTP/1.1 100 Continue\r\n\r\n" if interim else b"") + answer, cuts)
    async with misbehaving(say_and_close(*packets)) as server:
        assert (await client.get(server.url)).content == body


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """Cut `data` into pieces of these sizes, over and over."""
    pieces = []
    while data:
        for size in sizes:
            if data:
                pieces.append(data[:size])
                data = data[size:]
    return pieces
