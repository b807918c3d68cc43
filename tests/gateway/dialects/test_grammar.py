"""The checkers themselves: a good stream passes, and each way to break it is seen."""

import json
from typing import Any

import pytest

from tests.grammar import check_anthropic, check_ollama, check_openai_chat, check_openai_responses

ERROR = {"error": {"message": "m", "type": "server_error", "param": None, "code": "c"}}


def sse(*payloads: Any) -> bytes:
    return "".join(f"data: {p if isinstance(p, str) else json.dumps(p)}\n\n" for p in payloads).encode()


def named(*payloads: dict[str, Any]) -> bytes:
    return "".join(f"event: {p['type']}\ndata: {json.dumps(p)}\n\n" for p in payloads).encode()


def lines(*payloads: dict[str, Any]) -> bytes:
    return "".join(json.dumps(p) + "\n" for p in payloads).encode()


def chunk(delta: dict[str, Any] | None, reason: str | None = None, **members: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
    base = {"id": "i", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    return {**base, **members}


ROLE = chunk({"role": "assistant", "content": ""})
TEXT = chunk({"content": "a"})
STOP = chunk({}, "stop")
USAGE = chunk(None, usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})


def call(index: int | None = 0, **members: Any) -> dict[str, Any]:
    given = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, **members}
    return chunk({"tool_calls": [given if index is None else {"index": index, **given}]})


CALLED = chunk({}, "tool_calls")


@pytest.mark.parametrize(
    "stream",
    [
        sse(ROLE, TEXT, STOP, "[DONE]"),
        b": keep-alive\n\n" + sse(ROLE, call(), CALLED, "[DONE]"),
        sse(ROLE, TEXT, ERROR),
    ],
)
def test_good_chat_streams_pass(stream: bytes) -> None:
    assert check_openai_chat(stream) == []


def test_a_chat_stream_with_the_usage_asked_for_passes() -> None:
    assert check_openai_chat(sse(ROLE, TEXT, STOP, USAGE, "[DONE]"), include_usage=True) == []


BAD_CHATS = {
    "no end mark": sse(ROLE, TEXT, STOP),
    "no finish reason": sse(ROLE, TEXT, "[DONE]"),
    "no role": sse(TEXT, STOP, "[DONE]"),
    "nothing": b"",
    "text after the finish": sse(ROLE, STOP, TEXT, "[DONE]"),
    "two finish reasons": sse(ROLE, STOP, STOP, "[DONE]"),
    "unknown finish reason": sse(ROLE, chunk({}, "end_turn"), "[DONE]"),
    "an end mark after an error": sse(ROLE, ERROR, "[DONE]"),
    "a chunk after the end mark": sse(ROLE, STOP, "[DONE]", TEXT),
    "the id changes": sse(ROLE, {**STOP, "id": "j"}, "[DONE]"),
    "the model changes": sse(ROLE, {**STOP, "model": "n"}, "[DONE]"),
    "usage nobody asked for": sse(ROLE, STOP, USAGE, "[DONE]"),
    "usage in a chunk with choices": sse(ROLE, {**STOP, "usage": USAGE["usage"]}, "[DONE]"),
    "null choices": sse(ROLE, {**STOP, "choices": None}, "[DONE]"),
    "a choice without index": sse(ROLE, {**STOP, "choices": [{"delta": {}, "finish_reason": "stop"}]}, "[DONE]"),
    "a call without index": sse(ROLE, call(None), CALLED, "[DONE]"),
    "a call without id": sse(ROLE, call(id=None), CALLED, "[DONE]"),
    "a call that begins at 1": sse(ROLE, call(1), CALLED, "[DONE]"),
    "two calls with one id": sse(ROLE, call(0), call(1), CALLED, "[DONE]"),
    "arguments that are an object": sse(ROLE, call(function={"name": "f", "arguments": {}}), CALLED, "[DONE]"),
    "arguments that are no JSON": sse(ROLE, call(function={"name": "f", "arguments": "{"}), CALLED, "[DONE]"),
    "tool_calls without a call": sse(ROLE, CALLED, "[DONE]"),
    "not JSON": sse(ROLE, "{", STOP, "[DONE]"),
    "a key given twice": sse(ROLE, '{"id": 1, "id": 1}', STOP, "[DONE]"),
    "an id field": sse(ROLE) + b"id: 1\n" + sse(STOP, "[DONE]"),
    "no blank line at the end": sse(ROLE, STOP, "[DONE]")[:-1],
    "half a character": sse(ROLE) + b"data: \xc3\n\n" + sse(STOP, "[DONE]"),
    "a named event": named({**ROLE, "type": "chunk"}) + sse(STOP, "[DONE]"),
    "an error that is a text": sse(ROLE, {"error": "text"}),
}


