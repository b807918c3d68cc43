"""OpenAI's chat completions: what real clients send is taken, and what they read is what OpenAI would have written."""

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.dialects import openai_chat
from gateway.dialects.base import Head
from gateway.errors import InvalidRequest
from gateway.messages.chat import (
    ChatReply,
    Choice,
    Finished,
    ImagePart,
    Message,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    Started,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    Usage,
    UsageReport,
)

HEAD = Head(id="0123", created=1_700_000_000, model="smart", provider="anthropic")
USER = {"role": "user", "content": "hi"}


def parse(*messages: dict[str, Any], **members: Any) -> openai_chat.ParsedChat:
    return openai_chat.parse(json.dumps({"model": "m", "messages": messages or [USER], **members}).encode())


def answer(message: Message, **members: Any) -> dict[str, Any]:
    given = {"finish_reason": "stop", **members}
    reply = ChatReply(model="x", choices=(Choice(message=message, **given),))
    written = openai_chat.write_reply(parse(), reply, HEAD)
    ChatCompletion.model_validate(written, strict=True)
    return written


def stream(parsed: openai_chat.ParsedChat, *events: Any) -> list[Any]:
    encoder = openai_chat.events(parsed, HEAD)
    frames = [frame for event in events for frame in encoder.encode(event)] + encoder.finish()
    assert frames[-1] == b"data: [DONE]\n\n"
    chunks = [json.loads(frame.removeprefix(b"data: ")) for frame in frames[:-1]]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    return chunks


