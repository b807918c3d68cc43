"""A loop whose clock leaps to what is due next: hours pass in no time, in the same order."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_Ready = list[tuple[selectors.SelectorKey, int]]


class _LeapingSelector(selectors.SelectSelector):
    """Waits for nothing but notes how long it would have waited."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> _Ready:
        self.passed += timeout or 0.0
        return super().select(0)


class _LeapingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._leaping = _LeapingSelector()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.passed


def run_leaping(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; whatever it waits for must be timers or its own tasks."""
    with asyncio.Runner(loop_factory=_LeapingLoop) as runner:
        return runner.run(work)
