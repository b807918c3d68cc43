"""Requests of real clients that peers are known to spoil on the way to another provider's models."""

import json
from typing import Any

import pytest

from gateway.dialects import anthropic, ollama, openai_chat, openai_responses
from gateway.dialects.base import Head
from gateway.providers import VENDORS
from gateway.providers.base import Chat, UpstreamRequest
from gateway.settings import Kind

HEAD = Head(id="0123", created=1_700_000_000, model="m", provider="p")
MARK = {"type": "ephemeral"}
MODELS: dict[Kind, str] = {
    "openai": "gpt-5",
    "openai-compatible": "some-model",
    "lmstudio": "qwen",
    "anthropic": "claude-opus-5",
    "gemini": "gemini-3-pro",
    "ollama": "llama3:8b",
}
every_provider = pytest.mark.parametrize("kind", MODELS)
USER = {"role": "user", "content": "hi"}


def send(dialect: Any, kind: Kind, body: dict[str, Any]) -> tuple[UpstreamRequest, dict[str, Any], list[str]]:
    """What the provider is sent, and all warnings by the names they begin with."""
    parsed = dialect.parse(json.dumps({"model": MODELS[kind], **body}).encode())
    vendor = VENDORS[kind]
    assert isinstance(vendor, Chat)
    request = vendor.chat_request(parsed.chat)
    warnings = [warning.partition(":")[0] for warning in (*parsed.warnings, *request.warnings)]
    return request, json.loads(request.body), warnings


@every_provider
@pytest.mark.parametrize("content", [[], "", None, "absent"], ids=["list", "text", "null", "absent"])
def test_a_turn_with_calls_and_no_content_reaches_every_provider(kind: Kind, content: Any) -> None:
    """archestra#7375, codex-proxy#707: Cursor sends `content: []` on turns that only call tools."""
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Lodz"}'}}
    turn = {"role": "assistant", "content": content, "tool_calls": [call]}
    if content == "absent":
        del turn["content"]
    result = {"role": "tool", "tool_call_id": "call_1", "content": "rain"}
    request, body, _ = send(openai_chat, kind, {"messages": [USER, turn, result]})
    assert b"Lodz" in request.body
    assert b"rain" in request.body
    empty = [block for message in body.get("messages", ()) for block in message["content"] or () if block == {}]
    assert empty == []


def test_marks_for_prompt_caching_on_openais_input_reach_anthropic() -> None:
    """envoy ai-gateway#2477, #2528, agentgateway#2628, llmgateway#3918: lost marks cost several times as much."""
    text = {"type": "text", "text": "long", "cache_control": MARK}
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": [text]},
        {"role": "user", "content": [text]},
        {"role": "assistant", "content": [text], "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": [text]},
    ]
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}, "cache_control": MARK}
    request, body, warnings = send(openai_chat, "anthropic", {"messages": messages, "tools": [tool]})
    assert request.body.count(b'"cache_control":{"type":"ephemeral"}') == 5
    assert body["system"][0]["cache_control"] == body["tools"][0]["cache_control"] == MARK
    assert body["messages"][2]["content"][0] == {
        "type": "tool_result",
        "tool_use_id": "1",
        "content": [{"type": "text", "text": "long"}],
        "cache_control": MARK,
    }
    assert warnings == []


def reply(kind: Kind, **answer: Any) -> Any:
    vendor = VENDORS[kind]
    assert isinstance(vendor, Chat)
    return vendor.chat_reply(json.dumps(answer).encode())


