"""How many boxes a pool keeps, and what it does in trouble, on an engine in memory."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from executor import pool as pooling
from executor.admission import Admission
from executor.errors import EngineFailed, SandboxLost, SandboxUnavailable
from executor.meters import Meters
from executor.pool import Pool
from executor.runner import Runner
from executor.runs import Policy, Run
from tests.executor.memory_engine import MemoryEngine

pytestmark = pytest.mark.anyio

POLICY = Policy(image="base", reference="b")


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
async def pool(engine: MemoryEngine) -> AsyncIterator[Pool]:
    made = Pool(engine, POLICY, size=2, meters=Meters())
    made.open()
    await settle()
    yield made
    await made.close()
    assert engine.living == []


async def settle() -> None:
    await asyncio.sleep(pooling.COURTESY_SECONDS + 0.02)
    for _ in range(50):  # what has come due meanwhile may take some turns
        await asyncio.sleep(0)


async def claim_and_retire(pool: Pool, policy: Policy = POLICY) -> None:
    sandbox, _ = await pool.claim(policy)
    pool.retire(sandbox)


async def test_it_keeps_its_size(pool: Pool) -> None:
    assert (pool.ready, pool.target) == (2, 2)
    await claim_and_retire(pool)
    await settle()
    assert (pool.ready, pool.target) == (2, 2)


async def test_it_grows_when_it_was_found_empty_and_shrinks_in_calm(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        await claim_and_retire(pool)
    await settle()
    assert pool.ready == pool.target == 4
    monkeypatch.setattr(pooling, "CALM_SECONDS", 0.0)
    for _ in range(3):
        await asyncio.sleep(0.01)
        pool.tend(None)
    assert pool.ready == pool.target == 2


async def test_it_drains_when_nobody_comes_and_is_back_when_somebody_does(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooling, "IDLE_SECONDS", 0.0)
    await asyncio.sleep(0.01)
    pool.tend(None)
    assert pool.ready == pool.target == 1
    monkeypatch.setattr(pooling, "IDLE_SECONDS", 900.0)
    await claim_and_retire(pool)
    pool.tend(None)
    await settle()
    assert pool.ready == 2


@pytest.mark.parametrize(("free_mb", "kept"), [(10_000, 2), (400, 1), (100, 0)])
async def test_it_is_small_when_memory_is_short(pool: Pool, free_mb: int, kept: int) -> None:
    pool.tend(free_mb)
    assert pool.ready == pool.target == kept
    pool.tend(10_000)
    await settle()
    assert pool.ready == 2


async def test_an_old_box_is_replaced(pool: Pool, engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    first = engine.living[0]
    monkeypatch.setattr(pooling, "AGE_SECONDS", 0.0)
    pool.tend(None)
    monkeypatch.setattr(pooling, "AGE_SECONDS", 900.0)
    await settle()
    assert first.destroyed
    assert pool.ready == 2


async def test_a_box_that_dies_is_replaced_and_somebody_is_told(pool: Pool, engine: MemoryEngine) -> None:
    troubles: list[str] = []
    pool.on_trouble = lambda: troubles.append("trouble")
    engine.living[0].created -= 60
    engine.living[0].die()
    await settle()
    assert (pool.ready, len(engine.boxes)) == (2, 3)
    assert troubles


async def test_boxes_that_die_young_are_not_replaced_in_haste(pool: Pool, engine: MemoryEngine) -> None:
    engine.living[0].die()
    await settle()
    assert engine.tries == 2


async def test_an_engine_in_trouble_is_not_asked_all_the_time_but_whoever_waits_is_told(
    pool: Pool, engine: MemoryEngine
) -> None:
    engine.trouble = EngineFailed("no")
    for _ in range(2):
        await claim_and_retire(pool)
    await settle()
    tries = engine.tries
    with pytest.raises(SandboxUnavailable):
        await pool.claim(POLICY)
    await settle()
    assert engine.tries <= tries + 2
    engine.trouble = None
    sandbox, warm = await pool.claim(POLICY)
    assert not warm
    pool.retire(sandbox)


async def test_whoever_leaves_while_waiting_leaves_the_box_to_the_pool(engine: MemoryEngine) -> None:
    pool = Pool(engine, POLICY, size=1, meters=Meters())
    waiting = asyncio.create_task(pool.claim(POLICY))
    await asyncio.sleep(0)
    pool.open()
    waiting.cancel()
    await settle()
    assert pool.ready == pool.target == len(engine.living)
    await pool.close()
    assert engine.living == []


async def test_other_limits_are_given_to_a_ready_box(pool: Pool) -> None:
    wanted = replace(POLICY, memory_mb=512)
    sandbox, warm = await pool.claim(wanted)
    assert (sandbox.policy, warm) == (wanted, True)
    pool.retire(sandbox)


async def test_a_box_that_is_lost_before_the_code_begins_is_replaced_once(pool: Pool, engine: MemoryEngine) -> None:
    runner = Runner({"base": pool}, Admission(places=1, queue=1, seconds=1), Meters())
    run = Run(id="exec_1", user="ann", code="1", policy=POLICY)
    engine.living[0].loses_its_job = True
    outcome = await runner.run(run)
    assert outcome.whole.verdict.status == "ok"
    await settle()
    for box in engine.living:
        box.loses_its_job = True
    with pytest.raises(SandboxLost):
        await runner.run(run)
    assert runner.active() == []


async def test_an_engine_that_hangs_is_not_waited_for(
    pool: Pool, engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooling, "WAIT_SECONDS", 0.05)
    troubles: list[None] = []
    pool.on_trouble = lambda: troubles.append(None)
    engine.hangs = True
    for _ in range(2):
        pool.retire((await pool.claim(POLICY))[0])
    with pytest.raises(SandboxUnavailable, match="got ready within"):
        await pool.claim(POLICY)
    assert troubles
