"""`POST /execute`, whole and streamed, and the list of what is under way (API.md 4.1, 4.2, 4.4)."""

import asyncio
import codecs
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
from sanic import Blueprint, HTTPResponse, Request

from executor.api.answers import ID_HEADER, answer, describe_file, describe_part, encode, request_id, respond
from executor.api.bodies import read_body
from executor.api.errors import describe_error, translate
from executor.api.requests import read_run
from executor.api.services import services_of
from executor.errors import UnsupportedMediaType
from executor.readiness import Readiness
from executor.runner import Claimed, Listener, Notice
from executor.runs import Display, Outcome, Output, OutputFile, Part, Run

log = logging.getLogger("executor.api")
blueprint = Blueprint("execute")

KEEP_ALIVE_SECONDS = 10.0
UNREAD_SECONDS = 30.0
PIECE_BYTES = 65536
STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


@blueprint.post("/execute", stream=True)
async def execute(request: Request) -> HTTPResponse | None:
    """Run code in a sandbox of its own."""
    services = services_of(request)
    if request.headers.getone("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType("The body must be sent as application/json.")
    body = await read_body(request, services.settings.max_request_bytes)
    run = read_run(
        body,
        services.bounds,
        run_id=f"exec_{secrets.token_hex(12)}",
        user=request.ctx.user,
        request_id=request_id(request),
        least_memory_mb=services.readiness.least_memory_mb,
    )
    services.readiness.require(run.policy.image)
    if run.stream:
        await _stream(request, run)
        return None
    outcome = await services.runner.run(run)
    return respond(request, answer(complete(outcome, services.readiness)))


@blueprint.get("/executions")
async def list_executions(request: Request) -> HTTPResponse:
    """Tell what is under way."""
    runs = [
        {
            "id": active.run.id,
            "user": active.run.user,
            "image": active.run.policy.image,
            "request_id": active.run.request_id,
            "started_at": datetime.fromtimestamp(active.started_at, UTC).isoformat(timespec="milliseconds"),
        }
        for active in services_of(request).runner.active()
    ]
    return respond(request, {"executions": runs})


@blueprint.delete("/executions/<run_id:str>")
async def cancel_execution(request: Request, run_id: str) -> HTTPResponse:
    """Have a run end as cancelled."""
    services_of(request).runner.cancel(run_id)
    return respond(request, {"id": run_id, "status": "cancelling"}, status=202)


def complete(outcome: Outcome, readiness: Readiness) -> Outcome:
    """Add what only the service knows: the runtime's name, and which image has a module that was missing."""
    whole = _with_hint(outcome.whole, outcome.run, readiness)
    parts = outcome.parts and [_with_hint(part, outcome.run, readiness) for part in outcome.parts]
    return replace(outcome, whole=whole, parts=parts, runtime=readiness.runtime)


def _with_hint(part: Part, run: Run, readiness: Readiness) -> Part:
    error = part.verdict.error
    if error is None or error.get("type") != "ModuleNotFoundError":
        return part
    module = str(error.get("message", "")).partition("'")[2].partition("'")[0].partition(".")[0]
    hint = readiness.hint_for(module, run.policy.image)
    if hint is None:
        return part
    verdict = msgspec.structs.replace(part.verdict, error={**error, "hint": hint})
    return Part(verdict=verdict, stdout=part.stdout, stderr=part.stderr)


class Unread(Exception):
    """The client of a stream does not read."""


class _Events:
    """Turns what happens in a run into the events of API.md 4.2, and keeps them until they are sent.

    The queue is not bounded by itself: all that a box may send is (`attach.MAX_BUFFERED`), and a slow client must not
    keep the box's stream from being read.
    """

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")}
        self._parts = 0

    def listen(self, notice: Notice) -> None:
        match notice:
            case Claimed(run_id):
                self.put("start", {"id": run_id})
            case Output(stream, data):
                if text := self._decoders[stream].decode(data):
                    self.put(stream, {"text": text})
            case Display():
                self.put("display", notice)
            case OutputFile():
                self.put("file", describe_file(notice))
            case Part():
                self._flush()
                self.put("result", {"index": self._parts, **describe_part(notice)})
                self._parts += 1

    def put(self, event: str, data: object) -> None:
        self.queue.put_nowait(b"event: %s\ndata: %s\n\n" % (event.encode(), encode(data)))

    def done(self, body: Mapping[str, Any]) -> None:
        self._flush()
        self.put("done", body)

    def _flush(self) -> None:
        for name, decoder in self._decoders.items():
            if text := decoder.decode(b"", final=True):
                self.put(name, {"text": text})
            decoder.reset()


async def _stream(request: Request, run: Run) -> None:
    """Answer with events. A refusal before the first event is an ordinary error, with its status."""
    events = _Events()
    task = asyncio.create_task(_run_for_stream(request, run, events, events.listen))
    try:
        first = await events.queue.get()
        if first is None:
            await task
            return
        response = await request.respond(
            content_type="text/event-stream", headers={ID_HEADER: request_id(request), **STREAM_HEADERS}
        )
        assert response is not None
        await send_in_pieces(response.send, first)
        while (data := await _next(events.queue)) is not None:
            await send_in_pieces(response.send, data)
        await _while_read(response.eof())
    except Unread:
        log.info("the client of %s of %s does not read, its connection is dropped", run.id, run.user)
        cast(asyncio.Transport, request.transport).abort()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


async def send_in_pieces(send: Callable[[bytes], Awaitable[object]], data: bytes) -> None:
    """Send data; `Unread` if a piece waits too long until the client has read of what came before.

    By pieces, since a slow client may take its time for the whole: all it has to do is go on.
    """
    for start in range(0, len(data), PIECE_BYTES):
        await _while_read(send(data[start : start + PIECE_BYTES]))


async def _while_read(sending: Awaitable[object]) -> None:
    try:
        async with asyncio.timeout(UNREAD_SECONDS):
            await sending
    except TimeoutError:
        raise Unread from None


async def _next(queue: asyncio.Queue[bytes | None]) -> bytes | None:
    """Wait for the next event; a comment keeps the connection alive meanwhile."""
    try:
        async with asyncio.timeout(KEEP_ALIVE_SECONDS):
            return await queue.get()
    except TimeoutError:
        return b": keep-alive\n\n"


async def _run_for_stream(request: Request, run: Run, events: _Events, listener: Listener) -> None:
    """Run, then put the last event and the end mark; raises only if nothing was put before."""
    services = services_of(request)
    begun = False

    def listen(notice: Notice) -> None:
        nonlocal begun
        # A second attempt in another box is not a second start.
        if not (begun and isinstance(notice, Claimed)):
            listener(notice)
        begun = True

    try:
        outcome = await services.runner.run(run, listen)
        if not begun:
            events.put("start", {"id": run.id})
        events.done(answer(complete(outcome, services.readiness)))
    except Exception as error:
        if not begun:
            raise
        _, body = describe_error(translate(error), request_id(request))
        events.put("error", body)
    finally:
        events.queue.put_nowait(None)
