"""Who follows the call log is told of everything that comes, and of what is left out."""

import asyncio

import pytest

from gateway.telemetry import calls as calls_module
from gateway.telemetry.calls import Skipped
from tests.gateway.telemetry.call_log import call, opened
from tests.pacing import PATIENCE

pytestmark = pytest.mark.anyio


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(calls_module, "FLUSH_SECONDS", 0.02)
    monkeypatch.setattr(calls_module, "FOLLOW_SECONDS", 0.02)


async def next_of(news):
    async with asyncio.timeout(PATIENCE):
        return await anext(news)


async def followed(log):
    """Follow the log from now on; gives the news, and the first of them to come."""
    news = log.follow()
    first = asyncio.create_task(next_of(news))
    await asyncio.sleep(0)  # it has asked where the log ends
    await log.events()  # and has been told: one thread answers both
    return news, first


async def test_the_feed_brings_calls_and_events_of_all_workers(tmp_path, quick):
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        one.record(call(request_id="before"))
        await one.flush()
        news, first = await followed(one)
        two.record(call(request_id="after"))
        assert (await first).request_id == "after"
        two.event("provider_down", "x")
        assert (await next_of(news)).kind == "provider_down"
        await news.aclose()


async def test_the_feed_goes_on_after_the_log_was_cleared(log, quick):
    news, first = await followed(log)
    log.record(call(request_id="one"))
    assert (await first).request_id == "one"
    await log.clear()
    log.record(call(request_id="two"))
    assert (await next_of(news)).request_id == "two"
    await news.aclose()


async def test_the_feed_says_how_many_it_left_out(log, monkeypatch):
    monkeypatch.setattr(calls_module, "MOST_FOLLOWED", 5)
    news, first = await followed(log)
    for n in range(12):
        log.record(call(request_id=f"r{n}"))
    await log.flush()
    assert await first == Skipped(count=7)
    assert [(await next_of(news)).request_id for _ in range(5)] == [f"r{n}" for n in range(7, 12)]
    await news.aclose()


async def test_the_feed_ends_when_the_log_stops(tmp_path):
    async with opened(tmp_path) as log:
        following = asyncio.create_task(collect(log.follow()))
        await asyncio.sleep(0)
        await log.events()
    async with asyncio.timeout(PATIENCE):
        assert await following == []


async def collect(news):
    return [one async for one in news]


async def test_who_follows_from_a_place_misses_nothing_behind_it(log):
    log.record(call(model="before"))
    await log.flush()
    place = await log.newest()
    log.record(call(model="after"))
    await log.flush()
    news = log.follow(place)
    assert (await anext(news)).model == "after"
    await news.aclose()
