"""A streamed answer to a client: its head, its pieces, keep-alives in the silences, and an end that is never silent.

What fails before the first piece is answered as a plain error with a status of its own; what fails later is sent
as the last piece, in the dialect's own form (API.md 2 and 3.8).
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.api.errors import describe
from gateway.api.services import GatewayRequest
from gateway.dialects.errors import Failure
from gateway.errors import GatewayError
from gateway.telemetry.records import KEPT_BODY_BYTES

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

    Raises what fails before the first piece, as long as nothing has been sent: a stream that has keep-alives waits
    that long for its first piece, any other until it is there. Whatever becomes of it, `pieces` is closed.
    """
    first = asyncio.ensure_future(anext(pieces, None))
    try:
        await asyncio.wait({first}, timeout=None if form.keep_alive is None else KEEP_ALIVE_SECONDS)
        if first.done():
            first.result()
        response: Any = await request.respond(headers={**HEADERS, **form.headers}, content_type=form.content_type)
        return await _send_pieces(request, response, first, pieces, form)
    finally:
        if not first.done():
            first.cancel()
            with contextlib.suppress(asyncio.CancelledError, GatewayError):
                await first
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


async def _send_pieces(
    request: GatewayRequest,
    response: Any,
    first: "asyncio.Future[bytes | None]",
    pieces: AsyncIterator[bytes],
    form: StreamForm,
) -> GatewayError | None:
    silence = _Silence(response, form.keep_alive)
    kept = request.sent = bytearray() if request.services.settings.log_bodies else None
    failed: GatewayError | None = None
    try:
        piece = await first
        while piece is not None:
            silence.broken()
            if kept is not None and len(kept) < KEPT_BODY_BYTES:
                kept += piece
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
    """Sends a keep-alive whenever nothing has gone out for a while, so that proxies on the way do not cut the line.

    One timer for each stream, and no task until there is something to send: a thousand streams may be open.
    """

    __slots__ = ("_keep_alive", "_loop", "_response", "_sending", "_since", "_timer")

    def __init__(self, response: Any, keep_alive: bytes | None) -> None:
        self._response = response
        self._keep_alive = keep_alive
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._sending: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(KEEP_ALIVE_SECONDS, self._look) if keep_alive is not None else None

    def broken(self) -> None:
        self._since = self._loop.time()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._sending is not None:
            self._sending.cancel()

    def _look(self) -> None:
        left = self._since + KEEP_ALIVE_SECONDS - self._loop.time()
        if left <= 0:
            self._sending = self._loop.create_task(self._send())
            self.broken()
            left = KEEP_ALIVE_SECONDS
        self._timer = self._loop.call_later(left, self._look)

    async def _send(self) -> None:
        with contextlib.suppress(Exception):  # the client has left: the stream itself will see to that
            await self._response.send(self._keep_alive)
