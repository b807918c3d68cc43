"""Chats written as Anthropic's Messages request."""

from typing import Any

import pytest

from gateway.messages.chat import (
    ChatRequest,
    ImagePart,
    Message,
    Options,
    ReasoningPart,
    ResponseFormat,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from gateway.providers.anthropic_body import version_of, write_body
from tests.gateway.providers.exchange import WEATHER, user

MARK = {"type": "ephemeral"}


def written(*messages: Message, model: str = "claude-sonnet-4-5", **options: Any) -> tuple[dict[str, Any], list[str]]:
    body, warnings = write_body(ChatRequest(model=model, messages=messages, options=Options(**options)))
    return body, list(warnings)


def test_a_conversation_is_written_in_full():
    call = ToolCall(id="call.1:x", name="weather", arguments='{"city":"Łódź"}')
    clock = ToolCall(id="call_2", name="clock")
    body, warnings = written(
        Message(role="system", content=(TextPart(text="be brief", cache_control=MARK),)),
        Message(role="developer", content=(TextPart(text="be kind"),)),
        user("look", ImagePart(data="QUJD", media_type="image/jpeg"), ImagePart(url="https://x/y.png")),
        Message(
            role="assistant",
            content=(ReasoningPart(text="hm", signature="sig"), ReasoningPart(redacted="xyz"), TextPart(text="ok")),
            tool_calls=(call, clock),
        ),
        Message(role="tool", tool_call_id="call.1:x", content=(TextPart(text="rain", cache_control=MARK),)),
        Message(role="tool", tool_call_id="call_2", content=(ImagePart(data="QUJD"),), is_error=True),
        user("thanks"),
        user("and?"),
        temperature=0.5,
        max_tokens=10,
        stop=("a",),
        user="u-1",
        tools=(WEATHER, Tool(name="clock", strict=True, cache_control=MARK)),
        tool_choice=ToolChoice(mode="required"),
        parallel_tool_calls=False,
        extra={"top_k": 3, "service_tier": "auto", "metadata": {"other": 1}},
    )
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}
    assert warnings == []
    assert body == {
        "service_tier": "auto",
        "metadata": {"user_id": "u-1", "other": 1},
        "model": "claude-sonnet-4-5",
        "max_tokens": 10,
        "system": [{"type": "text", "text": "be brief", "cache_control": MARK}, {"type": "text", "text": "be kind"}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "QUJD"}},
                    {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "sig"},
                    {"type": "redacted_thinking", "data": "xyz"},
                    {"type": "text", "text": "ok"},
                    {"type": "tool_use", "id": "call_1_x", "name": "weather", "input": {"city": "Łódź"}},
                    {"type": "tool_use", "id": "call_2", "name": "clock", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "call_1_x",
                        "content": [{"type": "text", "text": "rain"}],
                        "cache_control": MARK,
                    },
                    {"type": "tool_result", "tool_use_id": "call_2", "content": [picture], "is_error": True},
                    {"type": "text", "text": "thanks"},
                    {"type": "text", "text": "and?"},
                ],
            },
        ],
        "stop_sequences": ["a"],
        "tools": [
            {"name": "weather", "input_schema": WEATHER.parameters, "description": "Tells the weather"},
            {
                "name": "clock",
                "input_schema": {"type": "object", "properties": {}},
                "strict": True,
                "cache_control": MARK,
            },
        ],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "temperature": 0.5,
        "top_k": 3,
    }


def test_a_limit_is_given_where_none_was_asked_for():
    body, _ = written(user("hi"))
    assert body["max_tokens"] == 4096


def test_a_system_prompt_alone_becomes_the_users_turn():
    body, _ = written(Message(role="system", content=(TextPart(text="go"),)))
    assert "system" not in body
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "go"}]}]


def test_empty_text_is_not_sent():
    body, _ = written(user("hi"), Message(role="assistant", content=(TextPart(text=""),)), user("there"))
    assert len(body["messages"]) == 1
    result = Message(role="tool", tool_call_id="a", content=(TextPart(text=""),))
    body, _ = written(user("hi"), Message(role="assistant", tool_calls=(ToolCall(id="a", name="f"),)), result)
    assert body["messages"][-1]["content"] == [{"type": "tool_result", "tool_use_id": "a"}]


def test_thinking_of_others_is_left_out_and_named():
    body, warnings = written(
        user("hi"), Message(role="assistant", content=(ReasoningPart(text="hm"), TextPart(text="x")))
    )
    assert body["messages"][1]["content"] == [{"type": "text", "text": "x"}]
    assert "reasoning of earlier turns" in warnings[0]


