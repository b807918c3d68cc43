"""Events on their way to a client that takes its time, on a clock that leaps."""

import asyncio

import pytest

from executor.api.execute import PIECE_BYTES, UNREAD_SECONDS, Unread, send_in_pieces
from tests.executor.leaping import run_leaping

EVENT = bytes(range(256)) * (20 * PIECE_BYTES // 256) + b"end"


def send_to_reader(pause: float) -> bytes:
    """What a client has got that needs so many seconds for each piece."""
    got = bytearray()

    async def send(piece: bytes) -> None:
        await asyncio.sleep(pause)
        got.extend(piece)

    run_leaping(send_in_pieces(send, EVENT))
    return bytes(got)


def test_a_client_that_reads_on_gets_all_however_slow_it_is() -> None:
    assert send_to_reader(UNREAD_SECONDS * 0.9) == EVENT


def test_a_client_that_does_not_read_is_not_waited_for() -> None:
    with pytest.raises(Unread):
        send_to_reader(UNREAD_SECONDS * 1.1)
