"""Chats written as OpenAI's Chat Completions request."""

import json
from typing import Any

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
from gateway.providers.openai_compatible import VENDOR
from tests.gateway.providers.exchange import user


def body_of(*messages: Message, stream: bool = False, **options: Any) -> dict[str, Any]:
    chat = ChatRequest(model="m", messages=messages, options=Options(**options), stream=stream)
    body: dict[str, Any] = json.loads(VENDOR.chat_request(chat).body)
    return body


def test_a_conversation_is_written_in_full():
    call = ToolCall(id="call_1", name="weather", arguments='{"city":"Łódź"}')
    tool = Tool(name="weather", description="Tells", parameters={"type": "object"}, strict=True)
    messages = (
        Message(role="developer", content=(TextPart(text="be brief"),)),
        user("look", ImagePart(data="QUJD", media_type="image/jpeg", detail="low"), ImagePart(url="https://x/y.png")),
        Message(role="assistant", content=(ReasoningPart(text="hm"),), tool_calls=(call,)),
        Message(role="tool", tool_call_id="call_1", content=(TextPart(text="rain"), TextPart(text="wind"))),
        user("thanks", TextPart(text="and?")),
    )
    assert body_of(
        *messages,
        stream=True,
        temperature=0.5,
        max_tokens=10,
        stop=("a", "b"),
        seed=1,
        n=2,
        tools=(tool,),
        tool_choice=ToolChoice(mode="function", name="weather"),
        parallel_tool_calls=False,
        response_format=ResponseFormat(kind="json_schema", schema={"type": "object"}, name="x", strict=True),
        reasoning_effort="low",
        extra={"top_k": 3, "stream_options": {"other": 1}, "model": "never"},
    ) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,QUJD", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city":"Łódź"}'},
                    }
                ],
                "reasoning_content": "hm",
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "rain\nwind"},
            {"role": "user", "content": [{"type": "text", "text": "thanks"}, {"type": "text", "text": "and?"}]},
        ],
        "stream": True,
        "stream_options": {"other": 1, "include_usage": True},
        "temperature": 0.5,
        "max_tokens": 10,
        "stop": ["a", "b"],
        "seed": 1,
        "n": 2,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "weather",
                    "description": "Tells",
                    "parameters": {"type": "object"},
                    "strict": True,
                },
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True},
        },
        "reasoning_effort": "low",
        "top_k": 3,
    }


def test_what_was_not_given_is_not_sent():
    assert body_of(user("hi"), parallel_tool_calls=True, tool_choice=ToolChoice(mode="auto")) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
    }


def test_an_image_in_a_tools_result_follows_as_the_users():
    call = ToolCall(id="c", name="screenshot")
    picture = Message(role="tool", tool_call_id="c", content=(TextPart(text="done"), ImagePart(data="QUJD")))
    messages = body_of(Message(role="assistant", tool_calls=(call,)), picture, user("what is it?"))["messages"]
    assert [message["role"] for message in messages] == ["assistant", "tool", "user", "user"]
    assert messages[1]["content"] == "done"
    assert messages[2]["content"][0]["type"] == "image_url"


def test_cache_marks_are_kept():
    marked = Message(role="user", content=(TextPart(text="long", cache_control={"type": "ephemeral"}),))
    part = body_of(marked)["messages"][0]["content"][0]
    assert part == {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
