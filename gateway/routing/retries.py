"""When a call is tried again, how long it waits before, and how many retries are too many.

Every call has its `retries` (API.md 3.8). Only a provider that fails hundreds of calls within half a minute is not
sent more retries than a fifth of its calls, so that clients in great number do not make its trouble worse through us:
`RetryBudget`.
"""

import random
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

from gateway.errors import GatewayError, ProviderError, ProviderNotConfigured, TimedOut, Unavailable, UnusableAnswer

LONGEST_RETRY_AFTER = 5.0  # seconds; a longer one goes to the client at once (API.md 6)
BUDGET_SHARE = 0.2  # of the recent requests to a provider may be retries
BUDGET_FLOOR = 500  # retries that are always allowed in a window: neither people nor a suite of tests come near it
BUDGET_WINDOW = 30.0  # seconds
_LONGEST_READ = 86400.0 * 7


def may_pass(error: GatewayError) -> bool:
    """Whether the same request may succeed at the same provider a moment later (API.md 3.8).

    So do 408, 429, 5xx and lost connections. A provider that took its whole time is not made to do so again, and one
    whose answer cannot be used, or who refused our credentials, would most likely do the same once more.
    """
    if isinstance(error, ProviderError):
        return error.status in (408, 429) or error.status >= 500
    return isinstance(error, Unavailable)


def may_succeed_elsewhere(error: GatewayError) -> bool:
    """Whether a fallback is worth asking: the fault lies with the provider, or with our access to it.

    A request that a provider has understood and turned down (400, 404, …) is the client's to mend, and goes back.
    """
    return may_pass(error) or isinstance(error, TimedOut | UnusableAnswer | ProviderNotConfigured)


def pause_before(attempt: int, asked_for: float | None = None) -> float:
    """Give the seconds to wait before trying again, jittered so that callers do not come back all together.

    0.25, 0.5, 1 … up to 4, each from its half upwards; `asked_for`, a Retry-After, is kept to and exceeded by a
    tenth and 0.1 s at most.
    """
    if asked_for:
        return asked_for + random.uniform(0, 0.1 + asked_for / 10)  # noqa: S311  # spreads load, guards nothing
    longest = min(4.0, 0.25 * 2**attempt)
    return random.uniform(longest / 2, longest)  # noqa: S311  # spreads load, guards nothing


def read_retry_after(headers: dict[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Read the seconds to wait out of an answer's headers, in lower case.

    `retry-after-ms` (milliseconds, OpenAI and Azure) or `retry-after` (seconds or a date, RFC 9110, 10.2.3).
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < _LONGEST_READ:
            return seconds
    try:
        seconds = parsedate_to_datetime(headers["retry-after"]).timestamp() - now()
    except (KeyError, ValueError, OverflowError):
        return None
    return max(0.0, seconds) if seconds < _LONGEST_READ else None


class RetryBudget:
    """How many retries one provider may still be sent by this worker, so that its trouble is not made worse by us.

    Retries may be `BUDGET_FLOOR` in the last `BUDGET_WINDOW` seconds, and `BUDGET_SHARE` of the requests beside; what
    goes beyond that fails at once, or goes on to its fallbacks. The window moves in two halves, so that a request
    costs the same however many there were.
    """

    __slots__ = ("_began", "_clock", "_requests", "_retries")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._requests = [0, 0]
        self._retries = [0, 0]

    def note_request(self) -> None:
        """Note a request that is not a retry."""
        self._move()
        self._requests[0] += 1

    def take(self) -> bool:
        """Take a retry out of the budget; tells whether there was one."""
        self._move()
        if sum(self._retries) + 1 > BUDGET_FLOOR + BUDGET_SHARE * sum(self._requests):
            return False
        self._retries[0] += 1
        return True

    def _move(self) -> None:
        halves = (self._clock() - self._began) // (BUDGET_WINDOW / 2)
        if halves < 1:
            return
        self._began += halves * BUDGET_WINDOW / 2
        for counts in (self._requests, self._retries):
            counts[:] = [0, counts[0] if halves == 1 else 0]
