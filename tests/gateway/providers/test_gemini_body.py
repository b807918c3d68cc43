"""Chats written as Gemini's GenerateContent request."""

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
from gateway.providers.gemini_body import write_body
from tests.gateway.providers.exchange import WEATHER, user


def written(*messages: Message, model: str = "gemini-2.5-flash", **options: Any) -> tuple[dict[str, Any], list[str]]:
    body, warnings = write_body(ChatRequest(model=model, messages=messages, options=Options(**options)))
    return body, list(warnings)


def test_a_conversation_is_written_in_full():
    calls = (
        ToolCall(id="a", name="weather", arguments='{"city":"Łódź"}', signature="sig"),
        ToolCall(id="b", name="clock"),
    )
    body, warnings = written(
        Message(role="system", content=(TextPart(text="be brief"),)),
        user("look", ImagePart(data="QUJD", media_type="image/jpeg"), ImagePart(url="https://x/y.png?z=1")),
        Message(role="assistant", content=(TextPart(text="ok"),), tool_calls=calls),
        Message(role="tool", tool_call_id="a", content=(TextPart(text='{"sky": "grey"}'), ImagePart(data="QUJD"))),
        Message(role="tool", tool_call_id="b", content=(TextPart(text="broken"),), is_error=True),
        user("thanks"),
        temperature=0.5,
        top_p=0.9,
        max_tokens=10,
        stop=("a",),
        seed=1,
        n=2,
        frequency_penalty=0.1,
        presence_penalty=0.2,
        logprobs=True,
        top_logprobs=3,
        tools=(WEATHER, Tool(name="clock")),
        tool_choice=ToolChoice(mode="function", name="weather"),
        response_format=ResponseFormat(kind="json_object"),
        extra={"top_k": 5, "safety_settings": [{"category": "X"}], "mediaResolution": "LOW"},
    )
    assert warnings == []
    assert body == {
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "look"},
                    {"inlineData": {"mimeType": "image/jpeg", "data": "QUJD"}},
                    {"fileData": {"mimeType": "image/png", "fileUri": "https://x/y.png?z=1"}},
                ],
            },
            {
                "role": "model",
                "parts": [
                    {"text": "ok"},
                    {
                        "functionCall": {"id": "a", "name": "weather", "args": {"city": "Łódź"}},
                        "thoughtSignature": "sig",
                    },
                    {"functionCall": {"id": "b", "name": "clock", "args": {}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "weather", "response": {"sky": "grey"}, "id": "a"}},
                    {"inlineData": {"mimeType": "image/png", "data": "QUJD"}},
                    {"functionResponse": {"name": "clock", "response": {"error": "broken"}, "id": "b"}},
                    {"text": "thanks"},
                ],
            },
        ],
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "weather",
                        "description": "Tells the weather",
                        "parametersJsonSchema": WEATHER.parameters,
                    },
                    {"name": "clock"},
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
        "safetySettings": [{"category": "X"}],
        "generationConfig": {
            "temperature": 0.5,
            "topP": 0.9,
            "maxOutputTokens": 10,
            "seed": 1,
            "candidateCount": 2,
            "frequencyPenalty": 0.1,
            "presencePenalty": 0.2,
            "responseLogprobs": True,
            "logprobs": 3,
            "stopSequences": ["a"],
            "responseMimeType": "application/json",
            "topK": 5,
            "mediaResolution": "LOW",
        },
    }


def test_what_was_not_given_is_not_sent():
    assert written(user("hi"))[0] == {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


def test_a_system_prompt_alone_becomes_the_users_turn():
    body, _ = written(Message(role="system", content=(TextPart(text="go"),)))
    assert body == {"contents": [{"role": "user", "parts": [{"text": "go"}]}]}


@pytest.mark.parametrize(("mode", "written_mode"), [("auto", "AUTO"), ("none", "NONE"), ("required", "ANY")])
def test_tool_choice_is_translated(mode: Any, written_mode: str):
    body, _ = written(user("hi"), tools=(WEATHER,), tool_choice=ToolChoice(mode=mode))
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": written_mode}}


def test_schemas_are_sent_whole_with_their_references_written_out():
    schema = {"type": "object", "properties": {"p": {"$ref": "#/$defs/P"}}, "$defs": {"P": {"type": "string"}}}
    plain = {"type": "object", "properties": {"p": {"type": "string"}}}
    wanted = ResponseFormat(kind="json_schema", schema=schema)
    body, _ = written(user("hi"), tools=(Tool(name="f", parameters=schema),), response_format=wanted)
    assert body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == plain
    assert body["generationConfig"]["responseJsonSchema"] == plain


@pytest.mark.parametrize(
    ("model", "options", "config"),
    [
        ("gemini-2.5-flash", {"reasoning_effort": "low"}, {"thinkingBudget": 2048, "includeThoughts": True}),
        ("gemini-2.5-flash", {"reasoning_effort": "none"}, {"thinkingBudget": 0, "includeThoughts": False}),
        ("gemini-3-pro", {"reasoning_effort": "low"}, {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-3-pro", {"reasoning_effort": "xhigh"}, {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3-pro", {"extra": {"think": False}}, {"thinkingLevel": "MINIMAL", "includeThoughts": False}),
        (
            "gemini-2.5-pro",
            {"extra": {"thinking": {"type": "enabled", "budget_tokens": 5000}}},
            {"thinkingBudget": 5000, "includeThoughts": True},
        ),
        ("gemini-2.5-pro", {"extra": {"thinking_config": {"thinkingBudget": -1}}}, {"thinkingBudget": -1}),
    ],
)
def test_a_wish_to_think_is_understood_in_everybodys_words(model: str, options: dict[str, Any], config: Any):
    body, warnings = written(user("hi"), model=model, **options)
    assert body["generationConfig"]["thinkingConfig"] == config
    must_think = config == {"thinkingLevel": "MINIMAL", "includeThoughts": False}
    assert [warning.split(":")[0] for warning in warnings] == ["reasoning"] * must_think


def test_what_gemini_does_not_know_is_named():
    thought = Message(role="assistant", content=(ReasoningPart(text="hm"), TextPart(text="x")))
    marked = Message(role="user", content=(TextPart(text="x", cache_control={"type": "ephemeral"}),))
    _, warnings = written(
        marked, thought, logit_bias={"1": 1}, user="u", parallel_tool_calls=False, extra={"num_ctx": 1}
    )
    assert {warning.split(":")[0] for warning in warnings} == {
        "logit_bias",
        "user",
        "parallel_tool_calls",
        "num_ctx",
        "cache_control",
        "reasoning of earlier turns",
    }
