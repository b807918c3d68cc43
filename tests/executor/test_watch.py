"""The time limits of a run, on a clock that leaps."""

import asyncio

import msgspec
import pytest

from executor.runner import conduct
from executor.runs import Policy, Run
from executor.watch import GRACE_SECONDS, LAST_WORDS_SECONDS
from tests.executor.leaping import run_leaping
from tests.executor.memory_engine import MemoryBox

LIMIT = 0.2
POLICY = Policy(image="base", reference="b", timeout_seconds=LIMIT)


def statuses(inputs: int | None, pace: float) -> tuple[list[str], float]:
    """How each input of a run ended in a box of this pace, and the seconds that all of it took."""

    async def watched() -> tuple[list[str], float]:
        box = MemoryBox("box", POLICY)
        box.pace = pace
        given = None if inputs is None else [msgspec.Raw(b"1")] * inputs
        transcript = await conduct(Run(id="exec_1", user="ann", code="1", policy=POLICY, inputs=given), box)
        whole, parts = transcript.finish()
        return [part.verdict.status for part in parts or [whole]], asyncio.get_running_loop().time()

    return run_leaping(watched())


@pytest.mark.parametrize("inputs", [1, 800, 10_000])
def test_no_input_of_a_batch_that_keeps_its_own_limit_is_ended_however_many_there_are(inputs: int) -> None:
    ended, seconds = statuses(inputs, 0.9 * LIMIT)
    assert set(ended) == {"ok"}
    assert seconds > inputs * LIMIT


def test_a_box_that_tells_nothing_after_the_limit_is_ended_soon() -> None:
    ended, seconds = statuses(None, 5.0)
    assert ended == ["timeout"]
    assert seconds < 2 * 5.0 + LIMIT + GRACE_SECONDS + LAST_WORDS_SECONDS
