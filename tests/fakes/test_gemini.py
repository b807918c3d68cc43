"""Google's own client is content with the fake."""

import pytest
from google import genai
from google.genai import errors, types

from tests.conftest import serve
from tests.fakes.gemini import SIGNATURE, FakeGemini

pytestmark = pytest.mark.anyio


def client_for(url: str, key: str = "AIza-fake") -> genai.Client:
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url))


async def test_the_sdk_chats_whole_and_streamed():
    fake = FakeGemini(key="AIza-fake")
    async with serve(fake.app) as url, client_for(url).aio as client:
        whole = await client.models.generate_content(model="gemini-2.5-flash", contents="zażółć gęślą")
        assert whole.text == "You said: zażółć gęślą"
        assert whole.usage_metadata.cached_content_token_count == 3
        stream = await client.models.generate_content_stream(model="gemini-2.5-flash", contents="zażółć gęślą")
        assert "".join([chunk.text async for chunk in stream]) == "You said: zażółć gęślą"


async def test_the_sdk_makes_a_tool_round_trip():
    fake = FakeGemini()
    declaration = {
        "name": "weather",
        "parameters_json_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declaration])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    async with serve(fake.app) as url, client_for(url).aio as client:
        question = types.Content(role="user", parts=[types.Part(text="weather?")])
        asked = await client.models.generate_content(model="gemini-3-pro", contents=[question], config=config)
        called = asked.candidates[0].content
        assert called.parts[0].thought_signature
        assert called.parts[0].function_call.args == {"city": "Łódź"}
        result = types.Part.from_function_response(name="weather", response={"result": "rain"})
        history = [question, called, types.Content(role="user", parts=[result])]
        told = await client.models.generate_content(model="gemini-3-pro", contents=history, config=config)
        assert told.text == "The tool said: rain"
        assert SIGNATURE.rstrip("=") in fake.last.raw.decode().replace("\\u003d", "=")


async def test_the_sdk_embeds_lists_models_over_pages_and_reads_errors():
    fake = FakeGemini(key="AIza-fake")
    async with serve(fake.app) as url, client_for(url).aio as client:
        embedded = await client.models.embed_content(
            model="gemini-embedding-001", contents=["a", "b"], config={"output_dimensionality": 6}
        )
        assert [len(embedding.values) for embedding in embedded.embeddings] == [6, 6]
        names = [model.name async for model in await client.models.list()]
        assert names == [f"models/{name}" for name in fake.models]
        with pytest.raises(errors.ClientError) as missing:
            await client.models.generate_content(model="missing", contents="x")
        assert missing.value.code == 404
        async with client_for(url, "AIza-wrong").aio as stranger:
            with pytest.raises(errors.ClientError) as refused:
                await stranger.models.generate_content(model="gemini-2.5-flash", contents="x")
        assert refused.value.code == 400
