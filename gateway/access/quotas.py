"""Limits: how often a caller may call, in moving windows, several at once.

Hits are counted on this machine (`counters`), or in Redis through the `limits` library when several machines share
them. Where the storage is down, requests pass; that is counted, and said once a minute.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from limits import RateLimitItem, parse_many

from gateway.access.clients import find_client
from gateway.access.counters import Counter, LocalCounter, SharedCounter, Tally, Window
from gateway.settings import LimitSettings

__all__ = ["Allowance", "Quotas", "find_client"]

# Not "gateway.access": that name is the access log's, which is usually switched off with all beneath it.
log = logging.getLogger("gateway.limits")

STORAGE_SECONDS = 0.5
STORAGE_REST_SECONDS = 1.0
WARNING_SECONDS = 60.0


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a limit after a request, of the window that is nearest to its end.

    `reset_seconds` is when the window has room for one more; `retry_after` is 0 for a request that is allowed.
    """

    limit: int
    remaining: int
    reset_seconds: float
    allowed: bool
    retry_after: float = 0.0


class Quotas:
    """Counts requests of callers against the limits of the settings.

    `unchecked` is the number of requests that passed because the storage was down; `on_unchecked` is called for each.
    """

    def __init__(
        self,
        limits: LimitSettings,
        *,
        on_unchecked: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._general = {"requests": limits.requests, "executions": limits.executions} if limits.enabled else {}
        self._clock = clock
        self._on_unchecked = on_unchecked
        self._remote = _RemoteCounter(limits.storage_uri) if limits.storage_uri else None
        self._limits = limits
        self._counter: Counter | None = None
        self._rest_until = 0.0
        self._warned = float("-inf")
        self.unchecked = 0

    async def hit(self, quota: str, who: str, own: str = "") -> Allowance | None:
        """Count a request of `who` against a quota ("requests" or "executions"); `own` are limits of the caller's own.

        None when nothing is limited here, or when the storage is down. A request that is refused uses up nothing.
        """
        if self._remote is None:
            return self.hit_here(quota, who, own)
        notation = own or self._general.get(quota, "")
        if not notation:
            return None
        if self._rest_until and self._clock() < self._rest_until:
            self._count_unchecked()
            return None
        try:
            return _allowance(await self._remote.take(f"{quota}:{who}", _items(notation)))
        except self._remote.troubles as error:
            self._complain(error)
            self._count_unchecked()
            return None

    @property
    def are_here(self) -> bool:
        """Whether hits are counted on this machine, so that nobody has to wait: `hit_here` does as `hit` does."""
        return self._remote is None

    def hit_here(self, quota: str, who: str, own: str = "") -> Allowance | None:
        """Do as `hit` does, at once; only where `are_here`."""
        notation = own or self._general.get(quota, "")
        if not notation:
            return None
        try:
            return _allowance((self._counter or self._local()).take(f"{quota}:{who}", _windows(notation)))
        except OSError as error:  # the files that workers share
            self._complain(error)
            self._count_unchecked()
            return None

    async def close(self) -> None:
        """Give back connections and files."""
        if self._remote is not None:
            await self._remote.close()
        if self._counter is not None:
            self._counter.close()
            self._counter = None

    def _local(self) -> Counter:
        """Open the count on first use, in the process that uses it."""
        if self._counter is None:
            folder = self._limits.shared_dir
            self._counter = LocalCounter(self._clock) if folder is None else SharedCounter(folder, self._clock)
        return self._counter

    def _count_unchecked(self) -> None:
        self.unchecked += 1
        if self._on_unchecked is not None:
            self._on_unchecked()

    def _complain(self, error: Exception) -> None:
        now = self._clock()
        if self._remote is not None:
            self._rest_until = now + STORAGE_REST_SECONDS
        if now - self._warned >= WARNING_SECONDS:
            self._warned = now
            log.warning("the storage of rate limits is down, requests pass unchecked: %s", type(error).__name__)


def _allowance(tallies: Sequence[Tally]) -> Allowance:
    worst = tallies[0] if len(tallies) == 1 else max(tallies, key=_wait)
    if worst.wait_seconds > 0:
        return Allowance(
            limit=worst.window.amount,
            remaining=0,
            reset_seconds=worst.wait_seconds,
            allowed=False,
            retry_after=worst.wait_seconds,
        )
    nearest = worst if len(tallies) == 1 else min(tallies, key=_nearness)
    return Allowance(
        limit=nearest.window.amount,
        remaining=max(0, nearest.window.amount - nearest.used),
        reset_seconds=max(0.0, nearest.reset_seconds),
        allowed=True,
    )


def _wait(tally: Tally) -> float:
    return tally.wait_seconds


def _nearness(tally: Tally) -> tuple[int, int]:
    return tally.window.amount - tally.used, -tally.window.seconds


@lru_cache(maxsize=1024)
def _items(notation: str) -> tuple[RateLimitItem, ...]:
    return tuple(dict.fromkeys(parse_many(notation)))


@lru_cache(maxsize=1024)
def _windows(notation: str) -> tuple[Window, ...]:
    return tuple(Window(item.amount, item.get_expiry()) for item in _items(notation))


class _RemoteCounter:
    """Counts in Redis by the moving window of `limits`.

    All windows are looked at before any is hit; only requests of one caller that arrive within the same millisecond
    on several machines can have one of them refused by a later window after an earlier one has counted it.
    """

    def __init__(self, uri: str) -> None:
        import redis.exceptions
        from limits.aio.storage import MovingWindowSupport
        from limits.aio.strategies import MovingWindowRateLimiter
        from limits.storage import storage_from_string

        options = {"socket_timeout": STORAGE_SECONDS, "socket_connect_timeout": STORAGE_SECONDS}
        storage = storage_from_string(f"async+{uri}", implementation="redispy", **options)
        assert isinstance(storage, MovingWindowSupport)
        self._storage: Any = storage
        self._limiter = MovingWindowRateLimiter(self._storage)
        self.troubles: tuple[type[Exception], ...] = (OSError, TimeoutError, redis.exceptions.RedisError)

    async def take(self, who: str, items: Sequence[RateLimitItem]) -> list[Tally]:
        """Count a hit; errors of the storage are those of `troubles`."""
        async with asyncio.timeout(STORAGE_SECONDS):
            fits = [len(items) == 1 or await self._limiter.test(item, who) for item in items]
            if all(fits):
                fits = [await self._limiter.hit(item, who) for item in items]
            return [await self._tally(item, who, fits=fit) for item, fit in zip(items, fits, strict=True)]

    async def close(self) -> None:
        """Close the connections."""
        await self._storage.bridge.storage.aclose()

    async def _tally(self, item: RateLimitItem, who: str, *, fits: bool) -> Tally:
        reset_time, remaining = await self._limiter.get_window_stats(item, who)
        window = Window(item.amount, item.get_expiry())
        reset = max(0.001, reset_time - time.time())
        return Tally(window, item.amount - remaining, reset, 0.0 if fits else reset)
