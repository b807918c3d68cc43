"""New connections are taken in together: a burst of them does not wait behind the requests of the others.

uvloop accepts one connection in each turn of its loop. Where a turn is long, because many requests are served in it,
the last of a burst waits for as many turns as there are before it: a quarter of a second for 64 of them, measured.
"""

import asyncio
import socket
from functools import partial
from typing import Any

from sanic.server import HttpProtocol

MOST_AT_ONCE = 256


def accept_in_bursts(protocol: type[HttpProtocol], listener: socket.socket) -> type[HttpProtocol]:
    """Give a protocol like `protocol` whose every new connection lets in those that wait behind it."""
    accepting: set[asyncio.Task[Any]] = set()

    class Accepting(protocol):  # type: ignore[misc, valid-type]  # a class that is given cannot be a static base
        __slots__ = ("_make_another",)

        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            self._make_another = partial(Accepting, **given)

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            for _ in range(MOST_AT_ONCE):
                try:
                    connection, _address = listener.accept()
                except OSError:  # nobody waits, or what is wrong is for the loop itself to find
                    return
                task = self.loop.create_task(self._take_in(connection))
                accepting.add(task)
                task.add_done_callback(accepting.discard)

        async def _take_in(self, connection: socket.socket) -> None:
            connection.setblocking(False)
            try:
                await self.loop.connect_accepted_socket(self._make_another, connection)
            except OSError:  # gone already
                connection.close()

    return Accepting
