"""`POST /llm` as API.md 3.2 has it."""

import json
from typing import Any

import pytest

from gateway.dialects import unified
from gateway.dialects.base import Head, Parsed
from gateway.errors import InvalidRequest
from gateway.messages.chat import (
    ChatReply,
    Choice,
    Finished,
    Message,
    ReasoningDelta,
    Started,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from gateway.messages.embeddings import EmbeddingsReply
from gateway.messages.models import Model

HEAD = Head(id="0123", created=1_700_000_000, model="llama3", provider="ollama", warnings=("seed: left out",))
USAGE = Usage(prompt_tokens=3, completion_tokens=4)
CHAT = {"type": "chat", "model": "m", "messages": [{"role": "user", "content": "hi"}]}


def parse(**members: Any) -> Any:
    return unified.parse(json.dumps(members).encode())


def refusal(**members: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as refused:
        parse(**members)
    return {detail.field: detail.message for detail in refused.value.details}


def user(content: Any) -> dict[str, Any]:
    return {**CHAT, "messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({**CHAT, "type": "poem"}, "type"),
        ({"model": "m"}, "type"),
        ({**CHAT, "model": ""}, "model"),
        ({**CHAT, "messages": []}, "messages"),
        ({**CHAT, "messages": "hi"}, "messages"),
        ({"type": "chat", "model": "m"}, "messages"),
        ({**CHAT, "messages": [{"role": "function", "content": "a"}]}, "messages[0].role"),
        (user(""), "messages[0].content"),
        (user(None), "messages[0].content"),
        (user([]), "messages[0].content"),
        (user([{"type": "text", "text": ""}]), "messages[0].content"),
        (user(3), "messages[0].content"),
        (user([{"type": "input_audio", "input_audio": {}}]), "messages[0].content[0].type"),
        (user([{"type": "image_url", "image_url": {"url": "file:///etc"}}]), "messages[0].content[0].image_url.url"),
        ({**CHAT, "messages": [{"role": "assistant", "content": ""}]}, "messages[0].content"),
        ({**CHAT, "messages": [{"role": "tool", "content": "3"}]}, "messages[0].tool_call_id"),
        ({**CHAT, "options": []}, "options"),
        ({**CHAT, "stream": "yes"}, "stream"),
        ({**CHAT, "provider": 3}, "provider"),
        ({"type": "embeddings", "model": "m"}, "input"),
        ({"type": "embeddings", "model": "m", "input": ""}, "input"),
        ({"type": "embeddings", "model": "m", "input": []}, "input"),
        ({"type": "embeddings", "model": "m", "input": ["a", ""]}, "input[1]"),
        ({"type": "embeddings", "model": "m", "input": ["a", 3]}, "input[1]"),
        ({"type": "embeddings", "model": "m", "input": [3]}, "input[0]"),
        ({"type": "embeddings", "model": "m", "input": [[1, 2]]}, "input[0]"),
    ],
)
def test_what_is_wrong_is_named(request_: dict[str, Any], field: str) -> None:
    assert field in refusal(**request_)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("temperature", 2.1), ("temperature", -0.1), ("temperature", True), ("top_p", 1.5), ("max_tokens", 0),
        ("max_tokens", 1.5), ("max_completion_tokens", 0), ("frequency_penalty", 3), ("presence_penalty", -3), ("n", 0),
        ("top_logprobs", 21), ("seed", "x"), ("stop", [""]), ("stop", 3), ("logit_bias", {"1": 101}), ("tools", {}),
        ("tool_choice", "maybe"), ("response_format", {"type": "xml"}), ("reasoning_effort", 3), ("logprobs", 1),
        ("temperature", 10**400),
    ],
)  # fmt: skip
def test_options_out_of_range_are_named(option: str, value: Any) -> None:
    assert next(iter(refusal(**CHAT, options={option: value}))).startswith(f"options.{option}")


@pytest.mark.parametrize(
    ("option", "value"), [("temperature", 0), ("temperature", 2), ("top_p", 1), ("frequency_penalty", -2), ("n", 1)]
)
def test_the_ends_of_ranges_are_inside(option: str, value: Any) -> None:
    assert getattr(parse(**CHAT, options={option: value}).chat.options, option) == value


def test_options_that_openai_does_not_know_are_kept_for_the_provider() -> None:
    options = parse(**CHAT, options={"top_k": 3, "keep_alive": "5m", "temperature": 1}).chat.options
    assert (options.extra, options.temperature) == ({"top_k": 3, "keep_alive": "5m"}, 1)


def test_a_member_that_is_not_known_is_named_in_the_warnings() -> None:
    warnings = parse(**CHAT, temperature=1).warnings
    assert len(warnings) == 1
    assert "temperature" in warnings[0]


