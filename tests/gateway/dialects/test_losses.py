"""Members of messages, parts and tools that are not understood are named once each, and what says nothing is not."""

import json
from typing import Any

import pytest

from gateway.dialects import anthropic, conversation, ollama, openai_chat, openai_responses, proxy, unified
from gateway.dialects.reading import MAX_LOSSES

IMAGE = "data:image/png;base64,QQ=="
SCHEMA = {"type": "object"}


def warned(dialect: Any, **members: Any) -> list[str]:
    """The places named in the warnings of a request."""
    parsed = dialect.parse(json.dumps({"model": "m", **members}).encode())
    return [warning.partition(":")[0] for warning in parsed.warnings]


def chat(*messages: dict[str, Any], **members: Any) -> list[str]:
    return warned(openai_chat, messages=list(messages), **members)


def said(**members: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "hello", **members}


def holding(role: str, **block: Any) -> dict[str, Any]:
    return {"role": role, "content": [block]}


USER = {"role": "user", "content": "hi"}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ({**USER, "foo": 1}, "messages[0].foo"),
        ({**USER, "tool_calls": [CALL]}, "messages[0].tool_calls"),
        ({**USER, "cache_control": {"type": "ephemeral"}}, "messages[0].cache_control"),
        (said(audio={"id": "audio_1"}), "messages[0].audio"),
        (said(annotations=[{"type": "url_citation"}]), "messages[0].annotations"),
        (said(prefix=True), "messages[0].prefix"),
        (said(tool_calls=[{**CALL, "foo": 1}]), "messages[0].tool_calls[0].foo"),
        (
            said(tool_calls=[{**CALL, "function": {"name": "f", "arguments": "", "foo": 1}}]),
            "messages[0].tool_calls[0].function.foo",
        ),
        (holding("user", type="text", text="x", foo=1), "messages[0].content[0].foo"),
        (holding("user", type="image_url", image_url={"url": IMAGE}, foo=1), "messages[0].content[0].foo"),
        (
            holding("user", type="image_url", image_url={"url": IMAGE, "format": "png"}),
            "messages[0].content[0].image_url.format",
        ),
        (holding("assistant", type="refusal", refusal="no", foo=1), "messages[0].content[0].foo"),
    ],
)
def test_what_a_message_says_beyond_what_is_known_is_named(message: dict[str, Any], place: str) -> None:
    assert chat(message) == [place]
    assert warned(unified, type="chat", messages=[message]) == [place]


@pytest.mark.parametrize(
    ("tool", "place"),
    [
        ({**TOOL, "foo": 1}, "tools[0].foo"),
        ({"type": "function", "function": {"name": "f", "foo": 1}}, "tools[0].function.foo"),
        ({"type": "function", "name": "f", "defer_loading": True}, "tools[0].defer_loading"),
        ({"name": "f", "input_schema": SCHEMA, "input_examples": [{"a": 1}]}, "tools[0].input_examples"),
    ],
)
def test_what_a_tool_says_beyond_what_is_known_is_named(tool: dict[str, Any], place: str) -> None:
    assert chat(USER, tools=[tool]) == [place]


def test_what_a_function_of_the_old_shape_says_beyond_what_is_known_is_named() -> None:
    assert chat(USER, functions=[{"name": "f", "parameters": SCHEMA, "foo": 1}]) == ["functions[0].foo"]


def test_what_the_form_of_the_answer_says_beyond_what_is_known_is_named() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "foo": 1}}
    assert chat(USER, response_format=wanted) == ["response_format.json_schema.foo"]
    assert chat(USER, response_format={"type": "json_object", "foo": 1}) == ["response_format.foo"]


def test_the_description_of_a_schema_is_kept_in_the_schema() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "description": "A lake", "schema": SCHEMA}}
    body = {"model": "m", "messages": [USER], "response_format": wanted}
    form = openai_chat.parse(json.dumps(body).encode()).chat.options.response_format
    assert form is not None
    assert form.schema == {"description": "A lake", "type": "object"}


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ({**USER, "name": "Ann"}, "messages[0].name"),
        (
            holding("assistant", type="text", text="x", citations=[{"type": "char_location"}]),
            "messages[0].content[0].citations",
        ),
        (
            holding("assistant", type="tool_use", id="1", name="f", input={}, cache_control={"type": "ephemeral"}),
            "messages[0].content[0].cache_control",
        ),
        (
            holding("user", type="tool_result", tool_use_id="1", content=[{"type": "text", "text": "x", "foo": 1}]),
            "messages[0].content[0].content[0].foo",
        ),
        (
            holding("user", type="image", source={"type": "base64", "media_type": "image/png", "data": "QQ==", "f": 1}),
            "messages[0].content[0].source.f",
        ),
    ],
)
def test_what_a_block_of_anthropics_says_beyond_what_is_known_is_named(message: dict[str, Any], place: str) -> None:
    assert warned(anthropic, max_tokens=9, messages=[message]) == [place]


