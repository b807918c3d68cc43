"""A request on the wire: its head as bytes, its body in frames, and how long it may take."""

import re
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from typing import NamedTuple

import httpx

SLICE = 256 * 1024
"""Request bodies beyond this are written in slices, each after the one before has left."""

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_BREAKS = re.compile(rb"[\r\n\0]")


class Timeouts(NamedTuple):
    """How long to wait, in seconds: for a connection, for bytes to come, for bytes to go, for a free place.

    `math.inf` is no limit.
    """

    connect: float = 5.0
    read: float = 300.0
    write: float = 60.0
    pool: float = 10.0


def write_line(method: bytes, target: bytes) -> bytes:
    """Write the request line (RFC 9112, 3); `LocalProtocolError` for what would break out of it."""
    if not _TOKEN.fullmatch(method) or not _TARGET.fullmatch(target):
        raise httpx.LocalProtocolError("the request line holds an illegal character")
    return b"%b %b HTTP/1.1\r\n" % (method, target)


def write_headers(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Write header lines (RFC 9112, 5), without the empty line; `LocalProtocolError` for what would break out."""
    lines: list[bytes] = []
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or _BREAKS.search(value):
            raise httpx.LocalProtocolError("a header holds an illegal character")
        lines += (name, b": ", value, b"\r\n")
    return b"".join(lines)


async def slice_body(body: bytes) -> AsyncGenerator[bytes, None]:
    """Cut a large body into slices."""
    for start in range(0, len(body), SLICE):
        yield body[start : start + SLICE]


async def frame_body(body: AsyncIterable[bytes], length: int | None) -> AsyncGenerator[bytes, None]:
    """Frame a streamed body: in chunks, or, where `length` is declared, as it is and held to that."""
    if length is not None:
        async for piece in hold_to_length(body, length):
            yield piece
        return
    async for piece in body:
        if piece:
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


async def hold_to_length(body: AsyncIterable[bytes], length: int) -> AsyncGenerator[bytes, None]:
    """Pass `body` on; `LocalProtocolError` as soon as it is longer, or ends shorter, than `length` bytes."""
    sent = 0
    async for piece in body:
        sent += len(piece)
        if sent > length:
            raise httpx.LocalProtocolError("the request's body is longer than its content-length")
        yield piece
    if sent < length:
        raise httpx.LocalProtocolError("the request's body is shorter than its content-length")