@pytest.mark.parametrize(
    ("options", "choice"),
    [
        ({}, None),
        ({"tool_choice": ToolChoice(mode="auto")}, {"type": "auto"}),
        ({"tool_choice": ToolChoice(mode="none"), "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": ToolChoice(mode="required")}, {"type": "any"}),
        ({"tool_choice": ToolChoice(mode="function", name="weather")}, {"type": "tool", "name": "weather"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"parallel_tool_calls": True}, None),
    ],
)
def test_tool_choice_is_translated(options: dict[str, Any], choice: dict[str, Any] | None):
    body, _ = written(user("hi"), tools=(WEATHER,), **options)
    assert body.get("tool_choice") == choice
    assert "tool_choice" not in written(user("hi"), **options)[0]


def test_a_schema_is_closed_as_anthropic_insists():
    place = {"type": "object", "properties": {"type": {"enum": [{"type": "object"}]}}}
    schema = {"type": "object", "properties": {"places": {"type": "array", "items": place}}, "$defs": {"P": place}}
    body, _ = written(user("hi"), response_format=ResponseFormat(kind="json_schema", schema=schema))
    closed = {**place, "additionalProperties": False}
    assert body["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {"places": {"type": "array", "items": closed}},
            "$defs": {"P": closed},
            "additionalProperties": False,
        },
    }


def test_any_json_object_cannot_be_asked_for():
    body, warnings = written(user("hi"), response_format=ResponseFormat(kind="json_object"))
    assert "output_config" not in body
    assert "response_format" in warnings[0]


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("claude-2.1", (2, 1)),
        ("claude-3-7-sonnet-20250219", (3, 7)),
        ("claude-opus-4-20250514", (4, 0)),
        ("claude-sonnet-4-5-20250929", (4, 5)),
        ("claude-opus-4-8", (4, 8)),
        ("claude-sonnet-5", (5, 0)),
        ("claude-haiku-5-5", (5, 5)),
        ("claude-mythos-preview", (99, 0)),
        ("deepseek-chat", (4, 5)),
    ],
)
def test_a_models_version_is_read_from_its_name(model: str, version: tuple[int, int]):
    assert version_of(model) == version


@pytest.mark.parametrize(
    ("options", "thinking", "limit"),
    [
        ({"reasoning_effort": "high"}, {"type": "enabled", "budget_tokens": 16384}, 4096 + 16384),
        ({"reasoning_effort": "high", "max_tokens": 3000}, {"type": "enabled", "budget_tokens": 2999}, 3000),
        ({"reasoning_effort": "high", "max_tokens": 500}, None, 500),
        ({"reasoning_effort": "none"}, {"type": "disabled"}, 4096),
        ({"extra": {"think": True}}, {"type": "enabled", "budget_tokens": 8192}, 4096 + 8192),
        (
            {"extra": {"thinking": {"type": "enabled", "budget_tokens": 5}}},
            {"type": "enabled", "budget_tokens": 5},
            4096,
        ),
        ({"reasoning_effort": "low", "tools": (WEATHER,), "tool_choice": ToolChoice(mode="required")}, None, 4096),
    ],
)
def test_a_wish_to_think_becomes_a_budget_that_fits(options: dict[str, Any], thinking: Any, limit: int):
    body, warnings = written(user("hi"), **options)
    assert body.get("thinking") == thinking
    assert body["max_tokens"] == limit
    assert bool(warnings) == (thinking is None)


def test_temperature_gives_way_to_thinking():
    body, warnings = written(user("hi"), reasoning_effort="low", temperature=0.2)
    assert "temperature" not in body
    assert "temperature" in warnings[0]


def test_calls_in_progress_that_were_not_thought_about_forbid_thinking():
    called = Message(role="assistant", tool_calls=(ToolCall(id="a", name="f"),))
    result = Message(role="tool", tool_call_id="a", content=(TextPart(text="x"),))
    body, warnings = written(user("hi"), called, result, reasoning_effort="low")
    assert "thinking" not in body
    assert "reasoning" in warnings[0]
    body, warnings = written(user("hi"), called, result, user("go on"), reasoning_effort="low")
    assert "thinking" in body
    assert warnings == []


def test_what_anthropic_does_not_know_is_named():
    pictured = Message(role="user", name="Eve", content=(ImagePart(data="QUJD", detail="low"),))
    _, warnings = written(
        pictured, seed=1, frequency_penalty=0.5, presence_penalty=0, logprobs=True, extra={"num_ctx": 1}
    )
    assert {warning.split(":")[0] for warning in warnings} == {
        "seed",
        "frequency_penalty",
        "logprobs",
        "num_ctx",
        "image detail",
        "name of a message",
    }
