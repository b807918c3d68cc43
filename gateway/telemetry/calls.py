"""The call log: every call to a provider and every execution, and what happened to the gateway beside them.

`record` and `event` only append to a bounded queue; a task writes it out in batches, so a killed process loses half
a second at most. All workers share one SQLite file, so whoever is asked answers for all.
"""

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from gateway.settings import Settings
from gateway.telemetry.database import Bounds, Database
from gateway.telemetry.folder import shared_folder
from gateway.telemetry.records import BODY_MARGIN, KEPT_BODY_BYTES, Call, ServerEvent, Skipped, weigh
from gateway.telemetry.stats import Statistics

__all__ = ["Bounds", "Call", "CallLog", "ServerEvent", "Skipped"]

log = logging.getLogger(__name__)

FILE = "calls.sqlite3"
BATCH = 1000
FLUSH_SECONDS = 0.5
MOST_PENDING = 20_000
MOST_PENDING_BYTES = 32 * 1024 * 1024
MOST_PENDING_EVENTS = 1000
PRUNE_SECONDS = 60.0
PRUNE_CALLS = 20_000
COMPLAIN_SECONDS = 60.0
FOLLOW_SECONDS = 0.5
MOST_FOLLOWED = 500
MOST_LISTED = 1000
TEMPORARY_BYTES = 64 * 1024 * 1024

P = ParamSpec("P")
T = TypeVar("T")


