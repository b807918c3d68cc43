"""One run from admission to outcome: admit, claim, feed, time-box from outside, collect, always destroy."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from executor.admission import Admission
from executor.errors import ExecutorError, NotFound, SandboxLost, ShuttingDown
from executor.meters import Meters
from executor.pool import Pool
from executor.runs import (
    Began,
    Display,
    Ended,
    Outcome,
    Output,
    OutputFile,
    Part,
    Run,
    Status,
    StopReason,
    Verdict,
)
from executor.sandboxes.base import Sandbox
from executor.transcript import Transcript
from executor.watch import BATCH_MARGIN_SECONDS, GRACE_SECONDS, LAST_WORDS_SECONDS, Watch, batch_seconds

log = logging.getLogger("executor.runner")

LONGEST_SECONDS = 86400.0


@dataclass(frozen=True, slots=True)
class Claimed:
    """The run has its box: its code is being handed over."""

    run_id: str


Notice = Claimed | Output | Display | OutputFile | Part
Listener = Callable[[Notice], None]


@dataclass(slots=True)
class ActiveRun:
    """A run that is under way or waits to be. `interrupt` ends it in the way that fits where it stands.

    `abandon` is the way while it has no box.
    """

    run: Run
    abandon: Callable[[StopReason], object]
    interrupt: Callable[[StopReason], object] = field(init=False)
    started_at: float = field(default_factory=time.time)
    cancelled: bool = False

    def __post_init__(self) -> None:
        self.interrupt = self.abandon


class Runner:
    """Runs code in sandboxes of `pools` (image name -> pool), as many at a time as `admission` lets in."""

    def __init__(self, pools: Mapping[str, Pool], admission: Admission, meters: Meters) -> None:
        self._pools = pools
        self._admission = admission
        self._meters = meters
        self._active: dict[str, ActiveRun] = {}
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()
        meters.active.set_function(lambda: len(self._active) - admission.waiting)
        meters.waiting.set_function(lambda: admission.waiting)

    def active(self) -> list[ActiveRun]:
        """The runs that are under way or wait, oldest first."""
        return list(self._active.values())

    def cancel(self, run_id: str) -> None:
        """Have a run end as `cancelled`; `NotFound` if there is none of that id."""
        active = self._active.get(run_id)
        if active is None:
            raise NotFound("No run of this id is under way.")
        if not active.cancelled:
            active.cancelled = True
            active.interrupt("cancelled")

    async def run(self, run: Run, listener: Listener | None = None) -> Outcome:
        """Run the code; what it does is in the outcome, only refusals and our own failures are raised.

        `listener` is told what happens as it happens; it must not block. Cancelling the task kills the run.
        """
        if self._closing:
            raise ShuttingDown("The executor is stopping.", retry_after=5)
        task = asyncio.current_task()
        assert task is not None
        active = self._active[run.id] = ActiveRun(run, lambda _: task.cancel())
        self._idle.clear()
        try:
            outcome = await self._admitted(active, listener)
        except asyncio.CancelledError:
            # Either the client left, or the run was cancelled by name before it had a box: that one has an answer.
            if not active.cancelled or task.uncancel() > 0:
                self._meters.executions.labels("cancelled").inc()
                log.info("%s of %s was abandoned by its client", run.id, run.user)
                raise
            outcome = _never_begun(run)
        except ExecutorError as error:
            self._meters.refused.labels(error.code).inc()
            raise
        finally:
            del self._active[run.id]
            if not self._active:
                self._idle.set()
        self._count(outcome)
        return outcome

    async def drain(self, seconds: float) -> None:
        """Take no new runs, let those under way end, cancel what is left after `seconds`."""
        self._closing = True
        await self._wait_until_idle(seconds)
        for active in self.active():
            self.cancel(active.run.id)
        await self._wait_until_idle(GRACE_SECONDS + LAST_WORDS_SECONDS)

    async def _wait_until_idle(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    async def _admitted(self, active: ActiveRun, listener: Listener | None) -> Outcome:
        arrived = time.perf_counter()
        run = active.run
        async with self._admission.place(run.user):
            try:
                return await self._in_sandbox(active, arrived, listener)
            except SandboxLost:
                if active.cancelled:
                    return _never_begun(run)
                # The code had not begun, so nothing has happened: another box may try.
                log.warning("a sandbox was lost before %s began, trying another one", run.id)
                return await self._in_sandbox(active, arrived, listener)

    async def _in_sandbox(self, active: ActiveRun, arrived: float, listener: Listener | None) -> Outcome:
        run = active.run
        active.interrupt = active.abandon
        pool = self._pools[run.policy.image]
        sandbox, warm = await pool.claim(run.policy)
        # A ready box cannot be labelled any more: this line is what leads from a container to its request.
        log.info("%s of %s runs in %s", run.id, run.user, sandbox.name)
        try:
            queued = time.perf_counter() - arrived
            transcript = await conduct(run, sandbox, listener, active)
        finally:
            pool.retire(sandbox)
        self._meters.queue.observe(queued)
        whole, parts = transcript.finish()
        log.info("%s of %s in %s: %s", run.id, run.user, sandbox.name, whole.verdict.status)
        return Outcome(
            run=run,
            whole=whole,
            parts=parts,
            displays=transcript.displays,
            files=transcript.files,
            python=sandbox.python,
            warm=warm,
            queue_ms=queued * 1000,
        )

    def _count(self, outcome: Outcome) -> None:
        verdict = outcome.whole.verdict
        self._meters.executions.labels(verdict.status).inc()
        if verdict.usage.wall_ms is not None:
            self._meters.duration.observe(verdict.usage.wall_ms / 1000)


async def conduct(
    run: Run, sandbox: Sandbox, listener: Listener | None = None, active: ActiveRun | None = None
) -> Transcript:
    """Give a box its job and collect what comes, within the limits; the transcript is complete.

    Raises `SandboxLost` if the box ends before the code begins. The caller destroys the box.
    """
    limit = run.policy.timeout_seconds
    if run.inputs is None:
        watch = Watch(sandbox, limit=limit, total=LONGEST_SECONDS)
    else:
        total = batch_seconds(len(run.inputs), limit)
        watch = Watch(sandbox, limit=limit + BATCH_MARGIN_SECONDS, total=total)
    if active is not None:
        active.interrupt = watch.stop
    transcript = Transcript(run)
    sandbox.give(run)
    if listener is not None:
        listener(Claimed(run.id))
    try:
        await _collect(sandbox, watch, transcript, listener)
    finally:
        await watch.end()
    if not transcript.complete:
        if watch.reason is None and (watch.lost or not transcript.begun):
            raise SandboxLost("The sandbox was lost before the code began.")
        await _end_dead(sandbox, watch, transcript, listener)
    return transcript


async def _collect(sandbox: Sandbox, watch: Watch, transcript: Transcript, listener: Listener | None) -> None:
    while not transcript.complete:
        event = await sandbox.next_event()
        if isinstance(event, Ended):
            return
        watch.heard()
        part = transcript.take(event)
        if isinstance(event, Began):
            watch.began()
        elif isinstance(event, Verdict):
            watch.concluded()
        elif listener is not None:
            listener(event)
        if part is not None and listener is not None:
            listener(part)


async def _end_dead(sandbox: Sandbox, watch: Watch, transcript: Transcript, listener: Listener | None) -> None:
    """Give a verdict on a box that can give none: it was killed, by us, by its limit, or from outside."""
    status: Status = watch.reason or ("out_of_memory" if await sandbox.was_out_of_memory() else "signal")
    wall = None if watch.began_at is None else (asyncio.get_running_loop().time() - watch.began_at) * 1000
    part = transcript.end_with(status, wall_ms=wall)
    if part is not None and listener is not None:
        listener(part)


def _never_begun(run: Run) -> Outcome:
    transcript = Transcript(run)
    transcript.end_with("cancelled")
    whole, parts = transcript.finish()
    return Outcome(run=run, whole=whole, parts=parts)
