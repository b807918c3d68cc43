"""Ollama's API: what its clients send is taken, and what they read is what Ollama would have written."""

import json
from typing import Any

import ollama as ollama_client
import pytest

from gateway.dialects import ollama, ollama_embeddings, ollama_generate, ollama_models
from gateway.dialects.base import Head, Parsed
from gateway.errors import InvalidRequest
from gateway.messages.chat import (
    ChatReply,
    Choice,
    Finished,
    ImagePart,
    Message,
    ReasoningDelta,
    ReasoningPart,
    ResponseFormat,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from gateway.messages.embeddings import EmbeddingsReply
from gateway.messages.models import Model

HEAD = Head(id="0123", created=1_700_000_000, model="llama3", provider="openai", elapsed=lambda: 5)
USAGE = Usage(prompt_tokens=3, completion_tokens=4)
USER = {"role": "user", "content": "hi"}


def parse(*messages: dict[str, Any], **members: Any) -> Parsed:
    return ollama.parse(json.dumps({"model": "m", "messages": messages or [USER], **members}).encode())


def generate(**members: Any) -> Parsed:
    return ollama_generate.parse(json.dumps({"model": "m", **members}).encode())


def reply(*calls: ToolCall) -> ChatReply:
    content = (ReasoningPart(text="hm"), TextPart(text="hello"))
    message = Message(role="assistant", content=content, tool_calls=calls)
    choice = Choice(message=message, finish_reason="tool_calls" if calls else "stop")
    return ChatReply(model="x", choices=(choice,), usage=USAGE)


def lines(encoder: Any, *events: Any) -> list[dict[str, Any]]:
    frames = [frame for event in events for frame in encoder.encode(event)] + encoder.finish()
    assert all(frame.endswith(b"\n") and frame.count(b"\n") == 1 for frame in frames)
    return [json.loads(frame) for frame in frames]


def test_a_chat_streams_unless_told_otherwise() -> None:
    assert parse().chat.stream
    assert not parse(stream=False).chat.stream
    assert generate(prompt="a").chat.stream


def test_a_conversation_with_images_thinking_and_tools_is_read() -> None:
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    read = parse(
        {"role": "user", "content": "look", "images": ["/9j/QQ", "iVBORw0KGgoQ", "data:image/webp;base64,QQ"]},
        {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [call, call]},
        {"role": "tool", "tool_name": "f", "content": "3"},
        {"role": "tool", "tool_name": "f", "content": "4"},
    ).chat.messages
    kinds = ("image/jpeg", "image/png", "image/webp")
    assert [part.media_type for part in read[0].content if isinstance(part, ImagePart)] == list(kinds)
    assert read[1].content == (ReasoningPart(text="hm"),)
    assert [made.arguments for made in read[1].tool_calls] == ['{"a":1}', '{"a":1}']
    ids = [made.id for made in read[1].tool_calls]
    assert len(set(ids)) == 2
    assert [read[2].tool_call_id, read[3].tool_call_id] == ids


def test_results_find_their_call_by_id_or_name() -> None:
    calls = [{"id": "1", "function": {"name": "f", "arguments": {}}}, {"function": {"name": "g", "arguments": {}}}]
    asked = {"role": "assistant", "content": "", "tool_calls": calls}
    by_name = {"role": "tool", "tool_name": "g", "content": "a"}
    by_id = {"role": "tool", "tool_call_id": "1", "content": "b"}
    read = parse(USER, asked, by_name, by_id).chat.messages
    assert [read[2].tool_call_id, read[3].tool_call_id] == [read[1].tool_calls[1].id, "1"]


def test_options_are_read_under_ollamas_names() -> None:
    given = {"temperature": 3, "num_predict": 5, "stop": "a", "seed": 1, "top_k": 4, "num_ctx": 8192}
    options = parse(options=given, format="json", think="high", keep_alive="5m").chat.options
    assert (options.temperature, options.max_tokens, options.stop, options.seed) == (3, 5, ("a",), 1)
    assert options.response_format == ResponseFormat(kind="json_object")
    assert options.extra == {"top_k": 4, "num_ctx": 8192, "think": "high", "keep_alive": "5m"}
    assert parse(options={"num_predict": -1}).chat.options.max_tokens is None
    assert parse(format={"type": "object"}).chat.options.response_format == ResponseFormat(
        kind="json_schema", schema={"type": "object"}
    )


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"model": None}, "model"),
        ({"messages": [{"role": "bot"}]}, r"messages\[0\].role"),
        ({"messages": [{**USER, "images": [3]}]}, r"messages\[0\].images\[0\]"),
        ({"format": "xml"}, "format"),
        ({"options": []}, "options"),
        ({"options": {"num_predict": "x"}}, "options.num_predict"),
        ({"stream": 1}, "stream"),
    ],
)
def test_what_is_wrong_is_named(members: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest, match=field):
        parse(**members)


