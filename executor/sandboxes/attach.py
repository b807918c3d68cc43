"""The attached streams of a container, as a raw non-blocking socket on the event loop.

The connection is made here and not through docker-py: its socket would have to be dug out of an HTTP response, and
what the response had buffered beyond its head would be lost. Wire format: Docker Engine API, ContainerAttach: an HTTP
upgrade, then both ways raw; what comes is cut into chunks of `stream: 1 byte, 3 zero bytes, length: 4 bytes big
endian`, payload. The stream is always read, whatever becomes of the reader above: an unread attach stalls the engine.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import cast

from executor.errors import EngineFailed
from executor.sandboxes.engine_http import connect
from executor.sandboxes.frames import BrokenFrame, FrameDecoder

_CHUNK = struct.Struct(">BxxxI")
_STDOUT = 1
_MAX_HEAD = 16 * 1024
_MAX_COMPLAINT = 2000
MAX_BUFFERED = 96 * 1024 * 1024

Frame = tuple[bytes, bytes]


class Attachment(asyncio.Protocol):
    """What a box says on its stdout, cut into frames, and a way to write to its stdin.

    Frames wait in memory until they are read, up to `MAX_BUFFERED` bytes in all; past that, and at anything that is
    not a frame, the rest is thrown away as it comes and the stream counts as ended (`broken` says why). `newest` is the
    kind of the frame that came last. `complaint` holds the end of what came on stderr, which only a box that cannot
    start uses.
    """

    def __init__(self) -> None:
        self.complaint = b""
        self.broken: str | None = None
        self.ended = False
        self.newest = b""
        self._transport: asyncio.Transport | None = None
        self._upgraded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._head: bytearray | None = bytearray()
        self._chunks = bytearray()
        self._decoder = FrameDecoder()
        self._frames: deque[Frame] = deque()
        self._arrived = asyncio.Event()
        self._received = 0
        self._on_end: Callable[[], None] | None = None

    async def upgraded(self) -> None:
        """Wait until the engine has attached the streams; `EngineFailed` if it does not."""
        await self._upgraded

    @property
    def waiting(self) -> bool:
        """Whether frames have come that nobody has read."""
        return bool(self._frames)

    def on_end(self, call: Callable[[], None] | None) -> None:
        """Have `call` called once when the stream ends; None forgets it."""
        self._on_end = call

    def write(self, data: bytes) -> None:
        """Send bytes to the box's stdin; after the end they go nowhere."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def next_frame(self) -> Frame | None:
        """Wait for the next frame; None at the end of the stream."""
        while not self._frames:
            if self.ended:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._frames.popleft()

    async def wait_for_end(self, seconds: float) -> None:
        """Wait until the stream ends, `seconds` at the longest; what still comes is thrown away."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self.next_frame() is not None:
                    pass

    def close(self) -> None:
        """Let go of the connection. The box must be dead by now, see above."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio's callback)."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by what it does, not by its class

    def data_received(self, data: bytes) -> None:
        """Take what has come (asyncio's callback)."""
        if self._head is not None:
            data = self._read_head(self._head, data)
            if self._head is not None:
                return
        if self.broken is not None:
            return
        self._received += len(data)
        if self._received > MAX_BUFFERED:
            self._break("the sandbox sent more than is taken")
            return
        try:
            self._read_chunks(data)
        except BrokenFrame as error:
            self._break(str(error))

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the stream (asyncio's callback)."""
        del exc
        if not self._upgraded.done():
            self._refuse("the engine closed the connection")
        self._end()

    def _read_head(self, head: bytearray, data: bytes) -> bytes:
        head += data
        end = head.find(b"\r\n\r\n")
        if end < 0:
            if len(head) > _MAX_HEAD:
                self._refuse("the engine did not answer in HTTP")
            return b""
        self._head = None
        status = bytes(head[: head.find(b"\r\n")]).split(b" ")[1:2]
        # 101 where the engine honours the upgrade, 200 where a proxy between has eaten it.
        if status not in ([b"101"], [b"200"]):
            self._refuse("the engine refused to attach the streams")
        elif not self._upgraded.done():
            self._upgraded.set_result(None)
        return bytes(head[end + 4 :])

    def _read_chunks(self, data: bytes) -> None:
        chunks = self._chunks
        chunks += data
        position = 0
        while len(chunks) - position >= _CHUNK.size:
            stream, length = _CHUNK.unpack_from(chunks, position)
            end = position + _CHUNK.size + length
            if len(chunks) < end:
                break
            payload = bytes(chunks[position + _CHUNK.size : end])
            position = end
            if stream == _STDOUT:
                self._frames.extend(self._decoder.feed(payload))
            else:
                self.complaint = (self.complaint + payload)[-_MAX_COMPLAINT:]
        del chunks[:position]
        if self._frames:
            self.newest = self._frames[-1][0]
            self._arrived.set()

    def _refuse(self, why: str) -> None:
        if not self._upgraded.done():
            self._upgraded.set_exception(EngineFailed(f"The container engine failed: {why}."))
        self.close()

    def _break(self, why: str) -> None:
        self.broken = why
        self._chunks.clear()
        self._end()

    def _end(self) -> None:
        if self.ended:
            return
        self.ended = True
        self._arrived.set()
        if self._on_end is not None:
            call, self._on_end = self._on_end, None
            call()


async def attach(docker_host: str, container: str, *, seconds: float) -> Attachment:
    """Attach to a container that is created and not yet started; `docker_host` is `unix://…` or `tcp://…`.

    Raises `EngineFailed` if the engine refuses, cannot be reached, or takes longer than `seconds`.
    """
    attachment: Attachment | None = None
    try:
        async with asyncio.timeout(seconds):
            attachment = cast(Attachment, await connect(docker_host, Attachment))
            attachment.write(_request(container))
            await attachment.upgraded()
    except (OSError, TimeoutError, socket.gaierror) as error:
        if attachment is not None:
            attachment.close()
        raise EngineFailed("The container engine cannot be reached.") from error
    except BaseException:
        if attachment is not None:
            attachment.close()
        raise
    return attachment


def _request(container: str) -> bytes:
    path = f"/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1"
    lines = (f"POST {path} HTTP/1.1", "Host: docker", "Connection: Upgrade", "Upgrade: tcp", "Content-Length: 0")
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()
