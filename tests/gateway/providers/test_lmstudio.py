"""What LM Studio does differently from OpenAI."""

import json
from typing import Any

import pytest

from gateway.errors import Unsupported
from gateway.messages.chat import ChatRequest, Options, ResponseFormat, Tool, ToolChoice
from gateway.messages.embeddings import EmbeddingsRequest
from gateway.providers.lmstudio import VENDOR
from tests.gateway.providers.exchange import WEATHER, user


def body_of(**options: Any) -> dict[str, Any]:
    request = VENDOR.chat_request(ChatRequest(model="m", messages=(user("hi"),), options=Options(**options)))
    assert request.path == "/v1/chat/completions"
    body: dict[str, Any] = json.loads(request.body)
    return body


def test_a_named_tool_is_the_only_one_and_required():
    tools = (Tool(name="clock"), WEATHER)
    body = body_of(tools=tools, tool_choice=ToolChoice(mode="function", name="weather"))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["weather"]
    assert body["tool_choice"] == "required"


def test_any_json_object_is_asked_for_with_a_schema():
    wanted = body_of(response_format=ResponseFormat(kind="json_object"))["response_format"]
    assert wanted["json_schema"]["schema"] == {"type": "object"}


def test_one_answer_may_be_asked_for():
    assert "n" not in body_of(n=1)


def test_token_ids_are_refused_by_name():
    with pytest.raises(Unsupported) as raised:
        VENDOR.embeddings_request(EmbeddingsRequest(model="e", input=((1, 2),)))
    assert raised.value.details[0].field == "input"
