"""The attached streams: whatever way the bytes are cut, the frames come out whole, and an end is always an end."""

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from executor.errors import EngineFailed
from executor.sandboxes import attach as attaching
from executor.sandboxes.attach import Attachment, attach
from executor.sandboxes.frames import encode

pytestmark = pytest.mark.anyio

UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
FRAMES = [(b"R", b'{"python": "3"}'), (b"O", b"x" * 5000), (b"O", b""), (b"Z", b"{}")]


def chunk(stream: int, payload: bytes) -> bytes:
    """One chunk of the engine's own multiplexing."""
    return struct.pack(">BxxxI", stream, len(payload)) + payload


def told(frames: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"".join(encode(kind, payload) for kind, payload in frames)


@asynccontextmanager
async def engine(
    folder: Path, pieces: Sequence[bytes], *, stay: bool = False
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """An engine's socket that answers an attach with these pieces; yields its address and what it was sent."""
    sent: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent.append(await reader.readuntil(b"\r\n\r\n"))
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if stay:
            sent.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_unix_server(serve, folder / "engine.sock")
    async with server:
        yield f"unix://{folder}/engine.sock", sent


async def read_all(attachment: Attachment) -> list[tuple[bytes, bytes]]:
    frames = []
    while (frame := await attachment.next_frame()) is not None:
        frames.append(frame)
    attachment.close()
    return frames


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 1000, 100_000])
async def test_frames_come_out_whole_however_the_bytes_are_cut(tmp_path: Path, size: int) -> None:
    stream = told(FRAMES)
    whole = UPGRADED + b"".join(chunk(1, stream[start : start + 11]) for start in range(0, len(stream), 11))
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    async with engine(tmp_path, pieces) as (address, _):
        assert await read_all(await attach(address, "box", seconds=5)) == FRAMES


async def test_what_comes_with_the_head_is_not_lost(tmp_path: Path) -> None:
    async with engine(tmp_path, [UPGRADED + chunk(1, told(FRAMES))]) as (address, sent):
        assert await read_all(await attach(address, "box", seconds=5)) == FRAMES
    assert sent[0].startswith(b"POST /containers/box/attach?")


async def test_what_comes_on_stderr_is_kept_apart_and_short(tmp_path: Path) -> None:
    pieces = [UPGRADED, chunk(2, b"y" * 5000 + b"no such file"), chunk(1, told(FRAMES))]
    async with engine(tmp_path, pieces) as (address, _):
        attachment = await attach(address, "box", seconds=5)
        assert await read_all(attachment) == FRAMES
    assert attachment.complaint.endswith(b"no such file")
    assert len(attachment.complaint) <= 2000


async def test_an_end_is_told_once_to_whom_it_concerns(tmp_path: Path) -> None:
    ends: list[str] = []
    async with engine(tmp_path, [UPGRADED]) as (address, _):
        attachment = await attach(address, "box", seconds=5)
        attachment.on_end(lambda: ends.append("ended"))
        assert await attachment.next_frame() is None
        assert await attachment.next_frame() is None
    assert ends == ["ended"]


async def test_an_end_is_waited_for_as_long_as_is_said_and_what_comes_last_is_known(tmp_path: Path) -> None:
    async with engine(tmp_path, [UPGRADED, chunk(1, told(FRAMES))]) as (address, _):
        attachment = await attach(address, "box", seconds=5)
        await attachment.wait_for_end(60)
        assert attachment.ended
        assert attachment.newest == b"Z"
    async with engine(tmp_path, [UPGRADED, chunk(1, told(FRAMES[:2]))], stay=True) as (address, _):
        attachment = await attach(address, "box", seconds=5)
        await attachment.wait_for_end(0.2)
        assert not attachment.ended
        assert attachment.newest == b"O"
        attachment.close()


async def test_a_frame_that_cannot_be_ends_the_stream(tmp_path: Path) -> None:
    async with engine(tmp_path, [UPGRADED, chunk(1, b"O\xff\xff\xff\xff")], stay=True) as (address, _):
        attachment = await attach(address, "box", seconds=5)
        assert await attachment.next_frame() is None
        assert attachment.broken
        attachment.close()


async def test_a_flood_ends_the_stream_and_not_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attaching, "MAX_BUFFERED", 10_000)
    flood = [chunk(1, encode(b"O", b"x" * 4000))] * 10
    async with engine(tmp_path, [UPGRADED, *flood]) as (address, _):
        attachment = await attach(address, "box", seconds=5)
        frames = await read_all(attachment)
    assert len(frames) <= 2
    assert attachment.broken


async def test_what_is_written_arrives(tmp_path: Path) -> None:
    async with engine(tmp_path, [UPGRADED], stay=True) as (address, sent):
        attachment = await attach(address, "box", seconds=5)
        attachment.write(b"job")
        assert await attachment.next_frame() is None
        attachment.write(b"nobody is there any more")
    assert sent[1] == b"job"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 404 Not Found\r\n\r\n", b"", b"x" * 20_000, b"hello\r\n\r\n"])
async def test_an_engine_that_does_not_attach_is_a_failure_of_the_engine(tmp_path: Path, answer: bytes) -> None:
    async with engine(tmp_path, [answer]) as (address, _):
        with pytest.raises(EngineFailed):
            await attach(address, "box", seconds=5)


async def test_an_engine_that_is_silent_or_absent_is_not_waited_for(tmp_path: Path) -> None:
    async with engine(tmp_path, [], stay=True) as (address, _):
        with pytest.raises(EngineFailed):
            await attach(address, "box", seconds=0.05)
    with pytest.raises(EngineFailed):
        await attach(f"unix://{tmp_path}/nothing.sock", "box", seconds=5)
    with pytest.raises(EngineFailed):
        await attach("tcp://127.0.0.1:1", "box", seconds=5)