def test_tokens_from_the_cache_are_told_in_each_dialects_own_way_of_counting() -> None:
    """litellm#42663, block/buzz#3463: OpenAI counts them within the prompt, Anthropic beside it."""
    usage = {"input_tokens": 5, "cache_read_input_tokens": 300, "cache_creation_input_tokens": 20, "output_tokens": 7}
    content = [{"type": "text", "text": "hi"}]
    of_anthropic = reply("anthropic", content=content, stop_reason="end_turn", usage=usage)
    asked = openai_chat.parse(json.dumps({"model": "m", "messages": [USER]}).encode())
    told = openai_chat.write_reply(asked, of_anthropic, HEAD)["usage"]
    assert (told["prompt_tokens"], told["total_tokens"]) == (325, 332)
    assert told["prompt_tokens_details"]["cached_tokens"] == 300

    counted = {"prompt_tokens": 325, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 300}}
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    of_openai = reply("openai", choices=[choice], usage=counted)
    messages = anthropic.parse(json.dumps({"model": "m", "max_tokens": 9, "messages": [USER]}).encode())
    told = anthropic.write_reply(messages, of_openai, HEAD)["usage"]
    assert (told["input_tokens"], told["cache_read_input_tokens"], told["output_tokens"]) == (25, 300, 7)


def chunk(**delta: Any) -> bytes:
    body = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


@pytest.mark.parametrize(
    ("kind", "stream"),
    [
        ("openai", chunk(role="assistant", content="hi") + b'data: {"choices":[{"finish_reason":"stop"}]}\n\n'),
        ("ollama", b'{"message":{"content":"hi"},"done":true,"done_reason":"stop"}\n'),
        ("gemini", b'data: {"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}]}\n\n'),
    ],
)
def test_the_start_of_a_message_tells_usage_in_numbers_whatever_the_provider_tells(kind: Kind, stream: bytes) -> None:
    """litellm#24176, #13373: Claude Code reads `message_start.message.usage`, and wants a block before its deltas."""
    vendor = VENDORS[kind]
    assert isinstance(vendor, Chat)
    decoder = vendor.chat_events()
    body = {"model": "m", "max_tokens": 9, "messages": [USER], "stream": True}
    encoder = anthropic.events(anthropic.parse(json.dumps(body).encode()), HEAD)
    events = [*decoder.feed(stream), *decoder.finish()]
    frames = [frame for event in events for frame in encoder.encode(event)] + list(encoder.finish())
    bodies = [json.loads(frame.partition(b"data: ")[2]) for frame in frames]
    usage = bodies[0]["message"]["usage"]
    assert all(type(usage[name]) is int for name in ("input_tokens", "output_tokens"))
    kinds = [body["type"] for body in bodies]
    assert kinds.index("content_block_start") < kinds.index("content_block_delta")
    assert type(next(body for body in bodies if body["type"] == "message_delta")["usage"]["output_tokens"]) is int


def test_calls_that_ollama_streams_one_by_one_are_counted_on() -> None:
    """ollama#12557, #9632: every call of a stream has index 0, so that clients run them together."""
    lines = b"".join(
        json.dumps({"message": {"content": "", "tool_calls": [{"function": {"name": name, "arguments": {}}}]}}).encode()
        + b"\n"
        for name in ("f", "g")
    )
    vendor = VENDORS["ollama"]
    assert isinstance(vendor, Chat)
    decoder = vendor.chat_events()
    events = [
        *decoder.feed(lines + b'{"message":{"content":""},"done":true,"done_reason":"stop"}\n'),
        *decoder.finish(),
    ]
    encoder = openai_chat.events(openai_chat.parse(json.dumps({"model": "m", "messages": [USER]}).encode()), HEAD)
    stream = b"".join(frame for event in events for frame in encoder.encode(event))
    chunks = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith(b"data: {")]
    calls = [call for body in chunks for call in body["choices"][0]["delta"].get("tool_calls", ()) if "id" in call]
    assert [(call["index"], call["function"]["name"]) for call in calls] == [(0, "f"), (1, "g")]
    assert len({call["id"] for call in calls}) == 2


