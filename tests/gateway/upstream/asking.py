"""What the tests of the client to providers ask with, and the servers that they ask."""

from collections.abc import AsyncIterator
from typing import Any

from gateway.settings import ProviderSettings
from gateway.upstream import Upstream
from tests.fakes.misbehaving import OK, Peer, Server

CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


def provider_at(server: Server | str, **changes: Any) -> ProviderSettings:
    base_url = server if isinstance(server, str) else server.url + "/v1"
    return ProviderSettings(
        **{"name": "work", "kind": "openai-compatible", "base_url": base_url, "timeout_seconds": 30, **changes}
    )


async def ask(
    upstream: Upstream, provider: ProviderSettings, method: str = "POST", path: str = "/chat", **options: Any
) -> bytes:
    options = {"headers": [], "request_id": "req-1", **options}
    async with upstream.exchange(provider, method, path, **options) as answer:
        return await answer.read()


def headers_of(server: Server) -> dict[str, str]:
    lines = server.requests[-1].head.decode("latin-1").split("\r\n")[1:-2]
    pairs = [line.split(": ", 1) for line in lines]
    assert len({name.lower() for name, _ in pairs}) == len(pairs), "a header was sent twice"
    return {name.lower(): value for name, value in pairs}


async def say_ok(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.answer(b"ok")


async def say_nothing(peer: Peer) -> None:
    await peer.request()
    await peer.gone()


def say(*parts: bytes):
    """Answer once with these packets and close."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*parts)

    return script


async def pieces_of(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