def test_a_whole_answer_is_openais_shape_exactly() -> None:
    message = Message(role="assistant", content=(TextPart(text="hello"),))
    usage = Usage(prompt_tokens=3, completion_tokens=4, cached_tokens=2, reasoning_tokens=1)
    reply = ChatReply(model="x", choices=(Choice(message=message, finish_reason="stop"),), id="chatcmpl-9", usage=usage)
    assert openai_chat.write_reply(parse(), reply, HEAD) == {
        "id": "chatcmpl-9",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "smart",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 4,
            "total_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    }


def test_what_is_not_known_is_zeros_or_absent() -> None:
    written = answer(Message(role="assistant", content=(TextPart(text="a"),)))
    assert written["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert "system_fingerprint" not in written
    assert written["id"] == "chatcmpl-0123"


def test_content_is_null_beside_calls_and_refusals_and_an_empty_text_otherwise() -> None:
    call = ToolCall(id="c", name="f", arguments="")
    called = answer(Message(role="assistant", tool_calls=(call,)), finish_reason="tool_calls")["choices"][0]["message"]
    assert called["content"] is None
    assert called["tool_calls"] == [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    assert answer(Message(role="assistant"), refusal="no")["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": "no",
    }
    assert answer(Message(role="assistant"))["choices"][0]["message"]["content"] == ""


def test_reasoning_never_stands_in_the_content() -> None:
    message = Message(role="assistant", content=(ReasoningPart(text="hm"), TextPart(text="a")))
    written = answer(message)["choices"][0]["message"]
    assert (written["content"], written["reasoning_content"]) == ("a", "hm")
    chunks = stream(parse(), ReasoningDelta(text="hm"), TextDelta(text="a"), Finished(finish_reason="stop"))
    assert [chunk["choices"][0]["delta"] for chunk in chunks[1:3]] == [{"reasoning_content": "hm"}, {"content": "a"}]


def test_a_stream_is_openais_chunks_in_openais_order() -> None:
    parsed = parse(stream=True, stream_options={"include_usage": True})
    chunks = stream(
        parsed,
        Started(id="chatcmpl-9", created=5),
        TextDelta(text="a"),
        ToolCallDelta(call=0, id="c", name="f"),
        ToolCallDelta(call=0, arguments="{}"),
        Finished(finish_reason="tool_calls"),
        UsageReport(usage=Usage(prompt_tokens=1, completion_tokens=2)),
    )
    head = {"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 5, "model": "smart"}
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    deltas = [
        ({"role": "assistant", "content": "", "refusal": None}, None),
        ({"content": "a"}, None),
        ({"tool_calls": [call]}, None),
        ({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}, None),
        ({}, "tool_calls"),
    ]
    assert chunks[:-1] == [
        {
            **head,
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}],
            "usage": None,
        }
        for delta, reason in deltas
    ]
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert chunks[-1] == {**head, "choices": [], "usage": usage}


def test_usage_is_not_streamed_to_those_who_did_not_ask() -> None:
    usage = UsageReport(usage=Usage(prompt_tokens=1, completion_tokens=2))
    chunks = stream(parse(stream=True), TextDelta(text="a"), Finished(finish_reason="stop"), usage)
    assert all("usage" not in chunk and chunk["choices"] for chunk in chunks)


def test_each_of_several_answers_begins_with_its_role_and_ends_with_its_reason() -> None:
    chunks = stream(
        parse(n=2),
        TextDelta(text="a"),
        TextDelta(text="b", index=1),
        Finished(finish_reason="stop", index=1),
        Finished(finish_reason="length"),
    )
    told = [(c["choices"][0]["index"], c["choices"][0]["delta"].get("role")) for c in chunks]
    assert told == [(0, "assistant"), (0, None), (1, "assistant"), (1, None), (1, None), (0, None)]
    assert [c["choices"][0]["finish_reason"] for c in chunks[-2:]] == ["stop", "length"]


def test_a_refusal_is_streamed_as_one() -> None:
    chunks = stream(parse(), RefusalDelta(text="no"), Finished(finish_reason="content_filter"))
    assert chunks[1]["choices"][0]["delta"] == {"refusal": "no"}


def test_legacy_functions_are_answered_with_a_function_call() -> None:
    parsed = parse(functions=[{"name": "f", "parameters": {}}], function_call={"name": "f"})
    assert parsed.chat.options.tools[0].name == "f"
    assert parsed.chat.options.tool_choice == ToolChoice(mode="function", name="f")
    assert parsed.chat.options.parallel_tool_calls is False
    message = Message(role="assistant", tool_calls=(ToolCall(id="c", name="f", arguments='{"a":1}'),))
    reply = ChatReply(model="x", choices=(Choice(message=message, finish_reason="tool_calls"),))
    choice = openai_chat.write_reply(parsed, reply, HEAD)["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert (choice["finish_reason"], "tool_calls" in choice["message"]) == ("function_call", False)
    chunks = stream(parsed, ToolCallDelta(call=0, id="c", name="f"), Finished(finish_reason="tool_calls"))
    assert chunks[1]["choices"][0]["delta"] == {"function_call": {"name": "f", "arguments": ""}}
    assert chunks[-1]["choices"][0]["finish_reason"] == "function_call"


def test_legacy_results_answer_the_call_before_them() -> None:
    called = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    messages = parse(USER, called, {"role": "function", "name": "f", "content": "3"}).chat.messages
    assert messages[2].role == "tool"
    assert messages[2].tool_call_id == messages[1].tool_calls[0].id


@pytest.mark.parametrize("content", [None, [], ""])
def test_calls_may_come_with_any_kind_of_nothing_as_content(content: Any) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": "c", "content": "3"}
    messages = parse(USER, {"role": "assistant", "content": content, "tool_calls": [call]}, result).chat.messages
    assert messages[1].content == ()
    assert messages[1].tool_calls == (ToolCall(id="c", name="f"),)


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
        {"type": "function", "name": "f", "parameters": {"type": "object"}},
        {"name": "f", "parameters": {"type": "object"}},
        {"name": "f", "input_schema": {"type": "object"}},
    ],
)
def test_tools_are_known_by_their_shape(tool: dict[str, Any]) -> None:
    read = parse(tools=[tool]).chat.options.tools[0]
    assert (read.name, read.parameters) == ("f", {"type": "object"})


def test_parts_are_known_by_their_shape() -> None:
    parts = [
        {"type": "input_text", "text": "a"},
        {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "low"},
        {"type": "image_url", "image_url": {"url": "data:image/PNG;base64,QQ=="}},
    ]
    assert parse({"role": "user", "content": parts}).chat.messages[0].content == (
        TextPart(text="a"),
        ImagePart(url="https://x.test/a.png", detail="low"),
        ImagePart(data="QQ==", media_type="image/png"),
    )


@pytest.mark.parametrize(
    "url", ["ftp://x.test/a.png", "data:text/plain;base64,QQ==", "data:image/png,QQ==", "a.png", ""]
)
def test_an_image_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match=r"messages\[0\]\.content\[0\]\.image_url\.url"):
        parse({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]})


