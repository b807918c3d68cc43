"""Anthropic's paths over HTTP: exact shapes whatever the provider, the order of events, counting tokens."""

import json
from typing import Any

import pytest

from tests.fakes.anthropic import SIGNATURE
from tests.gateway.serving import PROVIDER_KEY, Town

pytestmark = pytest.mark.anyio

MODELS = ["anthropic:claude-sonnet-4-5", "openai:gpt-4o-mini", "gemini:gemini-2.5-flash", "ollama:llama3:8b",
          "lmstudio:qwen2.5-7b-instruct", "compat:some-model", "stub:stub"]  # fmt: skip
SAID = [{"role": "user", "content": "hello"}]
TOOL = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


async def ask(place: Town, model: str, **more: Any) -> Any:
    return await place.client.post("/v1/messages", json={"model": model, "max_tokens": 2000, "messages": SAID, **more})


def read_named(text: str) -> list[tuple[str, Any]]:
    frames = [frame.split("\n") for frame in text.split("\n\n") if frame]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in frames]


@pytest.mark.parametrize("model", MODELS)
async def test_an_answer_is_exactly_anthropics_whatever_the_provider(place: Town, model: str) -> None:
    answer = await ask(place, model)
    body = answer.json()
    wanted = {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"}
    assert wanted <= set(body) <= wanted | {"warnings"}
    assert (body["type"], body["role"], body["stop_reason"]) == ("message", "assistant", "end_turn")
    assert isinstance(body["id"], str)
    assert body["id"]
    assert body["content"][0]["type"] == "text"
    assert "hello" in body["content"][0]["text"]
    assert body["usage"]["input_tokens"] > 0
    assert body["usage"]["output_tokens"] > 0
    assert answer.headers["request-id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("model", MODELS)
async def test_events_come_in_anthropics_order_with_their_names(place: Town, model: str) -> None:
    events = [event for event in read_named((await ask(place, model, stream=True)).text) if event[0] != "ping"]
    names = [name for name, _ in events]
    assert names[:2] == ["message_start", "content_block_start"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(names[2:-3]) == {"content_block_delta"}
    assert all(data["type"] == name for name, data in events)
    assert "hello" in "".join(data["delta"]["text"] for name, data in events if name == "content_block_delta")
    (end,) = [data for name, data in events if name == "message_delta"]
    assert end["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert end["usage"]["output_tokens"] > 0
    assert {"input_tokens", "output_tokens"} <= set(events[0][1]["message"]["usage"])


async def test_a_system_prompt_blocks_and_results_reach_a_provider_of_another_dialect(place: Town) -> None:
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "what"}]},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Łódź"}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "21"}, {"type": "text", "text": "and?"}]},
    ]  # fmt: skip
    answer = await ask(
        place, "openai:gpt-4o-mini", system="Be brief.", tools=[TOOL], messages=turns, stop_sequences=["END"]
    )
    assert answer.status_code == 200
    sent = place.openai.last.body
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "tool", "user"]
    assert json.loads(sent["messages"][2]["tool_calls"][0]["function"]["arguments"]) == {"city": "Łódź"}
    assert sent["stop"] == ["END"]
    assert sent["tools"][0]["function"]["name"] == "weather"


async def test_what_only_anthropic_knows_goes_through_to_it_and_back(place: Town) -> None:
    system = [{"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}}]
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "some-beta"}
    thinking = {"type": "enabled", "budget_tokens": 1024}
    body = {"model": "anthropic:claude-sonnet-4-5", "max_tokens": 2000, "messages": SAID, "system": system}
    answer = await place.client.post(
        "/v1/messages", json={**body, "thinking": thinking, "metadata": {"user_id": "u"}}, headers=headers
    )
    sent = place.fakes["anthropic"].last
    assert sent.body["system"] == system
    assert sent.body["metadata"] == {"user_id": "u"}
    assert sent.headers["anthropic-beta"] == "some-beta"
    assert sent.headers["x-api-key"] == PROVIDER_KEY
    assert answer.json()["content"][0] == {"type": "thinking", "thinking": "Let me think.", "signature": SIGNATURE}
    assert answer.json()["usage"]["cache_read_input_tokens"] == 3


async def test_max_tokens_is_wanted_as_anthropic_wants_it(place: Town) -> None:
    body = {"model": "openai:gpt-4o-mini", "messages": SAID}
    answer = await place.client.post("/v1/messages", json=body)
    assert answer.status_code == 400
    assert "max_tokens" in answer.json()["error"]["message"]


async def test_the_type_of_an_error_is_anthropics(place: Town) -> None:
    kinds = {429: "rate_limit_error", 529: "overloaded_error", 404: "not_found_error", 400: "invalid_request_error"}
    for status, kind in kinds.items():
        place.openai.fail(status, {"error": {"message": "So.", "type": "whatever", "code": "c"}})
        answer = await ask(place, "openai:gpt-4o-mini")
        assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)


async def test_anthropic_counts_the_tokens_of_its_own_models(place: Town) -> None:
    body = {"model": "anthropic:claude-sonnet-4-5", "messages": SAID}
    answer = await place.client.post("/v1/messages/count_tokens", json=body)
    assert answer.json() == {"input_tokens": 11}
    sent = place.fakes["anthropic"].last
    assert (sent.path, sent.body["model"]) == ("/v1/messages/count_tokens", "claude-sonnet-4-5")


async def test_the_tokens_of_other_models_are_estimated_without_asking_anybody(place: Town) -> None:
    async def count(**more: Any) -> int:
        body = {"model": "openai:gpt-4o-mini", "messages": SAID, **more}
        tokens: int = (await place.client.post("/v1/messages/count_tokens", json=body)).json()["input_tokens"]
        return tokens

    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 40_000}}
    few, more, tools = await count(), await count(system="x" * 4000), await count(tools=[TOOL])
    pictured = await count(messages=[{"role": "user", "content": [image]}])
    assert 0 < few < tools
    assert more == pytest.approx(few + 1000, abs=5)
    assert few < pictured < 3000  # not the length of its base64
    assert place.openai.received == []
