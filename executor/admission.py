"""Who may run now: a bound on runs at a time, a bounded queue before it, and fairness between users in the queue."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from executor.errors import QueueFull, QueueTimedOut

RETRY_SECONDS = 2


class Admission:
    """Places for `places` runs and a queue for `queue` more that waits `seconds` at the longest.

    A place that becomes free goes to the users in turn, not to the first in line. When the queue is full, a newcomer
    takes the last turn of the user who waits with most runs, if that one has more in it than the newcomer would.
    """

    def __init__(self, *, places: int, queue: int, seconds: float) -> None:
        self._free = places
        self._most = queue
        self._seconds = seconds
        self._lines: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self.waiting = 0

    @asynccontextmanager
    async def place(self, user: str) -> AsyncIterator[None]:
        """Hold a place for the time of the block. Raises `QueueFull` or `QueueTimedOut`."""
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(user)
        try:
            yield
        finally:
            self._give_back()

    async def _wait(self, user: str) -> None:
        if self.waiting >= self._most:
            self._make_room(user)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(user, deque()).append(turn)
        self.waiting += 1
        try:
            async with asyncio.timeout(self._seconds):
                await turn
        except TimeoutError:
            if self._holds_place(turn):
                self._give_back()
            raise QueueTimedOut(
                f"No place became free within {self._seconds:g} s (QUEUE_SECONDS).", retry_after=RETRY_SECONDS
            ) from None
        except asyncio.CancelledError:
            if self._holds_place(turn):
                self._give_back()
            raise
        finally:
            self._leave(user, turn)

    @staticmethod
    def _holds_place(turn: asyncio.Future[None]) -> bool:
        return turn.done() and not turn.cancelled() and turn.exception() is None

    def _make_room(self, user: str) -> None:
        full = QueueFull(f"{self._most} runs are waiting already (MAX_QUEUE).", retry_after=RETRY_SECONDS)
        if not self._lines:
            raise full
        greediest = max(self._lines, key=lambda name: len(self._lines[name]))
        if len(self._lines[greediest]) <= len(self._lines.get(user, ())) + 1:
            raise full
        turn = self._lines[greediest][-1]
        self._leave(greediest, turn)
        turn.set_exception(full)

    def _leave(self, user: str, turn: asyncio.Future[None]) -> None:
        line = self._lines.get(user)
        if line is None or turn not in line:
            return
        line.remove(turn)
        self.waiting -= 1
        if not line:
            del self._lines[user]

    def _give_back(self) -> None:
        """Pass the place on to the next user in turn who still waits."""
        while self._lines:
            user, line = next(iter(self._lines.items()))
            turn = line[0]
            self._leave(user, turn)
            if user in self._lines:
                self._lines.move_to_end(user)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
