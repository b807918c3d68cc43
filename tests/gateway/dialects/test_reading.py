"""Requests are read strictly: what is wrong is refused with its place, and never with anything but InvalidRequest."""

import contextlib
import copy
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects import (
    anthropic,
    completions,
    embeddings,
    ollama,
    ollama_embeddings,
    ollama_generate,
    openai_chat,
    openai_responses,
    unified,
)
from gateway.dialects.reading import MAX_DEPTH, decode, open_body
from gateway.errors import InvalidJSON, InvalidRequest

PNG = "data:image/png;base64,iVBORw0KGgo="
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
OPENAI_MESSAGES = [
    {"role": "system", "content": "s"},
    {"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": PNG}}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "r"},
    {"role": "tool", "tool_call_id": "c", "content": "3"},
]
OPENAI_OPTIONS = {
    "temperature": 1, "top_p": 0.5, "max_tokens": 3, "stop": ["a"], "seed": 1, "n": 2, "frequency_penalty": 0,
    "presence_penalty": 0, "logit_bias": {"5": 1}, "logprobs": True, "top_logprobs": 2, "user": "u", "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": True,
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}},
    "reasoning_effort": "low", "max_completion_tokens": 4,
}  # fmt: skip
TEXT = {"type": "text", "text": "3"}
IMAGE = {"type": "base64", "media_type": "image/png", "data": "A"}
BLOCKS = [
    {
        "role": "user",
        "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A"}}],
    },
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "t", "signature": "s"},
            {"type": "tool_use", "id": "c", "name": "f", "input": {}},
        ],
    },
    {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "3"}]}],
    },
]
ITEMS = [
    {"role": "user", "content": [{"type": "input_text", "text": "t"}, {"type": "input_image", "image_url": PNG}]},
    {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "t"}]},
    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "3"},
]
REQUESTS: dict[str, tuple[Callable[[bytes], object], dict[str, Any]]] = {
    "chat": (openai_chat.parse, {"model": "m", "messages": OPENAI_MESSAGES, "stream_options": {}, **OPENAI_OPTIONS}),
    "functions": (
        openai_chat.parse,
        {"model": "m", "messages": OPENAI_MESSAGES[:2], "functions": [{"name": "f"}], "function_call": "auto"},
    ),
    "completions": (completions.parse, {"model": "m", "prompt": ["a"], "suffix": "b", "echo": True, "logprobs": 2}),
    "embeddings": (embeddings.parse, {"model": "m", "input": [[1, 2]], "encoding_format": "base64", "dimensions": 3}),
    "unified": (unified.parse, {"type": "chat", "model": "m", "messages": OPENAI_MESSAGES, "options": OPENAI_OPTIONS}),
    "unified embeddings": (unified.parse, {"type": "embeddings", "model": "m", "input": ["a"], "options": {}}),
    "anthropic": (
        anthropic.parse,
        {
            "model": "m", "max_tokens": 3, "system": [{"type": "text", "text": "s"}], "messages": BLOCKS, "top_k": 3,
            "tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "any"}, "stop_sequences": ["a"],
            "metadata": {"user_id": "u"}, "output_config": {"effort": "low"}, "thinking": {"type": "enabled"},
        },
    ),
    "ollama": (
        ollama.parse,
        {
            "model": "m", "format": {}, "think": True, "tools": [TOOL], "options": {"num_predict": 3, "stop": ["a"]},
            "messages": [
                {"role": "user", "content": "a", "images": ["iVBORw0KGgo"]},
                {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
                {"role": "tool", "tool_name": "f", "content": "3"},
            ],
        },
    ),
    "generate": (ollama_generate.parse, {"model": "m", "prompt": "a", "images": ["A"], "suffix": "b", "options": {}}),
    "embed": (ollama_embeddings.parse_embed, {"model": "m", "input": ["a"], "options": {}}),
    "responses": (
        openai_responses.parse,
        {
            "model": "m", "input": ITEMS, "instructions": "i", "tools": [{"type": "function", "name": "f"}],
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}, "reasoning": {"effort": "low"},
            "include": ["reasoning.encrypted_content"], "tool_choice": {"type": "function", "name": "f"},
        },
    ),
}  # fmt: skip

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
KEYS = st.sampled_from(["type", "role", "text", "x"])
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | FLOATS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=4,
)


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


@pytest.mark.parametrize("name", REQUESTS)
def test_a_full_request_is_accepted(name: str) -> None:
    parse, request = REQUESTS[name]
    parse(json.dumps(request).encode())


@pytest.mark.parametrize("name", REQUESTS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_whatever_stands_in_a_request_it_is_read_or_refused_in_the_clients_terms(name: str, data: Any) -> None:
    parse, request = REQUESTS[name]
    broken = copy.deepcopy(request)
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from([place for place in places(broken) if place] or [("model",)]))
        target = broken
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = data.draw(JSON)
    body = json.dumps(broken).encode("utf-8", "surrogatepass")
    with contextlib.suppress(InvalidRequest):
        msgspec.json.encode(parse(body))  # what was taken can be written as well


@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_no_request_at_all_is_refused(name: str) -> None:
    for body in (b"", b"null", b"[]", b'"text"', b"{", b"{}", b'{"model": 3}', b"\xff", b'{"a": 1, "a": 2}'):
        with pytest.raises(InvalidRequest) as refused:
            REQUESTS[name][0](body)
        assert refused.value.message


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"a": 1, "b": {"x": 1, "x": 2}}', "'x' is given twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1e999}', "out of range"),
        (b'{"a": ' + b"9" * 5000 + b"}", "number is too long"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested too deeply"),
        (b'{"a": "\\ud800"}', "escape"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": 1} x', "Extra data"),
        (b'{"a": "\n"}', "control character"),
        (b"\xef\xbb\xbf{}", "JSON"),
    ],
)
def test_json_that_parsers_disagree_on_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(InvalidJSON, match=says):
        decode(body)


def test_json_as_deep_as_allowed_and_characters_as_escapes_are_read() -> None:
    assert decode(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert decode(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_all_complaints_are_gathered_with_their_paths() -> None:
    body = {"model": "", "messages": [{"role": "bot"}, 3, {"role": "user", "content": [{"type": "image_url"}]}]}
    with pytest.raises(InvalidRequest) as refused:
        openai_chat.parse(json.dumps({**body, "temperature": "hot", "tools": [{"type": "zzz"}]}).encode())
    fields = {detail.field for detail in refused.value.details}
    expected = {"model", "messages[0].role", "messages[1]", "messages[2].content[0].image_url"}
    assert fields == expected | {"temperature", "tools[0].type"}
    assert refused.value.message.startswith(refused.value.details[0].field)


def test_complaints_are_bounded() -> None:
    body = {"model": "m", "messages": [{"role": "bot"}] * 10_000}
    with pytest.raises(InvalidRequest) as refused:
        openai_chat.parse(json.dumps(body).encode())
    assert len(refused.value.details) <= 50


def test_null_equals_absent() -> None:
    nothing = dict.fromkeys(OPENAI_OPTIONS)
    parsed = openai_chat.parse(json.dumps({"model": "m", "messages": OPENAI_MESSAGES, **nothing}).encode())
    assert parsed == openai_chat.parse(json.dumps({"model": "m", "messages": OPENAI_MESSAGES}).encode())


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert open_body(b'{"n": 3.0}').integer("n") == 3