@pytest.mark.parametrize("kind", ["input_audio", "file"])
def test_parts_that_no_translation_can_carry_are_refused(kind: str) -> None:
    with pytest.raises(InvalidRequest, match=kind):
        parse({"role": "user", "content": [{"type": kind, kind: {}}]})


def test_tools_that_no_translation_can_carry_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"tools\[0\]\.type"):
        parse(tools=[{"type": "functoin", "function": {"name": "f"}}])


def test_every_parameter_of_the_reference_is_accepted_and_none_is_lost() -> None:
    beyond = {
        "store": True, "metadata": {"a": "b"}, "service_tier": "auto", "modalities": ["text"], "verbosity": "low",
        "prediction": {"type": "content", "content": "x"}, "safety_identifier": "s", "prompt_cache_key": "k",
        "web_search_options": {}, "audio": {"voice": "a", "format": "wav"},
    }  # fmt: skip
    assert parse(**beyond).chat.options.extra == beyond


def test_the_newer_name_of_the_limit_wins() -> None:
    assert parse(max_tokens=1).chat.options.max_tokens == 1
    assert parse(max_tokens=1, max_completion_tokens=2).chat.options.max_tokens == 2


def test_stop_may_be_one_or_many() -> None:
    assert parse(stop="a").chat.options.stop == ("a",)
    assert parse(stop=["a", "b"]).chat.options.stop == ("a", "b")


def test_proofs_come_with_the_text_they_cover() -> None:
    chunks = stream(
        parse(),
        ReasoningDelta(text="h"),
        ReasoningDelta(text="m"),
        ReasoningDelta(signature="s"),
        ToolCallDelta(call=0, id="c", name="f", arguments="{}", signature="g"),
        Finished(finish_reason="tool_calls"),
    )
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    detail = {"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0}
    assert deltas[3] == {"reasoning_details": [detail]}
    assert deltas[4]["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "g"}}
    handed_back = {"role": "assistant", "content": "a", "reasoning_content": "hm", "reasoning_details": [detail]}
    assert parse(USER, handed_back).chat.messages[1].content[0] == ReasoningPart(text="hm", signature="s")


def test_a_proof_without_its_text_is_put_together_with_the_reasoning_content() -> None:
    details = [{"type": "reasoning.text", "text": "", "signature": "s"}]
    handed_back = {"role": "assistant", "content": "a", "reasoning_content": "hm", "reasoning_details": details}
    assert parse(USER, handed_back).chat.messages[1].content[0] == ReasoningPart(text="hm", signature="s")


def test_warnings_are_told_once() -> None:
    head = Head(id="0", created=1, model="m", provider="p", warnings=("seed: left out",))
    encoder = openai_chat.events(parse(), head)
    frames = encoder.encode(TextDelta(text="a")) + encoder.finish()
    assert sum(b"seed: left out" in frame for frame in frames) == 1


def test_a_body_in_the_shape_of_responses_is_taken_for_what_it_is() -> None:
    body = {"model": "m", "stream": True, "input": [USER], "tools": [{"type": "function", "name": "f"}]}
    parsed = openai_chat.parse(json.dumps(body).encode())
    assert parsed.chat.messages == (Message(role="user", content=(TextPart(text="hi"),)),)
    assert (parsed.chat.stream, parsed.chat.options.tools[0].name) == (True, "f")
