"""What comes back from a provider, and what its failures are called."""

import asyncio
import inspect
import re
import time

import httpx
import pytest

from gateway.errors import GatewayError, InvalidRequest, TimedOut, Unavailable, UnusableAnswer
from gateway.settings import ProviderSettings
from gateway.upstream import Upstream
from gateway.upstream.failures import translate
from tests.conftest import free_port
from tests.fakes.misbehaving import OK, Peer, misbehaving
from tests.gateway.upstream.asking import CHUNKED, ask, headers_of, provider_at, say, say_nothing
from tests.pacing import PATIENCE, at_some_pace

pytestmark = pytest.mark.anyio


async def test_status_headers_and_body_come_back_untouched(upstream: Upstream) -> None:
    body = bytes(range(256))
    head = b"HTTP/1.1 418 Teapot\r\nContent-Encoding: gzip\r\nX-Two: 1\r\nX-Two: 2\r\ncontent-length: 256\r\n\r\n"
    async with misbehaving(say(head + body)) as server:
        async with upstream.exchange(
            provider_at(server), "GET", "/", headers=[("accept-encoding", "gzip")], request_id="r"
        ) as answer:
            assert answer.status == 418
            assert list(answer.headers) == [
                (b"Content-Encoding", b"gzip"), (b"X-Two", b"1"), (b"X-Two", b"2"), (b"content-length", b"256"),
            ]  # fmt: skip
            assert (answer.header("x-two"), answer.header("x-none")) == ("1", None)
            assert await answer.read() == body
        assert headers_of(server)["accept-encoding"] == "gzip"


async def test_nobody_listening_is_unavailable(upstream: Upstream) -> None:
    port = free_port()
    provider = provider_at(f"http://user:pass@127.0.0.1:{port}/v1", api_key="sk-secret")
    with pytest.raises(Unavailable) as refused:
        await ask(upstream, provider)
    assert refused.value.provider == "work"
    assert "work is not reachable" in refused.value.message
    for secret in ("127.0.0.1", str(port), "pass", "sk-secret"):
        assert secret not in refused.value.message


@pytest.mark.parametrize("base_url", ["ftp://host/v1", "host:80/v1", "", "http://", "http://host:port", "http://[x"])
async def test_an_address_that_leads_nowhere_is_unavailable(upstream: Upstream, base_url: str) -> None:
    with pytest.raises(Unavailable, match="base URL"):
        await ask(upstream, provider_at(base_url))


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        pytest.param([b"<html>\r\n\r\n"], UnusableAnswer, id="not HTTP"),
        pytest.param([OK + b"content-length: 10\r\n\r\nhello"], UnusableAnswer, id="cut in the body"),
        pytest.param([CHUNKED + b"5\r\nhello\r\n"], UnusableAnswer, id="cut between chunks"),
        pytest.param([CHUNKED + b"zz\r\n"], UnusableAnswer, id="malformed chunk"),
    ],
)
async def test_an_answer_that_is_no_answer_is_unusable(
    upstream: Upstream, parts: list[bytes], kind: type[GatewayError]
) -> None:
    async with misbehaving(say(*parts)) as server:
        with pytest.raises(kind) as failed:
            await ask(upstream, provider_at(server))
        assert failed.value.provider == "work"


async def test_a_reset_is_unavailable(upstream: Upstream) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number == 2:
            await peer.send(CHUNKED + b"5\r\nhello\r\n")
            await asyncio.sleep(0.02)
        peer.reset()

    async with misbehaving(script) as server:
        for _ in range(2):
            with pytest.raises(Unavailable):
                await ask(upstream, provider_at(server))


async def test_a_server_that_hangs_up_without_an_answer_is_unavailable() -> None:
    """Httpx does not tell this from a malformed answer."""
    upstream = Upstream()
    async with misbehaving(say()) as server:
        with pytest.raises(Unavailable):
            await ask(upstream, provider_at(server))
    await upstream.aclose()


async def test_the_time_out_bounds_the_wait_for_the_first_byte(upstream: Upstream) -> None:
    async with misbehaving(say_nothing) as server:
        with pytest.raises(TimedOut):
            await ask(upstream, provider_at(server, timeout_seconds=0.1))
        await server.settle(0)