def test_a_whole_answer_is_ollamas_object_with_openais_beside_it() -> None:
    call = ToolCall(id="c", name="f", arguments='{"a":1}')
    written = ollama.write_reply(parse(), reply(call), HEAD)
    ollama_client.ChatResponse.model_validate(written)
    beside = {name: written.pop(name) for name in ("choices", "usage")}
    assert written == {
        "model": "llama3",
        "created_at": "2023-11-14T22:13:20Z",
        "message": {
            "role": "assistant",
            "content": "hello",
            "thinking": "hm",
            "tool_calls": [{"id": "c", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}}],
        },
        "done": True,
        "done_reason": "stop",
        "total_duration": 5,
        "load_duration": 0,
        "prompt_eval_count": 3,
        "prompt_eval_duration": 0,
        "eval_count": 4,
        "eval_duration": 5,
    }
    assert beside["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"a":1}'
    assert beside["usage"]["total_tokens"] == 7


def test_a_stream_is_ollamas_lines() -> None:
    told = lines(
        ollama.events(parse(), HEAD),
        ReasoningDelta(text="hm"),
        TextDelta(text="hello"),
        ToolCallDelta(call=0, id="c", name="f", arguments='{"a"'),
        ToolCallDelta(call=0, arguments=":1}"),
        Finished(finish_reason="tool_calls"),
        UsageReport(usage=USAGE),
    )
    assert {(line["model"], line["created_at"]) for line in told} == {("llama3", "2023-11-14T22:13:20Z")}
    assert [line["message"] for line in told] == [
        {"role": "assistant", "content": "", "thinking": "hm"},
        {"role": "assistant", "content": "hello"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}}],
        },
        {"role": "assistant", "content": ""},
    ]
    assert [line["done"] for line in told] == [False, False, False, True]
    assert (told[-1]["done_reason"], told[-1]["eval_count"], told[-1]["prompt_eval_count"]) == ("stop", 4, 3)


def test_counts_and_durations_that_nobody_knows_are_left_out() -> None:
    head = Head(id="0", created=0, model="m", provider="p")
    last = lines(ollama.events(parse(), head), TextDelta(text="a"), Finished(finish_reason="length"))[-1]
    assert set(last) == {"model", "created_at", "message", "done", "done_reason"}
    assert last["done_reason"] == "length"


def test_a_request_without_messages_asks_for_the_model_to_be_loaded() -> None:
    assert ollama.parse(b'{"model": "m"}').chat.messages == ()
    assert generate().chat.messages == ()
    assert ollama.write_loaded(HEAD)["done_reason"] == "load"
    assert ollama.write_loaded(HEAD, chat=False)["response"] == ""


def test_a_prompt_is_a_chat_of_one_turn() -> None:
    read = generate(prompt="p", system="s", images=["QQ"], options={"num_predict": 3}, stream=False).chat
    image = ImagePart(data="QQ", media_type="image/png")
    assert read.messages == (
        Message(role="system", content=(TextPart(text="s"),)),
        Message(role="user", content=(TextPart(text="p"), image)),
    )
    assert (read.options.max_tokens, read.stream) == (3, False)
    assert "after" in generate(prompt="p", suffix="x").chat.messages[1].text


def test_what_generate_writes_is_ollamas() -> None:
    written = ollama_generate.write_reply(generate(prompt="a"), reply(), HEAD)
    ollama_client.GenerateResponse.model_validate(written)
    assert (written["response"], written["thinking"], written["done_reason"]) == ("hello", "hm", "stop")
    encoder = ollama_generate.events(generate(prompt="a"), HEAD)
    told = lines(encoder, TextDelta(text="a"), Finished(finish_reason="stop"), UsageReport(usage=USAGE))
    assert [(line["response"], line["done"]) for line in told] == [("a", False), ("", True)]


def test_vectors_are_read_and_written_in_both_forms() -> None:
    request = ollama_embeddings.parse_embed(b'{"model":"m","input":"a","options":{"num_ctx":1},"truncate":true}')
    assert (request.input, request.extra) == (("a",), {"num_ctx": 1, "truncate": True})
    assert ollama_embeddings.parse_embeddings(b'{"model":"m","prompt":"a"}').input == ("a",)
    answer = EmbeddingsReply(model="m", vectors=((1.0,), (2.0,)), usage=USAGE)
    written = ollama_embeddings.write_embed(answer, HEAD)
    assert ollama_client.EmbedResponse.model_validate(written).embeddings == [[1.0], [2.0]]
    assert written["prompt_eval_count"] == 3
    assert ollama_embeddings.write_embeddings(answer, HEAD)["embedding"] == [1.0]
    for body in (b'{"model":"m"}', b'{"model":"m","input":[]}', b'{"model":"m","input":[""]}'):
        with pytest.raises(InvalidRequest, match="input"):
            ollama_embeddings.parse_embed(body)


def test_models_are_listed_with_what_is_known_of_them() -> None:
    known = Model(id="llama3", created=0, details={"size": 5, "digest": "d", "details": {"family": "llama"}})
    tag = ollama_models.write_tag("ollama:llama3", known, "ollama", ["en", "pl"])
    ollama_client.ListResponse.model_validate({"models": [tag]})
    assert (tag["name"], tag["size"], tag["digest"], tag["details"]["family"]) == ("ollama:llama3", 5, "d", "llama")
    assert (tag["provider"], tag["languages"]) == ("ollama", ["en", "pl"])
    bare = ollama_models.write_tag("gpt", Model(id="gpt", created=1_700_000_000), "openai", [])
    assert (bare["modified_at"], bare["details"]["family"]) == ("2023-11-14T22:13:20Z", "openai")


def test_a_model_is_shown_under_either_name_of_the_field() -> None:
    assert ollama_models.parse_show(b'{"model":"a"}') == ollama_models.parse_show(b'{"name":"a"}') == "a"
    with pytest.raises(InvalidRequest, match="model"):
        ollama_models.parse_show(b"{}")
    assert "tools" in ollama_models.write_show(Model(id="m"), "openai")["capabilities"]
