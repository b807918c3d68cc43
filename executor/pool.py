"""Sandboxes kept ready: refilled in the background, sized by demand and memory, healed when they die.

All boxes are made here. Whoever finds the pool empty waits for the next box that gets ready, ahead of the pool's
own stock. A box whose limits differ from the pool's is an ordinary ready box, resized when it is claimed: on the
engine tried (20.10, runc) that costs a fraction of making one.
"""

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import Callable
from contextvars import Context
from pathlib import Path

from executor.errors import EngineFailed, SandboxUnavailable
from executor.meters import Meters
from executor.runs import Policy
from executor.sandboxes.base import Engine, Sandbox

log = logging.getLogger("executor.pool")

REFILLERS = 2
COLD_STARTERS = 4
MAX_RETIRING = 16
COURTESY_SECONDS = 0.02
WAIT_SECONDS = 10.0
AGE_SECONDS = 900.0
TEND_SECONDS = 5.0
CALM_SECONDS = 60.0
IDLE_SECONDS = 900.0
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
SHORT_MEMORY_MB = 512


class Pool:
    """The ready boxes of one image under the default limits. `size` is what it keeps when nothing else is known.

    `on_trouble` is called when a box dies unused or cannot be made: somebody may want to look at the engine.
    """

    def __init__(self, engine: Engine, policy: Policy, *, size: int, meters: Meters) -> None:
        self.policy = policy
        self.target = size
        self._engine = engine
        self._size = size
        self._ready: deque[Sandbox] = deque()
        self._waiters: deque[asyncio.Future[Sandbox]] = deque()
        self._making = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._not_before = -math.inf
        self._last_claim = -math.inf
        self._last_miss = -math.inf
        self._open = False
        self.on_trouble: Callable[[], None] = lambda: None
        self._meters = meters
        self._ready_gauge = meters.pool_ready.labels(policy.image)
        self._target_gauge = meters.pool_target.labels(policy.image)

    @property
    def ready(self) -> int:
        """How many boxes could be handed out now."""
        return len(self._ready)

    def open(self) -> None:
        """Begin to keep boxes ready. Idempotent."""
        if not self._open:
            self._open = True
            self._last_claim = self._now()
            self._refill()

    async def claim(self, policy: Policy) -> tuple[Sandbox, bool]:
        """Give a box that has run nothing, with the limits of `policy`, and whether it was waiting ready.

        Raises `SandboxUnavailable` or a child of it. The box is the caller's: it must be given to `retire`.
        """
        now = self._now()
        self._last_claim = now
        sandbox = self._take()
        warm = sandbox is not None
        if sandbox is None:
            self._last_miss = now
            self.target = min(self.target + 1, self._most())
            sandbox = await self._wait()
        # Making the next box costs a core for a tenth of a second: let a short run have it first.
        asyncio.get_running_loop().call_later(COURTESY_SECONDS, self._refill)
        if (policy.memory_mb, policy.cpus) != (self.policy.memory_mb, self.policy.cpus):
            await self._resize(sandbox, policy)
        return sandbox, warm

    def retire(self, sandbox: Sandbox) -> None:
        """Destroy a box in the background; `close` waits for it."""
        sandbox.on_death(None)
        task = asyncio.get_running_loop().create_task(sandbox.destroy(), context=Context())
        self._retiring.add(task)
        task.add_done_callback(self._retired)

    def tend(self, free_mb: int | None) -> None:
        """Fit the size to demand and to the machine's free memory, replace old boxes. Called every few seconds."""
        if not self._open:
            return
        now = self._now()
        if now - self._last_miss > CALM_SECONDS and self.target > self._size:
            self.target -= 1
            self._last_miss = now
        if now - self._last_claim > IDLE_SECONDS:
            self.target = min(self.target, 1)
        elif self.target < self._size:
            self.target = self._size
        if free_mb is not None and free_mb < SHORT_MEMORY_MB:
            self.target = min(self.target, 1 if free_mb > SHORT_MEMORY_MB // 2 else 0)
        while len(self._ready) > self.target:
            self.retire(self._ready.popleft())
        if self._ready and now - self._ready[0].created > AGE_SECONDS and not self._making:
            self.retire(self._ready.popleft())
        self._refill()

    async def close(self) -> None:
        """Stop making boxes and destroy those that are ready."""
        self._open = False
        for task in tuple(self._tasks):
            task.cancel()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(SandboxUnavailable("The executor is stopping."))
        while self._ready:
            self.retire(self._ready.popleft())
        await asyncio.gather(*self._tasks, *self._retiring, return_exceptions=True)

    def _take(self) -> Sandbox | None:
        while self._ready:
            sandbox = self._ready.popleft()
            self._ready_gauge.set(len(self._ready))
            sandbox.on_death(None)
            if sandbox.alive:
                return sandbox
            self.retire(sandbox)
        return None

    async def _wait(self) -> Sandbox:
        waiter: asyncio.Future[Sandbox] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._refill()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await waiter
        except (TimeoutError, asyncio.CancelledError) as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._keep(waiter.result())
            if isinstance(error, asyncio.CancelledError):
                raise
            self.on_trouble()
            raise SandboxUnavailable(f"No sandbox got ready within {WAIT_SECONDS:g} s.", retry_after=5) from None
        finally:
            with contextlib.suppress(ValueError):
                self._waiters.remove(waiter)

    async def _resize(self, sandbox: Sandbox, policy: Policy) -> None:
        try:
            await sandbox.resize(policy)
        except BaseException:
            self.retire(sandbox)
            raise

    def _refill(self) -> None:
        """Start as many makers as are wanted and allowed; the pool's own stock waits after a failure."""
        self._target_gauge.set(self.target)
        self._ready_gauge.set(len(self._ready))
        if len(self._retiring) >= MAX_RETIRING:
            return
        while self._making < COLD_STARTERS and self._making < len(self._waiters):
            self._make()
        if not self._open or self._now() < self._not_before:
            return
        while self._making < REFILLERS and self._making + len(self._ready) < self.target + len(self._waiters):
            self._make()

    def _make(self) -> None:
        self._making += 1
        # A context of its own: what a maker logs does not belong to the request that happened to start it.
        task = asyncio.get_running_loop().create_task(self._create(), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._made)

    async def _create(self) -> None:
        began = self._now()
        try:
            sandbox = await self._engine.create(self.policy)
        except SandboxUnavailable as error:
            self._failed(error)
            return
        self._failures = 0
        self._meters.start_seconds.labels(self.policy.image).observe(self._now() - began)
        self._keep(sandbox)

    def _made(self, task: asyncio.Task[None]) -> None:
        self._making -= 1
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("making a sandbox failed unforeseen", exc_info=error)
            self._failed(EngineFailed("The sandbox could not be made."))
        self._refill()

    def _keep(self, sandbox: Sandbox) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(sandbox)
                return
        if not self._open or len(self._ready) >= self._most():
            self.retire(sandbox)
            return
        self._ready.append(sandbox)
        self._ready_gauge.set(len(self._ready))
        sandbox.on_death(lambda: self._died(sandbox))

    def _died(self, sandbox: Sandbox) -> None:
        """Replace a box that died in the pool; one that dies young counts as a failure, so as not to hurry."""
        with contextlib.suppress(ValueError):
            self._ready.remove(sandbox)
        self.retire(sandbox)
        self.on_trouble()
        if self._now() - sandbox.created < TEND_SECONDS:
            self._back_off()
        self._refill()

    def _failed(self, error: SandboxUnavailable) -> None:
        self._meters.start_failures.labels(self.policy.image).inc()
        self._back_off()
        log.warning("no sandbox of %s: %s", self.policy.image, error.message)
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(error)
                return

    def _back_off(self) -> None:
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(self._failures, 10))
        self._failures += 1
        self.on_trouble()
        self._not_before = self._now() + delay
        asyncio.get_running_loop().call_later(delay, self._refill)

    def _retired(self, task: asyncio.Task[None]) -> None:
        self._retiring.discard(task)
        self._refill()

    def _most(self) -> int:
        return 2 * self._size

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def free_memory_mb() -> int | None:
    """Give the machine's available memory in MiB, None where the kernel does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1024
    return None
