"""OpenAI's own client is content with the fake."""

import json

import openai
import pytest

from tests.conftest import serve
from tests.fakes.openai import FakeLMStudio, FakeOpenAI

pytestmark = pytest.mark.anyio

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


async def test_the_sdk_chats_whole_and_streamed():
    fake = FakeOpenAI(key="sk-fake")
    async with serve(fake.app) as url, openai.AsyncOpenAI(api_key="sk-fake", base_url=f"{url}/v1") as client:
        question = [{"role": "user", "content": "zażółć gęślą"}]
        whole = await client.chat.completions.create(model="gpt-4o-mini", messages=question)
        assert whole.choices[0].message.content == "You said: zażółć gęślą"
        assert whole.usage is not None
        assert whole.usage.total_tokens == 18
        stream = await client.chat.completions.create(
            model="gpt-4o-mini", messages=question, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert said == "You said: zażółć gęślą"
        assert chunks[-1].usage is not None
        assert fake.last.body["stream_options"] == {"include_usage": True}
        assert fake.last.headers["authorization"] == "Bearer sk-fake"


async def test_the_sdk_makes_a_tool_round_trip():
    fake = FakeOpenAI()
    async with serve(fake.app) as url, openai.AsyncOpenAI(api_key="none", base_url=f"{url}/v1") as client:
        messages = [{"role": "user", "content": "weather?"}]
        asked = await client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[TOOL])
        message = asked.choices[0].message
        assert json.loads(message.tool_calls[0].function.arguments) == {"city": "Łódź"}
        result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "rain"}
        messages += [message.model_dump(exclude_none=True), result]
        told = await client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[TOOL])
        assert told.choices[0].message.content == "The tool said: rain"
        async with client.chat.completions.stream(model="gpt-4o-mini", messages=messages[:1], tools=[TOOL]) as stream:
            final = await stream.get_final_completion()
        assert final.choices[0].message.tool_calls[0].function.name == "weather"


async def test_the_sdk_embeds_lists_models_and_reads_errors():
    fake = FakeOpenAI(key="sk-fake")
    async with (
        serve(fake.app) as url,
        openai.AsyncOpenAI(api_key="sk-fake", base_url=f"{url}/v1", max_retries=0) as client,
    ):
        vectors = await client.embeddings.create(model="text-embedding-3-small", input=["a", "b"], dimensions=6)
        assert [len(entry.embedding) for entry in vectors.data] == [6, 6]
        assert [model.id async for model in client.models.list()] == list(fake.models)
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="missing", messages=[{"role": "user", "content": "x"}])
        fake.fail(429, {"error": {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit"}})
        with pytest.raises(openai.RateLimitError):
            await client.models.list()
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="sk-wrong").models.list()


async def test_a_stream_can_be_cut_and_lm_studio_is_stricter():
    fake = FakeLMStudio()
    async with (
        serve(fake.app) as url,
        openai.AsyncOpenAI(api_key="none", base_url=f"{url}/v1", max_retries=0) as client,
    ):
        fake.cut_after = 2
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "one two three"}], stream=True
        )
        assert len([chunk async for chunk in stream]) == 2
        choice = {"type": "function", "function": {"name": "weather"}}
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "x"}], tools=[TOOL], tool_choice=choice
            )