@pytest.mark.parametrize("stream", BAD_CHATS.values(), ids=BAD_CHATS)
def test_bad_chat_streams_are_seen(stream: bytes) -> None:
    assert check_openai_chat(stream)


def test_a_missing_usage_is_seen_when_it_was_asked_for() -> None:
    assert check_openai_chat(sse(ROLE, STOP, "[DONE]"), include_usage=True)


MESSAGE = {
    "id": "i", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
    "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 0},
}  # fmt: skip
START = {"type": "message_start", "message": MESSAGE}
OPEN = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
GROW = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}
CLOSE = {"type": "content_block_stop", "index": 0}
TELL = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}
END = {"type": "message_stop"}
PING = {"type": "ping"}
OVER = {"type": "error", "error": {"type": "api_error", "message": "m"}}
THINK = {**GROW, "delta": {"type": "thinking_delta", "thinking": "a"}}
USE = {**OPEN, "content_block": {"type": "tool_use", "id": "c", "name": "f", "input": {}}}
INPUT = {**GROW, "delta": {"type": "input_json_delta", "partial_json": "{"}}
TOLD = {**TELL, "delta": {"stop_reason": "tool_use"}}


@pytest.mark.parametrize(
    "stream",
    [named(START, PING, OPEN, GROW, CLOSE, TELL, END), named(START, USE, CLOSE, TOLD, END), named(START, OPEN, OVER)],
)
def test_good_message_streams_pass(stream: bytes) -> None:
    assert check_anthropic(stream) == []


BAD_MESSAGES = {
    "no start": named(OPEN, GROW, CLOSE, TELL, END),
    "two starts": named(START, START, OPEN, GROW, CLOSE, TELL, END),
    "no end": named(START, OPEN, GROW, CLOSE, TELL),
    "no message_delta": named(START, OPEN, GROW, CLOSE, END),
    "a block left open": named(START, OPEN, GROW, TELL, END),
    "a delta before its block": named(START, GROW, OPEN, CLOSE, TELL, END),
    "a delta after its block": named(START, OPEN, CLOSE, GROW, TELL, END),
    "blocks in one another": named(START, OPEN, {**OPEN, "index": 1}, CLOSE, TELL, END),
    "a block numbered wrongly": named(START, {**OPEN, "index": 1}, TELL, END),
    "thinking in a text block": named(START, OPEN, THINK, CLOSE, TELL, END),
    "a block after message_delta": named(START, TELL, OPEN, CLOSE, END),
    "an unnamed event": sse(START, OPEN, GROW, CLOSE, TELL, END),
    "something after an error": named(START, OVER, END),
    "OpenAI's end mark": named(START, OPEN, GROW, CLOSE, TELL, END) + sse("[DONE]"),
    "OpenAI's finish reason": named(START, {**TELL, "delta": {"stop_reason": "stop"}}, END),
    "no usage at the start": named({**START, "message": {**MESSAGE, "usage": {}}}, OPEN, GROW, CLOSE, TELL, END),
    "tool_use without a call": named(START, OPEN, GROW, CLOSE, TOLD, END),
    "a call and end_turn": named(START, USE, CLOSE, TELL, END),
    "input that is no JSON": named(START, USE, INPUT, CLOSE, TOLD, END),
}


@pytest.mark.parametrize("stream", BAD_MESSAGES.values(), ids=BAD_MESSAGES)
def test_bad_message_streams_are_seen(stream: bytes) -> None:
    assert check_anthropic(stream)


LINE = {"model": "m", "created_at": "t", "message": {"role": "assistant", "content": "a"}, "done": False}
DONE = {**LINE, "done": True, "done_reason": "stop", "eval_count": 1}
TOOL = {"function": {"name": "f", "arguments": {}}}


def with_message(**members: Any) -> dict[str, Any]:
    return {**LINE, "message": {"role": "assistant", "content": "", **members}}


@pytest.mark.parametrize("stream", [lines(LINE, with_message(tool_calls=[TOOL]), DONE), lines(LINE, {"error": "m"})])
def test_good_ollama_streams_pass(stream: bytes) -> None:
    assert check_ollama(stream) == []


BAD_OLLAMA = {
    "no last line": lines(LINE),
    "nothing": b"",
    "a line after the last": lines(DONE, LINE),
    "no done_reason": lines({**LINE, "done": True}),
    "no created_at": lines({**DONE, "created_at": None}),
    "arguments as text": lines(with_message(tool_calls=[{"function": {"name": "f", "arguments": "{}"}}]), DONE),
    "content null": lines(with_message(content=None), DONE),
    "an error that is an object": lines(LINE, {"error": {"message": "m"}}),
    "a line after an error": lines({"error": "m"}, DONE),
    "events": sse(LINE, DONE),
    "a float as count": lines({**DONE, "eval_count": 1.5}),
    "a line cut short": lines(LINE, DONE)[:-1],
}


