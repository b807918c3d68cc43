"""Anthropic's Messages: what its clients send is taken, and what they read is what Anthropic would have written."""

import json
from typing import Any

import pytest
from anthropic.types import Message as AnthropicMessage

from gateway.dialects import anthropic
from gateway.dialects.base import Head, Parsed
from gateway.errors import InvalidRequest
from gateway.messages.chat import (
    ChatReply,
    Choice,
    Finished,
    FinishReason,
    ImagePart,
    Message,
    ReasoningDelta,
    ReasoningPart,
    ResponseFormat,
    Started,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    Usage,
    UsageReport,
)

HEAD = Head(id="0123", created=1_700_000_000, model="claude", provider="ollama")
MARK = {"type": "ephemeral"}


def parse(*messages: dict[str, Any], **members: Any) -> Parsed:
    said = messages or ({"role": "user", "content": "hi"},)
    return anthropic.parse(json.dumps({"model": "m", "max_tokens": 9, "messages": said, **members}).encode())


def write(message: Message, reason: FinishReason = "stop", usage: Usage | None = None) -> dict[str, Any]:
    reply = ChatReply(model="x", choices=(Choice(message=message, finish_reason=reason),), usage=usage)
    written = anthropic.write_reply(parse(), reply, HEAD)
    AnthropicMessage.model_validate(written)
    return written


def stream(*events: Any) -> list[tuple[str, dict[str, Any]]]:
    encoder = anthropic.events(parse(), HEAD)
    frames = [frame for event in events for frame in encoder.encode(event)] + encoder.finish()
    pairs = [frame.decode().removeprefix("event: ").split("\ndata: ") for frame in frames]
    return [(name, json.loads(data)) for name, data in pairs]


def test_a_conversation_with_tools_images_and_thinking_is_read() -> None:
    image = {"type": "base64", "media_type": "image/png", "data": "QQ=="}
    read = parse(
        {"role": "user", "content": [{"type": "image", "source": image}, {"type": "text", "text": "look"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "zz"},
                {"type": "text", "text": "I look it up"},
                {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "and then?"},
                {
                    "type": "tool_result",
                    "tool_use_id": "c",
                    "is_error": True,
                    "content": [{"type": "text", "text": "3"}, {"type": "image", "source": {**image}}],
                },
            ],
        },
        system=[{"type": "text", "text": "be kind", "cache_control": MARK}],
    ).chat.messages
    picture = ImagePart(data="QQ==", media_type="image/png")
    thoughts = (ReasoningPart(text="hm", signature="s"), ReasoningPart(redacted="zz"))
    assert read == (
        Message(role="system", content=(TextPart(text="be kind", cache_control=MARK),)),
        Message(role="user", content=(picture, TextPart(text="look"))),
        Message(
            role="assistant",
            content=(*thoughts, TextPart(text="I look it up")),
            tool_calls=(ToolCall(id="c", name="f", arguments='{"a":1}'),),
        ),
        Message(role="tool", content=(TextPart(text="3"), picture), tool_call_id="c", is_error=True),
        Message(role="user", content=(TextPart(text="and then?"),)),
    )