def test_what_a_tool_of_anthropics_says_beyond_what_is_known_is_named() -> None:
    tool = {"name": "f", "input_schema": SCHEMA, "eager_input_streaming": True, "cache_control": {"type": "ephemeral"}}
    assert warned(anthropic, max_tokens=9, messages=[USER], tools=[tool]) == ["tools[0].eager_input_streaming"]


@pytest.mark.parametrize(
    ("item", "place"),
    [
        ({"role": "assistant", "content": "x", "phase": "commentary"}, "input[0].phase"),
        (
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}", "foo": 1},
            "input[0].foo",
        ),
        ({"type": "function_call_output", "call_id": "1", "output": "x", "foo": 1}, "input[0].foo"),
        (
            {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "gAAA"},
            "input[0].encrypted_content",
        ),
        (
            {"role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": [{"type": "f"}]}]},
            "input[0].content[0].annotations",
        ),
    ],
)
def test_what_an_item_of_responses_says_beyond_what_is_known_is_named(item: dict[str, Any], place: str) -> None:
    assert warned(openai_responses, input=[item, USER]) == [place]
    assert warned(openai_chat, input=[item, USER]) == [place]


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ({**USER, "name": "Ann"}, "messages[0].name"),
        (
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}, "x": 1}}]},
            "messages[0].tool_calls[0].function.x",
        ),
    ],
)
def test_what_a_message_of_ollamas_says_beyond_what_is_known_is_named(message: dict[str, Any], place: str) -> None:
    assert warned(ollama, messages=[message]) == [place]


def test_the_other_ways_in_name_it_too() -> None:
    assert warned(proxy, messages=[{**USER, "foo": 1}]) == ["messages[0].foo"]
    history = [{"user": "a", "assistant": "b", "system": "c"}, {"role": "user", "content": "d", "foo": 1}]
    assert warned(conversation, user_last_statement="hi", historical_messages=history) == [
        "historical_messages[0].system",
        "historical_messages[1].foo",
    ]


def test_what_clients_carry_along_without_a_meaning_is_not_named() -> None:
    """What the vendors' own classes write when an answer is handed back (`model_dump()`, `to_dict()`)."""
    dumped = said(id="m1", refusal=None, annotations=[], audio=None, function_call=None, tool_calls=None, index=0)
    assert chat(dumped, {**USER, "foo": None, "bar": [], "baz": {}, "status": "completed", "flag": False}) == []
    text = {"type": "text", "text": "x", "citations": None}
    used = {"type": "tool_use", "id": "1", "name": "f", "input": {}, "caller": {"type": "direct"}}
    answered = {"type": "tool_result", "tool_use_id": "1", "content": "x"}
    turns = [USER, {"role": "assistant", "content": [text, used]}, {"role": "user", "content": [answered]}]
    assert warned(anthropic, max_tokens=9, messages=turns) == []
    part = {"type": "output_text", "text": "x", "annotations": [], "logprobs": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    call = {"id": "fc", "type": "function_call", "call_id": "1", "name": "f", "arguments": "{}", "status": "completed"}
    assert warned(openai_responses, input=[item, call, USER]) == []


def test_each_member_is_named_once_and_not_for_each_message() -> None:
    messages = [{**USER, "foo": 1}, {**USER, "foo": 2, "bar": 3}, holding("user", type="text", text="x", foo=4)]
    assert chat(*messages) == ["messages[0].foo", "messages[1].bar", "messages[2].content[0].foo"]


def test_there_is_an_end_to_what_is_named() -> None:
    named = chat({**USER, **{f"x{place}": 1 for place in range(3 * MAX_LOSSES)}})
    assert len(named) == MAX_LOSSES + 1
    assert named[-1] == "further members"