SHELL = {
    "type": "function",
    "name": "exec_command",
    "description": "Runs a command",
    "strict": False,
    "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}, "required": ["cmd"]},
}
CODEX = {
    "instructions": "You are a coding agent.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "sandboxed"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Mend it"}]},
        {"type": "reasoning", "summary": [], "content": None, "encrypted_content": None},
        {"type": "function_call", "name": "exec_command", "arguments": '{"cmd": "ls"}', "call_id": "c1"},
        {"type": "function_call_output", "call_id": "c1", "output": "main.py"},
        {"type": "custom_tool_call", "status": "completed", "call_id": "c2", "name": "apply_patch", "input": "+x"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "Done"},
    ],
    "tools": [
        SHELL,
        {
            "type": "custom",
            "name": "apply_patch",
            "description": "Patches files",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: line+"},
        },
        {"type": "web_search", "external_web_access": False},
        {"type": "namespace", "name": "mcp__notes__", "tools": [{"type": "function", "name": "find"}]},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0199-ab",
    "text": {"verbosity": "low"},
    "client_metadata": {"session": "0199"},
}


@every_provider
def test_what_codex_sends_reaches_every_provider(kind: Kind) -> None:
    """openai/codex#31083, janhq/jan#7413: Codex speaks only Responses, with tools of three types."""
    request, _, warnings = send(openai_responses, kind, CODEX)
    for text in (
        b"You are a coding agent.",
        b"sandboxed",
        b"Mend it",
        b"main.py",
        b"+x",
        b"Done",
        b"start: line+",
        b"notes__find",
    ):
        assert text in request.body
    assert {"tools[1].format", "tools[2]"} <= set(warnings)
    assert b"web_search" not in request.body


CLAUDE_CODE = {
    "max_tokens": 32000,
    "stream": True,
    "thinking": {"type": "adaptive"},
    "metadata": {"user_id": "u"},
    "context_management": {"edits": []},
    "system": [{"type": "text", "text": "You are a coding agent.", "cache_control": MARK}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Mend it", "cache_control": MARK}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": ""},
                {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}, "caller": None},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": "main.py",
                    "is_error": False,
                    "cache_control": MARK,
                },
                {"type": "text", "text": "Go on"},
            ],
        },
    ],
    "tools": [
        {"name": "Bash", "description": "Runs", "input_schema": {"type": "object"}, "eager_input_streaming": True},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
    ],
}


@pytest.mark.parametrize("kind", [kind for kind in MODELS if kind != "anthropic"])
def test_what_claude_code_sends_reaches_every_other_provider(kind: Kind) -> None:
    """litellm#25321 and its kin: nothing of the conversation is lost, and what cannot be carried is named."""
    request, _, warnings = send(anthropic, kind, CLAUDE_CODE)
    for text in (b"You are a coding agent.", b"Mend it", b"main.py", b"Go on", b'"ls', b"Bash"):
        assert text in request.body.replace(b"\\", b"")
    assert {"tools[0].eager_input_streaming", "tools[1]"} <= set(warnings)
    assert kind == "openai-compatible" or {"cache_control", "context_management"} & set(warnings)
    assert len(warnings) == len(set(warnings))


def test_what_ollamas_clients_leave_to_the_server_is_not_an_error_for_others() -> None:
    """The images of Ollama are bare base64 and its arguments objects: others want a type, and text."""
    picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    calls = [{"function": {"name": "f", "arguments": {"a": 1}}}, {"function": {"name": "f", "arguments": {"a": 2}}}]
    messages = [
        {"role": "user", "content": "look", "images": [picture]},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": "one", "tool_name": "f"},
        {"role": "tool", "content": "two", "tool_name": "f"},
    ]
    _, body, warnings = send(ollama, "openai-compatible", {"messages": messages})
    assert body["messages"][0]["content"][1]["image_url"]["url"] == f"data:image/png;base64,{picture}"
    called = body["messages"][1]["tool_calls"]
    assert [json.loads(call["function"]["arguments"]) for call in called] == [{"a": 1}, {"a": 2}]
    assert [message["tool_call_id"] for message in body["messages"][2:]] == [call["id"] for call in called]
    assert warnings == []
