"""Times in tests: the machine may be busy, and what is tested may still not be slow.

What only has to happen is waited for, `PATIENCE` at most. What has to happen in time, or not before, is tried at some
paces: a machine that stalls makes a try fail now and then, a fault makes all of them fail.
"""

from collections.abc import Awaitable, Callable

import pytest

PATIENCE = 30.0
"""Seconds: long for every machine, and short of the limit of a test."""

PACES = (1.0, 4.0, 10.0)


async def at_some_pace(attempt: Callable[[float], Awaitable[None]]) -> None:
    """Hold `attempt` to what it asserts, with its times multiplied by its argument; once is enough."""
    for pace in PACES:
        try:
            await attempt(pace)
        except (Exception, pytest.fail.Exception):
            if pace == PACES[-1]:
                raise
        else:
            return


def at_any_pace(attempt: Callable[[float], None]) -> None:
    """Do what `at_some_pace` does, without a loop."""
    for pace in PACES:
        try:
            attempt(pace)
        except (Exception, pytest.fail.Exception):
            if pace == PACES[-1]:
                raise
        else:
            return
