"""A run that is cancelled by its name ends as that, wherever it stands. The engine is in memory, the clock leaps."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from executor.admission import Admission
from executor.errors import NotFound
from executor.meters import Meters
from executor.pool import Pool
from executor.runner import Runner
from executor.runs import Outcome, Policy, Run
from executor.watch import BEGIN_SECONDS
from tests.executor.leaping import run_leaping
from tests.executor.memory_engine import MemoryBox, MemoryEngine

POLICY = Policy(image="base", reference="b")
RUN = Run(id="exec_1", user="ann", code="1", policy=POLICY)


class SlowFirstEngine(MemoryEngine):
    """Its first box says nothing for longer than the code may take to begin."""

    async def create(self, policy: Policy) -> MemoryBox:
        box = await super().create(policy)
        box.pace = 1.5 * BEGIN_SECONDS if len(self.boxes) == 1 else 0.0
        return box


def run_and(engine: MemoryEngine, meddle: Callable[[Runner], Awaitable[None]], *, places: int = 1) -> Outcome:
    """What comes of a run when somebody meddles with it meanwhile."""

    async def both() -> Outcome:
        meters = Meters()
        pool = Pool(engine, POLICY, size=0, meters=meters)
        runner = Runner({"base": pool}, Admission(places=places, queue=1, seconds=60), meters)
        running = asyncio.create_task(runner.run(RUN))
        await meddle(runner)
        outcome = await running
        assert runner.active() == []
        await pool.close()
        return outcome

    return run_leaping(both())


async def cancel_twice(runner: Runner) -> None:
    await asyncio.sleep(1)
    runner.cancel(RUN.id)
    runner.cancel(RUN.id)


def test_a_run_that_waits_for_its_turn_is_cancelled_at_once_and_only_once() -> None:
    outcome = run_and(MemoryEngine(), cancel_twice, places=0)
    assert outcome.whole.verdict.status == "cancelled"


def test_a_run_that_waits_for_its_box_is_cancelled() -> None:
    engine = MemoryEngine()
    engine.hangs = True
    assert run_and(engine, cancel_twice).whole.verdict.status == "cancelled"


def test_a_run_whose_box_was_lost_just_before_is_not_begun_in_another_one() -> None:
    async def cancel_late(runner: Runner) -> None:
        await asyncio.sleep(1.2 * BEGIN_SECONDS)
        runner.cancel(RUN.id)

    engine = SlowFirstEngine()
    assert run_and(engine, cancel_late).whole.verdict.status == "cancelled"
    assert len(engine.boxes) == 1


def test_a_run_whose_box_was_lost_is_begun_in_another_one() -> None:
    async def leave_alone(runner: Runner) -> None:
        del runner

    engine = SlowFirstEngine()
    assert bytes(run_and(engine, leave_alone).whole.verdict.result) == b'"box-1"'


def test_a_run_that_is_over_cannot_be_cancelled() -> None:
    async def wait(runner: Runner) -> None:
        while runner.active():
            await asyncio.sleep(1)
        with pytest.raises(NotFound):
            runner.cancel(RUN.id)

    assert run_and(MemoryEngine(), wait).whole.verdict.status == "ok"
