"""The bodies of requests: read within a size and a time, and seen out where the request is refused."""

import asyncio
import contextlib

from sanic import HTTPResponse, Request
from sanic.exceptions import PayloadTooLarge, SanicException
from sanic.http import Http

from executor.errors import RequestTimedOut, RequestTooLarge

BODY_SECONDS = 30.0
LINGER_SECONDS = 3.0
LINGER_BYTES = 64 * 1024 * 1024
_NO_LIMIT = 2**62


async def read_body(request: Request, most: int) -> bytes:
    """Read the body as it comes, within a size and a time. Raises `RequestTooLarge` or `RequestTimedOut`."""
    too_large = RequestTooLarge(f"The body is larger than {most} bytes (MAX_REQUEST_BYTES).")
    declared = request.headers.getone("content-length", "0")
    if declared.isdecimal() and int(declared) > most:
        raise too_large
    body = bytearray()
    stream = request.stream
    assert isinstance(stream, Http)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while stream.request_body and (chunk := await stream.read()) is not None:
                body += chunk
                if len(body) > most:
                    raise too_large
    except PayloadTooLarge:
        raise too_large from None
    except TimeoutError:
        raise RequestTimedOut(f"The body did not arrive within {BODY_SECONDS:g} s.") from None
    return bytes(body)


async def answer_past_body(request: Request, response: HTTPResponse) -> HTTPResponse | None:
    """Answer a request whose body may not have been read; gives the answer back where there is nothing to do.

    Many clients write the whole body before they read: were the connection closed at once, they would see a reset and
    never the answer. So what they still send is taken in and thrown away, within a size and a time.
    """
    stream = request.stream
    if not isinstance(stream, Http) or not stream.request_body or stream.head_only:
        return response
    comes = not stream.expecting_continue
    stream.expecting_continue = stream.keep_alive = False
    sent = await request.respond(response)
    assert sent is not None
    await sent.send(end_stream=True)
    if comes:
        await _discard(stream)
    stream.request_body = None  # Sanic would wait for the rest without end
    return None


async def _discard(stream: Http) -> None:
    stream.request_max_size = _NO_LIMIT
    left = LINGER_BYTES
    with contextlib.suppress(TimeoutError, SanicException):
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0 and stream.request_body and (chunk := await stream.read()):
                left -= len(chunk)
