"""Tools that run at Anthropic, and citations, survive the way from its dialect to its models and back."""

import asyncio
from pathlib import Path

import anthropic
import pytest

from tests.conftest import serve
from tests.fakes.anthropic import FakeAnthropic
from tests.gateway.serving import PROVIDER_KEY, gateway

pytestmark = pytest.mark.anyio

SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "Łódź"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
PLACE = {
    "type": "web_search_result_location",
    "url": "https://a.example",
    "title": "A",
    "encrypted_index": "eA==",
    "cited_text": "rain",
}
CITED = {"type": "text", "text": "Rain.", "citations": [PLACE]}


async def test_server_tools_and_citations_go_through_and_can_be_handed_back(tmp_path: Path) -> None:
    fake = FakeAnthropic(key=PROVIDER_KEY)
    answer = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [SEARCH, FOUND, CITED],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 7, "server_tool_use": {"web_search_requests": 1}},
    }
    keys = {"ANTHROPIC_API_KEY": PROVIDER_KEY}
    async with (
        serve(fake.app) as url,
        gateway(tmp_path, ANTHROPIC_BASE_URL=url, **keys) as client,
        anthropic.AsyncAnthropic(base_url=str(client.base_url), api_key="none", max_retries=0) as sdk,
    ):
        while not fake.received:
            await asyncio.sleep(0.01)  # the catalogue asks first, and would take the scripted answer
        fake.fail(200, answer, times=2)
        told = {
            "model": "anthropic:claude-sonnet-4-5",
            "max_tokens": 99,
            "tools": [{"type": "web_search_20250305", "name": "web_search"}],
        }
        question = {"role": "user", "content": "Weather?"}
        whole = await sdk.messages.create(messages=[question], **told)
        handed_back = whole.to_dict()["content"]
        await sdk.messages.create(messages=[question, {"role": "assistant", "content": handed_back}, question], **told)
    assert handed_back == [SEARCH, FOUND, CITED]
    assert whole.usage.server_tool_use is not None
    asked = [request.body for request in fake.received if request.method == "POST"]
    assert asked[0]["tools"] == told["tools"]
    assert asked[1]["messages"][1]["content"] == [SEARCH, FOUND, CITED]
