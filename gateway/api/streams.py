"""A streamed answer to a client: its head, its pieces, keep-alives in the silences, and an end that is never silent.

What fails before the first piece is answered as a plain error with a status of its own; what fails later is sent
as the last piece, in the dialect's own form (API.md 2 and 3.8).
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.api.errors import describe
from gateway.api.services import GatewayRequest
from gateway.dialects.errors import Failure
from gateway.errors import GatewayError

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 10.0
HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamForm:
    """How a stream looks on the wire: its content type, its keep-alive (None: it has none), its last word on errors."""

    content_type: str
    keep_alive: bytes | None
    fail: Callable[[Failure], Sequence[bytes]]
    headers: Mapping[str, str] = field(default_factory=dict)


async def send_stream(request: GatewayRequest, pieces: AsyncIterator[bytes], form: StreamForm) -> GatewayError | None:
    """Send `pieces` to the client, one write each; gives the error that ended the stream early, if one did.

    Raises what fails before the first piece, as long as nothing has been sent.
    """
    first = asyncio.ensure_future(anext(pieces, None))
    try:
        await asyncio.wait({first}, timeout=KEEP_ALIVE_SECONDS)
        if first.done():
            first.result()
        response: Any = await request.respond(headers={**HEADERS, **form.headers}, content_type=form.content_type)
        return await _send_pieces(request, response, first, pieces, form)
    finally:
        if not first.done():
            first.cancel()
            with contextlib.suppress(asyncio.CancelledError, GatewayError):
                await first


async def _send_pieces(
    request: GatewayRequest,
    response: Any,
    first: "asyncio.Future[bytes | None]",
    pieces: AsyncIterator[bytes],
    form: StreamForm,
) -> GatewayError | None:
    silence = _Silence(response, form.keep_alive)
    failed: GatewayError | None = None
    try:
        piece = await first
        while piece is not None:
            silence.broken()
            await response.send(piece)
            piece = await anext(pieces, None)
    except GatewayError as error:
        failed = error
    except Exception as error:
        log.exception("a stream failed unforeseen")
        failed = GatewayError("Something went wrong in the gateway.")
        failed.__cause__ = error
    finally:
        silence.end()
    if failed is not None:
        request.outcome = failed.message
        log.warning("%s %s: stream ended early: %s", request.method, request.path, failed.message)
        for piece in form.fail(describe(failed, request.request_id)):
            await response.send(piece)
    await response.eof()
    return failed


class _Silence:
    """Sends a keep-alive whenever nothing has gone out for a while, so that proxies on the way do not cut the line."""

    def __init__(self, response: Any, keep_alive: bytes | None) -> None:
        self._response = response
        self._keep_alive = keep_alive
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._watching = asyncio.create_task(self._watch()) if keep_alive is not None else None

    def broken(self) -> None:
        self._since = self._loop.time()

    def end(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self) -> None:
        while True:
            quiet = self._loop.time() - self._since
            if quiet < KEEP_ALIVE_SECONDS:
                await asyncio.sleep(KEEP_ALIVE_SECONDS - quiet)
                continue
            self.broken()
            await self._response.send(self._keep_alive)
