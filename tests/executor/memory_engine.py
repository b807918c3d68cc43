"""An engine whose boxes exist in memory only: quick, and it does on demand what a real one does seldom."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from executor.errors import ExecutorError
from executor.runs import Began, Ended, Event, Policy, Run, StopReason, Verdict
from executor.sandboxes.base import EngineReport


class MemoryBox:
    """A box that answers every job with `ok` and its own name, unless it is told to be lost.

    `pace` is the seconds before each thing that it tells.
    """

    def __init__(self, name: str, policy: Policy) -> None:
        self.name = name
        self.policy = policy
        self.python = "3"
        self.created = asyncio.get_running_loop().time()
        self.alive = True
        self.destroyed = False
        self.loses_its_job = False
        self.pace = 0.0
        self._events: list[Event] = []
        self._on_death: Callable[[], None] | None = None

    def on_death(self, call: Callable[[], None] | None) -> None:
        self._on_death = call

    def die(self) -> None:
        self.alive = False
        if self._on_death is not None:
            self._on_death()

    async def resize(self, policy: Policy) -> None:
        self.policy = policy

    def give(self, run: Run) -> None:
        if self.loses_its_job:
            return
        result = msgspec.Raw(b'"%s"' % self.name.encode())
        for index in (None,) if run.inputs is None else range(len(run.inputs)):
            self._events += [Began(index), Verdict(status="ok", index=index, result=result)]
        self._events.append(Ended())

    async def next_event(self) -> Event:
        await asyncio.sleep(self.pace)
        return self._events.pop(0) if self._events else Ended(broken=True)

    def stop(self, reason: StopReason) -> None:
        del reason

    async def kill(self) -> None:
        self._events.clear()
        self.die()

    def hang_up(self) -> None:
        self.alive = False

    async def was_out_of_memory(self) -> bool:
        return False

    async def destroy(self) -> None:
        self.alive = False
        self.destroyed = True


class MemoryEngine:
    """Makes `MemoryBox`es; fails with `trouble` as long as it is set, or never answers if it `hangs`."""

    def __init__(self) -> None:
        self.boxes: list[MemoryBox] = []
        self.trouble: ExecutorError | None = None
        self.hangs = False
        self.tries = 0

    async def create(self, policy: Policy) -> MemoryBox:
        self.tries += 1
        await asyncio.sleep(3600 if self.hangs else 0)
        if self.trouble is not None:
            raise self.trouble
        box = MemoryBox(f"box-{len(self.boxes)}", policy)
        self.boxes.append(box)
        return box

    async def sweep(self) -> int:
        return 0

    async def probe(self, references: Sequence[str]) -> EngineReport:
        return EngineReport(images=dict.fromkeys(references, True))

    async def close(self) -> None:
        return None

    @property
    def living(self) -> list[MemoryBox]:
        return [box for box in self.boxes if not box.destroyed]
