"""The wire as an httpx transport, for whoever speaks httpx: clients, tests, vendors' SDKs."""

import math
import ssl
from collections.abc import AsyncIterator, Mapping

import httpx

from gateway.wire.pool import Origin, Wire
from gateway.wire.request import Timeouts, write_headers, write_line
from gateway.wire.response import WireResponse


class WireTransport(httpx.AsyncBaseTransport):
    """`httpx.AsyncClient(transport=WireTransport())`; shares the connections of `wire` if one is given."""

    def __init__(self, wire: Wire | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self._wire = wire or Wire(tls=tls)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; `extensions["timeout"]` is honoured as httpx has it (None: no limit)."""
        url = request.url
        if url.scheme not in {"http", "https"}:
            raise httpx.UnsupportedProtocol(f"{url.scheme} is not http or https")
        origin = Origin(url.scheme, url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80))
        body: bytes | httpx.AsyncByteStream
        if isinstance(request.stream, httpx.ByteStream):
            body = b"".join([piece async for piece in request.stream])
        else:
            assert isinstance(request.stream, httpx.AsyncByteStream)
            body = request.stream
        length = request.headers.get("content-length")
        chunked = "transfer-encoding" in request.headers
        if length is None and not chunked and not isinstance(body, bytes):
            raise httpx.LocalProtocolError("a streamed body needs content-length or transfer-encoding")
        response = await self._wire.exchange(
            origin,
            write_line(request.method.encode(), url.raw_path) + write_headers(request.headers.raw) + b"\r\n",
            body,
            head_request=request.method == "HEAD",
            length=None if length is None or chunked else int(length),
            timeouts=read_timeouts(request.extensions.get("timeout", {})),
        )
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=WireStream(response),
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._wire.aclose()


class WireStream(httpx.AsyncByteStream):
    """The body of an answer as httpx wants it."""

    def __init__(self, response: WireResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._response:
            yield piece

    async def aclose(self) -> None:
        """Give up what has not been read."""
        self._response.close()


def read_timeouts(timeout: Mapping[str, float | None]) -> Timeouts:
    """Read httpx's time-outs; what is missing or None has no limit."""

    def seconds(name: str) -> float:
        value = timeout.get(name)
        return math.inf if value is None else value

    return Timeouts(seconds("connect"), seconds("read"), seconds("write"), seconds("pool"))
