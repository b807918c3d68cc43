"""Answers in OpenAI's form, read however half-compatible servers write them."""

import json
from typing import Any

import pytest

from gateway.errors import ProviderError, UnusableAnswer
from gateway.messages.chat import (
    ReasoningDelta,
    TextDelta,
    Usage,
)
from gateway.providers.openai_compatible import VENDOR
from tests.gateway.providers.exchange import decode


def chunk(delta: Any = None, reason: Any = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": reason}
    fields = {"id": "c1", "created": 5, "model": "m1", "choices": [choice], **more}
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    "answer",
    [
        "hello",
        {"response": "hello"},
        {"text": "hello"},
        {"content": "hello"},
        {"output": "hello"},
        {"message": {"content": "hello"}},
        {"message": {"role": "assistant", "content": "hello"}, "done": True, "done_reason": "stop"},
        {"choices": [{"message": {"content": "hello"}}]},
        {"choices": [{"message": "hello"}]},
        {"choices": [{"text": "hello"}]},
        {"choices": [{"delta": {"content": "hello"}}]},
        {"choices": [{"message": {"content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]}}]},
        {"content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn"},
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": "hello"}]}]},
        {"error": None, "choices": [{"message": {"content": "hello"}, "finish_reason": None, "index": None}]},
    ],
)
def test_a_half_compatible_answer_becomes_a_proper_one(answer: Any):
    reply = VENDOR.chat_reply(json.dumps(answer).encode())
    (choice,) = reply.choices
    assert choice.message.text == "hello"
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert reply.usage is None


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": None},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"message": {"content": ""}}]},
        {"choices": [{"message": {"content": None}, "finish_reason": "stop"}]},
        {"response": ""},
        {"message": "not an object"},
        {"content": 17},
        {"choices": "hello"},
        "",
        [[[[[[[["deep"]]]]]]]],
    ],
)
def test_an_answer_without_text_is_unusable(answer: Any):
    with pytest.raises(UnusableAnswer):
        VENDOR.chat_reply(json.dumps(answer).encode())


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"content": ""}, "stop"),
        ({"content": None}, "length"),
        ({"content": None}, "content_filter"),
        ({"content": None, "refusal": "no"}, "stop"),
    ],
)
def test_an_empty_answer_with_a_reason_is_an_answer(message: dict[str, Any], reason: str):
    answer = {"choices": [{"message": message, "finish_reason": reason}]}
    (choice,) = VENDOR.chat_reply(json.dumps(answer).encode()).choices
    assert (choice.message.text, choice.finish_reason) == ("", reason)
    assert choice.refusal == message.get("refusal")


@pytest.mark.parametrize(
    ("answer", "status", "code", "message"),
    [
        ({"error": {"message": "slow down", "code": 429}, "choices": None}, 429, "429", "slow down"),
        ({"error": {"message": "no", "type": "t", "param": "p", "code": "c"}}, 502, "c", "no"),
        ({"error": "out of memory"}, 502, "upstream_error", "out of memory"),
        ({"object": "error", "message": "bad", "code": 400}, 400, "400", "bad"),
        ({"error": {"metadata": {}}}, 502, "upstream_error", '{"metadata":{}}'),
    ],
)
def test_an_error_in_an_answer_with_a_good_status_is_an_error(answer: Any, status: int, code: str, message: str):
    for read in (VENDOR.chat_reply, lambda body: decode(VENDOR, [b"data: " + body + b"\n\n"])):
        with pytest.raises(ProviderError) as raised:
            read(json.dumps(answer).encode())
        assert (raised.value.status, raised.value.error_code, raised.value.message) == (status, code, message)


@pytest.mark.parametrize(
    "message",
    [
        {"reasoning_content": "hm", "content": "hi"},
        {"reasoning": "hm", "content": "hi"},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": "hi"},
            ]
        },
    ],
)
def test_reasoning_is_kept_out_of_the_text(message: dict[str, Any]):
    (choice,) = VENDOR.chat_reply(json.dumps({"choices": [{"message": message}]}).encode()).choices
    assert (choice.reasoning, choice.message.text) == ("hm", "hi")
    events = decode(VENDOR, [chunk(message), DONE])
    assert events[1:3] == [ReasoningDelta(text="hm"), TextDelta(text="hi")]


@pytest.mark.parametrize(("given", "shown"), [([1, 0], [1, 0]), ([0, 0], [0, 1]), ([3, None, 1], [0, 1, 2])])
def test_each_choice_has_a_number_of_its_own(given: list[int | None], shown: list[int]):
    choices = [{"index": index, "message": {"content": "x"}, "finish_reason": "stop"} for index in given]
    reply = VENDOR.chat_reply(json.dumps({"choices": choices}).encode())
    assert [choice.index for choice in reply.choices] == shown


def test_tool_calls_are_completed():
    calls = [
        {"function": {"name": "f", "arguments": {"a": 1}}},
        {"id": "x", "function": {"name": "g", "arguments": ""}},
        {"id": "y", "function": {"name": "h", "arguments": None}},
        {"id": "z", "function": {}},
    ]
    answer = {"choices": [{"message": {"tool_calls": calls}, "finish_reason": "stop"}]}
    (choice,) = VENDOR.chat_reply(json.dumps(answer).encode()).choices
    first, second, third = choice.message.tool_calls
    assert first.id.startswith("call_0_")
    assert (first.arguments, second.arguments, third.arguments) == ('{"a":1}', "{}", "{}")
    assert choice.finish_reason == "tool_calls"
    assert VENDOR.chat_reply(json.dumps(answer).encode()).choices[0].message.tool_calls[0].id == first.id


def test_usage_and_details_are_read():
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    reply = VENDOR.chat_reply(json.dumps({"choices": [{"message": {"content": "x"}}], "usage": usage}).encode())
    assert reply.usage == Usage(
        prompt_tokens=10, completion_tokens=5, cached_tokens=4, cache_write_tokens=1, reasoning_tokens=2
    )