@pytest.mark.parametrize("stream", BAD_OLLAMA.values(), ids=BAD_OLLAMA)
def test_bad_ollama_streams_are_seen(stream: bytes) -> None:
    assert check_ollama(stream)


PART = {"type": "output_text", "text": "", "annotations": []}
ITEM = {"id": "m0", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
WHOLE = {**ITEM, "status": "completed", "content": [{**PART, "text": "a"}]}
RESPONSE: dict[str, Any] = {"id": "r", "object": "response", "status": "in_progress", "output": []}
AT = {"item_id": "m0", "output_index": 0, "content_index": 0}
RESPONSES: dict[str, dict[str, Any]] = {
    "created": {"type": "response.created", "response": RESPONSE},
    "in_progress": {"type": "response.in_progress", "response": RESPONSE},
    "added": {"type": "response.output_item.added", "output_index": 0, "item": ITEM},
    "part": {"type": "response.content_part.added", **AT, "part": PART},
    "delta": {"type": "response.output_text.delta", **AT, "delta": "a"},
    "told": {"type": "response.output_text.done", **AT, "text": "a"},
    "part done": {"type": "response.content_part.done", **AT, "part": {**PART, "text": "a"}},
    "done": {"type": "response.output_item.done", "output_index": 0, "item": WHOLE},
    "completed": {"type": "response.completed", "response": {**RESPONSE, "status": "completed", "output": [WHOLE]}},
}


CALL = {"id": "ctc", "type": "custom_tool_call", "status": "in_progress", "call_id": "1", "name": "t", "input": ""}
CALLED = {**CALL, "status": "completed", "input": "a"}
AT_CALL = {"item_id": "ctc", "output_index": 0}
FREE: dict[str, dict[str, Any]] = {
    "created": RESPONSES["created"],
    "in_progress": RESPONSES["in_progress"],
    "added": {"type": "response.output_item.added", "output_index": 0, "item": CALL},
    "delta": {"type": "response.custom_tool_call_input.delta", **AT_CALL, "delta": "a"},
    "told": {"type": "response.custom_tool_call_input.done", **AT_CALL, "input": "a"},
    "done": {"type": "response.output_item.done", "output_index": 0, "item": CALLED},
    "completed": {"type": "response.completed", "response": {**RESPONSE, "status": "completed", "output": [CALLED]}},
}


def numbered(*payloads: dict[str, Any]) -> bytes:
    return named(*({**payload, "sequence_number": place} for place, payload in enumerate(payloads)))


def responses(*leave_out: str, **changes: dict[str, Any]) -> bytes:
    kept = {name: event for name, event in RESPONSES.items() if name not in leave_out}
    return numbered(*({**event, **changes.get(name, {})} for name, event in kept.items()))


def test_a_good_response_stream_passes() -> None:
    assert check_openai_responses(responses()) == []
    error = {"type": "error", "code": "c", "message": "m", "param": None}
    assert check_openai_responses(numbered(*list(RESPONSES.values())[:4], error)) == []


def test_a_call_with_free_text_passes_and_one_without_its_events_is_seen() -> None:
    assert check_openai_responses(numbered(*FREE.values())) == []
    for name in FREE:
        assert check_openai_responses(numbered(*(event for key, event in FREE.items() if key != name))), name
    other = {**FREE, "done": {**FREE["done"], "item": {**CALLED, "input": "b"}}}
    assert check_openai_responses(numbered(*other.values()))


@pytest.mark.parametrize("name", RESPONSES)
def test_a_response_stream_without_one_of_its_events_is_seen(name: str) -> None:
    assert check_openai_responses(responses(name))


@pytest.mark.parametrize(
    "stream",
    [
        responses() + sse("[DONE]"),
        responses(told={"text": "b"}),
        responses(delta={"item_id": "m1"}),
        responses(added={"output_index": 1}),
        responses(done={"item": {**WHOLE, "id": "m1"}}),
        responses(completed={"response": {**RESPONSE, "status": "completed", "output": []}}),
        responses(completed={"response": {**RESPONSE, "status": "in_progress", "output": [WHOLE]}}),
        named(*RESPONSES.values()),
        numbered(*RESPONSES.values(), RESPONSES["delta"]),
        numbered(*reversed(RESPONSES.values())),
    ],
)
def test_bad_response_streams_are_seen(stream: bytes) -> None:
    assert check_openai_responses(stream)