class CallLog:
    """The log of one worker, over the file of all of them: `calls.sqlite3` in DATA_DIR, else in `folder`.

    With several workers and no DATA_DIR, `folder` must be one that they share (`folder.shared_folder`). With
    neither, the log has a temporary file of its own, which goes when it stops. `on_dropped` is told how many
    calls there was no room for while the disk was too slow. `record` and `event` may be called before `start`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        folder: Path | None = None,
        bounds: Bounds | None = None,
        on_dropped: Callable[[int], None] | None = None,
    ) -> None:
        if settings.workers > 1 and settings.data_dir is None and folder is None:
            raise ValueError("more than one worker needs DATA_DIR or a folder to share the call log in")
        self._folder = settings.data_dir or folder
        self._bounds = bounds or (Bounds() if settings.data_dir else Bounds(size=TEMPORARY_BYTES))
        self._keep_bodies = settings.log_bodies
        self._on_dropped = on_dropped
        self._pending: deque[Call] = deque()
        self._pending_events: deque[ServerEvent] = deque(maxlen=MOST_PENDING_EVENTS)
        self._pending_bytes = 0
        self._something = asyncio.Event()
        self._enough = asyncio.Event()
        self._stopping = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._unpruned = PRUNE_CALLS
        self._complained = -COMPLAIN_SECONDS
        self._stack = ExitStack()
        self._thread: ThreadPoolExecutor | None = None
        self._writer: asyncio.Task[None] | None = None
        self.dropped = 0

    async def start(self) -> None:
        """Open the file and begin to write. Raises OSError, with the reason, if the file cannot be kept there."""
        self._stopping.clear()
        folder = self._folder or self._stack.enter_context(shared_folder())
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="call-log")
        self._database = await self._run(Database, folder / FILE)
        self._statistics = await self._run(Statistics, self._database)
        self._writer = asyncio.create_task(self._write_on(), name="call-log")

    async def stop(self) -> None:
        """Write out what is pending and close the file; a temporary one is deleted. Harmless if not started."""
        self._stopping.set()
        if self._thread is None:
            return
        self._something.set()
        self._enough.set()
        if self._writer is not None:
            await self._writer
            await self.flush()
            await self._run(self._database.close)
        self._thread.shutdown()
        self._thread = self._writer = None
        self._stack.close()

    def record(self, call: Call) -> None:
        """Take a call that has ended; never waits. Bodies are dropped here unless LOG_BODIES is on."""
        if call.request_body is not None or call.response_body is not None:
            self._cut_bodies(call)
        self._pending.append(call)
        self._pending_bytes += weigh(call)
        waiting = len(self._pending)
        if waiting == 1:
            self._something.set()
        if waiting >= BATCH:
            self._enough.set()
        if waiting > MOST_PENDING or self._pending_bytes > MOST_PENDING_BYTES:
            self._make_room()

    def event(self, kind: str, message: str, **facts: str | int | float | bool | None) -> None:
        """Take something that happened to the gateway itself; never waits."""
        self._pending_events.append(ServerEvent(kind=kind, message=message, facts=facts))
        self._something.set()

    async def calls(
        self,
        limit: int = 100,
        before: int | None = None,
        *,
        provider: str | None = None,
        model: str | None = None,
        status: str | None = None,
        kind: str | None = None,
        user: str | None = None,
        request_id: str | None = None,
        q: str | None = None,
    ) -> tuple[list[Call], int | None]:
        """Calls of all workers, newest first, and the `before` of the next page, None if this is the last.

        `status` is a number (404), a class (4xx), `ok` or `error`; `q` is found anywhere in request id, path,
        provider, model, user, error and finish reason, in any case of ASCII; bodies are not searched. An empty
        filter is none. Raises InvalidRequest.
        """
        await self.flush()
        filters = {"provider": provider, "model": model, "status": status, "kind": kind, "user": user}
        filters["request_id"] = request_id
        return await self._run(self._database.read_calls, _clamp(limit), before, filters, q)

    async def call(self, identity: int) -> Call | None:
        """One call by its id, with its bodies."""
        await self.flush()
        return await self._run(self._database.read_call, identity)

    async def events(self, limit: int = 100, before: int | None = None) -> tuple[list[ServerEvent], int | None]:
        """Server events of all workers, newest first, and the `before` of the next page."""
        await self.flush()
        return await self._run(self._database.read_events, _clamp(limit), before)

    async def stats(self, window_seconds: float = 900.0, buckets: int = 60) -> dict[str, Any]:
        """Figures and series of the last `window_seconds`; `Statistics.read` has the shape. Raises InvalidRequest."""
        await self.flush()
        return await self._run(self._statistics.read, window_seconds, buckets)

    async def clear(self) -> None:
        """Delete all calls and events of all workers."""
        self._pending.clear()
        self._pending_events.clear()
        self._pending_bytes = 0
        async with self._flushing:
            await self._run(self._database.clear)

    async def newest(self) -> tuple[int, int]:
        """The ids of the newest call and event that have been written: where `follow` can begin."""
        return await self._run(self._database.newest)

    async def follow(self, since: tuple[int, int] | None = None) -> AsyncIterator[Call | ServerEvent | Skipped]:
        """New calls (without bodies) and events of all workers from `since` (or now) on, until the log stops.

        At most `MOST_FOLLOWED` calls come each half second; a `Skipped` says how many more there were.
        """
        call, event = since or await self.newest()
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), FOLLOW_SECONDS)
            if self._stopping.is_set():
                return
            calls, events = await self._run(self._database.read_after, call, event, MOST_FOLLOWED)
            if calls and calls[0].id > call + 1 and len(calls) == MOST_FOLLOWED:
                yield Skipped(count=calls[0].id - call - 1)
            news: list[Call | ServerEvent] = [*calls, *events]
            for told in sorted(news, key=_moment):
                yield told
            call = calls[-1].id if calls else call
            event = events[-1].id if events else event

    async def flush(self) -> None:
        """Write out what is pending now. A caller that is cancelled does not cancel the writing."""
        if self._pending or self._pending_events:
            await asyncio.shield(self._flush())

    async def _flush(self) -> None:
        async with self._flushing:
            calls, events = list(self._pending), list(self._pending_events)
            if not calls and not events:
                return
            self._pending.clear()
            self._pending_events.clear()
            self._pending_bytes = 0
            try:
                await self._run(self._database.write, calls, events)
            except sqlite3.Error as error:
                self._keep_for_later(calls, events, error)
            else:
                self._unpruned += len(calls)

    def _keep_for_later(self, calls: list[Call], events: list[ServerEvent], error: sqlite3.Error) -> None:
        self._pending.extendleft(reversed(calls))
        self._pending_events.extendleft(reversed(events[: MOST_PENDING_EVENTS - len(self._pending_events)]))
        self._pending_bytes += sum(map(weigh, calls))
        self._make_room()
        if time.monotonic() - self._complained >= COMPLAIN_SECONDS:
            self._complained = time.monotonic()
            log.warning("the call log cannot be written", extra={"reason": str(error), "waiting": len(self._pending)})

    async def _write_on(self) -> None:
        pruned = time.monotonic()
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._something.wait(), PRUNE_SECONDS)
                await asyncio.wait_for(self._enough.wait(), FLUSH_SECONDS)
            self._something.clear()
            self._enough.clear()
            await self.flush()
            if self._pending and not self._stopping.is_set():
                self._something.set()  # the write has failed: try again, after a pause
                await asyncio.sleep(FLUSH_SECONDS)
            if self._unpruned >= PRUNE_CALLS or time.monotonic() - pruned >= PRUNE_SECONDS:
                self._unpruned, pruned = 0, time.monotonic()
                with suppress(sqlite3.Error):
                    await self._run(self._database.prune, self._bounds)

    def _cut_bodies(self, call: Call) -> None:
        most = KEPT_BODY_BYTES + BODY_MARGIN if self._keep_bodies else 0
        call.request_body = call.request_body[:most] if most and call.request_body is not None else None
        call.response_body = call.response_body[:most] if most and call.response_body is not None else None

    def _make_room(self) -> None:
        gone = 0
        while len(self._pending) > MOST_PENDING or self._pending_bytes > MOST_PENDING_BYTES:
            self._pending_bytes -= weigh(self._pending.popleft())
            gone += 1
        self.dropped += gone
        if gone and self._on_dropped is not None:
            self._on_dropped(gone)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._thread is None:
            raise RuntimeError("the call log is not open")
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))


def _clamp(limit: int) -> int:
    return max(1, min(limit, MOST_LISTED))


def _moment(told: Call | ServerEvent) -> float:
    return told.time + told.duration_ms / 1000 if isinstance(told, Call) else told.time
