"""The fakes fail, wait and break off as their script says, and know when their client has left."""

import asyncio

import httpx
import pytest

from tests.conftest import serve
from tests.fakes.ollama import FakeOllama
from tests.fakes.openai import FakeOpenAI

pytestmark = pytest.mark.anyio

CHAT = {"model": "m", "messages": [{"role": "user", "content": "one two three"}], "stream": True}


async def test_failures_are_given_once_each_in_order():
    fake = FakeOllama()
    async with serve(fake.app) as url, httpx.AsyncClient(base_url=url) as client:
        fake.fail(503, {"error": "loading"}, {"retry-after": "2"}, times=2)
        fake.fail(500, b"<html>", content_type="text/html")
        answers = [await client.get("/api/tags") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 503, 500, 200]
    assert answers[0].headers["retry-after"] == "2"
    assert answers[2].headers["content-type"] == "text/html"


async def test_a_stream_can_break_off_with_its_connection():
    fake = FakeOpenAI()
    fake.cut_after, fake.abort = 2, True
    async with serve(fake.app) as url, httpx.AsyncClient(base_url=url) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/v1/chat/completions", json=CHAT)


@pytest.mark.parametrize("when", ["before the first event", "in mid stream", "before a whole answer"])
async def test_a_client_that_leaves_is_noticed(when: str):
    fake = FakeOpenAI()
    fake.pause, fake.pause_before = (0.05, 0.0) if when == "in mid stream" else (0.0, 30.0)
    fake.reply = "word " * 1000
    body = {**CHAT, "stream": when != "before a whole answer"}
    async with serve(fake.app) as url:
        client = httpx.AsyncClient(base_url=url)
        asking = asyncio.ensure_future(client.post("/v1/chat/completions", json=body, timeout=30))
        while not fake.received:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        asking.cancel()
        await client.aclose()
        await asyncio.wait_for(fake.left.wait(), 20)
