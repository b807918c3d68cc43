"""Admission: places, the queue before them, and whose turn it is."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from executor.admission import Admission
from executor.errors import QueueFull, QueueTimedOut

pytestmark = pytest.mark.anyio


class Stage:
    """Runs that hold their place until they are told to go; `order` is who got one."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.order: list[str] = []
        self.go = asyncio.Semaphore(0)
        self.tasks: list[asyncio.Task[None]] = []

    async def enter(self, user: str, name: str | None = None) -> asyncio.Task[None]:
        task = asyncio.create_task(self._run(user, name or user))
        self.tasks.append(task)
        await asyncio.sleep(0)
        return task

    async def _run(self, user: str, name: str) -> None:
        async with self.admission.place(user):
            self.order.append(name)
            await self.go.acquire()

    async def finish(self) -> None:
        for _ in self.tasks:
            self.go.release()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def stage(*, places: int = 1, queue: int = 8, seconds: float = 5.0) -> Stage:
    return Stage(Admission(places=places, queue=queue, seconds=seconds))


async def test_users_get_their_turns_one_after_the_other() -> None:
    here = stage()
    for name in ("flood-1", "flood-2", "flood-3", "flood-4"):
        await here.enter("flood", name)
    await here.enter("quiet", "quiet-1")
    await here.enter("other", "other-1")
    await here.finish()
    assert here.order == ["flood-1", "flood-2", "quiet-1", "other-1", "flood-3", "flood-4"]


async def test_more_than_the_queue_holds_is_refused_at_once_with_a_time_to_retry() -> None:
    here = stage(queue=2)
    for _ in range(3):
        await here.enter("ann")
    with pytest.raises(QueueFull) as refused:
        async with here.admission.place("ann"):
            pass
    assert refused.value.retry_after
    await here.finish()
    assert here.order == ["ann"] * 3


async def test_a_queue_filled_by_one_user_still_takes_another() -> None:
    here = stage(queue=3)
    flood = [await here.enter("flood", f"flood-{number}") for number in range(4)]
    await here.enter("quiet")
    with pytest.raises(QueueFull):
        await flood[-1]
    await here.finish()
    assert here.order == ["flood-0", "flood-1", "quiet", "flood-2"]


async def test_a_queue_without_places_in_it_refuses_all_that_would_wait() -> None:
    here = stage(queue=0)
    await here.enter("ann")
    with pytest.raises(QueueFull):
        async with here.admission.place("bob"):
            pass
    await here.finish()


async def test_waiting_ends_after_its_longest() -> None:
    here = stage(seconds=0.02)
    await here.enter("ann")
    with pytest.raises(QueueTimedOut):
        async with here.admission.place("bob"):
            pass
    assert here.admission.waiting == 0
    await here.finish()


async def _leaves_while_waiting(here: Stage) -> None:
    task = await here.enter("bob")
    task.cancel()
    await asyncio.sleep(0)


async def _leaves_just_when_its_turn_comes(here: Stage) -> None:
    task = await here.enter("bob")
    here.go.release()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)


async def _fails_inside(here: Stage) -> None:
    here.go.release()
    await asyncio.sleep(0.01)
    with pytest.raises(ZeroDivisionError):
        async with here.admission.place("bob"):
            raise ZeroDivisionError


@pytest.mark.parametrize("trouble", [_leaves_while_waiting, _leaves_just_when_its_turn_comes, _fails_inside])
async def test_no_place_is_lost_and_none_is_won(trouble: Callable[[Stage], Awaitable[None]]) -> None:
    here = stage(places=1)
    await here.enter("ann")
    await trouble(here)
    await here.finish()
    again = Stage(here.admission)
    await again.enter("one")
    await again.enter("two")
    assert again.order == ["one"]
    assert here.admission.waiting == 1
    await again.finish()
