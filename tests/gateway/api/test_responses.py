"""OpenAI's Responses over HTTP: stateless, over providers that know only chats."""

from typing import Any

import pytest

from tests.gateway.api.asking import read_events
from tests.gateway.serving import Town

pytestmark = pytest.mark.anyio

MODELS = ["openai:gpt-4o-mini", "anthropic:claude-sonnet-4-5", "gemini:gemini-2.5-flash", "ollama:llama3:8b",
          "lmstudio:qwen2.5-7b-instruct", "compat:some-model", "stub:stub"]  # fmt: skip
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}, "strict": False}


async def ask(place: Town, model: str, path: str = "/v1/responses", **more: Any) -> Any:
    return await place.client.post(path, json={"model": model, "input": "hello", **more})


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("path", ["/v1/responses", "/responses"])
async def test_an_answer_is_a_response_whatever_the_provider(place: Town, model: str, path: str) -> None:
    body = (await ask(place, model, path)).json()
    assert (body["object"], body["status"], body["error"]) == ("response", "completed", None)
    assert body["id"].startswith("resp_")
    (item,) = body["output"]
    assert (item["type"], item["role"], item["status"]) == ("message", "assistant", "completed")
    assert "hello" in item["content"][0]["text"]
    assert body["usage"]["total_tokens"] == body["usage"]["input_tokens"] + body["usage"]["output_tokens"]
    assert {"instructions", "tools", "tool_choice", "text", "reasoning", "store", "temperature"} <= set(body)


@pytest.mark.parametrize("model", MODELS)
async def test_events_are_numbered_and_in_openais_order(place: Town, model: str) -> None:
    events = read_events((await ask(place, model, stream=True)).text)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"] for event in events if not event["type"].endswith(".delta")]
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


async def test_a_conversation_with_a_call_and_its_result_reaches_a_provider_that_knows_only_chat(place: Town) -> None:
    first = (await ask(place, "openai:gpt-4o-mini", instructions="Be brief.", tools=[TOOL])).json()
    (call,) = first["output"]
    assert (call["type"], call["name"], call["arguments"]) == ("function_call", "weather", "{}")
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "21"}
    turns = [{"role": "user", "content": "hello"}, call, result]
    second = (await ask(place, "openai:gpt-4o-mini", instructions="Be brief.", tools=[TOOL], input=turns)).json()
    assert second["output"][0]["content"][0]["text"] == "The tool said: 21"
    assert place.openai.last.path == "/v1/chat/completions"
    roles = [message["role"] for message in place.openai.last.body["messages"]]
    assert roles == ["system", "user", "assistant", "tool"]


@pytest.mark.parametrize("name", ["previous_response_id", "conversation"])
async def test_what_would_want_a_memory_is_refused(place: Town, name: str) -> None:
    answer = await ask(place, "openai:gpt-4o-mini", **{name: "resp_123"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == name
    assert place.openai.received == []


async def test_store_is_taken_and_ignored(place: Town) -> None:
    answer = await ask(place, "openai:gpt-4o-mini", store=True)
    assert answer.status_code == 200
    assert answer.json()["store"] is False
    assert "store" not in place.openai.last.body


async def test_an_unknown_model_is_404_before_anything_is_streamed(place: Town) -> None:
    answer = await ask(place, "openai:missing", stream=True)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
