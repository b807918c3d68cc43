"""The time limits of one run, kept from outside its box."""

import asyncio
from collections.abc import Callable

from executor.runs import StopReason
from executor.sandboxes.base import Sandbox

BEGIN_SECONDS = 10.0
GRACE_SECONDS = 0.5
REPORT_SECONDS = 5.0
LAST_WORDS_SECONDS = 2.0
BATCH_MARGIN_SECONDS = 0.5


def batch_seconds(inputs: int, limit: float) -> float:
    """Give the time for a batch as a whole: for loading and for each input its full limit, and a margin for each.

    A batch whose inputs keep their limits never gets there. It bounds a supervisor that hangs or lags, nothing else.
    """
    return BEGIN_SECONDS + (inputs + 1) * (limit + BATCH_MARGIN_SECONDS)


class Watch:
    """Stops the code of one box in time: asks the supervisor first, kills the box if it stays silent.

    Three deadlines follow one another: `limit` seconds from each beginning of the code, then the supervisor has
    `GRACE_SECONDS` of silence (`REPORT_SECONDS` in all) to report, then the box is killed and has
    `LAST_WORDS_SECONDS` until its stream is cut. `total` seconds bound everything, for batches: see `batch_seconds`.
    `reason` says why the code was stopped, `lost` that the box did not even begin.
    """

    def __init__(self, sandbox: Sandbox, *, limit: float, total: float) -> None:
        self.reason: StopReason | None = None
        self.lost = False
        self.began_at: float | None = None
        self._sandbox = sandbox
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._report_until = 0.0
        self._killer: asyncio.Task[None] | None = None
        self._last = self._loop.call_later(total, self.stop, "timeout")
        self._timer = self._loop.call_later(BEGIN_SECONDS, self._lose)

    def began(self) -> None:
        """Note that the code starts: its time counts from here."""
        self.began_at = self._loop.time()
        if self.reason is None:
            self._set(self._limit, lambda: self.stop("timeout"))

    def concluded(self) -> None:
        """Note that one input of a batch is done: the next has to begin."""
        if self.reason is None:
            self._set(BEGIN_SECONDS, self._lose)

    def heard(self) -> None:
        """Note that the supervisor is alive: while it reports, it is not killed."""
        if self.reason is not None and self._killer is None and self._loop.time() < self._report_until:
            self._set(GRACE_SECONDS, self._kill)

    def stop(self, reason: StopReason) -> None:
        """End the code now. The first reason stays."""
        if self.reason is None and not self.lost:
            self.reason = reason
            self._report_until = self._loop.time() + REPORT_SECONDS
            self._sandbox.stop(reason)
            self._set(GRACE_SECONDS, self._kill)

    async def end(self) -> None:
        """Let go of all timers; a kill that is under way is waited for."""
        self._timer.cancel()
        self._last.cancel()
        if self._killer is not None:
            await self._killer

    def _set(self, seconds: float, call: Callable[[], None]) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_later(seconds, call)

    def _lose(self) -> None:
        self.lost = True
        self._kill()

    def _kill(self) -> None:
        self._killer = self._loop.create_task(self._sandbox.kill())
        self._set(LAST_WORDS_SECONDS, self._sandbox.hang_up)
