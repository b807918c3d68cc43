"""Whole answers: what is well formed passes, whatever else is in it; what is not is left to be written anew."""

import json
from typing import Any

import pytest

from gateway.dialects.passing import ANTHROPIC, OPENAI

SAID = {"role": "assistant", "content": "hi"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def choice(message: Any = SAID, reason: Any = "stop", **more: Any) -> dict[str, Any]:
    return {"index": 0, "message": message, "finish_reason": reason, **more}


def openai(*choices: Any, **more: Any) -> bytes:
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [*choices], "usage": USAGE}
    return json.dumps(body | more).encode()


def call(**more: Any) -> dict[str, Any]:
    return choice({"role": "assistant", "content": None, "tool_calls": [CALL | more]}, "tool_calls")


def arguments(given: Any) -> dict[str, Any]:
    return call(function={"name": "f", "arguments": given})


WELL_FORMED = {
    "a text": openai(choice()),
    "an empty text": openai(choice(SAID | {"content": ""})),
    "a refusal": openai(choice({"role": "assistant", "content": None, "refusal": "no"})),
    "sound": openai(choice({"role": "assistant", "content": None, "audio": {"id": "s", "data": "UklG"}})),
    "a call": openai(call()),
    "a call without content": openai(choice({"role": "assistant", "tool_calls": [CALL]}, "tool_calls")),
    "a custom call": openai(
        choice({"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "custom", "custom": {}}]})
    ),
    "a builtin call": openai(call(type="builtin_function")),
    "a legacy call": openai(
        choice(
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}, "function_call"
        )
    ),
    "a call that ends with stop": openai(choice({"role": "assistant", "content": None, "tool_calls": [CALL]})),
    "two choices": openai(choice(), choice() | {"index": 1}),
    "annotations and logprobs": openai(choice(SAID | {"annotations": [{}]}, logprobs={"content": []})),
    "what vLLM adds": openai(
        choice(SAID | {"reasoning_content": None, "tool_calls": [], "function_call": None}, stop_reason=None),
        prompt_logprobs=None,
        kv_transfer_params=None,
        service_tier=None,
        error=None,
    ),
    "what OpenRouter adds": openai(
        choice(SAID | {"refusal": None, "reasoning": "hm"}, native_finish_reason="STOP"), provider="x"
    ),
    "details of usage": openai(
        choice(),
        usage=USAGE
        | {"prompt_tokens_details": {"cached_tokens": 1}, "completion_tokens_details": None, "cost": 0.5, "x": {}},
    ),
}
ODD = {
    "a number as content": openai(choice(SAID | {"content": 3})),
    "an object as content": openai(choice(SAID | {"content": {"a": 1}})),
    "parts as content": openai(choice(SAID | {"content": [{"type": "text", "text": "x"}]})),
    "nothing as content": openai(choice(SAID | {"content": None})),
    "no call with null": openai(choice(SAID | {"content": None, "tool_calls": []})),
    "a role of its own": openai(choice(SAID | {"role": "model"})),
    "a number as a call": openai(choice(SAID | {"tool_calls": [3]})),
    "a call of nothing": openai(call(function=None)),
    "a call without an id": openai(call(id=None)),
    "a call with an empty id": openai(call(id="")),
    "an object as arguments": openai(arguments({"a": 1})),
    "empty arguments": openai(arguments("")),
    "no arguments": openai(call(function={"name": "f"})),
    "an object as arguments of a legacy call": openai(
        choice(SAID | {"function_call": {"name": "f", "arguments": {}}}, "function_call")
    ),
    "a finish of its own": openai(choice(reason="eos")),
    "no finish": openai(choice(reason=None)),
    "one index twice": openai(choice(), choice()),
    "a negative index": openai(choice() | {"index": -1}),
    "no choices": openai(),
    "another object": openai(choice(), object="foo"),
    "an empty model": openai(choice(), model=""),
    "an empty id": openai(choice(), id=""),
    "a time with a fraction": openai(choice(), created=1.5),
    "no usage": openai(choice(), usage=None),
    "an empty usage": openai(choice(), usage={}),
    "usage without a total": openai(choice(), usage={"prompt_tokens": 3, "completion_tokens": 4}),
    "negative usage": openai(choice(), usage=USAGE | {"prompt_tokens": -1}),
    "an error beside it": openai(choice(), error={"message": "boom"}),
}


@pytest.mark.parametrize("body", WELL_FORMED.values(), ids=WELL_FORMED)
def test_a_well_formed_chat_completion_passes_and_is_counted(body: bytes) -> None:
    seen = OPENAI.look(body)
    assert seen is not None
    assert seen.usage is not None
    assert seen.usage.total_tokens == 7
    assert seen.finish_reason == json.loads(body)["choices"][0]["finish_reason"]


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_a_chat_completion_that_is_not_well_formed_does_not_pass(body: bytes) -> None:
    assert OPENAI.look(body) is None


def message(**more: Any) -> bytes:
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    return json.dumps(body | more).encode()


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"content": []},
        {"content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": ""}]},
        {"content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}], "stop_reason": "tool_use"},
        {"content": [{"type": "server_tool_use", "id": "a", "name": "web_search", "input": {}}], "container": None},
        {"stop_reason": "pause_turn"},
    ],
    ids=str,
)
def test_a_well_formed_message_passes(more: dict[str, Any]) -> None:
    assert ANTHROPIC.look(message(**more)) is not None


def test_the_usage_of_a_message_counts_the_cache_in() -> None:
    counts = {
        "input_tokens": 3,
        "output_tokens": 4,
        "cache_read_input_tokens": 10,
        "cache_creation_input_tokens": None,
        "output_tokens_details": {"thinking_tokens": 2},
        "server_tool_use": {"web_search_requests": 1},
    }
    seen = ANTHROPIC.look(message(usage=counts))
    assert seen is not None
    usage = seen.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (13, 4)
    assert (usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens) == (10, None, 2)


@pytest.mark.parametrize(
    "more",
    [
        {"content": [3]},
        {"content": "hi"},
        {"content": [{"text": "hi"}]},
        {"content": [{"type": "text", "text": 3}]},
        {"content": [{"type": "text"}]},
        {"role": "x"},
        {"type": "y"},
        {"id": ""},
        {"model": ""},
        {"stop_reason": None},
        {"usage": {}},
        {"usage": {"input_tokens": 3, "output_tokens": -1}},
    ],
    ids=str,
)
def test_a_message_that_is_not_well_formed_does_not_pass(more: dict[str, Any]) -> None:
    assert ANTHROPIC.look(message(**more)) is None
