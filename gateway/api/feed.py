"""The live feed: what the call log gets, and with it the figures and the state of everything, as server-sent events.

Events: `call`, `server_event`, `skipped` (so many calls came at once that some were left out; the log has them) and,
for who asked for a window, `stats` (the answer of `/api/stats`) and `state` (health, executor, running executions),
each whole, when something in it has changed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing, suppress
from typing import Any, TypeAlias

import msgspec

from gateway.api.health import describe_health
from gateway.api.services import GatewayRequest, Services
from gateway.dialects import sse
from gateway.errors import GatewayError
from gateway.telemetry.calls import Call, ServerEvent, Skipped

FIGURES_SECONDS = 1.0
FIGURES_SHARE = 0.05  # of the time, at most, is spent on counting for one viewer
STATE_SECONDS = 1.0
MOST_WAITING = 1000
MAX_ANSWER_BYTES = 1024 * 1024

Span = tuple[float, int]
#: frames to be sent; None ends the feed, an error ends it too and is told
Waiting: TypeAlias = "asyncio.Queue[bytes | Exception | None]"


async def follow_figures(request: GatewayRequest, span: Span | None) -> AsyncIterator[bytes]:
    """Give events until the server stops. `span` is a window in seconds and its number of steps."""
    services = request.services
    waiting: Waiting = asyncio.Queue(MOST_WAITING)
    news = asyncio.Event()
    since = await services.calls.newest()  # before it is said that what comes now will be told
    work: list[Coroutine[Any, Any, None]] = [_tell_calls(services, waiting, news, since), _end(services, waiting)]
    if span is not None:
        work += [_tell_figures(services, waiting, news, span), _tell_state(request, waiting)]
    else:
        yield b": following\n\n"
    tasks = [asyncio.create_task(_report(each, waiting)) for each in work]
    try:
        while (frame := await waiting.get()) is not None:
            if isinstance(frame, Exception):
                raise frame
            yield frame
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _report(work: Coroutine[Any, Any, None], waiting: Waiting) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001  # raised again where the feed is sent
        await waiting.put(error)


async def _end(services: Services, waiting: Waiting) -> None:
    await services.stopping.wait()
    await waiting.put(None)


async def _tell_calls(services: Services, waiting: Waiting, news: asyncio.Event, since: tuple[int, int]) -> None:
    async with aclosing(services.calls.follow(since)) as told:  # type: ignore[type-var]  # an async generator at run time
        async for entry in told:
            await waiting.put(_write(entry))
            news.set()


def _write(entry: Call | ServerEvent | Skipped) -> bytes:
    match entry:
        case Call():
            body = msgspec.structs.asdict(entry)
            del body["request_body"], body["response_body"]
            return sse.event("call", body)
        case ServerEvent():
            return sse.event("server_event", entry)
    return sse.event("skipped", entry)


async def _tell_figures(services: Services, waiting: Waiting, news: asyncio.Event, span: Span) -> None:
    """Send the figures at once, after each batch of calls, and whenever a step is over."""
    step = span[0] / span[1]
    while True:
        news.clear()
        began = time.monotonic()
        await waiting.put(sse.event("stats", await services.calls.stats(*span)))
        await asyncio.sleep(max(FIGURES_SECONDS, (time.monotonic() - began) / FIGURES_SHARE))
        with suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), step - time.time() % step)


async def _tell_state(request: GatewayRequest, waiting: Waiting) -> None:
    """Send what is known of everything; the executor is asked for its own state meanwhile."""
    services = request.services
    known: dict[str, Any] = {"reachable": services.executor.state.reachable}
    sent: dict[str, Any] | None = None
    while True:
        health = describe_health(services)
        uptime = health.pop("uptime_seconds")
        state = {"health": health, "executor": known}
        if state != sent:
            sent = state
            await waiting.put(sse.event("state", {**state, "uptime_seconds": uptime}))
        if "executions" in known:
            await asyncio.sleep(STATE_SECONDS)
        known = await _ask_executor(request)


async def _ask_executor(request: GatewayRequest) -> dict[str, Any]:
    """Ask the executor for its health and what it is running; None where it does not say."""
    try:
        health = await _fetch(request, "/health")
        running = await _fetch(request, "/executions")
    except GatewayError as error:
        return {"reachable": False, "message": error.message, "pool": None, "executions": None}
    return {
        "reachable": True,
        "message": health.get("message"),
        "status": health.get("status"),
        "engine": health.get("engine"),
        "pool": health.get("pool"),
        "controls": health.get("controls"),
        "executions": running.get("executions"),
    }


async def _fetch(request: GatewayRequest, path: str) -> dict[str, Any]:
    executor = request.services.executor
    async with executor.forward(
        "GET", path, user=request.user, request_id=request.request_id, accept="application/json"
    ) as answer:
        body = await answer.read(MAX_ANSWER_BYTES)
    try:
        told = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return told if isinstance(told, dict) else {}