async def test_the_time_out_bounds_a_whole_answer_but_a_stream_only_between_bytes(upstream: Upstream) -> None:
    async def hear_drips(pace: float) -> None:
        async def drip(peer: Peer) -> None:
            await peer.request()
            await peer.send(CHUNKED)
            for _ in range(20):
                await asyncio.sleep(0.03 * pace)
                await peer.send(b"1\r\nx\r\n")
            await peer.send(b"0\r\n\r\n")

        async with misbehaving(drip) as server:
            provider = provider_at(server, timeout_seconds=0.3 * pace)
            with pytest.raises(TimedOut):
                await ask(upstream, provider)
            async with upstream.exchange(provider, "POST", "/", headers=[], request_id="r") as answer:
                assert b"".join([piece async for piece in answer]) == b"x" * 20

    await at_some_pace(hear_drips)


async def test_a_stream_that_falls_silent_is_timed_out(upstream: Upstream) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"5\r\nhello\r\n")
        await peer.gone()

    async def hear_half(pace: float) -> None:
        async with misbehaving(script) as server:
            provider = provider_at(server, timeout_seconds=0.2 * pace)
            async with upstream.exchange(provider, "POST", "/", headers=[], request_id="r") as answer:
                assert await anext(answer) == b"hello"
                with pytest.raises(TimedOut):
                    await anext(answer)

    await at_some_pace(hear_half)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_over_the_limit_is_unusable(upstream: Upstream, framing: str) -> None:
    declared = OK + b"content-length: 1000\r\n\r\n" + bytes(1000)
    chunked = CHUNKED + b"3e8\r\n" + bytes(1000) + b"\r\n0\r\n\r\n"
    async with misbehaving(say(declared if framing == "length" else chunked)) as server:
        provider = provider_at(server)
        async with upstream.exchange(provider, "GET", "/", headers=[], request_id="r") as answer:
            assert await answer.read(1000) == bytes(1000)
        async with upstream.exchange(provider, "GET", "/", headers=[], request_id="r") as answer:
            with pytest.raises(UnusableAnswer):
                await answer.read(999)


@pytest.mark.parametrize("when", ["before the first byte", "in a stream", "in a whole answer"])
async def test_when_the_client_leaves_the_connection_is_closed_within_100_ms(upstream: Upstream, when: str) -> None:
    left: asyncio.Future[float]
    ready = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if when != "before the first byte":
            await peer.send(CHUNKED, b"5\r\nhello\r\n")
        ready.set()
        await peer.gone()
        left.set_result(time.monotonic())

    async def client(provider: ProviderSettings) -> None:
        async with upstream.exchange(provider, "POST", "/", headers=[], request_id="r") as answer:
            if when == "in a stream":
                async for _ in answer:
                    pass
            else:
                await answer.read()

    async def leave(_pace: float) -> None:
        nonlocal left
        left = asyncio.get_running_loop().create_future()
        ready.clear()
        async with misbehaving(script) as server:
            task = asyncio.create_task(client(provider_at(server)))
            await ready.wait()
            await asyncio.sleep(0.02)
            cancelled = time.monotonic()
            task.cancel()
            async with asyncio.timeout(2):
                assert await left - cancelled < 0.1
            with pytest.raises(asyncio.CancelledError):
                await task

    await at_some_pace(leave)


async def test_who_leaves_an_answer_unread_closes_its_connection(upstream: Upstream) -> None:
    left = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, b"5\r\nhello\r\n")
        await peer.gone()
        left.set()

    async with misbehaving(script) as server:
        async with upstream.exchange(provider_at(server), "GET", "/", headers=[], request_id="r") as answer:
            assert await anext(answer) == b"hello"
        async with asyncio.timeout(PATIENCE):
            await left.wait()


@pytest.mark.parametrize(
    "foreign", [kind for _, kind in inspect.getmembers(httpx, inspect.isclass) if issubclass(kind, Exception)]
)
def test_no_exception_of_httpx_is_without_a_name_of_ours(foreign: type[Exception]) -> None:
    error = foreign.__new__(foreign)
    ours = translate(error, "work")
    assert isinstance(ours, InvalidRequest | Unavailable | TimedOut | UnusableAnswer)
    assert ours.provider == "work"
    assert re.fullmatch(r"Provider work .*\.", ours.message)
