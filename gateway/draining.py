"""The end of a server in order: a connection is closed as soon as its running request has been answered.

Sanic closes the connections that are idle when it is told to stop, and then waits for the rest to go away. Clients
keep theirs open, so that it would wait for as long as it may, with nothing left to do.

It also has uvloop listen for the signals, which forgets one that comes while its loop is not turning: between the
start's last step and the first turn. A server that was told to stop as soon as it answered would go on for ever.
"""

import asyncio
import signal
from types import FrameType
from typing import Any

from sanic import Sanic
from sanic.server import HttpProtocol

from gateway.http1 import QuickHttpProtocol

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOOK_SECONDS = 0.05


def stop_at_signals(app: Sanic[Any, Any]) -> None:
    """Make `app` stop in order at a signal, from when it listens on; a second one ends it at once.

    It must be run with `register_sys_signals=False`, in the main thread.
    """

    def stop(loop: asyncio.AbstractEventLoop) -> None:
        if app.state.is_running:
            app.stop(terminate=False)
        else:  # the start is not at its end: a loop that is stopped in it would fail
            loop.call_later(_LOOK_SECONDS, stop, loop)

    async def listen(_app: object) -> None:
        loop = asyncio.get_running_loop()

        def take(_number: int, _frame: FrameType | None) -> None:
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            loop.call_soon_threadsafe(stop, loop)

        for number in STOP_SIGNALS:
            signal.signal(number, take)

    app.after_server_start(listen, priority=1)  # before all others: Sanic has just had the signals ignored


def drain_at_stop(app: Sanic[Any, Any]) -> type[HttpProtocol]:
    """Make `app` close idle connections for as long as it is stopping; gives the protocol that it must be run with."""
    connections: set[HttpProtocol] = set()
    draining: list[asyncio.Task[None]] = []

    class Tracked(QuickHttpProtocol):
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
