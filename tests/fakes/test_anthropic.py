"""Anthropic's own client is content with the fake."""

import anthropic
import pytest

from tests.conftest import serve
from tests.fakes.anthropic import SIGNATURE, FakeAnthropic

pytestmark = pytest.mark.anyio

TOOL = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


async def test_the_sdk_chats_whole_and_streamed():
    fake = FakeAnthropic(key="sk-ant-fake")
    async with serve(fake.app) as url, anthropic.AsyncAnthropic(api_key="sk-ant-fake", base_url=url) as client:
        asked = {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": "zażółć"}]}
        whole = await client.messages.create(**asked)
        assert whole.content[0].text == "You said: zażółć"
        assert whole.usage.cache_read_input_tokens == 3
        async with client.messages.stream(**asked) as stream:
            assert "".join([text async for text in stream.text_stream]) == "You said: zażółć"
            final = await stream.get_final_message()
        assert final.stop_reason == "end_turn"
        assert final.usage.output_tokens == 7


async def test_the_sdk_makes_a_tool_round_trip_with_thinking():
    fake = FakeAnthropic()
    async with serve(fake.app) as url, anthropic.AsyncAnthropic(api_key="none", base_url=url) as client:
        messages = [{"role": "user", "content": "weather?"}]
        asked = {
            "model": "claude-sonnet-4-5",
            "max_tokens": 4096,
            "tools": [TOOL],
            "thinking": {"type": "enabled", "budget_tokens": 1024},
        }
        async with client.messages.stream(messages=messages, **asked) as stream:
            first = await stream.get_final_message()
        thinking, call = first.content
        assert thinking.signature == SIGNATURE
        assert call.input == {"city": "Łódź"}
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
        messages += [first.to_param(), {"role": "user", "content": [result]}]
        told = await client.messages.create(messages=messages, **asked)
        assert told.content[-1].text == "The tool said: rain"


async def test_the_sdk_lists_models_over_pages_and_reads_errors():
    fake = FakeAnthropic(key="sk-ant-fake")
    async with (
        serve(fake.app) as url,
        anthropic.AsyncAnthropic(api_key="sk-ant-fake", base_url=url, max_retries=0) as client,
    ):
        assert [model.id async for model in client.models.list()] == list(fake.models)
        asked = {"max_tokens": 10, "messages": [{"role": "user", "content": "x"}]}
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.create(model="missing", **asked)
        fake.fail(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
        with pytest.raises(anthropic.APIStatusError) as raised:
            await client.messages.create(model="claude-sonnet-4-5", **asked)
        assert raised.value.status_code == 529
        with pytest.raises(anthropic.AuthenticationError):
            await client.with_options(api_key="sk-ant-wrong").models.list()
