"""The client itself: one request out, one answer back.

Which transport serves an origin is decided once: a stub answers inside the process; httpx's own transport serves
where it is asked for, or where a proxy is set; the wire serves the rest.
"""

import asyncio
import math
from collections.abc import AsyncIterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Literal, NamedTuple

import httpx

from gateway.settings import ProviderSettings
from gateway.upstream.answers import Answer, HttpxBody
from gateway.upstream.failures import Translation
from gateway.upstream.routes import Route, declared_length, plan_route, proxy_for, raw, split_address
from gateway.wire import Origin, Timeouts, Wire, WireResponse, default_tls, hold_to_length, write_headers

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

    def exchange(
        self,
        provider: ProviderSettings,
        method: str,
        path: str,
        *,
        headers: Sequence[tuple[str, str]],
        request_id: str,
        body: bytes | AsyncIterable[bytes] = b"",
        connect_seconds: float | None = None,
    ) -> AbstractAsyncContextManager[Answer]:
        """Send one request; the answer is there inside `async with`, as soon as its head has arrived.

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
        call = _Call(method, path, headers, request_id, body, timeouts)
        return _WireExchange(self._wire, route, call) if route.transport is None else _HttpxExchange(route, call)

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


class _Call(NamedTuple):
    method: str
    path: str
    headers: Sequence[tuple[str, str]]
    request_id: str
    body: bytes | AsyncIterable[bytes]
    timeouts: Timeouts

    @property
    def declared(self) -> int | None:
        """The size of a streamed body, where it is declared."""
        return None if isinstance(self.body, bytes) else declared_length(self.headers)

    def framing(self, declared: int | None) -> list[tuple[bytes, bytes]]:
        """Give the header that says how the body is framed (RFC 9112, 6)."""
        if isinstance(self.body, bytes):
            if not self.body and self.method in _WITHOUT_BODY:
                return []
            declared = len(self.body)
        if declared is None:
            return [(b"transfer-encoding", b"chunked")]
        return [(b"content-length", b"%d" % declared)]


class _WireExchange:
    """One exchange over the wire."""

    __slots__ = ("_call", "_response", "_route", "_wire")

    def __init__(self, wire: Wire, route: Route, call: _Call) -> None:
        self._wire = wire
        self._route = route
        self._call = call
        self._response: WireResponse | None = None

    async def __aenter__(self) -> Answer:
        route, call = self._route, self._call
        deadline = asyncio.get_running_loop().time() + call.timeouts.read
        with route.translation:
            declared = call.declared
            varying = [(b"x-request-id", raw(call.request_id)), *call.framing(declared)]
            head = route.written(call.method, call.path, call.headers) + write_headers(varying) + b"\r\n"
            response = self._response = await self._wire.exchange(
                route.origin,
                head,
                call.body,
                head_request=call.method == "HEAD",
                length=declared,
                timeouts=call.timeouts,
            )
        return Answer(response.status, response.headers, response, deadline=deadline, translation=route.translation)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._response is not None:
            self._response.close()


class _HttpxExchange:
    """One exchange through an httpx transport."""

    __slots__ = ("_call", "_route", "_stream")

    def __init__(self, route: Route, call: _Call) -> None:
        self._route = route
        self._call = call
        self._stream: httpx.AsyncByteStream | None = None

    async def __aenter__(self) -> Answer:
        route, call = self._route, self._call
        assert route.transport is not None
        deadline = asyncio.get_running_loop().time() + call.timeouts.read
        with route.translation:
            response = await route.transport.handle_async_request(self._request())
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._stream = response.stream
        body = HttpxBody(response.stream)
        return Answer(
            response.status_code, response.headers.raw, body, deadline=deadline, translation=route.translation
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            with self._route.translation:
                await self._stream.aclose()

    def _request(self) -> httpx.Request:
        route, call = self._route, self._call
        origin = route.origin
        seconds = {name: None if value == math.inf else value for name, value in call.timeouts._asdict().items()}
        declared = call.declared
        varying = [(b"x-request-id", raw(call.request_id)), *call.framing(declared)]
        headers = route.assembled(call.headers) + varying
        write_headers(headers)  # refuses what would break out of a header, as on the wire
        return httpx.Request(
            call.method,
            httpx.URL(scheme=origin.scheme, host=origin.host, port=origin.port, raw_path=route.target(call.path)),
            headers=headers,
            # Unlike the wire, httpx lets an error of h11's out where a body is not as long as declared.
            content=call.body
            if isinstance(call.body, bytes) or declared is None
            else hold_to_length(call.body, declared),
            extensions={"timeout": seconds},
        )
