"""A provider in trouble is left alone, and not made worse by retries."""

import asyncio
from pathlib import Path

import pytest

from gateway.routing.retries import BUDGET_FLOOR
from tests.gateway.routing.pair import FAILED, SOON, pair
from tests.pacing import at_some_pace

pytestmark = pytest.mark.anyio


async def test_a_provider_that_keeps_failing_is_left_alone_and_it_shows(tmp_path: Path) -> None:
    async def keep_failing(pace: float) -> None:
        async with pair(tmp_path, fallbacks=(), LLM_RETRIES="2", PROVIDER_REST_SECONDS=str(int(pace))) as place:
            place.one.fail(500, FAILED, SOON, times=5)
            answers = [await place.ask(), await place.ask()]
            assert place.asked() == [5, 0]  # not six: the rest begins in the middle of the second call
            resting = await place.ask()
            assert [answer.status_code for answer in (*answers, resting)] == [502, 502, 503]
            assert 0 < int(resting.headers["retry-after"]) <= pace
            assert "x-should-retry" not in resting.headers
            assert place.asked() == [5, 0]
            health = (await place.client.get("/healthz")).json()["providers"]["one"]
            assert 0 < health["resting_seconds"] <= pace
            assert 'llm_provider_resting{provider="one"} 1.0' in (await place.client.get("/metrics")).text
            events = (await place.client.get("/api/logs/server-events")).text
            assert '"provider_resting"' in events
            await asyncio.sleep(pace + 0.1)
            assert 'llm_provider_resting{provider="one"} 0.0' in (await place.client.get("/metrics")).text
            assert (await place.ask()).status_code == 200

    await at_some_pace(keep_failing)


async def test_while_a_provider_rests_its_fallback_is_asked_at_once(tmp_path: Path) -> None:
    async with pair(tmp_path, LLM_RETRIES="4", PROVIDER_REST_SECONDS="60") as place:
        place.one.fail(500, FAILED, SOON, times=50)
        for _ in range(4):
            assert (await place.ask()).json()["provider"] == "two"
        assert place.asked() == [5, 4]


async def test_a_limit_is_no_reason_for_a_rest(tmp_path: Path) -> None:
    async with pair(tmp_path, fallbacks=(), LLM_RETRIES="0", PROVIDER_REST_SECONDS="60") as place:
        place.one.fail(429, FAILED, times=8)
        assert [(await place.ask()).status_code for _ in range(9)] == [429] * 8 + [200]


async def test_a_list_of_models_that_fails_keeps_nobody_from_chatting(tmp_path: Path) -> None:
    async with pair(tmp_path, fallbacks=(), LLM_RETRIES="0", PROVIDER_REST_SECONDS="60") as place:
        place.one.fail(500, FAILED, times=8)
        lists = [await place.client.post("/llm", json={"type": "models", "provider": "one"}) for _ in range(8)]
        assert [answer.status_code for answer in lists] == [502] * 8
        assert (await place.ask()).status_code == 200
        assert (await place.client.get("/healthz")).json()["providers"]["one"]["resting_seconds"] == 0


async def test_a_list_of_models_that_can_be_had_does_not_make_up_for_failing_chats(tmp_path: Path) -> None:
    async with pair(tmp_path, fallbacks=(), LLM_RETRIES="0", PROVIDER_REST_SECONDS="60") as place:
        for _ in range(5):
            place.one.fail(500, FAILED)
            await place.ask()
            await place.client.post("/llm", json={"type": "models", "provider": "one"})
        assert (await place.ask()).status_code == 503


async def test_a_hundred_calls_that_fail_are_each_tried_as_often_as_is_set(tmp_path: Path) -> None:
    async with pair(tmp_path, fallbacks=(), LLM_RETRIES="2") as place:
        place.one.fail(500, FAILED, SOON, times=300)
        answers = await asyncio.gather(*(place.ask() for _ in range(100)))
        assert {answer.status_code for answer in answers} == {502}
        assert place.asked()[0] == 300


async def test_trouble_for_very_many_does_not_become_a_storm_of_retries(tmp_path: Path) -> None:
    async with pair(tmp_path, fallbacks=(), LLM_RETRIES="9") as place:
        place.one.fail(500, FAILED, SOON, times=2000)
        answers = await asyncio.gather(*(place.ask() for _ in range(100)))
        assert {answer.status_code for answer in answers} == {502}
        assert {answer.headers["x-should-retry"] for answer in answers} == {"false"}
        assert BUDGET_FLOOR < place.asked()[0] <= 100 + BUDGET_FLOOR + 20
