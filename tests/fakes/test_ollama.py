"""Ollama's own client is content with the fake."""

import ollama
import pytest

from tests.conftest import serve
from tests.fakes.ollama import FakeOllama

pytestmark = pytest.mark.anyio

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


async def test_the_sdk_chats_whole_and_streamed():
    fake = FakeOllama()
    async with serve(fake.app) as url:
        client = ollama.AsyncClient(host=url)
        question = [{"role": "user", "content": "zażółć gęślą"}]
        whole = await client.chat(model="llama3:8b", messages=question, think=True)
        assert whole.message.content == "You said: zażółć gęślą"
        assert whole.message.thinking == "Let me think."
        assert whole.eval_count == 7
        lines = [line async for line in await client.chat(model="llama3:8b", messages=question, stream=True)]
        assert "".join(line.message.content for line in lines) == "You said: zażółć gęślą"
        assert lines[-1].done_reason == "stop"


async def test_the_sdk_makes_a_tool_round_trip():
    fake = FakeOllama()
    async with serve(fake.app) as url:
        client = ollama.AsyncClient(host=url)
        messages = [{"role": "user", "content": "weather?"}]
        asked = await client.chat(model="llama3:8b", messages=messages, tools=[TOOL])
        assert asked.message.tool_calls[0].function.arguments == {"city": "Łódź"}
        messages += [asked.message, {"role": "tool", "tool_name": "weather", "content": "rain"}]
        told = await client.chat(model="llama3:8b", messages=messages, tools=[TOOL])
        assert told.message.content == "The tool said: rain"


async def test_the_sdk_embeds_lists_models_and_reads_errors():
    fake = FakeOllama()
    async with serve(fake.app) as url:
        client = ollama.AsyncClient(host=url)
        embedded = await client.embed(model="nomic-embed-text", input=["a", "b"], dimensions=6)
        assert [len(vector) for vector in embedded.embeddings] == [6, 6]
        assert [model.model for model in (await client.list()).models] == list(fake.models)
        with pytest.raises(ollama.ResponseError) as missing:
            await client.chat(model="missing", messages=[{"role": "user", "content": "x"}])
        assert missing.value.status_code == 404
        with pytest.raises(ollama.ResponseError) as url_image:
            await client._request_raw(
                "POST",
                "/api/chat",
                json={
                    "model": "llama3:8b",
                    "messages": [{"role": "user", "content": "x", "images": ["http://x/y.png"]}],
                },
            )
        assert url_image.value.status_code == 400
