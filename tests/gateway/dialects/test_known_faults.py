"""What peers are known to get wrong between two dialects, each as a stream or a request that has led to it."""

import json
from typing import Any

import pytest

from gateway.dialects import anthropic, ollama, openai_chat, openai_responses
from gateway.dialects.base import Head
from gateway.messages.chat import ChatRequest
from gateway.providers import VENDORS
from gateway.providers.base import Chat
from gateway.settings import Kind
from tests.grammar import check_anthropic, check_ollama, check_openai_chat, check_openai_responses

HEAD = Head(id="0123", created=1_700_000_000, model="m", provider="p")
CHAT = {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "hi"}], "stream": True}
DIALECTS: list[tuple[Any, dict[str, Any], Any]] = [
    (openai_chat, CHAT, check_openai_chat),
    (anthropic, CHAT, check_anthropic),
    (ollama, CHAT, check_ollama),
    (openai_responses, {"model": "m", "input": "hi", "stream": True}, check_openai_responses),
]
every_dialect = pytest.mark.parametrize(
    ("dialect", "request_", "check"), DIALECTS, ids=["openai chat", "anthropic", "ollama", "responses"]
)


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def chunk(finish_reason: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def translate(kind: Kind, stream: bytes, dialect: Any, request: dict[str, Any]) -> bytes:
    """What the client gets of what the provider has streamed."""
    vendor = VENDORS[kind]
    assert isinstance(vendor, Chat)
    decoder = vendor.chat_events()
    encoder = dialect.events(dialect.parse(json.dumps(request).encode()), HEAD)
    events = [*decoder.feed(stream), *decoder.finish()]
    return b"".join([frame for given in events for frame in encoder.encode(given)] + list(encoder.finish()))


MESSAGE = {"id": "msg", "model": "claude", "usage": {"input_tokens": 5, "output_tokens": 1}}
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 7}) + event("message_stop")


@every_dialect
def test_thinking_in_a_text_block_and_a_second_start_are_put_right(dialect: Any, request_: Any, check: Any) -> None:
    """litellm#32357, #33224: clients refuse a thinking_delta in a text block, and message_start twice."""
    stream = (
        event("message_start", message=MESSAGE)
        + event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        + event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Hm."})
        + event("message_start", message=MESSAGE)
        + event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello"})
        + event("content_block_stop", index=0)
        + END
    )
    got = translate("anthropic", stream, dialect, request_)
    assert check(got) == []
    assert got.count(b"Hello") >= 1
    assert got.count(b'"type":"message_start"') == (dialect is anthropic)


@every_dialect
def test_the_input_of_a_call_that_comes_at_once_is_not_emptied(dialect: Any, request_: Any, check: Any) -> None:
    """litellm#25321: servers that do not stream the input give it where the block begins."""
    call = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Lodz"}}
    stream = (
        event("message_start", message=MESSAGE)
        + event("content_block_start", index=0, content_block=call)
        + event("content_block_stop", index=0)
        + END.replace(b"end_turn", b"tool_use")
    )
    got = translate("anthropic", stream, dialect, request_)
    assert check(got) == []
    assert b"Lodz" in got


@every_dialect
def test_a_call_without_an_index_is_heard_by_everybody(dialect: Any, request_: Any, check: Any) -> None:
    """Open WebUI's note on Gemini's endpoint: calls without `index` lead to empty replies."""
    function = {"name": "weather", "arguments": '{"city": "Lodz"}'}
    calls = [{"id": "call_1", "type": "function", "function": function}]
    stream = chunk(role="assistant", tool_calls=calls) + chunk("stop") + b"data: [DONE]\n\n"
    got = translate("openai-compatible", stream, dialect, request_)
    assert check(got) == []
    assert b"weather" in got
    assert dialect is not openai_chat or b'"index":0,"id":"call_1"' in got
    assert dialect is not openai_chat or b'"finish_reason":"tool_calls"' in got
    assert dialect is not anthropic or b'"stop_reason":"tool_use"' in got


@every_dialect
def test_no_stream_names_its_events_by_id(dialect: Any, request_: Any, check: Any) -> None:
    """openai-python 2.54: after an `id:` field every comment frame becomes an event without data, that is an error."""
    stream = b"id: 1\nretry: 3\n" + chunk(role="assistant", content="Hello") + b"id: 2\n" + chunk("stop")
    got = translate("openai-compatible", stream + b"data: [DONE]\n\n", dialect, request_)
    assert check(got) == []
    assert not any(line.startswith((b"id:", b"retry:")) for line in got.splitlines())


@pytest.mark.parametrize("kind", ["anthropic", "gemini", "ollama", "lmstudio", "openai-compatible"])
def test_the_wish_for_a_schema_reaches_every_provider(kind: Kind) -> None:
    """litellm#7131, ollama#8063: a response_format that nobody reads."""
    schema = {"type": "object", "properties": {"lake": {"type": "string"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    chat: ChatRequest = openai_chat.parse(json.dumps({**CHAT, "response_format": wanted}).encode()).chat
    vendor = VENDORS[kind]
    assert isinstance(vendor, Chat)
    assert b'"lake"' in vendor.chat_request(chat).body


def test_tools_stay_tools_on_the_way_to_ollama() -> None:
    """litellm#35711: tools dropped on the way to Ollama; litellm#7094: always its chat, never generate."""
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    chat = openai_chat.parse(json.dumps({**CHAT, "tools": [tool]}).encode()).chat
    vendor = VENDORS["ollama"]
    assert isinstance(vendor, Chat)
    request = vendor.chat_request(chat)
    assert request.path == "/api/chat"
    assert json.loads(request.body)["tools"][0]["function"]["name"] == "weather"
    assert json.loads(request.body)["stream"] is True


@pytest.mark.parametrize(
    "members",
    [
        {"messages": CHAT["messages"], "input": "hi"},
        {"input": "hi"},
        {"input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}]},
    ],
    ids=["both", "text", "items"],
)
def test_bodies_are_read_by_their_shape_on_the_path_of_chats(members: dict[str, Any]) -> None:
    """litellm#34029, archestra#7375: Cursor posts the shape of Responses, with flat tools, to chat completions."""
    flat = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
    chat = openai_chat.parse(json.dumps({"model": "m", "tools": [flat], **members}).encode()).chat
    assert chat.messages[-1].text == "hi"
    assert chat.options.tools[0].name == "weather"


@every_dialect
def test_sources_of_a_text_that_are_not_translated_are_named(dialect: Any, request_: Any, check: Any) -> None:
    cited = [{"type": "url_citation", "url_citation": {"url": "https://a.example", "start_index": 0, "end_index": 5}}]
    stream = chunk(role="assistant", content="Hello", annotations=[]) + chunk(annotations=cited) + chunk("stop")
    got = translate("openai", stream + b"data: [DONE]\n\n", dialect, request_)
    assert check(got) == []
    assert b"annotations: not translated, left out" in got
    plain = chunk(role="assistant", content="Hello", annotations=[]) + chunk("stop") + b"data: [DONE]\n\n"
    assert b"left out" not in translate("openai", plain, dialect, request_)
    vendor = VENDORS["openai"]
    assert isinstance(vendor, Chat)
    message = {"role": "assistant", "content": "Hello", "annotations": cited, "audio": None}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    assert vendor.chat_reply(json.dumps(whole).encode()).warnings == ("annotations: not translated, left out",)
