"""How many turns of the loop a burst of connections takes to be let in."""

import asyncio
import socket
from functools import partial
from typing import Any

import pytest
import uvloop

from gateway.accepting import accept_in_bursts

BURST = 100


class Door(asyncio.Protocol):
    """As much of a server's protocol as letting in needs."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop, entered: list[Any]) -> None:
        self.loop = loop
        self.entered = entered

    def connection_made(self, transport: Any) -> None:
        self.entered.append(transport)


async def count_turns(listener: socket.socket, protocol: Any) -> int:
    """Let a burst of connections wait at the listener; gives the turns of the loop until all of them are in."""
    loop = asyncio.get_running_loop()
    entered: list[Any] = []
    server = await loop.create_server(partial(protocol, loop=loop, entered=entered), sock=listener, backlog=2 * BURST)
    clients = [socket.create_connection(listener.getsockname()) for _ in range(BURST)]
    turns = 0
    try:
        while len(entered) < BURST:
            await asyncio.sleep(0)
            turns += 1
    finally:
        for connection in (*clients, *entered):
            connection.close()
        server.close()
    return turns


@pytest.mark.parametrize("bursts", [True, False], ids=["with it", "without it"])
def test_a_burst_of_connections_is_let_in_within_a_few_turns(*, bursts: bool) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=2 * BURST) as listener:
        listener.setblocking(False)
        protocol: Any = accept_in_bursts(Door, listener) if bursts else Door  # type: ignore[arg-type]
        loop = uvloop.new_event_loop()
        try:
            turns = loop.run_until_complete(asyncio.wait_for(count_turns(listener, protocol), 10))
        finally:
            loop.close()
    assert turns < BURST / 4 if bursts else turns > BURST / 2
