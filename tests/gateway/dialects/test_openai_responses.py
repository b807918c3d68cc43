"""OpenAI's Responses over chats."""

import json
from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.dialects import openai_responses
from gateway.dialects.base import Head
from gateway.dialects.errors import Failure
from gateway.errors import InvalidRequest, TimedOut
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
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    Usage,
    UsageReport,
)

HEAD = Head(id="0123", created=1_700_000_000, model="m", provider="p")
USAGE = Usage(prompt_tokens=3, completion_tokens=4)


def parse(**members: Any) -> openai_responses.ParsedResponse:
    return openai_responses.parse(json.dumps({"model": "m", "input": "hi", **members}).encode())


def write(message: Message, reason: FinishReason = "stop", **members: Any) -> dict[str, Any]:
    reply = ChatReply(model="x", choices=(Choice(message=message, finish_reason=reason),), usage=USAGE)
    written = openai_responses.write_reply(parse(**members), reply, HEAD)
    Response.model_validate(written)
    return written


def stream(*events: Any) -> list[dict[str, Any]]:
    encoder = openai_responses.events(parse(stream=True), HEAD)
    frames = [frame for event in events for frame in encoder.encode(event)] + encoder.finish()
    bodies = [json.loads(frame.partition(b"data: ")[2]) for frame in frames]
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for body in bodies:
        adapter.validate_python(body)
    assert [body["sequence_number"] for body in bodies] == list(range(len(bodies)))
    return bodies


def test_a_text_is_a_turn_of_the_user_after_the_instructions() -> None:
    assert parse(instructions="be kind").chat.messages == (
        Message(role="system", content=(TextPart(text="be kind"),)),
        Message(role="user", content=(TextPart(text="hi"),)),
    )


def test_items_are_read_and_what_the_assistant_said_and_did_is_one_message() -> None:
    items = [
        {"role": "developer", "content": "be kind"},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": "data:image/png;base64,QQ==", "detail": "low"},
            ],
        },
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "hm"}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I look", "annotations": []}],
        },
        {"type": "function_call", "id": "fc", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call", "id": "fd", "call_id": "2", "name": "g", "arguments": ""},
        {"type": "function_call_output", "call_id": "1", "output": "3"},
        {"type": "function_call_output", "call_id": "2", "output": [{"type": "input_text", "text": "4"}]},
    ]
    image = ImagePart(data="QQ==", media_type="image/png", detail="low")
    assert parse(input=items).chat.messages == (
        Message(role="developer", content=(TextPart(text="be kind"),)),
        Message(role="user", content=(TextPart(text="look"), image)),
        Message(
            role="assistant",
            content=(ReasoningPart(text="hm"), TextPart(text="I look")),
            tool_calls=(ToolCall(id="1", name="f"), ToolCall(id="2", name="g")),
        ),
        Message(role="tool", content=(TextPart(text="3"),), tool_call_id="1"),
        Message(role="tool", content=(TextPart(text="4"),), tool_call_id="2"),
    )


def test_options_are_read_under_the_names_of_responses() -> None:
    options = parse(
        max_output_tokens=5,
        tools=[{"type": "function", "name": "f", "parameters": {}, "strict": True}],
        tool_choice={"type": "function", "name": "f"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}, "verbosity": "low"},
        reasoning={"effort": "low", "summary": "auto"},
        store=True,
        metadata={"a": "b"},
        include=["reasoning.encrypted_content"],
        service_tier="auto",
    ).chat.options
    assert (options.max_tokens, options.reasoning_effort) == (5, "low")
    assert options.tools[0].strict is True
    assert options.tool_choice == ToolChoice(mode="function", name="f")
    assert options.response_format == ResponseFormat(kind="json_schema", name="n", schema={}, strict=True)
    assert options.extra == {"verbosity": "low", "service_tier": "auto"}


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, r"input\[0\].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, r"input\[0\].content\[0\].type"),
        ({"tools": [{"type": "functoin", "name": "f"}]}, r"tools\[0\].type"),
        ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"truncation": "maybe"}, "truncation"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(members: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest, match=field):
        parse(**members)


def test_what_is_ignored_is_named_in_the_warnings() -> None:
    warnings = parse(max_tool_calls=3, truncation="auto", include=["file_search_call.results"]).warnings
    assert [warning.partition(":")[0] for warning in warnings] == ["include", "max_tool_calls", "truncation"]


def test_a_whole_answer_is_a_response() -> None:
    content = (ReasoningPart(text="hm"), TextPart(text="hello"))
    message = Message(role="assistant", content=content, tool_calls=(ToolCall(id="c", name="f"),))
    written = write(message, "tool_calls", instructions="be kind", temperature=1)
    assert (written["id"], written["object"], written["status"]) == ("resp_0123", "response", "completed")
    assert (written["instructions"], written["temperature"], written["store"]) == ("be kind", 1, False)
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": "hello"}
    assert written["output"] == [
        {"id": "rs_0123_0", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"id": "msg_0123_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]},
        {
            "id": "fc_0123_2",
            "type": "function_call",
            "status": "completed",
            "call_id": "c",
            "name": "f",
            "arguments": "{}",
        },
    ]
    assert written["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 7,
    }


@pytest.mark.parametrize(("reason", "told"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_cut_short_is_incomplete(reason: FinishReason, told: str) -> None:
    written = write(Message(role="assistant", content=(TextPart(text="a"),)), reason)
    assert (written["status"], written["incomplete_details"]) == ("incomplete", {"reason": told})
    assert written["output"][0]["status"] == "incomplete"
    last = stream(TextDelta(text="a"), Finished(finish_reason=reason))[-1]
    assert (last["type"], last["response"]["output"][0]["status"]) == ("response.incomplete", "incomplete")


def test_a_stream_is_openais_events_in_openais_order() -> None:
    told = stream(
        ReasoningDelta(text="hm"),
        TextDelta(text="hel"),
        TextDelta(text="lo"),
        ToolCallDelta(call=0, id="c", name="f"),
        ToolCallDelta(call=0, arguments="{}"),
        Finished(finish_reason="tool_calls"),
        UsageReport(usage=USAGE),
    )
    assert [body["type"].removeprefix("response.") for body in told] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    whole = told[-1]["response"]
    assert whole["output"] == [body["item"] for body in told if body["type"] == "response.output_item.done"]
    assert whole["usage"]["total_tokens"] == 7


def test_an_error_has_its_members_where_either_kind_of_client_looks() -> None:
    failure = Failure(error=TimedOut("slow"), status=504, title="Gateway Timeout", request_id="r")
    (frame,) = openai_responses.events(parse(), HEAD).fail(failure)
    body = json.loads(frame.removeprefix(b"event: error\ndata: "))
    assert (body["type"], body["message"], body["code"]) == ("error", "slow", "upstream_timeout")
    assert body["error"]["message"] == "slow"


def test_proofs_of_others_are_not_handed_on() -> None:
    summary = [{"type": "summary_text", "text": "hm"}]
    item = {"type": "reasoning", "id": "r", "summary": summary, "encrypted_content": "gAAAA"}
    assert parse(input=[item]).chat.messages[0].content == (ReasoningPart(text="hm"),)
