"""The client itself: one request out, one answer back.

Which transport serves an origin is decided once: a stub answers inside the process; httpx's own transport serves
where it is asked for, or where a proxy is set; the wire serves the rest.
"""

import asyncio
import math
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal

import httpx

from gateway.settings import ProviderSettings
from gateway.upstream.answers import Answer, HttpxBody
from gateway.upstream.failures import Translation
from gateway.upstream.routes import Route, declared_length, plan_route, proxy_for, raw, split_address
from gateway.wire import Origin, Timeouts, Wire, default_tls, hold_to_length, write_headers

_LIMITS = httpx.Limits(max_connections=2000, max_keepalive_connections=200, keepalive_expiry=60.0)
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "DELETE", "TRACE"})


class Upstream:
    """All connections to providers (and to the executor), bound to one event loop.

    `in_process` gives, by a provider's kind, transports that answer inside the process.
    """

    def __init__(
        self,
        *,
        transport: Literal["wire", "httpx"] = "wire",
        in_process: Mapping[str, httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        self._transport = transport
        self._in_process = dict(in_process or {})
        self._wire = Wire()
        self._routes: dict[str, Route] = {}
        self._by_origin: dict[Origin, httpx.AsyncBaseTransport | None] = {}
        self._by_proxy: dict[str | None, httpx.AsyncHTTPTransport] = {}

    async def send(
        self,
        provider: ProviderSettings,
        method: str,
        path: str,
        *,
        headers: Sequence[tuple[str, str]],
        request_id: str,
        body: bytes | AsyncIterable[bytes] = b"",
        connect_seconds: float | None = None,
    ) -> Answer:
        """Send one request and give the answer as soon as its head has arrived; whoever gets it closes it.

        `path` begins with `/`, may carry a query, and is appended to the provider's base URL. A streamed body goes
        out as it is when `headers` declare its content-length, else in chunks. The provider's time-out bounds the
        wait for the first byte, between bytes, and a whole answer. Nothing is retried but a kept connection that
        turns out closed. Raises `Unavailable`, `TimedOut`, `UnusableAnswer`, `InvalidRequest`.
        """
        route = self._routes.get(provider.name)
        if route is None or route.provider is not provider:
            route = self._plan(provider)
        timeouts = route.timeouts
        if connect_seconds is not None:
            timeouts = timeouts._replace(connect=min(connect_seconds, timeouts.connect))
        deadline = asyncio.get_running_loop().time() + timeouts.read
        if route.transport is None and type(body) is bytes:
            with route.translation:
                head = route.written(method, path, headers) + _vary(request_id, method, body)
                response = await self._wire.exchange(
                    route.origin, head, body, head_request=method == "HEAD", timeouts=timeouts
                )
            return Answer(response.status, response.headers, response, deadline=deadline, translation=route.translation)
        declared = None if isinstance(body, bytes) else declared_length(headers)
        with route.translation:
            varying = ((b"x-request-id", raw(request_id)), *_framing(method, body, declared))
            if route.transport is not None:
                asked = _write_httpx(route, method, path, [*route.assembled(headers), *varying], body, declared)
                asked.extensions = {"timeout": _httpx_timeouts(timeouts)}
                return await _ask_httpx(route, asked, deadline)
            response = await self._wire.exchange(
                route.origin,
                b"%b%b\r\n" % (route.written(method, path, headers), write_headers(varying)),
                body,
                head_request=method == "HEAD",
                length=declared,
                timeouts=timeouts,
            )
        return Answer(response.status, response.headers, response, deadline=deadline, translation=route.translation)

    @asynccontextmanager
    async def exchange(
        self,
        provider: ProviderSettings,
        method: str,
        path: str,
        *,
        headers: Sequence[tuple[str, str]],
        request_id: str,
        body: bytes | AsyncIterable[bytes] = b"",
        connect_seconds: float | None = None,
    ) -> AsyncIterator[Answer]:
        """Send one request like `send`; the answer is there inside `async with`, and closed behind it."""
        answer = await self.send(
            provider, method, path, headers=headers, request_id=request_id, body=body, connect_seconds=connect_seconds
        )
        try:
            yield answer
        finally:
            await answer.aclose()

    async def aclose(self) -> None:
        """Close all connections at once."""
        await self._wire.aclose()
        for transport in (*self._by_proxy.values(), *self._in_process.values()):
            await transport.aclose()
        self._by_proxy.clear()
        self._by_origin.clear()
        self._routes.clear()

    def _plan(self, provider: ProviderSettings) -> Route:
        with Translation(provider.name):
            transport = self._in_process.get(provider.kind)
            if transport is not None:
                route = plan_route(provider, f"http://{provider.kind}.internal", transport)
            else:
                transport = self._choose(split_address(provider.base_url)[1])
                route = plan_route(provider, provider.base_url, transport)
        self._routes[provider.name] = route
        return route

    def _choose(self, origin: Origin) -> httpx.AsyncBaseTransport | None:
        """Give httpx's transport where it has to serve `origin`, None where the wire does."""
        if origin not in self._by_origin:
            proxy = proxy_for(origin)
            wanted = proxy is not None or self._transport == "httpx"
            self._by_origin[origin] = self._httpx_transport(proxy) if wanted else None
        return self._by_origin[origin]

    def _httpx_transport(self, proxy: str | None) -> httpx.AsyncHTTPTransport:
        if proxy not in self._by_proxy:
            try:
                transport = httpx.AsyncHTTPTransport(
                    verify=default_tls(), trust_env=False, limits=_LIMITS, proxy=proxy and httpx.Proxy(proxy)
                )
            except (ValueError, ImportError) as error:  # an unknown scheme; socks without its package
                raise httpx.ProxyError("the proxy cannot be used") from error
            self._by_proxy[proxy] = transport
        return self._by_proxy[proxy]


def _vary(request_id: str, method: str, body: bytes) -> bytes:
    """Write the end of a head, in which each request differs: its id and, where it has a body, how long that is."""
    if not (request_id.isascii() and request_id.isprintable()):
        raise httpx.LocalProtocolError("a header holds an illegal character")
    if body or method not in _WITHOUT_BODY:
        return f"x-request-id: {request_id}\r\ncontent-length: {len(body)}\r\n\r\n".encode("ascii")
    return f"x-request-id: {request_id}\r\n\r\n".encode("ascii")


def _framing(method: str, body: bytes | AsyncIterable[bytes], declared: int | None) -> tuple[tuple[bytes, bytes], ...]:
    """Give the header that says how the body is framed (RFC 9112, 6)."""
    if isinstance(body, bytes):
        if not body and method in _WITHOUT_BODY:
            return ()
        declared = len(body)
    if declared is None:
        return ((b"transfer-encoding", b"chunked"),)
    return ((b"content-length", b"%d" % declared),)


def _write_httpx(
    route: Route,
    method: str,
    path: str,
    headers: list[tuple[bytes, bytes]],
    body: bytes | AsyncIterable[bytes],
    declared: int | None,
) -> httpx.Request:
    origin = route.origin
    write_headers(headers)  # refuses what would break out of a header, as on the wire
    return httpx.Request(
        method,
        httpx.URL(scheme=origin.scheme, host=origin.host, port=origin.port, raw_path=route.target(path)),
        headers=headers,
        # Unlike the wire, httpx lets an error of h11's out where a body is not as long as declared.
        content=body if isinstance(body, bytes) or declared is None else hold_to_length(body, declared),
    )


async def _ask_httpx(route: Route, asked: httpx.Request, deadline: float) -> Answer:
    assert route.transport is not None
    response = await route.transport.handle_async_request(asked)
    assert isinstance(response.stream, httpx.AsyncByteStream)
    body = HttpxBody(response.stream)
    return Answer(response.status_code, response.headers.raw, body, deadline=deadline, translation=route.translation)


def _httpx_timeouts(timeouts: Timeouts) -> dict[str, float | None]:
    return {name: None if value == math.inf else value for name, value in timeouts._asdict().items()}
