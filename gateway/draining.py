"""The end of a server in order: a connection is closed as soon as its running request has been answered.

Sanic closes the connections that are idle when it is told to stop, and then waits for the rest to go away. Clients
keep theirs open, so that it would wait for as long as it may, with nothing left to do.
"""

import asyncio
from typing import Any

from sanic import Sanic
from sanic.server import HttpProtocol

_LOOK_SECONDS = 0.05


def drain_at_stop(app: Sanic[Any, Any]) -> type[HttpProtocol]:
    """Make `app` close idle connections for as long as it is stopping; gives the protocol that it must be run with."""
    connections: set[HttpProtocol] = set()
    draining: list[asyncio.Task[None]] = []

    class Tracked(HttpProtocol):
        __slots__ = ()

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)  # type: ignore[no-untyped-call]  # Sanic has no hints here
            connections.add(self)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.discard(self)
            super().connection_lost(exc)  # type: ignore[no-untyped-call]  # Sanic has no hints here

    async def close_idle() -> None:
        while True:
            for connection in list(connections):
                connection.close_if_idle()
            await asyncio.sleep(_LOOK_SECONDS)

    async def begin(_app: object) -> None:
        draining.append(asyncio.create_task(close_idle()))

    async def end(_app: object) -> None:
        for task in draining:
            task.cancel()
        await asyncio.gather(*draining, return_exceptions=True)

    app.before_server_stop(begin)
    app.after_server_stop(end)
    return Tracked