def test_options_are_read_under_anthropics_names() -> None:
    options = parse(
        tools=[{"name": "f", "input_schema": {"type": "object"}, "cache_control": MARK, "description": "d"}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        stop_sequences=["a"],
        top_k=5,
        thinking={"type": "enabled", "budget_tokens": 1024},
        metadata={"user_id": "u"},
        output_config={"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
    ).chat.options
    assert (options.max_tokens, options.stop, options.user) == (9, ("a",), "u")
    assert (options.tools[0].name, options.tools[0].cache_control) == ("f", MARK)
    assert (options.tool_choice, options.parallel_tool_calls) == (ToolChoice(mode="required"), False)
    assert options.response_format == ResponseFormat(kind="json_schema", schema={"type": "object"})
    assert options.reasoning_effort == "low"
    assert options.extra == {"top_k": 5, "thinking": {"type": "enabled", "budget_tokens": 1024}}


@pytest.mark.parametrize(
    ("choice", "read"),
    [
        ({"type": "auto"}, ToolChoice(mode="auto")),
        ({"type": "none"}, ToolChoice(mode="none")),
        ({"type": "tool", "name": "f"}, ToolChoice(mode="function", name="f")),
    ],
)
def test_tool_choices_are_read(choice: dict[str, Any], read: ToolChoice) -> None:
    assert parse(tool_choice=choice).chat.options.tool_choice == read


def test_the_mark_of_a_whole_result_is_kept_on_its_last_part() -> None:
    result = {"type": "tool_result", "tool_use_id": "c", "content": "3", "cache_control": MARK}
    assert parse({"role": "user", "content": [result]}).chat.messages[0].content == (
        TextPart(text="3", cache_control=MARK),
    )


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": 1.5}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, r"messages\[0\].content"),
        ({"messages": [{"role": "tool", "content": "a"}]}, r"messages\[0\].role"),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, r"content\[0\].type: document"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_use"}]}]}, r"messages\[0\].content\[0\].type"),
        ({"messages": [{"role": "assistant", "content": [{"type": "tool_result"}]}]}, r"content\[0\].type"),
        ({"tools": [{"type": "web_search_20250305"}], "tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [{"type": "newest_20290305", "name": "web_search"}]}, r"tools\[0\].type"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"system": 3}, "system"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(members: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest, match=field):
        parse(**members)


def test_tokens_can_be_counted_without_a_limit() -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
    assert anthropic.parse_count(body).chat.model == "m"
    assert anthropic.write_count(3) == {"input_tokens": 3}


def test_a_whole_answer_is_anthropics_shape_exactly() -> None:
    content = (ReasoningPart(text="hm", signature="s"), TextPart(text="hello"))
    message = Message(role="assistant", content=content, tool_calls=(ToolCall(id="c", name="f", arguments='{"a":1}'),))
    usage = Usage(prompt_tokens=10, completion_tokens=4, cached_tokens=6, cache_write_tokens=1)
    assert write(message, "tool_calls", usage) == {
        "id": "msg_0123",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "hello"},
            {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 3,
            "output_tokens": 4,
            "cache_read_input_tokens": 6,
            "cache_creation_input_tokens": 1,
        },
    }


@pytest.mark.parametrize(
    ("reason", "written"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("tool_calls", "tool_use"), ("content_filter", "refusal")],
)
def test_the_reason_is_told_in_anthropics_words(reason: FinishReason, written: str) -> None:
    assert write(Message(role="assistant"), reason)["stop_reason"] == written


def test_a_call_that_was_forced_is_a_tool_use_too() -> None:
    message = Message(role="assistant", tool_calls=(ToolCall(id="c", name="f"),))
    assert write(message, "stop")["stop_reason"] == "tool_use"


@pytest.mark.parametrize("arguments", ['{"a": 1', "[1]", "text"])
def test_arguments_that_are_no_object_are_not_lost(arguments: str) -> None:
    message = Message(role="assistant", tool_calls=(ToolCall(id="c", name="f", arguments=arguments),))
    assert write(message)["content"][0]["input"] == {"arguments": arguments}


def test_a_stream_is_anthropics_events_in_anthropics_order() -> None:
    told = stream(
        Started(id="msg_9", usage=Usage(prompt_tokens=5, completion_tokens=1)),
        ReasoningDelta(text="hm"),
        ReasoningDelta(signature="s"),
        TextDelta(text="hel"),
        TextDelta(text="lo"),
        ToolCallDelta(call=0, id="c", name="f"),
        ToolCallDelta(call=0, arguments='{"a":'),
        ToolCallDelta(call=0, arguments="1}"),
        Finished(finish_reason="tool_calls"),
        UsageReport(usage=Usage(prompt_tokens=5, completion_tokens=7)),
    )
    assert all(name == body["type"] for name, body in told)
    assert told[0][1]["message"] == {
        "id": "msg_9",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 1},
    }
    blocks = [(body.get("index"), body.get("content_block") or body.get("delta")) for _, body in told[1:-2]]
    assert blocks == [
        (0, {"type": "thinking", "thinking": "", "signature": ""}),
        (0, {"type": "thinking_delta", "thinking": "hm"}),
        (0, {"type": "signature_delta", "signature": "s"}),
        (0, None),
        (1, {"type": "text", "text": ""}),
        (1, {"type": "text_delta", "text": "hel"}),
        (1, {"type": "text_delta", "text": "lo"}),
        (1, None),
        (2, {"type": "tool_use", "id": "c", "name": "f", "input": {}}),
        (2, {"type": "input_json_delta", "partial_json": '{"a":'}),
        (2, {"type": "input_json_delta", "partial_json": "1}"}),
        (2, None),
    ]
    assert [body for _, body in told[-2:]] == [
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"input_tokens": 5, "output_tokens": 7},
        },
        {"type": "message_stop"},
    ]


def test_the_keep_alive_is_a_ping() -> None:
    assert anthropic.KEEP_ALIVE == b'event: ping\ndata: {"type":"ping"}\n\n'


def test_citations_of_earlier_turns_are_named_as_left_out():
    cited = {"type": "text", "text": "Rain.", "citations": [{"type": "char_location", "cited_text": "x"}]}
    parsed = parse({"role": "user", "content": "hi"}, {"role": "assistant", "content": [cited]})
    assert parsed.chat.messages[1].text == "Rain."
    assert any("citations" in warning for warning in parsed.warnings)
    plain = parse({"role": "assistant", "content": [{**cited, "citations": None}]})
    assert plain.warnings == ()


@pytest.mark.parametrize("kind", ["server_tool_use", "web_search_tool_result", "mcp_tool_use", "document"])
def test_what_only_anthropics_models_understand_is_refused_by_name(kind: str):
    with pytest.raises(InvalidRequest) as refused:
        parse({"role": "assistant", "content": [{"type": kind, "id": "a", "name": "web_search", "input": {}}]})
    assert kind in str(refused.value.details)
