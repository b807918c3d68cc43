"""Connections kept open, per origin: last in, first out, at a constant cost per request.

A connection that the server closes removes itself; nothing is polled. One timer per origin closes those that have
been idle for too long. The number of connections per origin is bounded; who finds none free waits in line, for a
bounded time.
"""

import asyncio
import math
import ssl
from collections.abc import AsyncIterable
from pathlib import Path
from typing import NamedTuple

import httpx

from gateway.wire.connection import Connection
from gateway.wire.request import Timeouts
from gateway.wire.response import ServerDisconnected, WireResponse

_DEFAULT_TIMEOUTS = Timeouts()


class Origin(NamedTuple):
    """Where to connect to: "http" or "https", a host name or address (without brackets), a port."""

    scheme: str
    host: str
    port: int


class Wire:
    """The HTTP/1.1 client: one pool per origin, bound to the event loop it is first used in."""

    def __init__(
        self, *, max_connections: int = 2000, idle_seconds: float = 60.0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._max_connections = max_connections
        self._idle_seconds = idle_seconds
        self._tls = tls
        self._pools: dict[Origin, Pool] = {}

    async def exchange(
        self,
        origin: Origin,
        head: bytes,
        body: bytes | AsyncIterable[bytes] = b"",
        *,
        head_request: bool = False,
        length: int | None = None,
        timeouts: Timeouts = _DEFAULT_TIMEOUTS,
    ) -> WireResponse:
        """Send a request that is ready to write, give the answer when its head is there.

        `head` is the request line and all headers with the empty line at the end; `length` is the size of a
        streamed body that goes out without chunks. Raises httpx's errors.

        A request with its body in memory is sent once more, on a new connection, when a reused one turns out closed
        before any byte of an answer, a POST too. Nearly always the server has given up an idle connection while the
        request was on its way, and has read nothing of it; browsers do the same. The other case, a server that fails
        over the request itself, looks no different from here: a model is asked a second time then, which has no
        effect beyond its price, and not a third, since the new connection is not a reused one.
        """
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = self._pool(origin)
        connection = pool.take_idle() or await pool.acquire(timeouts)
        try:
            return await connection.exchange(head, body, head_request=head_request, length=length, timeouts=timeouts)
        except (httpx.ReadError, httpx.WriteError, ServerDisconnected):
            if connection.exchanges == 1 or connection.answered or not isinstance(body, bytes):
                raise
        connection = await pool.acquire(timeouts)
        return await connection.exchange(head, body, head_request=head_request, length=length, timeouts=timeouts)

    async def aclose(self) -> None:
        """Close all connections at once and wait until they are gone."""
        pools = list(self._pools.values())
        self._pools.clear()
        for pool in pools:
            pool.close()
        for pool in pools:
            await pool.wait_closed()

    def _pool(self, origin: Origin) -> "Pool":
        tls = None
        if origin.scheme == "https":
            tls = self._tls = self._tls or default_tls()
        return Pool(origin, tls, max_connections=self._max_connections, idle_seconds=self._idle_seconds)


class Pool:
    """The connections to one origin.

    `_places` counts those that are open or being opened; who waits in line is given either a connection that has
    become free or, as None, the place of one that is gone.
    """

    def __init__(
        self, origin: Origin, tls: ssl.SSLContext | None, *, max_connections: int, idle_seconds: float
    ) -> None:
        self._origin = origin
        self._tls = tls
        self._max_connections = max_connections
        self._idle_seconds = idle_seconds
        self._loop = asyncio.get_running_loop()
        self._places = 0
        self._open: set[Connection] = set()
        self._idle: dict[Connection, None] = {}
        self._line: dict[asyncio.Future[Connection | None], None] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._shut = False
        self._all_gone = asyncio.Event()

    def take_idle(self) -> Connection | None:
        """Give the connection that became idle last, if there is one."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.usable:
                return connection
        return None

    async def acquire(self, timeouts: Timeouts) -> Connection:
        """Open a connection, or wait in line for one."""
        if self._places >= self._max_connections:
            if self._idle:  # a retry: these are as doubtful as the one that was just tried
                oldest = next(iter(self._idle))
                del self._idle[oldest]
                oldest.abort()
            connection = await self._wait_in_line(timeouts.pool)
            if connection is not None:
                return connection
        else:
            self._places += 1
        return await self._connect(timeouts.connect)

    def close(self) -> None:
        """Close everything at once; whoever waits in line is told."""
        self._shut = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for waiter in self._line:
            if not waiter.done():
                waiter.set_exception(httpx.PoolTimeout("the client is closed"))
        self._line.clear()
        for connection in list(self._open):
            connection.abort()

    async def wait_closed(self) -> None:
        """Wait until the last connection is gone, 1 s at most."""
        if self._open:
            self._all_gone.clear()
            try:
                async with asyncio.timeout(1):
                    await self._all_gone.wait()
            except TimeoutError:
                pass

    async def _wait_in_line(self, seconds: float) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._line[waiter] = None
        try:
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                return await waiter
        except TimeoutError:
            self._decline(waiter)
            raise httpx.PoolTimeout("no connection became free in time") from None
        except asyncio.CancelledError:
            self._decline(waiter)
            raise
        finally:
            self._line.pop(waiter, None)

    def _decline(self, waiter: "asyncio.Future[Connection | None]") -> None:
        """Pass on what was given to somebody who had just stopped waiting."""
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            given = waiter.result()
            if given is None:
                self._give_up_place()
            else:
                self._on_idle(given)

    async def _connect(self, seconds: float) -> Connection:
        """Open a connection in a place that is already counted."""
        try:
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self._loop, self._on_idle, self._on_lost),
                    self._origin.host,
                    self._origin.port,
                    ssl=self._tls,
                    server_hostname=self._origin.host if self._tls else None,
                )
            if connection.lost or self._shut:
                connection.abort()
                raise ServerDisconnected("the connection was closed at once")
        except TimeoutError as error:
            self._give_up_place()
            raise httpx.ConnectTimeout("the connection was not made in time") from error
        except (OSError, UnicodeError) as error:
            self._give_up_place()
            raise httpx.ConnectError(str(error)) from error
        except BaseException:
            self._give_up_place()
            raise
        self._open.add(connection)
        return connection

    def _on_idle(self, connection: Connection) -> None:
        while self._line:
            waiter = next(iter(self._line))
            del self._line[waiter]
            if not waiter.done():
                waiter.set_result(connection)
                return
        connection.idle_since = self._loop.time()
        self._idle[connection] = None
        if self._sweep_timer is None:
            self._sweep_timer = self._loop.call_later(self._idle_seconds, self._sweep)

    def _on_lost(self, connection: Connection) -> None:
        if connection not in self._open:
            return  # it was never handed out: the place is given up by who was opening it
        self._open.discard(connection)
        self._idle.pop(connection, None)
        self._give_up_place()
        if not self._open:
            self._all_gone.set()

    def _give_up_place(self) -> None:
        self._places -= 1
        while self._line:
            waiter = next(iter(self._line))
            del self._line[waiter]
            if not waiter.done():
                self._places += 1
                waiter.set_result(None)
                return

    def _sweep(self) -> None:
        """Close what has been idle for too long: the oldest stand first."""
        self._sweep_timer = None
        horizon = self._loop.time() - self._idle_seconds + 0.001
        while self._idle:
            oldest = next(iter(self._idle))
            if oldest.idle_since > horizon:
                self._sweep_timer = self._loop.call_at(oldest.idle_since + self._idle_seconds, self._sweep)
                return
            del self._idle[oldest]
            oldest.close()


def default_tls() -> ssl.SSLContext:
    """Verify against the system's certificates, or those that SSL_CERT_FILE and SSL_CERT_DIR name.

    A machine without any (a bare container) gets the bundle that comes with httpx.
    """
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())):
        context = ssl.create_default_context()
    else:
        context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
