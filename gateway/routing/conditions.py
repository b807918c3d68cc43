"""How the providers have been doing, learnt from real traffic: who is reachable, and who is to be rested.

A provider that failed `FAILURES_UNTIL_REST` times in a row is left alone for a while (API.md 3.8 and 6), so that
callers fall back at once instead of waiting for what will not come.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

FAILURES_UNTIL_REST = 5


@dataclass(slots=True)
class Condition:
    """What is known of one provider; `reachable` is None until it has been tried."""

    reachable: bool | None = None
    failures: int = 0
    resting_until: float = 0.0


class Conditions:
    """The conditions of all providers of one process.

    `rest_seconds` of 0 switches resting off. `report` is told the provider's name and whether it has gone up or
    down, at each change; `report_rest` for how many seconds it is left alone from now on, 0 when that is over early.
    """

    def __init__(
        self,
        rest_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        report: Callable[[str, bool], None] = lambda _name, _up: None,
        report_rest: Callable[[str, float], None] = lambda _name, _seconds: None,
    ) -> None:
        self._rest_seconds = rest_seconds
        self._clock = clock
        self._report = report
        self._report_rest = report_rest
        self._known: dict[str, Condition] = {}

    def of(self, provider: str) -> Condition:
        """Give the condition of a provider."""
        condition = self._known.get(provider)
        if condition is None:
            condition = self._known[provider] = Condition()
        return condition

    def rest_left(self, provider: str) -> float:
        """Give the seconds that a provider is still to be left alone; 0 when it may be asked."""
        condition = self._known.get(provider)
        if condition is None or not condition.resting_until:
            return 0.0
        return max(0.0, condition.resting_until - self._clock())

    def note_answer(self, provider: str) -> None:
        """Note that a provider answered properly, be it with a refusal."""
        condition = self.of(provider)
        if condition.reachable and not condition.failures and not condition.resting_until:
            return  # as nearly always
        condition.failures = 0
        if condition.resting_until:
            condition.resting_until = 0.0
            self._report_rest(provider, 0.0)
        self._turn(provider, condition, reachable=True)

    def note_failure(self, provider: str, *, reachable: bool) -> None:
        """Note that a provider failed; `reachable` says whether it answered at all."""
        condition = self.of(provider)
        condition.failures += 1
        if self._rest_seconds > 0 and condition.failures >= FAILURES_UNTIL_REST:
            rested = self.rest_left(provider) > 0
            condition.resting_until = self._clock() + self._rest_seconds
            if not rested:
                self._report_rest(provider, self._rest_seconds)
        self._turn(provider, condition, reachable=reachable)

    def note_reach(self, provider: str, *, reachable: bool) -> None:
        """Note whether a provider could be reached, where that says nothing of how it does its work."""
        self._turn(provider, self.of(provider), reachable=reachable)

    def _turn(self, provider: str, condition: Condition, *, reachable: bool) -> None:
        changed = condition.reachable is not reachable
        first_and_well = condition.reachable is None and reachable
        condition.reachable = reachable
        if changed and not first_and_well:
            self._report(provider, reachable)