def test_a_stream_can_be_asked_for_in_both_places() -> None:
    assert parse(**CHAT, stream=True).chat.stream
    assert parse(**CHAT, options={"stream": True}).chat.stream
    assert not parse(**CHAT, stream=False, options={"stream": True}).chat.stream


def test_an_assistant_message_with_calls_needs_no_content() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    messages = [{"role": "assistant", "content": None, "tool_calls": [call]}]
    assert parse(**{**CHAT, "messages": messages}).chat.messages[0].tool_calls[0].arguments == "{}"


def test_the_provider_is_handed_on_unjudged() -> None:
    assert parse(**CHAT, provider="nobody").provider == "nobody"
    assert parse(type="models", provider="ollama") == unified.ModelsCall(provider="ollama")


def test_a_whole_answer_has_the_shape_of_the_contract() -> None:
    call = ToolCall(id="c", name="f")
    message = Message(role="assistant", content=(TextPart(text="hello"),), tool_calls=(call,))
    choice = Choice(message=message, finish_reason="tool_calls")
    written = unified.write_reply(parse(**CHAT), ChatReply(model="x", choices=(choice,), usage=USAGE), HEAD)
    assert written == {
        "id": "llm-0123",
        "provider": "ollama",
        "model": "llama3",
        "role": "assistant",
        "content": "hello",
        "finish_reason": "tool_calls",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        "created": 1_700_000_000,
        "warnings": ["seed: left out"],
    }


def test_usage_that_nobody_told_is_null() -> None:
    choice = Choice(message=Message(role="assistant"), finish_reason="stop")
    written = unified.write_reply(parse(**CHAT), ChatReply(model="x", choices=(choice,)), HEAD)
    assert written["usage"] is None
    assert written["content"] == ""


def test_a_stream_has_the_shape_of_the_contract() -> None:
    encoder = unified.events(parse(**CHAT, stream=True), HEAD)
    events = (
        Started(id="chat-1"),
        ReasoningDelta(text="hm"),
        TextDelta(text="hel"),
        TextDelta(text="lo"),
        ToolCallDelta(call=0, id="c", name="f"),
        Finished(finish_reason="tool_calls"),
        UsageReport(usage=USAGE),
    )
    frames = [frame for event in events for frame in encoder.encode(event)] + encoder.finish()
    assert frames[-1] == b"data: [DONE]\n\n"
    assert [json.loads(frame.removeprefix(b"data: ")) for frame in frames[:-1]] == [
        {"reasoning": "hm"},
        {"content": "hel"},
        {"content": "lo"},
        {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
        {
            "finish_reason": "tool_calls",
            "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
            "model": "llama3",
            "provider": "ollama",
            "id": "chat-1",
            "created": 1_700_000_000,
            "warnings": ["seed: left out"],
        },
    ]


def test_several_answers_are_all_given() -> None:
    choices = tuple(
        Choice(message=Message(role="assistant", content=(TextPart(text=text),)), finish_reason="stop", index=place)
        for place, text in enumerate("ab")
    )
    written = unified.write_reply(parse(**CHAT), ChatReply(model="x", choices=choices), HEAD)
    assert [choice["content"] for choice in written["choices"]] == ["a", "b"]
    encoder = unified.events(parse(**CHAT), HEAD)
    assert b'"index":1' in encoder.encode(TextDelta(text="b", index=1))[0]


def test_embeddings_and_models_have_openais_list_shape_with_the_provider() -> None:
    call = parse(type="embeddings", model="m", input="a", options={"dimensions": 2})
    assert call.request.dimensions == 2
    vectors = unified.write_embeddings(call, EmbeddingsReply(model="m", vectors=((1.0, 2.0),)), HEAD)
    assert vectors["data"] == [{"object": "embedding", "index": 0, "embedding": [1.0, 2.0]}]
    assert (vectors["provider"], vectors["usage"]) == ("ollama", None)
    assert unified.write_models("ollama", [Model(id="m", created=5)]) == {
        "object": "list",
        "provider": "ollama",
        "data": [{"id": "m", "object": "model", "created": 5, "owned_by": "ollama"}],
    }


def test_a_chat_is_told_apart_from_the_other_calls() -> None:
    assert isinstance(parse(**CHAT), Parsed)
    assert isinstance(parse(type="embeddings", model="m", input="a"), unified.EmbeddingsCall)


@pytest.mark.parametrize(
    ("number", "reason"),
    [("0", "must be at least 1"), ("9" * 400, "must be from 1 to 9223372036854775807")],
    ids=["too small", "too large"],
)
def test_a_number_out_of_range_is_told_which_end_it_is_beyond(number: str, reason: str) -> None:
    body = (
        '{"type": "chat", "model": "m", "messages": [{"role": "user", "content": "a"}], "options": {"max_tokens": %s}}'
    )
    with pytest.raises(InvalidRequest) as refused:
        unified.parse((body % number).encode())
    assert refused.value.message == f"options.max_tokens: {reason}"
